//! A job is moved by a rule, and its row and its queue's numbers follow.

use rusqlite::{Params, params};

use super::row::{Kept, select};
use super::session::Turn;
use super::trouble::number;
use crate::job::{JobError, JobId, JobSpec, JobState, JobStatus, Payload, What, rules};

impl Turn<'_> {
    /// Jobs of this queue, without payloads and results.
    pub(super) fn select(&self, which: &str, with: impl Params) -> rusqlite::Result<Vec<Kept>> {
        let mut query = self.db.prepare_cached(&select(which))?;
        let name = &self.line.name;
        query
            .query_map(with, |row| Kept::read(row, name))?
            .collect()
    }

    pub(super) fn find(&self, id: &JobId) -> rusqlite::Result<Option<Kept>> {
        Kept::find(self.db, self.line.row, &self.line.name, id)
    }

    /// Applies a rule and writes the job back, or drops it if it is not kept.
    pub(super) fn change(
        &mut self,
        kept: &mut Kept,
        rule: impl FnOnce(&mut JobStatus, &JobSpec),
    ) -> rusqlite::Result<JobState> {
        self.line.quit(kept.status.state);
        rule(&mut kept.status, &kept.spec);
        let state = kept.status.state;
        self.line.enter(state);
        let what = match state {
            JobState::Running => What::Running,
            JobState::Waiting => What::Waiting,
            JobState::Delayed => What::Delayed,
            JobState::Completed => What::Completed,
            JobState::Failed => What::Failed,
            JobState::Cancelled => What::Cancelled,
        };
        self.tell(Some(&kept.id), what);
        if state.is_finished() {
            self.end(kept)?;
        } else {
            if state != JobState::Running {
                self.line.ring();
            }
            kept.save(self.db)?;
        }
        Ok(state)
    }

    /// Calls a job off.
    pub(super) fn cancel(&mut self, id: &JobId) -> rusqlite::Result<Option<JobState>> {
        let Some(mut kept) = self.find(id)? else {
            return Ok(None);
        };
        let now = self.news.now;
        Ok(Some(match kept.status.state {
            JobState::Running => {
                self.db
                    .prepare_cached("UPDATE job SET cancel_requested = 1 WHERE number = ?1")?
                    .execute([kept.number])?;
                self.tell(Some(id), What::CancelRequested);
                JobState::Running
            }
            JobState::Waiting | JobState::Delayed => {
                self.step_out(&mut kept)?;
                self.change(&mut kept, |status, _| rules::cancel(status, now))?
            }
            ended => ended,
        }))
    }

    /// Removes a job, whatever its state. Tells whether it was there.
    pub(super) fn delete(&mut self, id: &JobId) -> rusqlite::Result<Option<bool>> {
        let Some(mut kept) = self.find(id)? else {
            return Ok(None);
        };
        match kept.status.state {
            JobState::Running => self.stop_running(&kept)?,
            JobState::Waiting | JobState::Delayed => self.step_out(&mut kept)?,
            _ => {}
        }
        self.remove(&kept)?;
        self.tell(Some(id), What::Deleted);
        if !kept.status.state.is_finished() {
            self.tell_if_drained();
        }
        Ok(Some(true))
    }

    /// Lets a job that has ended wait again.
    pub(super) fn revive(&mut self, id: &JobId) -> rusqlite::Result<Option<Result<(), JobError>>> {
        let Some(mut kept) = self.find(id)? else {
            return Ok(None);
        };
        let state = kept.status.state;
        if !state.is_finished() {
            let (id, verb) = (id.clone(), "retried");
            return Ok(Some(Err(JobError::IllegalMove { id, state, verb })));
        }
        let now = self.news.now;
        if let Some(key) = &kept.spec.unique_key {
            let holder = self.holder(key)?;
            if holder.as_ref().is_some_and(|holder| holder != id) {
                let (id, verb) = (id.clone(), rules::KEY_IS_HELD);
                return Ok(Some(Err(JobError::IllegalMove { id, state, verb })));
            }
            self.hold_key_again(key, id)?;
        }
        self.line.now.bytes += kept.size;
        self.line.now.kept_bytes = self.line.now.kept_bytes.saturating_sub(kept.kept);
        kept.kept = 0;
        self.line.quit(state);
        self.line.enter(JobState::Waiting);
        rules::revive(&mut kept.status, now);
        kept.until = 0;
        self.line_up(&mut kept)?;
        kept.save(self.db)?;
        Ok(Some(Ok(())))
    }

    /// A running job is one no more: its group has room for another.
    pub(super) fn stop_running(&mut self, kept: &Kept) -> rusqlite::Result<()> {
        // Someone else may have waited for a slot of the queue.
        if self.line.limits.concurrency.is_some() && self.line.has_ready() {
            self.line.ring();
        }
        let Some(group) = kept.spec.group.as_deref() else {
            return Ok(());
        };
        self.line.leave(self.db, group)?;
        self.unpark_one(group)
    }

    /// A job that waits leaves the line. Another of its group that waits aside may have to
    /// take its place there: nobody else would call it back.
    pub(super) fn step_out(&mut self, kept: &mut Kept) -> rusqlite::Result<()> {
        let Some(group) = kept.spec.group.as_deref() else {
            return Ok(());
        };
        if kept.parked {
            kept.parked = false;
            return self.line.unpark(self.db, group);
        }
        if kept.status.state == JobState::Waiting && self.line.may_run(self.db, Some(group))? {
            self.unpark_one(group)?;
        }
        Ok(())
    }

    /// Removes a job from the file and the counts.
    pub(super) fn remove(&mut self, kept: &Kept) -> rusqlite::Result<()> {
        self.line.quit(kept.status.state);
        self.line.now.retired = self.line.now.retired.max(kept.status.epoch);
        if !kept.status.state.is_finished() {
            self.line.now.bytes = self.line.now.bytes.saturating_sub(kept.size);
            if let Some(key) = &kept.spec.unique_key {
                self.db
                    .prepare_cached(
                        "DELETE FROM held_key WHERE queue = ?1 AND key = ?2 AND id = ?3",
                    )?
                    .execute(params![self.line.row, key, kept.id.as_str()])?;
            }
        }
        self.line.now.kept_bytes = self.line.now.kept_bytes.saturating_sub(kept.kept);
        kept.remove(self.db)
    }

    fn end(&mut self, kept: &mut Kept) -> rusqlite::Result<()> {
        self.line.now.bytes = self.line.now.bytes.saturating_sub(kept.size);
        self.release_key(kept)?;
        self.deliver(kept)?;
        let failed_ttl = self.line.limits.failed_ttl_ms;
        let kept_for = rules::kept_for(kept.status.state, &kept.spec, failed_ttl);
        if kept_for == 0 {
            self.remove(kept)?;
        } else {
            kept.until = self.news.now.saturating_add(kept_for);
            let result = kept.status.result.as_ref().map_or(0, Payload::len);
            kept.kept = kept.size + result as u64;
            self.line.now.kept_bytes += kept.kept;
            kept.save(self.db)?;
        }
        self.tell_if_drained();
        Ok(())
    }

    // A key that is held for a time is held even if its job has ended.
    fn release_key(&self, kept: &Kept) -> rusqlite::Result<()> {
        let Some(key) = &kept.spec.unique_key else {
            return Ok(());
        };
        let (queue, id) = (self.line.row, kept.id.as_str());
        self.db
            .prepare_cached(
                "UPDATE held_key SET live = 0 WHERE queue = ?1 AND key = ?2 AND id = ?3",
            )?
            .execute(params![queue, key, id])?;
        self.db
            .prepare_cached(
                "DELETE FROM held_key
                 WHERE queue = ?1 AND key = ?2 AND id = ?3 AND until <= ?4",
            )?
            .execute(params![queue, key, id, number(self.news.now)])?;
        Ok(())
    }

    fn unpark_one(&mut self, group: &str) -> rusqlite::Result<()> {
        if !self.line.has_parked(self.db, group)? {
            return Ok(());
        }
        let found = self
            .db
            .prepare_cached(
                "UPDATE job SET parked = 0 WHERE number = (
                    SELECT number FROM job
                    WHERE queue = ?1 AND team = ?2 AND state = 0 AND parked = 1
                    ORDER BY rank, tag, number LIMIT 1)",
            )?
            .execute(params![self.line.row, group])?;
        if found > 0 {
            self.line.unpark(self.db, group)?;
            self.line.ring();
        }
        Ok(())
    }

    fn tell_if_drained(&mut self) {
        if self.line.count(JobState::Waiting) == 0 && self.line.count(JobState::Running) == 0 {
            self.tell(None, What::Drained);
        }
    }
}
