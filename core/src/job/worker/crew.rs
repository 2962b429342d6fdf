//! What the lanes of a worker have in common.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::attempt::Attempt;
use super::desk::Desk;
use super::handler::Handlers;
use super::renewal::Ledger;
use super::watch::{AttemptEnd, Watch};
use crate::clock::{Clock, millis};
use crate::job::{Claimed, Failure, SharedJobs};

#[derive(Debug)]
pub(super) struct Crew {
    pub(super) jobs: SharedJobs,
    pub(super) id: Arc<str>,
    /// What tells it from others, also of the same id.
    pub(super) instance: Arc<str>,
    pub(super) handlers: Handlers,
    pub(super) lease: Duration,
    pub(super) timeout: Option<Duration>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) desk: Arc<Desk>,
    pub(super) watch: Option<Watch>,
}

impl Crew {
    /// How long an attempt may take: as the job says, else as the worker does.
    pub(super) fn timeout(&self, claimed: &Claimed) -> Option<Duration> {
        let own = claimed.spec.timeout_ms.map(Duration::from_millis);
        own.or(self.timeout)
    }

    /// An attempt at a job that was claimed.
    pub(super) fn attempt(&self, claimed: Claimed, begun: Instant) -> Arc<Attempt> {
        let timeout = self.timeout(&claimed);
        let deadline = timeout.map(|after| self.clock.now().saturating_add(millis(after)));
        Attempt::new(claimed, begun, deadline, &self.desk, &self.jobs)
    }

    /// What came of an attempt is recorded, or never will be.
    pub(super) fn tell(&self, attempt: &Attempt, outcome: &'static str, failure: Option<&Failure>) {
        if let Some(watch) = &self.watch {
            watch.tell(&AttemptEnd {
                lease: attempt.lease(),
                attempt: attempt.claimed.attempt,
                outcome,
                failure,
                took: attempt.begun.elapsed(),
            });
        }
    }
}
