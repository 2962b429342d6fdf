//! That what is held is counted, and bounded.

use serde_json::json;

use super::*;
use crate::provider::Message;
use crate::session::{Change, NewTurn, Verb};
use crate::testing::ManualClock;

fn bounded(limit: u64) -> MemorySessions {
    MemorySessions::with(Arc::new(ManualClock::new(1_000)), limit)
}

/// The bytes that are held, by looking at all of it.
fn counted(sessions: &MemorySessions) -> u64 {
    let held = sessions.shared.held.lock();
    let kept = held.owners.values().flat_map(BTreeMap::values);
    kept.map(|kept| {
        let messages: usize = kept.entries.iter().map(|body| body.len()).sum();
        let files = kept.files.iter().map(|(name, body)| file(name, body));
        messages as u64 + files.sum::<u64>() + kept.head.weight()
    })
    .sum()
}

fn large(bytes: usize) -> serde_json::Map<String, serde_json::Value> {
    let settings = json!({ "system": "x".repeat(bytes) });
    settings.as_object().unwrap().clone()
}

#[tokio::test]
async fn settings_of_idle_sessions_count() {
    let sessions = bounded(1 << 20);
    let mut made = Vec::new();
    let refused = loop {
        let new = NewSession::of("ann").with(|new| new.settings = large(60_000));
        match sessions.create(new).await {
            Ok(session) => made.push(session.key),
            Err(refused) => break refused,
        }
        assert!(made.len() <= 17, "60,000 bytes each");
    };
    assert_eq!(refused.code(), "session_too_large");
    let small = NewSession::of("ann").with_id("small");
    let small = sessions.create(small).await.unwrap().key;
    let change = Change {
        settings: Some(large(60_000)),
        ..Change::default()
    };
    let refused = sessions.change(&small, Guard::default(), change.clone());
    assert_eq!(refused.await.unwrap_err().code(), "session_too_large");
    sessions.delete(&made[0], Guard::default()).await.unwrap();
    let changed = sessions.change(&small, Guard::default(), change).await;
    assert_eq!(changed.unwrap().version, 2);
}

#[tokio::test]
async fn a_full_memory_can_be_emptied() {
    let sessions = bounded(20_000);
    let key = sessions.create(NewSession::of("ann")).await.unwrap().key;
    let turn = || NewTurn::of(vec![Message::user("x".repeat(1_000))]);
    let append = || sessions.append(&key, Guard::default(), turn());
    while append().await.is_ok() {}
    assert_eq!(append().await.unwrap_err().code(), "session_too_large");
    sessions.touch(&key, Guard::default()).await.unwrap();
    sessions.pop(&key, Guard::default()).await.unwrap();
    append().await.unwrap();
    sessions.clear(&key, Guard::default()).await.unwrap();
    sessions.delete(&key, Guard::default()).await.unwrap();
    assert_eq!(sessions.shared.held.lock().bytes, 0);
}

#[tokio::test]
async fn what_is_counted_is_what_is_held() {
    let mut chance = fastrand::Rng::with_seed(7);
    let sessions = bounded(60_000);
    for round in 0..3_000_u64 {
        let key = SessionKey::new(
            ["ann", "bob"][chance.usize(..2)],
            &chance.u8(..4).to_string(),
        );
        let key = key.unwrap();
        let name = chance.u8(..3).to_string();
        let text = "x".repeat(chance.usize(..2_000));
        let job = crate::job::JobId::from_text(&name).unwrap();
        let guard = match chance.bool() {
            true => Guard::fenced(job, round / 500),
            false => Guard::default(),
        };
        let write = |verb| {
            let guard = guard.clone();
            sessions.write(&key, Write { guard, verb })
        };
        // Refusals are part of it.
        match chance.u8(..10) {
            0 => {
                let new = NewSession::of(key.owner()).with_id(key.id());
                let new = new.with(|new| new.settings = large(text.len()));
                drop(sessions.create(new).await);
            }
            1 => drop(sessions.delete(&key, guard.clone()).await),
            2 => drop(
                sessions
                    .put_file(&key, guard.clone(), &name, text.into())
                    .await,
            ),
            3 => drop(sessions.drop_file(&key, guard.clone(), &name).await),
            4 => drop(write(Verb::Pop).await),
            5 => drop(write(Verb::Attach { for_ms: round }).await),
            6 => drop(write(Verb::Detach).await),
            7 => {
                let change = Change {
                    settings: Some(large(text.len())),
                    tags: Some(vec!["t".into(); chance.usize(..9)]),
                    ..Change::default()
                };
                drop(write(Verb::Change(change)).await);
            }
            _ => {
                let turn = NewTurn::of(vec![Message::user(text)]).keyed(&name);
                drop(write(Verb::Append(turn)).await);
            }
        }
        let bytes = sessions.shared.held.lock().bytes;
        assert_eq!(bytes, counted(&sessions), "round {round}");
        assert!(bytes <= 60_000);
    }
}
