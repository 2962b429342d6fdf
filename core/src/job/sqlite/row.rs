//! A job's row, as it is read to be moved, and written back.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::schema::state_number;
use super::trouble::{count, number, unreadable};
use crate::job::{Claimed, Job, JobId, JobSpec, JobState, JobStatus, Lease, Payload};

/// Larger payloads have a table of their own, so that a move does not write them again.
const INLINE: usize = 1_024;

/// What [`Kept::read`] reads, of the table `job`.
const COLUMNS: &str = "job.number, job.id, job.state, job.rank, job.tag, job.parked,
    job.until, job.epoch, job.attempt, job.stalls, job.created_at, job.run_at, job.started_at,
    job.finished_at, job.cancel_requested, job.size, job.kind, job.team, job.session, job.spec,
    job.worker, job.progress, job.error, job.kept";

/// The payload, wherever it is.
const PAYLOAD: &str =
    "coalesce(job.payload, (SELECT payload FROM body WHERE body.job = job.number))";

/// The columns' number: what else is selected comes behind.
const WIDTH: usize = 24;

/// A query for rows of [`COLUMNS`].
pub(super) fn select(which: &str) -> String {
    format!("SELECT {COLUMNS} FROM job {which}")
}

/// A query for rows of [`COLUMNS`], payload and result.
pub(super) fn select_whole(which: &str) -> String {
    format!("SELECT {COLUMNS}, {PAYLOAD}, job.result FROM job {which}")
}

/// A query for rows of [`select_whole`] and the queue's name.
pub(super) fn select_named(which: &str) -> String {
    format!(
        "SELECT {COLUMNS}, {PAYLOAD}, job.result, queue.name
         FROM job CROSS JOIN queue ON queue.number = job.queue {which}"
    )
}

/// Where [`select_named`] has the queue's name.
pub(super) const NAMED: usize = WIDTH + 2;

/// A job in the file. Its payload and result are there only if they were asked for.
pub(super) struct Kept {
    pub(super) number: i64,
    pub(super) id: JobId,
    pub(super) spec: JobSpec,
    pub(super) status: JobStatus,
    pub(super) size: u64,
    pub(super) tag: u64,
    pub(super) parked: bool,
    /// When its lease runs out, or, once it has ended, when it goes.
    pub(super) until: u64,
    /// Its bytes, once it has ended.
    pub(super) kept: u64,
}

impl Kept {
    /// Reads a row of [`COLUMNS`].
    pub(super) fn read(row: &Row<'_>, queue: &Arc<str>) -> rusqlite::Result<Self> {
        let mut spec: JobSpec = read_json(row, 19)?.unwrap_or_default();
        spec.queue = Arc::clone(queue);
        spec.priority = -row.get::<_, i16>(3)?;
        spec.kind = row.get(16)?;
        spec.group = row.get(17)?;
        spec.session = row.get(18)?;
        let state = usize::from(row.get::<_, u8>(2)?);
        let state = JobState::ALL.get(state).copied();
        let state = state.ok_or(rusqlite::Error::IntegralValueOutOfRange(2, -1))?;
        let optional = |nth| Ok::<_, rusqlite::Error>(row.get::<_, Option<i64>>(nth)?.map(count));
        Ok(Self {
            number: row.get(0)?,
            id: JobId::from_text(row.get::<_, String>(1)?).map_err(unreadable)?,
            spec,
            size: count(row.get(15)?),
            tag: count(row.get(4)?),
            parked: row.get(5)?,
            until: count(row.get(6)?),
            kept: count(row.get(23)?),
            status: JobStatus {
                state,
                epoch: count(row.get(7)?),
                attempt: row.get(8)?,
                stalls: row.get(9)?,
                created_at: count(row.get(10)?),
                run_at: count(row.get(11)?),
                started_at: optional(12)?,
                finished_at: optional(13)?,
                cancel_requested: row.get(14)?,
                worker: row.get(20)?,
                // News that cannot be read are none: the job goes on.
                progress: read_json(row, 21).unwrap_or_default(),
                error: read_json(row, 22).unwrap_or_default(),
                result: None,
            },
        })
    }

    /// The job of an id.
    pub(super) fn find(
        db: &Connection,
        queue: i64,
        name: &Arc<str>,
        id: &JobId,
    ) -> rusqlite::Result<Option<Self>> {
        let mut query = db.prepare_cached(&select("WHERE job.id = ?1 AND job.queue = ?2"))?;
        query
            .query_row(params![id.as_str(), queue], |row| Self::read(row, name))
            .optional()
    }

    /// Reads a row of [`select_whole`], but for the result.
    pub(super) fn read_with_payload(row: &Row<'_>, queue: &Arc<str>) -> rusqlite::Result<Self> {
        let mut kept = Self::read(row, queue)?;
        kept.spec.payload = read_payload(row, WIDTH)?.unwrap_or_default();
        Ok(kept)
    }

    /// Reads a row of [`select_whole`].
    pub(super) fn read_whole(row: &Row<'_>, queue: &Arc<str>) -> rusqlite::Result<Job> {
        let mut kept = Self::read_with_payload(row, queue)?;
        kept.status.result = read_payload(row, WIDTH + 1)?;
        Ok(Job {
            id: kept.id,
            spec: Arc::new(kept.spec),
            status: kept.status,
        })
    }

    /// Puts a new job into the file.
    pub(super) fn insert(&mut self, db: &Connection, queue: i64) -> rusqlite::Result<()> {
        let spec = &mut self.spec;
        let payload = std::mem::take(&mut spec.payload);
        let (kind, team, session) = (spec.kind.take(), spec.group.take(), spec.session.take());
        let priority = std::mem::take(&mut spec.priority);
        let named = std::mem::take(&mut spec.queue);
        let text = Some(serde_json::to_string(spec).map_err(unreadable)?);
        let inline = payload.len() <= INLINE;
        db.prepare_cached(
            "INSERT INTO job (queue, id, state, rank, tag, parked, created_at, run_at, size,
                kind, team, session, spec, payload, deadline)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
        )?
        .execute(params![
            queue,
            self.id.as_str(),
            state_number(self.status.state),
            -priority,
            number(self.tag),
            self.parked,
            number(self.status.created_at),
            number(self.status.run_at),
            number(self.size),
            kind,
            team,
            session,
            text.filter(|text| text != "{}"),
            inline.then(|| payload.as_bytes().as_ref()),
            spec.deadline.map(number),
        ])?;
        self.number = db.last_insert_rowid();
        if !inline {
            db.prepare_cached("INSERT OR REPLACE INTO body (job, payload) VALUES (?1, ?2)")?
                .execute(params![self.number, payload.as_bytes().as_ref()])?;
        }
        (self.spec.kind, self.spec.group, self.spec.session) = (kind, team, session);
        (self.spec.priority, self.spec.queue) = (priority, named);
        Ok(())
    }

    /// Writes back all that can have changed by a move.
    pub(super) fn save(&self, db: &Connection) -> rusqlite::Result<()> {
        let status = &self.status;
        db.prepare_cached(
            "UPDATE job SET state = ?2, tag = ?3, parked = ?4, until = ?5, epoch = ?6,
                attempt = ?7, stalls = ?8, run_at = ?9, started_at = ?10, finished_at = ?11,
                cancel_requested = ?12, worker = ?13, progress = ?14, error = ?15, result = ?16,
                kept = ?17
             WHERE number = ?1",
        )?
        .execute(params![
            self.number,
            state_number(status.state),
            number(self.tag),
            self.parked,
            number(self.until),
            number(status.epoch),
            status.attempt,
            status.stalls,
            number(status.run_at),
            status.started_at.map(number),
            status.finished_at.map(number),
            status.cancel_requested,
            status.worker,
            write_json(status.progress.as_ref())?,
            write_json(status.error.as_ref())?,
            status
                .result
                .as_ref()
                .map(|result| result.as_bytes().as_ref()),
            number(self.kept),
        ])?;
        Ok(())
    }

    /// Removes it with all that is known of it.
    pub(super) fn remove(&self, db: &Connection) -> rusqlite::Result<()> {
        db.prepare_cached("DELETE FROM job WHERE number = ?1")?
            .execute([self.number])?;
        db.prepare_cached("DELETE FROM log WHERE job = ?1")?
            .execute([self.number])?;
        if self.size > INLINE as u64 {
            db.prepare_cached("DELETE FROM body WHERE job = ?1")?
                .execute([self.number])?;
        }
        Ok(())
    }

    /// As its worker gets it.
    pub(super) fn claimed(self) -> Claimed {
        Claimed {
            lease: Lease {
                queue: Arc::clone(&self.spec.queue),
                id: self.id,
                epoch: self.status.epoch,
            },
            attempt: self.status.attempt,
            stalls: self.status.stalls,
            created_at: self.status.created_at,
            run_at: self.status.run_at,
            spec: Arc::new(self.spec),
        }
    }
}

/// JSON in a column.
pub(super) fn read_json<T: DeserializeOwned>(
    row: &Row<'_>,
    nth: usize,
) -> rusqlite::Result<Option<T>> {
    let text = row.get_ref(nth)?.as_str_or_null().map_err(unreadable)?;
    text.map(serde_json::from_str)
        .transpose()
        .map_err(unreadable)
}

/// JSON for a column.
pub(super) fn write_json<T: Serialize>(value: Option<&T>) -> rusqlite::Result<Option<String>> {
    value
        .map(serde_json::to_string)
        .transpose()
        .map_err(unreadable)
}

/// A payload in a column.
pub(super) fn read_payload(row: &Row<'_>, nth: usize) -> rusqlite::Result<Option<Payload>> {
    let bytes: Option<Vec<u8>> = row.get(nth)?;
    Ok(bytes.map(|bytes| Payload::trusted(bytes.into())))
}
