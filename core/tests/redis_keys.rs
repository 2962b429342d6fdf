//! What lies under the prefix holds what `docs/redis-keys.md` says, whatever hands, failovers
//! and other versions did there.
#![allow(clippy::unwrap_used, clippy::panic)]

mod servers;

use std::time::Duration;

use credential_rotation::connect;
use credential_rotation::job::{
    Claim, Claimed, JobError, JobId, JobSpec, JobState, Outcome, Payload, Settlement, SharedJobs,
};
use servers::Redis;
use servers::fleet::{Cluster, Watched};

const QUEUE: &str = "work";
const LEASE: Duration = Duration::from_secs(30);

async fn take(jobs: &SharedJobs, max: usize) -> Vec<Claimed> {
    let claim = Claim {
        worker: "w".into(),
        max,
        lease: LEASE,
    };
    jobs.claim(QUEUE, claim).await.unwrap()
}

fn id(text: &str) -> JobId {
    JobId::from_text(text).unwrap()
}

async fn add(jobs: &SharedJobs, names: &[&str]) {
    let job = |name: &&str| JobSpec::new(QUEUE, Payload::NULL).with_id(id(name));
    jobs.enqueue(names.iter().map(job).collect()).await.unwrap();
}

fn ids(claimed: &[Claimed]) -> Vec<&str> {
    let ids = claimed.iter().map(|one| one.lease.id.as_str());
    ids.collect()
}

fn done(claimed: &Claimed) -> Settlement {
    Settlement {
        lease: claimed.lease.clone(),
        outcome: Outcome::Complete {
            result: Payload::NULL,
        },
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_of_another_format_are_left_alone() {
    if !servers::redis_is_there() {
        return;
    }
    let redis = Redis::start(&[]);
    let cluster = Cluster::start();
    let watched = Watched::steady();
    let places = [
        (redis.url(), &redis),
        (cluster.url(), &cluster.nodes[0]),
        (watched.url(), &watched.master),
    ];
    for (url, node) in places {
        let jobs = connect::jobs(&url).await.unwrap();
        assert_eq!(node.cli(&["-c", "GET", "cr:format"]), "2", "{url}");
        add(&jobs, &["a"]).await;
        // It is found right, and stays.
        connect::jobs(&url).await.unwrap();
        node.cli(&["-c", "SET", "cr:format", "other"]);
        let refused = connect::jobs(&url).await.unwrap_err();
        assert_eq!(refused.code(), "backend_unsuitable", "{refused}");
        let told = refused.to_string();
        assert!(
            told.contains("`other`") && told.contains("?prefix="),
            "{told}"
        );
        connect::jobs(&format!("{url}?prefix=mine")).await.unwrap();
        assert_eq!(node.cli(&["-c", "GET", "mine:format"]), "2", "{url}");
        assert_eq!(node.cli(&["-c", "GET", "cr:format"]), "other", "{url}");
    }
}

#[tokio::test]
async fn the_format_is_looked_at_once_a_connection() {
    if !servers::redis_is_there() {
        return;
    }
    let redis = Redis::start(&[]);
    let jobs = connect::jobs(&redis.url()).await.unwrap();
    let looks = || {
        let told = redis.cli(&["INFO", "commandstats"]);
        let line = told.lines().find(|line| line.starts_with("cmdstat_get:"));
        line.unwrap().split([',', '=']).nth(1).unwrap().to_owned()
    };
    assert_eq!(looks(), "1");
    for name in ["a", "b", "c"] {
        add(&jobs, &[name]).await;
        take(&jobs, 1).await;
    }
    assert_eq!(looks(), "1");
    // Behind the next connection is a server in another's place.
    redis.cli(&["SET", "cr:format", "0"]);
    redis.cli(&["CLIENT", "KILL", "TYPE", "normal"]);
    let refused = loop {
        let job = JobSpec::new(QUEUE, Payload::NULL);
        match jobs.enqueue_one(job).await {
            Err(JobError::Unavailable { .. }) => {}
            answer => break answer.unwrap_err(),
        }
    };
    assert!(matches!(refused, JobError::Unsuitable { .. }), "{refused}");
    // Whatever is asked of it.
    let swept = jobs.sweep().await.unwrap_err();
    assert!(matches!(swept, JobError::Unsuitable { .. }), "{swept}");
    redis.cli(&["SET", "cr:format", "2"]);
    add(&jobs, &["d"]).await;
}

#[tokio::test]
async fn who_comes_to_a_full_server_empties_it_all_the_same() {
    if !servers::redis_is_there() {
        return;
    }
    let redis = Redis::start(&[]);
    let jobs = connect::jobs(&redis.url()).await.unwrap();
    add(&jobs, &["a"]).await;
    redis.cli(&["DEL", "cr:format"]);
    redis.cli(&["CONFIG", "SET", "maxmemory", "1"]);
    let jobs = connect::jobs(&redis.url()).await.unwrap();
    let claimed = take(&jobs, 9).await;
    assert_eq!(ids(&claimed), ["a"]);
    assert_eq!(
        jobs.settle(done(&claimed[0])).await,
        Ok(JobState::Completed)
    );
    let refused = jobs.enqueue_one(JobSpec::new(QUEUE, Payload::NULL)).await;
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("out of memory"), "{refused}");
    assert_eq!(redis.cli(&["EXISTS", "cr:format"]), "0");
}

#[tokio::test]
async fn what_is_pushed_with_the_id_of_a_job_that_was_deleted_is_another_job() {
    if !servers::redis_is_there() {
        return;
    }
    let redis = Redis::start(&[]);
    let jobs = connect::jobs(&redis.url()).await.unwrap();
    let push = |name: &str| redis.cli(&["LPUSH", QUEUE, &format!(r#"{{"id":"{name}"}}"#)]);
    add(&jobs, &["runs", "waits", "next"]).await;
    let first = take(&jobs, 1).await.remove(0);
    assert_eq!(first.lease.id, id("runs"));
    jobs.delete(&[id("runs"), id("waits")]).await.unwrap();
    push("runs");
    push("waits");
    let late = jobs.settle(done(&first)).await.unwrap_err();
    assert!(matches!(late, JobError::StaleAttempt { .. }), "{late}");
    let claimed = take(&jobs, 9).await;
    // Both at the end of the line, though one's old entry stood before.
    assert_eq!(ids(&claimed), ["next", "runs", "waits"]);
    assert!(claimed[1].lease.epoch > first.lease.epoch);
    jobs.settle(done(&first)).await.unwrap_err();
    for one in &claimed {
        assert_eq!(jobs.settle(done(one)).await, Ok(JobState::Completed));
    }
    assert_eq!(redis.cli(&["HLEN", "cr:{work}:job"]), "3");
    assert_eq!(redis.cli(&["EXISTS", "cr:{work}:left"]), "0");
}

#[tokio::test]
async fn a_delivery_of_a_job_that_ends_again_does_not_take_the_place_of_one_that_was_deleted() {
    if !servers::redis_is_there() {
        return;
    }
    let redis = Redis::start(&[]);
    let jobs = connect::jobs(&redis.url()).await.unwrap();
    let hooked = JobSpec::new(QUEUE, Payload::NULL).with_id(id("hooked"));
    let hooked = hooked.with(|job| job.webhook = Some("https://example.com/".into()));
    jobs.enqueue_one(hooked).await.unwrap();
    jobs.cancel(&[id("hooked")]).await.unwrap();
    add(&jobs, &["next"]).await;
    jobs.delete(&[id("webhook:hooked")]).await.unwrap();
    jobs.revive(&[id("hooked")]).await.unwrap();
    jobs.cancel(&[id("hooked")]).await.unwrap();
    assert_eq!(ids(&take(&jobs, 9).await), ["next", "webhook:hooked"]);
}

#[tokio::test]
async fn leases_that_were_lost_and_are_back_are_counted_as_before() {
    if !servers::redis_is_there() {
        return;
    }
    let redis = Redis::start(&[]);
    let jobs = connect::jobs(&redis.url()).await.unwrap();
    add(&jobs, &["a", "b"]).await;
    let claimed = take(&jobs, 2).await;
    let leases: Vec<_> = claimed.iter().map(|one| one.lease.clone()).collect();
    let running = async || jobs.counts().await.unwrap().remove(0).running;
    // By the worker that has them …
    redis.cli(&["DEL", "cr:{work}:lease"]);
    jobs.renew(&leases, LEASE).await.unwrap();
    assert_eq!(running().await, 2);
    assert_eq!(redis.cli(&["ZCARD", "cr:{work}:lease"]), "3");
    // … or by a sweep, which gives the jobs to others.
    redis.cli(&["DEL", "cr:{work}:lease"]);
    while jobs.sweep().await.unwrap() > 0 {}
    assert_eq!(redis.cli(&["ZCARD", "cr:{work}:lease"]), "1");
    assert_eq!((running().await, take(&jobs, 9).await.len()), (0, 2));
    assert_eq!(running().await, 2);
}

#[tokio::test]
async fn a_renewal_of_nothing_asks_whether_the_server_is_there() {
    if !servers::redis_is_there() {
        return;
    }
    let mut redis = Redis::start(&[]);
    let jobs = connect::jobs(&redis.url()).await.unwrap();
    assert_eq!(jobs.renew(&[], LEASE).await, Ok(Vec::new()));
    redis.kill();
    let gone = jobs.renew(&[], LEASE).await.unwrap_err();
    assert!(matches!(gone, JobError::Unavailable { .. }), "{gone}");
}
