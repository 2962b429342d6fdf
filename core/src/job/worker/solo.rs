//! Runs attempts one by one, without lanes and renewals: for tests of handlers.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;

use super::attempt::Attempt;
use super::attempt_run::{self, Work};
use super::backoff::Backoff;
use super::crew::Crew;
use super::report::WorkerReport;
use super::schedules;
use super::verdict::{self, End};
use super::{Context, Handlers, presence};
use crate::job::{Claim, Claimed, JobError, Payload, Settlement, SharedJobs, WEBHOOK_KIND};

/// Who fires schedules: all of these together, as one follows the other.
const FIRING: &str = "drain";
/// A lease that no test outlives.
const LEASE: Duration = Duration::from_secs(60 * 60);

/// Does jobs in the caller's task.
#[derive(Debug)]
pub(crate) struct Solo {
    crew: Crew,
    report: WorkerReport,
}

impl Solo {
    pub(crate) fn new(jobs: SharedJobs, handlers: Handlers) -> Self {
        // Tests tell nobody of ends, unless they say how.
        let quiet = async |_: Context| Ok(Payload::NULL);
        let handlers = handlers.or_on(WEBHOOK_KIND, quiet);
        Self {
            report: WorkerReport::default(),
            crew: Crew {
                clock: jobs.clock(),
                jobs,
                instance: FIRING.into(),
                id: presence::new_id().into(),
                handlers,
                lease: LEASE,
                timeout: None,
                ledger: Arc::default(),
                desk: Arc::default(),
                watch: None,
            },
        }
    }

    /// Does one job of the queue. Tells whether there was one.
    pub(crate) async fn step(&mut self, queue: &str) -> Result<bool, JobError> {
        let claim = Claim {
            worker: Arc::clone(&self.crew.id),
            max: 1,
            lease: self.crew.lease,
        };
        let Some(claimed) = self.crew.jobs.claim(queue, claim).await?.pop() else {
            return Ok(false);
        };
        self.attempt(claimed).await?;
        Ok(true)
    }

    /// Fires the schedules that are due, unless a worker is there that does.
    pub(crate) async fn fire(&self) -> Result<(), JobError> {
        schedules::round(&self.crew).await.map(drop)
    }

    pub(crate) fn report(&self) -> WorkerReport {
        self.report
    }

    async fn attempt(&mut self, claimed: Claimed) -> Result<(), JobError> {
        let timeout = self.crew.timeout(&claimed);
        let attempt = self.crew.attempt(claimed, std::time::Instant::now());
        let claimed = &attempt.claimed;
        let outcome = match self.crew.handlers.of(claimed.spec.kind()) {
            None => verdict::unknown_kind(claimed),
            Some(chosen) => {
                let work = attempt_run::work(Arc::clone(&chosen.handler), &attempt);
                let limit = timeout.unwrap_or(Duration::MAX);
                match tokio::time::timeout(limit, self.told(&attempt, work)).await {
                    Ok(end) => verdict::outcome(claimed, end?, self.cancelled(&attempt).await?),
                    Err(_) => verdict::timed_out(claimed, limit),
                }
            }
        };
        attempt.end();
        attempt.cancel();
        let mut once = Backoff::default();
        self.crew.desk.send(&*self.crew.jobs, &mut once).await;
        let settlement = Settlement {
            lease: attempt.lease().clone(),
            outcome: outcome.clone(),
        };
        match self.crew.jobs.settle(settlement).await {
            Ok(state) => {
                self.report.record(&outcome, state);
            }
            Err(JobError::StaleAttempt { .. }) => self.report.lost += 1,
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Waits for a handler, and tells it that its job is called off.
    async fn told(&self, attempt: &Attempt, mut work: Work) -> Result<End, JobError> {
        let mut cancels = self.crew.jobs.cancel_requests().await?;
        loop {
            tokio::select! {
                end = &mut work => return Ok(end),
                Some(event) = cancels.next() => {
                    let of_it = event.id.is_none_or(|id| id == attempt.lease().id);
                    if of_it && self.cancelled(attempt).await? {
                        attempt.request_cancel();
                    }
                }
            }
        }
    }

    async fn cancelled(&self, attempt: &Attempt) -> Result<bool, JobError> {
        let lease = std::slice::from_ref(attempt.lease());
        let renewed = self.crew.jobs.renew(lease, LEASE).await?;
        Ok(renewed.first() == Some(&crate::job::Renewal::CancelRequested))
    }
}
