//! Sessions in an SQLite file, shared by the processes of one host.
//!
//! A write is told when it is on the disk. One thread of each process writes, and many
//! writes share a transaction; reads go beside it.

mod engine;
mod idle;
mod listing;
mod rows;
mod schema;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use rusqlite::{OptionalExtension, params};

use self::engine::Engine;
use super::manager::check_file;
use super::query::{unknown, unknown_file};
use super::rules::Head;
use super::{
    Guard, NewSession, Range, Session, SessionError, SessionFilter, SessionKey, SessionManager,
    SessionPage, Transcript, Verb, Write, Written,
};
use crate::clock::{Clock, EpochMillis, SystemClock, millis};
use crate::job::sqlite::trouble::{self, count};

/// Sessions in a file. Clones share them.
///
/// A process that forks may open it before: nothing is left open that a child could
/// inherit, until it is first used.
#[derive(Clone)]
pub struct SqliteSessions {
    home: Arc<Home>,
}

struct Home {
    path: PathBuf,
    clock: Arc<dyn Clock>,
    engine: Mutex<Option<Arc<Engine>>>,
}

impl SqliteSessions {
    /// Opens the file, or makes it, readable by this user alone. Jobs are kept in another.
    ///
    /// # Errors
    /// When the folder or file cannot be used, or holds something else.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, SessionError> {
        Self::open_with(path, Arc::new(SystemClock))
    }

    /// With a clock of the caller's.
    ///
    /// # Errors
    /// As [`SqliteSessions::open`].
    pub fn open_with(
        path: impl Into<PathBuf>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, SessionError> {
        let path = path.into();
        // Only to see that it can be: a connection that is open in a fork is a danger to it.
        drop(schema::open(&path)?);
        Ok(Self {
            home: Arc::new(Home {
                path,
                clock,
                engine: Mutex::default(),
            }),
        })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.home.path
    }

    fn engine(&self) -> Result<Arc<Engine>, SessionError> {
        let mut held = self.home.engine.lock();
        if let Some(inherited) = held.take_if(|engine| engine.is_inherited()) {
            // Closing it here would disturb the parent.
            std::mem::forget(inherited);
        }
        if let Some(engine) = &*held {
            return Ok(Arc::clone(engine));
        }
        let engine = Arc::new(Engine::start(&self.home.path)?);
        Ok(Arc::clone(held.insert(engine)))
    }
}

impl fmt::Debug for SqliteSessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteSessions")
            .field("path", &self.home.path)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl SessionManager for SqliteSessions {
    fn backend(&self) -> String {
        trouble::backend(&self.home.path)
    }

    async fn create(&self, new: NewSession) -> Result<Session, SessionError> {
        let (head, added) = Head::create(new, self.home.clock.now())?;
        let create = move |db: &rusqlite::Connection| {
            let key = &head.session.key;
            if rows::find(db, key)?.is_some() {
                let id = key.id().to_owned();
                return Ok(Err(SessionError::SessionTaken { id }));
            }
            let row = rows::insert(db, &head)?;
            rows::add(db, row, &added)?;
            Ok(Ok(head.session))
        };
        self.engine()?.write(create).await
    }

    async fn get(&self, key: &SessionKey) -> Result<Session, SessionError> {
        let wanted = key.clone();
        let found = self
            .engine()?
            .read(move |db| rows::find(db, &wanted))
            .await?;
        found
            .map(|(_, head)| head.session)
            .ok_or_else(|| unknown(key))
    }

    async fn write(&self, key: &SessionKey, write: Write) -> Result<Written, SessionError> {
        let (key, now) = (key.clone(), self.home.clock.now());
        let change = move |db: &rusqlite::Connection| {
            let Some((row, mut head)) = rows::find(db, &key)? else {
                return Ok(Err(unknown(&key)));
            };
            let tail = match write.verb {
                Verb::Pop => rows::tail(db, row, &head.session)?,
                _ => None,
            };
            let effect = match head.apply(write, tail, now) {
                Ok(effect) => effect,
                Err(refusal) => return Ok(Err(refusal)),
            };
            if !effect.repeated {
                if let Some(place) = effect.keep {
                    rows::cut(db, row, place)?;
                }
                rows::add(db, row, &effect.add)?;
                rows::update(db, row, &head)?;
            }
            Ok(Ok(Written {
                session: head.session,
                repeated: effect.repeated,
            }))
        };
        self.engine()?.write(change).await
    }

    async fn read(&self, key: &SessionKey, range: Range) -> Result<Transcript, SessionError> {
        let wanted = key.clone();
        let read = move |db: &rusqlite::Connection| {
            let Some((row, head)) = rows::find(db, &wanted)? else {
                return Ok(None);
            };
            let entries = match range {
                Range::Since(version) => rows::since(db, row, version, head.session.removed_at)?,
                _ => rows::messages(db, row, &range.places(&head.session))?,
            };
            Ok(Some(Transcript::new(head, entries, range)))
        };
        let found = self.engine()?.read(read).await?;
        found.ok_or_else(|| unknown(key))
    }

    async fn find_turn(&self, key: &SessionKey, name: &str) -> Result<Transcript, SessionError> {
        let (wanted, name) = (key.clone(), name.to_owned());
        let read = move |db: &rusqlite::Connection| {
            let Some((row, head)) = rows::find(db, &wanted)? else {
                return Ok(None);
            };
            let entries = match head.turn(&name) {
                Some(places) => rows::messages(db, row, &places)?,
                None => Vec::new(),
            };
            Ok(Some(Transcript::of_turn(head, entries)))
        };
        let found = self.engine()?.read(read).await?;
        found.ok_or_else(|| unknown(key))
    }

    async fn list(&self, filter: &SessionFilter) -> Result<SessionPage, SessionError> {
        let (wanted, mark) = (filter.clone(), filter.mark()?);
        let list = move |db: &rusqlite::Connection| listing::list(db, &wanted, mark.as_ref());
        Ok(filter.page(self.engine()?.read(list).await?))
    }

    async fn count(&self, owner: Option<&str>) -> Result<u64, SessionError> {
        let owner = owner.map(str::to_owned);
        let read = move |db: &rusqlite::Connection| listing::count_of(db, owner.as_deref());
        Ok(count(self.engine()?.read(read).await?))
    }

    async fn delete(&self, key: &SessionKey, guard: Guard) -> Result<(), SessionError> {
        let (key, now) = (key.clone(), self.home.clock.now());
        let delete = move |db: &rusqlite::Connection| match touched(db, &key, guard, now)? {
            Ok((row, _)) => rows::delete(db, row).map(Ok),
            Err(refusal) => Ok(Err(refusal)),
        };
        self.engine()?.write(delete).await
    }

    async fn clean_up(&self, idle: Duration) -> Result<usize, SessionError> {
        let now = self.home.clock.now();
        let since = now.saturating_sub(millis(idle));
        let (mut after, mut removed) = (Some(idle::FIRST), 0);
        while let Some(place) = after {
            let step = move |db: &rusqlite::Connection| idle::remove(db, since, now, place).map(Ok);
            let (next, gone) = self.engine()?.write(step).await?;
            (after, removed) = (next, removed + gone);
        }
        Ok(removed)
    }

    async fn put_file(
        &self,
        key: &SessionKey,
        guard: Guard,
        name: &str,
        body: Bytes,
    ) -> Result<(), SessionError> {
        let (key, name) = (key.clone(), name.to_owned());
        let now = self.home.clock.now();
        let put = move |db: &rusqlite::Connection| {
            let (row, head) = match touched(db, &key, guard, now)? {
                Ok(found) => found,
                Err(refusal) => return Ok(Err(refusal)),
            };
            let others: i64 = db
                .prepare_cached("SELECT count(*) FROM file WHERE session = ?1 AND name <> ?2")?
                .query_row(params![row, name], |row| row.get(0))?;
            if let Err(refusal) = check_file(&name, &body, count(others)) {
                return Ok(Err(refusal));
            }
            db.prepare_cached(
                "INSERT INTO file (session, name, body) VALUES (?1, ?2, ?3)
                 ON CONFLICT (session, name) DO UPDATE SET body = excluded.body",
            )?
            .execute(params![row, name, &*body])?;
            rows::update(db, row, &head).map(Ok)
        };
        self.engine()?.write(put).await
    }

    async fn file(&self, key: &SessionKey, name: &str) -> Result<Bytes, SessionError> {
        let (wanted, file) = (key.clone(), name.to_owned());
        let read = move |db: &rusqlite::Connection| {
            let Some((row, _)) = rows::find(db, &wanted)? else {
                return Ok(None);
            };
            db.prepare_cached("SELECT body FROM file WHERE session = ?1 AND name = ?2")?
                .query_row(params![row, file], |row| row.get::<_, Vec<u8>>(0))
                .optional()
        };
        let body = self.engine()?.read(read).await?;
        body.map(Bytes::from).ok_or_else(|| unknown_file(key, name))
    }

    async fn files(&self, key: &SessionKey) -> Result<Vec<String>, SessionError> {
        let wanted = key.clone();
        let read = move |db: &rusqlite::Connection| {
            let Some((row, _)) = rows::find(db, &wanted)? else {
                return Ok(None);
            };
            let mut names =
                db.prepare_cached("SELECT name FROM file WHERE session = ?1 ORDER BY name")?;
            let names = names.query_map([row], |row| row.get(0))?;
            names.collect::<rusqlite::Result<_>>().map(Some)
        };
        let names = self.engine()?.read(read).await?;
        names.ok_or_else(|| unknown(key))
    }

    async fn drop_file(
        &self,
        key: &SessionKey,
        guard: Guard,
        name: &str,
    ) -> Result<bool, SessionError> {
        let (key, name) = (key.clone(), name.to_owned());
        let now = self.home.clock.now();
        let dropped = move |db: &rusqlite::Connection| {
            let (row, head) = match touched(db, &key, guard, now)? {
                Ok(found) => found,
                Err(refusal) => return Ok(Err(refusal)),
            };
            let gone = db
                .prepare_cached("DELETE FROM file WHERE session = ?1 AND name = ?2")?
                .execute(params![row, name])?;
            rows::update(db, row, &head)?;
            Ok(Ok(gone > 0))
        };
        self.engine()?.write(dropped).await
    }
}

/// A session's row, and its head behind a touch.
fn touched(
    db: &rusqlite::Connection,
    key: &SessionKey,
    guard: Guard,
    now: EpochMillis,
) -> rusqlite::Result<Result<(i64, Head), SessionError>> {
    let Some((row, mut head)) = rows::find(db, key)? else {
        return Ok(Err(unknown(key)));
    };
    let touched = head.apply(Write::touch(guard), None, now);
    Ok(touched.map(|_| (row, head)))
}
