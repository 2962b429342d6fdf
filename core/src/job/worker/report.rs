//! What a worker has done.

use serde::Serialize;

use crate::job::{JobState, Outcome};

/// What a worker has done, as it was recorded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct WorkerReport {
    /// Jobs done.
    pub completed: u64,
    /// Jobs given up.
    pub failed: u64,
    /// Jobs called off.
    pub cancelled: u64,
    /// Attempts that failed, with another one to come.
    pub retried: u64,
    /// Jobs put off by their handler.
    pub snoozed: u64,
    /// Jobs given back unfinished.
    pub released: u64,
    /// Attempts that were no longer the worker's: their ends were dropped.
    pub lost: u64,
    /// Ends that could not be recorded before the worker had to go, as far as it knows: those jobs may run again.
    pub unrecorded: u64,
}

impl WorkerReport {
    /// Attempts that were recorded.
    #[must_use]
    pub fn recorded(&self) -> u64 {
        self.completed + self.failed + self.cancelled + self.retried + self.snoozed + self.released
    }

    /// Each number by its name, the same in every language.
    #[must_use]
    pub fn by_name(&self) -> [(&'static str, u64); 8] {
        [
            ("completed", self.completed),
            ("failed", self.failed),
            ("cancelled", self.cancelled),
            ("retried", self.retried),
            ("snoozed", self.snoozed),
            ("released", self.released),
            ("lost", self.lost),
            ("unrecorded", self.unrecorded),
        ]
    }

    /// Counts an end that was recorded, and gives its name.
    pub(super) fn record(&mut self, outcome: &Outcome, state: JobState) -> &'static str {
        let (count, name) = match (state, outcome) {
            (JobState::Completed, _) => (&mut self.completed, "completed"),
            (JobState::Failed, _) => (&mut self.failed, "failed"),
            (JobState::Cancelled, _) => (&mut self.cancelled, "cancelled"),
            (_, Outcome::Snooze { .. }) => (&mut self.snoozed, "snoozed"),
            (_, Outcome::Release) => (&mut self.released, "released"),
            _ => (&mut self.retried, "retried"),
        };
        *count += 1;
        name
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.completed += other.completed;
        self.failed += other.failed;
        self.cancelled += other.cancelled;
        self.retried += other.retried;
        self.snoozed += other.snoozed;
        self.released += other.released;
        self.lost += other.lost;
        self.unrecorded += other.unrecorded;
    }
}
