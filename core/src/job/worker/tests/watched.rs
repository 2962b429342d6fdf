//! Who watches a worker hears of every attempt, whatever came of it.

use parking_lot::Mutex;

use super::*;
use crate::clock::TERM_LIMIT_MS;
use crate::job::{Claim, Failure, metrics};

async fn by_name(job: Context) -> Result<Payload, HandlerError> {
    match job.id().as_str() {
        "fails" => Err(HandlerError::Unrecoverable(Failure::new("Mine", "no luck"))),
        "retries" if job.attempt() == 1 => Err(HandlerError::Failed(Failure::new("Mine", "yet"))),
        "late" | "lost" => std::future::pending().await,
        _ => Ok(Payload::NULL),
    }
}

#[tokio::test]
async fn each_end_is_told_once_it_is_recorded() {
    let jobs = memory();
    let told = Arc::new(Mutex::new(Vec::new()));
    let (tells, heard_of) = (Arc::clone(&told), Arc::new(Semaphore::new(0)));
    let tell = Arc::clone(&heard_of);
    let worker = Worker::builder(SharedJobs::clone(&jobs))
        .lane("watched", 1)
        .lease(Duration::from_millis(1_500))
        .default_handler(by_name)
        .on_end(move |end| {
            let words = end
                .failure
                .map_or("", |failure| &failure.message)
                .to_owned();
            let id = end.lease.id.as_str().to_owned();
            tells.lock().push((id, end.attempt, end.outcome, words));
            tell.add_permits(1);
        });
    let worker = start(worker);
    for name in ["done", "fails", "retries", "late", "lost"] {
        let spec = job("watched", name).with(|job| {
            job.max_attempts = if name == "late" { 1 } else { 2 };
            job.timeout_ms = (name == "late").then_some(5);
        });
        jobs.enqueue_one(spec).await.unwrap();
        if name == "lost" {
            while jobs.find(&id(name)).await.unwrap().status.worker.is_none() {
                tokio::task::yield_now().await;
            }
            jobs.delete(&[id(name)]).await.unwrap();
        }
        heard(&heard_of).await;
    }
    // The second attempt of one.
    heard(&heard_of).await;
    let report = worker.stop().await;
    let mut told = told.lock().clone();
    told.sort();
    let row = |id: &str, attempt, outcome, words: &str| {
        (id.to_owned(), attempt, outcome, words.to_owned())
    };
    let rows = [
        row("done", 1, "completed", ""),
        row("fails", 1, "failed", "no luck"),
        row("late", 1, "failed", "it took longer than 5 ms"),
        row("lost", 1, "lost", ""),
        row("retries", 1, "retried", "yet"),
        row("retries", 2, "completed", ""),
    ];
    assert_eq!(told, rows);
    assert_eq!((report.lost, report.recorded()), (1, 5), "{report:?}");
    let shown = metrics::render(&*jobs).await.unwrap();
    let line = "jobs_ended_total{queue=\"watched\",outcome=\"lost\"} 1";
    assert!(shown.contains(line), "{shown}");
}

#[tokio::test]
async fn what_runs_as_its_backend_is_closed_is_told_as_unrecorded() {
    let jobs = memory();
    put(&jobs, "closed", 2).await;
    let told = Arc::new(Mutex::new(Vec::new()));
    let (tells, gate) = (Arc::clone(&told), Gate::new());
    let passed = gate.clone();
    let worker = Worker::builder(SharedJobs::clone(&jobs))
        .lane("closed", 2)
        .default_handler(move |_: Context| {
            let gate = passed.clone();
            async move {
                gate.pass().await;
                Ok(Payload::NULL)
            }
        })
        .on_end(move |end| tells.lock().push((end.lease.id.to_string(), end.outcome)));
    let worker = start(worker);
    gate.came.acquire_many(2).await.unwrap().forget();
    jobs.close().await;
    // One ends, and its lane hears that the backend is closed.
    gate.open(1);
    assert_eq!(worker.task.await.unwrap().unwrap_err(), JobError::Closed);
    let mut told = told.lock().clone();
    told.sort();
    let unrecorded = |nth| (format!("closed-{nth}"), "unrecorded");
    assert_eq!(told, [unrecorded(0), unrecorded(1)]);
}

#[tokio::test]
async fn leases_that_ran_out_are_counted() {
    let jobs = memory();
    put(&jobs, "frozen", 2).await;
    let claim = Claim {
        worker: "dead".into(),
        max: 2,
        lease: Duration::from_millis(1),
    };
    assert_eq!(jobs.claim("frozen", claim).await.unwrap().len(), 2);
    let worker = start(
        Worker::builder(SharedJobs::clone(&jobs))
            .lane("frozen", 2)
            .default_handler(nothing),
    );
    for nth in 0..2 {
        let status = ended(&jobs, &id(&format!("frozen-{nth}"))).await.status;
        assert_eq!(status.stalls, 1);
    }
    worker.stop().await;
    let shown = metrics::render(&*jobs).await.unwrap();
    let line = "jobs_stalled_total{queue=\"frozen\"} 2";
    assert!(shown.contains(line), "{shown}");
}

#[tokio::test]
async fn spans_that_no_clock_reaches_are_none() {
    let jobs = memory();
    let build = |change: fn(WorkerBuilder) -> WorkerBuilder| {
        let worker = Worker::builder(SharedJobs::clone(&jobs)).lane("q", 1);
        change(worker.default_handler(nothing))
    };
    let refused = [
        build(|worker| worker.lease(Duration::MAX)),
        build(|worker| worker.lease(Duration::ZERO)),
        build(|worker| worker.timeout(Duration::ZERO)),
    ];
    for worker in refused {
        assert_eq!(worker.build().unwrap_err().code(), "invalid_job");
    }
    let worker = build(|worker| worker.timeout(Duration::MAX).grace(Duration::MAX));
    let worker = start(worker.default_handler(|job: Context| {
        let nap = Err(HandlerError::Snooze(Duration::MAX));
        let sleepy = job.id().as_str() == "sleepy";
        std::future::ready(if sleepy { nap } else { Ok(Payload::NULL) })
    }));
    let endless = job("q", "endless").with(|job| job.timeout_ms = Some(TERM_LIMIT_MS));
    let (plain, sleepy) = (job("q", "plain"), job("q", "sleepy"));
    jobs.enqueue(vec![sleepy, plain, endless]).await.unwrap();
    ended(&jobs, &id("plain")).await;
    ended(&jobs, &id("endless")).await;
    let report = worker.stop().await;
    assert_eq!((report.completed, report.snoozed), (2, 1), "{report:?}");
}
