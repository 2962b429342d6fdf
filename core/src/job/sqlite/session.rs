//! One transaction: the queues it has touched, and what it is to tell.

use std::collections::BTreeMap;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};

use super::line::Line;
use super::trouble::{number, unreadable};
use crate::clock::{Clock, EpochMillis, SystemClock};
use crate::job::{JobEvent, JobId, What};

/// Events that are kept for followers in other processes.
const EVENTS_KEPT: i64 = 20_000;

/// What works do their part of the transaction with.
pub(super) struct Session<'c> {
    pub(super) db: &'c Connection,
    pub(super) news: News,
    lines: BTreeMap<Arc<str>, Line>,
}

/// What is to be told of.
pub(super) struct News {
    pub(super) now: EpochMillis,
    /// Leases that ended before this have run out.
    pub(super) lapse: EpochMillis,
    followed: bool,
    events: Vec<JobEvent>,
}

/// One queue in a transaction.
pub(super) struct Turn<'a> {
    pub(super) db: &'a Connection,
    pub(super) line: &'a mut Line,
    pub(super) news: &'a mut News,
}

/// What a transaction did, to be told of once it is on the disk.
#[derive(Default)]
pub(super) struct Told {
    /// Queues in which jobs may be ready, with their count of rings.
    pub(super) rung: Vec<(Arc<str>, u64)>,
    /// Whether there are events.
    pub(super) events: bool,
}

impl<'c> Session<'c> {
    pub(super) fn begin(db: &'c Connection, clock: &dyn Clock) -> rusqlite::Result<Self> {
        let now = clock.now();
        let mut query = db.prepare_cached("SELECT 1 FROM follower WHERE until > ?1 LIMIT 1")?;
        let followed = query
            .query_row([number(SystemClock.now())], |_| Ok(()))
            .optional()?
            .is_some();
        let events = Vec::new();
        Ok(Self {
            db,
            news: News {
                now,
                lapse: now.saturating_sub(clock.jumped()),
                followed,
                events,
            },
            lines: BTreeMap::new(),
        })
    }

    /// Does something with one queue.
    pub(super) fn on<T>(
        &mut self,
        queue: &str,
        work: impl FnOnce(&mut Turn<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        if !self.lines.contains_key(queue) {
            let line = Line::load(self.db, queue)?;
            self.lines.insert(Arc::clone(&line.name), line);
        }
        let Some(line) = self.lines.get_mut(queue) else {
            return Err(rusqlite::Error::QueryReturnedNoRows);
        };
        work(&mut Turn {
            db: self.db,
            line,
            news: &mut self.news,
        })
    }

    /// Does something with the first queue by name that has the job.
    pub(super) fn on_job<T>(
        &mut self,
        id: &JobId,
        work: impl FnOnce(&mut Turn<'_>) -> rusqlite::Result<Option<T>>,
    ) -> rusqlite::Result<Option<T>> {
        let queue: Option<String> = self
            .db
            .prepare_cached(
                "SELECT queue.name FROM job JOIN queue ON queue.number = job.queue
                 WHERE job.id = ?1 ORDER BY queue.name LIMIT 1",
            )?
            .query_row([id.as_str()], |row| row.get(0))
            .optional()?;
        match queue {
            Some(queue) => self.on(&queue, work),
            None => Ok(None),
        }
    }

    /// The queues there are, by name.
    pub(super) fn queues(&self) -> rusqlite::Result<Vec<String>> {
        let mut query = self
            .db
            .prepare_cached("SELECT name FROM queue ORDER BY name")?;
        query.query_map([], |row| row.get(0))?.collect()
    }

    /// Writes back what it holds. Behind it comes the commit.
    pub(super) fn end(self) -> rusqlite::Result<Told> {
        let mut told = Told::default();
        for (name, mut line) in self.lines {
            let rung = line.flush(self.db)?;
            told.rung.extend(rung.map(|rings| (name, rings)));
        }
        told.events = !self.news.events.is_empty();
        if told.events {
            append(self.db, &self.news.events)?;
        }
        Ok(told)
    }
}

impl News {
    pub(super) fn tell(&mut self, queue: &Arc<str>, id: Option<&JobId>, what: What) {
        if self.followed {
            self.events.push(JobEvent {
                at: self.now,
                queue: (**queue).into(),
                id: id.cloned(),
                what,
            });
        }
    }
}

impl Turn<'_> {
    pub(super) fn tell(&mut self, id: Option<&JobId>, what: What) {
        self.news.tell(&self.line.name, id, what);
    }
}

fn append(db: &Connection, events: &[JobEvent]) -> rusqlite::Result<()> {
    let mut insert =
        db.prepare_cached("INSERT INTO event (at, queue, id, what) VALUES (?1, ?2, ?3, ?4)")?;
    for event in events {
        let what = serde_json::to_string(&event.what).map_err(unreadable)?;
        let id = event.id.as_ref().map(JobId::as_str);
        insert.execute(params![number(event.at), &*event.queue, id, what])?;
    }
    db.prepare_cached("DELETE FROM event WHERE number <= ?1")?
        .execute([db.last_insert_rowid() - EVENTS_KEPT])?;
    Ok(())
}
