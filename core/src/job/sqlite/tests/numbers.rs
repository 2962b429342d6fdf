//! No numbers of a job, a queue's limits or a claim stop a manager.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::clock::TERM_LIMIT_MS;
use crate::job::memory::MemoryJobs;
use crate::job::sqlite::Durability;
use crate::job::{JobError, Progress, QueueLimits, Rate, Report, SharedJobs};
use crate::testing::ManualClock;

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        any::<u64>(),
        0..10_u64,
        Just(i64::MAX as u64),
        Just(u64::MAX),
        Just(TERM_LIMIT_MS),
        Just(TERM_LIMIT_MS + 1),
    ]
}

fn some() -> impl Strategy<Value = Option<u64>> {
    proptest::option::of(number())
}

prop_compose! {
    fn any_spec()(
        times in (some(), some(), some(), some(), some()),
        counts in (any::<i16>(), any::<u32>(), any::<u32>(), number()),
    ) -> JobSpec {
        let (delay, run_at, timeout, deadline, unique_for) = times;
        JobSpec::new("q", Payload::NULL).with(|spec| {
            (spec.delay_ms, spec.run_at) = (delay.filter(|_| run_at.is_none()), run_at);
            (spec.timeout_ms, spec.deadline) = (timeout, deadline);
            spec.unique_key = unique_for.map(|_| "key".into());
            spec.unique_for_ms = unique_for;
            (spec.priority, spec.max_attempts) = (counts.0, counts.1);
            (spec.max_stalls, spec.result_ttl_ms) = (counts.2, counts.3);
        })
    }
}

prop_compose! {
    fn any_limits()(
        rate in proptest::option::of((any::<u32>(), number(), proptest::option::of(any::<u32>()))),
        most in (proptest::option::of(any::<u32>()), any::<u32>(), any::<u32>()),
        bytes in (number(), number(), number(), number()),
    ) -> QueueLimits {
        QueueLimits {
            concurrency: most.0,
            group_concurrency: most.0,
            rate: rate.map(|(jobs, per_ms, burst)| Rate { jobs, per_ms, burst }),
            max_bytes: bytes.0,
            max_payload: bytes.1,
            keep_failed: most.1,
            failed_ttl_ms: bytes.2,
            keep_finished: most.2,
            keep_bytes: bytes.3,
        }
    }
}

fn usable<T>(answer: Result<T, JobError>) -> Option<T> {
    match answer {
        Ok(answer) => Some(answer),
        Err(JobError::Invalid { .. }) => None,
        Err(other) => panic!("{other}"),
    }
}

async fn use_them(
    jobs: &SharedJobs,
    clock: &ManualClock,
    (spec, limits): (JobSpec, QueueLimits),
    (max, lease, after, percent): (usize, u64, u64, f32),
) {
    let (lease, after) = (Duration::from_millis(lease), Duration::from_millis(after));
    usable(jobs.set_limits("q", limits).await);
    jobs.enqueue(vec![spec.clone(), spec]).await.unwrap();
    for _ in 0..3 {
        let wish = Claim {
            max,
            lease,
            ..ask(0)
        };
        let claimed = jobs.claim("q", wish).await.unwrap();
        for one in claimed {
            let report = Report {
                lease: one.lease.clone(),
                progress: Some(Progress {
                    percent,
                    message: String::new(),
                }),
                log: Vec::new(),
            };
            drop(jobs.report(vec![report]).await.unwrap());
            jobs.renew(std::slice::from_ref(&one.lease), lease)
                .await
                .unwrap();
            let error = Failure::new("error", "no");
            let outcome = Outcome::Retry { error, after };
            let lease = one.lease;
            drop(jobs.settle(Settlement { lease, outcome }).await);
        }
        clock.advance(Duration::from_secs(1));
        while jobs.sweep().await.unwrap() > 0 {}
        jobs.list(&JobFilter::default()).await.unwrap();
    }
    // With usual limits again, the queue does what it does.
    jobs.set_limits("q", QueueLimits::default()).await.unwrap();
    let last = JobSpec::new("q", Payload::NULL).with(|spec| spec.priority = 500);
    let last = jobs.enqueue_one(last).await.unwrap().id().unwrap();
    let claimed = jobs.claim("q", ask(10)).await.unwrap();
    assert!(claimed.iter().any(|one| one.lease.id == last));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn no_numbers_stop_a_manager(
        what in (any_spec(), any_limits()),
        claim in (any::<usize>(), number(), number(), any::<f32>()),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (_folder, path) = place();
        let clock = Arc::new(ManualClock::default());
        let sqlite = SqliteJobs::open_with(path, clock.clone(), Durability::Normal).unwrap();
        let stores: [SharedJobs; 2] =
            [Arc::new(MemoryJobs::with_clock(clock.clone())), Arc::new(sqlite)];
        for jobs in &stores {
            runtime.block_on(use_them(jobs, &clock, what.clone(), claim));
        }
    }
}
