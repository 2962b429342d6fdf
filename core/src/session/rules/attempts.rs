//! Jobs that work on a session: of each the latest attempt is known, while it works and
//! behind it, and earlier ones can write no more.

use super::{Head, too_large};
use crate::clock::EpochMillis;
use crate::job::JobError;
use crate::session::{AttachedJob, Fence, Guard, SessionError};

/// The most jobs that work on a session at once.
const JOB_LIMIT: usize = 64;
/// Attempts of jobs that work no more and are remembered, to refuse their late writes.
const FENCES_KEPT: usize = 64;

impl Head {
    /// Jobs whose time is up work on it no more.
    pub(super) fn let_go(&mut self, now: EpochMillis) {
        let gone = self.session.jobs.extract_if(.., |job| job.until <= now);
        let gone: Vec<Fence> = gone
            .map(|job| Fence {
                job: job.id,
                epoch: job.epoch,
            })
            .collect();
        gone.into_iter().for_each(|fence| self.remember(fence));
    }

    pub(super) fn admit_attempt(&self, fence: Option<&Fence>) -> Result<(), SessionError> {
        let Some(fence) = fence else {
            return Ok(());
        };
        let attached = self.session.jobs.iter().find(|job| job.id == fence.job);
        let past = self.past.iter().find(|past| past.job == fence.job);
        let newest = [attached.map(|job| job.epoch), past.map(|past| past.epoch)]
            .into_iter()
            .flatten()
            .max();
        if newest.is_some_and(|newest| newest > fence.epoch) {
            return Err(SessionError::Job(JobError::StaleAttempt {
                id: fence.job.clone(),
                epoch: fence.epoch,
            }));
        }
        Ok(())
    }

    pub(super) fn attach(&mut self, guard: &Guard, until: EpochMillis) -> Result<(), SessionError> {
        let fence = needed(guard)?;
        self.past.retain(|past| past.job != fence.job);
        let jobs = &mut self.session.jobs;
        jobs.retain(|job| job.id != fence.job);
        if jobs.len() >= JOB_LIMIT {
            let (size, remedy) = (jobs.len() as u64 + 1, "let some of them end first");
            return Err(too_large("number of jobs", size, JOB_LIMIT as u64, remedy));
        }
        jobs.push(AttachedJob {
            id: fence.job.clone(),
            epoch: fence.epoch,
            until,
        });
        Ok(())
    }

    pub(super) fn detach(&mut self, guard: &Guard) -> Result<(), SessionError> {
        let fence = needed(guard)?;
        self.session.jobs.retain(|job| job.id != fence.job);
        Ok(())
    }

    /// Remembers the latest attempt of a job that wrote, attached or not.
    pub(super) fn note(&mut self, fence: Fence) {
        let jobs = &mut self.session.jobs;
        match jobs.iter_mut().find(|job| job.id == fence.job) {
            Some(attached) => attached.epoch = fence.epoch,
            None => self.remember(fence),
        }
    }

    fn remember(&mut self, fence: Fence) {
        self.past.retain(|past| past.job != fence.job);
        self.past.push(fence);
        let over = self.past.len().saturating_sub(FENCES_KEPT);
        self.past.drain(..over);
    }
}

fn needed(guard: &Guard) -> Result<&Fence, SessionError> {
    let missing = || SessionError::invalid("fence", "say which job's attempt works on it");
    guard.fence.as_ref().ok_or_else(missing)
}
