//! Workers over real backends: what they must not lose, and how soon they hear.
#![allow(clippy::unwrap_used, clippy::panic)]

mod everywhere;
#[path = "../servers/mod.rs"]
mod servers;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use credential_rotation::connect;
use credential_rotation::job::worker::{Context, HandlerError, Worker, WorkerHandle, WorkerReport};
use credential_rotation::job::{JobError, JobId, JobSpec, JobState, Payload, SharedJobs};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

const SOON: Duration = Duration::from_secs(20);

type Running = (WorkerHandle, JoinHandle<Result<WorkerReport, JobError>>);

fn start(worker: Worker) -> Running {
    let handle = worker.handle();
    (handle, tokio::spawn(worker.run(std::future::pending())))
}

async fn stopped((handle, running): Running) -> WorkerReport {
    handle.stop();
    tokio::time::timeout(SOON, running)
        .await
        .unwrap()
        .unwrap()
        .unwrap()
}

fn job(id: &str) -> JobSpec {
    JobSpec::new("q", Payload::NULL).with_id(JobId::from_text(id).unwrap())
}

async fn a_cancel_is_heard_at_once(jobs: SharedJobs) {
    let (begun, mut begins) = mpsc::unbounded_channel();
    let handler = move |job: Context| {
        let begun = begun.clone();
        async move {
            begun.send(()).unwrap();
            job.cancelled().cancelled().await;
            Err::<Payload, _>(HandlerError::Cancelled)
        }
    };
    let worker = Worker::builder(Arc::clone(&jobs))
        .lane("q", 2)
        .handler("q", handler);
    let running = start(worker.build().unwrap());
    let id = JobId::from_text("long").unwrap();
    jobs.enqueue_one(job("long")).await.unwrap();
    begins.recv().await.unwrap();
    let asked = Instant::now();
    jobs.cancel(std::slice::from_ref(&id)).await.unwrap();
    let ended = jobs.wait(&id, SOON).await.unwrap();
    assert_eq!(ended.status.state, JobState::Cancelled);
    // Its lease is renewed every ten seconds only.
    assert!(
        asked.elapsed() < Duration::from_secs(5),
        "{:?}",
        asked.elapsed()
    );
    assert_eq!(stopped(running).await.cancelled, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_job_hears_at_once_that_it_is_called_off() {
    a_cancel_is_heard_at_once(connect::jobs("memory:").await.unwrap()).await;
    if servers::redis_is_there() {
        let redis = servers::Redis::start(&[]);
        a_cancel_is_heard_at_once(connect::jobs(&redis.url()).await.unwrap()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_goes_and_comes_back_is_survived_by_a_worker() {
    if !servers::redis_is_there() {
        return;
    }
    let mut redis = servers::Redis::start(&["--appendonly", "yes", "--appendfsync", "always"]);
    let jobs = connect::jobs(&redis.url()).await.unwrap();
    let done = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&done);
    let handler = move |_: Context| {
        counted.fetch_add(1, Ordering::Relaxed);
        async {
            tokio::time::sleep(Duration::from_millis(2)).await;
            Ok::<_, HandlerError>(Payload::NULL)
        }
    };
    let worker = Worker::builder(Arc::clone(&jobs))
        .lane("q", 4)
        .handler("q", handler)
        .lease(Duration::from_secs(1));
    let running = start(worker.build().unwrap());
    let mut accepted = Vec::new();
    for round in 0..3 {
        for n in 0..200 {
            let name = format!("{round}-{n}");
            // What is refused because the server is away is not accepted.
            if jobs.enqueue_one(job(&name)).await.is_ok() {
                accepted.push(JobId::from_text(name).unwrap());
            }
        }
        redis.restart();
    }
    for id in &accepted {
        let patience = Instant::now() + SOON;
        loop {
            match jobs.find(id).await {
                Ok(job) if job.status.state == JobState::Completed => break,
                Ok(_) | Err(JobError::Unavailable { .. }) => {
                    tokio::time::sleep(Duration::from_millis(20)).await
                }
                Err(other) => panic!("{id}: {other}"),
            }
            assert!(Instant::now() < patience, "{id} did not end");
        }
    }
    assert!(accepted.len() >= 200);
    assert!(done.load(Ordering::Relaxed) >= accepted.len());
    stopped(running).await;
}

#[tokio::test]
async fn what_workers_do_and_what_waits_is_counted() {
    let jobs = connect::jobs("memory:").await.unwrap();
    let handler = |_: Context| async { Ok::<_, HandlerError>(Payload::NULL) };
    let worker = Worker::builder(Arc::clone(&jobs))
        .lane("counted", 1)
        .handler("counted", handler);
    let running = start(worker.build().unwrap());
    for n in 0..3 {
        let spec = JobSpec::new("counted", Payload::NULL);
        let id = jobs.enqueue_one(spec).await.unwrap().id().unwrap();
        assert_eq!(
            jobs.wait(&id, SOON).await.unwrap().status.state,
            JobState::Completed,
            "{n}"
        );
    }
    stopped(running).await;
    jobs.enqueue_one(JobSpec::new("counted", Payload::of(&"x").unwrap()))
        .await
        .unwrap();
    let text = credential_rotation::job::metrics::render(&*jobs)
        .await
        .unwrap();
    for line in [
        "jobs_waiting{queue=\"counted\"} 1",
        "jobs_payload_bytes{queue=\"counted\"} 3",
        "jobs_claimed_total{queue=\"counted\"} 3",
        "jobs_ended_total{queue=\"counted\",outcome=\"completed\"} 3",
        "jobs_wait_seconds_count{queue=\"counted\"} 3",
        "jobs_run_seconds_count{queue=\"counted\"} 3",
    ] {
        assert!(
            text.lines().any(|told| told == line),
            "{line} is not in\n{text}"
        );
    }
    assert!(text.ends_with("# EOF\n") && text.matches("# EOF").count() == 1);
}
