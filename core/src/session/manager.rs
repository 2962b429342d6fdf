//! The seam between those who use sessions and where sessions are kept.
//!
//! All that changes one goes through [`SessionManager::write`], as one step with its
//! conditions; what serves a single purpose is provided on top. A backend is one
//! implementation that passes the conformance suite.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::{
    Change, Entry, Guard, NewSession, NewTurn, Range, Session, SessionError, SessionFilter,
    SessionKey, SessionPage, Transcript, Verb, Write, Written,
};

/// Where sessions are kept.
///
/// A session of another owner is one that is not there. All verbs may be used by many
/// tasks, processes and, with Redis, hosts at once.
#[async_trait]
pub trait SessionManager: Send + Sync + fmt::Debug {
    /// Where the sessions are, without user and password.
    fn backend(&self) -> String;

    /// Makes a session.
    ///
    /// # Errors
    /// [`SessionError::SessionTaken`], [`SessionError::Invalid`], [`SessionError::TooLarge`],
    /// or when the backend cannot be used.
    async fn create(&self, new: NewSession) -> Result<Session, SessionError>;

    /// Looks a session up.
    ///
    /// # Errors
    /// [`SessionError::UnknownSession`], or when the backend cannot be used.
    async fn get(&self, key: &SessionKey) -> Result<Session, SessionError>;

    /// Changes a session, whole or not at all.
    ///
    /// # Errors
    /// [`SessionError::UnknownSession`], [`SessionError::StaleVersion`], a stale attempt,
    /// [`SessionError::Invalid`], [`SessionError::TooLarge`], or when the backend cannot be
    /// used.
    async fn write(&self, key: &SessionKey, write: Write) -> Result<Written, SessionError>;

    /// Reads messages, and the session, as they were at one moment.
    ///
    /// # Errors
    /// [`SessionError::UnknownSession`], or when the backend cannot be used.
    async fn read(&self, key: &SessionKey, range: Range) -> Result<Transcript, SessionError>;

    /// Reads the turn of that name, wherever it is, if the session knows it: no messages
    /// otherwise. It knows the names of its last 32 turns that have one.
    ///
    /// # Errors
    /// As [`SessionManager::read`].
    async fn find_turn(&self, key: &SessionKey, name: &str) -> Result<Transcript, SessionError>;

    /// Lists sessions, a page at a time.
    ///
    /// # Errors
    /// When the backend cannot be used, or the page's mark is none.
    async fn list(&self, filter: &SessionFilter) -> Result<SessionPage, SessionError>;

    /// Counts an owner's sessions, or all.
    ///
    /// # Errors
    /// When the backend cannot be used.
    async fn count(&self, owner: Option<&str>) -> Result<u64, SessionError>;

    /// Removes a session with all that is kept with it. Writes of its jobs are refused from
    /// then on, as long as their guards name the incarnation that they began with.
    ///
    /// # Errors
    /// [`SessionError::UnknownSession`], what the guard refuses, or when the backend cannot be
    /// used.
    async fn delete(&self, key: &SessionKey, guard: Guard) -> Result<(), SessionError>;

    /// Removes sessions that were not used for so long and on which no job works. Tells how
    /// many.
    ///
    /// # Errors
    /// When the backend cannot be used.
    async fn clean_up(&self, idle: Duration) -> Result<usize, SessionError>;

    /// Keeps a file with a session, until it is dropped or the session goes: an upload that
    /// a job on another host is to read. The session counts as used.
    ///
    /// # Errors
    /// [`SessionError::UnknownSession`], what the guard refuses, [`SessionError::TooLarge`]
    /// over [`FILE_BYTES`] or [`FILE_LIMIT`] files, or when the backend cannot be used.
    async fn put_file(
        &self,
        key: &SessionKey,
        guard: Guard,
        name: &str,
        body: Bytes,
    ) -> Result<(), SessionError>;

    /// Reads a file.
    ///
    /// # Errors
    /// [`SessionError::UnknownFile`] (for an unknown session too), or when the backend cannot be used.
    async fn file(&self, key: &SessionKey, name: &str) -> Result<Bytes, SessionError>;

    /// The names of a session's files, sorted.
    ///
    /// # Errors
    /// [`SessionError::UnknownSession`], or when the backend cannot be used.
    async fn files(&self, key: &SessionKey) -> Result<Vec<String>, SessionError>;

    /// Drops a file. Tells whether it was there. The session counts as used.
    ///
    /// # Errors
    /// [`SessionError::UnknownSession`], what the guard refuses, or when the backend cannot be
    /// used.
    async fn drop_file(
        &self,
        key: &SessionKey,
        guard: Guard,
        name: &str,
    ) -> Result<bool, SessionError>;

    /// Adds a turn.
    ///
    /// # Errors
    /// As [`SessionManager::write`].
    async fn append(
        &self,
        key: &SessionKey,
        guard: Guard,
        turn: NewTurn,
    ) -> Result<Written, SessionError> {
        let verb = Verb::Append(turn);
        self.write(key, Write { guard, verb }).await
    }

    /// Removes the last turn, if there is one.
    ///
    /// # Errors
    /// As [`SessionManager::write`].
    async fn pop(&self, key: &SessionKey, guard: Guard) -> Result<Session, SessionError> {
        let verb = Verb::Pop;
        Ok(self.write(key, Write { guard, verb }).await?.session)
    }

    /// Removes all messages.
    ///
    /// # Errors
    /// As [`SessionManager::write`].
    async fn clear(&self, key: &SessionKey, guard: Guard) -> Result<Session, SessionError> {
        let verb = Verb::Clear;
        Ok(self.write(key, Write { guard, verb }).await?.session)
    }

    /// Renames, tags or sets it up anew.
    ///
    /// # Errors
    /// As [`SessionManager::write`].
    async fn change(
        &self,
        key: &SessionKey,
        guard: Guard,
        change: Change,
    ) -> Result<Session, SessionError> {
        let verb = Verb::Change(change);
        Ok(self.write(key, Write { guard, verb }).await?.session)
    }

    /// Says that it is in use.
    ///
    /// # Errors
    /// As [`SessionManager::write`].
    async fn touch(&self, key: &SessionKey, guard: Guard) -> Result<Session, SessionError> {
        let verb = Verb::Touch;
        Ok(self.write(key, Write { guard, verb }).await?.session)
    }

    /// The last messages, oldest first.
    ///
    /// # Errors
    /// As [`SessionManager::read`].
    async fn last(&self, key: &SessionKey, count: u64) -> Result<Vec<Entry>, SessionError> {
        Ok(self.read(key, Range::Last(count)).await?.entries)
    }

    /// Makes a session that begins with another's messages; settings and tags come along.
    ///
    /// # Errors
    /// As [`SessionManager::read`] and [`SessionManager::create`].
    async fn fork(&self, key: &SessionKey, id: Option<String>) -> Result<Session, SessionError> {
        let read = self.read(key, Range::Last(u64::MAX)).await?;
        let new = NewSession {
            owner: key.owner().to_owned(),
            id,
            name: read.session.name,
            tags: read.session.tags,
            settings: read.session.settings,
            entries: read.entries,
            credential: read.credential,
        };
        self.create(new).await
    }

    /// Writes a session as JSON lines: itself, then its messages.
    ///
    /// # Errors
    /// As [`SessionManager::read`].
    async fn export(&self, key: &SessionKey) -> Result<String, SessionError> {
        let read = self.read(key, Range::Last(u64::MAX)).await?;
        Ok(super::transfer::to_lines(&read))
    }

    /// Makes a session of an export, for that owner and, if one is given, under that id.
    ///
    /// # Errors
    /// [`SessionError::InvalidImport`], or as [`SessionManager::create`].
    async fn import(
        &self,
        owner: &str,
        id: Option<String>,
        lines: &str,
    ) -> Result<Session, SessionError> {
        let mut new = super::transfer::from_lines(lines)?;
        owner.clone_into(&mut new.owner);
        if id.is_some() {
            new.id = id;
        }
        self.create(new).await
    }
}

/// Sessions shared by many.
pub type SharedSessions = Arc<dyn SessionManager>;

/// The most bytes of a file kept with a session.
pub const FILE_BYTES: u64 = 64 << 20;
/// The most files kept with a session.
pub const FILE_LIMIT: u64 = 16;

/// # Errors
/// [`SessionError::Invalid`] and [`SessionError::TooLarge`].
pub(super) fn check_file(name: &str, body: &Bytes, others: u64) -> Result<(), SessionError> {
    super::key::check_name("name", name)?;
    let size = body.len() as u64;
    if size > FILE_BYTES {
        return Err(SessionError::TooLarge {
            what: "file",
            size,
            limit: FILE_BYTES,
            remedy: "give a smaller one, or split it",
        });
    }
    if others >= FILE_LIMIT {
        return Err(SessionError::TooLarge {
            what: "number of files",
            size: others + 1,
            limit: FILE_LIMIT,
            remedy: "drop some, or let their jobs end",
        });
    }
    Ok(())
}
