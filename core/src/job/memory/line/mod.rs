//! One queue and its jobs. Pure: time is handed in, news are handed out.

mod upkeep;
mod verbs;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use foldhash::fast::RandomState;
use slab::Slab;

use super::fair::{Place, Turns};
use super::news::News;
use crate::clock::{EpochMillis, millis};
use crate::job::{
    Claim, Claimed, Enqueued, Job, JobError, JobId, JobSpec, JobState, JobStatus, Lease, LogLine,
    QueueCounts, QueueLimits, RateState, Settlement, What, rules, webhook,
};

/// The most lines of a job's log that are kept.
const LOG_LIMIT: usize = 1_000;

#[derive(Debug)]
pub(in crate::job::memory) struct Line {
    pub(in crate::job::memory) name: Arc<str>,
    pub(in crate::job::memory) limits: QueueLimits,
    pub(in crate::job::memory) paused: bool,
    slots: Slab<Entry>,
    ids: HashMap<JobId, usize, RandomState>,
    ready: BTreeMap<Place, usize>,
    delayed: BTreeMap<(EpochMillis, u64), usize>,
    leases: BTreeSet<(EpochMillis, usize)>,
    /// Failed jobs, and others that have ended, by when they go.
    failed: BTreeSet<(EpochMillis, usize)>,
    finished: BTreeSet<(EpochMillis, usize)>,
    unique: HashMap<Box<str>, Unique>,
    turns: Turns,
    rate: RateState,
    sequence: u64,
    bytes: u64,
    counts: [u64; JobState::ALL.len()],
}

#[derive(Debug)]
pub(in crate::job::memory) struct Entry {
    pub(in crate::job::memory) job: Job,
    pub(in crate::job::memory) log: Vec<LogLine>,
    place: Place,
    sequence: u64,
    /// When its lease runs out, or, once it has ended, when it goes.
    until: EpochMillis,
}

#[derive(Debug)]
struct Unique {
    id: JobId,
    /// Held so long even if the job has ended.
    until: EpochMillis,
    live: bool,
}

impl Line {
    pub(in crate::job::memory) fn new(name: Arc<str>) -> Self {
        Self {
            name,
            limits: QueueLimits::default(),
            paused: false,
            slots: Slab::new(),
            ids: HashMap::default(),
            ready: BTreeMap::new(),
            delayed: BTreeMap::new(),
            leases: BTreeSet::new(),
            failed: BTreeSet::new(),
            finished: BTreeSet::new(),
            unique: HashMap::new(),
            turns: Turns::default(),
            rate: RateState::default(),
            sequence: 0,
            bytes: 0,
            counts: [0; JobState::ALL.len()],
        }
    }

    pub(in crate::job::memory) fn enqueue(
        &mut self,
        mut spec: JobSpec,
        news: &mut News,
    ) -> Enqueued {
        let now = news.now;
        let size = spec.payload.len() as u64;
        if let Some(refusal) = self.refusal(&spec, size) {
            return Enqueued::Refused(refusal);
        }
        let due = spec.due(now);
        (spec.delay_ms, spec.run_at) = (None, None);
        let id = spec.id.take().unwrap_or_default();
        if self.ids.contains_key(&id) {
            return Enqueued::Duplicate(id);
        }
        if let Some(key) = &spec.unique_key {
            if let Some(held) = self.unique.get(key)
                && (held.live || held.until > now)
            {
                return Enqueued::Duplicate(held.id.clone());
            }
            let unique = Unique {
                id: id.clone(),
                until: now.saturating_add(spec.unique_for_ms.unwrap_or(0)),
                live: true,
            };
            self.unique.insert(key.clone(), unique);
        }
        spec.queue = Arc::clone(&self.name);
        self.take_in(id.clone(), spec, due, news);
        Enqueued::Added(id)
    }

    fn take_in(&mut self, id: JobId, spec: JobSpec, due: Option<EpochMillis>, news: &mut News) {
        self.bytes += spec.payload.len() as u64;
        self.sequence += 1;
        let status = JobStatus::taken_in(news.now, due);
        self.counts[status.state as usize] += 1;
        let entry = Entry {
            place: Place::default(),
            sequence: self.sequence,
            until: 0,
            log: Vec::new(),
            job: Job {
                id: id.clone(),
                spec: Arc::new(spec),
                status,
            },
        };
        let slot = self.slots.insert(entry);
        self.ids.insert(id.clone(), slot);
        match due {
            Some(due) => {
                self.delayed.insert((due, self.sequence), slot);
                news.tell(&self.name, Some(&id), What::Delayed);
                news.ring();
            }
            None => self.line_up(slot, news),
        }
    }

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
            room = room.min(self.rate.room(rate, now * 1000).0);
        }
        let until = now.saturating_add(millis(claim.lease));
        let mut claimed = Vec::new();
        while (claimed.len() as u64) < room {
            let Some((place, slot)) = self.ready.pop_first() else {
                break;
            };
            let entry = &mut self.slots[slot];
            let spec = Arc::clone(&entry.job.spec);
            if spec.deadline.is_some_and(|deadline| deadline < now) {
                self.call_back(spec.group.as_deref(), news);
                self.change(slot, news, |status, _| rules::expire(status, now));
                continue;
            }
            let group = spec.group.as_deref();
            if let Some(name) = group
                && !self.turns.may_run(group, self.limits.group_concurrency)
            {
                self.turns.park(place, name, slot);
                continue;
            }
            self.turns.serve(place, group);
            entry.until = until;
            self.leases.insert((until, slot));
            self.change(slot, news, |status, _| {
                rules::claim(status, &claim.worker, now)
            });
            claimed.push(self.slots[slot].claimed(&self.name));
        }
        if let Some(rate) = self.limits.rate {
            self.rate = self.rate.taken(rate, now * 1000, claimed.len() as u64);
        }
        // One that was woken wakes the next.
        if !self.ready.is_empty() && !claimed.is_empty() {
            news.ring();
        }
        claimed
    }

    pub(in crate::job::memory) fn settle(
        &mut self,
        settlement: Settlement,
        news: &mut News,
    ) -> Result<JobState, JobError> {
        let slot = self.held(&settlement.lease)?;
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

    /// The entry of an attempt that is the present one.
    pub(in crate::job::memory) fn attempt(
        &mut self,
        lease: &Lease,
    ) -> Result<&mut Entry, JobError> {
        let slot = self.held(lease)?;
        Ok(&mut self.slots[slot])
    }

    pub(in crate::job::memory) fn entry(&self, id: &JobId) -> Option<&Entry> {
        self.ids.get(id).map(|slot| &self.slots[*slot])
    }

    fn refusal(&self, spec: &JobSpec, size: u64) -> Option<JobError> {
        if size > self.limits.max_payload {
            return Some(JobError::TooLarge {
                what: "payload",
                bytes: spec.payload.len(),
                limit: usize::try_from(self.limits.max_payload).unwrap_or(usize::MAX),
            });
        }
        (self.bytes + size > self.limits.max_bytes).then(|| JobError::QueueFull {
            queue: self.name.to_string(),
            limit: self.limits.max_bytes,
        })
    }

    fn count(&self, state: JobState) -> u64 {
        self.counts[state as usize]
    }

    fn held(&self, lease: &Lease) -> Result<usize, JobError> {
        let slot = self.ids.get(&lease.id).copied();
        slot.filter(|slot| {
            let status = &self.slots[*slot].job.status;
            status.state == JobState::Running && status.epoch == lease.epoch
        })
        .ok_or_else(|| JobError::StaleAttempt {
            id: lease.id.clone(),
            epoch: lease.epoch,
        })
    }

    /// Applies a rule, and puts the job where its new state belongs.
    fn change(
        &mut self,
        slot: usize,
        news: &mut News,
        rule: impl FnOnce(&mut JobStatus, &JobSpec),
    ) -> JobState {
        let entry = &mut self.slots[slot];
        let before = entry.job.status.state;
        rule(&mut entry.job.status, &entry.job.spec);
        let state = entry.job.status.state;
        self.counts[before as usize] -= 1;
        self.counts[state as usize] += 1;
        let due = (entry.job.status.run_at, entry.sequence);
        match state {
            JobState::Running => news.tell(&self.name, Some(&entry.job.id), What::Running),
            JobState::Waiting => {
                // It keeps its place: it was at the head of the line before.
                self.ready.insert(entry.place, slot);
                news.tell(&self.name, Some(&entry.job.id), What::Waiting);
                news.ring();
            }
            JobState::Delayed => {
                self.delayed.insert(due, slot);
                news.tell(&self.name, Some(&entry.job.id), What::Delayed);
                news.ring();
            }
            JobState::Completed | JobState::Failed | JobState::Cancelled => self.end(slot, news),
        }
        state
    }

    fn end(&mut self, slot: usize, news: &mut News) {
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
            }
        }
        let goes = (entry.until, slot);
        self.deliver(slot, news);
        if kept == 0 {
            self.drop_entry(slot);
        } else if state == JobState::Failed {
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

    fn drop_entry(&mut self, slot: usize) {
        let entry = self.slots.remove(slot);
        let status = &entry.job.status;
        self.counts[status.state as usize] -= 1;
        self.ids.remove(&entry.job.id);
        let goes = (entry.until, slot);
        if status.state.is_finished() {
            self.failed.remove(&goes);
            self.finished.remove(&goes);
        } else {
            self.bytes -= entry.job.spec.payload.len() as u64;
            if let Some(key) = &entry.job.spec.unique_key {
                self.unique.remove(key);
            }
        }
    }

    fn line_up(&mut self, slot: usize, news: &mut News) {
        let entry = &mut self.slots[slot];
        let spec = &entry.job.spec;
        entry.place = self
            .turns
            .place(spec.priority, spec.group.as_deref(), entry.sequence);
        self.ready.insert(entry.place, slot);
        news.tell(&self.name, Some(&entry.job.id), What::Waiting);
        news.ring();
    }

    fn stop_running(&mut self, slot: usize, news: &mut News) {
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

    fn step_out(&mut self, slot: usize, news: &mut News) {
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

    fn call_back(&mut self, group: Option<&str>, news: &mut News) {
        let limit = self.limits.group_concurrency;
        if let Some((place, slot)) = self.turns.call_back(group, limit) {
            self.ready.insert(place, slot);
            news.ring();
        }
    }

    fn tell_if_drained(&self, news: &mut News) {
        if self.count(JobState::Waiting) == 0 && self.count(JobState::Running) == 0 {
            news.tell(&self.name, None, What::Drained);
        }
    }
}

impl Entry {
    pub(in crate::job::memory) fn append_log(&mut self, line: LogLine) {
        if self.log.len() == LOG_LIMIT {
            self.log.remove(0);
        }
        self.log.push(line);
    }

    fn is_kept(&self, now: EpochMillis) -> bool {
        !self.job.status.state.is_finished() || self.until > now
    }

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
