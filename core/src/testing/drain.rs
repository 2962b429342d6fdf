//! Does all jobs that can be done now, for tests of handlers.

use std::collections::BTreeSet;

use crate::job::worker::{Handlers, Solo, WorkerReport};
use crate::job::{JobError, SharedJobs};

/// Does jobs of all queues, one after the other, until none can be done now; also those
/// that come about meanwhile, or that a schedule makes now. Jobs whose time is to come, and
/// paused queues, are left.
///
/// Webhooks are told nothing: their deliveries are done at once, unless a handler for
/// [`WEBHOOK_KIND`](crate::job::WEBHOOK_KIND) is given.
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
/// When the backend cannot be used, and [`JobError::Invalid`] when there is more to do after
/// 100,000 attempts.
pub async fn drain_until_idle(
    jobs: &SharedJobs,
    handlers: Handlers,
) -> Result<WorkerReport, JobError> {
    drain(jobs, handlers, MOST).await
}

/// The most attempts of one call.
const MOST: usize = 100_000;

async fn drain(
    jobs: &SharedJobs,
    handlers: Handlers,
    most: usize,
) -> Result<WorkerReport, JobError> {
    let mut solo = Solo::new(SharedJobs::clone(jobs), handlers);
    let mut attempts = 0;
    loop {
        solo.fire().await?;
        let mut done = false;
        for queue in queues(jobs).await? {
            while solo.step(&queue).await? {
                done = true;
                attempts += 1;
                if attempts > most {
                    let problem = format!(
                        "there is more to do in `{queue}` after {most} attempts: a job that \
                         snoozes for no time, or adds one like itself, never ends"
                    );
                    return Err(JobError::invalid("handlers", problem));
                }
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::clock::Clock;
    use crate::job::memory::MemoryJobs;
    use crate::job::worker::{Context, HandlerError};
    use crate::job::{Failure, JobId, JobSpec, JobState, Payload, Schedule};
    use crate::testing::ManualClock;

    fn handlers(jobs: &SharedJobs) -> Handlers {
        let jobs = SharedJobs::clone(jobs);
        let parent = move |job: Context| {
            let jobs = SharedJobs::clone(&jobs);
            async move {
                job.log("one more");
                let child = JobSpec::new("child", Payload::NULL);
                jobs.enqueue_one(child).await?;
                Ok(Payload::NULL)
            }
        };
        Handlers::new()
            .on("parent", parent)
            .on("child", async |_: Context| Ok(Payload::NULL))
            .on("fails", async |_: Context| {
                Err(Failure::new("x", "y").into())
            })
    }

    #[tokio::test]
    async fn what_can_be_done_is_done_and_what_is_later_is_left() {
        let clock = ManualClock::default();
        let jobs: SharedJobs = Arc::new(MemoryJobs::with_clock(Arc::new(clock.clone())));
        let parent = JobId::from_text("p").unwrap();
        let specs = vec![
            JobSpec::new("parent", Payload::NULL).with_id(parent.clone()),
            JobSpec::new("child", Payload::NULL).after(Duration::from_secs(5)),
            JobSpec::new("fails", Payload::NULL).with(|job| job.max_attempts = 2),
            JobSpec::new("nobody", Payload::NULL),
        ];
        jobs.enqueue(specs).await.unwrap();
        let first = drain_until_idle(&jobs, handlers(&jobs)).await.unwrap();
        let counts = (first.completed, first.retried, first.failed);
        assert_eq!(counts, (2, 1, 1), "{first:?}");
        assert_eq!(
            jobs.find(&parent).await.unwrap().status.state,
            JobState::Completed
        );
        assert_eq!(jobs.log(&parent).await.unwrap().len(), 1);
        clock.advance(Duration::from_secs(10));
        let then = drain_until_idle(&jobs, handlers(&jobs)).await.unwrap();
        let counts = (then.completed, then.retried, then.failed);
        assert_eq!(counts, (1, 0, 1), "{then:?}");
    }

    fn manual() -> (ManualClock, SharedJobs) {
        let clock = ManualClock::default();
        let jobs = MemoryJobs::with_clock(Arc::new(clock.clone()));
        (clock, Arc::new(jobs))
    }

    #[tokio::test]
    async fn deadlines_and_schedules_go_by_the_clock_of_the_jobs() {
        let (clock, jobs) = manual();
        let hourly = Schedule::new("hourly", "0 * * * *", JobSpec::new("q", Payload::NULL));
        jobs.put_schedule(hourly).await.unwrap();
        let now = clock.clone();
        let handlers = || {
            let now = now.clone();
            Handlers::new().on("q", move |job: Context| {
                let left = job.deadline().map(|at| at - now.now());
                async move { Ok(Payload::of(&left)?) }
            })
        };
        let id = JobId::from_text("a").unwrap();
        let timed = JobSpec::new("q", Payload::NULL).with(|job| job.timeout_ms = Some(5_000));
        jobs.enqueue_one(timed.with_id(id.clone())).await.unwrap();
        let report = drain_until_idle(&jobs, handlers()).await.unwrap();
        assert_eq!(report.completed, 1);
        let result = jobs.find(&id).await.unwrap().status.result.unwrap();
        assert_eq!(&**result.as_bytes(), b"5000");
        for _ in 0..3 {
            clock.advance(Duration::from_secs(3_600));
            let report = drain_until_idle(&jobs, handlers()).await.unwrap();
            assert_eq!(report.completed, 1);
        }
    }

    #[tokio::test]
    async fn a_request_to_cancel_reaches_a_handler_that_waits() {
        let (_, jobs) = manual();
        let id = JobId::from_text("a").unwrap();
        let job = JobSpec::new("q", Payload::NULL).with_id(id.clone());
        jobs.enqueue_one(job).await.unwrap();
        let calls_off = SharedJobs::clone(&jobs);
        let handlers = Handlers::new().on("q", move |job: Context| {
            let jobs = SharedJobs::clone(&calls_off);
            async move {
                jobs.cancel(std::slice::from_ref(job.id())).await?;
                job.cancelled().cancelled().await;
                Err(HandlerError::Cancelled)
            }
        });
        let report = drain_until_idle(&jobs, handlers).await.unwrap();
        assert_eq!(report.cancelled, 1);
        let state = jobs.find(&id).await.unwrap().status.state;
        assert_eq!(state, JobState::Cancelled);
    }

    #[tokio::test]
    async fn a_job_that_never_ends_is_said_to() {
        let (_, jobs) = manual();
        let job = JobSpec::new("q", Payload::NULL);
        jobs.enqueue_one(job).await.unwrap();
        let handlers = Handlers::new().on("q", async |_: Context| {
            Err(HandlerError::Snooze(Duration::ZERO))
        });
        let error = drain(&jobs, handlers, 50).await.unwrap_err();
        assert_eq!(error.code(), "invalid_job");
        assert!(error.to_string().contains("after 50 attempts"), "{error}");
    }
}
