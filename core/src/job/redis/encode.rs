//! Jobs and outcomes as the scripts take them. Pure.

use std::sync::Arc;

use serde::Serialize;

use super::scripts::Args;
use crate::clock::{EpochMillis, term};
use crate::job::manager::too_large;
use crate::job::{Failure, JobError, JobId, JobSpec, Outcome, Payload, Settlement};

/// A job that is to be taken in, ready to be sent.
pub(super) struct Packed {
    pub(super) id: JobId,
    blob: Vec<u8>,
    /// What is not as usual, as JSON.
    more: String,
    size: usize,
}

/// What the script needs to know at once.
#[derive(Serialize)]
struct More<'a> {
    #[serde(skip_serializing_if = "is_zero")]
    priority: i16,
    #[serde(skip_serializing_if = "Option::is_none")]
    run_at: Option<EpochMillis>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delay: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    held_for: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deadline: Option<EpochMillis>,
}

/// The header and the payload; when it was taken in is written before them.
pub(super) fn pack(mut spec: JobSpec) -> Result<Packed, JobError> {
    let id = spec.id.take().unwrap_or_default();
    let (run_at, delay) = (spec.run_at.take(), spec.delay_ms.take());
    spec.queue = Arc::default();
    let payload = std::mem::replace(&mut spec.payload, Payload::NULL);
    let unwritten = |e: serde_json::Error| JobError::invalid("job", e.to_string());
    let mut blob = Vec::with_capacity(payload.len() + 16);
    serde_json::to_writer(&mut blob, &spec).map_err(unwritten)?;
    blob.push(b'\n');
    blob.extend_from_slice(payload.as_bytes());
    let more = More {
        priority: spec.priority,
        run_at,
        delay,
        key: spec.unique_key.as_deref(),
        held_for: spec.unique_for_ms,
        group: spec.group.as_deref(),
        deadline: spec.deadline,
    };
    let more = match &more {
        More {
            priority: 0,
            run_at: None,
            delay: None,
            key: None,
            group: None,
            deadline: None,
            ..
        } => String::new(),
        more => serde_json::to_string(more).map_err(unwritten)?,
    };
    Ok(Packed {
        id,
        blob,
        more,
        size: payload.len(),
    })
}

impl Packed {
    /// The bytes to be sent.
    pub(super) fn bytes(&self) -> usize {
        self.blob.len()
    }

    /// The payload's bytes.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    pub(super) fn push_to(self, args: &mut Args) {
        args.push(self.id.as_str());
        args.push(self.blob);
        args.push(self.more.as_str());
    }
}

fn is_zero(priority: &i16) -> bool {
    *priority == 0
}

/// The server closes the connection on more than twice this.
const ALL_LIMITS: usize = 256 << 20;

/// What no queue can take, whatever its limits are: it is not even sent.
pub(super) fn over_all_limits(payload: &Payload) -> Option<JobError> {
    let bytes = payload.len();
    (bytes > ALL_LIMITS).then_some(JobError::TooLarge {
        what: "payload",
        bytes,
        limit: ALL_LIMITS,
    })
}

/// The end of an attempt: id, how, and a result or an error.
pub(super) fn push_settlement(args: &mut Args, settlement: Settlement) -> Result<(), JobError> {
    let epoch = settlement.lease.epoch;
    args.push(settlement.lease.id.as_str());
    let (how, text) = match settlement.outcome {
        Outcome::Complete { result } => match too_large(&result, ALL_LIMITS as u64) {
            Some(error) => (format!("fail:{epoch}:"), words(&error)?),
            None => {
                args.push(epoch);
                args.push(result.as_bytes().to_vec());
                return Ok(());
            }
        },
        Outcome::Retry { error, after } => {
            (format!("retry:{epoch}:{}", term(after)), words(&error)?)
        }
        Outcome::Fail { error } => (format!("fail:{epoch}:"), words(&error)?),
        Outcome::Snooze { after } => (format!("snooze:{epoch}:{}", term(after)), String::new()),
        Outcome::Release => (format!("release:{epoch}:"), String::new()),
        Outcome::Cancel => (format!("cancel:{epoch}:"), String::new()),
    };
    args.push(how.as_str());
    args.push(text.as_str());
    Ok(())
}

fn words(error: &Failure) -> Result<String, JobError> {
    serde_json::to_string(error).map_err(|e| JobError::invalid("error", e.to_string()))
}
