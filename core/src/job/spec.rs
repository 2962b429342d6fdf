//! A job as its producer describes it.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{JobError, JobId, Payload, RetryPolicy};
use crate::clock::{EpochMillis, TERM_LIMIT_MS, TIME_LIMIT, millis};

/// The longest name of a queue, kind, group, session, tag or unique key, in bytes.
pub const NAME_LIMIT: usize = 200;
/// The highest priority, and with a minus the lowest.
pub const PRIORITY_LIMIT: i16 = 500;
/// The most tags of a job.
pub const TAG_LIMIT: usize = 32;

/// A job as it is asked for. All of it stays the same in the job's whole life.
///
/// Its JSON form has the same members; those left out have the defaults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JobSpec {
    /// Its id, unique within the queue, or none to have one made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<JobId>,
    /// Not before so many milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<u64>,
    /// Not before that time, in epoch milliseconds; at once if it has passed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_at: Option<EpochMillis>,
    /// The queue: 1 to 200 bytes without braces, spaces and control characters.
    #[serde(skip_serializing_if = "is_empty")]
    pub queue: Arc<str>,
    /// What is to be done: chooses the handler. Default: the queue's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<Box<str>>,
    /// What it is to be done with.
    #[serde(skip_serializing_if = "is_null")]
    pub payload: Payload,
    /// Higher goes first, −500 to 500. Default: 0.
    #[serde(skip_serializing_if = "is_zero")]
    pub priority: i16,
    /// Attempts, the first one included. Default: 3.
    #[serde(skip_serializing_if = "is_three")]
    pub max_attempts: u32,
    /// How often its lease may run out before it is given up. Default: 3.
    #[serde(skip_serializing_if = "is_three")]
    pub max_stalls: u32,
    /// The rests between attempts. Default: 1 s, 2 s, 4 s… up to 10 minutes.
    #[serde(skip_serializing_if = "is_default")]
    pub retry: RetryPolicy,
    /// How long an attempt may take, in milliseconds. Default: as the worker says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// When it is too late to begin, in epoch milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline: Option<EpochMillis>,
    /// While a job with this key is unfinished, no second one is taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unique_key: Option<Box<str>>,
    /// The key is held for so long from the start, even if the job ends before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unique_for_ms: Option<u64>,
    /// The tenant or session it belongs to: groups take turns, and can have a limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<Box<str>>,
    /// The session it works on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<Box<str>>,
    /// The URL that is told of its end, by a job of the kind `credential-rotation.webhook`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook: Option<Box<str>>,
    /// To find it by.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Box<str>>,
    /// How long it is kept once it has ended, in milliseconds. Default: an hour; 0: not at all.
    #[serde(skip_serializing_if = "is_an_hour")]
    pub result_ttl_ms: u64,
}

impl JobSpec {
    /// A job for that queue.
    #[must_use]
    pub fn new(queue: &str, payload: Payload) -> Self {
        Self {
            queue: queue.into(),
            payload,
            ..Self::default()
        }
    }

    /// Reads the JSON form.
    ///
    /// # Errors
    /// [`JobError::Invalid`] for unknown members and values out of range.
    pub fn from_json(text: &[u8]) -> Result<Self, JobError> {
        let spec: Self =
            serde_json::from_slice(text).map_err(|e| JobError::invalid("job", e.to_string()))?;
        spec.check()?;
        Ok(spec)
    }

    /// With an id of the caller's.
    #[must_use]
    pub fn with_id(mut self, id: JobId) -> Self {
        self.id = Some(id);
        self
    }

    /// Not before so long.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay_ms = Some(millis(delay));
        self
    }

    /// With other settings.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// What is to be done: its own kind, else the queue's name.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.kind.as_deref().unwrap_or(&self.queue)
    }

    /// When it may begin, if that is still to come.
    #[must_use]
    pub fn due(&self, now: EpochMillis) -> Option<EpochMillis> {
        let delayed = self.delay_ms.map(|delay| now.saturating_add(delay));
        self.run_at.or(delayed).filter(|at| *at > now)
    }

    /// # Errors
    /// [`JobError::Invalid`] for the first field that no job can have.
    pub fn check(&self) -> Result<(), JobError> {
        let spec = self;
        check_queue(&spec.queue)?;
        let names = [
            ("kind", &spec.kind),
            ("unique_key", &spec.unique_key),
            ("group", &spec.group),
            ("session", &spec.session),
        ];
        for (field, name) in names {
            name.as_deref()
                .map_or(Ok(()), |name| check_name(field, name))?;
        }
        if spec.tags.len() > TAG_LIMIT {
            return Err(JobError::invalid("tags", "there are over 32"));
        }
        spec.tags
            .iter()
            .try_for_each(|tag| check_name("tags", tag))?;
        if spec.priority.unsigned_abs() > PRIORITY_LIMIT.unsigned_abs() {
            return Err(JobError::invalid("priority", "it goes from -500 to 500"));
        }
        if spec.delay_ms.is_some() && spec.run_at.is_some() {
            let problem = "`delay_ms` is given too: give one of them";
            return Err(JobError::invalid("run_at", problem));
        }
        let terms = [
            ("delay_ms", spec.delay_ms),
            ("timeout_ms", spec.timeout_ms),
            ("unique_for_ms", spec.unique_for_ms),
            ("result_ttl_ms", Some(spec.result_ttl_ms)),
        ];
        for (field, term) in terms {
            check_term(field, term)?;
        }
        for (field, at) in [("run_at", spec.run_at), ("deadline", spec.deadline)] {
            if at.is_some_and(|at| at > TIME_LIMIT) {
                let problem = "it is behind the year 9999: give epoch milliseconds";
                return Err(JobError::invalid(field, problem));
            }
        }
        if spec.max_attempts == 0 {
            return Err(JobError::invalid("max_attempts", "it is at least 1"));
        }
        if let Some(problem) = spec.retry.problem() {
            return Err(JobError::invalid("retry", problem));
        }
        if spec.unique_for_ms.is_some() && spec.unique_key.is_none() {
            let problem = "it says how long a `unique_key` is held: give one";
            return Err(JobError::invalid("unique_for_ms", problem));
        }
        super::webhook::check(spec)
    }
}

impl Default for JobSpec {
    fn default() -> Self {
        Self {
            id: None,
            delay_ms: None,
            run_at: None,
            queue: Arc::default(),
            kind: None,
            payload: Payload::NULL,
            priority: 0,
            max_attempts: THREE,
            max_stalls: THREE,
            retry: RetryPolicy::default(),
            timeout_ms: None,
            deadline: None,
            unique_key: None,
            unique_for_ms: None,
            group: None,
            session: None,
            webhook: None,
            tags: Vec::new(),
            result_ttl_ms: HOUR,
        }
    }
}

/// # Errors
/// [`JobError::Invalid`] for a name that no queue can have: it becomes part of a Redis
/// key, where braces have a meaning.
pub fn check_queue(name: &str) -> Result<(), JobError> {
    check_name("queue", name)?;
    let bad = |c: char| matches!(c, '{' | '}') || c.is_whitespace();
    if name.contains(bad) {
        return Err(JobError::invalid(
            "queue",
            "it has braces or spaces: use letters, digits, `_`, `-`, `.` and `:`",
        ));
    }
    Ok(())
}

/// # Errors
/// [`JobError::Invalid`] for a term over [`TERM_LIMIT_MS`].
pub(super) fn check_term(field: &'static str, term: Option<u64>) -> Result<(), JobError> {
    if term.is_some_and(|term| term > TERM_LIMIT_MS) {
        let problem = "it is over a hundred years, in milliseconds";
        return Err(JobError::invalid(field, problem));
    }
    Ok(())
}

fn check_name(field: &'static str, name: &str) -> Result<(), JobError> {
    let problem = if name.is_empty() {
        "it is empty"
    } else if name.len() > NAME_LIMIT {
        "it is over 200 bytes"
    } else if name.chars().any(char::is_control) {
        "it has control characters"
    } else {
        return Ok(());
    };
    Err(JobError::invalid(field, problem))
}

const THREE: u32 = 3;
const HOUR: u64 = 3_600_000;

fn is_empty(text: &str) -> bool {
    text.is_empty()
}

fn is_null(payload: &Payload) -> bool {
    *payload == Payload::NULL
}

fn is_zero(priority: &i16) -> bool {
    *priority == 0
}

fn is_three(count: &u32) -> bool {
    *count == THREE
}

fn is_an_hour(ttl: &u64) -> bool {
    *ttl == HOUR
}

fn is_default(retry: &RetryPolicy) -> bool {
    *retry == RetryPolicy::default()
}
