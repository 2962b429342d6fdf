//! Whatever goes wrong, what was accepted is finished, with one outcome.
//!
//! A driver enqueues, cancels, and holds on to jobs of its own for too long. By chance from
//! a seed it kills, freezes and stops workers; Redis is gone for up to five leases, its
//! connections are cut and delayed; the file is held by others, and the workers' clocks
//! jump all the while. Then the faults end, and everything that was accepted must come to
//! an end that fits all that was seen of it: `outcome.rs` has the rules.
//! `CHAOS_SECONDS` is how long the faults go on for each backend (default 60), `SEED`
//! repeats a run.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic)]

mod crew;
mod outcome;
mod processes;
mod producer;
mod rival;
#[path = "../servers/mod.rs"]
mod servers;
mod told;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use credential_rotation::connect;

use crew::{Crew, WORKERS};
use producer::Producer;
use rival::Rival;
use servers::Redis;
use servers::proxy::Proxy;
use told::Told;

const QUEUE: &str = "chaos";
const LEASE: Duration = Duration::from_millis(800);

fn seconds() -> u64 {
    let set = std::env::var("CHAOS_SECONDS").ok();
    set.and_then(|seconds| seconds.parse().ok()).unwrap_or(60)
}

fn chance() -> fastrand::Rng {
    let set = std::env::var("SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let seed = set.unwrap_or_else(|| fastrand::u64(..));
    println!("SEED={seed}");
    fastrand::Rng::with_seed(seed)
}

/// When a fault that lasts for seconds is to come next.
fn next_long(chance: &mut fastrand::Rng) -> Instant {
    Instant::now() + Duration::from_millis(chance.u64(3_000..9_000))
}

/// The server is gone for so long; what it has written it has when it is back.
fn outage(redis: &Arc<Mutex<Redis>>, down: Duration) {
    let redis = Arc::clone(redis);
    tokio::task::spawn_blocking(move || {
        let mut redis = redis.lock().unwrap();
        redis.kill();
        std::thread::sleep(down);
        redis.restart();
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_redis_nothing_accepted_is_lost_or_ends_twice() {
    if !servers::redis_is_there() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let redis = Redis::start(&["--appendonly", "yes", "--appendfsync", "always"]);
    let proxy = Proxy::before(redis.port).await;
    let url = format!("redis://127.0.0.1:{}", proxy.port);
    let jobs = connect::jobs(&url).await.unwrap();
    let straight = connect::jobs(&redis.url()).await.unwrap();
    let redis = Arc::new(Mutex::new(redis));
    let told = Told::follow(&straight, LEASE).await;
    let mut chance = chance();
    let mut crew = Crew::new(url, folder.path(), chance.fork());
    let mut rival = Rival::new(straight.clone(), crew.ledger());
    let mut producer = Producer::default();
    let end = Instant::now() + Duration::from_secs(seconds());
    let mut next_outage = next_long(&mut chance);
    while Instant::now() < end {
        match chance.u8(0..48) {
            0..=1 => crew.kill(chance.usize(0..WORKERS)),
            2 => crew.dismiss(chance.usize(0..WORKERS), chance.bool()),
            3 => crew.freeze(chance.usize(0..WORKERS), &mut chance),
            4..=5 => proxy.cut(),
            6 => proxy.delay(Duration::from_millis(chance.u64(1..300))),
            7..=9 => proxy.delay(Duration::ZERO),
            10..=13 => producer.cancel_some(&jobs, &mut chance).await,
            14..=17 => rival.claim(&mut chance).await,
            _ => producer.produce(&jobs, &mut chance).await,
        }
        if next_outage < Instant::now() {
            outage(&redis, Duration::from_millis(chance.u64(0..4_000)));
            next_outage = next_long(&mut chance);
        }
        rival.settle_due(&mut chance).await;
        crew.look_after();
        tokio::time::sleep(Duration::from_millis(chance.u64(0..60))).await;
    }
    proxy.delay(Duration::ZERO);
    outcome::check(&straight, producer, crew, rival, &told).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_sqlite_nothing_accepted_is_lost_or_ends_twice() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("jobs.db").display());
    let jobs = connect::jobs(&url).await.unwrap();
    let told = Told::follow(&jobs, 4 * LEASE).await;
    let mut chance = chance();
    let mut crew = Crew::new(url, folder.path(), chance.fork());
    let mut rival = Rival::new(jobs.clone(), crew.ledger());
    let mut producer = Producer::default();
    let end = Instant::now() + Duration::from_secs(seconds());
    let mut next_hold = next_long(&mut chance);
    while Instant::now() < end {
        match chance.u8(0..48) {
            0..=2 => crew.kill(chance.usize(0..WORKERS)),
            3..=4 => crew.dismiss(chance.usize(0..WORKERS), chance.bool()),
            5..=6 => crew.freeze(chance.usize(0..WORKERS), &mut chance),
            7..=10 => producer.cancel_some(&jobs, &mut chance).await,
            11..=14 => rival.claim(&mut chance).await,
            _ => producer.produce(&jobs, &mut chance).await,
        }
        if next_hold < Instant::now() {
            crew.hold_the_file(Duration::from_millis(chance.u64(0..3_000)));
            next_hold = next_long(&mut chance);
        }
        rival.settle_due(&mut chance).await;
        crew.look_after();
        tokio::time::sleep(Duration::from_millis(chance.u64(0..60))).await;
    }
    outcome::check(&jobs, producer, crew, rival, &told).await;
}
