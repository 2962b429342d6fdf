//! What the file looks like, and how it is opened.
//!
//! What is looked for has a column; what only belongs to a job is JSON. Each state has
//! a partial index, so that a queue's length does not matter to a claim.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rusqlite::Connection;

use super::Durability;
use super::trouble::{self, number};
use crate::job::JobError;
use crate::sqlite::{self, version};

/// What this code reads and writes, as `PRAGMA user_version`.
const VERSION: i64 = 3;

// The states are numbered as in `JobState::ALL`. A job's place in the line is its rank
// (the priority, negated), its tag and its number; one that is parked is not in the line.
pub(super) const SCHEMA: &str = "
    CREATE TABLE queue (
        number INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        limits TEXT,
        paused INTEGER NOT NULL DEFAULT 0,
        served INTEGER NOT NULL DEFAULT 0,
        last INTEGER NOT NULL DEFAULT 0,
        arrival INTEGER NOT NULL DEFAULT 0,
        rings INTEGER NOT NULL DEFAULT 0,
        parked INTEGER NOT NULL DEFAULT 0,
        bytes INTEGER NOT NULL DEFAULT 0,
        waiting INTEGER NOT NULL DEFAULT 0,
        delayed INTEGER NOT NULL DEFAULT 0,
        running INTEGER NOT NULL DEFAULT 0,
        completed INTEGER NOT NULL DEFAULT 0,
        failed INTEGER NOT NULL DEFAULT 0,
        cancelled INTEGER NOT NULL DEFAULT 0
    );
    CREATE TABLE turn (
        queue INTEGER NOT NULL,
        name TEXT NOT NULL,
        last INTEGER NOT NULL,
        running INTEGER NOT NULL,
        parked INTEGER NOT NULL,
        PRIMARY KEY (queue, name)
    ) WITHOUT ROWID;
    CREATE INDEX turn_idle ON turn (queue, last) WHERE running = 0 AND parked = 0;
    CREATE TABLE job (
        number INTEGER PRIMARY KEY,
        queue INTEGER NOT NULL,
        id TEXT NOT NULL,
        state INTEGER NOT NULL,
        rank INTEGER NOT NULL,
        tag INTEGER NOT NULL,
        parked INTEGER NOT NULL DEFAULT 0,
        until INTEGER NOT NULL DEFAULT 0,
        epoch INTEGER NOT NULL DEFAULT 0,
        attempt INTEGER NOT NULL DEFAULT 0,
        stalls INTEGER NOT NULL DEFAULT 0,
        created_at INTEGER NOT NULL,
        run_at INTEGER NOT NULL,
        started_at INTEGER,
        finished_at INTEGER,
        cancel_requested INTEGER NOT NULL DEFAULT 0,
        size INTEGER NOT NULL,
        kind TEXT,
        team TEXT,
        session TEXT,
        spec TEXT,
        worker TEXT,
        progress TEXT,
        error TEXT,
        payload BLOB,
        result BLOB
    );
    CREATE UNIQUE INDEX job_by_id ON job (id, queue);
    CREATE INDEX job_ready ON job (queue, rank, tag) WHERE state = 0 AND parked = 0;
    CREATE INDEX job_parked ON job (queue, team, rank, tag) WHERE state = 0 AND parked = 1;
    CREATE INDEX job_due ON job (queue, run_at) WHERE state = 1;
    CREATE INDEX job_lease ON job (queue, until) WHERE state = 2;
    CREATE INDEX job_failed ON job (queue, until) WHERE state = 4;
    CREATE INDEX job_finished ON job (queue, until) WHERE state IN (3, 5);
    CREATE TABLE body (job INTEGER PRIMARY KEY, payload BLOB NOT NULL);
    CREATE TABLE log (
        job INTEGER NOT NULL,
        line INTEGER NOT NULL,
        at INTEGER NOT NULL,
        text TEXT NOT NULL,
        PRIMARY KEY (job, line)
    ) WITHOUT ROWID;
    CREATE TABLE held_key (
        queue INTEGER NOT NULL,
        key TEXT NOT NULL,
        id TEXT NOT NULL,
        until INTEGER NOT NULL,
        live INTEGER NOT NULL,
        PRIMARY KEY (queue, key)
    ) WITHOUT ROWID;
    CREATE INDEX held_key_past ON held_key (queue, until) WHERE live = 0;
    CREATE TABLE event (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        at INTEGER NOT NULL,
        queue TEXT NOT NULL,
        id TEXT,
        what TEXT NOT NULL
    );
    CREATE TABLE follower (token TEXT PRIMARY KEY, until INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE schedule (name TEXT PRIMARY KEY, text TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE role (
        name TEXT PRIMARY KEY, holder TEXT NOT NULL, until INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE worker (
        name TEXT PRIMARY KEY, seen_at INTEGER NOT NULL, text TEXT NOT NULL
    ) WITHOUT ROWID;
";

// Since version 2: workers hear of these as they come.
const CALLED_OFF: &str = "
    CREATE INDEX job_called_off ON job (number) WHERE state = 2 AND cancel_requested = 1;
";

// Since version 3: a new job of an id has epochs beyond those that the id had, what has
// ended is kept up to so many bytes, and deadlines are met in jobs that nobody claims.
const BOUNDS: &str = "
    ALTER TABLE queue ADD COLUMN retired INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE queue ADD COLUMN kept_bytes INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE job ADD COLUMN kept INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE job ADD COLUMN deadline INTEGER;
    UPDATE job SET kept = size + coalesce(length(result), 0) WHERE state > 2;
    UPDATE job SET deadline = json_extract(spec, '$.deadline') WHERE spec IS NOT NULL;
    UPDATE queue SET
        retired = coalesce((SELECT max(epoch) FROM job WHERE job.queue = queue.number), 0),
        kept_bytes = coalesce((SELECT sum(kept) FROM job WHERE job.queue = queue.number), 0);
    CREATE INDEX job_deadline ON job (queue, deadline)
        WHERE state < 2 AND deadline IS NOT NULL;
";

/// Opens the file to write to it, or makes it, readable by this user alone.
pub(super) fn open(path: &Path, durability: Durability) -> Result<Connection, JobError> {
    // SQLite gives its side files the mode of the main file.
    OpenOptions::new()
        .create(true)
        .append(true)
        .read(true)
        .mode(0o600)
        .open(path)
        .map_err(|problem| trouble::unopened(path, &problem))?;
    let connection = connect(path, durability).map_err(|e| trouble::of(path, &e))?;
    prepare(connection, path)
}

fn connect(path: &Path, durability: Durability) -> rusqlite::Result<Connection> {
    sqlite::open_to_write(path, durability.synchronous())
}

fn prepare(connection: Connection, path: &Path) -> Result<Connection, JobError> {
    let failed = |e: rusqlite::Error| trouble::of(path, &e);
    if version(&connection).map_err(failed)? != VERSION {
        let transaction = sqlite::begin(&connection).map_err(failed)?;
        // Another process may have made the tables meanwhile.
        let found = version(&transaction).map_err(failed)?;
        if found > VERSION {
            return Err(trouble::newer(path, found, VERSION));
        }
        if found == 0 {
            let tables: i64 = transaction
                .query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0))
                .map_err(failed)?;
            if tables > 0 {
                return Err(trouble::foreign(path));
            }
            transaction.execute_batch(SCHEMA).map_err(failed)?;
        }
        for (since, change) in [(2, CALLED_OFF), (3, BOUNDS)] {
            if found < since {
                transaction.execute_batch(change).map_err(failed)?;
            }
        }
        if found < VERSION {
            transaction
                .pragma_update(None, "user_version", VERSION)
                .map_err(failed)?;
        }
        transaction.commit().map_err(failed)?;
    }
    Ok(connection)
}

/// The number that a state has in the file.
pub(super) fn state_number(state: crate::job::JobState) -> i64 {
    number(state as u64)
}
