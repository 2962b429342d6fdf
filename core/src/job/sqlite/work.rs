//! Work that is brought to the file: its reads and writes, and long ones in steps, so that
//! others come in between.

use std::sync::Arc;

use rusqlite::Connection;

use super::engine::Engine;
use super::inbox::Terms;
use super::session::Session;
use super::{SqliteJobs, follow, read};
use crate::clock::EpochMillis;
use crate::job::{Enqueued, JobError, JobId, JobSpec, JobState};

/// Jobs of one transaction's work: another process, and the renewals of this one, wait for no
/// more than that.
const STEP: usize = 1_000;
/// Bytes of payloads behind which a step ends.
const STEP_BYTES: usize = 4 * 1024 * 1024;

impl SqliteJobs {
    pub(super) fn engine(&self) -> Result<Arc<Engine>, JobError> {
        let home = &self.home;
        let mut held = home.engine.lock();
        if let Some(inherited) = held.take_if(|engine| engine.is_inherited()) {
            // Closing it here would disturb the parent.
            std::mem::forget(inherited);
        }
        if let Some(engine) = &*held {
            return Ok(Arc::clone(engine));
        }
        let clock = Arc::clone(&home.clock);
        let engine = Arc::new(Engine::start(&home.path, home.durability, clock)?);
        Ok(Arc::clone(held.insert(engine)))
    }

    pub(super) async fn write<T, F>(&self, work: F) -> Result<T, JobError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Session<'_>) -> rusqlite::Result<T> + Send + 'static,
    {
        self.engine()?.write(self.terms(1), work).await
    }

    /// The same for what a loss of power may undo, as it ends the processes that it is about
    /// as well. Unless it goes with what must last, it waits for no disk, but for that of a
    /// checkpoint now and then.
    pub(super) async fn write_in_passing<T, F>(&self, work: F) -> Result<T, JobError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Session<'_>) -> rusqlite::Result<T> + Send + 'static,
    {
        let terms = Terms {
            lasting: false,
            ..self.terms(1)
        };
        self.engine()?.write(terms, work).await
    }

    /// Those of a work with about so many jobs.
    pub(super) fn terms(&self, weight: usize) -> Terms {
        Terms {
            urgent: self.urgent,
            lasting: true,
            weight,
        }
    }

    /// Does something with each job, in transactions of a bounded length.
    pub(super) async fn step_by_step<T, F>(&self, ids: &[JobId], one: F) -> Result<Vec<T>, JobError>
    where
        T: Send + 'static,
        F: Fn(&mut Session<'_>, &JobId) -> rusqlite::Result<T> + Copy + Send + 'static,
    {
        let mut answers = Vec::with_capacity(ids.len());
        for step in ids.chunks(STEP) {
            let step = step.to_vec();
            let engine = self.engine()?;
            let done = engine.write(
                self.terms(step.len()),
                move |session| -> rusqlite::Result<Vec<T>> {
                    step.iter().map(|id| one(session, id)).collect()
                },
            );
            answers.extend(done.await?);
        }
        Ok(answers)
    }

    pub(super) async fn read<T, F>(&self, work: F) -> Result<T, JobError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        self.engine()?.read(work).await
    }

    pub(super) async fn enqueue_by_steps(
        &self,
        jobs: Vec<JobSpec>,
    ) -> Result<Vec<Enqueued>, JobError> {
        let one = |session: &mut Session<'_>, job: JobSpec| match job.check() {
            Err(refusal) => Ok(Enqueued::Refused(refusal)),
            Ok(()) => session.on(&Arc::clone(&job.queue), |turn| turn.enqueue(job)),
        };
        let mut answers = Vec::with_capacity(jobs.len());
        let mut left = jobs.into_iter().peekable();
        while left.peek().is_some() {
            let (mut room, mut some) = (STEP_BYTES, Vec::new());
            while some.len() < STEP
                && room > 0
                && let Some(job) = left.next()
            {
                room = room.saturating_sub(job.payload.len());
                some.push(job);
            }
            let weight = some.len() + (STEP_BYTES - room) / 4_096;
            let engine = self.engine()?;
            let taken = engine.write(
                self.terms(weight),
                move |session| -> rusqlite::Result<Vec<_>> {
                    some.into_iter().map(|job| one(session, job)).collect()
                },
            );
            answers.extend(taken.await?);
        }
        Ok(answers)
    }

    /// Moves what is due, and forgets what is past its time, queue by queue.
    pub(super) async fn sweep_by_steps(&self) -> Result<usize, JobError> {
        let queues = self.write(|session| session.queues()).await?;
        let mut moved = 0;
        for queue in queues {
            moved += self
                .write(move |session| {
                    session.on(&queue, |turn| {
                        let moved = turn.tidy(STEP)?;
                        turn.forget(STEP)?;
                        Ok(moved)
                    })
                })
                .await?;
        }
        self.write(|session| follow::forget(session, STEP)).await?;
        Ok(moved)
    }

    /// Drops what ended in these states before then.
    pub(super) async fn purge_by_steps(
        &self,
        queue: &str,
        states: Vec<JobState>,
        before: EpochMillis,
    ) -> Result<usize, JobError> {
        let (name, ended) = (queue.to_owned(), states.clone());
        let found = self.read(move |db| read::ended(db, &name, &ended, before));
        let mut dropped = 0;
        let found = found.await?.ok_or_else(|| JobError::UnknownQueue {
            queue: queue.to_owned(),
        })?;
        for step in found.chunks(STEP) {
            let (queue, step, states) = (queue.to_owned(), step.to_vec(), states.clone());
            dropped += self
                .write(move |session| session.on(&queue, |turn| turn.purge(&step, &states, before)))
                .await?;
        }
        Ok(dropped)
    }
}
