//! How many at once, how many in a time, and how much.

use super::*;
use crate::clock::{TERM_LIMIT_MS, TIME_LIMIT};
use crate::job::{QueueLimits, Rate};

pub(super) async fn jobs_wait_for_their_first_worker_and_are_claimed_by_number(store: Store) {
    store.add_named(&["a", "b", "c"]).await;
    assert!(store.claim(0).await.is_empty());
    let claimed = store.claim(2).await;
    assert_eq!(ids(&claimed), ["a", "b"]);
    assert_eq!((claimed[0].attempt, claimed[0].stalls), (1, 0));
    let running = store.job(&id("a")).await.status;
    assert_eq!(
        (running.state, running.worker.as_deref()),
        (JobState::Running, Some("checker"))
    );
    assert_eq!(
        (running.created_at, running.started_at),
        (START, Some(START))
    );
    let by_other = store.another.claim(QUEUE, claim(9)).await.unwrap();
    assert_eq!(ids(&by_other), ["c"]);
}

pub(super) async fn a_queues_concurrency_holds_across_workers_and_stalls(store: Store) {
    let limits = QueueLimits {
        concurrency: Some(2),
        ..QueueLimits::default()
    };
    store.one.set_limits(QUEUE, limits).await.unwrap();
    assert_eq!(
        store.another.limits(QUEUE).await.unwrap().concurrency,
        Some(2)
    );
    store.add_named(&["a", "b", "c", "d"]).await;
    let first = store.claim(1).await;
    let second = store.another.claim(QUEUE, claim(9)).await.unwrap();
    assert_eq!((ids(&first), ids(&second)), (vec!["a"], vec!["b"]));
    assert!(store.claim(9).await.is_empty());
    // Both lapse: two are taken back, and two run again.
    store.pass(LEASE + ms(1));
    assert_eq!(ids(&store.claim(9).await), ["a", "b"]);
    assert!(
        store
            .another
            .claim(QUEUE, claim(9))
            .await
            .unwrap()
            .is_empty()
    );
    let limits = QueueLimits {
        concurrency: Some(3),
        ..QueueLimits::default()
    };
    store.one.set_limits(QUEUE, limits).await.unwrap();
    assert_eq!(ids(&store.claim(9).await), ["c"]);
}

pub(super) async fn a_groups_concurrency_holds_and_its_next_job_follows(store: Store) {
    let limits = QueueLimits {
        group_concurrency: Some(1),
        ..QueueLimits::default()
    };
    store.one.set_limits(QUEUE, limits).await.unwrap();
    let grouped = |name: &str, group: &str| {
        job()
            .with_id(id(name))
            .with(|job| job.group = Some(group.into()))
    };
    for (name, group) in [("a1", "a"), ("a2", "a"), ("a3", "a"), ("b1", "b")] {
        store.add(grouped(name, group)).await;
    }
    store.add_named(&["free"]).await;
    let claimed = store.claim(9).await;
    let mut got = ids(&claimed);
    got.sort_unstable();
    assert_eq!(got, ["a1", "b1", "free"]);
    assert_eq!(store.counts().await.waiting, 2);
    assert!(
        store
            .another
            .claim(QUEUE, claim(9))
            .await
            .unwrap()
            .is_empty()
    );
    let a1 = claimed.iter().find(|one| one.lease.id == id("a1")).unwrap();
    // Settled and claimed at once: the slot is free in the same exchange.
    let exchanged = store
        .exchange(vec![settlement(&a1.lease, retried(0))], 9)
        .await;
    assert_eq!(exchanged.claimed.len(), 1);
    let next = exchanged.claimed[0].clone();
    assert_eq!(next.lease.id, id("a2"));
    // One that waits for its group's turn can be cancelled like any other.
    let states = store.one.cancel(&[id("a3")]).await.unwrap();
    assert_eq!(states, [Some(JobState::Cancelled)]);
    // A stall frees the group too.
    store.pass(LEASE + ms(1));
    let claimed = store.claim(9).await;
    assert_eq!(
        claimed
            .iter()
            .filter(|one| one.spec.group.as_deref() == Some("a"))
            .count(),
        1
    );
    let no_limit = QueueLimits::default();
    store.one.set_limits(QUEUE, no_limit).await.unwrap();
    assert_eq!(store.claim(9).await.len(), 1);
}

pub(super) async fn a_group_goes_on_when_its_next_job_goes_unrun(store: Store) {
    let limits = QueueLimits {
        group_concurrency: Some(1),
        ..QueueLimits::default()
    };
    store.one.set_limits(QUEUE, limits).await.unwrap();
    let grouped = |name: &str| {
        job()
            .with_id(id(name))
            .with(|job| job.group = Some("a".into()))
    };
    store.add(grouped("first")).await;
    store.add(grouped("cancelled")).await;
    store.add(grouped("deleted")).await;
    let late = grouped("late").with(|job| job.deadline = Some(START));
    store.add(late).await;
    store.add(grouped("last")).await;
    // The claim looks at all of them: all but the first wait for it.
    let claimed = store.claim(9).await;
    assert_eq!(ids(&claimed), ["first"]);
    store.settle(&claimed[0], done()).await.unwrap();
    store.one.cancel(&[id("cancelled")]).await.unwrap();
    store.one.delete(&[id("deleted")]).await.unwrap();
    store.pass(ms(1));
    assert_eq!(ids(&store.claim(9).await), ["last"]);
    assert_eq!(store.state(&id("late")).await, JobState::Failed);
}

pub(super) async fn a_rate_holds_across_workers(store: Store) {
    let rate = Some(Rate {
        jobs: 10,
        per_ms: 1_000,
        burst: Some(2),
    });
    let limits = QueueLimits {
        rate,
        ..QueueLimits::default()
    };
    store.one.set_limits(QUEUE, limits).await.unwrap();
    for n in 0..20 {
        let priority = if n == 19 { 9 } else { 0 };
        store
            .add(
                job()
                    .with_id(id(&n.to_string()))
                    .with(|job| job.priority = priority),
            )
            .await;
    }
    let exchanged = store.exchange(Vec::new(), 9).await;
    assert_eq!(ids(&exchanged.claimed), ["19", "0"]);
    assert!(
        store
            .another
            .claim(QUEUE, claim(9))
            .await
            .unwrap()
            .is_empty()
    );
    let again = store.exchange(Vec::new(), 9).await;
    assert_eq!(again.again_in, Some(ms(100)));
    store.pass(ms(99));
    assert!(store.claim(9).await.is_empty());
    store.pass(ms(1));
    assert_eq!(
        ids(&store.another.claim(QUEUE, claim(9)).await.unwrap()),
        ["1"]
    );
    store.pass(ms(10_000));
    assert_eq!(store.claim(9).await.len(), 2);
}

pub(super) async fn another_rate_holds_at_once(store: Store) {
    let limits = |jobs, per_ms| QueueLimits {
        rate: Some(Rate {
            jobs,
            per_ms,
            burst: None,
        }),
        ..QueueLimits::default()
    };
    let one_a_day = limits(1, 24 * 60 * 60 * 1_000);
    store.one.set_limits(QUEUE, one_a_day).await.unwrap();
    store.add_named(&["a", "b", "c"]).await;
    assert_eq!(ids(&store.claim(9).await), ["a"]);
    let ten_a_second = limits(10, 1_000);
    store.one.set_limits(QUEUE, ten_a_second).await.unwrap();
    let exchanged = store.exchange(Vec::new(), 9).await;
    assert_eq!(ids(&exchanged.claimed), [""; 0]);
    assert_eq!(exchanged.again_in, Some(ms(100)));
    store.pass(ms(100));
    assert_eq!(ids(&store.claim(9).await), ["b"]);
}

pub(super) async fn numbers_out_of_range_are_refused(store: Store) {
    type Row = (&'static str, fn(&mut JobSpec));
    let rows: [Row; 7] = [
        ("priority", |job| job.priority = i16::MIN),
        ("delay_ms", |job| job.delay_ms = Some(u64::MAX)),
        ("run_at", |job| job.run_at = Some(u64::MAX)),
        ("deadline", |job| job.deadline = Some(u64::MAX)),
        ("timeout_ms", |job| job.timeout_ms = Some(u64::MAX)),
        ("result_ttl_ms", |job| job.result_ttl_ms = u64::MAX),
        ("unique_for_ms", |job| {
            job.unique_key = Some("key".into());
            job.unique_for_ms = Some(u64::MAX);
        }),
    ];
    for (expected, change) in rows {
        let answer = store.one.enqueue_one(job().with(change)).await;
        let refused = matches!(&answer, Err(JobError::Invalid { field, .. }) if *field == expected);
        assert!(refused, "{expected}: {answer:?}");
    }
    let rate = Some(Rate {
        jobs: 1,
        per_ms: u64::MAX,
        burst: None,
    });
    let rows = [
        QueueLimits {
            rate,
            ..QueueLimits::default()
        },
        QueueLimits {
            failed_ttl_ms: u64::MAX,
            ..QueueLimits::default()
        },
    ];
    for limits in rows {
        let set = store.one.set_limits(QUEUE, limits).await;
        assert!(matches!(set, Err(JobError::Invalid { .. })), "{set:?}");
    }
    // The largest that are not.
    let rate = Some(Rate {
        jobs: 1,
        per_ms: TERM_LIMIT_MS,
        burst: Some(u32::MAX),
    });
    let limits = QueueLimits {
        rate,
        max_bytes: u64::MAX,
        failed_ttl_ms: TERM_LIMIT_MS,
        ..QueueLimits::default()
    };
    store.one.set_limits(QUEUE, limits).await.unwrap();
    let spec = job().with(|job| {
        job.result_ttl_ms = TERM_LIMIT_MS;
        job.deadline = Some(TIME_LIMIT);
        job.unique_key = Some("key".into());
        job.unique_for_ms = Some(TERM_LIMIT_MS);
    });
    store.add(spec.clone()).await;
    let claimed = store.claim_one().await;
    store.settle(&claimed, done()).await.unwrap();
    assert_eq!(
        store.one.enqueue_one(spec).await.unwrap(),
        Enqueued::Duplicate(claimed.lease.id)
    );
}

pub(super) async fn a_pause_stops_claims_only(store: Store) {
    store.add_named(&["a", "b"]).await;
    let running = store.claim_one().await;
    store.another.set_paused(QUEUE, true).await.unwrap();
    assert!(store.counts().await.paused);
    assert!(store.claim(9).await.is_empty());
    store.settle(&running, done()).await.unwrap();
    store.add_named(&["c"]).await;
    assert!(store.claim(9).await.is_empty());
    store.add(JobSpec::new("other", Payload::NULL)).await;
    assert_eq!(store.one.claim("other", claim(9)).await.unwrap().len(), 1);
    store.one.set_paused(QUEUE, false).await.unwrap();
    assert_eq!(ids(&store.claim(9).await), ["b", "c"]);
}

pub(super) async fn a_pause_of_an_hour_loses_nothing(store: Store) {
    store.add_named(&["waiting"]).await;
    store.add(job().with_id(id("due")).after(ms(1_000))).await;
    store.one.set_paused(QUEUE, true).await.unwrap();
    store.pass(ms(3_600_000));
    while store.one.sweep().await.unwrap() > 0 {}
    assert!(store.claim(9).await.is_empty());
    store.one.set_paused(QUEUE, false).await.unwrap();
    assert_eq!(ids(&store.claim(9).await), ["waiting", "due"]);
}

pub(super) async fn payloads_over_the_limit_and_full_queues_are_refused(store: Store) {
    let limits = QueueLimits {
        max_payload: 100,
        max_bytes: 150,
        ..QueueLimits::default()
    };
    store.one.set_limits(QUEUE, limits).await.unwrap();
    let sized = |bytes: usize| {
        let text = format!("\"{}\"", "x".repeat(bytes - 2));
        JobSpec::new(QUEUE, Payload::from_json(text).unwrap())
    };
    let answer = store.another.enqueue_one(sized(101)).await;
    assert!(
        matches!(
            answer,
            Err(JobError::TooLarge {
                what: "payload",
                bytes: 101,
                limit: 100
            })
        ),
        "{answer:?}"
    );
    let first = store.add(sized(100)).await;
    let answer = store.one.enqueue_one(sized(51)).await;
    assert!(
        matches!(answer, Err(JobError::QueueFull { limit: 150, .. })),
        "{answer:?}"
    );
    store.add(sized(50)).await;
    assert_eq!(store.counts().await.bytes, 150);
    let claimed = store.claim_one().await;
    assert_eq!(claimed.lease.id, first);
    store.settle(&claimed, done()).await.unwrap();
    assert_eq!(store.counts().await.bytes, 50);
    store.add(sized(100)).await;
    let zero = QueueLimits {
        concurrency: Some(0),
        ..QueueLimits::default()
    };
    assert!(matches!(
        store.one.set_limits(QUEUE, zero).await,
        Err(JobError::Invalid { .. })
    ));
}
