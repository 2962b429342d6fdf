//! What goes by itself, and files.

use std::time::Duration;

use bytes::Bytes;

use super::{Store, code, job, made};
use crate::session::{FILE_LIMIT, Guard, Verb, Write};

const HOUR: Duration = Duration::from_secs(3_600);

pub(super) async fn idle_sessions_go_but_none_with_a_job(store: Store) {
    let idle = made(&store, "idle").await;
    let busy = made(&store, "busy").await;
    let used = made(&store, "used").await;
    let attach = Write {
        guard: Guard::fenced(job("j"), 1),
        verb: Verb::Attach {
            for_ms: 3 * 3_600_000,
        },
    };
    store.one.write(&busy, attach).await.unwrap();
    store.clock.advance(HOUR);
    store.another.touch(&used, Guard::default()).await.unwrap();
    store.clock.advance(HOUR);
    let clean = || store.one.clean_up(HOUR * 2);
    assert_eq!(clean().await.unwrap(), 1);
    assert_eq!(code(store.another.get(&idle).await), "unknown_session");
    assert!(store.another.get(&busy).await.is_ok());
    assert_eq!(clean().await.unwrap(), 0);
    // A job that was never detached keeps nobody for ever.
    store.clock.advance(HOUR * 2);
    assert_eq!(clean().await.unwrap(), 2);
    assert_eq!(store.another.count(None).await.unwrap(), 0);
}

pub(super) async fn files_are_kept_with_their_session(store: Store) {
    let key = made(&store, "s").await;
    let other = made(&store, "t").await;
    let body: Bytes = (0..=255_u8).cycle().take(300_000).collect();
    let put = |name: String, body: Bytes| {
        let (one, key) = (store.one.clone(), key.clone());
        async move { one.put_file(&key, Guard::default(), &name, body).await }
    };
    put("a.pdf".to_owned(), body.clone()).await.unwrap();
    assert_eq!(store.another.file(&key, "a.pdf").await.unwrap(), body);
    assert_eq!(
        code(store.another.file(&other, "a.pdf").await),
        "unknown_file"
    );
    for n in 1..FILE_LIMIT {
        put(n.to_string(), Bytes::from_static(b"x")).await.unwrap();
    }
    let more = put("more".to_owned(), Bytes::new()).await;
    assert_eq!(code(more), "session_too_large");
    let names = store.another.files(&key).await.unwrap();
    assert_eq!(names.len() as u64, FILE_LIMIT);
    assert_eq!(names[..2], ["1", "10"]);
    // One that is there can be written over.
    put("1".to_owned(), Bytes::from_static(b"y")).await.unwrap();
    assert_eq!(&*store.another.file(&key, "1").await.unwrap(), b"y");
    assert!(
        store
            .another
            .drop_file(&key, Guard::default(), "1")
            .await
            .unwrap()
    );
    assert!(
        !store
            .another
            .drop_file(&key, Guard::default(), "1")
            .await
            .unwrap()
    );
    assert_eq!(code(store.one.file(&key, "1").await), "unknown_file");
    assert_eq!(code(put(String::new(), body).await), "invalid_session");
    let unknown = super::key("ann", "never");
    assert_eq!(code(store.one.files(&unknown).await), "unknown_session");
    let put = store
        .one
        .put_file(&unknown, Guard::default(), "f", Bytes::new())
        .await;
    assert_eq!(code(put), "unknown_session");
}
