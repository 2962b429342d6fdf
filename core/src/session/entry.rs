//! A message in its place.

use serde::{Deserialize, Serialize};

use crate::clock::EpochMillis;
use crate::provider::Message;

/// One message of a session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Its place, from 0, without gaps.
    pub place: u64,
    /// The place of its turn's first message: a turn is kept or removed as one.
    pub turn: u64,
    /// The session's version when it came.
    pub version: u64,
    /// When it came, in epoch milliseconds.
    pub at: EpochMillis,
    /// What it is for.
    #[serde(default, skip_serializing_if = "EntryKind::is_talk")]
    pub kind: EntryKind,
    /// What was said.
    pub message: Message,
    /// The tokens that it takes, by the provider's count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// The name of its turn, if that has one, on the turn's last message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Box<str>>,
}

/// What a message is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryKind {
    /// It was said. The default.
    #[default]
    Talk,
    /// It teaches: it is sent with every request.
    Training,
    /// It sums up what came before it, and is sent in its place.
    Summary,
}

impl EntryKind {
    fn is_talk(&self) -> bool {
        *self == Self::Talk
    }
}
