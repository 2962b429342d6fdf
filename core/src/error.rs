//! Every error that this crate gives its callers, each with a stable code.
//!
//! A message names the thing and the remedy. Faults of single attempts are in
//! [`crate::provider::Fault`]; here is what a call as a whole comes to.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use crate::clock::EpochMillis;
use crate::conversation::ConversationError;
use crate::credential::CredentialStatus;
use crate::document::DocumentError;
use crate::job::JobError;
use crate::provider::Fault;
use crate::session::SessionError;

/// Anything that can go wrong. Cheap enough to clone: coalesced calls share one.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is nothing to ask.
    #[error("the prompt is empty: give it some text")]
    EmptyPrompt,
    /// The prompt is over the wrapper's limit.
    #[error(
        "the prompt has {bytes} bytes, the limit is {limit}: shorten it or raise `prompt_limit`"
    )]
    PromptTooLarge {
        /// Bytes of text in the request.
        bytes: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// A pool without a credential.
    #[error("no credentials in {place}: {remedy}")]
    NoCredentials {
        /// Where they were looked for.
        place: String,
        /// How to add one.
        remedy: String,
    },
    /// A credential file that cannot be opened or read.
    #[error("cannot read the credential file {}: {problem}", path.display())]
    CredentialFileUnreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        problem: String,
    },
    /// A credential file whose content is not a credential.
    #[error("the credential file {} is corrupt: {problem}; restore it or log in again", path.display())]
    CredentialFileCorrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong, without the content.
        problem: String,
    },
    /// A credential file that others can read or write.
    #[error("the credential file {} is open to other users (mode {mode:04o}): run `chmod 600` on it", path.display())]
    CredentialFilePermissions {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// An account number outside the folder's range.
    #[error("invalid account index {index}: {}", range(*total))]
    InvalidAccountIndex {
        /// The number asked for, from 1.
        index: u32,
        /// How many there are.
        total: u32,
    },
    /// No credential of that name in the pool.
    #[error("no credential `{id}` in the pool: `list` shows the names")]
    UnknownCredential {
        /// The name asked for.
        id: String,
    },
    /// Two credentials of one name.
    #[error("the credential `{id}` is there twice: give each its own id")]
    DuplicateCredential {
        /// The name.
        id: String,
    },
    /// The program of a CLI provider is not installed.
    #[error("cannot find the program `{program}`: {remedy}")]
    CliNotFound {
        /// The program or path looked for.
        program: String,
        /// How to get it.
        remedy: String,
    },
    /// No provider of that name.
    #[error("unknown provider `{name}`: use one of {known}")]
    UnknownProvider {
        /// The name asked for.
        name: String,
        /// The names there are.
        known: String,
    },
    /// A base URL that cannot be called.
    #[error("invalid URL `{url}`: {problem}")]
    InvalidUrl {
        /// The URL, without user information and query.
        url: String,
        /// What is wrong.
        problem: String,
    },
    /// A configuration value that cannot be used.
    #[error("invalid configuration in {place}: {problem}")]
    InvalidConfig {
        /// The file, variable or option.
        place: String,
        /// What is wrong and what would be right.
        problem: String,
    },
    /// No credential may be used now. Cost no upstream request.
    #[error("no credential can be used now{}", cooling(*earliest, credentials))]
    AllCooling {
        /// When the first comes back; `None` when none will by itself.
        earliest: Option<EpochMillis>,
        /// Each credential and why it is out.
        credentials: Vec<CredentialStatus>,
    },
    /// Too many calls wait for a credential.
    #[error(
        "{waiting} calls wait for a credential already: add credentials, raise their `concurrency`, or raise `max_waiting`"
    )]
    PoolSaturated {
        /// Calls waiting.
        waiting: usize,
    },
    /// The call's overall deadline passed.
    #[error("no answer within {} ms{}: raise `deadline_ms` or see the trail", after.as_millis(), last_words(last.as_ref()))]
    DeadlineExceeded {
        /// The deadline.
        after: Duration,
        /// The last attempt's fault, if one was made.
        last: Option<Fault>,
    },
    /// The endpoint refuses this request from anyone.
    #[error("the request was refused ({}): {}", fault.reason.as_str(), fault.message)]
    RequestRejected {
        /// What the endpoint said.
        fault: Fault,
    },
    /// Every attempt that was allowed failed.
    #[error("{attempts} attempts failed, the last one with {}: {}", fault.reason.as_str(), fault.message)]
    AttemptsExhausted {
        /// Attempts made.
        attempts: u32,
        /// The last one's fault.
        fault: Fault,
    },
    /// Retries stopped because most calls of this wrapper fail.
    #[error("retries are suspended because too many calls fail; the last fault was {}: {}", fault.reason.as_str(), fault.message)]
    RetryBudgetExhausted {
        /// The last attempt's fault.
        fault: Fault,
    },
    /// A stream broke after its first piece had been handed on.
    #[error("the stream broke after {} bytes of text ({}): {}", partial.len(), fault.reason.as_str(), fault.message)]
    StreamInterrupted {
        /// The text handed on so far.
        partial: String,
        /// What broke it.
        fault: Fault,
    },
    /// A state file or folder that cannot be used.
    #[error("cannot use {}: {problem}; check that it exists and that this user may write it", path.display())]
    StateUnavailable {
        /// The file or folder.
        path: PathBuf,
        /// What went wrong.
        problem: String,
    },
    /// A lock that another process kept for too long.
    #[error("another process holds {} for over {} ms: try again, or find who holds it", path.display(), waited.as_millis())]
    LockTimeout {
        /// The lock file.
        path: PathBuf,
        /// How long it was waited for.
        waited: Duration,
    },
    /// A call after `close`.
    #[error("this wrapper is closed: make a new one")]
    Closed,
    /// A refusal or a trouble of where jobs are kept.
    #[error(transparent)]
    Job(#[from] JobError),
    /// A refusal or a trouble of where sessions are kept.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// A refusal of a conversation.
    #[error(transparent)]
    Conversation(#[from] ConversationError),
    /// A document that cannot be read.
    #[error(transparent)]
    Document(#[from] DocumentError),
}

impl Error {
    /// The stable code: the same in every language.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::EmptyPrompt => "empty_prompt",
            Self::PromptTooLarge { .. } => "prompt_too_large",
            Self::NoCredentials { .. } => "no_credentials",
            Self::CredentialFileUnreadable { .. } => "credential_file_unreadable",
            Self::CredentialFileCorrupt { .. } => "credential_file_corrupt",
            Self::CredentialFilePermissions { .. } => "credential_file_permissions",
            Self::InvalidAccountIndex { .. } => "invalid_account_index",
            Self::UnknownCredential { .. } => "unknown_credential",
            Self::DuplicateCredential { .. } => "duplicate_credential",
            Self::CliNotFound { .. } => "cli_not_found",
            Self::UnknownProvider { .. } => "unknown_provider",
            Self::InvalidUrl { .. } => "invalid_url",
            Self::InvalidConfig { .. } => "invalid_config",
            Self::AllCooling { .. } => "all_cooling",
            Self::PoolSaturated { .. } => "pool_saturated",
            Self::DeadlineExceeded { .. } => "deadline_exceeded",
            Self::RequestRejected { .. } => "request_rejected",
            Self::AttemptsExhausted { .. } => "attempts_exhausted",
            Self::RetryBudgetExhausted { .. } => "retry_budget_exhausted",
            Self::StreamInterrupted { .. } => "stream_interrupted",
            Self::StateUnavailable { .. } => "state_unavailable",
            Self::LockTimeout { .. } => "lock_timeout",
            Self::Closed => "closed",
            Self::Job(error) => error.code(),
            Self::Session(error) => error.code(),
            Self::Conversation(error) => error.code(),
            Self::Document(error) => error.code(),
        }
    }

    /// The last attempt's fault, for errors that end one.
    #[must_use]
    pub fn fault(&self) -> Option<&Fault> {
        match self {
            Self::RequestRejected { fault }
            | Self::AttemptsExhausted { fault, .. }
            | Self::RetryBudgetExhausted { fault }
            | Self::StreamInterrupted { fault, .. } => Some(fault),
            Self::DeadlineExceeded { last, .. } => last.as_ref(),
            _ => None,
        }
    }

    /// The error as every language carries it: `code`, `message`, and where they
    /// apply `fault`, `partial`, `earliest` (epoch milliseconds) and `credentials`.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut value = match self {
            Self::Job(error) => return error.to_json(),
            Self::Session(error) => return error.to_json(),
            Self::Conversation(error) => return error.to_json(),
            Self::Document(error) => return error.to_json(),
            _ => json!({ "code": self.code(), "message": self.to_string() }),
        };
        if let Some(fault) = self.fault() {
            value["fault"] = json!(fault);
        }
        match self {
            Self::StreamInterrupted { partial, .. } => value["partial"] = json!(partial),
            Self::AllCooling {
                earliest,
                credentials,
            } => {
                value["earliest"] = json!(earliest);
                value["credentials"] = json!(credentials);
            }
            _ => {}
        }
        value
    }
}

/// Every code, in the order of the documentation: `docs/errors.md` and each
/// language's classes are checked against it.
pub const CODES: [&str; 23] = [
    "empty_prompt",
    "prompt_too_large",
    "no_credentials",
    "credential_file_unreadable",
    "credential_file_corrupt",
    "credential_file_permissions",
    "invalid_account_index",
    "unknown_credential",
    "duplicate_credential",
    "cli_not_found",
    "unknown_provider",
    "invalid_url",
    "invalid_config",
    "all_cooling",
    "pool_saturated",
    "deadline_exceeded",
    "request_rejected",
    "attempts_exhausted",
    "retry_budget_exhausted",
    "stream_interrupted",
    "state_unavailable",
    "lock_timeout",
    "closed",
];

fn range(total: u32) -> String {
    match total {
        0 => "there are no accounts yet, add one first".to_owned(),
        1 => "there is only account 1".to_owned(),
        _ => format!("accounts go from 1 to {total}"),
    }
}

fn last_words(last: Option<&Fault>) -> String {
    last.map_or_else(String::new, |fault| {
        format!(
            " (last fault: {}: {})",
            fault.reason.as_str(),
            fault.message
        )
    })
}

fn cooling(earliest: Option<EpochMillis>, credentials: &[CredentialStatus]) -> String {
    const SHOWN: usize = 5;
    let mut text = String::new();
    if let Some(at) = earliest.and_then(|at| i64::try_from(at).ok())
        && let Ok(at) = jiff::Timestamp::from_millisecond(at)
    {
        text.push_str(&format!(", the first comes back at {at:.0}"));
    }
    for (index, status) in credentials.iter().take(SHOWN).enumerate() {
        text.push_str(if index == 0 { ": " } else { ", " });
        text.push_str(&format!("{} {}", status.id, status.state.as_str()));
        if let Some(reason) = &status.reason {
            text.push_str(&format!(" ({reason})"));
        }
    }
    if credentials.len() > SHOWN {
        text.push_str(&format!(" and {} more", credentials.len() - SHOWN));
    }
    text
}
