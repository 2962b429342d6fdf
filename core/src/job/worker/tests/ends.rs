//! What each end of a handler does to its job.

use super::super::blocking;
use super::*;
use crate::job::{Failure, JobState, failure_kind};

async fn every_end(job: Context) -> Result<Payload, HandlerError> {
    let first = job.attempt() == 1;
    match job.kind() {
        "answers" => Payload::of(&job.session()).map_err(HandlerError::from),
        "breaks" => Err("no number".parse::<u8>().unwrap_err())?,
        "fails" => Err(Failure::new("Mine", "no luck"))?,
        "recovers" if first => Err(Failure::new("Mine", "no luck"))?,
        "never" => Err(HandlerError::Unrecoverable(Failure::new("Mine", "never"))),
        "panics" => panic!("at {}", job.id()),
        "panics late" => {
            tokio::task::yield_now().await;
            panic!("late")
        }
        "gives up" => Err(HandlerError::Cancelled),
        "hangs" => std::future::pending().await,
        _ => Ok(Payload::NULL),
    }
}

#[tokio::test]
async fn each_end_leads_where_it_should() {
    use JobState::{Cancelled, Completed, Failed};
    let rows = [
        ("answers", Completed, 1, ""),
        ("breaks", Failed, 3, failure_kind::ERROR),
        ("fails", Failed, 3, "Mine"),
        ("recovers", Completed, 2, ""),
        ("never", Failed, 1, "Mine"),
        ("panics", Failed, 3, failure_kind::PANIC),
        ("panics late", Failed, 3, failure_kind::PANIC),
        ("gives up", Cancelled, 1, ""),
        ("hangs", Failed, 3, failure_kind::TIMEOUT),
    ];
    let jobs = memory();
    let worker = Worker::builder(SharedJobs::clone(&jobs))
        .lane("q", 4)
        .default_handler(every_end);
    let worker = start(worker);
    // Twice: with handlers in tasks, and, behind many quick ones, without.
    for turn in 0..2 {
        for (kind, state, attempts, error) in rows {
            let text = format!("{kind} {turn}");
            let spec = job("q", &text).with(|job| {
                job.kind = Some(kind.into());
                job.timeout_ms = (kind == "hangs").then_some(20);
                job.session = Some("s".into());
            });
            jobs.enqueue_one(spec).await.unwrap();
            let status = ended(&jobs, &id(&text)).await.status;
            assert_eq!(status.state, state, "{text}: {status:?}");
            assert_eq!(status.attempt, attempts, "{text}");
            let told = status.error.as_ref().map_or("", |error| &error.kind);
            if state == Failed {
                assert_eq!(told, error, "{text}");
            }
            if kind == "panics" {
                assert_eq!(status.error.unwrap().message, format!("at {text}"));
            } else if kind == "answers" {
                assert_eq!(&**status.result.unwrap().as_bytes(), br#""s""#);
            }
        }
        for id in put(&jobs, "q", 100).await {
            ended(&jobs, &id).await;
            jobs.delete(&[id]).await.unwrap();
        }
    }
    let report = worker.stop().await;
    let count = (
        report.completed,
        report.failed,
        report.cancelled,
        report.retried,
    );
    assert_eq!(count, (4 + 200, 12, 2, 22), "{report:?}");
}

#[tokio::test]
async fn a_blocking_handler_that_panics_or_takes_too_long_fails_its_attempt() {
    let jobs = memory();
    let (release, wait) = std::sync::mpsc::channel::<()>();
    let wait = parking_lot::Mutex::new(wait);
    let worker = Worker::builder(SharedJobs::clone(&jobs))
        .lane("q", 2)
        .handler("panics", blocking(|_| panic!("in a thread")))
        .handler(
            "blocks",
            blocking(move |_| {
                wait.lock().recv().ok();
                Ok(Payload::NULL)
            }),
        );
    let worker = start(worker);
    for (kind, error) in [("panics", "panic"), ("blocks", "timeout")] {
        let spec = job("q", kind).with(|job| {
            job.kind = Some(kind.into());
            job.max_attempts = 1;
            job.timeout_ms = (error == "timeout").then_some(20);
        });
        jobs.enqueue_one(spec).await.unwrap();
        let status = ended(&jobs, &id(kind)).await.status;
        assert_eq!(status.error.unwrap().kind, error);
    }
    drop(release);
    worker.stop().await;
}

#[tokio::test]
async fn a_snooze_costs_no_attempt() {
    let jobs = memory();
    put(&jobs, "q", 1).await;
    let naps = Arc::new(std::sync::atomic::AtomicU32::new(0));
    let handler = move |job: Context| {
        assert_eq!(job.attempt(), 1);
        let nth = naps.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let nap = Err(HandlerError::Snooze(Duration::from_millis(1)));
        std::future::ready(if nth < 5 { nap } else { Ok(Payload::NULL) })
    };
    let worker = Worker::builder(SharedJobs::clone(&jobs))
        .lane("q", 1)
        .default_handler(handler);
    let worker = start(worker);
    assert_eq!(ended(&jobs, &id("q-0")).await.status.attempt, 1);
    assert_eq!(worker.stop().await.snoozed, 5);
}

#[tokio::test]
async fn a_job_without_a_handler_fails_for_good() {
    let jobs = memory();
    put(&jobs, "q", 1).await;
    let worker = Worker::builder(SharedJobs::clone(&jobs))
        .lane("q", 1)
        .handler("other", nothing);
    let worker = start(worker);
    let status = ended(&jobs, &id("q-0")).await.status;
    assert_eq!(status.error.unwrap().kind, failure_kind::UNKNOWN_KIND);
    assert_eq!(status.attempt, 1);
    worker.stop().await;
}

#[tokio::test]
async fn a_result_over_the_limit_fails_its_job() {
    let jobs = memory();
    let limits = crate::job::QueueLimits {
        max_payload: 10,
        ..Default::default()
    };
    jobs.set_limits("q", limits).await.unwrap();
    put(&jobs, "q", 1).await;
    let worker = Worker::builder(SharedJobs::clone(&jobs))
        .lane("q", 1)
        .default_handler(async |_: Context| Ok(Payload::of(&"x".repeat(100))?));
    let worker = start(worker);
    let status = ended(&jobs, &id("q-0")).await.status;
    assert_eq!(status.error.unwrap().kind, failure_kind::RESULT_TOO_LARGE);
    assert_eq!(worker.stop().await.failed, 1);
}
