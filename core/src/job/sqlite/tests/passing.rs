//! What need not last does not wait for the disk, and what must does.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::*;
use crate::job::sqlite::Durability;
use crate::job::sqlite::inbox::{Inbox, Task, Terms};
use crate::job::sqlite::session::Session;
use crate::job::{Lease, Presence, QueueLimits, Renewal, Report, Schedule};

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
async fn all_that_is_told_of_jobs_is_to_last() {
    let (_folder, path) = place();
    let jobs = SqliteJobs::open(&path).unwrap();
    let made = || *jobs.engine().unwrap().watch.transactions.lock();
    let passing = async |verb: &str, call: BoxFuture<'_, ()>| {
        let before = made();
        call.await;
        assert_eq!(made(), (before.0, before.1 + 1), "{verb}");
    };
    let lasting = async |verb: &str, call: BoxFuture<'_, ()>| {
        let before = made();
        call.await;
        assert_eq!(made(), (before.0 + 1, before.1), "{verb}");
    };
    let presence = || Presence {
        worker: "w".to_owned(),
        instance: "i".to_owned(),
        host: "h".to_owned(),
        pid: 1,
        queues: Vec::new(),
        running: Vec::new(),
        rss: 0,
        started_at: 0,
        seen_at: 0,
    };
    let all = [id("a")];
    lasting(
        "enqueue",
        async { drop(jobs.enqueue_one(spec("a")).await) }.boxed(),
    )
    .await;
    lasting(
        "claim",
        async { drop(jobs.claim("q", ask(1)).await) }.boxed(),
    )
    .await;
    let lease = Lease {
        queue: "q".into(),
        id: id("a"),
        epoch: 1,
    };
    let held = [lease.clone()];
    let renewed = async { assert_eq!(jobs.renew(&held, LEASE).await.unwrap(), [Renewal::Kept]) };
    passing("renew", renewed.boxed()).await;
    let report = Report {
        lease: lease.clone(),
        progress: None,
        log: vec!["line".to_owned()],
    };
    lasting(
        "report",
        async { drop(jobs.report(vec![report]).await) }.boxed(),
    )
    .await;
    lasting("cancel", async { drop(jobs.cancel(&all).await) }.boxed()).await;
    let outcome = Outcome::Cancel;
    let settled = async {
        let state = jobs.settle(Settlement { lease, outcome }).await;
        assert_eq!(state.unwrap(), JobState::Cancelled);
    };
    lasting("settle", settled.boxed()).await;
    lasting("revive", async { drop(jobs.revive(&all).await) }.boxed()).await;
    lasting("delete", async { drop(jobs.delete(&all).await) }.boxed()).await;
    lasting(
        "pause",
        async { drop(jobs.set_paused("q", true).await) }.boxed(),
    )
    .await;
    let limits = QueueLimits::default();
    lasting(
        "limits",
        async { drop(jobs.set_limits("q", limits).await) }.boxed(),
    )
    .await;
    let schedule = Schedule::new("s", "@daily", JobSpec::new("q", Payload::NULL));
    lasting(
        "schedule",
        async { drop(jobs.put_schedule(schedule).await) }.boxed(),
    )
    .await;
    passing(
        "lead",
        async { drop(jobs.lead("r", "h", LEASE).await) }.boxed(),
    )
    .await;
    passing(
        "announce",
        async { drop(jobs.announce(&presence()).await) }.boxed(),
    )
    .await;
    lasting(
        "leave",
        async { drop(jobs.leave(&presence()).await) }.boxed(),
    )
    .await;
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
    let take = || -> Option<Vec<_>> {
        let taken = inbox.take(64)?;
        Some(taken.iter().map(|work| work.terms().weight).collect())
    };
    assert_eq!(take(), Some(vec![3, 4]));
    // Others have their turn, however many of these come.
    put(true, false, 7).await;
    assert_eq!(take(), Some(vec![5, 6, 7, 1, 2]));
    put(true, false, 8).await;
    put(true, false, 9).await;
    put(false, true, 10).await;
    assert_eq!(take(), Some(vec![8, 9]));
    put(true, false, 11).await;
    assert_eq!(take(), Some(vec![11, 10]));
    put(true, false, 12).await;
    assert_eq!(take(), Some(vec![12]));
    inbox.close();
    assert_eq!(take(), None);
}
