//! Conditions of writes: versions, attempts of jobs, names of turns.

use std::time::Duration;

use futures_util::future::join_all;

use super::incarnations::of_every_guarded_verb;
use super::{Store, code, job, made, say, texts, turn};
use crate::session::{Guard, SessionKey, SharedSessions, Verb, Write};

pub(super) async fn a_write_that_expects_another_version_changes_nothing(store: Store) {
    let key = made(&store, "s").await;
    say(&store.one, &key, "a").await;
    let before = store.another.get(&key).await.unwrap();
    for guard in [Guard::at(1), Guard::at(3)] {
        let refused = store.one.append(&key, guard.clone(), turn("x", "y")).await;
        let refused = refused.unwrap_err();
        assert_eq!(refused.code(), "stale_version");
        assert_eq!(refused.to_json()["actual"], 2);
        assert_eq!(
            code(store.one.clear(&key, guard.clone()).await),
            "stale_version"
        );
        assert_eq!(code(store.one.pop(&key, guard).await), "stale_version");
    }
    assert_eq!(store.another.get(&key).await.unwrap(), before);
    // What the other wrote meanwhile is known at the next try.
    say(&store.another, &key, "b").await;
    let late = store.one.append(&key, Guard::at(2), turn("x", "y")).await;
    assert_eq!(code(late), "stale_version");
    let now = store.one.append(&key, Guard::at(3), turn("c", "d")).await;
    assert_eq!(now.unwrap().session.version, 4);
}

pub(super) async fn an_earlier_attempt_is_refused_while_and_behind_the_later_one(store: Store) {
    let key = made(&store, "s").await;
    let write = |epoch, verb| {
        let guard = Guard::fenced(job("j"), epoch);
        store.one.write(&key, Write { guard, verb })
    };
    let attach = || Verb::Attach { for_ms: 60_000 };
    let append = || Verb::Append(turn("x", "y"));
    write(1, attach()).await.unwrap();
    write(2, attach()).await.unwrap();
    assert_eq!(code(write(1, append()).await), "stale_attempt");
    assert_eq!(code(write(1, Verb::Clear).await), "stale_attempt");
    assert_eq!(code(write(1, Verb::Detach).await), "stale_attempt");
    let written = write(2, append()).await.unwrap();
    assert_eq!(written.session.jobs.len(), 1);
    let detached = write(2, Verb::Detach).await.unwrap().session;
    assert!(detached.jobs.is_empty());
    assert_eq!(detached.version, written.session.version);
    assert_eq!(code(write(1, append()).await), "stale_attempt");
    assert_eq!(code(write(1, attach()).await), "stale_attempt");
    // Another job is another matter, and so is who is no job.
    let guard = Guard::fenced(job("k"), 1);
    store
        .another
        .append(&key, guard, turn("k", "l"))
        .await
        .unwrap();
    say(&store.another, &key, "z").await;
    assert_eq!(store.another.get(&key).await.unwrap().turns, 3);
    let nobody = Write {
        guard: Guard::default(),
        verb: attach(),
    };
    assert_eq!(code(store.one.write(&key, nobody).await), "invalid_session");
}

pub(super) async fn an_earlier_attempt_is_refused_by_every_verb(store: Store) {
    let key = made(&store, "s").await;
    say(&store.one, &key, "a").await;
    // A file is a write like others: who put one later is the later attempt.
    let put = |epoch| {
        let guard = Guard::fenced(job("j"), epoch);
        store.another.put_file(&key, guard, "f", "body".into())
    };
    put(2).await.unwrap();
    let before = store.one.get(&key).await.unwrap();
    let earlier = Guard::fenced(job("j"), 1);
    for (verb, done) in of_every_guarded_verb(&store.one, &key, &earlier).await {
        assert_eq!(code(done), "stale_attempt", "{verb}");
    }
    assert_eq!(store.one.get(&key).await.unwrap(), before);
    assert_eq!(store.one.files(&key).await.unwrap(), ["f"]);
    let stale = Guard::at(before.version + 1);
    for (verb, done) in of_every_guarded_verb(&store.one, &key, &stale).await {
        assert_eq!(code(done), "stale_version", "{verb}");
    }
    let dropped = store.one.drop_file(&key, Guard::fenced(job("j"), 3), "f");
    assert!(dropped.await.unwrap());
    assert_eq!(code(put(2).await), "stale_attempt");
    let deleted = store.one.delete(&key, Guard::fenced(job("j"), 3));
    deleted.await.unwrap();
}

pub(super) async fn an_attempt_whose_time_is_up_is_not_forgotten(store: Store) {
    let key = made(&store, "s").await;
    let attach = Write {
        guard: Guard::fenced(job("j"), 2),
        verb: Verb::Attach { for_ms: 1_000 },
    };
    store.one.write(&key, attach).await.unwrap();
    store.clock.advance(Duration::from_secs(2));
    let append = |epoch| {
        let guard = Guard::fenced(job("j"), epoch);
        store.another.append(&key, guard, turn("x", "y"))
    };
    assert_eq!(code(append(1).await), "stale_attempt");
    let touched = store.one.touch(&key, Guard::default()).await.unwrap();
    assert!(touched.jobs.is_empty());
    assert_eq!(code(append(1).await), "stale_attempt");
    append(2).await.unwrap();
}

pub(super) async fn a_turn_of_the_same_name_is_added_once(store: Store) {
    let key = made(&store, "s").await;
    let append = |sessions: &SharedSessions, epoch, text: &str| {
        let guard = Guard::fenced(job("j"), epoch);
        let (sessions, key) = (sessions.clone(), key.clone());
        let turn = turn(text, text).keyed("j");
        async move { sessions.append(&key, guard, turn).await.unwrap() }
    };
    assert!(!append(&store.one, 1, "first").await.repeated);
    let again = append(&store.another, 2, "second").await;
    assert!(again.repeated && again.session.turns == 1);
    assert!(append(&store.one, 2, "third").await.repeated);
    let entries = store.one.last(&key, 9).await.unwrap();
    assert_eq!(texts(&entries), ["first", "first"]);
    // A turn that was taken away may be made again.
    store.one.pop(&key, Guard::default()).await.unwrap();
    assert!(!append(&store.another, 3, "fourth").await.repeated);
}

pub(super) async fn a_turn_that_is_there_keeps_its_name(store: Store) {
    let key = made(&store, "s").await;
    let named = |sessions: &SharedSessions, key: &SessionKey, name: &str| {
        let (sessions, key) = (sessions.clone(), key.clone());
        let turn = turn(name, name).keyed(name);
        async move {
            let added = sessions.append(&key, Guard::default(), turn).await;
            added.unwrap().repeated
        }
    };
    for name in ["a", "b"] {
        assert!(!named(&store.one, &key, name).await);
    }
    store.another.pop(&key, Guard::default()).await.unwrap();
    assert!(named(&store.one, &key, "a").await, "a is still there");
    assert!(!named(&store.one, &key, "b").await, "b was removed");
    // Copies know the names of what they begin with.
    let lines = store.one.export(&key).await.unwrap();
    let forked = store.one.fork(&key, None).await.unwrap();
    let imported = store.another.import("bob", None, &lines).await.unwrap();
    for copy in [forked, imported] {
        for name in ["a", "b"] {
            assert!(named(&store.another, &copy.key, name).await, "{name}");
        }
        assert!(!named(&store.another, &copy.key, "c").await);
        assert_eq!(store.one.get(&copy.key).await.unwrap().turns, 3);
    }
    store.one.clear(&key, Guard::default()).await.unwrap();
    assert!(!named(&store.another, &key, "a").await);
}

pub(super) async fn a_turn_is_found_by_its_name_wherever_it_is(store: Store) {
    let key = made(&store, "s").await;
    let append = |name: &str| {
        let turn = turn(name, &format!("re {name}")).keyed(name);
        store.one.append(&key, Guard::default(), turn)
    };
    let find = |name: &'static str| {
        let found = store.another.find_turn(&key, name);
        async move { texts(&found.await.unwrap().entries) }
    };
    say(&store.one, &key, "before").await;
    append("j").await.unwrap();
    for _ in 0..60 {
        say(&store.one, &key, "behind").await;
    }
    append("k").await.unwrap();
    let found = store.another.find_turn(&key, "j").await.unwrap();
    assert_eq!(texts(&found.entries), ["j", "re j"]);
    let last = (found.entries[0].place, found.entries[1].key.as_deref());
    assert_eq!((last, found.session.turns), ((2, Some("j")), 63));
    assert_eq!(find("k").await, ["k", "re k"]);
    assert!(find("l").await.is_empty());
    // In copies too.
    let forked = store.one.fork(&key, None).await.unwrap().key;
    let found = store.another.find_turn(&forked, "j").await.unwrap();
    assert_eq!(texts(&found.entries), ["j", "re j"]);
    store.one.pop(&key, Guard::default()).await.unwrap();
    assert!(find("k").await.is_empty());
    for n in 0..31 {
        append(&n.to_string()).await.unwrap();
    }
    assert_eq!(find("j").await, ["j", "re j"]);
    append("one more").await.unwrap();
    assert!(find("j").await.is_empty(), "32 names are known");
    let foreign = SessionKey::new("bob", key.id()).unwrap();
    let found = store.another.find_turn(&foreign, "k").await;
    assert_eq!(code(found), "unknown_session");
}

pub(super) async fn eight_who_write_at_once_lose_and_double_nothing(store: Store) {
    const TURNS: usize = 20;
    let key = made(&store, "s").await;
    let write = |writer: usize| {
        let sessions = [&store.one, &store.another][writer % 2].clone();
        let key = key.clone();
        async move {
            for number in 0..TURNS {
                say(&sessions, &key, &format!("{writer}-{number}")).await;
            }
        }
    };
    join_all((0..8).map(write)).await;
    let entries = store.one.last(&key, u64::MAX).await.unwrap();
    assert_eq!(entries.len(), 8 * TURNS * 2);
    let mut next = [0; 8];
    for (place, pair) in entries.chunks(2).enumerate() {
        let text = pair[0].message.content.text();
        assert_eq!(pair[1].message.content.text(), format!("re {text}"));
        assert_eq!(pair[0].place, place as u64 * 2);
        let (writer, number) = text.split_once('-').unwrap();
        let writer: usize = writer.parse().unwrap();
        assert_eq!(number, next[writer].to_string(), "of {writer}");
        next[writer] += 1;
    }
    assert_eq!(next, [TURNS; 8]);
}

pub(super) async fn of_many_who_expect_one_version_one_writes(store: Store) {
    let key = made(&store, "s").await;
    for version in 1..5 {
        let tries = (0..6).map(|n| {
            let sessions = [&store.one, &store.another][n % 2].clone();
            let (key, turn) = (key.clone(), turn(&n.to_string(), ""));
            async move { sessions.append(&key, Guard::at(version), turn).await }
        });
        let written = join_all(tries).await;
        let won = written.iter().filter(|result| result.is_ok()).count();
        assert_eq!(won, 1, "{written:?}");
    }
    assert_eq!(store.another.get(&key).await.unwrap().turns, 4);
}
