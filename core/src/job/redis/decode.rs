//! Jobs as the scripts give them. Pure.

use std::sync::Arc;

use bytes::Bytes;
use redis::Value;

use crate::clock::EpochMillis;
use crate::job::{
    Claimed, Failure, Job, JobError, JobId, JobSpec, JobState, JobStatus, Lease, Payload, Progress,
};

/// Marks what was pushed by others, and taken for JSON by a decoder that is lenient.
const PUSHED: &[u8] = b"{ }";

/// A job that was claimed, or why it cannot be run.
pub(super) enum Taken {
    Job(Claimed),
    Bad(Lease, &'static str),
}

/// The next of the jobs that stand one after the other. What is wrong with one job is no
/// error: the others go on.
pub(super) fn claimed(queue: &Arc<str>, parts: &mut Parts) -> Result<Taken, JobError> {
    let id = parts.id()?;
    let blob = Blob::read(queue, parts.bytes()?);
    let terms = Terms::read(parts.next()?)?;
    let lease = Lease {
        queue: Arc::clone(queue),
        id,
        epoch: terms.epoch,
    };
    if JobId::from_text(lease.id.as_str()).is_err() {
        return Ok(Taken::Bad(lease, "its id is none that a job can have"));
    }
    let Ok(blob) = blob else {
        return Ok(Taken::Bad(lease, "what is kept of it cannot be read"));
    };
    if blob.pushed && Payload::from_json(blob.spec.payload.as_bytes().clone()).is_err() {
        return Ok(Taken::Bad(lease, "what was pushed is no JSON"));
    }
    Ok(Taken::Job(Claimed {
        lease,
        spec: Arc::new(blob.spec),
        attempt: terms.attempt,
        stalls: terms.stalls,
        created_at: blob.created_at,
        run_at: terms.run_at.unwrap_or(blob.created_at),
    }))
}

/// On which terms a job was claimed. Most are at the first attempt, right after they came.
struct Terms {
    epoch: u64,
    attempt: u32,
    stalls: u32,
    run_at: Option<EpochMillis>,
}

impl Terms {
    fn read(value: Value) -> Result<Self, JobError> {
        if let Value::Int(epoch) = value {
            return Ok(Self {
                epoch: u64::try_from(epoch).unwrap_or(0),
                attempt: 1,
                stalls: 0,
                run_at: None,
            });
        }
        let mut parts = Parts::of(value)?;
        Ok(Self {
            epoch: parts.number()?,
            attempt: parts.small()?,
            stalls: parts.small()?,
            run_at: Some(parts.number()?),
        })
    }
}

pub(super) fn job(queue: &Arc<str>, value: Value) -> Result<Option<Job>, JobError> {
    if matches!(value, Value::Nil | Value::Boolean(false)) {
        return Ok(None);
    }
    let mut parts = Parts::of(value)?;
    let id = parts.id()?;
    let blob = Blob::read(queue, parts.bytes()?)?;
    let state = state(parts.number()?).ok_or_else(garbled)?;
    let (epoch, attempt, stalls) = (parts.number()?, parts.small()?, parts.small()?);
    let (run_at, started, finished) = (parts.number()?, parts.number()?, parts.number()?);
    let cancel_requested = parts.number()? == 1;
    let worker = parts.text()?;
    let error = parts.bytes()?;
    let result = parts.bytes()?;
    let progress = parts.bytes()?;
    let some = |at: u64| (at > 0).then_some(at);
    let status = JobStatus {
        state,
        epoch,
        attempt,
        stalls,
        created_at: blob.created_at,
        run_at,
        started_at: some(started),
        finished_at: some(finished),
        worker: (!worker.is_empty()).then(|| worker.into()),
        cancel_requested,
        progress: json::<Progress>(&progress)?,
        result: (!result.is_empty()).then(|| Payload::trusted(result)),
        error: json::<Failure>(&error)?,
    };
    let spec = Arc::new(blob.spec);
    Ok(Some(Job { id, spec, status }))
}

pub(super) fn state(number: u64) -> Option<JobState> {
    let index = usize::try_from(number).ok()?.checked_sub(1)?;
    JobState::ALL.get(index).copied()
}

/// An array's elements, one after the other.
pub(crate) struct Parts(std::vec::IntoIter<Value>);

impl Parts {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.as_slice().is_empty()
    }

    pub(crate) fn of(value: Value) -> Result<Self, JobError> {
        match value {
            Value::Array(parts) | Value::Set(parts) => Ok(Self(parts.into_iter())),
            _ => Err(garbled()),
        }
    }

    pub(crate) fn next(&mut self) -> Result<Value, JobError> {
        self.0.next().ok_or_else(garbled)
    }

    pub(crate) fn bytes(&mut self) -> Result<Bytes, JobError> {
        match self.next()? {
            Value::BulkString(bytes) => Ok(bytes.into()),
            Value::SimpleString(text) => Ok(text.into()),
            _ => Err(garbled()),
        }
    }

    pub(crate) fn text(&mut self) -> Result<String, JobError> {
        String::from_utf8(self.bytes()?.into()).map_err(|_| garbled())
    }

    pub(super) fn id(&mut self) -> Result<JobId, JobError> {
        self.lossy().map(JobId::trusted)
    }

    /// A text that anyone may have written.
    pub(super) fn lossy(&mut self) -> Result<String, JobError> {
        let bytes = self.bytes()?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    pub(crate) fn signed(&mut self) -> Result<i64, JobError> {
        match self.next()? {
            Value::Int(number) => Ok(number),
            _ => Err(garbled()),
        }
    }

    pub(crate) fn number(&mut self) -> Result<u64, JobError> {
        Ok(u64::try_from(self.signed()?).unwrap_or(0))
    }

    fn small(&mut self) -> Result<u32, JobError> {
        Ok(u32::try_from(self.signed()?).unwrap_or(0))
    }
}

impl Iterator for Parts {
    type Item = Value;

    fn next(&mut self) -> Option<Value> {
        self.0.next()
    }
}

/// The server gave what our scripts do not give.
pub(crate) fn garbled() -> JobError {
    JobError::Unavailable {
        backend: "the Redis server".to_owned(),
        problem: "it gave an answer of an unknown form".to_owned(),
        remedy: "use another `prefix` than other versions of this program do".to_owned(),
    }
}

struct Blob {
    created_at: EpochMillis,
    spec: JobSpec,
    pushed: bool,
}

impl Blob {
    fn read(queue: &Arc<str>, blob: Bytes) -> Result<Self, JobError> {
        let created = blob
            .get(..8)
            .and_then(|digits| std::str::from_utf8(digits).ok());
        let created_at = created.and_then(|digits| u64::from_str_radix(digits, 36).ok());
        let rest = blob.slice(blob.len().min(8)..);
        let end = rest
            .iter()
            .position(|byte| *byte == b'\n')
            .ok_or_else(garbled)?;
        let header = rest.slice(..end);
        let mut spec = match &*header {
            b"{}" | PUSHED => JobSpec::default(),
            header => serde_json::from_slice(header).map_err(|_| garbled())?,
        };
        spec.queue = Arc::clone(queue);
        spec.payload = Payload::trusted(rest.slice(end + 1..));
        Ok(Self {
            created_at: created_at.ok_or_else(garbled)?,
            spec,
            pushed: *header == *PUSHED,
        })
    }
}

fn json<T: serde::de::DeserializeOwned>(text: &Bytes) -> Result<Option<T>, JobError> {
    if text.is_empty() {
        return Ok(None);
    }
    serde_json::from_slice(text)
        .map(Some)
        .map_err(|_| garbled())
}
