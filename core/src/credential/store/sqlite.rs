//! Pool state in an SQLite file, shared by the processes of one host.
//!
//! SQLite brings what this needs and a file of our own would have to earn:
//! locks that die with their holder, and writes that are whole or absent.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use rusqlite::{
    Connection, ErrorCode, OptionalExtension, Transaction, TransactionBehavior, params,
};

use super::{PoolStore, Reservation, Snapshot};
use crate::clock::EpochMillis;
use crate::credential::Limits;
use crate::credential::pool::{MINUTE, Mark, MarkKind, Scope};
use crate::error::Error;

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS version (id INTEGER PRIMARY KEY CHECK (id = 1), value INTEGER NOT NULL);
    INSERT OR IGNORE INTO version VALUES (1, 1);
    CREATE TABLE IF NOT EXISTS mark (
        scope TEXT PRIMARY KEY, kind TEXT NOT NULL, reason TEXT NOT NULL, until INTEGER
    ) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS admission (
        ticket INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL, at INTEGER NOT NULL, tokens INTEGER NOT NULL
    );
    CREATE INDEX IF NOT EXISTS admission_by_key ON admission (key, at, tokens);
";

/// Pool state in a file.
pub struct SqliteStore {
    path: PathBuf,
    open: Mutex<Option<Opened>>,
}

// A connection must not be used on the other side of a fork.
struct Opened {
    connection: Connection,
    process: u32,
}

impl SqliteStore {
    /// Opens the file, or makes it, readable by this user alone.
    ///
    /// A corrupt file is put aside as `NAME.corrupt`, and state starts empty.
    ///
    /// # Errors
    /// [`Error::StateUnavailable`] when the folder or file cannot be used.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, Error> {
        let store = Self {
            path: path.into(),
            open: Mutex::new(None),
        };
        store.with(|_| Ok(()))?;
        Ok(store)
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn with<T>(&self, work: impl Fn(&mut Connection) -> rusqlite::Result<T>) -> Result<T, Error> {
        let mut open = self.open.lock();
        let mut result = self.attempt(&mut open, &work);
        if result.as_ref().is_err_and(is_corrupt) {
            *open = None;
            self.put_aside()?;
            result = self.attempt(&mut open, &work);
        }
        result.map_err(|problem| self.unavailable(&problem))
    }

    fn attempt<T>(
        &self,
        open: &mut Option<Opened>,
        work: &impl Fn(&mut Connection) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        let process = std::process::id();
        if let Some(inherited) = open.take_if(|opened| opened.process != process) {
            // Closing it here would drop the parent's locks.
            std::mem::forget(inherited);
        }
        let opened = match open {
            Some(opened) => opened,
            None => open.insert(Opened {
                connection: connect(&self.path)?,
                process,
            }),
        };
        work(&mut opened.connection)
    }

    // Two processes may find the same corrupt file: the second finds a good one.
    fn put_aside(&self) -> Result<(), Error> {
        let lock = private(&beside(&self.path, ".lock")).map_err(|e| self.unavailable(&e))?;
        lock.lock().map_err(|e| self.unavailable(&e))?;
        let broken = connect(&self.path)
            .err()
            .is_some_and(|problem| is_corrupt(&problem));
        if broken {
            let aside = beside(&self.path, ".corrupt");
            tracing::warn!(file = %self.path.display(), aside = %aside.display(), "pool state is corrupt, starting empty");
            std::fs::rename(&self.path, &aside).map_err(|e| self.unavailable(&e))?;
            for suffix in ["-wal", "-shm"] {
                let _ = std::fs::remove_file(beside(&self.path, suffix));
            }
        }
        Ok(())
    }

    fn unavailable(&self, problem: &dyn std::fmt::Display) -> Error {
        Error::StateUnavailable {
            path: self.path.clone(),
            problem: problem.to_string(),
        }
    }
}

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteStore")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl PoolStore for SqliteStore {
    fn snapshot(&self, seen: u64, now: EpochMillis) -> Result<Option<Snapshot>, Error> {
        self.with(|connection| {
            let transaction = connection.transaction()?;
            let version: i64 = transaction
                .prepare_cached("SELECT value FROM version")?
                .query_row([], |row| row.get(0))?;
            if u(version) == seen {
                return Ok(None);
            }
            let mut query = transaction.prepare_cached(
                "SELECT scope, kind, reason, until FROM mark WHERE until IS NULL OR until > ?1",
            )?;
            let rows = query.query_map([i(now)], |row| {
                let scope: String = row.get(0)?;
                Ok(Scope::from_key(&scope).zip(read_mark(row)?))
            })?;
            let marks = rows
                .filter_map(Result::transpose)
                .collect::<rusqlite::Result<_>>()?;
            Ok(Some(Snapshot {
                version: u(version),
                marks,
            }))
        })
    }

    fn put(&self, scope: &Scope, mark: &Mark, now: EpochMillis) -> Result<(), Error> {
        let key = scope.key();
        self.with(|connection| {
            let transaction = begin(connection)?;
            transaction.execute("DELETE FROM mark WHERE until <= ?1", [i(now)])?;
            let old = transaction
                .prepare_cached("SELECT scope, kind, reason, until FROM mark WHERE scope = ?1")?
                .query_row([&key], read_mark)
                .optional()?
                .flatten();
            let kept = match old {
                Some(old) => old.later(mark.clone()),
                None => mark.clone(),
            };
            transaction
                .prepare_cached("INSERT OR REPLACE INTO mark (scope, kind, reason, until) VALUES (?1, ?2, ?3, ?4)")?
                .execute(params![key, kept.kind.state().as_str(), kept.reason, kept.until.map(i)])?;
            commit_change(transaction)
        })
    }

    fn clear(&self, scope: &Scope) -> Result<(), Error> {
        let key = scope.key();
        self.with(|connection| {
            let transaction = begin(connection)?;
            transaction.execute("DELETE FROM mark WHERE scope = ?1", [&key])?;
            commit_change(transaction)
        })
    }

    fn reserve(
        &self,
        key: &str,
        limits: Limits,
        tokens: u64,
        now: EpochMillis,
    ) -> Result<Reservation, Error> {
        self.with(|connection| {
            let transaction = begin(connection)?;
            transaction
                .prepare_cached("DELETE FROM admission WHERE key = ?1 AND at <= ?2")?
                .execute(params![key, i(now) - i(MINUTE)])?;
            if let Some(at) = free_at(&transaction, key, limits, tokens)? {
                transaction.commit()?;
                return Ok(Reservation::Refused(at));
            }
            transaction
                .prepare_cached("INSERT INTO admission (key, at, tokens) VALUES (?1, ?2, ?3)")?
                .execute(params![key, i(now), i(tokens)])?;
            let ticket = transaction.last_insert_rowid();
            transaction.commit()?;
            Ok(Reservation::Granted(ticket))
        })
    }

    fn settle(&self, ticket: i64, tokens: u64) -> Result<(), Error> {
        self.with(|connection| {
            connection
                .prepare_cached("UPDATE admission SET tokens = ?2 WHERE ticket = ?1")?
                .execute(params![ticket, i(tokens)])?;
            Ok(())
        })
    }
}

fn free_at(
    transaction: &Transaction<'_>,
    key: &str,
    limits: Limits,
    wanted: u64,
) -> rusqlite::Result<Option<EpochMillis>> {
    let mut query = transaction
        .prepare_cached("SELECT at, tokens FROM admission WHERE key = ?1 ORDER BY at, ticket")?;
    let admitted: Vec<(u64, u64)> = query
        .query_map([key], |row| Ok((u(row.get(0)?), u(row.get(1)?))))?
        .collect::<rusqlite::Result<_>>()?;
    let by_requests = limits
        .rpm
        .and_then(|rpm| admitted.len().checked_sub(rpm.max(1) as usize))
        .and_then(|blocking| admitted.get(blocking))
        .map(|(at, _)| at + MINUTE);
    let mut by_tokens = None;
    if let Some(tpm) = limits.tpm {
        let mut held: u64 = admitted.iter().map(|(_, tokens)| tokens).sum();
        for (at, tokens) in &admitted {
            if held == 0 || held + wanted <= tpm {
                break;
            }
            held -= tokens;
            by_tokens = Some(at + MINUTE);
        }
    }
    Ok(by_requests.max(by_tokens))
}

fn read_mark(row: &rusqlite::Row<'_>) -> rusqlite::Result<Option<Mark>> {
    let kind: String = row.get(1)?;
    let kind = match kind.as_str() {
        "cooling" => MarkKind::Cooling,
        "parked" => MarkKind::Parked,
        "disabled" => MarkKind::Disabled,
        _ => return Ok(None),
    };
    let until: Option<i64> = row.get(3)?;
    Ok(Some(Mark {
        kind,
        reason: row.get(2)?,
        until: until.map(u),
    }))
}

fn begin(connection: &mut Connection) -> rusqlite::Result<Transaction<'_>> {
    connection.transaction_with_behavior(TransactionBehavior::Immediate)
}

fn commit_change(transaction: Transaction<'_>) -> rusqlite::Result<()> {
    transaction.execute("UPDATE version SET value = value + 1", [])?;
    transaction.commit()
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    // SQLite gives its side files the mode of the main file.
    private(path).map_err(|problem| {
        rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CANTOPEN),
            Some(problem.to_string()),
        )
    })?;
    let mut connection = Connection::open(path)?;
    crate::sqlite::be_patient(&mut connection)?;
    crate::sqlite::write_ahead(&connection)?;
    connection.pragma_update(None, "synchronous", "normal")?;
    let check: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if check != "ok" {
        return Err(rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT),
            Some(check),
        ));
    }
    connection.execute_batch(SCHEMA)?;
    Ok(connection)
}

fn private(path: &Path) -> std::io::Result<std::fs::File> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .read(true)
        .mode(0o600)
        .open(path)
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn is_corrupt(problem: &rusqlite::Error) -> bool {
    matches!(
        problem.sqlite_error_code(),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
    )
}

fn i(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn u(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: EpochMillis = 1_000_000;

    fn cooling(until: EpochMillis) -> Mark {
        Mark {
            kind: MarkKind::Cooling,
            reason: "rate_limited".into(),
            until: Some(until),
        }
    }

    #[test]
    fn a_mark_put_by_one_is_seen_by_the_other_and_the_latest_deadline_wins() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pool.db");
        let (one, other) = (
            SqliteStore::open(&path).unwrap(),
            SqliteStore::open(&path).unwrap(),
        );
        let scope = Scope::Credential("a".into());
        one.put(&scope, &cooling(NOW + 900), NOW).unwrap();
        other.put(&scope, &cooling(NOW + 500), NOW).unwrap();
        let seen = other.snapshot(0, NOW).unwrap().unwrap();
        assert_eq!(seen.marks, vec![(scope.clone(), cooling(NOW + 900))]);
        assert_eq!(other.snapshot(seen.version, NOW).unwrap(), None);
        one.clear(&scope).unwrap();
        assert_eq!(
            other.snapshot(seen.version, NOW).unwrap().unwrap().marks,
            vec![]
        );
    }

    #[test]
    fn rpm_holds_across_two_users_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pool.db");
        let users = [
            SqliteStore::open(&path).unwrap(),
            SqliteStore::open(&path).unwrap(),
        ];
        let limits = Limits {
            rpm: Some(5),
            ..Limits::default()
        };
        let granted = (0..20)
            .map(|n| {
                users[n % 2]
                    .reserve("a", limits, 0, NOW + n as u64)
                    .unwrap()
            })
            .filter(|r| matches!(r, Reservation::Granted(_)))
            .count();
        assert_eq!(granted, 5);
        assert_eq!(
            users[0].reserve("a", limits, 0, NOW + 30).unwrap(),
            Reservation::Refused(NOW + MINUTE)
        );
    }

    #[test]
    fn a_corrupt_file_is_put_aside_and_state_starts_empty() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pool.db");
        std::fs::write(&path, "this is not a database, it only looks like a file").unwrap();
        let store = SqliteStore::open(&path).unwrap();
        assert_eq!(store.snapshot(0, NOW).unwrap().unwrap().marks, vec![]);
        assert!(folder.path().join("pool.db.corrupt").exists());
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let error = SqliteStore::open("/nonexistent/folder/pool.db").unwrap_err();
        assert_eq!(error.code(), "state_unavailable");
        assert!(error.to_string().contains("/nonexistent/folder/pool.db"));
    }
}
