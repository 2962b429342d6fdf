//! What need not last does not wait for the disk, and what must does.

use super::*;
use crate::job::sqlite::Durability;
use crate::job::sqlite::inbox::{Inbox, Task, Terms};
use crate::job::sqlite::session::Session;

/// SQLite's numbers.
const NORMAL: i64 = 1;
const FULL: i64 = 2;

fn synchronous(session: &mut Session<'_>) -> rusqlite::Result<i64> {
    let pragma = "PRAGMA synchronous";
    session.db.query_row(pragma, [], |row| row.get(0))
}

#[tokio::test]
async fn only_what_is_to_last_waits_for_the_disk() {
    let (_folder, path) = place();
    let jobs = SqliteJobs::open(&path).unwrap();
    for _ in 0..2 {
        assert_eq!(jobs.write(synchronous).await, Ok(FULL));
        assert_eq!(jobs.write_in_passing(synchronous).await, Ok(NORMAL));
    }
    let clock = jobs.clock();
    let lax = SqliteJobs::open_with(&path, clock, Durability::Normal).unwrap();
    assert_eq!(lax.write(synchronous).await, Ok(NORMAL));
    assert_eq!(lax.write_in_passing(synchronous).await, Ok(NORMAL));
}

#[tokio::test]
async fn a_transaction_that_failed_in_passing_leaves_the_next_one_as_lasting() {
    let (_folder, path) = place();
    let jobs = SqliteJobs::open(&path).unwrap();
    let fails =
        |_: &mut Session<'_>| -> rusqlite::Result<()> { Err(rusqlite::Error::QueryReturnedNoRows) };
    assert!(jobs.write_in_passing(fails).await.is_err());
    assert_eq!(jobs.write(synchronous).await, Ok(FULL));
}

#[tokio::test]
async fn what_is_urgent_and_need_not_last_goes_without_others() {
    let inbox = Inbox::new();
    let put = async |urgent, lasting, weight| {
        let terms = Terms {
            urgent,
            lasting,
            weight,
        };
        let (reply, _) = tokio::sync::oneshot::channel();
        let nothing = |_: &mut Session<'_>| Ok(());
        assert!(inbox.put(Box::new(Task::new(nothing, terms, reply))).await);
    };
    put(false, true, 1).await;
    put(false, false, 2).await;
    put(true, false, 3).await;
    put(true, false, 4).await;
    put(true, true, 5).await;
    put(true, false, 6).await;
    inbox.close();
    let take = || -> Option<Vec<_>> {
        let taken = inbox.take(64)?;
        Some(taken.iter().map(|work| work.terms().weight).collect())
    };
    assert_eq!(take(), Some(vec![3, 4]));
    assert_eq!(take(), Some(vec![5, 6, 1, 2]));
    assert_eq!(take(), None);
}
