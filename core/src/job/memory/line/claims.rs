//! Who has a job, and for how long.

use super::*;

impl Line {
    /// Brings the queue up to date, and claims.
    pub(in crate::job::memory) fn claim(&mut self, claim: &Claim, news: &mut News) -> Vec<Claimed> {
        let now = news.now;
        self.tidy(usize::MAX, news);
        if self.paused || claim.max == 0 {
            return Vec::new();
        }
        let mut room = claim.max as u64;
        if let Some(limit) = self.limits.concurrency {
            room = room.min(u64::from(limit).saturating_sub(self.count(JobState::Running)));
        }
        if let Some(rate) = self.limits.rate {
            room = room.min(self.rate.room(rate, now.saturating_mul(1000)).0);
        }
        let until = now.saturating_add(term(claim.lease));
        let mut claimed = Vec::new();
        while (claimed.len() as u64) < room {
            let Some((place, slot)) = self.ready.pop_first() else {
                break;
            };
            let entry = &mut self.slots[slot];
            let group = entry.job.spec.group.as_deref();
            if let Some(name) = group
                && !self.turns.may_run(group, self.limits.group_concurrency)
            {
                self.turns.park(place, name, slot);
                continue;
            }
            self.turns.serve(place, group);
            entry.until = until;
            self.leases.insert((until, slot));
            let retired = self.retired;
            self.change(slot, news, |status, _| {
                rules::claim(status, &claim.worker, retired, now);
            });
            claimed.push(self.slots[slot].claimed(&self.name));
        }
        if let Some(rate) = self.limits.rate {
            self.rate = self
                .rate
                .taken(rate, now.saturating_mul(1000), claimed.len() as u64);
        }
        // One that was woken wakes the next.
        if !self.ready.is_empty() && !claimed.is_empty() {
            news.ring();
        }
        claimed
    }

    pub(in crate::job::memory) fn renew(
        &mut self,
        lease: &Lease,
        until: EpochMillis,
    ) -> Option<bool> {
        let slot = self.held(lease).ok()?;
        let entry = &mut self.slots[slot];
        self.leases.remove(&(entry.until, slot));
        entry.until = until;
        self.leases.insert((until, slot));
        Some(entry.job.status.cancel_requested)
    }

    pub(super) fn stop_running(&mut self, slot: usize, news: &mut News) {
        let entry = &self.slots[slot];
        self.leases.remove(&(entry.until, slot));
        if let Some((place, slot)) = self.turns.leave(entry.job.spec.group.as_deref()) {
            self.ready.insert(place, slot);
            news.ring();
        }
        // Someone else may have waited for that.
        if self.limits.concurrency.is_some() && !self.ready.is_empty() {
            news.ring();
        }
    }

    pub(super) fn step_out(&mut self, slot: usize, news: &mut News) {
        let entry = &self.slots[slot];
        let spec = Arc::clone(&entry.job.spec);
        if entry.job.status.state == JobState::Delayed {
            self.delayed
                .remove(&(entry.job.status.run_at, entry.sequence));
        } else if self.ready.remove(&entry.place).is_some() {
            self.call_back(spec.group.as_deref(), news);
        } else {
            self.turns.unpark(entry.place, spec.group.as_deref());
        }
    }

    pub(super) fn call_back(&mut self, group: Option<&str>, news: &mut News) {
        let limit = self.limits.group_concurrency;
        if let Some((place, slot)) = self.turns.call_back(group, limit) {
            self.ready.insert(place, slot);
            news.ring();
        }
    }
}

impl Entry {
    fn claimed(&self, queue: &Arc<str>) -> Claimed {
        let status = &self.job.status;
        Claimed {
            lease: Lease {
                queue: Arc::clone(queue),
                id: self.job.id.clone(),
                epoch: status.epoch,
            },
            spec: Arc::clone(&self.job.spec),
            attempt: status.attempt,
            stalls: status.stalls,
            created_at: status.created_at,
            run_at: status.run_at,
        }
    }
}
