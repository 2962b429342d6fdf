//! What can be done to a session, and on what conditions.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{EntryKind, Session};
use crate::job::JobId;
use crate::provider::Message;

/// One change of a session. It happens whole or not at all.
#[derive(Debug, Clone, PartialEq)]
pub struct Write {
    /// On what conditions.
    pub guard: Guard,
    /// What.
    pub verb: Verb,
}

/// The conditions of a write.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Guard {
    /// The version that the session must have, where that matters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// The job's attempt that writes, where one does: an earlier one is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fence: Option<Fence>,
    /// The incarnation that is meant, where one is: the session that was made under the same
    /// id behind it is another, and the one that is meant is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<u64>,
}

/// An attempt of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fence {
    /// The job.
    pub job: JobId,
    /// The attempt's epoch.
    pub epoch: u64,
}

/// A change.
#[derive(Debug, Clone, PartialEq)]
pub enum Verb {
    /// Adds a turn.
    Append(NewTurn),
    /// Removes the last turn.
    Pop,
    /// Removes all messages.
    Clear,
    /// Names, tags or sets it up anew.
    Change(Change),
    /// Says that the guard's job works on it, for at most so many milliseconds.
    Attach {
        /// When it counts as gone if nobody detaches it.
        for_ms: u64,
    },
    /// Says that the guard's job works on it no more.
    Detach,
    /// Says that it is in use.
    Touch,
}

/// Messages that belong together.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NewTurn {
    /// What was said, in order.
    pub messages: Vec<NewMessage>,
    /// A name for the turn, such as its job's id: a second one of the same name among the
    /// session's last 32 is not added again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<Box<str>>,
    /// The credential that the next turn would rather have, if another than before.
    #[serde(skip)]
    pub credential: Option<Box<str>>,
}

/// A message to be added.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NewMessage {
    /// What was said.
    #[serde(flatten)]
    pub message: Message,
    /// What it is for.
    #[serde(default)]
    pub kind: EntryKind,
    /// The tokens that the provider counted for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
}

/// What is to be different. `None` leaves it as it is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Change {
    /// The name; empty for none.
    pub name: Option<Box<str>>,
    /// All tags.
    pub tags: Option<Vec<Box<str>>>,
    /// All settings.
    pub settings: Option<Map<String, Value>>,
}

/// What a write came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// The session behind it.
    pub session: Session,
    /// Whether a turn of that name was there already, so that nothing was added.
    pub repeated: bool,
}

impl Guard {
    /// If the session has that version.
    #[must_use]
    pub fn at(version: u64) -> Self {
        Self {
            version: Some(version),
            ..Self::default()
        }
    }

    /// As that attempt.
    #[must_use]
    pub fn fenced(job: JobId, epoch: u64) -> Self {
        Self {
            fence: Some(Fence { job, epoch }),
            ..Self::default()
        }
    }

    /// If it is still that session, and not one of the same id that was made behind it.
    #[must_use]
    pub fn of(mut self, incarnation: u64) -> Self {
        self.incarnation = Some(incarnation);
        self
    }
}

impl Write {
    /// What goes with a change of something that is kept beside the messages.
    pub(super) fn touch(guard: Guard) -> Self {
        let verb = Verb::Touch;
        Self { guard, verb }
    }
}

impl NewTurn {
    /// A turn of plain messages.
    #[must_use]
    pub fn of(messages: Vec<Message>) -> Self {
        Self {
            messages: messages.into_iter().map(NewMessage::from).collect(),
            ..Self::default()
        }
    }

    /// With a name.
    #[must_use]
    pub fn keyed(mut self, key: &str) -> Self {
        self.key = Some(key.into());
        self
    }
}

impl From<Message> for NewMessage {
    fn from(message: Message) -> Self {
        Self {
            message,
            kind: EntryKind::Talk,
            tokens: None,
        }
    }
}
