//! What is asked of sessions.

use serde::{Deserialize, Serialize};

use super::rules::Head;
use super::{Entry, Session, SessionError, SessionKey};
use crate::clock::EpochMillis;

/// The most messages of one read: all that a session can have.
pub const READ_LIMIT: u64 = super::rules::MESSAGE_LIMIT;
/// The most sessions of a page.
pub const PAGE_LIMIT: usize = 1_000;

/// Which messages are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Range {
    /// The last so many.
    Last(u64),
    /// From this place on, at most so many.
    From {
        /// The first place.
        place: u64,
        /// The most messages.
        limit: u64,
    },
    /// Those that came behind this version. If messages were removed meanwhile, all.
    Since(u64),
    /// Those that train, and the last so many.
    Window(u64),
}

/// Messages, with the session as it was when they were read.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Transcript {
    /// The session.
    pub session: Session,
    /// Its messages in order.
    pub entries: Vec<Entry>,
    /// Whether messages were removed behind the version asked from: forget what was read.
    pub reset: bool,
    /// The credential that the session's next turn would rather have. Who calls the model needs
    /// it; those who are shown a session have no business with it, so that no JSON has it.
    #[serde(skip)]
    pub credential: Option<Box<str>>,
}

/// Which sessions are wanted.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SessionFilter {
    /// Of that owner; without one, of all, owner by owner.
    pub owner: Option<String>,
    /// With that tag.
    pub tag: Option<String>,
    /// The mark at the end of the page before.
    pub after: Option<String>,
    /// The most sessions of the page, up to 1,000. Default: 100.
    pub limit: Option<usize>,
}

/// Sessions, those used last first.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SessionPage {
    /// The sessions.
    pub sessions: Vec<Session>,
    /// Where the next page begins, if there may be one.
    pub next: Option<String>,
}

/// A place in the order of a listing: owners by name, within one the latest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    pub(super) owner: Box<str>,
    pub(super) active_at: EpochMillis,
    pub(super) id: Box<str>,
}

impl Mark {
    pub(super) fn of(session: &Session) -> Self {
        Self {
            owner: session.key.owner().into(),
            active_at: session.active_at,
            id: session.key.id().into(),
        }
    }

    /// Whether a session of the same owner comes behind it.
    pub(super) fn precedes(&self, active_at: EpochMillis, id: &str) -> bool {
        (active_at, id) < (self.active_at, &self.id)
    }

    fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl SessionFilter {
    /// Sessions of that owner.
    #[must_use]
    pub fn of(owner: &str) -> Self {
        Self {
            owner: Some(owner.to_owned()),
            ..Self::default()
        }
    }

    /// The most sessions of a page.
    pub(super) fn room(&self) -> usize {
        self.limit.unwrap_or(100).clamp(1, PAGE_LIMIT)
    }

    /// Where the page begins: behind a session of whom the list is of.
    pub(super) fn mark(&self) -> Result<Option<Mark>, SessionError> {
        let of_another = |mark: &Mark| self.owner.as_deref().is_some_and(|own| *own != *mark.owner);
        let read = |text: &String| match serde_json::from_str::<Mark>(text) {
            Ok(mark) if !of_another(&mark) => Ok(mark),
            _ => Err(SessionError::invalid(
                "after",
                "it is no page's `next`: begin without one",
            )),
        };
        self.after.as_ref().map(read).transpose()
    }

    pub(super) fn wants(&self, session: &Session) -> bool {
        let tagged = |tag: &String| session.tags.iter().any(|has| **has == **tag);
        self.tag.as_ref().is_none_or(tagged)
    }

    /// A page of what was found, which may be one more than there is room for.
    pub(super) fn page(&self, mut sessions: Vec<Session>) -> SessionPage {
        let room = self.room();
        let more = sessions.len() > room;
        sessions.truncate(room);
        let next = sessions.last().filter(|_| more).map(Mark::of);
        SessionPage {
            sessions,
            next: next.map(|mark| mark.text()),
        }
    }
}

impl Range {
    /// The places wanted of so many messages: those on their own, then a run of them.
    pub(super) fn places(self, session: &Session) -> Places {
        let count = session.messages;
        match self {
            Self::Last(most) => Places::run(count.saturating_sub(most.min(READ_LIMIT)), count),
            Self::From { place, limit } => {
                let end = place.saturating_add(limit.min(READ_LIMIT)).min(count);
                Places::run(place.min(end), end)
            }
            // Versions are found by looking from the end.
            Self::Since(_) => Places::run(count.saturating_sub(READ_LIMIT), count),
            Self::Window(most) => {
                let from = count.saturating_sub(most.min(READ_LIMIT));
                let before = |place: &&u64| **place < from;
                let mut single: Vec<u64> =
                    session.training.iter().filter(before).copied().collect();
                single.extend(session.summary.iter().filter(before));
                single.sort_unstable();
                Places {
                    single,
                    from,
                    to: count,
                }
            }
        }
    }
}

/// Places of messages.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Places {
    pub(super) single: Vec<u64>,
    pub(super) from: u64,
    pub(super) to: u64,
}

impl Places {
    pub(super) fn run(from: u64, to: u64) -> Self {
        Self {
            single: Vec::new(),
            from,
            to,
        }
    }
}

impl Transcript {
    /// A turn's messages, or none, of those from its first on.
    pub(super) fn of_turn(head: Head, mut entries: Vec<Entry>) -> Self {
        let turn = entries.first().map(|first| first.turn);
        entries.retain(|entry| Some(entry.turn) == turn);
        Self {
            session: head.session,
            entries,
            reset: false,
            credential: head.credential,
        }
    }

    /// What was asked for of what was read.
    pub(super) fn new(head: Head, mut entries: Vec<Entry>, range: Range) -> Self {
        let session = head.session;
        let mut reset = false;
        if let Range::Since(version) = range {
            reset = session.removed_at > version;
            if !reset {
                entries.retain(|entry| entry.version > version);
            }
        }
        Self {
            session,
            entries,
            reset,
            credential: head.credential,
        }
    }
}

/// The session of a key that is not there.
pub(super) fn unknown(key: &SessionKey) -> SessionError {
    SessionError::UnknownSession {
        id: key.id().to_owned(),
    }
}

pub(super) fn unknown_file(key: &SessionKey, name: &str) -> SessionError {
    SessionError::UnknownFile {
        id: key.id().to_owned(),
        name: name.to_owned(),
    }
}
