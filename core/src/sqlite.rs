//! How SQLite files are opened, whatever is in them.
//!
//! Several processes share each file, and may open a new one at the same moment.

use std::time::Duration;

use rusqlite::{Connection, ErrorCode};

/// A try for the file's lock, and how many there are: five seconds together.
const BUSY_STEP: Duration = Duration::from_millis(2);
const BUSY_STEPS: i32 = 2_500;

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
