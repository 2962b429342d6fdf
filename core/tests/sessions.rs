//! The conformance suite of sessions over every backend.
#![allow(clippy::unwrap_used, clippy::panic)]

mod servers;
mod twin;

use std::sync::Arc;

use credential_rotation::connect;
use credential_rotation::provider::Message;
use credential_rotation::session::memory::{BYTES, MemorySessions};
use credential_rotation::session::redis::RedisSessions;
use credential_rotation::session::sqlite::SqliteSessions;
use credential_rotation::session::{
    Entry, EntryKind, Guard, NewSession, NewTurn, Range, Session, SessionKey, SessionManager,
    SharedSessions,
};
use credential_rotation::testing::ManualClock;
use credential_rotation::testing::sessions::{CHECKS, Check, START, Store};
use twin::Twin;

/// The checks, or with `CHECK=part` those whose name has it.
fn checks() -> impl Iterator<Item = &'static (&'static str, Check)> {
    let part = std::env::var("CHECK").unwrap_or_default();
    CHECKS.iter().filter(move |(name, _)| name.contains(&part))
}

#[tokio::test]
async fn memory_does_all_that_a_manager_must() {
    for (name, check) in checks() {
        println!("memory: {name}");
        let clock = Arc::new(ManualClock::new(START));
        let memory = Arc::new(MemorySessions::with(clock.clone(), BYTES));
        check(Store {
            one: memory.clone(),
            another: memory,
            clock,
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_does_all_that_a_manager_must() {
    for (name, check) in checks() {
        println!("sqlite: {name}");
        let clock = Arc::new(ManualClock::new(START));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sessions.db");
        let open = || Arc::new(SqliteSessions::open_with(&path, clock.clone()).unwrap());
        check(Store {
            one: open(),
            another: open(),
            clock: clock.clone(),
        })
        .await;
    }
}

/// The other manager of the tests below.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the other process of the tests below"]
async fn other_process() {
    twin::serve(|url, clock| async move {
        let sessions: SharedSessions = match url.strip_prefix("sqlite:") {
            Some(path) => Arc::new(SqliteSessions::open_with(path, clock).unwrap()),
            None => Arc::new(RedisSessions::connect_with(&url, clock).await.unwrap()),
        };
        sessions
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_do_it_in_one_file() {
    for (name, check) in checks() {
        println!("sqlite, two processes: {name}");
        let clock = Arc::new(ManualClock::new(START));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sessions.db");
        let url = format!("sqlite:{}", path.display());
        check(Store {
            one: Arc::new(SqliteSessions::open_with(&path, clock.clone()).unwrap()),
            another: Arc::new(Twin::start("other_process", &url, clock.clone())),
            clock,
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_do_it_in_one_redis() {
    if !servers::redis_is_there() {
        return;
    }
    let redis = servers::Redis::start(&[]);
    for (name, check) in checks() {
        println!("redis, two processes: {name}");
        redis.cli(&["FLUSHALL"]);
        let clock = Arc::new(ManualClock::new(START));
        let one = RedisSessions::connect_with(&redis.url(), clock.clone()).await;
        check(Store {
            one: Arc::new(one.unwrap()),
            another: Arc::new(Twin::start("other_process", &redis.url(), clock.clone())),
            clock,
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_does_all_that_a_manager_must() {
    if !servers::redis_is_there() {
        return;
    }
    let redis = servers::Redis::start(&[]);
    over("redis", &redis.url(), || drop(redis.cli(&["FLUSHALL"]))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_does_all_that_a_manager_must() {
    if !servers::redis_is_there() {
        return;
    }
    let cluster = servers::fleet::Cluster::start();
    over("cluster", &cluster.url(), || cluster.clear()).await;
}

/// A session that has been through much, as it can be told anywhere.
async fn told(sessions: &dyn SessionManager, key: &SessionKey) -> (Session, Vec<Entry>) {
    let read = sessions.read(key, Range::Last(u64::MAX)).await.unwrap();
    let mut entries = read.entries;
    // Versions count the writes of each by itself.
    entries.iter_mut().for_each(|entry| entry.version = 1);
    let session = Session {
        incarnation: 0,
        version: 1,
        bytes: 0,
        created_at: 0,
        active_at: 0,
        ..read.session
    };
    (session, entries)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_moves_from_backend_to_backend_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let file = SqliteSessions::open(folder.path().join("sessions.db")).unwrap();
    let redis = servers::redis_is_there().then(|| servers::Redis::start(&[]));
    let mut places: Vec<Box<dyn SessionManager>> = vec![Box::new(file)];
    if let Some(redis) = &redis {
        let there = RedisSessions::connect(&redis.url()).await.unwrap();
        places.push(Box::new(there));
    }
    places.push(Box::new(MemorySessions::new()));
    let first = MemorySessions::new();
    let new = NewSession::of("ann").with(|new| {
        new.name = Some("Travel".into());
        new.tags = vec!["a".into()];
        let settings = serde_json::json!({ "system": "Be brief.", "temperature": 0.25 });
        new.settings = settings.as_object().unwrap().clone();
    });
    let key = first.create(new).await.unwrap().key;
    for (number, kind) in [EntryKind::Training, EntryKind::Talk, EntryKind::Summary]
        .into_iter()
        .enumerate()
    {
        let mut turn = NewTurn::of(vec![
            Message::user("Grüße 🔑 \u{2028}\n\"\\"),
            Message::assistant("b"),
        ]);
        turn.messages[1].kind = kind;
        turn.messages[1].tokens = Some(7);
        let turn = turn.keyed(&format!("t{number}"));
        first.append(&key, Guard::default(), turn).await.unwrap();
    }
    let wanted = told(&first, &key).await;
    let mut lines = first.export(&key).await.unwrap();
    for place in &places {
        let made = place.import("ann", None, &lines).await.unwrap();
        assert_eq!(told(&**place, &made.key).await, wanted, "{place:?}");
        let again = NewTurn::of(vec![Message::user("again")]).keyed("t2");
        let again = place.append(&made.key, Guard::default(), again);
        assert!(again.await.unwrap().repeated, "names of turns came along");
        lines = place.export(&made.key).await.unwrap();
    }
}

/// A head as the first versions stored it: they knew of a turn with a name only where it begins.
fn of_old(head: &str) -> String {
    let mut head: serde_json::Value = serde_json::from_str(head).unwrap();
    for named in head["names"].as_array_mut().unwrap() {
        named.as_object_mut().unwrap().remove("last").unwrap();
    }
    head.as_object_mut().unwrap().remove("credential").unwrap();
    head.to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_first_versions_stored_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.db");
    let redis = servers::redis_is_there().then(|| servers::Redis::start(&[]));
    let mut urls = vec![format!("sqlite:{}", path.display())];
    urls.extend(redis.as_ref().map(servers::Redis::url));
    for url in urls {
        let open = async || connect::sessions(&url).await.unwrap();
        let turn = |text: &str| NewTurn {
            credential: Some("a".into()),
            ..NewTurn::of(vec![Message::user(text), Message::assistant("re")])
        };
        let sessions = open().await;
        let key = sessions.create(NewSession::of("ann").with_id("s")).await;
        let key = key.unwrap().key;
        for turn in [
            turn("one").keyed("j"),
            turn("two"),
            turn("three").keyed("k"),
            turn("four"),
        ] {
            let written = sessions.append(&key, Guard::default(), turn);
            written.await.unwrap();
        }
        drop(sessions);
        if url.starts_with("sqlite:") {
            let file = rusqlite::Connection::open(&path).unwrap();
            let head = file.query_row("SELECT head FROM session", [], |row| row.get(0));
            let old = of_old(&head.unwrap() as &String);
            let changed = file.execute("UPDATE session SET head = ?1", [old]);
            assert_eq!(changed.unwrap(), 1);
        } else {
            let (redis, place) = (redis.as_ref().unwrap(), "cr:sessions:{ann}:s:s");
            let old = of_old(&redis.cli(&["HGET", place, "head"]));
            assert_eq!(redis.cli(&["HSET", place, "head", &old]), "0");
        }
        let sessions = open().await;
        for _ in 0..2 {
            for (name, wanted) in [("j", "one"), ("k", "three")] {
                let found = sessions.find_turn(&key, name).await.unwrap();
                let texts = found.entries.iter().map(|e| e.message.content.text());
                assert_eq!(texts.collect::<Vec<_>>(), [wanted, "re"], "{url}");
                let again = sessions.append(&key, Guard::default(), turn("again").keyed(name));
                assert!(again.await.unwrap().repeated);
            }
            let more = sessions.append(&key, Guard::default(), turn("more"));
            assert!(!more.await.unwrap().repeated);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_a_failover_lost_is_not_built_upon() {
    if !servers::redis_is_there() {
        return;
    }
    let redis = servers::Redis::start(&[]);
    let one = RedisSessions::connect(&redis.url()).await.unwrap();
    let another = RedisSessions::connect(&redis.url()).await.unwrap();
    let key = one.create(NewSession::of("ann").with_id("s")).await;
    let key = key.unwrap().key;
    let say = |sessions: &RedisSessions, text: &str| {
        let turn = NewTurn::of(vec![Message::user(text)]);
        let (sessions, key) = (sessions.clone(), key.clone());
        async move { sessions.append(&key, Guard::default(), turn).await.unwrap() }
    };
    say(&one, "kept").await;
    let parts = ["s", "m"].map(|part| format!("cr:sessions:{{ann}}:{part}:s"));
    let before = |part: &str| format!("{part}:before");
    for part in &parts {
        assert_eq!(redis.cli(&["COPY", part, &before(part)]), "1");
    }
    say(&one, "lost").await;
    for part in &parts {
        assert_eq!(redis.cli(&["RENAME", &before(part), part]), "OK");
    }
    say(&another, "after").await;
    // It has seen as many writes as there are, but not the same.
    let head = say(&one, "more").await.session;
    let entries = another.last(&key, 9).await.unwrap();
    let text = |entry: &Entry| entry.message.content.text();
    let texts: Vec<String> = entries.iter().map(text).collect();
    assert_eq!(texts, ["kept", "after", "more"]);
    let bytes: usize = entries
        .iter()
        .map(|entry| serde_json::to_string(entry).unwrap().len())
        .sum();
    assert_eq!((head.messages, head.bytes), (3, bytes as u64));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_keeps_no_owner_without_sessions() {
    if !servers::redis_is_there() {
        return;
    }
    let redis = servers::Redis::start(&[]);
    let sessions = RedisSessions::connect(&redis.url()).await.unwrap();
    let owners = || redis.cli(&["SCARD", "cr:session-owners"]);
    for number in 0..40 {
        let new = NewSession::of(&format!("o{number}")).with_id("s");
        sessions.create(new).await.unwrap();
    }
    assert_eq!(sessions.count(None).await.unwrap(), 40);
    assert_eq!(owners(), "40");
    for number in 0..20 {
        let key = SessionKey::new(&format!("o{number}"), "s").unwrap();
        sessions.delete(&key, Guard::default()).await.unwrap();
    }
    assert_eq!(owners(), "20");
    // One that was entered for a session that never came.
    redis.cli(&["SADD", "cr:session-owners", "nobody"]);
    assert_eq!(
        sessions.clean_up(std::time::Duration::ZERO).await.unwrap(),
        20
    );
    assert_eq!(owners(), "0");
    assert!(redis.cli(&["KEYS", "*"]).is_empty());
}

async fn over(kind: &str, url: &str, clear: impl Fn()) {
    for (name, check) in checks() {
        println!("{kind}: {name}");
        clear();
        let clock = Arc::new(ManualClock::new(START));
        let one = RedisSessions::connect_with(url, clock.clone()).await;
        let another = RedisSessions::connect_with(url, clock.clone()).await;
        check(Store {
            one: Arc::new(one.unwrap()),
            another: Arc::new(another.unwrap()),
            clock: clock.clone(),
        })
        .await;
    }
}
