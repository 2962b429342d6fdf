//! What can go wrong with a job's manager. How a job itself fails is [`super::Failure`].

use serde_json::{Value, json};

use super::{JobId, JobState};

/// A refusal or a trouble of a [`super::JobManager`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JobError {
    /// A field that no job, queue or limit can have.
    #[error("invalid `{field}`: {problem}")]
    Invalid {
        /// The field.
        field: &'static str,
        /// What is wrong and what would be right.
        problem: String,
    },
    /// A payload or result over the limit.
    #[error(
        "the {what} has {bytes} bytes, the limit is {limit}: keep large data elsewhere and pass its place"
    )]
    TooLarge {
        /// `payload` or `result`.
        what: &'static str,
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// A queue that takes no more until jobs leave it.
    #[error(
        "the queue `{queue}` is full ({limit} bytes of jobs): wait, add workers, or raise its `max_bytes`"
    )]
    QueueFull {
        /// The queue.
        queue: String,
        /// Its limit in bytes.
        limit: u64,
    },
    /// No job of that id.
    #[error("no job `{id}`: it never was, was deleted, or its `result_ttl_ms` has passed")]
    UnknownJob {
        /// The id.
        id: JobId,
    },
    /// No queue of that name has ever had a job or a setting.
    #[error("no queue `{queue}`: `queues` lists those there are")]
    UnknownQueue {
        /// The name.
        queue: String,
    },
    /// A write of an attempt that is not the job's present one. Nothing was changed.
    #[error(
        "attempt {epoch} of job `{id}` is over: its lease ran out, or the job was deleted or given back; drop its outcome"
    )]
    StaleAttempt {
        /// The job.
        id: JobId,
        /// The epoch of the write.
        epoch: u64,
    },
    /// A move that the job's state does not allow. Nothing was changed.
    #[error("job `{id}` is {}: it cannot be {verb}", state.as_str())]
    IllegalMove {
        /// The job.
        id: JobId,
        /// Its state.
        state: JobState,
        /// What was asked for, as a participle.
        verb: &'static str,
    },
    /// The wait for a job's end was longer than allowed.
    #[error(
        "job `{id}` did not end within {waited_ms} ms: it goes on; wait again or look at its state"
    )]
    WaitTimeout {
        /// The job.
        id: JobId,
        /// How long was waited, in milliseconds.
        waited_ms: u64,
    },
    /// The server or file does not answer as it should.
    #[error("cannot reach {backend}: {problem}; {remedy}")]
    Unavailable {
        /// Which, without user or password.
        backend: String,
        /// What went wrong.
        problem: String,
        /// What to do.
        remedy: String,
    },
    /// The server or file answers, but cannot serve as it is set up.
    #[error("{backend} cannot be used: {problem}; {remedy}")]
    Unsuitable {
        /// Which, without user or password.
        backend: String,
        /// What is wrong.
        problem: String,
        /// What to do.
        remedy: String,
    },
    /// A use after `close`.
    #[error("this manager is closed: connect again")]
    Closed,
}

impl JobError {
    /// The stable code: the same in every language.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Invalid { .. } => "invalid_job",
            Self::TooLarge { .. } => "job_too_large",
            Self::QueueFull { .. } => "queue_full",
            Self::UnknownJob { .. } => "unknown_job",
            Self::UnknownQueue { .. } => "unknown_queue",
            Self::StaleAttempt { .. } => "stale_attempt",
            Self::IllegalMove { .. } => "illegal_move",
            Self::WaitTimeout { .. } => "wait_timeout",
            Self::Unavailable { .. } => "backend_unavailable",
            Self::Unsuitable { .. } => "backend_unsuitable",
            Self::Closed => "manager_closed",
        }
    }

    /// As it crosses into other languages: `code`, `message`, and what is known beside them.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut value = match self {
            Self::Invalid { field, .. } => json!({ "field": field }),
            Self::TooLarge { what, bytes, limit } => {
                json!({ "what": what, "bytes": bytes, "limit": limit })
            }
            Self::QueueFull { queue, limit } => json!({ "queue": queue, "limit": limit }),
            Self::UnknownJob { id } => json!({ "id": id }),
            Self::UnknownQueue { queue } => json!({ "queue": queue }),
            Self::StaleAttempt { id, epoch } => json!({ "id": id, "epoch": epoch }),
            Self::IllegalMove { id, state, .. } => json!({ "id": id, "state": state }),
            Self::WaitTimeout { id, waited_ms } => json!({ "id": id, "waited_ms": waited_ms }),
            Self::Unavailable { backend, .. } | Self::Unsuitable { backend, .. } => {
                json!({ "backend": backend })
            }
            Self::Closed => json!({}),
        };
        value["code"] = json!(self.code());
        value["message"] = json!(self.to_string());
        value
    }

    pub(crate) fn invalid(field: &'static str, problem: impl Into<String>) -> Self {
        Self::Invalid {
            field,
            problem: problem.into(),
        }
    }
}

/// Every code of a [`JobError`], in the order of the documentation.
pub const CODES: [&str; 11] = [
    "invalid_job",
    "job_too_large",
    "queue_full",
    "unknown_job",
    "unknown_queue",
    "stale_attempt",
    "illegal_move",
    "wait_timeout",
    "backend_unavailable",
    "backend_unsuitable",
    "manager_closed",
];
