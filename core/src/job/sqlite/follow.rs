//! Events are written to the file only while somebody, in whatever process, follows them.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio_util::sync::CancellationToken;

use super::session::Session;
use super::trouble::{count, number, unreadable};
use super::watch::Numbered;
use crate::clock::{Clock, SystemClock, millis};
use crate::job::{EventStream, JobEvent, JobId};

/// How long a process is said to follow without a renewal.
const TERM: Duration = Duration::from_secs(60);
/// How often it says so again.
pub(super) const RENEWAL: Duration = Duration::from_secs(5);
/// How long events are kept for followers that look late.
const KEPT: Duration = Duration::from_secs(60);

/// Says that this process follows, and tells the number of the last event.
pub(super) fn begin(
    session: &mut Session<'_>,
    token: &str,
    follows: bool,
) -> rusqlite::Result<i64> {
    let now = SystemClock.now();
    let until: Option<i64> = session
        .db
        .prepare_cached("SELECT until FROM follower WHERE token = ?1")?
        .query_row([token], |row| row.get(0))
        .optional()?;
    // To others here who follow already.
    if follows && until.is_none_or(|until| until <= number(now)) {
        leave_a_gap(session.db)?;
    }
    let fresh = number(now + millis(TERM) - 2 * millis(RENEWAL));
    if until.is_none_or(|until| until < fresh) {
        write(session, token)?;
    }
    let last: Option<i64> = session
        .db
        .prepare_cached("SELECT seq FROM sqlite_sequence WHERE name = 'event'")?
        .query_row([], |row| row.get(0))
        .optional()?;
    Ok(last.unwrap_or(0))
}

/// Says that this process still follows. Where that is late, as it is behind writers that do
/// not let it in, what happened meanwhile was not written: that is a gap.
pub(super) fn renew(session: &mut Session<'_>, token: &str) -> rusqlite::Result<()> {
    let in_time = session
        .db
        .prepare_cached("SELECT 1 FROM follower WHERE token = ?1 AND until > ?2")?
        .exists(params![token, number(SystemClock.now())])?;
    if !in_time {
        leave_a_gap(session.db)?;
    }
    write(session, token)
}

/// Leaves a number out: whoever follows sees behind it that something is missing.
fn leave_a_gap(db: &Connection) -> rusqlite::Result<()> {
    let counted = db.execute(
        "UPDATE sqlite_sequence SET seq = seq + 1 WHERE name = 'event'",
        [],
    )?;
    if counted == 0 {
        db.execute(
            "INSERT INTO sqlite_sequence (name, seq) VALUES ('event', 1)",
            [],
        )?;
    }
    Ok(())
}

fn write(session: &mut Session<'_>, token: &str) -> rusqlite::Result<()> {
    // By the machine's clock, as the events are for processes and not for jobs.
    let now = SystemClock.now();
    session
        .db
        .prepare_cached("DELETE FROM follower WHERE until <= ?1")?
        .execute([number(now)])?;
    session
        .db
        .prepare_cached("INSERT OR REPLACE INTO follower (token, until) VALUES (?1, ?2)")?
        .execute(params![token, number(now + millis(TERM))])?;
    Ok(())
}

/// Drops events that nobody will ask for, at most so many.
pub(super) fn forget(session: &mut Session<'_>, most: usize) -> rusqlite::Result<()> {
    let before = session.news.now.saturating_sub(millis(KEPT));
    session
        .db
        .prepare_cached(
            "DELETE FROM event WHERE at < ?1
             AND number < (SELECT min(number) FROM event) + ?2",
        )?
        .execute([number(before), number(most as u64)])?;
    Ok(())
}

/// At most so many events behind that number.
pub(super) fn read(db: &Connection, behind: i64, most: usize) -> rusqlite::Result<Vec<Numbered>> {
    let mut query = db.prepare_cached(
        "SELECT number, at, queue, id, what FROM event WHERE number > ?1 ORDER BY number LIMIT ?2",
    )?;
    let rows = query.query_map([behind, number(most as u64)], |row| {
        let id: Option<String> = row.get(3)?;
        let what: String = row.get(4)?;
        let event = JobEvent {
            at: count(row.get(1)?),
            queue: row.get(2)?,
            id: id.map(JobId::from_text).transpose().map_err(unreadable)?,
            what: serde_json::from_str(&what).map_err(unreadable)?,
        };
        Ok((row.get(0)?, event))
    })?;
    rows.collect()
}

/// The events behind a number as a stream: it ends when closed, and says when it lost some.
pub(super) fn stream(
    receiver: broadcast::Receiver<Numbered>,
    behind: i64,
    closed: CancellationToken,
) -> EventStream {
    Box::pin(futures_util::stream::unfold(
        (receiver, closed),
        move |(mut receiver, closed)| async move {
            loop {
                let received = tokio::select! {
                    received = receiver.recv() => received,
                    () = closed.cancelled() => return None,
                };
                let event = match received {
                    Ok((number, _)) if number <= behind => continue,
                    Ok((_, event)) => event,
                    Err(RecvError::Lagged(_)) => JobEvent::gap(),
                    Err(RecvError::Closed) => return None,
                };
                return Some((event, (receiver, closed)));
            }
        },
    ))
}
