//! A backend that fails for a while costs time, never an outcome.

use std::sync::atomic::{AtomicU32, Ordering};

use super::between::{Between, Fate, Verb};
use super::*;
use crate::job::{JobState, metrics};

/// Of jobs whose time goes by renewals.
const LEASE: Duration = LONG;
/// Longer than all the time that goes by.
const KEPT_MS: u64 = crate::clock::TERM_LIMIT_MS;

#[tokio::test]
async fn while_the_backend_fails_no_outcome_is_lost_and_no_job_runs_twice() {
    let (exchanges, reports) = (AtomicU32::new(0), AtomicU32::new(0));
    let first_ends = AtomicU32::new(0);
    let (jobs, between) = Between::hurried(LEASE, move |verb| {
        let nth = |of: &AtomicU32| of.fetch_add(1, Ordering::SeqCst) % 4;
        match verb {
            Verb::Exchange(1.., _) if first_ends.fetch_add(1, Ordering::SeqCst) == 0 => {
                Fate::Unanswered
            }
            Verb::Exchange(..) => {
                [Fate::Good, Fate::Unanswered, Fate::Good, Fate::Refused][nth(&exchanges) as usize]
            }
            Verb::Report if nth(&reports) < 2 => Fate::Refused,
            _ => Fate::Good,
        }
    });
    let specs = (0..300).map(|nth| job("q", &format!("q-{nth}")));
    // A claim whose answer is lost stalls: as often as it may be.
    let specs =
        specs.map(|job| job.with(|job| (job.max_stalls, job.result_ttl_ms) = (1_000, KEPT_MS)));
    jobs.enqueue(specs.collect()).await.unwrap();
    let runs = Arc::new(AtomicU32::new(0));
    let handler = {
        let runs = Arc::clone(&runs);
        move |job: Context| {
            runs.fetch_add(1, Ordering::SeqCst);
            async move {
                job.progress(50.0, "half");
                tokio::task::yield_now().await;
                Ok(Payload::NULL)
            }
        }
    };
    let worker = Worker::builder(between)
        // Enough for two exchanges under way.
        .lane("q", 128)
        .lease(LEASE)
        .default_handler(handler);
    let worker = start(worker);
    let mut stalls = 0;
    for nth in 0..300 {
        let status = ended(&jobs, &id(&format!("q-{nth}"))).await.status;
        assert_eq!((status.state, status.attempt), (JobState::Completed, 1));
        assert_eq!(status.epoch, u64::from(1 + status.stalls));
        stalls += status.stalls;
    }
    assert!(stalls > 0, "answers with jobs were lost");
    let report = worker.stop().await;
    assert_eq!(runs.load(Ordering::SeqCst), 300);
    // One that was recorded though its answer was lost is refused when sent again.
    let known = report.completed + report.lost;
    assert_eq!((known, report.unrecorded), (300, 0), "{report:?}");
    assert!(report.lost > 0, "{report:?}");
}

#[tokio::test]
async fn an_end_whose_answer_was_lost_is_sent_again_and_counts_once() {
    let jobs = memory();
    put(&jobs, "q", 1).await;
    let lost = AtomicU32::new(0);
    let between = Between::over(SharedJobs::clone(&jobs), move |verb| match verb {
        Verb::Exchange(1.., _) if lost.fetch_add(1, Ordering::SeqCst) == 0 => Fate::Unanswered,
        _ => Fate::Good,
    });
    let worker = Worker::builder(between)
        .lane("q", 1)
        .default_handler(nothing);
    let worker = start(worker);
    assert_eq!(
        ended(&jobs, &id("q-0")).await.status.state,
        JobState::Completed
    );
    let report = worker.stop().await;
    assert_eq!((report.lost, report.recorded()), (1, 0), "{report:?}");
}

#[tokio::test]
async fn a_claim_whose_answer_was_lost_comes_again_as_a_stall() {
    let lost = AtomicU32::new(0);
    let (jobs, between) = Between::hurried(LEASE, move |verb| match verb {
        Verb::Exchange(0, 1..) if lost.fetch_add(1, Ordering::SeqCst) == 0 => Fate::Unanswered,
        _ => Fate::Good,
    });
    let kept = job("q", "q-0").with(|job| job.result_ttl_ms = KEPT_MS);
    jobs.enqueue_one(kept).await.unwrap();
    let worker = Worker::builder(between)
        .lane("q", 1)
        .lease(LEASE)
        .default_handler(nothing);
    let worker = start(worker);
    let status = ended(&jobs, &id("q-0")).await.status;
    assert_eq!((status.attempt, status.stalls, status.epoch), (1, 1, 2));
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_stops_without_a_backend_ends_and_says_what_is_unrecorded() {
    for (queue, fate) in [("refused", Fate::Refused), ("hung", Fate::Hung)] {
        let jobs = memory();
        put(&jobs, queue, 2).await;
        // Also of what waits for its last news.
        let between = Between::over(SharedJobs::clone(&jobs), move |verb| match verb {
            Verb::Exchange(1.., _) => fate,
            Verb::Report => Fate::Hung,
            _ => Fate::Good,
        });
        let gate = Gate::new();
        let told = Arc::new(parking_lot::Mutex::new(Vec::new()));
        let (passed, tells) = (gate.clone(), Arc::clone(&told));
        let handler = move |job: Context| {
            let gate = passed.clone();
            async move {
                gate.pass().await;
                if job.id().as_str().ends_with('1') {
                    job.log("its last words");
                }
                Ok(Payload::NULL)
            }
        };
        let worker = Worker::builder(between)
            .lane(queue, 2)
            .default_handler(handler)
            .on_end(move |end| tells.lock().push((end.lease.id.to_string(), end.outcome)));
        let worker = start(worker);
        gate.came.acquire_many(2).await.unwrap().forget();
        gate.open(2);
        worker.handle.stop();
        let report = worker.task.await.unwrap().unwrap();
        assert_eq!((report.unrecorded, report.recorded()), (2, 0), "{report:?}");
        let mut told = std::mem::take(&mut *told.lock());
        told.sort();
        let unrecorded = |nth| (format!("{queue}-{nth}"), "unrecorded");
        assert_eq!(told, [unrecorded(0), unrecorded(1)]);
        let shown = metrics::render(&*jobs).await.unwrap();
        let line = format!("jobs_ended_total{{queue=\"{queue}\",outcome=\"unrecorded\"}} 2");
        assert!(shown.contains(&line), "{shown}");
    }
}
