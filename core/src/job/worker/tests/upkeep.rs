//! What workers do for all: schedules, presence, sweeps.

use super::super::schedules;
use super::*;
use crate::job::{JobState, Schedule};
use crate::testing::ManualClock;

#[tokio::test]
async fn a_worker_says_that_it_is_there() {
    let jobs = memory();
    put(&jobs, "q", 1).await;
    let gate = Gate::new();
    let worker = Worker::builder(SharedJobs::clone(&jobs))
        .id("w")
        .lane_of(&["q", "r"], 2)
        .default_handler(gate.handler());
    let worker = start(worker);
    gate.wait_for(1).await;
    let there = jobs.workers().await.unwrap().pop().unwrap();
    assert_eq!(
        (&*there.worker, there.queues),
        ("w", vec!["q,r:2".to_owned()])
    );
    assert_eq!(there.pid, std::process::id());
    gate.open(1);
    worker.stop().await;
    // It has left: nobody waits for its silence to be noticed.
    assert!(jobs.workers().await.unwrap().is_empty());
}

#[tokio::test]
async fn one_of_two_workers_fires_a_tick_and_the_other_takes_over() {
    let clock = ManualClock::default();
    let jobs: SharedJobs = Arc::new(MemoryJobs::with_clock(Arc::new(clock.clone())));
    let schedule = Schedule::new("hourly", "0 * * * *", JobSpec::new("q", Payload::NULL));
    jobs.put_schedule(schedule).await.unwrap();
    let worker = || {
        Worker::builder(SharedJobs::clone(&jobs))
            // As it happens: each host's first worker has the same name.
            .id("worker-1")
            .lane("q", 1)
            .default_handler(nothing)
            .build()
            .unwrap()
    };
    let (one, two) = (worker(), worker());
    let waiting = async || {
        let counts = jobs.counts().await.unwrap();
        counts.first().map_or(0, |queue| queue.waiting)
    };
    assert!(schedules::round(&one.crew).await.unwrap().is_some());
    assert!(schedules::round(&two.crew).await.unwrap().is_none());
    assert_eq!(waiting().await, 0);
    clock.advance(Duration::from_secs(3_600));
    // The first one is silent: its term is over.
    assert!(schedules::round(&two.crew).await.unwrap().is_some());
    assert_eq!(waiting().await, 1);
    assert!(schedules::round(&one.crew).await.unwrap().is_none());
    assert!(schedules::round(&two.crew).await.unwrap().is_some());
    assert_eq!(waiting().await, 1);
}

#[tokio::test]
async fn a_tick_that_a_full_queue_refuses_fires_when_there_is_room() {
    let clock = ManualClock::default();
    let jobs: SharedJobs = Arc::new(MemoryJobs::with_clock(Arc::new(clock.clone())));
    let full = |max_bytes| crate::job::QueueLimits {
        max_bytes,
        ..Default::default()
    };
    let schedule = Schedule::new("hourly", "0 * * * *", JobSpec::new("q", Payload::NULL));
    jobs.put_schedule(schedule).await.unwrap();
    jobs.set_limits("q", full(0)).await.unwrap();
    let worker = Worker::builder(SharedJobs::clone(&jobs))
        .lane("q", 1)
        .default_handler(nothing)
        .build()
        .unwrap();
    let tick = jobs.schedules().await.unwrap()[0].next_at;
    clock.set(tick);
    schedules::round(&worker.crew).await.unwrap().unwrap();
    assert_eq!(jobs.counts().await.unwrap()[0].waiting, 0);
    assert_eq!(jobs.schedules().await.unwrap()[0].next_at, tick);
    jobs.set_limits("q", full(100)).await.unwrap();
    clock.advance(Duration::from_secs(5));
    schedules::round(&worker.crew).await.unwrap().unwrap();
    assert_eq!(jobs.counts().await.unwrap()[0].waiting, 1);
    assert_eq!(jobs.schedules().await.unwrap()[0].next_at, tick + 3_600_000);
}

#[tokio::test]
async fn a_worker_takes_back_what_stalled_in_queues_that_are_not_its_own() {
    let jobs = memory();
    put(&jobs, "other", 1).await;
    let claim = crate::job::Claim {
        worker: "dead".into(),
        max: 1,
        lease: Duration::from_millis(1),
    };
    assert_eq!(jobs.claim("other", claim).await.unwrap().len(), 1);
    let mut events = jobs.events().await.unwrap();
    let worker = Worker::builder(SharedJobs::clone(&jobs))
        .lane("q", 1)
        .lease(Duration::from_millis(60))
        .default_handler(nothing);
    let worker = start(worker);
    let stalled = async {
        use futures_util::StreamExt;
        while let Some(event) = events.next().await {
            if event.what == crate::job::What::Stalled {
                return;
            }
        }
    };
    tokio::time::timeout(LONG, stalled).await.unwrap();
    let status = jobs.find(&id("other-0")).await.unwrap().status;
    assert_eq!(status.state, JobState::Waiting);
    worker.stop().await;
}
