//! Jobs and outcomes as the scripts take them. Pure.

use super::scripts::Args;
use crate::clock::millis;
use crate::job::{Failure, JobError, JobId, JobSpec, Outcome, Payload, Settlement};

/// A job that is to be taken in, ready to be sent.
pub(super) struct Packed {
    pub(super) id: JobId,
    blob: Vec<u8>,
    priority: i16,
    /// A time, `+` and a delay, or nothing.
    due: String,
    key: String,
    held_for: u64,
    group: String,
    size: usize,
}

/// The header and the payload; when it was taken in is written before them.
pub(super) fn pack(mut spec: JobSpec) -> Result<Packed, JobError> {
    let id = spec.id.take().unwrap_or_default();
    let due = match (spec.run_at.take(), spec.delay_ms.take()) {
        (Some(at), _) => at.to_string(),
        (None, Some(delay)) => format!("+{delay}"),
        (None, None) => String::new(),
    };
    spec.queue = "".into();
    let payload = std::mem::replace(&mut spec.payload, Payload::NULL);
    let mut blob = Vec::with_capacity(payload.len() + 16);
    serde_json::to_writer(&mut blob, &spec).map_err(|e| JobError::invalid("job", e.to_string()))?;
    blob.push(b'\n');
    blob.extend_from_slice(payload.as_bytes());
    let text = |name: &Option<Box<str>>| name.as_deref().unwrap_or_default().to_owned();
    Ok(Packed {
        id,
        blob,
        priority: spec.priority,
        due,
        key: text(&spec.unique_key),
        held_for: spec.unique_for_ms.unwrap_or(0),
        group: text(&spec.group),
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
        args.push(self.priority.to_string().as_str());
        args.push(self.due.as_str());
        args.push(self.key.as_str());
        args.push(self.held_for);
        args.push(self.group.as_str());
        args.push(self.size as u64);
    }
}

/// The end of an attempt.
pub(super) fn push_settlement(args: &mut Args, settlement: Settlement) -> Result<(), JobError> {
    args.push(settlement.lease.id.as_str());
    args.push(settlement.lease.epoch);
    let none = String::new;
    let (what, one, two) = match settlement.outcome {
        Outcome::Complete { result } => {
            args.push("complete");
            args.push(result.as_bytes().to_vec());
            args.push("");
            return Ok(());
        }
        Outcome::Retry { error, after } => ("retry", words(&error)?, millis(after).to_string()),
        Outcome::Fail { error } => ("fail", words(&error)?, none()),
        Outcome::Snooze { after } => ("snooze", none(), millis(after).to_string()),
        Outcome::Release => ("release", none(), none()),
        Outcome::Cancel => ("cancel", none(), none()),
    };
    args.push(what);
    args.push(one.as_str());
    args.push(two.as_str());
    Ok(())
}

fn words(error: &Failure) -> Result<String, JobError> {
    serde_json::to_string(error).map_err(|e| JobError::invalid("error", e.to_string()))
}
