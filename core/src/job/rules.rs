//! What each move does to a job. Pure: no clock, no storage.
//!
//! The backends that keep jobs in this process or in SQLite apply these; the Redis scripts
//! do the same. The conformance suite, and by chance `tests/twins.rs`, hold all to it.

use super::{Failure, JobSpec, JobState, JobStatus, Move, Outcome, failure_kind};
use crate::clock::{EpochMillis, term};

/// A worker takes the job. `retired` is the highest epoch of jobs that are gone from the
/// queue: whoever still has a lease of one must not write to a new job of its id.
pub(super) fn claim(status: &mut JobStatus, worker: &str, retired: u64, now: EpochMillis) {
    to(status, Move::Claim);
    status.epoch = status.epoch.max(retired) + 1;
    status.attempt += 1;
    status.started_at = Some(now);
    status.worker = Some(worker.into());
    status.progress = None;
}

/// An attempt has ended. A request to cancel wins over all but success.
pub(super) fn settle(status: &mut JobStatus, spec: &JobSpec, outcome: Outcome, now: EpochMillis) {
    match outcome {
        Outcome::Complete { result } => {
            status.result = Some(result);
            status.error = None;
            end(status, Move::Complete, now);
        }
        Outcome::Cancel => end(status, Move::Cancel, now),
        Outcome::Retry { error, .. } | Outcome::Fail { error } if status.cancel_requested => {
            status.error = Some(error);
            end(status, Move::Cancel, now);
        }
        _ if status.cancel_requested => end(status, Move::Cancel, now),
        Outcome::Fail { error } => {
            status.error = Some(error);
            end(status, Move::Fail, now);
        }
        Outcome::Retry { error, after } => {
            let due = now.saturating_add(term(after));
            status.error = Some(error);
            if spec.deadline.is_some_and(|deadline| due > deadline) {
                end(status, Move::Fail, now);
            } else {
                status.run_at = due;
                to(status, Move::Retry);
            }
        }
        Outcome::Snooze { after } => {
            status.run_at = now.saturating_add(term(after));
            status.attempt = status.attempt.saturating_sub(1);
            to(status, Move::Snooze);
        }
        Outcome::Release => {
            status.attempt = status.attempt.saturating_sub(1);
            to(status, Move::Release);
        }
    }
}

/// A lease has run out.
pub(super) fn stall(status: &mut JobStatus, spec: &JobSpec, now: EpochMillis) {
    status.stalls += 1;
    status.attempt = status.attempt.saturating_sub(1);
    if status.cancel_requested {
        end(status, Move::Cancel, now);
    } else if status.stalls > spec.max_stalls {
        status.error = Some(stalled(status.stalls));
        end(status, Move::StallOut, now);
    } else {
        to(status, Move::Stall);
    }
}

/// Its deadline passed before it began.
pub(super) fn expire(status: &mut JobStatus, now: EpochMillis) {
    status.error = Some(expired());
    end(status, Move::Expire, now);
}

/// It is called off while it waits.
pub(super) fn cancel(status: &mut JobStatus, now: EpochMillis) {
    end(status, Move::Cancel, now);
}

/// It waits again, as if new; its epoch goes on counting.
pub(super) fn revive(status: &mut JobStatus, now: EpochMillis) {
    to(status, Move::Revive);
    status.attempt = 0;
    status.stalls = 0;
    status.run_at = now;
    status.finished_at = None;
    status.cancel_requested = false;
    status.progress = None;
    status.result = None;
    status.error = None;
}

/// What a job cannot be whose unique key is another's by now, as a participle.
pub(super) const KEY_IS_HELD: &str = "retried while another job holds its `unique_key`";

/// How long a job that has ended is kept, in milliseconds.
pub(super) fn kept_for(state: JobState, spec: &JobSpec, failed_ttl_ms: u64) -> u64 {
    match state {
        JobState::Failed => failed_ttl_ms,
        _ => spec.result_ttl_ms,
    }
}

/// The failure of a job whose lease ran out too often.
pub(super) fn stalled(stalls: u32) -> Failure {
    Failure::new(
        failure_kind::STALLED,
        format!("its lease ran out {stalls} times: workers died or were frozen while they had it"),
    )
}

/// The failure of a job that waited for too long.
pub(super) fn expired() -> Failure {
    Failure::new(
        failure_kind::EXPIRED,
        "its deadline passed before a worker was free",
    )
}

fn end(status: &mut JobStatus, made: Move, now: EpochMillis) {
    to(status, made);
    status.finished_at = Some(now);
}

// The callers look at the state before: what is not in the table changes nothing.
fn to(status: &mut JobStatus, made: Move) {
    let after = status.state.after(made);
    debug_assert!(after.is_some(), "{made:?} from {:?}", status.state);
    if let Some(state) = after {
        status.state = state;
    }
}
