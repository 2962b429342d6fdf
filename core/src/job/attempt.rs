//! One attempt at a job, from its claim to its end, as workers and backends speak of it.

use std::sync::Arc;
use std::time::Duration;

use super::{Failure, JobError, JobId, JobSpec, JobState, Payload, Progress};
use crate::clock::EpochMillis;

/// The right to write to a job, of one attempt only.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Lease {
    /// The job's queue.
    pub queue: Arc<str>,
    /// The job.
    pub id: JobId,
    /// The attempt: the job's epoch when it was claimed.
    pub epoch: u64,
}

/// A wish for jobs of one queue.
#[derive(Debug, Clone)]
pub struct Claim {
    /// Who asks.
    pub worker: Arc<str>,
    /// At most so many. With 0 nothing is claimed.
    pub max: usize,
    /// How long they are the worker's without a renewal.
    pub lease: Duration,
}

/// A job that was claimed.
#[derive(Debug, Clone)]
pub struct Claimed {
    /// The right to write to it.
    pub lease: Lease,
    /// What is to be done.
    pub spec: Arc<JobSpec>,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// How often its lease ran out before.
    pub stalls: u32,
    /// When it was taken in.
    pub created_at: EpochMillis,
    /// When it could begin.
    pub run_at: EpochMillis,
}

/// What came of an attempt.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It is done.
    Complete {
        /// What came of it.
        result: Payload,
    },
    /// It failed and rests before another attempt.
    Retry {
        /// Why.
        error: Failure,
        /// How long.
        after: Duration,
    },
    /// It failed for good.
    Fail {
        /// Why.
        error: Failure,
    },
    /// It is put off, at no cost.
    Snooze {
        /// How long.
        after: Duration,
    },
    /// It is given back unfinished, at no cost.
    Release,
    /// It gave way to a request to cancel it.
    Cancel,
}

impl Outcome {
    /// About how many bytes are to be sent of it.
    fn size(&self) -> usize {
        match self {
            Self::Complete { result } => result.len(),
            Self::Retry { error, .. } | Self::Fail { error } => {
                error.message.len() + error.trace.as_ref().map_or(0, String::len)
            }
            Self::Snooze { .. } | Self::Release | Self::Cancel => 0,
        }
    }

    /// Why it failed, if it did.
    pub(super) fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Retry { error, .. } | Self::Fail { error } => Some(error),
            _ => None,
        }
    }
}

/// An attempt's end, to be recorded.
#[derive(Debug, Clone, PartialEq)]
pub struct Settlement {
    /// Whose.
    pub lease: Lease,
    /// What came of it.
    pub outcome: Outcome,
}

/// What is to be recorded and wished for at once, in one round trip.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// The queue of all of it.
    pub queue: Arc<str>,
    /// Ends of attempts.
    pub settle: Vec<Settlement>,
    /// New jobs.
    pub claim: Claim,
}

/// What a trip to a backend far away carries of payloads and results, unless one alone has
/// more: a slow network must have it across before the answer is late.
pub(super) const TRIP_BYTES: usize = 4 << 20;

impl Exchange {
    /// Ends to be recorded, and no wish.
    pub(super) fn settling(queue: Arc<str>, settle: Vec<Settlement>) -> Self {
        let claim = Claim {
            worker: "".into(),
            max: 0,
            lease: Duration::ZERO,
        };
        Self {
            queue,
            settle,
            claim,
        }
    }
}

/// How many of these ends, from the first, one trip carries.
pub(super) fn fit_a_trip<'a>(outcomes: impl Iterator<Item = &'a Outcome>) -> usize {
    let mut bytes = 0;
    let fits = |outcome: &&Outcome| {
        bytes += outcome.size();
        bytes <= TRIP_BYTES
    };
    outcomes.take_while(fits).count().max(1)
}

/// What came of an [`Exchange`].
#[derive(Debug, Default)]
pub struct Exchanged {
    /// For each settlement the job's state, or a refusal that changed nothing.
    pub settled: Vec<Result<JobState, JobError>>,
    /// The jobs claimed.
    pub claimed: Vec<Claimed>,
    /// When it is worth asking again although nobody rings: a delayed job's time, a rate's.
    pub again_in: Option<Duration>,
}

/// What became of a lease that was to be renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewal {
    /// It runs on.
    Kept,
    /// It runs on, and the job is to be called off.
    CancelRequested,
    /// It is another's, or the job is gone: the attempt is over.
    Lost,
}

/// News of an attempt under way.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Whose.
    pub lease: Lease,
    /// How far it is, if that is the news.
    pub progress: Option<Progress>,
    /// Lines for the job's log.
    pub log: Vec<String>,
}

/// The longest line of a log, and message of a progress, in bytes.
pub(super) const LINE_LIMIT: usize = 16 * 1024;

impl Report {
    /// # Errors
    /// [`JobError::Invalid`] for a progress that JSON has no form for, and for long words.
    pub(super) fn check(&self) -> Result<(), JobError> {
        let too_long = |field| {
            let problem = "it is over 16 KiB: keep long texts elsewhere";
            Err(JobError::invalid(field, problem))
        };
        if let Some(progress) = &self.progress {
            if !progress.percent.is_finite() {
                let problem = "its `percent` is no number: it goes from 0 to 100";
                return Err(JobError::invalid("progress", problem));
            }
            if progress.message.len() > LINE_LIMIT {
                return too_long("progress");
            }
        }
        if self.log.iter().any(|line| line.len() > LINE_LIMIT) {
            return too_long("log");
        }
        Ok(())
    }
}

/// What became of a job that was to be enqueued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Enqueued {
    /// It was taken in.
    Added(JobId),
    /// One with its id, or its unique key, is there: this one. Nothing was changed.
    Duplicate(JobId),
    /// It was refused: an error of its own. The others of the batch were not.
    Refused(JobError),
}

impl Enqueued {
    /// The id of the job that is there now.
    ///
    /// # Errors
    /// Why it was refused.
    pub fn id(self) -> Result<JobId, JobError> {
        match self {
            Self::Added(id) | Self::Duplicate(id) => Ok(id),
            Self::Refused(error) => Err(error),
        }
    }
}

impl Claimed {
    /// What a failure of this attempt leads to: another one, or the end.
    #[must_use]
    pub fn failed(&self, error: Failure, chance: f64) -> Outcome {
        if self.attempt >= self.spec.max_attempts {
            return Outcome::Fail { error };
        }
        let after = self.spec.retry.rest(self.attempt, chance);
        Outcome::Retry { error, after }
    }
}
