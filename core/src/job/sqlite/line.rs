//! A queue's row and its groups' rows, read once in a transaction and written back at its end.
//!
//! Whose turn it is follows the same rule as in memory: a job that begins to wait gets a tag,
//! one more than its group's last one, or than the tag served last if that is later.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};

use super::trouble::{count, number, unreadable};
use crate::job::{JobState, QueueLimits, RateState};

/// SQLite holds no value of over a billion bytes: one would fail all that shares its
/// transaction.
const LARGEST: u64 = 900_000_000;

/// A queue.
pub(super) struct Line {
    pub(super) row: i64,
    pub(super) name: Arc<str>,
    pub(super) limits: QueueLimits,
    pub(super) now: Numbers,
    as_read: Numbers,
    rung: bool,
    groups: HashMap<Box<str>, Group>,
}

/// What changes of a queue.
#[derive(Clone, PartialEq)]
pub(super) struct Numbers {
    pub(super) paused: bool,
    /// The highest tag that was served.
    served: u64,
    /// The last tag of the jobs without a group.
    last: u64,
    pub(super) rate: RateState,
    /// How often it was rung for.
    rings: u64,
    /// Jobs that wait aside until their group has room.
    pub(super) parked: u64,
    pub(super) bytes: u64,
    /// The highest epoch of jobs that are gone.
    pub(super) retired: u64,
    /// Bytes of jobs that have ended.
    pub(super) kept_bytes: u64,
    counts: [u64; JobState::ALL.len()],
}

#[derive(Clone, Copy, Default, PartialEq)]
struct Group {
    now: Standing,
    as_read: Option<Standing>,
}

#[derive(Clone, Copy, Default, PartialEq)]
struct Standing {
    last: u64,
    running: u64,
    parked: u64,
}

impl Line {
    /// Reads the queue, or makes it.
    pub(super) fn load(db: &Connection, name: &str) -> rusqlite::Result<Self> {
        if let Some(line) = Self::find(db, name)? {
            return Ok(line);
        }
        db.prepare_cached("INSERT INTO queue (name) VALUES (?1)")?
            .execute([name])?;
        Self::find(db, name)?.ok_or(rusqlite::Error::QueryReturnedNoRows)
    }

    fn find(db: &Connection, name: &str) -> rusqlite::Result<Option<Self>> {
        let mut query = db.prepare_cached(
            "SELECT number, limits, paused, served, last, arrival, rings, parked, bytes,
                    waiting, delayed, running, completed, failed, cancelled, retired, kept_bytes
             FROM queue WHERE name = ?1",
        )?;
        let line = query.query_row([name], |row| {
            let limits: Option<String> = row.get(1)?;
            let mut counts = [0; JobState::ALL.len()];
            for (nth, held) in counts.iter_mut().enumerate() {
                *held = count(row.get(9 + nth)?);
            }
            let numbers = Numbers {
                paused: row.get(2)?,
                served: count(row.get(3)?),
                last: count(row.get(4)?),
                rate: RateState {
                    arrival: count(row.get(5)?),
                },
                rings: count(row.get(6)?),
                parked: count(row.get(7)?),
                bytes: count(row.get(8)?),
                retired: count(row.get(15)?),
                kept_bytes: count(row.get(16)?),
                counts,
            };
            let mut limits = read_limits(limits.as_deref())?;
            limits.max_payload = limits.max_payload.min(LARGEST);
            Ok(Self {
                row: row.get(0)?,
                name: name.into(),
                limits,
                as_read: numbers.clone(),
                now: numbers,
                rung: false,
                groups: HashMap::new(),
            })
        });
        line.optional()
    }

    /// Writes back what has changed. Tells the count of rings if it was rung for.
    pub(super) fn flush(&mut self, db: &Connection) -> rusqlite::Result<Option<u64>> {
        self.flush_groups(db)?;
        if self.rung {
            self.now.rings += 1;
        }
        if self.now != self.as_read {
            let now = &self.now;
            let [waiting, delayed, running, completed, failed, cancelled] = now.counts.map(number);
            db.prepare_cached(
                "UPDATE queue SET paused = ?2, served = ?3, last = ?4, arrival = ?5, rings = ?6,
                    parked = ?7, bytes = ?8, waiting = ?9, delayed = ?10, running = ?11,
                    completed = ?12, failed = ?13, cancelled = ?14, retired = ?15,
                    kept_bytes = ?16
                 WHERE number = ?1",
            )?
            .execute(params![
                self.row,
                now.paused,
                number(now.served),
                number(now.last),
                number(now.rate.arrival),
                number(now.rings),
                number(now.parked),
                number(now.bytes),
                waiting,
                delayed,
                running,
                completed,
                failed,
                cancelled,
                number(now.retired),
                number(now.kept_bytes)
            ])?;
        }
        Ok(self.rung.then_some(self.now.rings))
    }

    /// Sets the limits, here and in the file.
    pub(super) fn limit(&mut self, db: &Connection, limits: QueueLimits) -> rusqlite::Result<()> {
        let text = serde_json::to_string(&limits).map_err(unreadable)?;
        db.prepare_cached("UPDATE queue SET limits = ?2 WHERE number = ?1")?
            .execute(params![self.row, text])?;
        self.limits = limits;
        Ok(())
    }

    /// A job may be ready, or ready sooner than was thought.
    pub(super) fn ring(&mut self) {
        self.rung = true;
    }

    /// How often it was rung for, before this transaction.
    pub(super) fn rings(&self) -> u64 {
        self.now.rings
    }

    /// How many jobs are in a state.
    pub(super) fn count(&self, state: JobState) -> u64 {
        self.now.counts[state as usize]
    }

    /// A job is in a state now.
    pub(super) fn enter(&mut self, state: JobState) {
        self.now.counts[state as usize] += 1;
    }

    /// A job is in a state no more.
    pub(super) fn quit(&mut self, state: JobState) {
        let held = &mut self.now.counts[state as usize];
        *held = held.saturating_sub(1);
    }

    /// Whether a job stands in the line.
    pub(super) fn has_ready(&self) -> bool {
        self.count(JobState::Waiting) > self.now.parked
    }

    /// A tag for a job that begins to wait.
    pub(super) fn tag(&mut self, db: &Connection, group: Option<&str>) -> rusqlite::Result<u64> {
        let served = self.now.served;
        let last = match group {
            None => &mut self.now.last,
            Some(name) => &mut self.group(db, name)?.last,
        };
        *last = (*last).max(served) + 1;
        Ok(*last)
    }

    /// Whether another job of the group may run.
    pub(super) fn may_run(
        &mut self,
        db: &Connection,
        group: Option<&str>,
    ) -> rusqlite::Result<bool> {
        let (Some(name), Some(limit)) = (group, self.limits.group_concurrency) else {
            return Ok(true);
        };
        Ok(self.group(db, name)?.running < u64::from(limit))
    }

    /// A job runs.
    pub(super) fn serve(
        &mut self,
        db: &Connection,
        tag: u64,
        group: Option<&str>,
    ) -> rusqlite::Result<()> {
        self.now.served = self.now.served.max(tag);
        if let Some(name) = group {
            self.group(db, name)?.running += 1;
        }
        Ok(())
    }

    /// A job of the group runs no more.
    pub(super) fn leave(&mut self, db: &Connection, group: &str) -> rusqlite::Result<()> {
        let group = self.group(db, group)?;
        group.running = group.running.saturating_sub(1);
        Ok(())
    }

    /// A job of the group waits aside.
    pub(super) fn park(&mut self, db: &Connection, group: &str) -> rusqlite::Result<()> {
        self.now.parked += 1;
        self.group(db, group)?.parked += 1;
        Ok(())
    }

    /// A job of the group waits aside no more.
    pub(super) fn unpark(&mut self, db: &Connection, group: &str) -> rusqlite::Result<()> {
        self.now.parked = self.now.parked.saturating_sub(1);
        let group = self.group(db, group)?;
        group.parked = group.parked.saturating_sub(1);
        Ok(())
    }

    /// Whether jobs of the group wait aside.
    pub(super) fn has_parked(&mut self, db: &Connection, group: &str) -> rusqlite::Result<bool> {
        Ok(self.now.parked > 0 && self.group(db, group)?.parked > 0)
    }

    /// No job of any group waits aside any more.
    pub(super) fn unpark_all(&mut self, db: &Connection) -> rusqlite::Result<()> {
        self.flush_groups(db)?;
        self.groups.clear();
        self.now.parked = 0;
        db.prepare_cached("UPDATE turn SET parked = 0 WHERE queue = ?1 AND parked > 0")?
            .execute([self.row])?;
        Ok(())
    }

    /// Drops groups that nobody needs. Tenants come and go.
    pub(super) fn forget_idle(&mut self, db: &Connection, most: usize) -> rusqlite::Result<()> {
        self.flush_groups(db)?;
        self.groups.clear();
        db.prepare_cached(
            "DELETE FROM turn WHERE queue = ?1 AND name IN (
                SELECT name FROM turn
                WHERE queue = ?1 AND running = 0 AND parked = 0 AND last <= ?2 LIMIT ?3)",
        )?
        .execute(params![
            self.row,
            number(self.now.served),
            number(most as u64)
        ])?;
        Ok(())
    }

    fn group(&mut self, db: &Connection, name: &str) -> rusqlite::Result<&mut Standing> {
        if !self.groups.contains_key(name) {
            let mut query = db.prepare_cached(
                "SELECT last, running, parked FROM turn WHERE queue = ?1 AND name = ?2",
            )?;
            let found = query.query_row(params![self.row, name], |row| {
                Ok(Standing {
                    last: count(row.get(0)?),
                    running: count(row.get(1)?),
                    parked: count(row.get(2)?),
                })
            });
            let as_read = found.optional()?;
            let now = as_read.unwrap_or_default();
            self.groups.insert(name.into(), Group { now, as_read });
        }
        Ok(&mut self.groups.entry(name.into()).or_default().now)
    }

    fn flush_groups(&mut self, db: &Connection) -> rusqlite::Result<()> {
        for (name, group) in &mut self.groups {
            let now = group.now;
            let idle = now.running == 0 && now.parked == 0 && now.last <= self.now.served;
            if idle && group.as_read.is_some() {
                db.prepare_cached("DELETE FROM turn WHERE queue = ?1 AND name = ?2")?
                    .execute(params![self.row, name])?;
                group.as_read = None;
            } else if !idle && group.as_read != Some(now) {
                db.prepare_cached(
                    "INSERT INTO turn (queue, name, last, running, parked)
                     VALUES (?1, ?2, ?3, ?4, ?5)
                     ON CONFLICT DO UPDATE SET last = ?3, running = ?4, parked = ?5",
                )?
                .execute(params![
                    self.row,
                    name,
                    number(now.last),
                    number(now.running),
                    number(now.parked)
                ])?;
                group.as_read = Some(now);
            }
        }
        Ok(())
    }
}

/// Limits as a column holds them.
pub(super) fn read_limits(text: Option<&str>) -> rusqlite::Result<QueueLimits> {
    text.map_or(Ok(QueueLimits::default()), |text| {
        serde_json::from_str(text).map_err(unreadable)
    })
}
