//! What time does to a line: promotes, takes back, drops.

use super::*;

impl Line {
    /// In how many milliseconds it is worth asking again.
    pub(in crate::job::memory) fn again_in(&self, news: &News) -> Option<u64> {
        let (now, jumped) = (news.now, news.now - news.lapse);
        let due = self.delayed.first_key_value().map(|((due, _), _)| *due);
        let stalls = self
            .leases
            .first()
            .map(|(until, _)| until.saturating_add(jumped + 1));
        let full = self
            .limits
            .concurrency
            .is_some_and(|limit| self.count(JobState::Running) >= u64::from(limit));
        let held = self.paused || full || self.ready.is_empty();
        let rated = self.limits.rate.filter(|_| !held);
        let rate = rated.map(|rate| {
            let wait = self.rate.room(rate, now.saturating_mul(1000)).1;
            now.saturating_add(wait.div_ceil(1000))
        });
        let soonest = [due, stalls, rate].into_iter().flatten().min()?;
        Some(soonest.saturating_sub(now))
    }

    /// Brings the queue up to date, and forgets groups without jobs.
    pub(in crate::job::memory) fn sweep(&mut self, most: usize, news: &mut News) -> usize {
        let moved = self.tidy(most, news);
        self.turns.forget_idle();
        moved
    }

    /// Promotes, takes back and drops at most so many jobs of each sort.
    pub(super) fn tidy(&mut self, most: usize, news: &mut News) -> usize {
        let mut moved = self.promote_due(most, news);
        let now = news.now;
        while moved < most
            && let Some((until, slot)) = self.leases.first().copied()
            && until < news.lapse
        {
            moved += 1;
            self.stop_running(slot, news);
            crate::job::metrics::stalled(&self.name, 1);
            news.tell(&self.name, Some(&self.slots[slot].job.id), What::Stalled);
            self.change(slot, news, |status, spec| rules::stall(status, spec, now));
        }
        while moved < most
            && let Some((deadline, slot)) = self.deadlines.first().copied()
            && deadline < now
        {
            moved += 1;
            self.step_out(slot, news);
            self.change(slot, news, |status, _| rules::expire(status, now));
        }
        self.forget_keys(now);
        let keep = (self.limits.keep_failed, self.limits.keep_finished);
        while let Some((until, slot)) = self.failed.first().copied()
            && (until <= now || self.failed.len() > keep.0 as usize)
        {
            moved += 1;
            self.drop_entry(slot);
        }
        while let Some((until, slot)) = self.finished.first().copied()
            && (until <= now || self.finished.len() > keep.1 as usize)
        {
            moved += 1;
            self.drop_entry(slot);
        }
        while self.kept_bytes > self.limits.keep_bytes
            && let Some((_, slot)) = self.finished.first().or(self.failed.first()).copied()
        {
            moved += 1;
            self.drop_entry(slot);
        }
        moved
    }

    /// Drops keys that were held for a time, and that no later job has.
    fn forget_keys(&mut self, now: EpochMillis) {
        while let Some((until, key)) = self.windows.pop_first() {
            if until > now {
                self.windows.insert((until, key));
                return;
            }
            let past = |held: &Unique| !held.live && held.until <= now;
            if self.unique.get(&key).is_some_and(past) {
                self.unique.remove(&key);
            }
        }
    }

    pub(in crate::job::memory) fn promote_due(&mut self, most: usize, news: &mut News) -> usize {
        let mut moved = 0;
        while moved < most
            && let Some((&(due, sequence), &slot)) = self.delayed.first_key_value()
            && due <= news.now
        {
            moved += 1;
            self.delayed.remove(&(due, sequence));
            self.counts[JobState::Delayed as usize] -= 1;
            self.counts[JobState::Waiting as usize] += 1;
            self.slots[slot].job.status.state = JobState::Waiting;
            self.line_up(slot, news);
        }
        moved
    }
}
