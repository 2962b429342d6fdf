//! How attempts and jobs end.

use super::*;
use crate::job::QueueLimits;

pub(super) async fn a_result_is_kept_for_its_time(store: Store) {
    store
        .add(
            job()
                .with_id(id("kept"))
                .with(|job| job.result_ttl_ms = 1_000),
        )
        .await;
    store
        .add(job().with_id(id("gone")).with(|job| job.result_ttl_ms = 0))
        .await;
    let claimed = store.claim(2).await;
    store.pass(ms(5));
    let settle = claimed.iter().map(|one| settlement(&one.lease, done()));
    store.exchange(settle.collect(), 0).await;
    let job = store.job(&id("kept")).await;
    assert_eq!(job.status.state, JobState::Completed);
    assert_eq!(job.status.result.unwrap().as_bytes(), "{\"done\":true}");
    assert_eq!(
        (job.status.started_at, job.status.finished_at),
        (Some(START), Some(START + 5))
    );
    assert_eq!(store.one.get(&[id("gone")]).await.unwrap(), [None]);
    store.pass(ms(999));
    assert_eq!(store.state(&id("kept")).await, JobState::Completed);
    store.pass(ms(1));
    assert_eq!(store.another.get(&[id("kept")]).await.unwrap(), [None]);
    while store.one.sweep().await.unwrap() > 0 {}
    assert_eq!(store.counts().await.completed, 0);
}

pub(super) async fn a_retry_rests_and_counts_and_the_last_failure_ends(store: Store) {
    store
        .add(job().with_id(id("job")).with(|job| job.max_attempts = 2))
        .await;
    let first = store.claim_one().await;
    let outcome = first.failed(error(), 0.5);
    assert!(matches!(outcome, Outcome::Retry { .. }));
    assert_eq!(
        store.settle(&first, retried(500)).await,
        Ok(JobState::Delayed)
    );
    let resting = store.job(&id("job")).await.status;
    assert_eq!(
        (resting.state, resting.run_at, resting.attempt),
        (JobState::Delayed, START + 500, 1)
    );
    assert_eq!(resting.error.unwrap().message, "it did not work");
    store.pass(ms(499));
    assert!(store.claim(9).await.is_empty());
    store.pass(ms(1));
    let second = store.claim_one().await;
    assert_eq!(second.attempt, 2);
    let outcome = second.failed(error(), 0.5);
    assert!(matches!(outcome, Outcome::Fail { .. }));
    assert_eq!(store.settle(&second, outcome).await, Ok(JobState::Failed));
    let status = store.job(&id("job")).await.status;
    assert_eq!(
        (status.state, status.finished_at),
        (JobState::Failed, Some(START + 500))
    );
    assert_eq!(status.error.unwrap().kind, "error");
}

pub(super) async fn a_snooze_costs_no_attempt(store: Store) {
    store.add_named(&["job"]).await;
    for _ in 0..5 {
        let claimed = store.claim_one().await;
        assert_eq!(claimed.attempt, 1);
        assert_eq!(
            store
                .settle(&claimed, Outcome::Snooze { after: ms(10) })
                .await,
            Ok(JobState::Delayed)
        );
        assert!(store.claim(9).await.is_empty());
        store.pass(ms(10));
    }
}

pub(super) async fn a_deadline_ends_a_job_that_waits(store: Store) {
    let until = |name: &str, deadline: u64| {
        job()
            .with_id(id(name))
            .with(|job| job.deadline = Some(START + deadline))
    };
    store.add(until("late", 10)).await;
    store.add(until("in time", 11)).await;
    store.pass(ms(11));
    let claimed = store.claim(9).await;
    assert_eq!(ids(&claimed), ["in time"]);
    let status = store.job(&id("late")).await.status;
    assert_eq!((status.state, status.attempt), (JobState::Failed, 0));
    assert_eq!(status.error.unwrap().kind, "expired");
    // There is no time left for another attempt.
    assert_eq!(
        store.settle(&claimed[0], retried(1)).await,
        Ok(JobState::Failed)
    );
    assert_eq!(
        store.job(&id("in time")).await.status.error.unwrap().kind,
        "error"
    );
}

pub(super) async fn a_deadline_ends_a_job_that_nobody_can_claim(store: Store) {
    let until = |name: &str, deadline: u64| {
        job().with_id(id(name)).with(|job| {
            job.deadline = Some(START + deadline);
            job.group = (name == "grouped").then(|| "group".into());
        })
    };
    let keyed = until("late", 10).with(|job| job.unique_key = Some("key".into()));
    store.add(keyed.clone()).await;
    store.add(until("grouped", 10)).await;
    store.add(until("delayed", 10).after(ms(3_600_000))).await;
    store.add(until("in time", 5_000)).await;
    // One that runs is not ended by it, but waits under it again when it is given back.
    store.add(until("running", 10)).await;
    store.add_named(&["other"]).await;
    let claimed = store.claim(9).await;
    for one in &claimed[..3] {
        store.settle(one, Outcome::Release).await.unwrap();
    }
    store.one.set_paused(QUEUE, true).await.unwrap();
    store.pass(ms(11));
    while store.one.sweep().await.unwrap() > 0 {}
    for name in ["late", "grouped", "delayed"] {
        let status = store.job(&id(name)).await.status;
        assert_eq!(
            (status.state, status.attempt),
            (JobState::Failed, 0),
            "{name}"
        );
        assert_eq!(status.error.unwrap().kind, "expired");
    }
    assert_eq!(store.state(&id("in time")).await, JobState::Waiting);
    assert_eq!(store.state(&id("running")).await, JobState::Running);
    assert_eq!(ids(&claimed[3..]), ["running", "other"]);
    store.settle(&claimed[3], Outcome::Release).await.unwrap();
    while store.one.sweep().await.unwrap() > 0 {}
    assert_eq!(store.state(&id("running")).await, JobState::Failed);
    let counts = store.counts().await;
    let live = (counts.waiting, counts.delayed, counts.running);
    assert_eq!((live, counts.failed), ((1, 0, 1), 4));
    // The key is free, and a claim comes by none of them.
    store
        .add(keyed.with_id(id("next")).with(|job| job.deadline = None))
        .await;
    store.one.set_paused(QUEUE, false).await.unwrap();
    assert_eq!(ids(&store.claim(9).await), ["in time", "next"]);
}

pub(super) async fn a_result_over_the_limit_is_a_failure(store: Store) {
    let limits = QueueLimits {
        max_payload: 100,
        ..QueueLimits::default()
    };
    store.one.set_limits(QUEUE, limits).await.unwrap();
    store.add_named(&["big"]).await;
    let claimed = store.claim_one().await;
    let result = Payload::from_json(format!("\"{}\"", "x".repeat(99))).unwrap();
    assert_eq!(
        store.settle(&claimed, Outcome::Complete { result }).await,
        Ok(JobState::Failed)
    );
    let status = store.job(&id("big")).await.status;
    assert_eq!(status.result, None);
    assert_eq!(status.error.unwrap().kind, "result_too_large");
}

pub(super) async fn the_same_settlement_twice_is_refused_the_second_time(store: Store) {
    store.add_named(&["a", "b"]).await;
    let claimed = store.claim(2).await;
    let twice = vec![
        settlement(&claimed[0].lease, done()),
        settlement(&claimed[0].lease, failed()),
        settlement(&claimed[1].lease, failed()),
    ];
    let settled = store.exchange(twice, 0).await.settled;
    assert_eq!(settled[0], Ok(JobState::Completed));
    assert!(is_stale(settled[1].clone()));
    assert_eq!(settled[2], Ok(JobState::Failed));
    assert_eq!(store.state(&id("a")).await, JobState::Completed);
}

pub(super) async fn a_job_that_ended_can_be_tried_again(store: Store) {
    store.add_named(&["a", "b", "c", "waiting"]).await;
    let claimed = store.claim(2).await;
    store.settle(&claimed[0], failed()).await.unwrap();
    store.settle(&claimed[1], done()).await.unwrap();
    store.one.cancel(&[id("c")]).await.unwrap();
    let revived = store
        .another
        .revive(&[id("a"), id("c"), id("waiting"), id("never")])
        .await
        .unwrap();
    assert_eq!(revived[..2], [Ok(()), Ok(())]);
    assert!(matches!(
        &revived[2],
        Err(JobError::IllegalMove {
            state: JobState::Waiting,
            ..
        })
    ));
    assert!(matches!(&revived[3], Err(JobError::UnknownJob { .. })));
    let again = store.claim(9).await;
    assert_eq!(ids(&again), ["waiting", "a", "c"]);
    assert_eq!(again[1].attempt, 1);
    assert!(again[1].lease.epoch > claimed[0].lease.epoch);
    assert!(is_stale(store.settle(&claimed[0], done()).await));
    assert_eq!(store.job(&id("a")).await.status.error, None);
    assert_eq!(
        store.settle(&again[1], done()).await,
        Ok(JobState::Completed)
    );
}

pub(super) async fn kept_jobs_are_trimmed_by_bytes(store: Store) {
    let limits = QueueLimits {
        keep_bytes: 1_000,
        ..QueueLimits::default()
    };
    store.one.set_limits(QUEUE, limits).await.unwrap();
    let text = |bytes: usize| Payload::from_json(format!("\"{}\"", "x".repeat(bytes - 2)));
    let end = async |name: &str, outcome: Outcome| {
        store
            .add(
                job()
                    .with_id(id(name))
                    .with(|job| job.payload = text(100).unwrap()),
            )
            .await;
        let claimed = store.claim_one().await;
        store.settle(&claimed, outcome).await.unwrap();
        store.pass(ms(1_000));
        while store.one.sweep().await.unwrap() > 0 {}
    };
    let with = |bytes| Outcome::Complete {
        result: text(bytes).unwrap(),
    };
    let kept = async |names: [&str; 5]| {
        let found = store.another.get(&names.map(id)).await.unwrap();
        found.iter().map(Option::is_some).collect::<Vec<_>>()
    };
    let names = ["a", "b", "c", "d", "e"];
    end("a", failed()).await;
    end("b", with(200)).await;
    end("c", with(500)).await;
    assert_eq!(kept(names).await, [true, true, true, false, false]);
    // 100 bytes over: the one that did not fail goes first.
    end("d", failed()).await;
    assert_eq!(kept(names).await, [true, false, true, true, false]);
    // One that is tried again is not among those that ended.
    store.one.revive(&[id("c")]).await.unwrap()[0]
        .clone()
        .unwrap();
    let claimed = store.claim_one().await;
    end("e", with(700)).await;
    assert_eq!(kept(names).await, [true, false, true, true, true]);
    store.settle(&claimed, Outcome::Cancel).await.unwrap();
    while store.one.sweep().await.unwrap() > 0 {}
    assert_eq!(store.counts().await.bytes, 0);
    let counts = store.counts().await;
    assert_eq!((counts.completed, counts.failed), (0, 2));
    store.one.purge(QUEUE, &JobState::ALL, ms(0)).await.unwrap();
    end("a", with(800)).await;
    assert_eq!(kept(names).await, [true, false, false, false, false]);
}

pub(super) async fn kept_jobs_are_trimmed_by_number_and_purged_by_age(store: Store) {
    let limits = QueueLimits {
        keep_failed: 2,
        keep_finished: 3,
        failed_ttl_ms: 5_000,
        ..QueueLimits::default()
    };
    store.one.set_limits(QUEUE, limits).await.unwrap();
    for n in 0..10 {
        store.add(job().with_id(id(&n.to_string()))).await;
        let claimed = store.claim_one().await;
        let outcome = if n % 2 == 0 { done() } else { failed() };
        store.settle(&claimed, outcome).await.unwrap();
        store.pass(ms(100));
    }
    while store.one.sweep().await.unwrap() > 0 {}
    let counts = store.counts().await;
    assert_eq!((counts.completed, counts.failed), (3, 2));
    assert_eq!(store.state(&id("9")).await, JobState::Failed);
    assert_eq!(
        store.one.get(&[id("1"), id("0")]).await.unwrap(),
        [None, None]
    );
    // 4, 6 and 8 ended 600, 400 and 200 ms ago.
    let states = [JobState::Completed, JobState::Waiting];
    store.add_named(&["waiting"]).await;
    assert_eq!(store.one.purge(QUEUE, &states, ms(400)).await.unwrap(), 2);
    let counts = store.counts().await;
    assert_eq!((counts.completed, counts.failed, counts.waiting), (1, 2, 1));
    store.pass(ms(5_000));
    while store.one.sweep().await.unwrap() > 0 {}
    assert_eq!(store.counts().await.failed, 0);
}
