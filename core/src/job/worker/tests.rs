//! Workers over jobs in memory. Tests wait for signals, never for time to pass.

mod between;
mod ends;
mod hurry;
mod lanes;
mod news;
mod outages;
mod renewals;
mod spans;
mod stop;
mod stuck;
mod upkeep;
mod watched;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::{Context, HandlerError, Worker, WorkerBuilder, WorkerHandle, WorkerReport};
use crate::job::memory::MemoryJobs;
use crate::job::{Job, JobError, JobId, JobSpec, Payload, RetryPolicy, SharedJobs};

/// Longer than anything here takes: a test that hangs fails.
const LONG: Duration = Duration::from_secs(20);

fn memory() -> SharedJobs {
    Arc::new(MemoryJobs::new())
}

fn job(queue: &str, id: &str) -> JobSpec {
    let retry = RetryPolicy::Fixed {
        delay_ms: 0,
        jitter: 0.0,
    };
    JobSpec::new(queue, Payload::NULL)
        .with_id(JobId::from_text(id).unwrap())
        .with(|job| job.retry = retry)
}

async fn put(jobs: &SharedJobs, queue: &str, count: usize) -> Vec<JobId> {
    let specs: Vec<JobSpec> = (0..count)
        .map(|n| job(queue, &format!("{queue}-{n}")))
        .collect();
    let taken = jobs.enqueue(specs).await.unwrap();
    taken.into_iter().map(|one| one.id().unwrap()).collect()
}

async fn ended(jobs: &SharedJobs, id: &JobId) -> Job {
    jobs.wait(id, LONG).await.unwrap()
}

fn id(text: &str) -> JobId {
    JobId::from_text(text).unwrap()
}

/// A worker at work in a task of its own.
struct AtWork {
    handle: WorkerHandle,
    task: JoinHandle<Result<WorkerReport, JobError>>,
}

fn start(builder: WorkerBuilder) -> AtWork {
    let worker = builder.build().unwrap();
    let handle = worker.handle();
    let task = tokio::spawn(worker.run(std::future::pending()));
    AtWork { handle, task }
}

impl AtWork {
    async fn stop(self) -> WorkerReport {
        self.handle.stop();
        self.report().await
    }

    async fn report(self) -> WorkerReport {
        let report = tokio::time::timeout(LONG, self.task).await;
        report.expect("it stops").unwrap().unwrap()
    }
}

/// Waits for a sign that a handler gives.
async fn heard(sign: &Semaphore) {
    let heard = tokio::time::timeout(LONG, sign.acquire()).await;
    heard.expect("a sign").unwrap().forget();
}

/// Handlers stop at a gate: a test sees them come, and lets them go.
#[derive(Clone)]
struct Gate {
    came: Arc<Semaphore>,
    may_go: Arc<Semaphore>,
}

impl Gate {
    fn new() -> Self {
        Self {
            came: Arc::new(Semaphore::new(0)),
            may_go: Arc::new(Semaphore::new(0)),
        }
    }

    async fn pass(&self) {
        self.came.add_permits(1);
        self.may_go.acquire().await.unwrap().forget();
    }

    async fn wait_for(&self, count: u32) {
        let came = tokio::time::timeout(LONG, self.came.acquire_many(count)).await;
        came.expect("handlers come").unwrap().forget();
    }

    fn open(&self, count: usize) {
        self.may_go.add_permits(count);
    }

    /// A handler that passes it.
    fn handler(&self) -> impl Fn(Context) -> BoxAnswer + Send + Sync + 'static {
        let gate = self.clone();
        move |_| {
            let gate = gate.clone();
            Box::pin(async move {
                gate.pass().await;
                Ok(Payload::NULL)
            })
        }
    }
}

type BoxAnswer = futures_util::future::BoxFuture<'static, Result<Payload, HandlerError>>;

async fn nothing(_: Context) -> Result<Payload, HandlerError> {
    Ok(Payload::NULL)
}
