//! Sessions under many real processes: nothing is lost, doubled, out of order or somebody
//! else's, and a process that dies in the middle of a turn leaves it whole or absent.
#![allow(clippy::unwrap_used, clippy::panic)]

mod servers;

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use credential_rotation::connect;
use credential_rotation::job::JobId;
use credential_rotation::provider::Message;
use credential_rotation::session::{
    Guard, NewSession, NewTurn, SessionError, SessionKey, SharedSessions,
};
use futures_util::StreamExt;
use futures_util::stream;

const URL: &str = "SESSION_PROCESSES_URL";
const WRITER: &str = "SESSION_PROCESSES_WRITER";
const SESSIONS: usize = 1_000;
const TURNS: usize = 20;
const WRITERS: usize = 8;
const PATIENCE: Duration = Duration::from_secs(180);

/// Two owners use the same ids.
const OWNERS: [&str; 2] = ["ann", "bob"];

fn key(session: usize) -> SessionKey {
    SessionKey::new(OWNERS[session % 2], &format!("s{:04}", session / 2)).unwrap()
}

fn turn(session: usize, writer: usize, number: usize) -> NewTurn {
    let text = |part: &str| format!("{session} {writer} {number} {part}");
    NewTurn::of(vec![
        Message::user(text("question")),
        Message::assistant(text("answer")),
        Message::user(text("thanks")),
    ])
}

/// The turns of a session that a writer makes: every eighth.
fn own_turns(writer: usize) -> impl Iterator<Item = usize> {
    (0..TURNS).filter(move |turn| turn % WRITERS == writer)
}

/// Adds a turn as the attempt of a writer's job, as those do who cannot know what became of
/// what they sent: some say it twice, some by the version that they saw.
async fn add(sessions: &SharedSessions, session: usize, writer: usize, number: usize) {
    let key = key(session);
    let head = sessions.get(&key).await.unwrap();
    let job = JobId::from_text(format!("w{writer}")).unwrap();
    let as_attempt = |epoch| Guard::fenced(job.clone(), epoch).of(head.incarnation);
    let epoch = number as u64 + 1;
    let append = |guard| {
        let turn = turn(session, writer, number).keyed(&format!("{writer}-{number}"));
        sessions.append(&key, guard, turn)
    };
    if session % 10 < 2 {
        let mut version = head.version;
        loop {
            let guard = Guard {
                version: Some(version),
                ..as_attempt(epoch)
            };
            match append(guard).await {
                Ok(written) => break assert!(!written.repeated),
                Err(SessionError::StaleVersion { actual, .. }) => version = actual,
                Err(error) => panic!("{error}"),
            }
        }
        return;
    }
    assert!(!append(as_attempt(epoch)).await.unwrap().repeated);
    if session % 10 < 4 {
        assert!(append(as_attempt(epoch)).await.unwrap().repeated);
        let late = append(as_attempt(epoch - 1)).await.unwrap_err();
        assert_eq!(late.code(), "stale_attempt");
        let foreign = Guard::default().of(head.incarnation + 1);
        let foreign = append(foreign).await.unwrap_err();
        assert_eq!(foreign.code(), "unknown_session");
    }
}

#[tokio::test]
#[ignore = "a process of the tests below"]
async fn writes_its_turns_in_every_session() {
    let url = std::env::var(URL).unwrap();
    let writer: usize = std::env::var(WRITER).unwrap().parse().unwrap();
    let sessions = connect::sessions(&url).await.unwrap();
    stream::iter(0..SESSIONS)
        .for_each_concurrent(64, |session| {
            let sessions = Arc::clone(&sessions);
            async move {
                for number in own_turns(writer) {
                    add(&sessions, session, writer, number).await;
                }
            }
        })
        .await;
}

#[tokio::test]
#[ignore = "a process of the tests below"]
async fn writes_turns_until_it_is_killed() {
    let url = std::env::var(URL).unwrap();
    let sessions = connect::sessions(&url).await.unwrap();
    for number in 0.. {
        for session in 0..4 {
            let turn = turn(session, 0, number);
            let key = key(session);
            let added = sessions.append(&key, Guard::default(), turn);
            added.await.unwrap();
        }
    }
}

fn start(test: &str, url: &str, writer: usize) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", test])
        .env(URL, url)
        .env(WRITER, writer.to_string())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

async fn make(sessions: &SharedSessions, count: usize) {
    stream::iter(0..count)
        .for_each_concurrent(64, |session| async move {
            let key = key(session);
            let new = NewSession::of(key.owner()).with_id(key.id());
            sessions.create(new).await.unwrap();
        })
        .await;
}

/// The writers and numbers of a session's turns, in order; each turn is whole.
async fn read_turns(sessions: &SharedSessions, session: usize) -> Vec<(usize, usize)> {
    let entries = sessions.last(&key(session), u64::MAX).await.unwrap();
    assert_eq!(entries.len() % 3, 0, "a turn has three messages");
    let parse = |three: &[credential_rotation::session::Entry]| {
        let texts: Vec<String> = three.iter().map(|e| e.message.content.text()).collect();
        let words: Vec<Vec<&str>> = texts.iter().map(|t| t.split(' ').collect()).collect();
        let ends: Vec<&str> = words.iter().map(|words| words[3]).collect();
        assert_eq!(ends, ["question", "answer", "thanks"]);
        assert!(
            words.iter().all(|w| w[..3] == words[0][..3]),
            "one turn: {texts:?}"
        );
        assert_eq!(words[0][0], session.to_string(), "nobody else's");
        assert!(three.iter().all(|entry| entry.turn == three[0].place));
        (words[0][1].parse().unwrap(), words[0][2].parse().unwrap())
    };
    entries.chunks(3).map(parse).collect()
}

async fn eight_processes_write(url: &str) {
    let sessions = connect::sessions(url).await.unwrap();
    make(&sessions, SESSIONS).await;
    let began = Instant::now();
    let test = "writes_its_turns_in_every_session";
    let writers: Vec<Child> = (0..WRITERS)
        .map(|writer| start(test, url, writer))
        .collect();
    for mut writer in writers {
        assert!(writer.wait().unwrap().success());
    }
    assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
    for owner in OWNERS {
        let own = sessions.count(Some(owner)).await.unwrap();
        assert_eq!(own, SESSIONS as u64 / 2);
    }
    let foreign = SessionKey::new("cid", key(0).id()).unwrap();
    let unknown = sessions.get(&foreign).await.unwrap_err();
    assert_eq!(unknown.code(), "unknown_session");
    for session in 0..SESSIONS {
        let turns = read_turns(&sessions, session).await;
        assert_eq!(turns.len(), TURNS, "session {session}");
        for writer in 0..WRITERS {
            let numbers = turns.iter().filter(|(of, _)| *of == writer);
            let numbers: Vec<usize> = numbers.map(|(_, number)| *number).collect();
            assert_eq!(
                numbers,
                own_turns(writer).collect::<Vec<_>>(),
                "in order, once"
            );
        }
    }
}

async fn a_killed_process_leaves_whole_turns(url: &str) {
    let sessions = connect::sessions(url).await.unwrap();
    make(&sessions, 4).await;
    let mut before = 0;
    for round in 0..5 {
        let mut writer = start("writes_turns_until_it_is_killed", url, 0);
        let wanted = before + 10 + round * 7;
        let began = Instant::now();
        while sessions.get(&key(3)).await.unwrap().turns < wanted {
            assert!(began.elapsed() < PATIENCE);
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        writer.kill().unwrap();
        writer.wait().unwrap();
        for session in 0..4 {
            let turns = read_turns(&sessions, session).await;
            let head = sessions.get(&key(session)).await.unwrap();
            assert_eq!(
                (head.turns, head.messages),
                (turns.len() as u64, turns.len() as u64 * 3)
            );
            // Each process begins at its own first turn, and goes on without a gap.
            let mut next = 0;
            for (_, number) in turns {
                assert!(number == next || number == 0, "{number} behind {next}");
                next = number + 1;
            }
        }
        before = sessions.get(&key(3)).await.unwrap().turns;
    }
}

fn file(folder: &tempfile::TempDir) -> String {
    format!("sqlite:{}", folder.path().join("sessions.db").display())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_processes_lose_nothing_in_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    eight_processes_write(&file(&folder)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_processes_lose_nothing_in_redis() {
    if !servers::redis_is_there() {
        return;
    }
    let redis = servers::Redis::start(&[]);
    eight_processes_write(&redis.url()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_leaves_whole_turns_in_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    a_killed_process_leaves_whole_turns(&file(&folder)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_leaves_whole_turns_in_redis() {
    if !servers::redis_is_there() {
        return;
    }
    let redis = servers::Redis::start(&[]);
    a_killed_process_leaves_whole_turns(&redis.url()).await;
}
