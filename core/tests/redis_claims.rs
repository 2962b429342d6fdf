//! Claims that stand at the server behind a blocking pop: nothing may be lost in them.
#![allow(clippy::unwrap_used, clippy::panic)]

mod servers;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use credential_rotation::connect;
use credential_rotation::job::{Claim, Enqueued, Exchanged, JobId, JobSpec, Payload, SharedJobs};
use credential_rotation::testing::ManualClock;
use credential_rotation::testing::jobs::{CHECKS, START, Store};
use servers::Redis;
use tokio_util::sync::CancellationToken;

const QUEUE: &str = "work";
const SOON: Duration = Duration::from_secs(20);

fn claim(max: usize) -> Claim {
    Claim {
        worker: "w".into(),
        max,
        lease: Duration::from_secs(30),
    }
}

async fn add(jobs: &SharedJobs, name: &str) {
    let job = JobSpec::new(QUEUE, Payload::NULL).with_id(JobId::from_text(name).unwrap());
    let added = jobs.enqueue_one(job).await.unwrap();
    assert!(matches!(added, Enqueued::Added(_)), "{added:?}");
}

fn ids(exchanged: &Exchanged) -> Vec<String> {
    let claimed = exchanged.claimed.iter();
    claimed.map(|one| one.lease.id.to_string()).collect()
}

/// Waits until a client is blocked at the server.
async fn stands(redis: &Redis) {
    for _ in 0..2_000 {
        if redis
            .cli(&["INFO", "clients"])
            .contains("blocked_clients:1")
        {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("no claim stands");
}

async fn waiting(jobs: &SharedJobs, max: usize, off: &CancellationToken) -> Exchanged {
    let waiting = jobs.wait_and_claim(QUEUE, claim(max), SOON * 3, off);
    let answer = tokio::time::timeout(SOON, waiting).await;
    answer.unwrap().unwrap()
}

#[tokio::test]
async fn what_holds_for_claims_that_wait_holds_for_those_that_stand() {
    if !servers::redis_is_there() {
        return;
    }
    let mut checked = 0;
    for (name, check) in CHECKS {
        if !name.starts_with("a_claim_that_waits") {
            continue;
        }
        let redis = Redis::start(&[]);
        // By the server's clock, as a claim stands only then.
        check(Store {
            one: connect::jobs(&redis.url()).await.unwrap(),
            another: connect::jobs(&redis.url()).await.unwrap(),
            clock: Arc::new(ManualClock::new(START)),
        })
        .await;
        let told = redis.cli(&["INFO", "commandstats"]);
        // Older servers count all of CLIENT together.
        let unblocked = told.contains("cmdstat_client|unblock") || told.contains("cmdstat_client:");
        assert!(unblocked, "{name}: {told}");
        checked += 1;
    }
    assert_eq!(checked, 2);
}

#[tokio::test]
async fn a_claim_that_stands_takes_what_comes_after_the_scripts_were_forgotten() {
    if !servers::redis_is_there() {
        return;
    }
    let redis = Redis::start(&[]);
    let jobs = connect::jobs(&redis.url()).await.unwrap();
    let off = CancellationToken::new();
    for round in 0..3 {
        let name = format!("j{round}");
        let (claimed, ()) = tokio::join!(waiting(&jobs, 9, &off), async {
            stands(&redis).await;
            redis.cli(&["SCRIPT", "FLUSH"]);
            add(&jobs, &name).await;
        });
        assert_eq!(ids(&claimed), [name]);
    }
}

#[tokio::test]
async fn a_user_that_may_not_unblock_waits_the_other_way() {
    if !servers::redis_is_there() {
        return;
    }
    let redis = Redis::start(&[]);
    let allow_but = |command: &str| {
        let user = ["ACL", "SETUSER", "small", "on", ">tok-secret-small"];
        redis.cli(&[&user[..], &["~*", "&*", "+@all", command]].concat())
    };
    // Older servers know no rights to a part of a command.
    if allow_but("-client|unblock") != "OK" {
        assert_eq!(allow_but("-client"), "OK");
    }
    let url = redis
        .url()
        .replace("redis://", "redis://small:tok-secret-small@");
    let jobs = connect::jobs(&url).await.unwrap();
    let off = CancellationToken::new();
    let (claimed, ()) = tokio::join!(waiting(&jobs, 9, &off), async {
        stands(&redis).await;
        add(&jobs, "a").await;
    });
    assert_eq!(ids(&claimed), ["a"]);
    let (claimed, ()) = tokio::join!(waiting(&jobs, 9, &off), async {
        stands(&redis).await;
        off.cancel();
    });
    assert!(claimed.claimed.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_claim_took_when_it_was_called_off_is_told() {
    if !servers::redis_is_there() {
        return;
    }
    let redis = Redis::start(&[]);
    let jobs = connect::jobs(&redis.url()).await.unwrap();
    let mut taken = BTreeSet::new();
    let rounds = 300;
    for round in 0..rounds {
        let off = CancellationToken::new();
        let calls_off = off.clone();
        let (by, name) = (Arc::clone(&jobs), format!("j{round}"));
        // Both at once: which is first is left to chance.
        let adds = tokio::spawn(async move { add(&by, &name).await });
        let ends = tokio::spawn(async move {
            for _ in 0..round % 7 {
                tokio::task::yield_now().await;
            }
            calls_off.cancel();
        });
        taken.extend(ids(&waiting(&jobs, 9, &off).await));
        adds.await.unwrap();
        ends.await.unwrap();
    }
    let left = jobs.claim(QUEUE, claim(1_000)).await.unwrap();
    taken.extend(left.iter().map(|one| one.lease.id.to_string()));
    assert_eq!(taken.len(), rounds);
}

#[tokio::test]
async fn a_server_that_goes_while_a_claim_stands_is_told() {
    if !servers::redis_is_there() {
        return;
    }
    let mut redis = Redis::start(&["--appendonly", "yes"]);
    let jobs = connect::jobs(&redis.url()).await.unwrap();
    let off = CancellationToken::new();
    let there = Arc::clone(&jobs);
    let stood = tokio::spawn({
        let off = off.clone();
        async move { there.wait_and_claim(QUEUE, claim(9), SOON, &off).await }
    });
    stands(&redis).await;
    redis.restart();
    let answer = tokio::time::timeout(SOON, stood).await.unwrap().unwrap();
    assert_eq!(answer.unwrap_err().code(), "backend_unavailable");
    let (claimed, ()) = tokio::join!(waiting(&jobs, 9, &off), async {
        stands(&redis).await;
        add(&jobs, "a").await;
    });
    assert_eq!(ids(&claimed), ["a"]);
}
