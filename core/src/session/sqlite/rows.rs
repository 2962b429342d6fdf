//! Sessions and messages as rows: what is read and written inside a transaction.

use rusqlite::{Connection, OptionalExtension, params};

use crate::job::sqlite::trouble::{number, unreadable};
use crate::session::query::Places;
use crate::session::rules::{Added, Head, Tail};
use crate::session::{Entry, Range, Session, SessionKey};

/// A session's row number and its head.
pub(super) fn find(db: &Connection, key: &SessionKey) -> rusqlite::Result<Option<(i64, Head)>> {
    let found: Option<(i64, String)> = db
        .prepare_cached("SELECT number, head FROM session WHERE owner = ?1 AND id = ?2")?
        .query_row([key.owner(), key.id()], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    let read = |(row, head): (i64, String)| Ok((row, parse(&head)?));
    found.map(read).transpose()
}

pub(super) fn insert(db: &Connection, head: &Head) -> rusqlite::Result<i64> {
    let session = &head.session;
    db.prepare_cached("INSERT INTO session (owner, id, active_at, head) VALUES (?1, ?2, ?3, ?4)")?
        .insert(params![
            session.key.owner(),
            session.key.id(),
            number(session.active_at),
            text(head)?
        ])
}

pub(super) fn update(db: &Connection, row: i64, head: &Head) -> rusqlite::Result<()> {
    db.prepare_cached("UPDATE session SET active_at = ?2, head = ?3 WHERE number = ?1")?
        .execute(params![row, number(head.session.active_at), text(head)?])?;
    Ok(())
}

/// Removes a session with all that is kept with it.
pub(super) fn delete(db: &Connection, row: i64) -> rusqlite::Result<()> {
    for statement in [
        "DELETE FROM message WHERE session = ?1",
        "DELETE FROM file WHERE session = ?1",
        "DELETE FROM session WHERE number = ?1",
    ] {
        db.prepare_cached(statement)?.execute([row])?;
    }
    Ok(())
}

pub(super) fn add(db: &Connection, row: i64, messages: &[Added]) -> rusqlite::Result<()> {
    let mut insert =
        db.prepare_cached("INSERT INTO message (session, place, body) VALUES (?1, ?2, ?3)")?;
    for message in messages {
        insert.execute(params![row, number(message.place), &*message.body])?;
    }
    Ok(())
}

/// Removes the messages from a place on.
pub(super) fn cut(db: &Connection, row: i64, place: u64) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM message WHERE session = ?1 AND place >= ?2")?
        .execute([row, number(place)])?;
    Ok(())
}

/// The last turn of a session.
pub(super) fn tail(db: &Connection, row: i64, session: &Session) -> rusqlite::Result<Option<Tail>> {
    let Some(last) = messages(db, row, &Range::Last(1).places(session))?.pop() else {
        return Ok(None);
    };
    let bodies: Vec<String> = db
        .prepare_cached(
            "SELECT body FROM message WHERE session = ?1 AND place >= ?2 ORDER BY place",
        )?
        .query_map([row, number(last.turn)], |found| found.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    Ok(Some(Tail::of(last.turn, &bodies, session.summary)))
}

/// The messages behind a version, or all if some were removed since.
pub(super) fn since(
    db: &Connection,
    row: i64,
    version: u64,
    removed_at: u64,
) -> rusqlite::Result<Vec<Entry>> {
    let mut query =
        db.prepare_cached("SELECT body FROM message WHERE session = ?1 ORDER BY place DESC")?;
    let mut rows = query.query([row])?;
    let mut found: Vec<Entry> = Vec::new();
    while let Some(row) = rows.next()? {
        let entry: Entry = parse(row.get_ref(0)?.as_str()?)?;
        if entry.version <= version && removed_at <= version {
            break;
        }
        found.push(entry);
    }
    found.reverse();
    Ok(found)
}

pub(super) fn messages(db: &Connection, row: i64, places: &Places) -> rusqlite::Result<Vec<Entry>> {
    let mut found = Vec::new();
    let mut one =
        db.prepare_cached("SELECT body FROM message WHERE session = ?1 AND place = ?2")?;
    for place in &places.single {
        let body: Option<String> = one
            .query_row([row, number(*place)], |row| row.get(0))
            .optional()?;
        if let Some(body) = body {
            found.push(parse(&body)?);
        }
    }
    let mut run = db.prepare_cached(
        "SELECT body FROM message WHERE session = ?1 AND place >= ?2 AND place < ?3 ORDER BY place",
    )?;
    let mut rows = run.query([row, number(places.from), number(places.to)])?;
    while let Some(row) = rows.next()? {
        found.push(parse(row.get_ref(0)?.as_str()?)?);
    }
    Ok(found)
}

pub(super) fn parse<T: serde::de::DeserializeOwned>(text: &str) -> rusqlite::Result<T> {
    serde_json::from_str(text).map_err(unreadable)
}

fn text(head: &Head) -> rusqlite::Result<String> {
    serde_json::to_string(head).map_err(unreadable)
}
