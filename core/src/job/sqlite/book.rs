//! What is kept beside jobs: schedules, roles, and the workers that are there.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};
use serde::de::DeserializeOwned;

use super::session::Session;
use super::trouble::{count, number, unreadable};
use crate::clock::{self, EpochMillis, millis};
use crate::job::{JobError, Presence, Schedule};

/// How long a worker that is silent is still said to be there.
const PRESENCE: Duration = Duration::from_secs(30);

/// Sets, or replaces, a schedule.
pub(super) fn put_schedule(
    session: &Session<'_>,
    schedule: Schedule,
) -> rusqlite::Result<Result<(), JobError>> {
    let kept = kept_schedule(session, &schedule.name)?;
    match schedule.replacing(kept.as_ref(), session.news.now) {
        Ok(schedule) => write_schedule(session, &schedule).map(Ok),
        Err(refusal) => Ok(Err(refusal)),
    }
}

fn kept_schedule(session: &Session<'_>, name: &str) -> rusqlite::Result<Option<Schedule>> {
    let kept: Option<String> = session
        .db
        .prepare_cached("SELECT text FROM schedule WHERE name = ?1")?
        .query_row([name], |row| row.get(0))
        .optional()?;
    Ok(kept.and_then(|text| serde_json::from_str(&text).ok()))
}

fn write_schedule(session: &Session<'_>, schedule: &Schedule) -> rusqlite::Result<()> {
    let text = serde_json::to_string(schedule).map_err(unreadable)?;
    session
        .db
        .prepare_cached("INSERT OR REPLACE INTO schedule (name, text) VALUES (?1, ?2)")?
        .execute(params![schedule.name, text])?;
    Ok(())
}

/// Replaces a schedule if it is still there as it was.
pub(super) fn advance_schedule(
    session: &Session<'_>,
    before: &Schedule,
    after: &Schedule,
) -> rusqlite::Result<bool> {
    if kept_schedule(session, &before.name)?.as_ref() != Some(before) {
        return Ok(false);
    }
    write_schedule(session, after)?;
    Ok(true)
}

/// Removes a schedule. Tells whether it was there.
pub(super) fn delete_schedule(session: &Session<'_>, name: &str) -> rusqlite::Result<bool> {
    let mut delete = session
        .db
        .prepare_cached("DELETE FROM schedule WHERE name = ?1")?;
    Ok(delete.execute([name])? > 0)
}

/// All schedules, by name.
pub(super) fn schedules(db: &Connection) -> rusqlite::Result<Vec<Schedule>> {
    texts(
        db,
        "SELECT text FROM schedule WHERE ?1 < 0 ORDER BY name",
        -1,
    )
}

/// Takes or keeps a role. Tells whether it is held.
pub(super) fn lead(
    session: &Session<'_>,
    role: &str,
    holder: &str,
    term: Duration,
) -> rusqlite::Result<bool> {
    let now = session.news.now;
    let held: Option<(String, i64)> = session
        .db
        .prepare_cached("SELECT holder, until FROM role WHERE name = ?1")?
        .query_row([role], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let taken = held.is_some_and(|(by, until)| by != holder && count(until) > now);
    if !taken {
        let until = now.saturating_add(clock::term(term));
        session
            .db
            .prepare_cached(
                "INSERT OR REPLACE INTO role (name, holder, until) VALUES (?1, ?2, ?3)",
            )?
            .execute(params![role, holder, number(until)])?;
    }
    Ok(!taken)
}

/// Says that a worker is there, and forgets those that are not.
pub(super) fn announce(session: &Session<'_>, mut presence: Presence) -> rusqlite::Result<()> {
    let now = session.news.now;
    presence.seen_at = now;
    let text = serde_json::to_string(&presence).map_err(unreadable)?;
    session
        .db
        .prepare_cached("INSERT OR REPLACE INTO worker (name, seen_at, text) VALUES (?1, ?2, ?3)")?
        .execute(params![presence.key(), number(now), text])?;
    session
        .db
        .prepare_cached("DELETE FROM worker WHERE seen_at <= ?1")?
        .execute([since(now)])?;
    Ok(())
}

/// A worker has gone.
pub(super) fn leave(session: &Session<'_>, key: &str) -> rusqlite::Result<()> {
    session
        .db
        .prepare_cached("DELETE FROM worker WHERE name = ?1")?
        .execute([key])?;
    Ok(())
}

/// The workers that were there lately, by name.
pub(super) fn workers(db: &Connection, now: EpochMillis) -> rusqlite::Result<Vec<Presence>> {
    texts(
        db,
        "SELECT text FROM worker WHERE seen_at > ?1 ORDER BY name",
        since(now),
    )
}

fn since(now: EpochMillis) -> i64 {
    number(now).saturating_sub(number(millis(PRESENCE)))
}

fn texts<T: DeserializeOwned>(db: &Connection, sql: &str, with: i64) -> rusqlite::Result<Vec<T>> {
    let mut query = db.prepare_cached(sql)?;
    let texts = query.query_map([with], |row| row.get::<_, String>(0))?;
    texts
        .map(|text| serde_json::from_str(&text?).map_err(unreadable))
        .collect()
}
