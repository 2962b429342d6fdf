//! The exit codes of both programs: what a script may rely on.

use crate::conversation::ConversationError;
use crate::document::DocumentError;
use crate::error::Error;
use crate::job::JobError;
use crate::session::SessionError;

/// All went well.
pub const OK: u8 = 0;
/// The call failed: every attempt did, or its time was up.
pub const CALL_FAILED: u8 = 1;
/// The command line cannot be understood.
pub const USAGE: u8 = 2;
/// There is no credential, or none can be used now.
pub const NO_CREDENTIAL: u8 = 3;
/// An account number, prompt, URL, option or configuration that cannot be used.
pub const BAD_INPUT: u8 = 4;
/// Trouble with files of this machine: credentials, state, locks, the program to run.
pub const STATE: u8 = 5;
/// Ctrl-C.
pub const INTERRUPTED: u8 = 130;
/// TERM, as service managers send it.
pub const TERMINATED: u8 = 143;

/// The exit code of an error.
#[must_use]
pub fn code_of(error: &Error) -> u8 {
    match error {
        Error::NoCredentials { .. } | Error::AllCooling { .. } => NO_CREDENTIAL,
        Error::EmptyPrompt
        | Error::PromptTooLarge { .. }
        | Error::InvalidAccountIndex { .. }
        | Error::UnknownCredential { .. }
        | Error::DuplicateCredential { .. }
        | Error::UnknownProvider { .. }
        | Error::InvalidUrl { .. }
        | Error::InvalidConfig { .. } => BAD_INPUT,
        Error::CredentialFileUnreadable { .. }
        | Error::CredentialFileCorrupt { .. }
        | Error::CredentialFilePermissions { .. }
        | Error::CliNotFound { .. }
        | Error::StateUnavailable { .. }
        | Error::LockTimeout { .. } => STATE,
        Error::Job(JobError::Unavailable { .. } | JobError::Unsuitable { .. }) => STATE,
        Error::Job(
            JobError::Invalid { .. }
            | JobError::TooLarge { .. }
            | JobError::UnknownJob { .. }
            | JobError::UnknownQueue { .. }
            | JobError::IllegalMove { .. },
        ) => BAD_INPUT,
        Error::Session(SessionError::Job(error)) => code_of(&Error::Job(error.clone())),
        Error::Session(_) => BAD_INPUT,
        Error::Conversation(ConversationError::NoAnswer { .. }) => CALL_FAILED,
        Error::Document(DocumentError::Unreadable { .. }) => STATE,
        Error::Conversation(_) | Error::Document(_) => BAD_INPUT,
        Error::Job(_)
        | Error::PoolSaturated { .. }
        | Error::DeadlineExceeded { .. }
        | Error::RequestRejected { .. }
        | Error::AttemptsExhausted { .. }
        | Error::RetryBudgetExhausted { .. }
        | Error::StreamInterrupted { .. }
        | Error::Closed => CALL_FAILED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_ends_the_program_with_the_code_of_its_kind() {
        let path = std::path::PathBuf::from("/x");
        let rows = [
            (Error::Closed, CALL_FAILED),
            (
                Error::AllCooling {
                    earliest: None,
                    credentials: Vec::new(),
                },
                NO_CREDENTIAL,
            ),
            (Error::EmptyPrompt, BAD_INPUT),
            (Error::InvalidAccountIndex { index: 9, total: 2 }, BAD_INPUT),
            (
                Error::CredentialFilePermissions { path, mode: 0o644 },
                STATE,
            ),
        ];
        for (error, code) in rows {
            assert_eq!(code_of(&error), code, "{error}");
        }
    }
}
