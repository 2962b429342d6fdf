//! What no number and no size of jobs may do to a Redis server or to other jobs.
#![allow(clippy::unwrap_used, clippy::panic)]

mod servers;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use credential_rotation::job::redis::RedisJobs;
use credential_rotation::job::{
    Claim, Claimed, Enqueued, Exchange, Exchanged, JobError, JobFilter, JobId, JobManager, JobSpec,
    JobState, Lease, Outcome, Payload, QueueLimits, Renewal, Settlement,
};
use credential_rotation::testing::ManualClock;
use servers::Redis;

const QUEUE: &str = "work";
const NOW: u64 = 1_800_000_000_000;
const MANY: usize = 20_000;
/// Commands of one call over many jobs, those in its scripts included.
const FEW: u64 = 16_000;

struct Scene {
    redis: Redis,
    jobs: RedisJobs,
    clock: Arc<ManualClock>,
}

impl Scene {
    async fn new() -> Self {
        let redis = Redis::start(&[]);
        let clock = Arc::new(ManualClock::new(NOW));
        let jobs = RedisJobs::connect_with(&redis.url(), Some(clock.clone())).await;
        Self {
            jobs: jobs.unwrap(),
            redis,
            clock,
        }
    }

    async fn add(&self, count: usize, with: impl Fn(&mut JobSpec)) -> Vec<JobId> {
        let spec = |n: usize| job(&format!("j{n}")).with(&with);
        let added = self.jobs.enqueue((0..count).map(spec).collect()).await;
        let id = |answer| match answer {
            Enqueued::Added(id) => id,
            other => panic!("{other:?}"),
        };
        added.unwrap().into_iter().map(id).collect()
    }

    async fn exchange(&self, settle: Vec<Settlement>, max: usize) -> Exchanged {
        let exchange = Exchange {
            queue: QUEUE.into(),
            settle,
            claim: claim(max),
        };
        self.jobs.exchange(exchange).await.unwrap()
    }

    async fn limit(&self, change: impl FnOnce(&mut QueueLimits)) {
        let mut limits = QueueLimits::default();
        change(&mut limits);
        self.jobs.set_limits(QUEUE, limits).await.unwrap();
    }

    fn commands(&self) -> u64 {
        let stats = self.redis.cli(&["INFO", "stats"]);
        let mut lines = stats.lines();
        let line = lines.find_map(|line| line.strip_prefix("total_commands_processed:"));
        line.unwrap().trim().parse().unwrap()
    }

    /// Claims until it gets something, in calls that are all short.
    async fn first_that_can_run(&self) -> String {
        for _ in 0..100 {
            let before = self.commands();
            let exchanged = self.exchange(Vec::new(), 1).await;
            let commands = self.commands() - before;
            assert!(commands < FEW, "{commands} commands");
            if let Some(claimed) = exchanged.claimed.first() {
                return claimed.lease.id.to_string();
            }
            // Whoever asks is told to ask again at once.
            assert_eq!(exchanged.again_in, Some(Duration::ZERO));
        }
        panic!("nothing can run");
    }
}

fn job(id: &str) -> JobSpec {
    JobSpec::new(QUEUE, Payload::NULL).with_id(JobId::from_text(id).unwrap())
}

fn claim(max: usize) -> Claim {
    Claim {
        worker: "w".into(),
        max,
        lease: Duration::from_secs(30),
    }
}

fn done(claimed: &Claimed) -> Settlement {
    Settlement {
        lease: claimed.lease.clone(),
        outcome: Outcome::Complete {
            result: Payload::NULL,
        },
    }
}

fn failed() -> JobFilter {
    JobFilter {
        state: Some(JobState::Failed),
        ..JobFilter::default()
    }
}

#[tokio::test]
async fn what_is_too_late_is_passed_over_in_steps() {
    if !servers::redis_is_there() {
        return;
    }
    let scene = Scene::new().await;
    scene.limit(|limits| limits.keep_failed = 1_000_000).await;
    scene.add(MANY, |job| job.deadline = Some(NOW + 1)).await;
    scene.jobs.enqueue_one(job("last")).await.unwrap();
    scene.clock.advance(Duration::from_secs(1));
    assert_eq!(scene.first_that_can_run().await, "last");
    assert_eq!(scene.jobs.counts().await.unwrap()[0].failed, MANY as u64);
}

#[tokio::test]
async fn what_was_called_off_is_passed_over_in_steps() {
    if !servers::redis_is_there() {
        return;
    }
    let scene = Scene::new().await;
    let ids = scene.add(MANY, |_| {}).await;
    scene.jobs.cancel(&ids).await.unwrap();
    scene.jobs.enqueue_one(job("last")).await.unwrap();
    assert_eq!(scene.first_that_can_run().await, "last");
}

#[tokio::test]
async fn what_waits_for_its_group_is_passed_over_in_steps_and_comes_back_in_steps() {
    if !servers::redis_is_there() {
        return;
    }
    let scene = Scene::new().await;
    scene
        .limit(|limits| limits.group_concurrency = Some(1))
        .await;
    scene.add(MANY, |job| job.group = Some("g".into())).await;
    scene.jobs.enqueue_one(job("last")).await.unwrap();
    let first = scene.exchange(Vec::new(), 1).await.claimed.remove(0);
    // Groups take turns: the one without a group is the second.
    let mut taken = BTreeSet::from([first.lease.id.to_string()]);
    taken.insert(scene.first_that_can_run().await);
    // What is left is set aside step by step.
    while scene.exchange(Vec::new(), 1).await.again_in == Some(Duration::ZERO) {}
    // A pause changes nothing about that, and two more of the group are two more.
    let before = scene.commands();
    scene.jobs.set_paused(QUEUE, true).await.unwrap();
    scene.jobs.set_paused(QUEUE, false).await.unwrap();
    assert!(scene.commands() - before < 100);
    scene
        .limit(|limits| limits.group_concurrency = Some(3))
        .await;
    let more = scene.exchange(Vec::new(), 10).await.claimed;
    assert_eq!(more.len(), 2);
    taken.extend(more.iter().map(|one| one.lease.id.to_string()));
    let before = scene.commands();
    scene.limit(|_| {}).await;
    assert!(scene.commands() - before < FEW);
    for _ in 0..200 {
        let before = scene.commands();
        let claimed = scene.exchange(Vec::new(), 1_000).await.claimed;
        assert!(scene.commands() - before < FEW);
        taken.extend(claimed.iter().map(|one| one.lease.id.to_string()));
        if taken.len() > MANY {
            break;
        }
    }
    assert_eq!(taken.len(), MANY + 1);
}

#[tokio::test]
async fn one_call_may_carry_many_jobs() {
    if !servers::redis_is_there() {
        return;
    }
    let scene = Scene::new().await;
    let ids = scene.add(MANY, |_| {}).await;
    let found = scene.jobs.get(&ids).await.unwrap();
    assert!(found.iter().all(Option::is_some));
    let claimed = scene.exchange(Vec::new(), MANY).await.claimed;
    assert_eq!(claimed.len(), MANY);
    let leases: Vec<Lease> = claimed.iter().map(|one| one.lease.clone()).collect();
    let renewed = scene.jobs.renew(&leases, Duration::from_secs(60)).await;
    assert!(renewed.unwrap().iter().all(|one| *one == Renewal::Kept));
    let settled = scene.exchange(claimed.iter().map(done).collect(), 0).await;
    let completed = |one: &Result<JobState, JobError>| *one == Ok(JobState::Completed);
    assert!(settled.settled.len() == MANY && settled.settled.iter().all(completed));
    let revived = scene.jobs.revive(&ids).await.unwrap();
    assert!(revived.iter().all(Result::is_ok));
    let cancelled = scene.jobs.cancel(&ids).await.unwrap();
    assert!(
        cancelled
            .iter()
            .all(|one| *one == Some(JobState::Cancelled))
    );
    assert!(
        scene
            .jobs
            .delete(&ids)
            .await
            .unwrap()
            .iter()
            .all(|one| *one)
    );
    while scene.jobs.sweep().await.unwrap() > 0 {}
    let left = scene.redis.cli(&["KEYS", "cr:{work}:*"]);
    let data = left
        .lines()
        .filter(|key| !key.ends_with(":meta") && !key.ends_with(":lease"));
    assert_eq!(data.count(), 0, "{left}");
    // One member that is no job's.
    assert_eq!(scene.redis.cli(&["ZCARD", "cr:{work}:lease"]), "1");
}

#[tokio::test]
async fn large_payloads_and_results_travel_in_pieces_that_a_slow_network_carries() {
    if !servers::redis_is_there() {
        return;
    }
    let scene = Scene::new().await;
    let large = Payload::from_json(format!("\"{}\"", "x".repeat(1 << 20))).unwrap();
    let ids = scene
        .add(40, |job| {
            job.payload = large.clone();
            // Of both lines, in turn.
            job.priority = i16::from(job.id.as_ref().is_some_and(|id| id.as_str() < "j2"));
        })
        .await;
    let mut claimed = Vec::new();
    while claimed.len() < ids.len() {
        let part = scene.exchange(Vec::new(), 100).await;
        assert!(
            (1..=4).contains(&part.claimed.len()),
            "{}",
            part.claimed.len()
        );
        let more = claimed.len() + part.claimed.len() < ids.len();
        assert!(!more || part.again_in == Some(Duration::ZERO));
        claimed.extend(part.claimed);
    }
    let order: Vec<&str> = claimed.iter().map(|one| one.lease.id.as_str()).collect();
    let mut expected: Vec<&str> = ids.iter().map(JobId::as_str).collect();
    expected.sort_by_key(|id| *id >= "j2");
    assert_eq!(order, expected);
    let found = scene.jobs.get(&ids).await.unwrap();
    assert!(found.iter().flatten().all(|job| job.spec.payload == large));
    let trips = || {
        let stats = scene.redis.cli(&["INFO", "commandstats"]);
        let line = stats
            .lines()
            .find(|line| line.starts_with("cmdstat_evalsha:"));
        let calls = line
            .unwrap()
            .split("calls=")
            .nth(1)
            .unwrap()
            .split(',')
            .next();
        calls.unwrap().parse::<u64>().unwrap()
    };
    let before = trips();
    let result = large.clone();
    let settle = claimed.iter().map(|one| Settlement {
        lease: one.lease.clone(),
        outcome: Outcome::Complete {
            result: result.clone(),
        },
    });
    let settled = scene.exchange(settle.collect(), 0).await.settled;
    assert!(settled.iter().all(|one| *one == Ok(JobState::Completed)));
    assert!(trips() - before >= 10);
}

#[tokio::test]
async fn an_id_that_no_job_can_have_spoils_nothing() {
    if !servers::redis_is_there() {
        return;
    }
    let scene = Scene::new().await;
    let pushed = [
        "{\"id\":\"a\u{85}\"}",
        "{\"id\":\"good\"}",
        "{\"id\":\"\u{7f}\"}",
    ];
    for text in pushed {
        scene.redis.cli(&["LPUSH", QUEUE, text]);
    }
    let claimed = scene.exchange(Vec::new(), 10).await.claimed;
    let ids: Vec<&str> = claimed.iter().map(|one| one.lease.id.as_str()).collect();
    assert_eq!(ids.len(), 3, "{ids:?}");
    assert!(ids[0].starts_with("pushed-") && ids[1] == "good", "{ids:?}");
    scene.exchange(claimed.iter().map(done).collect(), 0).await;
    // One that is there from before, and one whose record is damaged, are put aside.
    for (id, blob) in [
        ("b\u{85}", "lx1m0000{ }\n1"),
        ("torn", "lx1m0000{\"kind\":7}\n1"),
    ] {
        scene.redis.cli(&["HSET", "cr:{work}:job", id, blob]);
        scene
            .redis
            .cli(&["RPUSH", "cr:{work}:line", &format!("0|{id}")]);
    }
    scene.jobs.enqueue_one(job("fine")).await.unwrap();
    let claimed = scene.exchange(Vec::new(), 10).await.claimed;
    let ids: Vec<&str> = claimed.iter().map(|one| one.lease.id.as_str()).collect();
    assert_eq!(ids, ["fine"]);
    let shown = scene.jobs.list(&failed()).await.unwrap().jobs;
    assert_eq!(shown.len(), 1);
    let error = shown[0].status.error.as_ref().unwrap();
    assert_eq!(error.kind, "bad_payload");
    assert_eq!(scene.jobs.counts().await.unwrap()[0].failed, 2);
}

#[tokio::test]
async fn pushes_that_are_too_large_or_no_text_are_kept_with_their_reason() {
    if !servers::redis_is_there() {
        return;
    }
    let scene = Scene::new().await;
    scene.limit(|limits| limits.max_payload = 100).await;
    scene
        .redis
        .cli(&["LPUSH", QUEUE, &format!("\"{}\"", "x".repeat(200))]);
    let script = "redis.call('LPUSH', KEYS[1], '\"\\255\"', '{\"id\":\"\\255\"}')";
    scene.redis.cli(&["EVAL", script, "1", QUEUE]);
    scene.redis.cli(&["LPUSH", QUEUE, "1"]);
    let claimed = scene.exchange(Vec::new(), 10).await.claimed;
    assert_eq!(claimed.len(), 1);
    assert_eq!(claimed[0].spec.payload.as_bytes(), "1");
    let shown = scene.jobs.list(&failed()).await.unwrap().jobs;
    assert_eq!(shown.len(), 3);
    for job in shown {
        assert_eq!(job.status.error.as_ref().unwrap().kind, "bad_payload");
        serde_json::to_string(&job).unwrap();
    }
}

#[tokio::test]
async fn twenty_thousand_pushes_are_twenty_thousand_jobs() {
    if !servers::redis_is_there() {
        return;
    }
    let scene = Scene::new().await;
    let script = "for n = 1, 20000 do redis.call('LPUSH', KEYS[1], '{\"id\":' .. n .. '}') end";
    scene.redis.cli(&["EVAL", script, "1", QUEUE]);
    let (mut taken, mut next) = (BTreeSet::new(), 1);
    while taken.len() < MANY {
        let before = scene.commands();
        let claimed = scene.exchange(Vec::new(), 1_000).await.claimed;
        assert!(scene.commands() - before < FEW);
        assert!(!claimed.is_empty());
        for one in &claimed {
            // In their order.
            assert_eq!(one.lease.id.as_str(), next.to_string());
            next += 1;
            taken.insert(one.lease.id.clone());
        }
        scene.exchange(claimed.iter().map(done).collect(), 0).await;
    }
}

#[tokio::test]
async fn times_that_no_number_holds_are_far_away() {
    if !servers::redis_is_there() {
        return;
    }
    let scene = Scene::new().await;
    let ever = |job: &mut JobSpec| {
        job.unique_key = Some("k".into());
        job.unique_for_ms = Some(u64::MAX);
        job.result_ttl_ms = u64::MAX;
    };
    // A backend may refuse it; what it takes must hold.
    let first = scene.jobs.enqueue_one(job("a").with(ever)).await;
    let again = scene.jobs.enqueue_one(job("b").with(ever)).await;
    if first.is_ok() {
        let a = JobId::from_text("a").unwrap();
        assert_eq!(again, Ok(Enqueued::Duplicate(a)));
    } else {
        assert!(again.is_err());
    }
    scene
        .jobs
        .delete(&[JobId::from_text("a").unwrap()])
        .await
        .unwrap();
    scene.jobs.enqueue_one(job("leased")).await.unwrap();
    let for_ever = Claim {
        lease: Duration::MAX,
        ..claim(9)
    };
    let claimed = scene.jobs.claim(QUEUE, for_ever).await.unwrap();
    assert_eq!(claimed.len(), 1);
    scene.clock.advance(Duration::from_secs(1_000_000));
    assert!(scene.exchange(Vec::new(), 9).await.claimed.is_empty());
    let renewed = scene
        .jobs
        .renew(&[claimed[0].lease.clone()], Duration::MAX)
        .await;
    assert_eq!(renewed.unwrap(), [Renewal::Kept]);
    assert!(scene.exchange(Vec::new(), 9).await.claimed.is_empty());
    let retry = Settlement {
        lease: claimed[0].lease.clone(),
        outcome: Outcome::Snooze {
            after: Duration::MAX,
        },
    };
    assert_eq!(scene.jobs.settle(retry).await, Ok(JobState::Delayed));
    assert!(scene.exchange(Vec::new(), 9).await.claimed.is_empty());
}

#[tokio::test]
async fn a_deadline_of_zero_has_passed() {
    if !servers::redis_is_there() {
        return;
    }
    let scene = Scene::new().await;
    // A backend may refuse it; what it takes never runs.
    let _ = scene
        .jobs
        .enqueue_one(job("a").with(|job| job.deadline = Some(0)))
        .await;
    assert!(scene.exchange(Vec::new(), 9).await.claimed.is_empty());
}

#[tokio::test]
async fn a_full_server_takes_ends_and_renewals_all_the_same() {
    if !servers::redis_is_there() {
        return;
    }
    let scene = Scene::new().await;
    let ids = scene.add(3, |_| {}).await;
    let held = scene.exchange(Vec::new(), 2).await.claimed;
    let memory = scene.redis.cli(&["INFO", "memory"]);
    let used = memory
        .lines()
        .find_map(|line| line.strip_prefix("used_memory:"));
    let full = used.unwrap().trim().parse::<u64>().unwrap() / 2;
    scene
        .redis
        .cli(&["CONFIG", "SET", "maxmemory", &full.to_string()]);
    let refused = scene.jobs.enqueue_one(job("more")).await.unwrap_err();
    assert!(refused.to_string().contains("out of memory"), "{refused}");
    let leases: Vec<Lease> = held.iter().map(|one| one.lease.clone()).collect();
    let renewed = scene.jobs.renew(&leases, Duration::from_secs(60)).await;
    assert_eq!(renewed.unwrap(), [Renewal::Kept; 2]);
    let called_off = scene.jobs.cancel(&[leases[1].id.clone()]).await.unwrap();
    assert_eq!(called_off, [Some(JobState::Running)]);
    let exchanged = scene.exchange(vec![done(&held[0])], 5).await;
    assert_eq!(exchanged.settled, [Ok(JobState::Completed)]);
    assert_eq!(exchanged.claimed.len(), 1);
    assert_eq!(exchanged.claimed[0].lease.id, ids[2]);
    assert!(scene.jobs.sweep().await.is_ok());
    assert!(scene.jobs.settle(done(&held[0])).await.is_err());
    let kept = scene.jobs.find(&ids[0]).await.unwrap();
    assert_eq!(kept.status.state, JobState::Completed);
}

#[tokio::test]
async fn a_server_that_cannot_write_its_snapshot_refuses_and_loses_nothing() {
    if !servers::redis_is_there() {
        return;
    }
    let scene = Scene::new().await;
    let ids = scene.add(1, |_| {}).await;
    scene.redis.lose_folder();
    scene.redis.cli(&["CONFIG", "SET", "save", "3600 1"]);
    scene.redis.cli(&["BGSAVE"]);
    let failed = || scene.redis.cli(&["INFO", "persistence"]);
    while !failed().contains("rdb_last_bgsave_status:err") {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let refused = scene.jobs.enqueue_one(job("more")).await.unwrap_err();
    assert_eq!(refused.code(), "backend_unavailable");
    assert!(
        refused.to_string().contains("look at its disk"),
        "{refused}"
    );
    let claim_refused = scene.jobs.claim(QUEUE, claim(9)).await.unwrap_err();
    assert!(claim_refused.to_string().contains("look at its disk"));
    scene
        .redis
        .cli(&["CONFIG", "SET", "stop-writes-on-bgsave-error", "no"]);
    let claimed = scene.exchange(Vec::new(), 9).await.claimed;
    assert_eq!(claimed.len(), 1);
    assert_eq!(claimed[0].lease.id, ids[0]);
    scene.jobs.enqueue_one(job("more")).await.unwrap();
}

#[tokio::test]
async fn a_running_job_that_lost_its_lease_runs_again_and_a_lease_without_a_job_goes() {
    if !servers::redis_is_there() {
        return;
    }
    let scene = Scene::new().await;
    scene.add(1, |_| {}).await;
    let first = scene.exchange(Vec::new(), 1).await.claimed.remove(0);
    scene.redis.cli(&["ZREM", "cr:{work}:lease", "j0"]);
    let lapses = (NOW + 5_000).to_string();
    scene
        .redis
        .cli(&["ZADD", "cr:{work}:lease", &lapses, "ghost"]);
    scene.clock.advance(Duration::from_secs(10));
    while scene.jobs.sweep().await.unwrap() > 0 {}
    let again = scene.exchange(Vec::new(), 9).await.claimed;
    assert_eq!(again.len(), 1);
    assert_eq!(again[0].lease.epoch, first.lease.epoch + 1);
    assert_eq!(scene.redis.cli(&["ZSCORE", "cr:{work}:lease", "ghost"]), "");
}

#[tokio::test]
async fn groups_whose_jobs_went_unrun_are_forgotten() {
    if !servers::redis_is_there() {
        return;
    }
    let scene = Scene::new().await;
    let ids = scene
        .add(300, |job| {
            job.group = Some(format!("g{}", job.id.as_ref().unwrap()).into())
        })
        .await;
    scene.jobs.cancel(&ids[..100]).await.unwrap();
    scene.jobs.delete(&ids[100..]).await.unwrap();
    for _ in 0..4 {
        scene.jobs.sweep().await.unwrap();
    }
    assert_eq!(scene.redis.cli(&["EXISTS", "cr:{work}:groups"]), "0");
}

#[tokio::test]
async fn a_page_of_a_list_reads_little_and_skips_nothing_whatever_becomes_of_its_jobs() {
    if !servers::redis_is_there() {
        return;
    }
    let scene = Scene::new().await;
    let ids = scene.add(600, |_| {}).await;
    // All of one millisecond: the order is that of their names.
    let claimed = scene.exchange(Vec::new(), 600).await.claimed;
    let fails = claimed.iter().map(|one| Settlement {
        lease: one.lease.clone(),
        outcome: Outcome::Fail {
            error: credential_rotation::job::Failure::new("error", "no"),
        },
    });
    scene.exchange(fails.collect(), 0).await;
    let mut filter = JobFilter {
        limit: Some(1),
        ..failed()
    };
    let before = scene.commands();
    let page = scene.jobs.list(&filter).await.unwrap();
    assert_eq!(page.jobs.len(), 1);
    assert!(scene.commands() - before < 60);
    (filter.limit, filter.after) = (Some(100), None);
    let mut seen = BTreeSet::new();
    loop {
        let page = scene.jobs.list(&filter).await.unwrap();
        let shown: Vec<JobId> = page.jobs.iter().map(|job| job.id.clone()).collect();
        seen.extend(shown.iter().cloned());
        let (retried, deleted) = shown.split_at(shown.len() / 2);
        scene.jobs.revive(retried).await.unwrap();
        scene.jobs.delete(deleted).await.unwrap();
        filter.after = page.next;
        if filter.after.is_none() {
            break;
        }
    }
    assert_eq!(seen.len(), ids.len());
}

#[tokio::test]
async fn installations_with_prefixes_of_their_own_share_no_list() {
    if !servers::redis_is_there() {
        return;
    }
    let redis = Redis::start(&[]);
    let usual = RedisJobs::connect(&redis.url()).await.unwrap();
    let url = format!("{}?prefix=staging", redis.url());
    let staging = RedisJobs::connect(&url).await.unwrap();
    redis.cli(&["LPUSH", QUEUE, "1"]);
    assert!(staging.claim(QUEUE, claim(9)).await.unwrap().is_empty());
    redis.cli(&["LPUSH", "staging:{work}", "2"]);
    let claimed = staging.claim(QUEUE, claim(9)).await.unwrap();
    assert_eq!(claimed[0].spec.payload.as_bytes(), "2");
    assert_eq!(usual.claim(QUEUE, claim(9)).await.unwrap().len(), 1);
    // Who waits there takes no bell from here.
    staging.enqueue_one(job("s")).await.unwrap();
    assert_eq!(redis.cli(&["EXISTS", QUEUE]), "0");
    staging
        .wait_for_work(QUEUE, Duration::from_secs(20))
        .await
        .unwrap();
    let refused = usual
        .enqueue_one(JobSpec::new("cr:schedules", Payload::NULL))
        .await;
    assert_eq!(refused.unwrap_err().code(), "invalid_job");
    assert!(usual.set_paused("cr:queues", true).await.is_err());
}
