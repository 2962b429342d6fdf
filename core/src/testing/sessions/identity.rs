//! Sessions as wholes: made, found, copied, moved and removed.

use serde_json::json;

use super::{Store, code, key, made, say, texts};
use crate::session::{Change, Guard, NewSession, Range};

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
    made(&store, "s").await;
    let (foreign, unknown) = (key("bob", "s"), key("bob", "never"));
    let one = store.one.get(&foreign).await.unwrap_err();
    let other = store.one.get(&unknown).await.unwrap_err();
    assert_eq!(
        one.to_string().replace("`s`", "`never`"),
        other.to_string(),
        "neither tells whether it is there"
    );
    let sessions = &store.another;
    assert_eq!(code(sessions.last(&foreign, 1).await), "unknown_session");
    assert_eq!(
        code(sessions.touch(&foreign, Guard::default()).await),
        "unknown_session"
    );
    assert_eq!(
        code(sessions.delete(&foreign, Guard::default()).await),
        "unknown_session"
    );
    assert_eq!(code(sessions.export(&foreign).await), "unknown_session");
    assert_eq!(code(sessions.fork(&foreign, None).await), "unknown_session");
    assert_eq!(code(sessions.file(&foreign, "f").await), "unknown_file");
    // The same id of another owner's is another session.
    let own = sessions.create(NewSession::of("bob").with_id("s")).await;
    say(sessions, &own.unwrap().key, "mine").await;
    assert_eq!(store.one.get(&key("ann", "s")).await.unwrap().messages, 0);
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
    ];
    for (text, line) in rows {
        let refused = store.one.import("bob", None, &text).await.unwrap_err();
        assert_eq!(refused.to_json()["line"], line, "{refused}");
        assert_eq!(refused.code(), "invalid_import");
    }
    assert_eq!(store.one.count(Some("bob")).await.unwrap(), 0);
}
