//! What is over a limit: refused, and nothing is changed by it.

use std::time::Duration;

use bytes::Bytes;
use serde_json::json;

use super::{Store, code, job, made, say, turn};
use crate::provider::Message;
use crate::session::{
    Change, EntryKind, FILE_BYTES, Guard, MESSAGE_BYTES, MESSAGE_LIMIT, NewMessage, NewSession,
    NewTurn, SESSION_BYTES, SETTINGS_LIMIT, TRAINING_LIMIT, Verb, Write,
};

/// Jobs that may work on a session at once.
const JOBS: usize = 64;

fn size(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap()
}

pub(super) async fn what_is_over_a_limit_is_refused_and_changes_nothing(store: Store) {
    let key = made(&store, "s").await;
    let before = say(&store.one, &key, "a").await.session;
    let huge = "x".repeat(size(MESSAGE_BYTES));
    let lesson = NewMessage {
        kind: EntryKind::Training,
        ..NewMessage::from(Message::user("x"))
    };
    let lessons = NewTurn {
        messages: vec![lesson; TRAINING_LIMIT + 1],
        ..NewTurn::default()
    };
    let large = Message::user("x".repeat(size(MESSAGE_BYTES) - 1_000));
    let full = vec![large; size(SESSION_BYTES / MESSAGE_BYTES) + 1];
    let many = vec![Message::user("x"); size(MESSAGE_LIMIT)];
    let rows = [
        (turn(&huge, ""), "session_too_large"),
        (lessons, "session_too_large"),
        (NewTurn::of(full), "session_too_large"),
        (NewTurn::of(many), "session_too_large"),
        (NewTurn::default(), "invalid_session"),
        (NewTurn::of(vec![Message::new("", "x")]), "invalid_session"),
        (turn("x", "y").keyed(""), "invalid_session"),
    ];
    for (turn, wanted) in rows {
        let refused = store.one.append(&key, Guard::default(), turn).await;
        assert_eq!(code(refused), wanted);
    }
    assert_eq!(store.another.get(&key).await.unwrap(), before);
    assert_eq!(store.another.last(&key, 9).await.unwrap().len(), 2);
}

pub(super) async fn a_description_over_a_limit_is_refused(store: Store) {
    let key = made(&store, "s").await;
    let before = store.one.get(&key).await.unwrap();
    let settings = |bytes: usize| {
        let around = json!({ "k": "" }).to_string().len();
        let settings = json!({ "k": "x".repeat(bytes - around) });
        settings.as_object().unwrap().clone()
    };
    let rows = [
        (
            Change {
                tags: Some(vec!["t".into(); 33]),
                ..Change::default()
            },
            "invalid_session",
        ),
        (
            Change {
                settings: Some(settings(SETTINGS_LIMIT + 1)),
                ..Change::default()
            },
            "session_too_large",
        ),
    ];
    for (change, wanted) in rows {
        let new = NewSession::of("ann").with(|new| {
            new.tags = change.tags.clone().unwrap_or_default();
            new.settings = change.settings.clone().unwrap_or_default();
        });
        assert_eq!(code(store.one.create(new).await), wanted);
        let refused = store.one.change(&key, Guard::default(), change).await;
        assert_eq!(code(refused), wanted);
    }
    assert_eq!(store.another.get(&key).await.unwrap(), before);
    assert_eq!(store.another.count(Some("ann")).await.unwrap(), 1);
    let most = Change {
        settings: Some(settings(SETTINGS_LIMIT)),
        ..Change::default()
    };
    let changed = store.one.change(&key, Guard::default(), most.clone());
    assert_eq!(Some(changed.await.unwrap().settings), most.settings);
}

pub(super) async fn a_file_over_the_limit_is_refused(store: Store) {
    let key = made(&store, "s").await;
    let put = |bytes: usize| {
        let body = Bytes::from(vec![b'x'; bytes]);
        store.one.put_file(&key, Guard::default(), "f", body)
    };
    put(1_000).await.unwrap();
    assert_eq!(code(put(size(FILE_BYTES) + 1).await), "session_too_large");
    assert_eq!(store.another.file(&key, "f").await.unwrap().len(), 1_000);
}

pub(super) async fn more_jobs_than_a_session_has_room_for_are_refused(store: Store) {
    let key = made(&store, "s").await;
    let attach = |number: usize| {
        let write = Write {
            guard: Guard::fenced(job(&format!("j{number}")), 1),
            verb: Verb::Attach { for_ms: 60_000 },
        };
        store.one.write(&key, write)
    };
    for number in 0..JOBS {
        attach(number).await.unwrap();
    }
    assert_eq!(code(attach(JOBS).await), "session_too_large");
    // One that is attached may say so again.
    attach(0).await.unwrap();
    assert_eq!(store.another.get(&key).await.unwrap().jobs.len(), JOBS);
    store.clock.advance(Duration::from_secs(61));
    let attached = attach(JOBS).await.unwrap().session;
    assert_eq!(attached.jobs.len(), 1);
}
