//! The conformance suite of sessions over every backend.
#![allow(clippy::unwrap_used, clippy::panic)]

mod servers;

use std::sync::Arc;

use credential_rotation::session::memory::{BYTES, MemorySessions};
use credential_rotation::session::redis::RedisSessions;
use credential_rotation::session::sqlite::SqliteSessions;
use credential_rotation::testing::ManualClock;
use credential_rotation::testing::sessions::{CHECKS, Check, START, Store};

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
