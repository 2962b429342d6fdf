//! Handlers in threads that nobody can end.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};

use super::super::blocking;
use super::*;
use crate::job::metrics;

/// Waits until the process says that so many attempts of the queue are stuck.
async fn stuck(jobs: &SharedJobs, queue: &str, count: u32) {
    let line = format!("jobs_stuck{{queue=\"{queue}\"}} {count}");
    let shown = async {
        while !metrics::render(&**jobs).await.unwrap().contains(&line) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(LONG, shown).await.expect(&line);
}

fn timed(name: &str, kind: &str) -> JobSpec {
    job("stuck", name).with(|job| {
        job.kind = Some(kind.into());
        job.max_attempts = 1;
        job.timeout_ms = Some(20);
    })
}

#[tokio::test]
async fn a_thread_keeps_its_slot_behind_its_timeout_until_it_returns() {
    let jobs = memory();
    let (release, wait) = std::sync::mpsc::channel::<()>();
    let wait = parking_lot::Mutex::new(wait);
    let gone = Arc::new(AtomicBool::new(false));
    let blocks = {
        let gone = Arc::clone(&gone);
        blocking(move |_| {
            wait.lock().recv().ok();
            gone.store(true, Ordering::SeqCst);
            Ok(Payload::NULL)
        })
    };
    let alone = Arc::clone(&gone);
    let worker = Worker::builder(SharedJobs::clone(&jobs))
        .lane("stuck", 1)
        .handler("blocks", blocks)
        .handler("looks", move |_: Context| {
            let alone = alone.load(Ordering::SeqCst);
            async move { Ok(Payload::of(&alone)?) }
        });
    let worker = start(worker);
    jobs.enqueue_one(timed("a", "blocks")).await.unwrap();
    let status = ended(&jobs, &id("a")).await.status;
    assert_eq!(status.error.unwrap().kind, "timeout");
    jobs.enqueue_one(job("stuck", "b").with(|job| job.kind = Some("looks".into())))
        .await
        .unwrap();
    stuck(&jobs, "stuck", 1).await;
    release.send(()).unwrap();
    let result = ended(&jobs, &id("b")).await.status.result.unwrap();
    assert_eq!(&**result.as_bytes(), b"true");
    stuck(&jobs, "stuck", 0).await;
    let report = worker.stop().await;
    assert_eq!((report.failed, report.completed), (1, 1));
}

#[tokio::test]
async fn a_worker_that_stops_now_does_not_wait_for_a_thread() {
    let jobs = memory();
    let (release, wait) = std::sync::mpsc::channel::<()>();
    let wait = parking_lot::Mutex::new(wait);
    let begun = Arc::new(Semaphore::new(0));
    let begins = Arc::clone(&begun);
    let worker = Worker::builder(SharedJobs::clone(&jobs))
        .lane("q", 1)
        .default_handler(blocking(move |_| {
            begins.add_permits(1);
            wait.lock().recv().ok();
            Ok(Payload::NULL)
        }));
    let worker = start(worker);
    put(&jobs, "q", 1).await;
    heard(&begun).await;
    worker.handle.stop_now();
    assert_eq!(worker.report().await.released, 1);
    drop(release);
}

#[tokio::test]
async fn blocking_handlers_have_threads_of_their_own() {
    const MANY: usize = 600;
    let jobs = memory();
    let all = Arc::new(Barrier::new(MANY));
    let worker = Worker::builder(SharedJobs::clone(&jobs))
        .lane("q", MANY)
        .default_handler(blocking(move |_| {
            // More than the runtime has for all who block.
            all.wait();
            tokio::runtime::Handle::current();
            Ok(Payload::NULL)
        }));
    let worker = start(worker);
    for id in put(&jobs, "q", MANY).await {
        ended(&jobs, &id).await;
    }
    assert_eq!(worker.stop().await.completed, MANY as u64);
}
