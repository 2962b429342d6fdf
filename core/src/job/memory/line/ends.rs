//! What comes of an attempt, and of a job that has ended.

use super::*;

impl Line {
    pub(in crate::job::memory) fn settle_all(
        &mut self,
        settlements: Vec<Settlement>,
        news: &mut News,
    ) -> Vec<Result<JobState, JobError>> {
        // Looked up one right behind the other, many misses of the cache are one wait.
        let slots: Vec<Option<usize>> = settlements
            .iter()
            .map(|settlement| self.ids.get(&settlement.lease.id).copied())
            .collect();
        let settlements = settlements.into_iter().zip(slots);
        settlements
            .map(|(settlement, slot)| self.settle(settlement, slot, news))
            .collect()
    }

    /// `slot`: where the job was found. What one settlement moves another may find moved.
    fn settle(
        &mut self,
        settlement: Settlement,
        slot: Option<usize>,
        news: &mut News,
    ) -> Result<JobState, JobError> {
        let slot = self.held_at(slot, &settlement.lease)?;
        let now = news.now;
        let mut outcome = settlement.outcome;
        if let crate::job::Outcome::Complete { result } = &outcome
            && let Some(error) = crate::job::manager::too_large(result, self.limits.max_payload)
        {
            outcome = crate::job::Outcome::Fail { error };
        }
        let rest = matches!(outcome, crate::job::Outcome::Retry { .. });
        self.stop_running(slot, news);
        let state = self.change(slot, news, |status, spec| {
            rules::settle(status, spec, outcome, now);
        });
        if rest {
            self.promote_due(usize::MAX, news);
        }
        Ok(state)
    }

    pub(super) fn end(&mut self, slot: usize, news: &mut News) {
        let entry = &mut self.slots[slot];
        let state = entry.job.status.state;
        let what = match state {
            JobState::Completed => What::Completed,
            JobState::Failed => What::Failed,
            _ => What::Cancelled,
        };
        news.tell(&self.name, Some(&entry.job.id), what);
        self.bytes -= entry.job.spec.payload.len() as u64;
        let kept = rules::kept_for(state, &entry.job.spec, self.limits.failed_ttl_ms);
        entry.until = news.now.saturating_add(kept);
        if let Some(key) = &entry.job.spec.unique_key
            && let Some(held) = self.unique.get_mut(key)
            && held.id == entry.job.id
        {
            held.live = false;
            if held.until <= news.now {
                self.unique.remove(key);
            } else {
                self.windows.insert((held.until, key.clone()));
            }
        }
        let goes = (entry.until, slot);
        self.deliver(slot, news);
        if kept == 0 {
            self.drop_entry(slot);
            return self.tell_if_drained(news);
        }
        self.kept_bytes += self.slots[slot].size();
        if state == JobState::Failed {
            self.failed.insert(goes);
        } else {
            self.finished.insert(goes);
        }
        self.tell_if_drained(news);
    }

    /// One with a webhook has ended: another job is to tell.
    fn deliver(&mut self, slot: usize, news: &mut News) {
        let Job { id, spec, status } = &self.slots[slot].job;
        let Some(delivery) = webhook::delivery(id, spec, status) else {
            return;
        };
        let mut names = webhook::names(id, status);
        if let Some(name) = names.find(|name| !self.ids.contains_key(name)) {
            self.take_in(name, delivery, None, news);
        }
    }

    pub(super) fn drop_entry(&mut self, slot: usize) {
        let entry = self.slots.remove(slot);
        let status = &entry.job.status;
        self.counts[status.state as usize] -= 1;
        self.ids.remove(&entry.job.id);
        self.retired = self.retired.max(status.epoch);
        let goes = (entry.until, slot);
        if status.state.is_finished() {
            if self.failed.remove(&goes) || self.finished.remove(&goes) {
                self.kept_bytes -= entry.size();
            }
        } else {
            if let Some(deadline) = entry.job.spec.deadline {
                self.deadlines.remove(&(deadline, slot));
            }
            self.bytes -= entry.job.spec.payload.len() as u64;
            if let Some(key) = &entry.job.spec.unique_key
                && self
                    .unique
                    .get(key)
                    .is_some_and(|held| held.id == entry.job.id)
            {
                self.unique.remove(key);
            }
        }
    }

    pub(super) fn tell_if_drained(&self, news: &mut News) {
        if self.count(JobState::Waiting) == 0 && self.count(JobState::Running) == 0 {
            news.tell(&self.name, None, What::Drained);
        }
    }
}
