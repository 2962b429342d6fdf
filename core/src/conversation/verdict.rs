//! What is to follow an attempt at a turn that failed. Pure, but for the time.

use std::time::Duration;

use super::ConversationError;
use crate::clock::{Clock, SystemClock};
use crate::document::DocumentError;
use crate::error::Error;
use crate::job::worker::HandlerError;
use crate::job::{Failure, JobError};
use crate::session::SessionError;

/// The shortest and longest rest when no credential can be used.
const RESTS: (u64, u64) = (1_000, 600_000);

/// What is to follow.
pub(super) fn verdict(error: &Error) -> HandlerError {
    // No call was made: it costs no attempt.
    let now = SystemClock.now();
    let rest = match error {
        Error::AllCooling {
            earliest: Some(at), ..
        } => Some(at.saturating_sub(now)),
        Error::Conversation(ConversationError::Busy { .. })
        | Error::Document(DocumentError::Busy) => Some(0),
        _ => None,
    };
    if let Some(rest) = rest {
        return HandlerError::Snooze(Duration::from_millis(rest.clamp(RESTS.0, RESTS.1)));
    }
    let failure = Failure::new(error.code(), error.to_string());
    if is_final(error) {
        HandlerError::Unrecoverable(failure)
    } else {
        HandlerError::Failed(failure)
    }
}

/// Whether another attempt would come to the same.
pub(super) fn is_final(error: &Error) -> bool {
    match error {
        Error::Session(SessionError::StaleVersion { .. }) => false,
        // Jobs end, and make room.
        Error::Session(SessionError::TooLarge {
            what: "number of jobs",
            ..
        }) => false,
        Error::Session(SessionError::Job(error)) | Error::Job(error) => !matches!(
            error,
            // Of a late attempt nothing is recorded; one that is not is the latest soon.
            JobError::Unavailable { .. }
                | JobError::Unsuitable { .. }
                | JobError::StaleAttempt { .. }
        ),
        Error::Conversation(
            ConversationError::NoAnswer { .. } | ConversationError::Busy { .. },
        ) => false,
        Error::Session(_) | Error::Conversation(_) => true,
        Error::EmptyPrompt
        | Error::PromptTooLarge { .. }
        | Error::UnknownProvider { .. }
        | Error::InvalidConfig { .. }
        | Error::InvalidUrl { .. }
        | Error::RequestRejected { .. } => true,
        // Nobody has found anything wrong with it.
        Error::Document(DocumentError::Cancelled | DocumentError::Busy) => false,
        Error::Document(_) => true,
        _ => false,
    }
}

/// Whether it says that an upload is of no use.
pub(super) fn is_useless(error: &Error) -> bool {
    match error {
        Error::Document(error) => !matches!(error, DocumentError::Cancelled | DocumentError::Busy),
        Error::Conversation(error) => matches!(error, ConversationError::EmptyDocument { .. }),
        _ => false,
    }
}
