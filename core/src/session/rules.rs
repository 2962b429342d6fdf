//! The rules of sessions. Pure, but for numbers by chance: every backend loads a [`Head`],
//! applies a write, and stores what came of it as one.

mod attempts;
mod stored;
mod weight;

use serde::{Deserialize, Serialize};

pub(super) use self::stored::{Added, Tail};
use super::drawn::drawn;
use super::key::check_name;
use super::query::{Places, unknown};
use super::session::check_description;
use super::{
    Change, Entry, EntryKind, Fence, Guard, NewSession, NewTurn, Session, SessionError, SessionKey,
    Verb, Write,
};
use crate::clock::EpochMillis;
use crate::provider::Message;

/// The most messages of a session.
pub const MESSAGE_LIMIT: u64 = 100_000;
/// The most bytes of a message, as JSON.
pub const MESSAGE_BYTES: u64 = 8 << 20;
/// The most bytes of all messages of a session.
pub const SESSION_BYTES: u64 = 64 << 20;
/// The most messages that train a session.
pub const TRAINING_LIMIT: usize = 64;
/// Turns whose names are remembered.
const NAMES_KEPT: usize = 32;

/// A session as it is stored: what users see, and what only the rules know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Head {
    #[serde(flatten)]
    pub(super) session: Session,
    /// Another one with every write, those that leave the version alone included. Drawn, not
    /// counted: neither a session that was made anew nor a server that lost its last writes
    /// comes to one that was before.
    pub(super) revision: u64,
    /// The credential that the next turn would rather have: its prompt cache is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) credential: Option<Box<str>>,
    /// Names of the last turns that have one, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    names: Vec<Named>,
    /// Attempts of jobs that work on it no more, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    past: Vec<Fence>,
}

/// A turn by its first and last place and its name. Sessions that were stored by the first
/// versions do not know the last place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Named {
    turn: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last: Option<u64>,
    key: Box<str>,
}

/// What a write does to the messages.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Effect {
    /// Those from this place on are removed.
    pub(super) keep: Option<u64>,
    /// These are added behind.
    pub(super) add: Vec<Added>,
    /// Nothing was done: a turn of that name is there.
    pub(super) repeated: bool,
}

impl Head {
    /// A new session, with the messages it has from the start.
    pub(super) fn create(
        new: NewSession,
        now: EpochMillis,
    ) -> Result<(Self, Vec<Added>), SessionError> {
        let key = new.key()?;
        check_credential(new.credential.as_deref())?;
        let session = Session {
            key,
            incarnation: drawn(),
            name: new.name.filter(|name| !name.is_empty()),
            tags: new.tags,
            settings: new.settings,
            version: 1,
            removed_at: 0,
            messages: 0,
            bytes: 0,
            turns: 0,
            training: Vec::new(),
            summary: None,
            created_at: now,
            active_at: now,
            jobs: Vec::new(),
        };
        let mut head = Self {
            session,
            revision: drawn(),
            credential: new.credential,
            names: Vec::new(),
            past: Vec::new(),
        };
        let mut added = Vec::with_capacity(new.entries.len());
        let mut turn = (u64::MAX, 0);
        for entry in new.entries {
            check_message(&entry.message, entry.key.as_deref())?;
            let place = head.session.messages;
            // Turns keep their bounds, whatever places they had before.
            if turn.0 != entry.turn {
                turn = (entry.turn, place);
                head.session.turns += 1;
            }
            if let Some(key) = entry.key.clone() {
                head.remember_name(turn.1, place, key);
            }
            let entry = Entry {
                place,
                turn: turn.1,
                version: head.session.version,
                ..entry
            };
            added.push(head.push(entry)?);
        }
        Ok((head, added))
    }

    /// Applies a write; `tail` is the last turn, which [`Verb::Pop`] needs. Behind an error
    /// the head is not to be used.
    pub(super) fn apply(
        &mut self,
        write: Write,
        tail: Option<Tail>,
        now: EpochMillis,
    ) -> Result<Effect, SessionError> {
        self.let_go(now);
        let Write { guard, verb } = write;
        self.admit(&guard)?;
        let mut effect = Effect::default();
        match verb {
            Verb::Append(turn) => {
                check_turn(&turn)?;
                if turn
                    .key
                    .as_deref()
                    .is_some_and(|key| self.turn(key).is_some())
                {
                    effect.repeated = true;
                    return Ok(effect);
                }
                effect.add = self.append(turn, now)?;
            }
            Verb::Pop => {
                let turns = self.session.turns.saturating_sub(1);
                effect.keep = tail.map(|tail| self.remove(tail, turns));
            }
            Verb::Clear => {
                if self.session.messages > 0 {
                    let all = Tail {
                        place: 0,
                        bytes: self.session.bytes,
                        summary: None,
                    };
                    effect.keep = Some(self.remove(all, 0));
                }
            }
            Verb::Change(change) => self.change(change)?,
            Verb::Attach { for_ms } => self.attach(&guard, now.saturating_add(for_ms))?,
            Verb::Detach => self.detach(&guard)?,
            Verb::Touch => {}
        }
        if let Some(fence) = guard.fence {
            self.note(fence);
        }
        self.revision = drawn();
        self.session.active_at = self.session.active_at.max(now);
        Ok(effect)
    }

    /// Whether it may be cleaned up: idle since then, and no job at work.
    pub(super) fn is_idle(&self, since: EpochMillis, now: EpochMillis) -> bool {
        self.session.active_at <= since && self.session.jobs.iter().all(|job| job.until <= now)
    }

    /// Where the messages of the turn of that name are, if it is known: from the first place on.
    /// Where its last place is not known, others may follow them.
    pub(super) fn turn(&self, name: &str) -> Option<Places> {
        let mut names = self.names.iter();
        let named = names.find(|named| *named.key == *name)?;
        let end = match named.last {
            Some(last) => last + 1,
            None => names.next().map_or(self.session.messages, |next| next.turn),
        };
        Some(Places::run(named.turn, end))
    }

    fn key(&self) -> &SessionKey {
        &self.session.key
    }

    fn admit(&self, guard: &Guard) -> Result<(), SessionError> {
        let another = |meant: u64| meant != self.session.incarnation;
        if guard.incarnation.is_some_and(another) {
            return Err(unknown(self.key()));
        }
        self.admit_attempt(guard.fence.as_ref())?;
        match guard.version {
            Some(expected) if expected != self.session.version => Err(SessionError::StaleVersion {
                id: self.key().id().to_owned(),
                expected,
                actual: self.session.version,
            }),
            _ => Ok(()),
        }
    }

    fn append(&mut self, turn: NewTurn, now: EpochMillis) -> Result<Vec<Added>, SessionError> {
        self.session.version += 1;
        self.session.turns += 1;
        if turn.credential.is_some() {
            self.credential = turn.credential;
        }
        let first = self.session.messages;
        let count = turn.messages.len();
        let mut added = Vec::with_capacity(count);
        for (at, new) in turn.messages.into_iter().enumerate() {
            added.push(self.push(Entry {
                place: self.session.messages,
                turn: first,
                version: self.session.version,
                at: now,
                kind: new.kind,
                message: new.message,
                tokens: new.tokens,
                key: turn.key.clone().filter(|_| at + 1 == count),
            })?);
        }
        if let Some(key) = turn.key {
            self.remember_name(first, self.session.messages - 1, key);
        }
        Ok(added)
    }

    fn remember_name(&mut self, turn: u64, last: u64, key: Box<str>) {
        let last = Some(last);
        self.names.push(Named { turn, last, key });
        let over = self.names.len().saturating_sub(NAMES_KEPT);
        self.names.drain(..over);
    }

    fn push(&mut self, entry: Entry) -> Result<Added, SessionError> {
        let before = match entry.kind {
            EntryKind::Summary => self.session.summary,
            _ => None,
        };
        let body = stored::body(&entry, before)
            .map_err(|e| SessionError::invalid("message", e.to_string()))?;
        let size = body.len() as u64;
        if size > MESSAGE_BYTES {
            return Err(too_large(
                "message",
                size,
                MESSAGE_BYTES,
                "split it, or keep it elsewhere",
            ));
        }
        let session = &mut self.session;
        session.bytes += size;
        session.messages += 1;
        if session.bytes > SESSION_BYTES {
            return Err(too_large("session", session.bytes, SESSION_BYTES, FULL));
        }
        if session.messages > MESSAGE_LIMIT {
            let what = "number of messages";
            return Err(too_large(what, session.messages, MESSAGE_LIMIT, FULL));
        }
        match entry.kind {
            EntryKind::Talk => {}
            EntryKind::Training => session.training.push(entry.place),
            EntryKind::Summary => session.summary = Some(entry.place),
        }
        if session.training.len() > TRAINING_LIMIT {
            let (what, count) = ("number of training messages", session.training.len());
            return Err(too_large(what, count as u64, TRAINING_LIMIT as u64, FULL));
        }
        Ok(Added {
            place: entry.place,
            body,
        })
    }

    /// Removes the messages of a tail, so that so many turns are left. Gives its place.
    fn remove(&mut self, tail: Tail, turns: u64) -> u64 {
        let session = &mut self.session;
        session.version += 1;
        session.removed_at = session.version;
        session.messages = tail.place;
        session.turns = turns;
        session.bytes = session.bytes.saturating_sub(tail.bytes);
        session.training.retain(|at| *at < tail.place);
        session.summary = tail.summary;
        // The turns that went may be asked for again under their names.
        self.names.retain(|named| named.turn < tail.place);
        tail.place
    }

    fn change(&mut self, change: Change) -> Result<(), SessionError> {
        let session = &mut self.session;
        if let Some(name) = change.name {
            session.name = Some(name).filter(|name| !name.is_empty());
        }
        if let Some(tags) = change.tags {
            session.tags = tags;
        }
        if let Some(settings) = change.settings {
            session.settings = settings;
        }
        check_description(session.name.as_deref(), &session.tags, &session.settings)?;
        session.version += 1;
        Ok(())
    }
}

const FULL: &str = "clear the session, or go on in a new one";

fn check_turn(turn: &NewTurn) -> Result<(), SessionError> {
    if turn.messages.is_empty() {
        return Err(SessionError::invalid("messages", "there are none: add one"));
    }
    let key = turn.key.as_deref();
    check_credential(turn.credential.as_deref())?;
    let mut messages = turn.messages.iter();
    messages.try_for_each(|new| check_message(&new.message, key))
}

fn check_credential(id: Option<&str>) -> Result<(), SessionError> {
    id.map_or(Ok(()), |id| check_name("credential", id))
}

/// Whether a message of a turn of that name can be kept.
pub(super) fn check_message(message: &Message, key: Option<&str>) -> Result<(), SessionError> {
    check_name("role", &message.role)?;
    key.map_or(Ok(()), |key| check_name("key", key))
}

fn too_large(what: &'static str, size: u64, limit: u64, remedy: &'static str) -> SessionError {
    SessionError::TooLarge {
        what,
        size,
        limit,
        remedy,
    }
}
