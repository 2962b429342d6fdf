//! Messages: added, read and removed.

use serde_json::json;

use super::{START, Store, made, say, texts};
use crate::provider::Message;
use crate::session::{Change, EntryKind, Guard, NewMessage, NewTurn, Range};

pub(super) async fn messages_are_read_as_they_were_written(store: Store) {
    let key = made(&store, "s").await;
    let parts = json!([{"type": "text", "text": "a\u{0000}b"}, {"n": 9_007_199_254_740_993_u64}]);
    let message: Message = serde_json::from_value(json!({
        "role": "assistant", "content": parts, "tool_calls": [{"id": "t1"}],
    }))
    .unwrap();
    let new = NewTurn::of(vec![Message::user("Grüße 🔑 \"\\"), message.clone()]);
    let written = store.one.append(&key, Guard::default(), new).await.unwrap();
    assert_eq!((written.session.version, written.session.turns), (2, 1));
    let entries = store.another.last(&key, 10).await.unwrap();
    assert_eq!(entries[0].message, Message::user("Grüße 🔑 \"\\"));
    assert_eq!(entries[1].message, message);
    let places: Vec<_> = entries
        .iter()
        .map(|e| (e.place, e.turn, e.version))
        .collect();
    assert_eq!(places, [(0, 0, 2), (1, 0, 2)]);
    assert_eq!(entries[0].at, START);
}

pub(super) async fn every_range_gives_its_messages(store: Store) {
    let key = made(&store, "s").await;
    for text in ["a", "b", "c"] {
        say(&store.one, &key, text).await;
    }
    let from = |place, limit| Range::From { place, limit };
    let rows: [(Range, &[&str]); 8] = [
        (Range::Last(0), &[]),
        (Range::Last(1), &["re c"]),
        (Range::Last(3), &["re b", "c", "re c"]),
        (
            Range::Last(u64::MAX),
            &["a", "re a", "b", "re b", "c", "re c"],
        ),
        (from(0, 2), &["a", "re a"]),
        (from(5, 9), &["re c"]),
        (from(6, 9), &[]),
        (from(u64::MAX, u64::MAX), &[]),
    ];
    for (range, wanted) in rows {
        let read = store.another.read(&key, range).await.unwrap();
        assert_eq!(texts(&read.entries), wanted, "{range:?}");
        assert_eq!(read.session.messages, 6);
    }
}

pub(super) async fn since_a_version_comes_what_is_new_and_all_behind_a_removal(store: Store) {
    let key = made(&store, "s").await;
    say(&store.one, &key, "a").await;
    let seen = say(&store.one, &key, "b").await.session.version;
    let since = |version| store.another.read(&key, Range::Since(version));
    let read = since(seen).await.unwrap();
    assert!(read.entries.is_empty() && !read.reset);
    say(&store.one, &key, "c").await;
    let read = since(seen).await.unwrap();
    assert_eq!(texts(&read.entries), ["c", "re c"]);
    assert_eq!(texts(&since(0).await.unwrap().entries).len(), 6);
    let popped = store.one.pop(&key, Guard::default()).await.unwrap();
    let read = since(seen).await.unwrap();
    assert!(read.reset, "what was read before is not all there any more");
    assert_eq!(texts(&read.entries), ["a", "re a", "b", "re b"]);
    let read = since(popped.version).await.unwrap();
    assert!(read.entries.is_empty() && !read.reset);
}

pub(super) async fn a_window_has_what_trains_and_the_last(store: Store) {
    let key = made(&store, "s").await;
    let kinds = |kind| {
        let message = |text: &str| NewMessage {
            kind,
            ..NewMessage::from(Message::user(text))
        };
        NewTurn {
            messages: vec![message(&format!("{kind:?}"))],
            ..NewTurn::default()
        }
    };
    let append = |turn| store.one.append(&key, Guard::default(), turn);
    append(kinds(EntryKind::Training)).await.unwrap();
    say(&store.one, &key, "a").await;
    append(kinds(EntryKind::Summary)).await.unwrap();
    say(&store.one, &key, "b").await;
    let written = say(&store.one, &key, "c").await.session;
    assert_eq!((written.training, written.summary), (vec![0], Some(3)));
    let rows: [(u64, &[&str]); 4] = [
        (2, &["Training", "Summary", "c", "re c"]),
        (0, &["Training", "Summary"]),
        (5, &["Training", "Summary", "b", "re b", "c", "re c"]),
        (
            99,
            &["Training", "a", "re a", "Summary", "b", "re b", "c", "re c"],
        ),
    ];
    for (last, wanted) in rows {
        let read = store.another.read(&key, Range::Window(last)).await.unwrap();
        assert_eq!(texts(&read.entries), wanted, "{last}");
    }
}

pub(super) async fn the_last_turn_goes_as_one(store: Store) {
    let key = made(&store, "s").await;
    say(&store.one, &key, "a").await;
    let three = NewTurn::of(["x", "y", "z"].map(Message::user).to_vec());
    store
        .one
        .append(&key, Guard::default(), three)
        .await
        .unwrap();
    let pop = || store.another.pop(&key, Guard::default());
    let popped = pop().await.unwrap();
    assert_eq!((popped.messages, popped.turns, popped.version), (2, 1, 4));
    say(&store.one, &key, "b").await;
    let entries = store.another.last(&key, 9).await.unwrap();
    assert_eq!(texts(&entries), ["a", "re a", "b", "re b"]);
    assert_eq!(entries[2].place, 2, "places have no gaps");
    for left in [2, 0, 0] {
        assert_eq!(pop().await.unwrap().messages, left);
    }
}

pub(super) async fn behind_a_removal_the_summary_before_it_holds_again(store: Store) {
    let key = made(&store, "s").await;
    // Each turn by the kinds of its messages, and the last summary behind it.
    let turns = [
        ("s", Some(0)),
        ("t", Some(0)),
        ("ss", Some(3)),
        ("st", Some(4)),
        ("t", Some(4)),
    ];
    for (kinds, summary) in turns {
        let new = |kind| NewMessage {
            kind: match kind {
                's' => EntryKind::Summary,
                _ => EntryKind::Talk,
            },
            ..NewMessage::from(Message::user("x"))
        };
        let turn = NewTurn {
            messages: kinds.chars().map(new).collect(),
            ..NewTurn::default()
        };
        let written = store.one.append(&key, Guard::default(), turn).await;
        assert_eq!(written.unwrap().session.summary, summary);
    }
    // Copies know what was before as well.
    let lines = store.one.export(&key).await.unwrap();
    let forked = store.one.fork(&key, None).await.unwrap();
    let imported = store.another.import("bob", None, &lines).await.unwrap();
    for key in [key, forked.key, imported.key] {
        let left = turns[..4].iter().rev().map(|(_, summary)| *summary);
        for summary in left.chain([None]) {
            let popped = store.another.pop(&key, Guard::default()).await.unwrap();
            assert_eq!(popped.summary, summary, "{} messages", popped.messages);
            let seen = store.one.get(&key).await.unwrap();
            assert_eq!((seen.summary, seen.bytes == 0), (summary, seen.turns == 0));
        }
    }
}

pub(super) async fn a_cleared_session_begins_anew(store: Store) {
    let key = made(&store, "s").await;
    say(&store.one, &key, "a").await;
    let cleared = store.another.clear(&key, Guard::default()).await.unwrap();
    let left = (cleared.messages, cleared.bytes, cleared.turns);
    assert_eq!((left, cleared.version), ((0, 0, 0), 3));
    say(&store.one, &key, "b").await;
    let entries = store.one.last(&key, 9).await.unwrap();
    assert_eq!(texts(&entries), ["b", "re b"]);
    assert_eq!(entries[0].place, 0);
}

pub(super) async fn names_tags_and_settings_change(store: Store) {
    let key = made(&store, "s").await;
    let change = |change| store.one.change(&key, Guard::default(), change);
    let settings = json!({"system": "Be brief."}).as_object().unwrap().clone();
    let all = Change {
        name: Some("Travel".into()),
        tags: Some(vec!["t".into()]),
        settings: Some(settings.clone()),
    };
    assert_eq!(change(all).await.unwrap().version, 2);
    change(Change::default()).await.unwrap();
    let seen = store.another.get(&key).await.unwrap();
    assert_eq!(seen.name.as_deref(), Some("Travel"));
    assert_eq!((seen.tags.len(), seen.settings), (1, settings));
    let unnamed = Change {
        name: Some("".into()),
        ..Change::default()
    };
    assert_eq!(change(unnamed).await.unwrap().name, None);
}

pub(super) async fn the_bytes_add_up(store: Store) {
    let key = made(&store, "s").await;
    let first = say(&store.one, &key, "a").await.session.bytes;
    assert!(first > 0);
    let second = say(&store.one, &key, &"ü".repeat(500)).await.session.bytes;
    assert!(second > first + 2_000, "{first} {second}");
    let popped = store.another.pop(&key, Guard::default()).await.unwrap();
    assert_eq!(popped.bytes, first);
}
