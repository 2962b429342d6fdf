//! Jobs are looked up, listed and counted, beside those who write.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};

use super::line::read_limits;
use super::row::{Kept, NAMED, read_json, select_named};
use super::schema::state_number;
use super::trouble::{count, number};
use crate::clock::EpochMillis;
use crate::job::{
    Job, JobFilter, JobId, JobPage, JobSpec, JobState, LogLine, QueueCounts, QueueLimits,
};

/// The job of an id, in the first queue by name that still keeps one.
pub(super) fn job(db: &Connection, id: &JobId, now: EpochMillis) -> rusqlite::Result<Option<Job>> {
    let mut query = db.prepare_cached(&select_named(
        "WHERE job.id = ?1 AND (job.state < 3 OR job.until > ?2) ORDER BY queue.name LIMIT 1",
    ))?;
    query
        .query_row(params![id.as_str(), number(now)], read_named)
        .optional()
}

/// A job's log, or none if there is no such job.
pub(super) fn log(db: &Connection, id: &JobId) -> rusqlite::Result<Option<Vec<LogLine>>> {
    let job: Option<i64> = db
        .prepare_cached(
            "SELECT job.number FROM job JOIN queue ON queue.number = job.queue
             WHERE job.id = ?1 ORDER BY queue.name LIMIT 1",
        )?
        .query_row([id.as_str()], |row| row.get(0))
        .optional()?;
    let Some(job) = job else { return Ok(None) };
    let mut query = db.prepare_cached("SELECT at, text FROM log WHERE job = ?1 ORDER BY line")?;
    let lines = query.query_map([job], |row| {
        Ok(LogLine {
            at: count(row.get(0)?),
            text: row.get(1)?,
        })
    })?;
    lines.collect::<rusqlite::Result<_>>().map(Some)
}

/// A page of jobs in the order in which they came. The mark is the number of the last one.
pub(super) fn list(
    db: &Connection,
    filter: &JobFilter,
    after: usize,
    now: EpochMillis,
) -> rusqlite::Result<JobPage> {
    let Some(mut numbers) = matching(db, filter, after, now)? else {
        return Ok(JobPage::default());
    };
    let more = numbers.len() > filter.page();
    numbers.truncate(filter.page());
    let mut query = db.prepare_cached(&select_named("WHERE job.number = ?1"))?;
    let jobs = numbers
        .iter()
        .map(|one| query.query_row([one], read_named))
        .collect::<rusqlite::Result<_>>()?;
    let next = numbers.last().filter(|_| more).map(i64::to_string);
    Ok(JobPage { jobs, next })
}

// One more than a page, so that it is known whether there is another.
fn matching(
    db: &Connection,
    filter: &JobFilter,
    after: usize,
    now: EpochMillis,
) -> rusqlite::Result<Option<Vec<i64>>> {
    let mut with = vec![
        Value::Integer(number(after as u64)),
        Value::Integer(number(now)),
    ];
    let mut which = "number > ?1 AND (state < 3 OR until > ?2)".to_owned();
    let mut also = |term: &str, value: Value| {
        with.push(value);
        which.push_str(&format!(" AND {term} = ?{}", with.len()));
    };
    if let Some(queue) = &filter.queue {
        let Some(row) = queue_row(db, queue)? else {
            return Ok(None);
        };
        also("queue", Value::Integer(row));
    }
    let kind = "coalesce(kind, (SELECT name FROM queue WHERE queue.number = job.queue))";
    let texts = [
        (kind, &filter.kind),
        ("+team", &filter.group),
        ("session", &filter.session),
    ];
    for (term, text) in texts {
        if let Some(text) = text {
            also(term, Value::Text(text.clone()));
        }
    }
    // Few run and few have failed: these are sorted. All else is read in its order.
    let (source, state) = match filter.state {
        Some(JobState::Running) => ("job INDEXED BY job_lease", " AND state = 2".to_owned()),
        Some(JobState::Failed) => ("job INDEXED BY job_failed", " AND state = 4".to_owned()),
        Some(state) => (
            "job NOT INDEXED",
            format!(" AND state = {}", state_number(state)),
        ),
        None => ("job NOT INDEXED", String::new()),
    };
    let sql = format!("SELECT number, spec FROM {source} WHERE {which}{state} ORDER BY number");
    let mut query = db.prepare_cached(&sql)?;
    let mut rows = query.query(params_from_iter(with))?;
    let mut numbers = Vec::new();
    while numbers.len() <= filter.page()
        && let Some(row) = rows.next()?
    {
        if has_tag(row, filter.tag.as_deref())? {
            numbers.push(row.get(0)?);
        }
    }
    Ok(Some(numbers))
}

/// What is counted of all queues, by name.
pub(super) fn counts(db: &Connection, now: EpochMillis) -> rusqlite::Result<Vec<QueueCounts>> {
    let mut query = db.prepare_cached(
        "SELECT number, name, waiting, delayed, running, completed, failed, cancelled, bytes,
                paused
         FROM queue ORDER BY name",
    )?;
    let mut oldest = db.prepare_cached(
        "SELECT run_at FROM job WHERE queue = ?1 AND state = 0 AND parked = 0
         ORDER BY rank, tag, number LIMIT 1",
    )?;
    let rows = query.query_map([], |row| {
        let at: Option<i64> = oldest
            .query_row([row.get::<_, i64>(0)?], |row| row.get(0))
            .optional()?;
        Ok(QueueCounts {
            queue: row.get(1)?,
            waiting: count(row.get(2)?),
            delayed: count(row.get(3)?),
            running: count(row.get(4)?),
            completed: count(row.get(5)?),
            failed: count(row.get(6)?),
            cancelled: count(row.get(7)?),
            bytes: count(row.get(8)?),
            oldest_ms: at.map(|at| now.saturating_sub(count(at))),
            paused: row.get(9)?,
        })
    })?;
    rows.collect()
}

/// A queue's limits.
pub(super) fn limits(db: &Connection, queue: &str) -> rusqlite::Result<QueueLimits> {
    let text: Option<Option<String>> = db
        .prepare_cached("SELECT limits FROM queue WHERE name = ?1")?
        .query_row([queue], |row| row.get(0))
        .optional()?;
    read_limits(text.flatten().as_deref())
}

/// The numbers of jobs that have ended by then, or none if there is no such queue.
pub(super) fn ended(
    db: &Connection,
    queue: &str,
    states: &[JobState],
    before: EpochMillis,
) -> rusqlite::Result<Option<Vec<i64>>> {
    let mut numbers = Vec::new();
    let Some(row) = queue_row(db, queue)? else {
        return Ok(None);
    };
    for state in states {
        let which = match state {
            JobState::Failed => "state = 4".to_owned(),
            other => format!("state IN (3, 5) AND state = {}", state_number(*other)),
        };
        let mut query = db.prepare_cached(&format!(
            "SELECT number FROM job WHERE queue = ?1 AND {which} AND finished_at <= ?2"
        ))?;
        let found = query.query_map([row, number(before)], |row| row.get(0))?;
        for one in found {
            numbers.push(one?);
        }
    }
    Ok(Some(numbers))
}

fn queue_row(db: &Connection, name: &str) -> rusqlite::Result<Option<i64>> {
    db.prepare_cached("SELECT number FROM queue WHERE name = ?1")?
        .query_row([name], |row| row.get(0))
        .optional()
}

fn read_named(row: &Row<'_>) -> rusqlite::Result<Job> {
    let queue: String = row.get(NAMED)?;
    Kept::read_whole(row, &queue.into())
}

fn has_tag(row: &Row<'_>, tag: Option<&str>) -> rusqlite::Result<bool> {
    let Some(tag) = tag else { return Ok(true) };
    let spec: Option<JobSpec> = read_json(row, 1)?;
    Ok(spec.is_some_and(|spec| spec.tags.iter().any(|has| &**has == tag)))
}
