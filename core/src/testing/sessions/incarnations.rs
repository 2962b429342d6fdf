//! Sessions that come one behind the other under one id.

use super::{Store, code, job, made, say, texts, turn};
use crate::session::{Change, Guard, NewSession, Session, SessionError, SessionKey};
use crate::session::{SharedSessions, Verb, Write};

/// What every guarded verb comes to.
pub(super) async fn of_every_guarded_verb(
    sessions: &SharedSessions,
    key: &SessionKey,
    guard: &Guard,
) -> Vec<(&'static str, Result<(), SessionError>)> {
    let write = |verb| {
        let guard = guard.clone();
        async move { sessions.write(key, Write { guard, verb }).await.map(drop) }
    };
    let file = || guard.clone();
    vec![
        ("append", write(Verb::Append(turn("x", "y"))).await),
        ("pop", write(Verb::Pop).await),
        ("clear", write(Verb::Clear).await),
        ("change", write(Verb::Change(Change::default())).await),
        ("attach", write(Verb::Attach { for_ms: 1_000 }).await),
        ("detach", write(Verb::Detach).await),
        ("touch", sessions.touch(key, file()).await.map(drop)),
        (
            "put_file",
            sessions.put_file(key, file(), "f", "late".into()).await,
        ),
        (
            "drop_file",
            sessions.drop_file(key, file(), "f").await.map(drop),
        ),
        ("delete", sessions.delete(key, file()).await),
    ]
}

/// A session in the place of one that `store.one` has seen last.
async fn successor(store: &Store, key: &SessionKey) -> Session {
    let sessions = &store.another;
    sessions.delete(key, Guard::default()).await.unwrap();
    let new = NewSession::of(key.owner()).with_id(key.id());
    let new = new.with(|new| new.name = Some("successor".into()));
    sessions.create(new).await.unwrap()
}

pub(super) async fn a_session_made_anew_is_not_what_was_seen_before(store: Store) {
    let key = made(&store, "s").await;
    let before = store.one.get(&key).await.unwrap();
    let after = successor(&store, &key).await;
    assert_ne!(before.incarnation, after.incarnation);
    assert!(after.incarnation < 1 << 53, "a number in every language");
    // Both have been written to as often.
    let touched = store.one.touch(&key, Guard::default()).await.unwrap();
    assert_eq!(touched, after);
    assert_eq!(store.another.get(&key).await.unwrap(), after);
    for _ in 0..3 {
        say(&store.one, &key, "before").await;
        successor(&store, &key).await;
        say(&store.another, &key, "a").await;
        say(&store.one, &key, "b").await;
        let read = store.another.last(&key, 9).await.unwrap();
        assert_eq!(texts(&read), ["a", "re a", "b", "re b"]);
        let head = store.another.get(&key).await.unwrap();
        assert_eq!(
            (head.messages, head.name.as_deref()),
            (4, Some("successor"))
        );
    }
}

pub(super) async fn who_means_a_deleted_session_does_nothing_to_its_successor(store: Store) {
    let key = made(&store, "s").await;
    let before = store.one.get(&key).await.unwrap();
    let guard = Guard::fenced(job("j"), 1).of(before.incarnation);
    let attach = Write {
        guard: guard.clone(),
        verb: Verb::Attach { for_ms: 60_000 },
    };
    store.one.write(&key, attach).await.unwrap();
    successor(&store, &key).await;
    say(&store.another, &key, "mine").await;
    let put = store
        .another
        .put_file(&key, Guard::default(), "f", "mine".into());
    put.await.unwrap();
    let after = store.another.get(&key).await.unwrap();
    for sessions in [&store.one, &store.another] {
        for (verb, done) in of_every_guarded_verb(sessions, &key, &guard).await {
            assert_eq!(code(done), "unknown_session", "{verb}");
        }
    }
    assert_eq!(store.another.get(&key).await.unwrap(), after);
    assert_eq!(store.another.last(&key, 9).await.unwrap().len(), 2);
    assert_eq!(&*store.one.file(&key, "f").await.unwrap(), b"mine");
    // Who means the successor writes to it.
    let guard = Guard::fenced(job("j"), 1).of(after.incarnation);
    for (verb, done) in of_every_guarded_verb(&store.one, &key, &guard).await {
        assert!(done.is_ok(), "{verb}: {done:?}");
    }
}

pub(super) async fn a_fork_and_an_import_are_sessions_of_their_own(store: Store) {
    let key = made(&store, "s").await;
    say(&store.one, &key, "a").await;
    let before = store.one.get(&key).await.unwrap().incarnation;
    let lines = store.one.export(&key).await.unwrap();
    let forked = store.one.fork(&key, None).await.unwrap();
    store.one.delete(&key, Guard::default()).await.unwrap();
    let imported = store.one.import("ann", None, &lines).await.unwrap();
    assert_eq!(imported.key, key);
    assert!(forked.incarnation != before && imported.incarnation != before);
    let late = store
        .another
        .append(&key, Guard::default().of(before), turn("x", "y"));
    assert_eq!(code(late.await), "unknown_session");
}
