//! Leaves a file's lock to others now and then.
//!
//! Who waits for the lock looks for it every [`BUSY_STEP`]. A thread that begins its next
//! transaction right behind the last one leaves it free for some microseconds only: on a
//! slow disk, where a transaction takes long, others would meet that moment too rarely.

use std::time::{Duration, Instant};

use rusqlite::{Connection, Transaction};

use super::{BUSY_STEP, begin};

/// How long the lock is left: all who wait have looked.
const GAP: Duration = BUSY_STEP.saturating_add(Duration::from_millis(1));
/// How long a thread goes on without a gap while others write, too.
const BESIDE_OTHERS: Duration = Duration::from_millis(20);
/// The same where none was seen to write: one may wait for its first turn, and be late for
/// some gaps on a busy machine.
const ALONE: Duration = Duration::from_millis(250);
/// Who wrote within that time is likely to do so again.
const SEEN: Duration = Duration::from_secs(5);

/// The transactions of one connection that writes.
#[derive(Debug)]
pub(crate) struct Turns {
    /// When the last transaction ended.
    ended: Instant,
    /// When others last had their turn.
    gap: Instant,
    /// SQLite's number for what others wrote, as it was last looked at, and when.
    version: Option<i64>,
    looked: Instant,
    others: Option<Instant>,
}

impl Turns {
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        Self {
            ended: now,
            gap: now,
            version: None,
            looked: now,
            others: None,
        }
    }

    /// Does something in a transaction; what fails is undone.
    pub(crate) fn transact<T>(
        &mut self,
        connection: &Connection,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        self.give_way(connection);
        let asked = Instant::now();
        let done = begin(connection).and_then(|transaction| {
            self.begun(asked, Instant::now());
            let done = work(&transaction)?;
            transaction.commit()?;
            Ok(done)
        });
        self.ended = Instant::now();
        done
    }

    fn give_way(&mut self, connection: &Connection) {
        let now = Instant::now();
        if now.duration_since(self.ended) >= GAP {
            self.gap = now;
        }
        if now.duration_since(self.gap) >= BESIDE_OTHERS
            && now.duration_since(self.looked) >= BESIDE_OTHERS
        {
            self.look(connection, now);
        }
        if self.is_due(now) {
            std::thread::sleep(GAP);
            self.gap = Instant::now();
        }
    }

    /// Who had to wait for the lock has left it to others for so long: its own time begins.
    fn begun(&mut self, asked: Instant, now: Instant) {
        if now.duration_since(asked) >= BUSY_STEP {
            self.gap = now;
            self.others = Some(now);
        }
    }

    fn is_due(&self, now: Instant) -> bool {
        let beside = self.others.is_some_and(|at| now.duration_since(at) < SEEN);
        let most = if beside { BESIDE_OTHERS } else { ALONE };
        now.duration_since(self.gap) >= most
    }

    /// Looks whether others wrote.
    fn look(&mut self, connection: &Connection, now: Instant) {
        self.looked = now;
        let version = connection
            .prepare_cached("PRAGMA data_version")
            .and_then(|mut query| query.query_row([], |row| row.get(0)));
        // What is wrong with the file is told by the transaction that follows.
        let Ok(version) = version else { return };
        let last = self.version.replace(version);
        if last.is_some_and(|last| last != version) {
            self.others = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::sqlite::open_to_write;

    #[test]
    fn beside_a_thread_that_always_writes_each_other_has_its_turn() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file.db");
        let open = || open_to_write(&path, "normal").unwrap();
        open().execute_batch("CREATE TABLE t (x)").unwrap();
        let (held, holds) = mpsc::channel();
        std::thread::scope(|scope| {
            // As beside a slow disk: the lock is held nearly always.
            scope.spawn(|| {
                let (connection, mut turns) = (open(), Turns::new());
                let mut there = true;
                while there {
                    let slow = |_: &Transaction<'_>| {
                        there = held.send(()).is_ok();
                        std::thread::sleep(Duration::from_millis(150));
                        connection.execute("INSERT INTO t VALUES (1)", [])
                    };
                    turns.transact(&connection, slow).unwrap();
                }
            });
            let (other, holds) = (open(), holds);
            for _ in 0..6 {
                while holds.try_recv().is_ok() {}
                holds.recv().unwrap();
                let turn = begin(&other).unwrap();
                turn.execute("INSERT INTO t VALUES (2)", []).unwrap();
                turn.commit().unwrap();
            }
        });
    }

    #[test]
    fn a_gap_is_due_soon_beside_others_and_rarely_alone() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        // When it is, behind a gap at 0, and when others were seen.
        for (now, others, due) in [
            (19, None, false),
            (19, Some(15), false),
            (20, Some(15), true),
            (249, None, false),
            (250, None, true),
            (200, Some(0), true),
        ] {
            let turns = Turns {
                ended: at(now),
                gap: start,
                version: None,
                looked: at(now),
                others: others.map(at),
            };
            assert_eq!(turns.is_due(at(now)), due, "{now} {others:?}");
        }
        let mut turns = Turns::new();
        (turns.gap, turns.others) = (at(5_000), Some(start));
        assert!(!turns.is_due(at(5_200)), "they are not there any more");
    }

    #[test]
    fn who_waited_for_the_lock_has_its_whole_time() {
        let mut turns = Turns::new();
        let (asked, gap) = (turns.gap, turns.gap);
        turns.begun(asked, asked + Duration::from_millis(1));
        assert_eq!((turns.gap, turns.others), (gap, None));
        let now = asked + Duration::from_millis(30);
        turns.begun(asked, now);
        assert_eq!((turns.gap, turns.others), (now, Some(now)));
        assert!(!turns.is_due(now + Duration::from_millis(19)));
    }

    #[test]
    fn only_what_others_wrote_shows_them() {
        let folder = tempfile::tempdir().unwrap();
        let open = || open_to_write(&folder.path().join("file.db"), "off").unwrap();
        let (own, other) = (open(), open());
        let mut turns = Turns::new();
        let now = Instant::now();
        own.execute_batch("CREATE TABLE t (x)").unwrap();
        turns.look(&own, now);
        own.execute("INSERT INTO t VALUES (1)", []).unwrap();
        turns.look(&own, now);
        assert_eq!(turns.others, None);
        other.execute("INSERT INTO t VALUES (2)", []).unwrap();
        turns.look(&own, now);
        assert_eq!(turns.others, Some(now));
    }

    #[test]
    fn a_failure_undoes_what_was_done() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE t (x)").unwrap();
        let failed = Turns::new().transact(&connection, |db| {
            db.execute("INSERT INTO t VALUES (1)", [])?;
            db.execute("no statement", [])
        });
        assert!(failed.is_err());
        let count = "SELECT count(*) FROM t";
        assert_eq!(connection.query_row(count, [], |row| row.get(0)), Ok(0));
    }
}
