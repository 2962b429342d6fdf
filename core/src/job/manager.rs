//! The seam between those who use jobs and where jobs are kept.
//!
//! Verbs are batches; what serves a single job is provided on top. A backend is one
//! implementation of [`JobManager`] that passes the conformance suite.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use tokio_util::sync::CancellationToken;

use super::{
    Claim, Claimed, Enqueued, EventStream, Exchange, Exchanged, Failure, Job, JobError, JobFilter,
    JobId, JobPage, JobSpec, JobState, Lease, LogLine, Payload, Presence, QueueCounts, QueueLimits,
    Renewal, Report, Schedule, Settlement, What,
};
use crate::clock::{Clock, EpochMillis, SystemClock};

/// The time between two looks of a wait that hears nothing: an event may be lost.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Where jobs are kept, moved and told of.
///
/// Every write of an attempt carries its [`Lease`]; a stale one is refused with
/// [`JobError::StaleAttempt`] and changes nothing. All verbs may be used by many
/// tasks, processes and, with Redis, hosts at once.
#[async_trait]
pub trait JobManager: Send + Sync + fmt::Debug {
    /// Where the jobs are, without user and password.
    fn backend(&self) -> String;

    /// Takes jobs in, each by itself: the answers are in the order of the jobs.
    ///
    /// # Errors
    /// When the backend cannot be used. What is wrong with one job is in its answer.
    async fn enqueue(&self, jobs: Vec<JobSpec>) -> Result<Vec<Enqueued>, JobError>;

    /// Records ends of attempts and claims new jobs, in one round trip.
    ///
    /// # Errors
    /// When the backend cannot be used: then it is not known what was recorded, and the
    /// same settlements may be sent again.
    async fn exchange(&self, exchange: Exchange) -> Result<Exchanged, JobError>;

    /// Whether a busy worker does more with two exchanges of half its slots under way than with
    /// one of all: so it is where a server of its own works on one while jobs of the other run,
    /// and not where each has a fixed cost, as a commit has. No, unless a backend says so.
    fn is_worth_two_exchanges(&self) -> bool {
        false
    }

    /// Waits until a job of the queue may be ready, at most so long. One ready job wakes
    /// one waiter.
    ///
    /// # Errors
    /// When the backend cannot be used.
    async fn wait_for_work(&self, queue: &str, at_most: Duration) -> Result<(), JobError>;

    /// Waits as [`JobManager::wait_for_work`] does, and claims what is there then. Once
    /// it is called off it answers soon, with what it has claimed by then: it must be
    /// awaited to its end. Provided; a backend that can saves a round trip.
    ///
    /// # Errors
    /// When the backend cannot be used.
    async fn wait_and_claim(
        &self,
        queue: &str,
        claim: Claim,
        at_most: Duration,
        called_off: &CancellationToken,
    ) -> Result<Exchanged, JobError> {
        wait_then_claim(self, queue, claim, at_most, called_off).await
    }

    /// Makes leases last so long from now. With none it is only asked whether the backend is
    /// there.
    ///
    /// # Errors
    /// When the backend cannot be used.
    async fn renew(&self, leases: &[Lease], lease: Duration) -> Result<Vec<Renewal>, JobError>;

    /// Records news of attempts; stale ones are dropped, and said to be.
    ///
    /// # Errors
    /// When the backend cannot be used.
    async fn report(&self, reports: Vec<Report>) -> Result<Vec<Result<(), JobError>>, JobError>;

    /// Calls jobs off: one that waits at once, a running one by a sign to its worker;
    /// one that has ended stays as it is. Tells each job's state, or that it is unknown.
    ///
    /// # Errors
    /// When the backend cannot be used.
    async fn cancel(&self, ids: &[JobId]) -> Result<Vec<Option<JobState>>, JobError>;

    /// Removes jobs with all that is known of them; a running one loses its lease.
    /// Tells which were there.
    ///
    /// # Errors
    /// When the backend cannot be used.
    async fn delete(&self, ids: &[JobId]) -> Result<Vec<bool>, JobError>;

    /// Lets jobs that have ended wait again, with all their attempts.
    ///
    /// # Errors
    /// When the backend cannot be used; in the list [`JobError::UnknownJob`] and
    /// [`JobError::IllegalMove`].
    async fn revive(&self, ids: &[JobId]) -> Result<Vec<Result<(), JobError>>, JobError>;

    /// Looks jobs up. An id that stands in two queues is found in the first by name.
    ///
    /// # Errors
    /// When the backend cannot be used.
    async fn get(&self, ids: &[JobId]) -> Result<Vec<Option<Job>>, JobError>;

    /// The last lines of a job's log, oldest first.
    ///
    /// # Errors
    /// When the backend cannot be used.
    async fn log(&self, id: &JobId) -> Result<Vec<LogLine>, JobError>;

    /// Lists jobs, a page at a time.
    ///
    /// # Errors
    /// When the backend cannot be used, or the page's mark is none.
    async fn list(&self, filter: &JobFilter) -> Result<JobPage, JobError>;

    /// Counts the jobs of all queues, by name.
    ///
    /// # Errors
    /// When the backend cannot be used.
    async fn counts(&self) -> Result<Vec<QueueCounts>, JobError>;

    /// Stops or allows claims of a queue. Running jobs go on.
    ///
    /// # Errors
    /// When the backend cannot be used.
    async fn set_paused(&self, queue: &str, paused: bool) -> Result<(), JobError>;

    /// Sets a queue's limits, for all workers.
    ///
    /// # Errors
    /// [`JobError::Invalid`], or when the backend cannot be used.
    async fn set_limits(&self, queue: &str, limits: QueueLimits) -> Result<(), JobError>;

    /// A queue's limits.
    ///
    /// # Errors
    /// When the backend cannot be used.
    async fn limits(&self, queue: &str) -> Result<QueueLimits, JobError>;

    /// Promotes what is due, takes back what stalled and drops what has been kept long
    /// enough, in bounded steps. Tells how many jobs it moved; with 0 there is no more.
    /// Claims do the same for their queue, so this is for queues without workers.
    ///
    /// # Errors
    /// When the backend cannot be used.
    async fn sweep(&self) -> Result<usize, JobError>;

    /// Drops jobs that have ended so long ago. Tells how many.
    ///
    /// # Errors
    /// When the backend cannot be used.
    async fn purge(
        &self,
        queue: &str,
        states: &[JobState],
        older_than: Duration,
    ) -> Result<usize, JobError>;

    /// The time by which it moves jobs. Provided: this machine's.
    ///
    /// # Errors
    /// When the backend cannot be used.
    async fn now(&self) -> Result<EpochMillis, JobError> {
        Ok(SystemClock.now())
    }

    /// Sets, or replaces, a schedule. One of the same times keeps its next tick, so that
    /// saying it again at each start loses none.
    ///
    /// # Errors
    /// [`JobError::Invalid`], or when the backend cannot be used.
    async fn put_schedule(&self, schedule: Schedule) -> Result<(), JobError>;

    /// Replaces a schedule that fired by what it is then, if it is still there as it was:
    /// one that was deleted or changed meanwhile stays so. Tells whether it was.
    ///
    /// # Errors
    /// When the backend cannot be used.
    async fn advance_schedule(&self, before: &Schedule, after: Schedule) -> Result<bool, JobError>;

    /// Removes a schedule. Tells whether it was there.
    ///
    /// # Errors
    /// When the backend cannot be used.
    async fn delete_schedule(&self, name: &str) -> Result<bool, JobError>;

    /// All schedules, by name.
    ///
    /// # Errors
    /// When the backend cannot be used.
    async fn schedules(&self) -> Result<Vec<Schedule>, JobError>;

    /// Takes or keeps a role that one holder has at a time. Tells whether it is held.
    ///
    /// # Errors
    /// When the backend cannot be used.
    async fn lead(&self, role: &str, holder: &str, term: Duration) -> Result<bool, JobError>;

    /// By which clock its jobs go, where that is told by hand. Default: the machine's.
    fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(SystemClock)
    }

    /// Says that a worker is there.
    ///
    /// # Errors
    /// When the backend cannot be used.
    async fn announce(&self, presence: &Presence) -> Result<(), JobError>;

    /// Says that a worker that was announced has gone.
    ///
    /// # Errors
    /// When the backend cannot be used.
    async fn leave(&self, presence: &Presence) -> Result<(), JobError>;

    /// The workers that were there lately and have not left, by id.
    ///
    /// # Errors
    /// When the backend cannot be used.
    async fn workers(&self) -> Result<Vec<Presence>, JobError>;

    /// Follows what happens from now on, in this and other processes.
    ///
    /// # Errors
    /// When the backend cannot be used.
    async fn events(&self) -> Result<EventStream, JobError>;

    /// Follows requests to cancel running jobs, and nothing else. It must cost next to
    /// nothing: each worker follows. One that is missed is heard of with the next renewal.
    ///
    /// # Errors
    /// When the backend cannot be used.
    async fn cancel_requests(&self) -> Result<EventStream, JobError>;

    /// The same jobs through a connection of its own, which a busy one cannot hold up.
    ///
    /// # Errors
    /// When the backend cannot be used.
    async fn apart(&self) -> Result<Arc<dyn JobManager>, JobError>;

    /// Ends waits and events with [`JobError::Closed`]. What was taken in stays.
    async fn close(&self);

    /// Takes one job in.
    ///
    /// # Errors
    /// What is wrong with it, or with the backend.
    async fn enqueue_one(&self, job: JobSpec) -> Result<Enqueued, JobError> {
        match self.enqueue(vec![job]).await?.pop() {
            Some(Enqueued::Refused(error)) => Err(error),
            Some(taken) => Ok(taken),
            None => Err(JobError::Closed),
        }
    }

    /// Claims jobs of one queue.
    ///
    /// # Errors
    /// As [`JobManager::exchange`].
    async fn claim(&self, queue: &str, claim: Claim) -> Result<Vec<Claimed>, JobError> {
        let exchange = Exchange {
            queue: queue.into(),
            settle: Vec::new(),
            claim,
        };
        Ok(self.exchange(exchange).await?.claimed)
    }

    /// Records the end of one attempt.
    ///
    /// # Errors
    /// [`JobError::StaleAttempt`], or as [`JobManager::exchange`].
    async fn settle(&self, settlement: Settlement) -> Result<JobState, JobError> {
        let queue = Arc::clone(&settlement.lease.queue);
        let exchange = Exchange::settling(queue, vec![settlement]);
        let mut exchanged = self.exchange(exchange).await?;
        exchanged.settled.pop().unwrap_or(Err(JobError::Closed))
    }

    /// Looks one job up.
    ///
    /// # Errors
    /// [`JobError::UnknownJob`], or when the backend cannot be used.
    async fn find(&self, id: &JobId) -> Result<Job, JobError> {
        let found = self.get(std::slice::from_ref(id)).await?.pop().flatten();
        found.ok_or_else(|| JobError::UnknownJob { id: id.clone() })
    }

    /// Waits for a job's end, at most so long.
    ///
    /// # Errors
    /// [`JobError::WaitTimeout`], [`JobError::UnknownJob`], or when the backend cannot be used.
    async fn wait(&self, id: &JobId, at_most: Duration) -> Result<Job, JobError> {
        let ended = async {
            // Before the first look: what ends in between is told.
            let mut events = self.events().await?;
            loop {
                let job = self.find(id).await?;
                if job.status.state.is_finished() {
                    return Ok(job);
                }
                loop {
                    let event = match tokio::time::timeout(LOOK_AGAIN, events.next()).await {
                        Ok(event) => event.ok_or(JobError::Closed)?,
                        Err(_) => break,
                    };
                    let ours = event.id.as_ref() == Some(id) && event.what.is_end();
                    if ours || event.what == What::Gap {
                        break;
                    }
                }
            }
        };
        match tokio::time::timeout(at_most, ended).await {
            Ok(ended) => ended,
            Err(_) => Err(JobError::WaitTimeout {
                id: id.clone(),
                waited_ms: crate::clock::millis(at_most),
            }),
        }
    }
}

/// Waits for work, and claims by a call of its own.
pub(super) async fn wait_then_claim<J: JobManager + ?Sized>(
    jobs: &J,
    queue: &str,
    claim: Claim,
    at_most: Duration,
    called_off: &CancellationToken,
) -> Result<Exchanged, JobError> {
    tokio::select! {
        waited = jobs.wait_for_work(queue, at_most) => waited?,
        () = called_off.cancelled() => return Ok(Exchanged::default()),
    }
    let exchange = Exchange {
        queue: queue.into(),
        settle: Vec::new(),
        claim,
    };
    jobs.exchange(exchange).await
}

/// Jobs shared by many.
pub type SharedJobs = Arc<dyn JobManager>;

/// A result that is over the limit, as the failure that it makes of its job.
pub(super) fn too_large(result: &Payload, limit: u64) -> Option<Failure> {
    let bytes = result.len();
    (bytes as u64 > limit).then(|| {
        let error = JobError::TooLarge {
            what: "result",
            bytes,
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
        };
        Failure::new(super::failure_kind::RESULT_TOO_LARGE, error.to_string())
    })
}
