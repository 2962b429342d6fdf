//! A job's name: the caller's own, or one made here that sorts by time.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::JobError;

/// The longest id of a caller's, in bytes.
pub const ID_LIMIT: usize = 200;

/// A job's id: unique within its queue.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct JobId(Arc<str>);

impl JobId {
    /// A new one: a version 7 UUID, so that later ones sort behind. Its chance is the
    /// system's, so that forked processes make different ones.
    #[must_use]
    pub fn new() -> Self {
        let mut text = [0; uuid::fmt::Simple::LENGTH];
        let id = uuid::Uuid::now_v7();
        Self((&*id.as_simple().encode_lower(&mut text)).into())
    }

    /// The caller's own: 1 to 200 bytes without control characters.
    ///
    /// # Errors
    /// [`JobError::Invalid`].
    pub fn from_text(text: impl Into<String>) -> Result<Self, JobError> {
        let text = text.into();
        let problem = if text.is_empty() {
            "it is empty"
        } else if text.len() > ID_LIMIT {
            "it is over 200 bytes"
        } else if text.chars().any(char::is_control) {
            "it has control characters"
        } else {
            return Ok(Self(text.into()));
        };
        Err(JobError::invalid("id", problem))
    }

    // What a backend gives back: it was looked at when it was taken in.
    pub(super) fn trusted(text: String) -> Self {
        Self(text.into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for JobId {
    fn default() -> Self {
        Self::new()
    }
}

impl TryFrom<String> for JobId {
    type Error = JobError;

    fn try_from(text: String) -> Result<Self, JobError> {
        Self::from_text(text)
    }
}

impl From<JobId> for String {
    fn from(id: JobId) -> Self {
        (*id.0).into()
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
