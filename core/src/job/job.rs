//! A job as it is at one moment.

use std::sync::Arc;

use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};

use super::{JobId, JobSpec, JobState, Payload};
use crate::clock::EpochMillis;

/// A job as it is at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// What was asked for.
    pub spec: Arc<JobSpec>,
    /// How far it has come.
    pub status: JobStatus,
}

/// What changes in a job's life. Times are in epoch milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobStatus {
    /// Its state.
    pub state: JobState,
    /// Grows with each claim, and for a new job of an id beyond all that the id had. A write
    /// of an attempt carries it, and a stale one is refused.
    pub epoch: u64,
    /// Attempts begun, but for those that cost nothing: snoozed, given back, stalled.
    pub attempt: u32,
    /// How often its lease ran out.
    pub stalls: u32,
    /// When it was taken in.
    pub created_at: EpochMillis,
    /// When it may begin, or might have.
    pub run_at: EpochMillis,
    /// When the last attempt began.
    pub started_at: Option<EpochMillis>,
    /// When it ended.
    pub finished_at: Option<EpochMillis>,
    /// Who has it, or had it last.
    pub worker: Option<Box<str>>,
    /// Whether a running job is to be called off.
    pub cancel_requested: bool,
    /// How far the attempt says it is.
    pub progress: Option<Progress>,
    /// What came of it.
    pub result: Option<Payload>,
    /// Why the last attempt failed.
    pub error: Option<Failure>,
}

/// How far an attempt is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// 0 to 100.
    pub percent: f32,
    /// In words.
    #[serde(default)]
    pub message: String,
}

/// A line of a job's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// When, in epoch milliseconds.
    pub at: EpochMillis,
    /// What.
    pub text: String,
}

/// Why an attempt failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// One of [`failure_kind`]'s, or the name of the handler's own exception.
    pub kind: String,
    /// In words.
    pub message: String,
    /// Where, if the host's language tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
}

/// The kinds of [`Failure`] that come from here.
pub mod failure_kind {
    /// The handler said so.
    pub const ERROR: &str = "error";
    /// The attempt took longer than it may.
    pub const TIMEOUT: &str = "timeout";
    /// The handler panicked.
    pub const PANIC: &str = "panic";
    /// The lease ran out too often: workers died, or were frozen.
    pub const STALLED: &str = "stalled";
    /// The deadline passed before a worker was free.
    pub const EXPIRED: &str = "expired";
    /// It was called off.
    pub const CANCELLED: &str = "cancelled";
    /// What was pushed is no job.
    pub const BAD_PAYLOAD: &str = "bad_payload";
    /// The worker has no handler of that kind.
    pub const UNKNOWN_KIND: &str = "unknown_kind";
    /// A webhook is at an address that deliveries do not go to.
    pub const WEBHOOK_REFUSED: &str = "webhook_refused";
    /// There is no secret to sign a webhook's delivery with.
    pub const WEBHOOK_SECRET: &str = "webhook_secret";
    /// A webhook did not answer, or not by 2xx.
    pub const WEBHOOK_FAILED: &str = "webhook_failed";
    /// A webhook answered 410: it wants no more.
    pub const WEBHOOK_GONE: &str = "webhook_gone";
    /// The result is over the limit.
    pub const RESULT_TOO_LARGE: &str = "result_too_large";
}

/// The longest words of a failure that are kept, in bytes.
const WORDS_LIMIT: usize = 4 * 1024;
/// The longest trace that is kept, in bytes.
const TRACE_LIMIT: usize = 16 * 1024;

impl Failure {
    /// A failure of that kind; long words are cut.
    #[must_use]
    pub fn new(kind: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            kind: cut(kind.into(), 200),
            message: cut(message.into(), WORDS_LIMIT),
            trace: None,
        }
    }

    /// With where it happened; a long trace is cut.
    #[must_use]
    pub fn with_trace(mut self, trace: impl Into<String>) -> Self {
        self.trace = Some(cut(trace.into(), TRACE_LIMIT));
        self
    }
}

impl JobStatus {
    /// A job that was just taken in.
    #[must_use]
    pub fn taken_in(now: EpochMillis, due: Option<EpochMillis>) -> Self {
        Self {
            state: if due.is_some() {
                JobState::Delayed
            } else {
                JobState::Waiting
            },
            epoch: 0,
            attempt: 0,
            stalls: 0,
            created_at: now,
            run_at: due.unwrap_or(now),
            started_at: None,
            finished_at: None,
            worker: None,
            cancel_requested: false,
            progress: None,
            result: None,
            error: None,
        }
    }
}

/// As every language carries it: one object, payload and result as they were written.
impl Serialize for Job {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (spec, status) = (&self.spec, &self.status);
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", &self.id)?;
        map.serialize_entry("queue", &spec.queue)?;
        map.serialize_entry("kind", spec.kind())?;
        map.serialize_entry("state", &status.state)?;
        map.serialize_entry("payload", &spec.payload)?;
        map.serialize_entry("result", &status.result)?;
        map.serialize_entry("error", &status.error)?;
        map.serialize_entry("progress", &status.progress)?;
        map.serialize_entry("attempt", &status.attempt)?;
        map.serialize_entry("max_attempts", &spec.max_attempts)?;
        map.serialize_entry("stalls", &status.stalls)?;
        map.serialize_entry("epoch", &status.epoch)?;
        map.serialize_entry("priority", &spec.priority)?;
        map.serialize_entry("group", &spec.group)?;
        map.serialize_entry("session", &spec.session)?;
        map.serialize_entry("tags", &spec.tags)?;
        map.serialize_entry("unique_key", &spec.unique_key)?;
        map.serialize_entry("webhook", &spec.webhook)?;
        map.serialize_entry("worker", &status.worker)?;
        map.serialize_entry("cancel_requested", &status.cancel_requested)?;
        map.serialize_entry("created_at", &status.created_at)?;
        map.serialize_entry("run_at", &status.run_at)?;
        map.serialize_entry("started_at", &status.started_at)?;
        map.serialize_entry("finished_at", &status.finished_at)?;
        map.serialize_entry("deadline", &spec.deadline)?;
        map.serialize_entry("timeout_ms", &spec.timeout_ms)?;
        map.serialize_entry("result_ttl_ms", &spec.result_ttl_ms)?;
        map.end()
    }
}

fn cut(mut text: String, limit: usize) -> String {
    if text.len() > limit {
        text.truncate(text.floor_char_boundary(limit.saturating_sub(3)));
        text.push('…');
    }
    text
}
