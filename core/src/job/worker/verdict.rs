//! What the end of a handler means for its job. Pure.

use std::any::Any;
use std::time::Duration;

use super::HandlerError;
use crate::job::{Claimed, Failure, Outcome, Payload, failure_kind};

/// How a handler ended.
#[derive(Debug)]
pub(super) enum End {
    /// By an answer.
    Answered(Result<Payload, HandlerError>),
    /// By a panic with these words.
    Panicked(String),
    /// By being dropped in the middle.
    Dropped,
}

impl End {
    /// As those who trace see it.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Answered(Ok(_)) => "completed",
            Self::Answered(Err(HandlerError::Snooze(_))) => "snoozed",
            Self::Answered(Err(HandlerError::Cancelled)) => "cancelled",
            Self::Answered(Err(_)) => "failed",
            Self::Panicked(_) => "panicked",
            Self::Dropped => "dropped",
        }
    }
}

/// What an end leads to. A request to cancel wins over all but success.
pub(super) fn outcome(claimed: &Claimed, end: End, cancel_requested: bool) -> Outcome {
    let error = match end {
        End::Answered(Ok(result)) => return Outcome::Complete { result },
        _ if cancel_requested => return Outcome::Cancel,
        End::Answered(Err(error)) => error,
        End::Panicked(words) => HandlerError::Failed(Failure::new(failure_kind::PANIC, words)),
        End::Dropped => return Outcome::Release,
    };
    match error {
        HandlerError::Failed(error) => claimed.failed(error, fastrand::f64()),
        HandlerError::Unrecoverable(error) => Outcome::Fail { error },
        HandlerError::Snooze(after) => Outcome::Snooze { after },
        HandlerError::Cancelled => Outcome::Cancel,
    }
}

/// What an attempt that took too long leads to.
pub(super) fn timed_out(claimed: &Claimed, after: Duration) -> Outcome {
    let words = format!("it took longer than {} ms", after.as_millis());
    claimed.failed(Failure::new(failure_kind::TIMEOUT, words), fastrand::f64())
}

/// What a job that no handler is for leads to.
pub(super) fn unknown_kind(claimed: &Claimed) -> Outcome {
    let words = format!(
        "the worker has no handler for `{}`: give it one, or a default one",
        claimed.spec.kind()
    );
    Outcome::Fail {
        error: Failure::new(failure_kind::UNKNOWN_KIND, words),
    }
}

/// The words of a panic.
pub(super) fn panic_words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "a panic without words".to_owned())
}
