//! Does all jobs that can be done now, for tests of handlers.

use std::collections::BTreeSet;

use crate::job::worker::{Handlers, Solo, WorkerReport};
use crate::job::{JobError, SharedJobs};

/// Does jobs of all queues, one after the other, until none can be done now; also those
/// that come about meanwhile. Jobs whose time is to come, and paused queues, are left.
///
/// No threads, no waiting: with a [`ManualClock`](super::ManualClock) under the jobs,
/// move it on and call again to see what follows.
///
/// ```
/// # use std::sync::Arc;
/// # use credential_rotation::job::worker::{Context, Handlers};
/// # use credential_rotation::job::{JobManager, JobSpec, Payload, SharedJobs, memory::MemoryJobs};
/// # use credential_rotation::testing::drain_until_idle;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let jobs: SharedJobs = Arc::new(MemoryJobs::new());
/// jobs.enqueue_one(JobSpec::new("mail", Payload::of(&"Hello")?)).await?;
/// let handlers = Handlers::new().on("mail", async |job: Context| Ok(job.payload().clone()));
/// let report = drain_until_idle(&jobs, handlers).await?;
/// assert_eq!(report.completed, 1);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// When the backend cannot be used.
pub async fn drain_until_idle(
    jobs: &SharedJobs,
    handlers: Handlers,
) -> Result<WorkerReport, JobError> {
    let mut solo = Solo::new(SharedJobs::clone(jobs), handlers);
    loop {
        let mut done = false;
        for queue in queues(jobs).await? {
            while solo.step(&queue).await? {
                done = true;
            }
        }
        if !done {
            return Ok(solo.report());
        }
    }
}

async fn queues(jobs: &SharedJobs) -> Result<BTreeSet<String>, JobError> {
    let counts = jobs.counts().await?;
    let live = counts.into_iter().filter(|at| at.waiting + at.delayed > 0);
    Ok(live.map(|at| at.queue).collect())
}
