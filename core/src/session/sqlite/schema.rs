//! What the file looks like. A session is its head as JSON, its messages are rows.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rusqlite::Connection;

use crate::job::JobError;
use crate::job::sqlite::trouble;
use crate::sqlite::{self, version};

/// What this code reads and writes, as `PRAGMA user_version`. Jobs have lower numbers:
/// neither takes the other's file for its own.
const VERSION: i64 = 1_001;

const SCHEMA: &str = "
    CREATE TABLE session (
        number INTEGER PRIMARY KEY,
        owner TEXT NOT NULL,
        id TEXT NOT NULL,
        active_at INTEGER NOT NULL,
        head TEXT NOT NULL
    );
    CREATE UNIQUE INDEX session_by_key ON session (owner, id);
    CREATE INDEX session_by_activity ON session (owner, active_at DESC, id DESC);
    CREATE INDEX session_idle ON session (active_at);
    CREATE TABLE message (
        session INTEGER NOT NULL,
        place INTEGER NOT NULL,
        body TEXT NOT NULL,
        PRIMARY KEY (session, place)
    ) WITHOUT ROWID;
    CREATE TABLE file (
        session INTEGER NOT NULL,
        name TEXT NOT NULL,
        body BLOB NOT NULL
    );
    CREATE UNIQUE INDEX file_by_name ON file (session, name);
";

/// Opens the file to write to it, or makes it, readable by this user alone.
pub(super) fn open(path: &Path) -> Result<Connection, JobError> {
    // SQLite gives its side files the mode of the main file.
    OpenOptions::new()
        .create(true)
        .append(true)
        .read(true)
        .mode(0o600)
        .open(path)
        .map_err(|problem| trouble::unopened(path, &problem))?;
    let failed = |e: rusqlite::Error| trouble::of(path, &e);
    let connection = sqlite::open_to_write(path, "full").map_err(failed)?;
    if version(&connection).map_err(failed)? != VERSION {
        let transaction = sqlite::begin(&connection).map_err(failed)?;
        // Another process may have made the tables meanwhile.
        let found = version(&transaction).map_err(failed)?;
        if found > VERSION {
            return Err(trouble::newer(path, found, VERSION));
        }
        if found != VERSION {
            let tables: i64 = transaction
                .query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0))
                .map_err(failed)?;
            if found != 0 || tables > 0 {
                return Err(trouble::foreign(path));
            }
            transaction.execute_batch(SCHEMA).map_err(failed)?;
            transaction
                .pragma_update(None, "user_version", VERSION)
                .map_err(failed)?;
        }
        transaction.commit().map_err(failed)?;
    }
    Ok(connection)
}
