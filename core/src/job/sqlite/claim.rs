//! Jobs are handed to workers, in their turn.

use std::time::Duration;

use rusqlite::{OptionalExtension, params};

use super::row::{Kept, select_whole};
use super::session::Turn;
use super::trouble::{count, number};
use crate::clock::term;
use crate::job::{Claim, Claimed, Exchange, Exchanged, JobState, rules};

/// Jobs of each sort that a claim promotes, takes back or drops.
const TIDY_STEP: usize = 100;
/// Jobs that a claim passes over because they are too late or their group has all it may.
const PASS_STEP: usize = 1_000;
/// Jobs that are read at once.
const READ_STEP: u64 = 256;

impl Turn<'_> {
    /// Records ends of attempts, and claims.
    pub(super) fn exchange(&mut self, exchange: Exchange) -> rusqlite::Result<Exchanged> {
        let settled = exchange
            .settle
            .into_iter()
            .map(|one| self.settle(one))
            .collect::<rusqlite::Result<_>>()?;
        let (claimed, more) = self.claim(&exchange.claim)?;
        let again_in = if more { Some(0) } else { self.again_in()? };
        Ok(Exchanged {
            settled,
            claimed,
            again_in: again_in.map(Duration::from_millis),
        })
    }

    /// Brings the queue up to date, and claims. Tells too whether it left off before the end.
    fn claim(&mut self, claim: &Claim) -> rusqlite::Result<(Vec<Claimed>, bool)> {
        self.tidy(TIDY_STEP.max(claim.max))?;
        let mut claimed = Vec::new();
        if self.line.now.paused || claim.max == 0 {
            return Ok((claimed, false));
        }
        let now = self.news.now;
        let mut room = claim.max as u64;
        if let Some(limit) = self.line.limits.concurrency {
            room = room.min(u64::from(limit).saturating_sub(self.line.count(JobState::Running)));
        }
        if let Some(rate) = self.line.limits.rate {
            room = room.min(self.line.now.rate.room(rate, now.saturating_mul(1000)).0);
        }
        let until = now.saturating_add(term(claim.lease));
        let mut passed = 0;
        while (claimed.len() as u64) < room && passed < PASS_STEP && self.line.has_ready() {
            let head = self.head((room - claimed.len() as u64).min(READ_STEP))?;
            if head.is_empty() {
                break;
            }
            for mut kept in head {
                let aside = self.line.now.parked;
                if self.pass_over(&mut kept)? {
                    passed += 1;
                    let delivered = kept.status.state.is_finished() && kept.spec.webhook.is_some();
                    if self.line.now.parked < aside || delivered {
                        // One has come that may stand before the rest of these.
                        break;
                    }
                    continue;
                }
                self.line
                    .serve(self.db, kept.tag, kept.spec.group.as_deref())?;
                kept.until = until;
                let retired = self.line.now.retired;
                self.change(&mut kept, |status, _| {
                    rules::claim(status, &claim.worker, retired, now);
                })?;
                claimed.push(kept.claimed());
            }
        }
        if let Some(rate) = self.line.limits.rate {
            let begun = claimed.len() as u64;
            self.line.now.rate = self
                .line
                .now
                .rate
                .taken(rate, now.saturating_mul(1000), begun);
        }
        // One that was woken wakes the next.
        if self.line.has_ready() && !claimed.is_empty() {
            self.line.ring();
        }
        Ok((claimed, passed >= PASS_STEP))
    }

    /// In how many milliseconds it is worth asking again.
    fn again_in(&self) -> rusqlite::Result<Option<u64>> {
        let now = self.news.now;
        let first = |sql| {
            let mut query = self.db.prepare_cached(sql)?;
            let found: Option<i64> = query
                .query_row([self.line.row], |row| row.get(0))
                .optional()?;
            Ok::<_, rusqlite::Error>(found.map(count))
        };
        let mut soonest = None;
        if self.line.count(JobState::Delayed) > 0 {
            soonest = first(
                "SELECT run_at FROM job WHERE queue = ?1 AND state = 1 ORDER BY run_at LIMIT 1",
            )?;
        }
        if self.line.count(JobState::Running) > 0 {
            let stall = first(
                "SELECT until FROM job WHERE queue = ?1 AND state = 2 ORDER BY until LIMIT 1",
            )?;
            let jumped = now - self.news.lapse;
            let stall = stall.map(|until| until.saturating_add(jumped + 1));
            soonest = soonest.into_iter().chain(stall).min();
        }
        let full = self
            .line
            .limits
            .concurrency
            .is_some_and(|limit| self.line.count(JobState::Running) >= u64::from(limit));
        let held = self.line.now.paused || full || !self.line.has_ready();
        if let Some(rate) = self.line.limits.rate.filter(|_| !held) {
            let wait = self.line.now.rate.room(rate, now.saturating_mul(1000)).1;
            let next = now.saturating_add(wait.div_ceil(1000));
            soonest = soonest.into_iter().chain([next]).min();
        }
        Ok(soonest.map(|at| at.saturating_sub(now)))
    }

    /// The first jobs of the line, with their payloads.
    fn head(&self, most: u64) -> rusqlite::Result<Vec<Kept>> {
        let mut query = self.db.prepare_cached(&select_whole(
            "WHERE queue = ?1 AND state = 0 AND parked = 0 ORDER BY rank, tag, number LIMIT ?2",
        ))?;
        let name = &self.line.name;
        query
            .query_map(params![self.line.row, number(most)], |row| {
                Kept::read_with_payload(row, name)
            })?
            .collect()
    }

    /// A job that is too late fails, one whose group has all it may waits aside.
    fn pass_over(&mut self, kept: &mut Kept) -> rusqlite::Result<bool> {
        let now = self.news.now;
        if kept.spec.deadline.is_some_and(|deadline| deadline < now) {
            self.step_out(kept)?;
            self.change(kept, |status, _| rules::expire(status, now))?;
            return Ok(true);
        }
        let Some(group) = kept.spec.group.as_deref() else {
            return Ok(false);
        };
        if self.line.may_run(self.db, Some(group))? {
            return Ok(false);
        }
        self.line.park(self.db, group)?;
        self.db
            .prepare_cached("UPDATE job SET parked = 1 WHERE number = ?1")?
            .execute([kept.number])?;
        Ok(true)
    }
}
