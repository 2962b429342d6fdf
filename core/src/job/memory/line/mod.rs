//! One queue and its jobs. Pure: time is handed in, news are handed out.

mod claims;
mod ends;
mod intake;
mod upkeep;
mod verbs;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use foldhash::fast::RandomState;
use slab::Slab;

use super::fair::{Place, Turns};
use super::news::News;
use crate::clock::{EpochMillis, term};
use crate::job::{
    Claim, Claimed, Enqueued, Job, JobError, JobId, JobSpec, JobState, JobStatus, Lease, LogLine,
    Payload, QueueCounts, QueueLimits, RateState, Settlement, What, rules, webhook,
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
    /// Keys that are held for a time although their job has ended, by when they are free.
    windows: BTreeSet<(EpochMillis, Box<str>)>,
    /// Jobs that wait and have a deadline.
    deadlines: BTreeSet<(EpochMillis, usize)>,
    turns: Turns,
    rate: RateState,
    sequence: u64,
    /// The highest epoch of jobs that are gone.
    retired: u64,
    bytes: u64,
    /// Bytes of jobs that have ended.
    kept_bytes: u64,
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
            windows: BTreeSet::new(),
            deadlines: BTreeSet::new(),
            turns: Turns::default(),
            rate: RateState::default(),
            sequence: 0,
            retired: 0,
            bytes: 0,
            kept_bytes: 0,
            counts: [0; JobState::ALL.len()],
        }
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

    fn count(&self, state: JobState) -> u64 {
        self.counts[state as usize]
    }

    fn held(&self, lease: &Lease) -> Result<usize, JobError> {
        self.held_at(self.ids.get(&lease.id).copied(), lease)
    }

    fn held_at(&self, slot: Option<usize>, lease: &Lease) -> Result<usize, JobError> {
        slot.filter(|slot| {
            self.slots.get(*slot).is_some_and(|entry| {
                let Job { id, status, .. } = &entry.job;
                let is_running = status.state == JobState::Running;
                is_running && status.epoch == lease.epoch && *id == lease.id
            })
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
        if let Some(deadline) = entry.job.spec.deadline {
            match state {
                JobState::Waiting | JobState::Delayed => self.deadlines.insert((deadline, slot)),
                _ => self.deadlines.remove(&(deadline, slot)),
            };
        }
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
}

impl Entry {
    pub(in crate::job::memory) fn append_log(&mut self, line: LogLine) {
        if self.log.len() == LOG_LIMIT {
            self.log.remove(0);
        }
        self.log.push(line);
    }

    /// What is kept of a job that has ended, in bytes.
    fn size(&self) -> u64 {
        let (spec, status) = (&self.job.spec, &self.job.status);
        let result = status.result.as_ref().map_or(0, Payload::len);
        (spec.payload.len() + result) as u64
    }

    fn is_kept(&self, now: EpochMillis) -> bool {
        !self.job.status.state.is_finished() || self.until > now
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::job::Outcome;
    use crate::testing::ManualClock;

    #[test]
    fn keys_are_forgotten_once_their_time_is_over() {
        let clock = ManualClock::default();
        let news = || News::at(&clock, false);
        let mut line = Line::new("q".into());
        let spec = JobSpec::new("q", Payload::NULL).with(|spec| {
            spec.unique_key = Some("key".into());
            spec.unique_for_ms = Some(1_000);
        });
        line.enqueue(spec, &mut news());
        let claim = Claim {
            worker: "w".into(),
            max: 1,
            lease: Duration::from_secs(1),
        };
        let lease = line.claim(&claim, &mut news()).remove(0).lease;
        let result = Payload::NULL;
        let outcome = Outcome::Complete { result };
        let settlement = Settlement { lease, outcome };
        let settled = line.settle_all(vec![settlement], &mut news());
        assert_eq!(settled, [Ok(JobState::Completed)]);
        line.tidy(9, &mut news());
        assert_eq!((line.unique.len(), line.windows.len()), (1, 1));
        clock.advance(Duration::from_secs(1));
        line.tidy(9, &mut news());
        assert_eq!((line.unique.len(), line.windows.len()), (0, 0));
    }
}
