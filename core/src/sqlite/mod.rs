//! How SQLite files are opened, whatever is in them.
//!
//! Several processes share each file, and may open a new one at the same moment.

mod readers;
mod turns;

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior};

pub(crate) use readers::{Readers, Unread};
pub(crate) use turns::Turns;

/// A try for the file's lock, and how many there are: five seconds together.
const BUSY_STEP: Duration = Duration::from_millis(2);
const BUSY_STEPS: i32 = 2_500;

/// Statements that are kept ready.
const STATEMENTS: usize = 128;

/// Opens a file for the connection that writes it; `synchronous` is SQLite's word.
pub(crate) fn open_to_write(path: &Path, synchronous: &str) -> rusqlite::Result<Connection> {
    let connection = open(path)?;
    write_ahead(&connection)?;
    connection.pragma_update(None, "synchronous", synchronous)?;
    connection.pragma_update(None, "wal_autocheckpoint", 4_000)?;
    connection.pragma_update(None, "journal_size_limit", 64 << 20)?;
    connection.pragma_update(None, "cache_size", -32_000)?;
    Ok(connection)
}

/// Opens a file to read from it.
pub(crate) fn open_to_read(path: &Path) -> rusqlite::Result<Connection> {
    let connection = open(path)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

/// A transaction that has the right to write from its start: it cannot fail to get it later.
pub(crate) fn begin(connection: &Connection) -> rusqlite::Result<Transaction<'_>> {
    Transaction::new_unchecked(connection, TransactionBehavior::Immediate)
}

/// The file's layout, 0 for a new one.
pub(crate) fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    let mut connection = Connection::open(path)?;
    be_patient(&mut connection)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(connection)
}

/// Waits for other processes up to five seconds, in short steps: SQLite's own wait sleeps
/// ever longer, and beside a busy process would rarely get its turn.
pub(crate) fn be_patient(connection: &mut Connection) -> rusqlite::Result<()> {
    connection.busy_handler(Some(|tries| {
        std::thread::sleep(BUSY_STEP);
        tries < BUSY_STEPS
    }))
}

/// Switches the file to write-ahead logging. SQLite does not ask the busy handler where two
/// switch a new file at once.
pub(crate) fn write_ahead(connection: &Connection) -> rusqlite::Result<()> {
    let mut tries = 0;
    loop {
        let switched = connection.pragma_update(None, "journal_mode", "wal");
        let busy = |e: &rusqlite::Error| {
            matches!(
                e.sqlite_error_code(),
                Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
            )
        };
        match switched {
            Err(error) if busy(&error) && tries < BUSY_STEPS => {
                tries += 1;
                std::thread::sleep(BUSY_STEP);
            }
            switched => return switched,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_may_switch_a_new_file_at_once() {
        let folder = tempfile::tempdir().unwrap();
        for round in 0..10 {
            let path = folder.path().join(format!("{round}.db"));
            let open = |_| {
                let path = path.clone();
                std::thread::spawn(move || {
                    let mut connection = Connection::open(path).unwrap();
                    be_patient(&mut connection).unwrap();
                    write_ahead(&connection).unwrap();
                    connection
                        .execute_batch("CREATE TABLE IF NOT EXISTS t (x)")
                        .unwrap();
                })
            };
            let threads: Vec<_> = (0..8).map(open).collect();
            for thread in threads {
                thread.join().unwrap();
            }
        }
    }
}
