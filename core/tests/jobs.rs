//! The conformance suite over every backend.
#![allow(clippy::unwrap_used, clippy::panic)]

mod servers;

use std::sync::Arc;
use std::time::Duration;

use credential_rotation::job::memory::MemoryJobs;
use credential_rotation::job::redis::RedisJobs;
use credential_rotation::job::sqlite::{Durability, SqliteJobs};
use credential_rotation::job::{Claim, JobFilter, JobId, JobSpec, Payload, Renewal, SharedJobs};
use credential_rotation::testing::ManualClock;
use credential_rotation::testing::jobs::{CHECKS, Check, START, Store};

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
        let memory = Arc::new(MemoryJobs::with_clock(clock.clone()));
        let another = memory.clone();
        check(Store {
            one: memory,
            another,
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
        let path = folder.path().join("jobs.db");
        let open = || SqliteJobs::open_with(&path, clock.clone(), Durability::Full);
        let one = Arc::new(open().unwrap());
        let another = Arc::new(open().unwrap());
        check(Store {
            one,
            another,
            clock: clock.clone(),
        })
        .await;
    }
}

#[tokio::test]
async fn deleting_each_page_as_it_is_read_deletes_all() {
    let folder = tempfile::tempdir().unwrap();
    let stores: [SharedJobs; 2] = [
        Arc::new(MemoryJobs::new()),
        Arc::new(SqliteJobs::open(folder.path().join("jobs.db")).unwrap()),
    ];
    for jobs in stores {
        for queue in ["a", "b"] {
            let batch = vec![JobSpec::new(queue, Payload::NULL); 25];
            jobs.enqueue(batch).await.unwrap();
        }
        let (mut after, mut deleted) = (None, 0);
        loop {
            let filter = JobFilter {
                limit: Some(4),
                after,
                ..JobFilter::default()
            };
            let page = jobs.list(&filter).await.unwrap();
            let some: Vec<JobId> = page.jobs.into_iter().map(|job| job.id).collect();
            deleted += some.len();
            jobs.delete(&some).await.unwrap();
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(deleted, 50, "{jobs:?}");
    }
}

/// Redis has the time of its server.
#[tokio::test]
async fn a_clock_that_jumps_ahead_takes_nobodys_lease() {
    let clock = Arc::new(ManualClock::new(START));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jobs.db");
    let stores: [SharedJobs; 2] = [
        Arc::new(MemoryJobs::with_clock(clock.clone())),
        Arc::new(SqliteJobs::open_with(&path, clock.clone(), Durability::Normal).unwrap()),
    ];
    let lease = Duration::from_secs(30);
    let claim = || Claim {
        worker: "w".into(),
        max: 9,
        lease,
    };
    let mut held = Vec::new();
    for jobs in &stores {
        let batch = vec![JobSpec::new("q", Payload::NULL); 2];
        jobs.enqueue(batch).await.unwrap();
        held.push(jobs.claim("q", claim()).await.unwrap());
    }
    clock.jump(Duration::from_secs(3_600));
    for (jobs, held) in stores.iter().zip(&held) {
        assert_eq!(jobs.sweep().await.unwrap(), 0, "{jobs:?}");
        let alive = [held[0].lease.clone()];
        assert_eq!(jobs.renew(&alive, lease).await.unwrap(), [Renewal::Kept]);
    }
    // Who renews nothing has what was left of the term.
    clock.advance(lease + Duration::from_millis(1));
    for (jobs, held) in stores.iter().zip(&held) {
        let taken = jobs.claim("q", claim()).await.unwrap();
        assert_eq!(taken.len(), 1, "{jobs:?}");
        assert_eq!(taken[0].lease.id, held[1].lease.id);
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_under_sentinels_does_all_that_a_manager_must() {
    if !servers::redis_is_there() {
        return;
    }
    let watched = servers::fleet::Watched::steady();
    over("sentinel", &watched.url(), || {
        drop(watched.master.cli(&["FLUSHALL"]))
    })
    .await;
}

async fn over(kind: &str, url: &str, clear: impl Fn()) {
    for (name, check) in checks() {
        println!("{kind}: {name}");
        clear();
        let clock = Arc::new(ManualClock::new(START));
        let connect = || RedisJobs::connect_with(url, Some(clock.clone()));
        let one = Arc::new(connect().await.unwrap());
        let another = Arc::new(connect().await.unwrap());
        check(Store {
            one,
            another,
            clock: clock.clone(),
        })
        .await;
    }
}
