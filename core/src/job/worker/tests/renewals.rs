//! Leases: kept whatever the runtime does, and let go when they are lost.

use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::FutureExt;

use super::between::{Between, Fate, Verb};
use super::*;
use crate::job::JobState;
use crate::testing::ManualClock;

/// Short, but not so short that a busy machine loses it.
const LEASE: Duration = Duration::from_millis(900);

/// Jobs whose time goes on by two thirds of a lease with each renewal, and that are
/// swept then: a lease that was not renewed before is over.
fn timed(renewals: u32, done: impl Fn() + Send + Sync + 'static) -> (SharedJobs, SharedJobs) {
    let clock = ManualClock::default();
    let jobs: SharedJobs = Arc::new(MemoryJobs::with_clock(Arc::new(clock.clone())));
    let count = AtomicU32::new(0);
    let swept = SharedJobs::clone(&jobs);
    let between = Between::over(SharedJobs::clone(&jobs), move |verb| {
        if verb == Verb::Renew {
            clock.advance(LEASE * 2 / 3);
            swept.sweep().now_or_never();
            if count.fetch_add(1, Ordering::SeqCst) == renewals {
                done();
            }
        }
        Fate::Good
    });
    (jobs, between)
}

#[tokio::test]
async fn a_job_of_ten_leases_is_run_once_though_its_handler_blocks_the_runtime() {
    let (release, wait) = std::sync::mpsc::channel::<()>();
    let (jobs, between) = timed(15, move || release.send(()).unwrap_or(()));
    put(&jobs, "q", 1).await;
    let wait = parking_lot::Mutex::new(wait);
    let worker = Worker::builder(between)
        .lane("q", 2)
        .lease(LEASE)
        .default_handler(move |_: Context| {
            // The only thread of this runtime.
            wait.lock().recv().ok();
            std::future::ready(Ok(Payload::NULL))
        });
    let worker = start(worker);
    let status = ended(&jobs, &id("q-0")).await.status;
    assert_eq!((status.state, status.epoch), (JobState::Completed, 1));
    let took = status.finished_at.unwrap() - status.started_at.unwrap();
    assert!(took >= crate::clock::millis(LEASE * 10), "{took}");
    assert_eq!(status.stalls, 0);
    assert_eq!(worker.stop().await.lost, 0);
}

#[tokio::test]
async fn the_outcome_of_a_lost_lease_is_dropped() {
    let jobs = memory();
    put(&jobs, "q", 1).await;
    let gate = Gate::new();
    let handler = {
        let gate = gate.clone();
        move |job: Context| {
            let gate = gate.clone();
            async move {
                gate.pass().await;
                job.cancelled().cancelled().await;
                Ok(Payload::NULL)
            }
        }
    };
    let worker = Worker::builder(SharedJobs::clone(&jobs))
        .lane("q", 1)
        .lease(LEASE)
        .default_handler(handler);
    let worker = start(worker);
    gate.wait_for(1).await;
    jobs.delete(&[id("q-0")]).await.unwrap();
    // A new one of the same id, of which the old attempt must not become the end.
    jobs.set_paused("q", true).await.unwrap();
    put(&jobs, "q", 1).await;
    gate.open(1);
    let report = worker.stop().await;
    assert_eq!((report.lost, report.recorded()), (1, 0), "{report:?}");
    let status = jobs.find(&id("q-0")).await.unwrap().status;
    assert_eq!(status.state, JobState::Waiting);
}

#[tokio::test]
async fn without_renewals_attempts_are_given_up_and_none_are_begun_until_they_succeed() {
    // What runs out at the worker runs out here when the test says so.
    let clock = ManualClock::default();
    let jobs: SharedJobs = Arc::new(MemoryJobs::with_clock(Arc::new(clock.clone())));
    put(&jobs, "q", 2).await;
    let fails = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let refused = Arc::new(Semaphore::new(0));
    let claims = Arc::new(AtomicU32::new(0));
    let between = {
        let (fails, refused, claims) = (
            Arc::clone(&fails),
            Arc::clone(&refused),
            Arc::clone(&claims),
        );
        Between::over(SharedJobs::clone(&jobs), move |verb| {
            if !fails.load(Ordering::SeqCst) {
                return Fate::Good;
            }
            match verb {
                Verb::Renew => {
                    refused.add_permits(1);
                    return Fate::Refused;
                }
                Verb::Exchange(_, 1..) => {
                    claims.fetch_add(1, Ordering::SeqCst);
                }
                _ => {}
            }
            Fate::Good
        })
    };
    let gate = Gate::new();
    let lapsed = Arc::new(Semaphore::new(0));
    let handler = {
        let (gate, lapsed) = (gate.clone(), Arc::clone(&lapsed));
        move |job: Context| {
            let (gate, lapsed) = (gate.clone(), Arc::clone(&lapsed));
            async move {
                if job.id().as_str() == "q-0" && job.lease().epoch == 1 {
                    gate.pass().await;
                    job.cancelled().cancelled().await;
                    lapsed.add_permits(1);
                }
                Ok(Payload::NULL)
            }
        }
    };
    let worker = Worker::builder(between)
        .lane("q", 1)
        .lease(LEASE)
        .default_handler(handler);
    let worker = start(worker);
    gate.wait_for(1).await;
    fails.store(true, Ordering::SeqCst);
    gate.open(1);
    heard(&lapsed).await;
    // Its slot is free and no lease is held, but nothing is claimed: renewals are tried on.
    refused.forget_permits(usize::MAX);
    for _ in 0..3 {
        heard(&refused).await;
    }
    assert_eq!(claims.load(Ordering::SeqCst), 0);
    clock.advance(LEASE * 2);
    fails.store(false, Ordering::SeqCst);
    let status = ended(&jobs, &id("q-0")).await.status;
    assert_eq!((status.stalls, status.epoch, status.attempt), (1, 2, 1));
    ended(&jobs, &id("q-1")).await;
    let report = worker.stop().await;
    assert_eq!((report.lost, report.completed), (1, 2), "{report:?}");
}

#[tokio::test]
async fn an_answer_that_does_not_come_loses_the_lease_and_the_connection() {
    let jobs = memory();
    put(&jobs, "q", 1).await;
    let hangs = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let connections = Arc::new(AtomicU32::new(0));
    let between = {
        let (hangs, connections) = (Arc::clone(&hangs), Arc::clone(&connections));
        Between::over(SharedJobs::clone(&jobs), move |verb| match verb {
            Verb::Renew if hangs.load(Ordering::SeqCst) => Fate::Hung,
            Verb::Apart => {
                connections.fetch_add(1, Ordering::SeqCst);
                Fate::Good
            }
            _ => Fate::Good,
        })
    };
    let lapsed = Arc::new(Semaphore::new(0));
    let handler = {
        let (hangs, lapsed) = (Arc::clone(&hangs), Arc::clone(&lapsed));
        move |job: Context| {
            let (hangs, lapsed) = (Arc::clone(&hangs), Arc::clone(&lapsed));
            async move {
                if job.lease().epoch == 1 {
                    hangs.store(true, Ordering::SeqCst);
                    job.cancelled().cancelled().await;
                    lapsed.add_permits(1);
                }
                Ok(Payload::NULL)
            }
        }
    };
    let worker = Worker::builder(between)
        .lane("q", 1)
        .lease(LEASE)
        .default_handler(handler);
    let worker = start(worker);
    heard(&lapsed).await;
    hangs.store(false, Ordering::SeqCst);
    let status = ended(&jobs, &id("q-0")).await.status;
    assert_eq!((status.state, status.stalls), (JobState::Completed, 1));
    assert!(connections.load(Ordering::SeqCst) > 1);
    assert_eq!(worker.stop().await.lost, 1);
}

#[tokio::test]
async fn answers_that_come_late_but_within_the_lease_keep_it() {
    const LEASE: Duration = Duration::from_millis(1_500);
    let jobs = memory();
    put(&jobs, "q", 1).await;
    let late = Arc::new(Semaphore::new(0));
    let between = {
        let late = Arc::clone(&late);
        Between::over(SharedJobs::clone(&jobs), move |verb| match verb {
            Verb::Renew => {
                late.add_permits(1);
                Fate::Late(LEASE * 2 / 5)
            }
            _ => Fate::Good,
        })
    };
    let gate = Gate::new();
    let worker = Worker::builder(between)
        .lane("q", 1)
        .lease(LEASE)
        .default_handler(gate.handler());
    let worker = start(worker);
    gate.wait_for(1).await;
    for _ in 0..5 {
        heard(&late).await;
    }
    gate.open(1);
    let status = ended(&jobs, &id("q-0")).await.status;
    assert_eq!((status.state, status.epoch), (JobState::Completed, 1));
    assert_eq!(worker.stop().await.lost, 0);
}

#[tokio::test]
async fn a_request_to_cancel_reaches_the_handler_and_wins_over_failure() {
    let jobs = memory();
    put(&jobs, "q", 2).await;
    let gate = Gate::new();
    let handler = {
        let gate = gate.clone();
        move |job: Context| {
            let gate = gate.clone();
            async move {
                gate.pass().await;
                job.cancelled().cancelled().await;
                match job.id().as_str() {
                    "q-0" => Err(HandlerError::Failed(crate::job::Failure::new("x", "y"))),
                    _ => Ok(Payload::NULL),
                }
            }
        }
    };
    let worker = Worker::builder(SharedJobs::clone(&jobs))
        .lane("q", 2)
        .lease(LEASE)
        .default_handler(handler);
    let worker = start(worker);
    gate.wait_for(2).await;
    gate.open(2);
    jobs.cancel(&[id("q-0"), id("q-1")]).await.unwrap();
    assert_eq!(
        ended(&jobs, &id("q-0")).await.status.state,
        JobState::Cancelled
    );
    assert_eq!(
        ended(&jobs, &id("q-1")).await.status.state,
        JobState::Completed
    );
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_does_not_give_way_is_ended() {
    let jobs = memory();
    put(&jobs, "q", 1).await;
    let gate = Gate::new();
    let worker = Worker::builder(SharedJobs::clone(&jobs))
        .lane("q", 1)
        .lease(LEASE)
        .default_handler(gate.handler());
    let worker = start(worker);
    // Time goes on by itself here, but for the thread of renewals: no limits.
    gate.came.acquire().await.unwrap().forget();
    jobs.cancel(&[id("q-0")]).await.unwrap();
    while jobs.find(&id("q-0")).await.unwrap().status.state == JobState::Running {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let status = jobs.find(&id("q-0")).await.unwrap().status;
    assert_eq!(status.state, JobState::Cancelled);
    worker.handle.stop();
    assert_eq!(worker.task.await.unwrap().unwrap().cancelled, 1);
}
