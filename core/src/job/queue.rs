//! What is set for a queue, and what is counted of it.

use serde::{Deserialize, Serialize};

use super::JobError;
use super::spec::check_term;

/// The largest payload and result, in bytes, unless a queue says otherwise: 16 MiB.
pub const PAYLOAD_LIMIT: u64 = 16 * 1024 * 1024;

/// A queue's limits. They hold for all workers together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QueueLimits {
    /// Jobs that run at once. Default: as many as the workers take.
    pub concurrency: Option<u32>,
    /// Jobs of one group that run at once. Default: no limit.
    pub group_concurrency: Option<u32>,
    /// How many may begin in a time. Default: no limit.
    pub rate: Option<Rate>,
    /// Bytes of payloads that wait or run; beyond, new jobs are refused. Default: 1 GiB.
    pub max_bytes: u64,
    /// Bytes of one payload or result. Default: 16 MiB.
    pub max_payload: u64,
    /// Failed jobs that are kept. Default: 10,000.
    pub keep_failed: u32,
    /// How long failed jobs are kept, in milliseconds. Default: 30 days.
    pub failed_ttl_ms: u64,
    /// Completed and cancelled jobs that are kept, each for its own `result_ttl_ms`. Default: 1,000,000.
    pub keep_finished: u32,
    /// Bytes of payloads and results of jobs that have ended; beyond, the first to go are
    /// dropped: those that did not fail, then those that did. Default: 256 MiB.
    pub keep_bytes: u64,
}

/// So many in a time, spread evenly after a burst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// How many.
    pub jobs: u32,
    /// In how many milliseconds.
    pub per_ms: u64,
    /// How many may begin at once after a rest. Default: `jobs`.
    #[serde(default)]
    pub burst: Option<u32>,
}

impl Default for QueueLimits {
    fn default() -> Self {
        Self {
            concurrency: None,
            group_concurrency: None,
            rate: None,
            max_bytes: 1 << 30,
            max_payload: PAYLOAD_LIMIT,
            keep_failed: 10_000,
            failed_ttl_ms: 30 * 24 * 60 * 60 * 1000,
            keep_finished: 1_000_000,
            keep_bytes: 256 * 1024 * 1024,
        }
    }
}

impl QueueLimits {
    /// # Errors
    /// [`JobError::Invalid`] for limits under which nothing could run.
    pub fn check(&self) -> Result<(), JobError> {
        let nothing = |field| {
            Err(JobError::invalid(
                field,
                "with 0 nothing would run: pause the queue instead",
            ))
        };
        if self.concurrency == Some(0) {
            return nothing("concurrency");
        }
        if self.group_concurrency == Some(0) {
            return nothing("group_concurrency");
        }
        match self.rate {
            Some(rate) if rate.jobs == 0 || rate.per_ms == 0 || rate.burst == Some(0) => {
                nothing("rate")
            }
            _ => Ok(()),
        }?;
        check_term("rate", self.rate.map(|rate| rate.per_ms))?;
        check_term("failed_ttl_ms", Some(self.failed_ttl_ms))
    }
}

/// How a [`Rate`] is kept: the generic cell rate algorithm, in microseconds. Pure.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RateState {
    /// The theoretical arrival time of the next job, in epoch microseconds.
    pub arrival: u64,
}

impl RateState {
    /// How many may begin now, and after how many microseconds one may if none may.
    #[must_use]
    pub fn room(self, rate: Rate, now_us: u64) -> (u64, u64) {
        let (gap, window) = Self::gap_and_window(rate);
        let horizon = now_us.saturating_add(window);
        let arrival = self.arrival.clamp(now_us, horizon);
        let room = (horizon - arrival) / gap;
        let soonest = arrival.saturating_add(gap);
        let wait = if room > 0 { 0 } else { soonest - horizon };
        (room, wait)
    }

    /// After so many have begun.
    #[must_use]
    pub fn taken(self, rate: Rate, now_us: u64, count: u64) -> Self {
        let (gap, window) = Self::gap_and_window(rate);
        // What is further ahead was left behind by a slower rate, or a clock that was set back.
        let arrival = self.arrival.clamp(now_us, now_us.saturating_add(window));
        Self {
            arrival: arrival.saturating_add(gap.saturating_mul(count)),
        }
    }

    pub(super) fn gap_and_window(rate: Rate) -> (u64, u64) {
        let gap = (rate.per_ms.saturating_mul(1000) / u64::from(rate.jobs.max(1))).max(1);
        let burst = u64::from(rate.burst.unwrap_or(rate.jobs).max(1));
        (gap, gap.saturating_mul(burst))
    }
}

/// What is counted of a queue.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueCounts {
    /// Its name.
    pub queue: String,
    /// Jobs that a worker could take, and those that wait for their group's turn.
    pub waiting: u64,
    /// Jobs whose time is to come.
    pub delayed: u64,
    /// Jobs that workers have.
    pub running: u64,
    /// Jobs that are done, as long as they are kept.
    pub completed: u64,
    /// Jobs that were given up, as long as they are kept.
    pub failed: u64,
    /// Jobs that were called off, as long as they are kept.
    pub cancelled: u64,
    /// Bytes of payloads that wait or run.
    pub bytes: u64,
    /// How long the next one has waited, in milliseconds.
    pub oldest_ms: Option<u64>,
    /// Whether claims are stopped.
    pub paused: bool,
}
