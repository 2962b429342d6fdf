//! What can go wrong with a session.

use serde_json::{Value, json};

use crate::job::JobError;

/// A refusal or a trouble of a [`super::SessionManager`]. The session is as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// A field that no session can have.
    #[error("invalid `{field}`: {problem}")]
    Invalid {
        /// The field.
        field: &'static str,
        /// What is wrong and what would be right.
        problem: String,
    },
    /// No session of that id, or it is another owner's: nobody learns which.
    #[error("no session `{id}`: it never was, was deleted or cleaned up, or is another owner's")]
    UnknownSession {
        /// The id.
        id: String,
    },
    /// A session of that id is there.
    #[error("the session id `{id}` is taken: give another, or none to have one made")]
    SessionTaken {
        /// The id.
        id: String,
    },
    /// The session has gone on since it was read.
    #[error("session `{id}` is at version {actual}, not {expected}: read it again and repeat")]
    StaleVersion {
        /// The id.
        id: String,
        /// The version that was expected.
        expected: u64,
        /// The version it has.
        actual: u64,
    },
    /// Something is over a limit of the session's.
    #[error("the {what} has {size}, the limit is {limit}: {remedy}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Its size.
        size: u64,
        /// The limit.
        limit: u64,
        /// What to do.
        remedy: &'static str,
    },
    /// No file of that name is kept with the session.
    #[error("session `{id}` has no file `{name}`: it never was, or has been used up")]
    UnknownFile {
        /// The session's id.
        id: String,
        /// The file's name.
        name: String,
    },
    /// A line of an export that is none.
    #[error("line {line} of the import is no part of a session: {problem}; nothing was taken in")]
    InvalidImport {
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// A late write of a job, or a trouble of where sessions are kept.
    #[error(transparent)]
    Job(#[from] JobError),
}

impl SessionError {
    /// The stable code: the same in every language.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Invalid { .. } => "invalid_session",
            Self::UnknownSession { .. } => "unknown_session",
            Self::SessionTaken { .. } => "session_taken",
            Self::StaleVersion { .. } => "stale_version",
            Self::TooLarge { .. } => "session_too_large",
            Self::UnknownFile { .. } => "unknown_file",
            Self::InvalidImport { .. } => "invalid_import",
            Self::Job(error) => error.code(),
        }
    }

    /// As it crosses into other languages: `code`, `message`, and what is known beside them.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut value = match self {
            Self::Job(error) => return error.to_json(),
            Self::Invalid { field, .. } => json!({ "field": field }),
            Self::UnknownSession { id } | Self::SessionTaken { id } => json!({ "id": id }),
            Self::StaleVersion {
                id,
                expected,
                actual,
            } => json!({ "id": id, "expected": expected, "actual": actual }),
            Self::TooLarge {
                what, size, limit, ..
            } => json!({ "what": what, "size": size, "limit": limit }),
            Self::UnknownFile { id, name } => json!({ "id": id, "name": name }),
            Self::InvalidImport { line, .. } => json!({ "line": line }),
        };
        value["code"] = json!(self.code());
        value["message"] = json!(self.to_string());
        value
    }

    pub(crate) fn invalid(field: &'static str, problem: impl Into<String>) -> Self {
        Self::Invalid {
            field,
            problem: problem.into(),
        }
    }
}

/// Every code of a [`SessionError`]'s own, in the order of the documentation.
pub const CODES: [&str; 7] = [
    "invalid_session",
    "unknown_session",
    "session_taken",
    "stale_version",
    "session_too_large",
    "unknown_file",
    "invalid_import",
];
