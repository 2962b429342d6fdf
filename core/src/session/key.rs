//! Whose session, and which: the two names that every verb takes.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::SessionError;

/// The longest owner, id, name, tag or file name, in bytes.
pub const NAME_LIMIT: usize = 200;

/// A session's owner and its id, which is unique among that owner's.
///
/// Two owners may use the same id: they see different sessions, and neither can tell
/// whether the other has one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "Parts", into = "Parts")]
pub struct SessionKey {
    owner: Box<str>,
    id: Box<str>,
}

impl SessionKey {
    /// The owner of sessions where there is only one.
    pub const DEFAULT_OWNER: &'static str = "default";

    /// Both names: 1 to 200 bytes without control characters.
    ///
    /// # Errors
    /// [`SessionError::Invalid`].
    pub fn new(owner: &str, id: &str) -> Result<Self, SessionError> {
        check_name("owner", owner)?;
        check_name("id", id)?;
        Ok(Self {
            owner: owner.into(),
            id: id.into(),
        })
    }

    /// A new id: a version 7 UUID, so that later ones sort behind.
    ///
    /// # Errors
    /// [`SessionError::Invalid`] for the owner.
    pub fn generate(owner: &str) -> Result<Self, SessionError> {
        Self::new(owner, &uuid::Uuid::now_v7().simple().to_string())
    }

    /// Whose it is.
    #[must_use]
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// Which of them.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl fmt::Display for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.id)
    }
}

#[derive(Serialize, Deserialize)]
struct Parts {
    owner: String,
    id: String,
}

impl TryFrom<Parts> for SessionKey {
    type Error = SessionError;

    fn try_from(parts: Parts) -> Result<Self, SessionError> {
        Self::new(&parts.owner, &parts.id)
    }
}

impl From<SessionKey> for Parts {
    fn from(key: SessionKey) -> Self {
        Self {
            owner: key.owner.into(),
            id: key.id.into(),
        }
    }
}

pub(crate) fn check_name(field: &'static str, name: &str) -> Result<(), SessionError> {
    let problem = if name.is_empty() {
        "it is empty"
    } else if name.len() > NAME_LIMIT {
        "it is over 200 bytes"
    } else if name.chars().any(char::is_control) {
        "it has control characters"
    } else {
        return Ok(());
    };
    Err(SessionError::invalid(field, problem))
}
