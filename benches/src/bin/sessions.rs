//! Sessions a second: a turn added and the last 20 messages read, 64 in flight; what a long
//! history costs an append; and the memory of idle sessions. Usage: `sessions URL`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use credential_rotation::connect;
use credential_rotation::provider::Message;
use credential_rotation::session::{Guard, NewSession, NewTurn, SessionKey, SharedSessions};
use credential_rotation_benches::{print, rate};
use serde_json::json;

type Failure = Box<dyn std::error::Error>;

const IN_FLIGHT: usize = 64;
const SESSIONS: usize = 256;
const IDLE: usize = 100_000;
/// Bytes of a message of an idle session, which has two.
const TEXT: usize = 100;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let url = std::env::args().nth(1).ok_or("usage: sessions URL")?;
    let name = url.split(':').next().unwrap_or_default().to_owned();
    let sessions = connect::sessions(&url).await?;
    if name == "memory" {
        return idle(&sessions).await;
    }
    let mut keys = Vec::new();
    for _ in 0..SESSIONS {
        keys.push(sessions.create(NewSession::of("bench")).await?.key);
    }
    let (keys, next) = (Arc::new(keys), Arc::new(AtomicUsize::new(0)));
    let take = {
        let sessions = Arc::clone(&sessions);
        move || {
            let (sessions, keys, next) = (sessions.clone(), keys.clone(), next.clone());
            async move {
                let key = &keys[next.fetch_add(1, Ordering::Relaxed) % SESSIONS];
                let added = sessions.append(key, Guard::default(), turn(40)).await;
                let read = sessions.last(key, 20).await;
                assert!(added.is_ok() && read.is_ok_and(|read| !read.is_empty()));
            }
        }
    };
    let a_second = rate(20_000, IN_FLIGHT, take).await;
    print(
        &format!("sessions {name} append and read"),
        a_second,
        "1/s",
        json!({}),
    );

    let empty = sessions.create(NewSession::of("bench")).await?.key;
    let long = sessions.create(NewSession::of("bench")).await?.key;
    for _ in 0..1_000 {
        sessions.append(&long, Guard::default(), turn(500)).await?;
    }
    let (of_empty, of_long) = (
        cost(&sessions, &empty).await?,
        cost(&sessions, &long).await?,
    );
    print(
        &format!("sessions {name} long history"),
        of_long / of_empty,
        "",
        json!({}),
    );
    Ok(())
}

fn turn(bytes: usize) -> NewTurn {
    NewTurn::of(vec![
        Message::user("q".repeat(bytes)),
        Message::assistant("a".repeat(bytes)),
    ])
}

/// Seconds of an append, the middle of many.
async fn cost(sessions: &SharedSessions, key: &SessionKey) -> Result<f64, Failure> {
    let mut times = Vec::new();
    for _ in 0..300 {
        let began = Instant::now();
        sessions.append(key, Guard::default(), turn(40)).await?;
        times.push(began.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

/// The memory of idle sessions, over their text.
async fn idle(sessions: &SharedSessions) -> Result<(), Failure> {
    let before = resident()?;
    for _ in 0..IDLE {
        let key = sessions.create(NewSession::of("bench")).await?.key;
        sessions.append(&key, Guard::default(), turn(TEXT)).await?;
    }
    let text = (IDLE * TEXT * 2) as f64;
    let over = (resident()? - before - text) / 1e6;
    print("sessions memory idle", over, "MB", json!({}));
    Ok(())
}

/// The resident bytes of this process.
fn resident() -> Result<f64, Failure> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kilobytes = line
        .and_then(|line| line.split_whitespace().nth(1))
        .ok_or("no VmRSS")?;
    Ok(kilobytes.parse::<f64>()? * 1024.0)
}
