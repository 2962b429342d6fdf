//! Sessions as wholes: made, found, copied, moved and removed.

use serde_json::json;

use super::incarnations::of_every_guarded_verb;
use super::{Store, code, job, key, made, say, texts};
use crate::provider::Message;
use crate::session::{
    Change, Entry, EntryKind, Guard, NewSession, NewTurn, Range, SessionError, SessionKey,
    SharedSessions,
};

pub(super) async fn what_was_made_is_found_by_the_other(store: Store) {
    let new = NewSession::of("ann").with(|new| {
        new.name = Some("Travel".into());
        new.tags = vec!["a".into(), "b".into()];
        new.settings = json!({"model": "m", "n": 9_007_199_254_740_993_u64})
            .as_object()
            .unwrap()
            .clone();
    });
    let made = store.one.create(new).await.unwrap();
    assert_eq!((made.version, made.messages, made.turns), (1, 0, 0));
    assert_eq!(made.created_at, super::START);
    assert_eq!(store.another.get(&made.key).await.unwrap(), made);
    let next = store.one.create(NewSession::of("ann")).await.unwrap();
    assert!(next.key.id() > made.key.id(), "ids sort by time");
}

pub(super) async fn an_id_that_is_taken_is_refused_and_the_session_is_as_it_was(store: Store) {
    let key = made(&store, "s").await;
    say(&store.one, &key, "hello").await;
    let again = store.another.create(NewSession::of("ann").with_id("s"));
    assert_eq!(code(again.await), "session_taken");
    assert_eq!(store.another.get(&key).await.unwrap().messages, 2);
}

pub(super) async fn a_foreign_session_is_an_unknown_one(store: Store) {
    let own = made(&store, "s").await;
    say(&store.one, &own, "mine").await;
    let put = |sessions: &SharedSessions, key: &SessionKey, body: &'static str| {
        let (sessions, key) = (sessions.clone(), key.clone());
        async move {
            let put = sessions.put_file(&key, Guard::default(), "f", body.into());
            put.await.unwrap();
        }
    };
    put(&store.one, &own, "mine").await;
    let before = store.one.get(&own).await.unwrap();
    let guards = [
        Guard::default(),
        Guard::fenced(job("j"), 1),
        Guard::at(before.version),
        Guard::default().of(before.incarnation),
    ];
    for sessions in [&store.one, &store.another] {
        for guard in &guards {
            let refused = of_every_verb(sessions, &key("bob", "s"), guard).await;
            let never = of_every_verb(sessions, &key("bob", "never"), guard).await;
            for ((verb, refused), (_, never)) in refused.into_iter().zip(never) {
                let (refused, never) = (refused.unwrap_err(), never.unwrap_err());
                let wanted = match verb {
                    "file" => "unknown_file",
                    _ => "unknown_session",
                };
                assert_eq!(refused.code(), wanted, "{verb}");
                assert_eq!(
                    refused.to_string().replace("`s`", "`never`"),
                    never.to_string(),
                    "{verb}: neither tells whether it is there"
                );
            }
        }
    }
    assert_eq!(store.another.get(&own).await.unwrap(), before);
    // The same id of another owner's is another session.
    let new = NewSession::of("bob").with_id("s");
    let other = store.another.create(new).await.unwrap().key;
    say(&store.another, &other, "other").await;
    put(&store.another, &other, "other").await;
    for sessions in [&store.one, &store.another] {
        for (key, text) in [(&own, "mine"), (&other, "other")] {
            let read = sessions.last(key, 9).await.unwrap();
            assert_eq!(texts(&read), [text.to_owned(), format!("re {text}")]);
            assert_eq!(sessions.file(key, "f").await.unwrap(), text);
        }
    }
    store
        .another
        .delete(&other, Guard::default())
        .await
        .unwrap();
    assert_eq!(store.one.get(&own).await.unwrap(), before);
    assert_eq!(store.one.files(&own).await.unwrap(), ["f"]);
}

/// What every verb of a session comes to.
async fn of_every_verb(
    sessions: &SharedSessions,
    key: &SessionKey,
    guard: &Guard,
) -> Vec<(&'static str, Result<(), SessionError>)> {
    let mut done = of_every_guarded_verb(sessions, key, guard).await;
    done.extend([
        ("get", sessions.get(key).await.map(drop)),
        ("last", sessions.last(key, 1).await.map(drop)),
        ("fork", sessions.fork(key, None).await.map(drop)),
        ("export", sessions.export(key).await.map(drop)),
        ("file", sessions.file(key, "f").await.map(drop)),
        ("files", sessions.files(key).await.map(drop)),
    ]);
    for range in [Range::Since(0), Range::Window(9)] {
        done.push(("read", sessions.read(key, range).await.map(drop)));
    }
    done
}

pub(super) async fn names_that_no_session_can_have_are_refused(store: Store) {
    let long = "x".repeat(201);
    for bad in ["", "line\nbreak", long.as_str()] {
        let new = || NewSession::of("ann");
        let by = [
            new().with_id(bad),
            new().with(|new| new.owner = bad.to_owned()),
            new().with(|new| new.tags = vec![bad.into()]),
        ];
        for new in by {
            assert_eq!(code(store.one.create(new).await), "invalid_session");
        }
    }
    // What means something to a backend is a name like others.
    for odd in ["{a}", "a}b", "%7B", "a:b", "a/b", "ключ 🔑", "*"] {
        let made = store.one.create(NewSession::of(odd).with_id(odd)).await;
        let key = made.unwrap().key;
        say(&store.another, &key, odd).await;
        assert_eq!(store.one.get(&key).await.unwrap().messages, 2, "{odd}");
        assert_eq!(store.one.count(Some(odd)).await.unwrap(), 1, "{odd}");
    }
}

pub(super) async fn a_deleted_session_is_gone_with_all_of_it(store: Store) {
    let key = made(&store, "s").await;
    say(&store.one, &key, "hello").await;
    store
        .one
        .put_file(&key, Guard::default(), "f", "body".into())
        .await
        .unwrap();
    store.another.delete(&key, Guard::default()).await.unwrap();
    assert_eq!(code(store.one.get(&key).await), "unknown_session");
    let late = super::turn("late", "too late");
    let late = store.one.append(&key, Guard::default(), late).await;
    assert_eq!(code(late), "unknown_session");
    assert_eq!(store.one.count(Some("ann")).await.unwrap(), 0);
    // One that is made anew has nothing of it.
    made(&store, "s").await;
    assert!(store.one.last(&key, 10).await.unwrap().is_empty());
    assert_eq!(code(store.one.file(&key, "f").await), "unknown_file");
}

pub(super) async fn a_fork_goes_its_own_way(store: Store) {
    let key = made(&store, "s").await;
    say(&store.one, &key, "one").await;
    say(&store.one, &key, "two").await;
    let name = Change {
        name: Some("Travel".into()),
        ..Change::default()
    };
    store
        .one
        .change(&key, Guard::default(), name)
        .await
        .unwrap();
    let forked = store
        .another
        .fork(&key, Some("t".to_owned()))
        .await
        .unwrap();
    assert_eq!((forked.turns, forked.messages), (2, 4));
    assert_eq!(forked.name.as_deref(), Some("Travel"));
    store.one.pop(&forked.key, Guard::default()).await.unwrap();
    assert_eq!(store.one.get(&key).await.unwrap().turns, 2);
    let left = store.one.last(&forked.key, 9).await.unwrap();
    assert_eq!(texts(&left), ["one", "re one"]);
    let taken = store.one.fork(&key, Some("t".to_owned())).await;
    assert_eq!(code(taken), "session_taken");
}

pub(super) async fn a_fork_keeps_the_credential_and_no_json_has_it(store: Store) {
    let key = made(&store, "s").await;
    let read = async |key: &SessionKey| {
        let read = store.one.read(key, Range::Last(9)).await.unwrap();
        let shown = serde_json::to_string(&read).unwrap();
        assert!(!shown.contains("credential"), "{shown}");
        read.credential
    };
    assert_eq!(read(&key).await, None);
    // A turn that says nothing of it leaves it as it is.
    for (credential, wanted) in [(Some("k1"), "k1"), (None, "k1"), (Some("k2"), "k2")] {
        let turn = NewTurn {
            credential: credential.map(Into::into),
            ..super::turn("one", "two")
        };
        let written = store.one.append(&key, Guard::default(), turn);
        written.await.unwrap();
        assert_eq!(read(&key).await.as_deref(), Some(wanted));
        let found = store.one.find_turn(&key, "none").await.unwrap();
        assert_eq!(found.credential.as_deref(), Some(wanted));
    }
    let lines = store.one.export(&key).await.unwrap();
    assert!(!lines.contains("k2"), "{lines}");
    let forked = store.another.fork(&key, None).await.unwrap();
    let imported = store.one.import("bob", None, &lines).await.unwrap();
    assert_eq!(read(&forked.key).await.as_deref(), Some("k2"));
    assert_eq!(read(&imported.key).await, None);
}

pub(super) async fn an_export_comes_back_as_it_was(store: Store) {
    let key = made(&store, "s").await;
    for text in ["one", "два \u{2028} \"quoted\"\n", "🔑"] {
        say(&store.one, &key, text).await;
    }
    let lines = store.one.export(&key).await.unwrap();
    assert_eq!(lines.lines().count(), 7, "a line each");
    let moved = store.another.import("bob", None, &lines).await.unwrap();
    assert_eq!((moved.key.owner(), moved.key.id()), ("bob", "s"));
    let whole = Range::Last(u64::MAX);
    let read = |key| store.one.read(key, whole);
    let (here, there) = (read(&key).await.unwrap(), read(&moved.key).await.unwrap());
    assert_eq!(texts(&here.entries), texts(&there.entries));
    assert_eq!(here.session.turns, there.session.turns);
    // Turns have kept their bounds.
    store.one.pop(&moved.key, Guard::default()).await.unwrap();
    assert_eq!(store.one.get(&moved.key).await.unwrap().messages, 4);
    let again = store.one.import("bob", None, &lines).await;
    assert_eq!(code(again), "session_taken");
}

pub(super) async fn an_import_that_is_none_is_refused_by_line(store: Store) {
    let key = made(&store, "s").await;
    say(&store.one, &key, "one").await;
    let lines = store.one.export(&key).await.unwrap();
    let cut: String = lines
        .lines()
        .take(2)
        .map(|line| format!("{line}\n"))
        .collect();
    let more = format!("{lines}{}\n", lines.lines().last().unwrap());
    let rows = [
        (String::new(), 1),
        ("{\"x\":1}".to_owned(), 1),
        (lines.replace("credential-rotation.session", "other"), 1),
        (cut, 2),
        (more, 4),
        (lines.replace("\"place\":1", "\"place\":7"), 3),
        (lines.replace("\"role\"", "\"rôle\""), 2),
        (lines.replacen("\"role\":\"user\"", "\"role\":\"\"", 1), 2),
        (
            lines.replace("\"role\":\"assistant\"", "\"role\":\"a\\nb\""),
            3,
        ),
    ];
    for (text, line) in rows {
        let refused = store.one.import("bob", None, &text).await.unwrap_err();
        assert_eq!(refused.to_json()["line"], line, "{refused}");
        assert_eq!(refused.code(), "invalid_import");
    }
    assert_eq!(store.one.count(Some("bob")).await.unwrap(), 0);
}

pub(super) async fn a_session_begins_with_no_message_that_could_not_be_added(store: Store) {
    let entry = |change: fn(&mut Entry)| {
        let mut entry = Entry {
            place: 0,
            turn: 0,
            version: 1,
            at: super::START,
            kind: EntryKind::Talk,
            message: Message::user("x"),
            tokens: None,
            key: None,
        };
        change(&mut entry);
        entry
    };
    let rows = [
        entry(|entry| entry.message.role.clear()),
        entry(|entry| entry.key = Some("".into())),
    ];
    for entry in rows {
        let new = NewSession::of("ann").with(|new| new.entries = vec![entry]);
        assert_eq!(code(store.one.create(new).await), "invalid_session");
    }
    assert_eq!(store.another.count(Some("ann")).await.unwrap(), 0);
}
