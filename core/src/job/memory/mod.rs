//! Jobs in this process: no server, no file, gone with it.
//!
//! The same semantics as the other backends, for tests, small services and work that
//! may be lost with its process.

mod book;
mod fair;
mod line;
mod listing;
mod news;
mod work;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use self::book::Book;
use super::feed::Feed;
use super::{
    Enqueued, EventStream, Exchange, Exchanged, Job, JobError, JobEvent, JobFilter, JobId,
    JobManager, JobPage, JobSpec, JobState, Lease, LogLine, Presence, QueueCounts, QueueLimits,
    Renewal, Report, Schedule, What, check_queue,
};
use crate::clock::{Clock, EpochMillis, SystemClock, millis, term};

/// Jobs in this process. Clones share them.
#[derive(Clone)]
pub struct MemoryJobs {
    shared: Arc<Shared>,
}

struct Shared {
    book: Mutex<Book>,
    bells: Mutex<HashMap<Arc<str>, Arc<Notify>>>,
    events: Feed,
    cancels: Feed,
    clock: Arc<dyn Clock>,
    closed: CancellationToken,
}

impl MemoryJobs {
    /// No jobs yet.
    #[must_use]
    pub fn new() -> Self {
        Self::with_clock(Arc::new(SystemClock))
    }

    /// With a clock of the caller's, as tests have.
    #[must_use]
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        Self {
            shared: Arc::new(Shared {
                book: Mutex::default(),
                bells: Mutex::default(),
                events: Feed::of_events(),
                cancels: Feed::of_cancels(),
                clock,
                closed: CancellationToken::new(),
            }),
        }
    }
}

impl Default for MemoryJobs {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryJobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemoryJobs")
    }
}

#[async_trait]
impl JobManager for MemoryJobs {
    fn backend(&self) -> String {
        "memory:".to_owned()
    }

    async fn enqueue(&self, jobs: Vec<JobSpec>) -> Result<Vec<Enqueued>, JobError> {
        let mut answers = Vec::with_capacity(jobs.len());
        let mut news = self.news();
        let mut rung: Vec<Arc<str>> = Vec::new();
        {
            let mut book = self.shared.book.lock();
            for job in jobs {
                if let Err(refusal) = job.check() {
                    answers.push(Enqueued::Refused(refusal));
                    continue;
                }
                let line = book.line(&Arc::clone(&job.queue));
                answers.push(line.enqueue(job, &mut news));
                if std::mem::take(&mut news.rung) && !rung.contains(&line.name) {
                    rung.push(Arc::clone(&line.name));
                }
            }
            self.publish(&mut news);
        }
        for queue in rung {
            self.bell(&queue).notify_one();
        }
        Ok(answers)
    }

    async fn exchange(&self, exchange: Exchange) -> Result<Exchanged, JobError> {
        if self.shared.closed.is_cancelled() {
            return Err(JobError::Closed);
        }
        check_queue(&exchange.queue)?;
        Ok(self.on_line(&exchange.queue, |line, news| {
            let settled = line.settle_all(exchange.settle, news);
            let claimed = line.claim(&exchange.claim, news);
            let again_in = line.again_in(news).map(Duration::from_millis);
            Exchanged {
                settled,
                claimed,
                again_in,
            }
        }))
    }

    async fn wait_for_work(&self, queue: &str, at_most: Duration) -> Result<(), JobError> {
        let bell = self.bell(queue);
        tokio::select! {
            () = bell.notified() => Ok(()),
            () = tokio::time::sleep(at_most) => Ok(()),
            () = self.shared.closed.cancelled() => Err(JobError::Closed),
        }
    }

    async fn renew(&self, leases: &[Lease], lease: Duration) -> Result<Vec<Renewal>, JobError> {
        let until = self.shared.clock.now().saturating_add(term(lease));
        let mut book = self.shared.book.lock();
        let renewal = |held: &Lease| match book.line(&held.queue).renew(held, until) {
            None => Renewal::Lost,
            Some(true) => Renewal::CancelRequested,
            Some(false) => Renewal::Kept,
        };
        Ok(leases.iter().map(renewal).collect())
    }

    async fn report(&self, reports: Vec<Report>) -> Result<Vec<Result<(), JobError>>, JobError> {
        let one = |report: Report| {
            report.check()?;
            self.on_line(&report.lease.queue, |line, news| {
                let (name, now) = (Arc::clone(&line.name), news.now);
                let entry = line.attempt(&report.lease)?;
                let id = Some(&report.lease.id);
                if let Some(progress) = report.progress {
                    entry.job.status.progress = Some(progress.clone());
                    news.tell(&name, id, What::Progress(progress));
                }
                for text in report.log {
                    let line = LogLine { at: now, text };
                    entry.append_log(line.clone());
                    news.tell(&name, id, What::Log { text: line.text });
                }
                Ok(())
            })
        };
        Ok(reports.into_iter().map(one).collect())
    }

    async fn cancel(&self, ids: &[JobId]) -> Result<Vec<Option<JobState>>, JobError> {
        let one = |id: &JobId| {
            let (queue, state) = self.on_job(id, |line, news| {
                Some((Arc::clone(&line.name), line.cancel(id, news)?))
            })?;
            if state == JobState::Running {
                self.shared.cancels.send(JobEvent {
                    at: self.shared.clock.now(),
                    queue: (*queue).into(),
                    id: Some(id.clone()),
                    what: What::CancelRequested,
                });
            }
            Some(state)
        };
        Ok(ids.iter().map(one).collect())
    }

    async fn delete(&self, ids: &[JobId]) -> Result<Vec<bool>, JobError> {
        let one = |id| self.on_job(id, |line, news| Some(line.delete(id, news)));
        Ok(ids.iter().map(|id| one(id).unwrap_or(false)).collect())
    }

    async fn revive(&self, ids: &[JobId]) -> Result<Vec<Result<(), JobError>>, JobError> {
        let one = |id: &JobId| {
            self.on_job(id, |line, news| line.revive(id, news))
                .unwrap_or_else(|| Err(JobError::UnknownJob { id: id.clone() }))
        };
        Ok(ids.iter().map(one).collect())
    }

    async fn get(&self, ids: &[JobId]) -> Result<Vec<Option<Job>>, JobError> {
        let now = self.shared.clock.now();
        let book = self.shared.book.lock();
        let one = |id| book.lines.values().find_map(|line| line.job(id, now));
        Ok(ids.iter().map(one).collect())
    }

    async fn log(&self, id: &JobId) -> Result<Vec<LogLine>, JobError> {
        let lines = self.on_job(id, |line, _| line.entry(id).map(|entry| entry.log.clone()));
        lines.ok_or_else(|| JobError::UnknownJob { id: id.clone() })
    }

    async fn list(&self, filter: &JobFilter) -> Result<JobPage, JobError> {
        let now = self.shared.clock.now();
        listing::page(&self.shared.book, filter, now)
    }

    async fn counts(&self) -> Result<Vec<QueueCounts>, JobError> {
        let now = self.shared.clock.now();
        let book = self.shared.book.lock();
        Ok(book.lines.values().map(|line| line.counts(now)).collect())
    }

    async fn set_paused(&self, queue: &str, paused: bool) -> Result<(), JobError> {
        check_queue(queue)?;
        self.on_line(queue, |line, news| {
            line.paused = paused;
            news.ring();
        });
        Ok(())
    }

    async fn set_limits(&self, queue: &str, limits: QueueLimits) -> Result<(), JobError> {
        check_queue(queue)?;
        limits.check()?;
        self.on_line(queue, |line, news| line.limit(limits, news));
        Ok(())
    }

    async fn limits(&self, queue: &str) -> Result<QueueLimits, JobError> {
        check_queue(queue)?;
        let book = self.shared.book.lock();
        let line = book.lines.get(queue);
        Ok(line.map(|line| line.limits.clone()).unwrap_or_default())
    }

    async fn sweep(&self) -> Result<usize, JobError> {
        const STEP: usize = 1_000;
        let queues: Vec<Arc<str>> = self.shared.book.lock().lines.keys().cloned().collect();
        let swept = queues
            .iter()
            .map(|queue| self.on_line(queue, |line, news| line.sweep(STEP, news)));
        Ok(swept.sum())
    }

    async fn purge(
        &self,
        queue: &str,
        states: &[JobState],
        older_than: Duration,
    ) -> Result<usize, JobError> {
        check_queue(queue)?;
        let before = self.shared.clock.now().saturating_sub(millis(older_than));
        let finished: Vec<JobState> = states
            .iter()
            .copied()
            .filter(|state| state.is_finished())
            .collect();
        let mut book = self.shared.book.lock();
        let line = book.lines.get_mut(queue);
        line.map(|line| line.purge(&finished, before))
            .ok_or_else(|| JobError::UnknownQueue {
                queue: queue.to_owned(),
            })
    }

    async fn now(&self) -> Result<EpochMillis, JobError> {
        Ok(self.shared.clock.now())
    }

    async fn put_schedule(&self, schedule: Schedule) -> Result<(), JobError> {
        schedule.check()?;
        let now = self.shared.clock.now();
        let mut book = self.shared.book.lock();
        let kept = book.schedules.get(&schedule.name);
        let schedule = schedule.replacing(kept, now)?;
        book.schedules.insert(schedule.name.clone(), schedule);
        Ok(())
    }

    async fn advance_schedule(&self, before: &Schedule, after: Schedule) -> Result<bool, JobError> {
        let mut book = self.shared.book.lock();
        let kept = book.schedules.get_mut(&before.name);
        Ok(kept
            .filter(|kept| *kept == before)
            .map(|kept| *kept = after)
            .is_some())
    }

    async fn delete_schedule(&self, name: &str) -> Result<bool, JobError> {
        Ok(self.shared.book.lock().schedules.remove(name).is_some())
    }

    async fn schedules(&self) -> Result<Vec<Schedule>, JobError> {
        let book = self.shared.book.lock();
        Ok(book.schedules.values().cloned().collect())
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.shared.clock)
    }

    async fn lead(&self, role: &str, holder: &str, term: Duration) -> Result<bool, JobError> {
        let now = self.shared.clock.now();
        Ok(self.shared.book.lock().lead(role, holder, term, now))
    }

    async fn announce(&self, presence: &Presence) -> Result<(), JobError> {
        let now = self.shared.clock.now();
        self.shared.book.lock().announce(presence, now);
        Ok(())
    }

    async fn leave(&self, presence: &Presence) -> Result<(), JobError> {
        self.shared.book.lock().workers.remove(&presence.key());
        Ok(())
    }

    async fn workers(&self) -> Result<Vec<Presence>, JobError> {
        let now = self.shared.clock.now();
        Ok(self.shared.book.lock().present(now))
    }

    async fn events(&self) -> Result<EventStream, JobError> {
        Ok(super::event::followed(
            self.shared.events.subscribe(),
            self.shared.closed.clone(),
        ))
    }

    async fn cancel_requests(&self) -> Result<EventStream, JobError> {
        Ok(super::event::followed(
            self.shared.cancels.subscribe(),
            self.shared.closed.clone(),
        ))
    }

    async fn apart(&self) -> Result<Arc<dyn JobManager>, JobError> {
        Ok(Arc::new(self.clone()))
    }

    async fn close(&self) {
        self.shared.closed.cancel();
    }
}
