//! What a handler knows of its job, and what it can say about it.

use std::fmt;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::attempt::Attempt;
use super::hold::SlotHold;
use crate::clock::EpochMillis;
use crate::job::{JobId, JobSpec, Lease, Payload, SharedJobs};

/// One attempt at a job, in the hands of its handler. Clones are of the same attempt.
#[derive(Clone)]
pub struct Context {
    attempt: Arc<Attempt>,
}

impl Context {
    pub(super) fn new(attempt: Arc<Attempt>) -> Self {
        Self { attempt }
    }

    /// The job's id.
    #[must_use]
    pub fn id(&self) -> &JobId {
        &self.lease().id
    }

    /// What is to be done.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.spec().kind()
    }

    /// What it is to be done with.
    #[must_use]
    pub fn payload(&self) -> &Payload {
        &self.spec().payload
    }

    /// Which attempt this is, from 1.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt.claimed.attempt
    }

    /// The session it works on.
    #[must_use]
    pub fn session(&self) -> Option<&str> {
        self.spec().session.as_deref()
    }

    /// The job as it was asked for.
    #[must_use]
    pub fn spec(&self) -> &JobSpec {
        &self.attempt.claimed.spec
    }

    /// When the attempt times out, in epoch milliseconds.
    #[must_use]
    pub fn deadline(&self) -> Option<EpochMillis> {
        self.attempt.deadline
    }

    /// The right to write to the job.
    #[must_use]
    pub fn lease(&self) -> &Lease {
        &self.attempt.claimed.lease
    }

    /// Says how far it is, 0 to 100. Of many in a short time the last one is recorded.
    pub fn progress(&self, percent: f32, message: impl Into<String>) {
        self.attempt.tell_progress(percent, message.into());
    }

    /// Adds a line to the job's log.
    pub fn log(&self, text: impl Into<String>) {
        self.attempt.tell_log(text.into());
    }

    /// Cancelled when the attempt is to end: called off, timed out, its lease lost, or
    /// its worker stopping. What the handler answers then is not its job's end.
    #[must_use]
    pub fn cancelled(&self) -> CancellationToken {
        self.attempt.token()
    }

    /// Keeps the attempt's slot taken until what this gives is dropped, also behind a timeout
    /// or a lost lease: for work that no dropped future ends, such as a thread's.
    #[must_use]
    pub fn hold_slot(&self) -> SlotHold {
        SlotHold::of(&self.attempt)
    }

    /// Where the job is kept.
    pub(crate) fn jobs(&self) -> &SharedJobs {
        &self.attempt.jobs
    }

    /// Whether somebody has called the job off.
    pub(crate) fn is_called_off(&self) -> bool {
        self.attempt.cancel_requested()
    }

    /// Whether the attempt is to end.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.attempt.is_cancelled()
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("lease", self.lease())
            .field("attempt", &self.attempt())
            .finish_non_exhaustive()
    }
}
