//! A queue is brought up to date, in bounded steps: what is due, what stalled, what goes.

use rusqlite::params;

use super::session::Turn;
use super::trouble::number;
use crate::clock::EpochMillis;
use crate::job::{JobState, QueueLimits, What, metrics, rules};

impl Turn<'_> {
    /// Promotes, takes back and drops at most so many jobs of each sort.
    pub(super) fn tidy(&mut self, most: usize) -> rusqlite::Result<usize> {
        let mut moved = 0;
        if self.line.count(JobState::Delayed) > 0 {
            moved += self.promote_due(most)?;
        }
        if self.line.count(JobState::Running) > 0 {
            moved += self.take_back(most)?;
        }
        moved += self.expire(most)?;
        let limits = &self.line.limits;
        let (failed, finished) = (
            u64::from(limits.keep_failed),
            u64::from(limits.keep_finished),
        );
        moved += self.drop_old("state = 4", &[JobState::Failed], failed, most)?;
        let ended = [JobState::Completed, JobState::Cancelled];
        moved += self.drop_old("state IN (3, 5)", &ended, finished, most)?;
        if self.line.now.kept_bytes > self.line.limits.keep_bytes {
            moved += self.drop_heavy("state IN (3, 5)", most)?;
            moved += self.drop_heavy("state = 4", most)?;
        }
        Ok(moved)
    }

    /// Those that wait behind their deadline fail, claimed or not.
    fn expire(&mut self, most: usize) -> rusqlite::Result<usize> {
        if self.line.count(JobState::Waiting) + self.line.count(JobState::Delayed) == 0 {
            return Ok(0);
        }
        let now = self.news.now;
        let late = self.select(
            "WHERE queue = ?1 AND state < 2 AND deadline < ?2 ORDER BY deadline LIMIT ?3",
            params![self.line.row, number(now), number(most as u64)],
        )?;
        let moved = late.len();
        for one in late {
            // The one before may have called it back to the line: it is read again.
            let Some(mut kept) = self.find(&one.id)? else {
                continue;
            };
            self.step_out(&mut kept)?;
            self.change(&mut kept, |status, _| rules::expire(status, now))?;
        }
        Ok(moved)
    }

    /// Drops what is kept for no job: keys whose time is over, groups without jobs.
    pub(super) fn forget(&mut self, most: usize) -> rusqlite::Result<()> {
        self.db
            .prepare_cached(
                "DELETE FROM held_key WHERE queue = ?1 AND key IN (
                    SELECT key FROM held_key
                    WHERE queue = ?1 AND live = 0 AND until <= ?2 LIMIT ?3)",
            )?
            .execute(params![
                self.line.row,
                number(self.news.now),
                number(most as u64)
            ])?;
        self.line.forget_idle(self.db, most)
    }

    /// Takes new limits; groups may have more room now.
    pub(super) fn limit(&mut self, limits: QueueLimits) -> rusqlite::Result<()> {
        if limits.group_concurrency != self.line.limits.group_concurrency
            && self.line.now.parked > 0
        {
            self.db
                .prepare_cached(
                    "UPDATE job SET parked = 0 WHERE queue = ?1 AND state = 0 AND parked = 1",
                )?
                .execute([self.line.row])?;
            self.line.unpark_all(self.db)?;
        }
        self.line.limit(self.db, limits)?;
        self.line.ring();
        Ok(())
    }

    /// Drops those of some jobs that still have ended by then.
    pub(super) fn purge(
        &mut self,
        numbers: &[i64],
        states: &[JobState],
        before: EpochMillis,
    ) -> rusqlite::Result<usize> {
        let mut dropped = 0;
        for one in numbers {
            let found = self.select("WHERE number = ?1 AND queue = ?2", [*one, self.line.row])?;
            for kept in found {
                let status = &kept.status;
                if states.contains(&status.state)
                    && status.finished_at.is_some_and(|at| at <= before)
                {
                    self.remove(&kept)?;
                    dropped += 1;
                }
            }
        }
        Ok(dropped)
    }

    fn take_back(&mut self, most: usize) -> rusqlite::Result<usize> {
        let now = self.news.now;
        let stalled = self.select(
            "WHERE queue = ?1 AND state = 2 AND until < ?2 ORDER BY until, number LIMIT ?3",
            params![self.line.row, number(self.news.lapse), number(most as u64)],
        )?;
        let moved = stalled.len();
        metrics::stalled(&self.line.name, moved as u64);
        for mut kept in stalled {
            self.stop_running(&kept)?;
            self.tell(Some(&kept.id), What::Stalled);
            self.change(&mut kept, |status, spec| rules::stall(status, spec, now))?;
        }
        Ok(moved)
    }

    /// Drops the first to go of those that have ended, until the rest may be kept.
    fn drop_heavy(&mut self, which: &str, most: usize) -> rusqlite::Result<usize> {
        let mut moved = 0;
        if self.line.now.kept_bytes > self.line.limits.keep_bytes {
            let first = self.select(
                &format!("WHERE queue = ?1 AND {which} ORDER BY until LIMIT ?2"),
                params![self.line.row, number(most as u64)],
            )?;
            for kept in &first {
                if self.line.now.kept_bytes <= self.line.limits.keep_bytes {
                    break;
                }
                self.remove(kept)?;
                moved += 1;
            }
        }
        Ok(moved)
    }

    /// Drops those whose time here is over, then the oldest of those that are too many.
    fn drop_old(
        &mut self,
        which: &str,
        states: &[JobState],
        keep: u64,
        most: usize,
    ) -> rusqlite::Result<usize> {
        let count = |turn: &Self| -> u64 { states.iter().map(|one| turn.line.count(*one)).sum() };
        if count(self) == 0 {
            return Ok(0);
        }
        let most = number(most as u64);
        let mut gone = self.select(
            &format!("WHERE queue = ?1 AND {which} AND until <= ?2 ORDER BY until LIMIT ?3"),
            params![self.line.row, number(self.news.now), most],
        )?;
        for kept in &gone {
            self.remove(kept)?;
        }
        let excess = number(count(self).saturating_sub(keep)).min(most);
        if excess > 0 {
            let oldest = self.select(
                &format!("WHERE queue = ?1 AND {which} ORDER BY until LIMIT ?2"),
                params![self.line.row, excess],
            )?;
            for kept in &oldest {
                self.remove(kept)?;
            }
            gone.extend(oldest);
        }
        Ok(gone.len())
    }
}
