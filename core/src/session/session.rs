//! A session as it is seen, and as it is asked for.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::key::check_name;
use super::{Entry, SessionError, SessionKey};
use crate::clock::EpochMillis;
use crate::job::JobId;

/// The most tags of a session.
pub const TAG_LIMIT: usize = 32;
/// The most bytes of settings, as JSON.
pub const SETTINGS_LIMIT: usize = 64 << 10;

/// A session without its messages.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// Whose it is and which.
    #[serde(flatten)]
    pub key: SessionKey,
    /// Tells it from others that had this key before it or will behind it: a number up to 2^53.
    #[serde(default)]
    pub incarnation: u64,
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Box<str>>,
    /// To find it by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Box<str>>,
    /// What its owner keeps with it: a conversation's system prompt, model and the like.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub settings: Map<String, Value>,
    /// Grows by one with each change of messages, name, tags or settings.
    pub version: u64,
    /// The version of the last removal of messages; who read before it reads all again.
    #[serde(default)]
    pub removed_at: u64,
    /// How many messages it has.
    pub messages: u64,
    /// Their bytes, as JSON.
    pub bytes: u64,
    /// The turns they belong to.
    pub turns: u64,
    /// The places of messages that trained it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub training: Vec<u64>,
    /// The place of the last message that sums up those before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<u64>,
    /// When it was made, in epoch milliseconds.
    pub created_at: EpochMillis,
    /// When it was last written to or touched.
    pub active_at: EpochMillis,
    /// Jobs that work on it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub jobs: Vec<AttachedJob>,
}

/// A job that works on a session, which is not cleaned up meanwhile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttachedJob {
    /// The job.
    pub id: JobId,
    /// Its attempt: earlier ones can write no more.
    pub epoch: u64,
    /// When it counts as gone, should nobody detach it, in epoch milliseconds.
    pub until: EpochMillis,
}

/// A session as it is asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NewSession {
    /// Whose it is. Default: `default`.
    pub owner: String,
    /// Its id, or none to have one made.
    pub id: Option<String>,
    /// What people call it.
    pub name: Option<Box<str>>,
    /// To find it by.
    pub tags: Vec<Box<str>>,
    /// What is kept with it.
    pub settings: Map<String, Value>,
    /// Messages that it has from the start, as a fork or an import does.
    #[serde(skip)]
    pub entries: Vec<Entry>,
    /// The credential that its first turn would rather have, as a fork does: what it begins with
    /// is in that one's prompt cache.
    #[serde(skip)]
    pub credential: Option<Box<str>>,
}

impl NewSession {
    /// A session of that owner.
    #[must_use]
    pub fn of(owner: &str) -> Self {
        Self {
            owner: owner.to_owned(),
            ..Self::default()
        }
    }

    /// With an id of the caller's.
    #[must_use]
    pub fn with_id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// With other settings.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// Its key; the id is made if none was given.
    ///
    /// # Errors
    /// [`SessionError::Invalid`] for the first field that no session can have.
    pub fn key(&self) -> Result<SessionKey, SessionError> {
        check_description(self.name.as_deref(), &self.tags, &self.settings)?;
        match &self.id {
            Some(id) => SessionKey::new(&self.owner, id),
            None => SessionKey::generate(&self.owner),
        }
    }
}

impl Default for NewSession {
    fn default() -> Self {
        Self {
            owner: SessionKey::DEFAULT_OWNER.to_owned(),
            id: None,
            name: None,
            tags: Vec::new(),
            settings: Map::new(),
            entries: Vec::new(),
            credential: None,
        }
    }
}

pub(super) fn check_description(
    name: Option<&str>,
    tags: &[Box<str>],
    settings: &Map<String, Value>,
) -> Result<(), SessionError> {
    name.map_or(Ok(()), |name| check_name("name", name))?;
    if tags.len() > TAG_LIMIT {
        return Err(SessionError::invalid("tags", "there are over 32"));
    }
    tags.iter().try_for_each(|tag| check_name("tags", tag))?;
    let size = serde_json::to_vec(settings).map_or(0, |text| text.len());
    if size > SETTINGS_LIMIT {
        return Err(SessionError::TooLarge {
            what: "settings",
            size: size as u64,
            limit: SETTINGS_LIMIT as u64,
            remedy: "keep large data as messages or files",
        });
    }
    Ok(())
}
