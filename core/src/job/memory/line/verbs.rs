//! What operators do with jobs of a line: call off, remove, try again, look at.

use super::*;

impl Line {
    /// A job, unless its time here is over.
    pub(in crate::job::memory) fn job(&self, id: &JobId, now: EpochMillis) -> Option<Job> {
        let entry = self.entry(id)?;
        entry.is_kept(now).then(|| entry.job.clone())
    }

    /// All jobs, each with a number that says which came first.
    pub(in crate::job::memory) fn jobs(
        &self,
        now: EpochMillis,
    ) -> impl Iterator<Item = (u64, Job)> {
        let entries = self.slots.iter().map(|(_, entry)| entry);
        entries
            .filter(move |entry| entry.is_kept(now))
            .map(|entry| (entry.sequence, entry.job.clone()))
    }

    pub(in crate::job::memory) fn cancel(
        &mut self,
        id: &JobId,
        news: &mut News,
    ) -> Option<JobState> {
        let slot = *self.ids.get(id)?;
        let now = news.now;
        let status = &mut self.slots[slot].job.status;
        match status.state {
            JobState::Running => {
                status.cancel_requested = true;
                news.tell(&self.name, Some(id), What::CancelRequested);
                Some(JobState::Running)
            }
            JobState::Waiting | JobState::Delayed => {
                self.step_out(slot, news);
                Some(self.change(slot, news, |status, _| rules::cancel(status, now)))
            }
            ended => Some(ended),
        }
    }

    pub(in crate::job::memory) fn delete(&mut self, id: &JobId, news: &mut News) -> bool {
        let Some(slot) = self.ids.get(id).copied() else {
            return false;
        };
        let state = self.slots[slot].job.status.state;
        match state {
            JobState::Running => self.stop_running(slot, news),
            JobState::Waiting | JobState::Delayed => self.step_out(slot, news),
            _ => {}
        }
        self.drop_entry(slot);
        news.tell(&self.name, Some(id), What::Deleted);
        if !state.is_finished() {
            self.tell_if_drained(news);
        }
        true
    }

    pub(in crate::job::memory) fn revive(
        &mut self,
        id: &JobId,
        news: &mut News,
    ) -> Option<Result<(), JobError>> {
        let slot = *self.ids.get(id)?;
        let now = news.now;
        let entry = &mut self.slots[slot];
        let state = entry.job.status.state;
        if !state.is_finished() {
            let verb = "retried";
            let id = id.clone();
            return Some(Err(JobError::IllegalMove { id, state, verb }));
        }
        let spec = Arc::clone(&entry.job.spec);
        if let Some(key) = &spec.unique_key {
            let held = self.unique.get(key);
            if held.is_some_and(|held| held.id != *id && (held.live || held.until > now)) {
                let (id, verb) = (id.clone(), rules::KEY_IS_HELD);
                return Some(Err(JobError::IllegalMove { id, state, verb }));
            }
            let unique = Unique {
                id: id.clone(),
                // Its time goes on, if there is some left.
                until: held
                    .filter(|held| held.id == *id)
                    .map_or(0, |held| held.until),
                live: true,
            };
            self.unique.insert(key.clone(), unique);
        }
        let goes = (entry.until, slot);
        self.failed.remove(&goes);
        self.finished.remove(&goes);
        self.kept_bytes -= entry.size();
        self.bytes += spec.payload.len() as u64;
        self.deadlines
            .extend(spec.deadline.map(|deadline| (deadline, slot)));
        self.counts[state as usize] -= 1;
        self.counts[JobState::Waiting as usize] += 1;
        rules::revive(&mut self.slots[slot].job.status, now);
        self.line_up(slot, news);
        Some(Ok(()))
    }

    /// Takes new limits; groups may have more room now.
    pub(in crate::job::memory) fn limit(&mut self, limits: QueueLimits, news: &mut News) {
        if limits.group_concurrency != self.limits.group_concurrency {
            self.ready.extend(self.turns.unpark_all());
        }
        self.limits = limits;
        news.ring();
    }

    pub(in crate::job::memory) fn purge(
        &mut self,
        states: &[JobState],
        before: EpochMillis,
    ) -> usize {
        let old = |entry: &Entry| {
            let status = &entry.job.status;
            states.contains(&status.state) && status.finished_at.is_some_and(|at| at <= before)
        };
        let slots: Vec<usize> = self
            .slots
            .iter()
            .filter(|(_, entry)| old(entry))
            .map(|(slot, _)| slot)
            .collect();
        for slot in &slots {
            self.drop_entry(*slot);
        }
        slots.len()
    }

    pub(in crate::job::memory) fn counts(&self, now: EpochMillis) -> QueueCounts {
        let oldest = self
            .ready
            .values()
            .next()
            .map(|slot| self.slots[*slot].job.status.run_at);
        QueueCounts {
            queue: self.name.to_string(),
            waiting: self.count(JobState::Waiting),
            delayed: self.count(JobState::Delayed),
            running: self.count(JobState::Running),
            completed: self.count(JobState::Completed),
            failed: self.count(JobState::Failed),
            cancelled: self.count(JobState::Cancelled),
            bytes: self.bytes,
            oldest_ms: oldest.map(|at| now.saturating_sub(at)),
            paused: self.paused,
        }
    }
}
