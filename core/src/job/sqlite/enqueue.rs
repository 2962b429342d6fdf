//! Jobs are taken in, and get their place in the line.

use rusqlite::{OptionalExtension, params};

use super::row::Kept;
use super::session::Turn;
use super::trouble::{count, number, unreadable};
use crate::clock::EpochMillis;
use crate::job::{Enqueued, JobError, JobId, JobSpec, JobState, JobStatus, What, webhook};

impl Turn<'_> {
    /// Takes a job in that has been checked.
    pub(super) fn enqueue(&mut self, mut spec: JobSpec) -> rusqlite::Result<Enqueued> {
        let now = self.news.now;
        let size = spec.payload.len() as u64;
        if let Some(refusal) = self.refusal(&spec, size) {
            return Ok(Enqueued::Refused(refusal));
        }
        let due = spec.due(now);
        (spec.delay_ms, spec.run_at) = (None, None);
        let id = match spec.id.take() {
            Some(id) if self.has(&id)? => return Ok(Enqueued::Duplicate(id)),
            Some(id) => id,
            None => JobId::new(),
        };
        if let Some(key) = &spec.unique_key {
            if let Some(holder) = self.holder(key)? {
                return Ok(Enqueued::Duplicate(holder));
            }
            let until = now.saturating_add(spec.unique_for_ms.unwrap_or(0));
            self.hold_key(key, &id, until)?;
        }
        spec.queue = std::sync::Arc::clone(&self.line.name);
        self.take_in(id, spec, due).map(Enqueued::Added)
    }

    /// One with a webhook has ended: another job is to tell.
    pub(super) fn deliver(&mut self, ended: &Kept) -> rusqlite::Result<()> {
        let Some(delivery) = webhook::delivery(&ended.id, &ended.spec, &ended.status) else {
            return Ok(());
        };
        for name in webhook::names(&ended.id, &ended.status) {
            if !self.has(&name)? {
                return self.take_in(name, delivery, None).map(drop);
            }
        }
        Ok(())
    }

    fn take_in(
        &mut self,
        id: JobId,
        spec: JobSpec,
        due: Option<EpochMillis>,
    ) -> rusqlite::Result<JobId> {
        let size = spec.payload.len() as u64;
        let status = JobStatus::taken_in(self.news.now, due);
        self.line.now.bytes += size;
        self.line.enter(status.state);
        let mut kept = Kept {
            number: 0,
            id,
            spec,
            status,
            size,
            tag: 0,
            parked: false,
            until: 0,
            kept: 0,
        };
        if due.is_none() {
            self.line_up(&mut kept)?;
        } else {
            self.tell(Some(&kept.id), What::Delayed);
            self.line.ring();
        }
        kept.insert(self.db, self.line.row)?;
        Ok(kept.id)
    }

    /// Gives a job that begins to wait its place; it is to be written behind it.
    pub(super) fn line_up(&mut self, kept: &mut Kept) -> rusqlite::Result<()> {
        kept.tag = self.line.tag(self.db, kept.spec.group.as_deref())?;
        kept.parked = false;
        self.tell(Some(&kept.id), What::Waiting);
        self.line.ring();
        Ok(())
    }

    /// The unique key is a job's from now on.
    pub(super) fn hold_key(&mut self, key: &str, id: &JobId, until: u64) -> rusqlite::Result<()> {
        self.db
            .prepare_cached(
                "INSERT OR REPLACE INTO held_key (queue, key, id, until, live)
                 VALUES (?1, ?2, ?3, ?4, 1)",
            )?
            .execute(params![self.line.row, key, id.as_str(), number(until)])?;
        Ok(())
    }

    /// The unique key is again that of a job that had it, for the time that it had left.
    pub(super) fn hold_key_again(&mut self, key: &str, id: &JobId) -> rusqlite::Result<()> {
        self.db
            .prepare_cached(
                "INSERT INTO held_key (queue, key, id, until, live) VALUES (?1, ?2, ?3, 0, 1)
                 ON CONFLICT DO UPDATE SET
                    live = 1, until = iif(id = ?3, until, 0), id = ?3",
            )?
            .execute(params![self.line.row, key, id.as_str()])?;
        Ok(())
    }

    fn has(&self, id: &JobId) -> rusqlite::Result<bool> {
        self.db
            .prepare_cached("SELECT 1 FROM job WHERE id = ?1 AND queue = ?2")?
            .exists(params![id.as_str(), self.line.row])
    }

    /// The job that has the unique key by now.
    pub(super) fn holder(&self, key: &str) -> rusqlite::Result<Option<JobId>> {
        let held: Option<(String, i64, bool)> = self
            .db
            .prepare_cached("SELECT id, until, live FROM held_key WHERE queue = ?1 AND key = ?2")?
            .query_row(params![self.line.row, key], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })
            .optional()?;
        held.filter(|(_, until, live)| *live || count(*until) > self.news.now)
            .map(|(id, ..)| JobId::from_text(id).map_err(unreadable))
            .transpose()
    }

    fn refusal(&self, spec: &JobSpec, size: u64) -> Option<JobError> {
        let limits = &self.line.limits;
        if size > limits.max_payload {
            return Some(JobError::TooLarge {
                what: "payload",
                bytes: spec.payload.len(),
                limit: usize::try_from(limits.max_payload).unwrap_or(usize::MAX),
            });
        }
        (self.line.now.bytes + size > limits.max_bytes).then(|| JobError::QueueFull {
            queue: self.line.name.to_string(),
            limit: limits.max_bytes,
        })
    }

    /// Promotes at most so many jobs whose time has come.
    pub(super) fn promote_due(&mut self, most: usize) -> rusqlite::Result<usize> {
        let now = number(self.news.now);
        let due = self.select(
            "WHERE queue = ?1 AND state = 1 AND run_at <= ?2 ORDER BY run_at, number LIMIT ?3",
            params![self.line.row, now, number(most as u64)],
        )?;
        let moved = due.len();
        for mut kept in due {
            self.line.quit(JobState::Delayed);
            self.line.enter(JobState::Waiting);
            kept.status.state = JobState::Waiting;
            self.line_up(&mut kept)?;
            kept.save(self.db)?;
        }
        Ok(moved)
    }
}
