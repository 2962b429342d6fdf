//! Jobs in an SQLite file, shared by the processes of one host.
//!
//! Nothing is told to be taken in, claimed or settled before it is on the disk. One thread of
//! each process writes, and many writes share a transaction; reads go beside it.

mod book;
mod cancels;
mod claim;
mod engine;
mod enqueue;
mod follow;
mod inbox;
mod line;
mod moves;
mod read;
mod row;
mod schema;
mod session;
mod settle;
#[cfg(test)]
mod tests;
mod tidy;
pub(crate) mod trouble;
mod watch;
mod work;
mod writer;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use self::engine::Engine;
use super::{
    Enqueued, EventStream, Exchange, Exchanged, Job, JobError, JobFilter, JobId, JobManager,
    JobPage, JobSpec, JobState, Lease, LogLine, Presence, QueueCounts, QueueLimits, Renewal,
    Report, Schedule, check_queue,
};
use crate::clock::{Clock, EpochMillis, SystemClock, millis, term};

/// What a write survives.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Durability {
    /// A loss of power: each commit waits for the disk, but those of what is only said of
    /// processes that would end then (renewals, roles, presence). The default.
    #[default]
    Full,
    /// The end of the process; a loss of power can undo the last commits.
    Normal,
}

impl Durability {
    /// SQLite's word for it.
    fn synchronous(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Normal => "normal",
        }
    }
}

/// Jobs in a file. Clones share them.
///
/// A process that forks opens it behind the fork, or uses it only there: `open` leaves
/// nothing open that a child could inherit.
#[derive(Clone)]
pub struct SqliteJobs {
    home: Arc<Home>,
    urgent: bool,
}

struct Home {
    path: PathBuf,
    durability: Durability,
    clock: Arc<dyn Clock>,
    closed: CancellationToken,
    engine: Mutex<Option<Arc<Engine>>>,
}

impl SqliteJobs {
    /// Opens the file, or makes it, readable by this user alone.
    ///
    /// # Errors
    /// [`JobError::Unavailable`] when the folder or file cannot be used,
    /// [`JobError::Unsuitable`] when the file is no database of jobs or a later version's.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, JobError> {
        Self::open_with(path, Arc::new(SystemClock), Durability::Full)
    }

    /// With a clock and durability of the caller's.
    ///
    /// # Errors
    /// As [`SqliteJobs::open`].
    pub fn open_with(
        path: impl Into<PathBuf>,
        clock: Arc<dyn Clock>,
        durability: Durability,
    ) -> Result<Self, JobError> {
        let path = path.into();
        // Only to see that it can be: a connection that is open in a fork is a danger to it.
        drop(schema::open(&path, durability)?);
        Ok(Self {
            home: Arc::new(Home {
                path,
                durability,
                clock,
                closed: CancellationToken::new(),
                engine: Mutex::default(),
            }),
            urgent: false,
        })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.home.path
    }
}

impl fmt::Debug for SqliteJobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteJobs")
            .field("path", &self.home.path)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl JobManager for SqliteJobs {
    fn backend(&self) -> String {
        trouble::backend(&self.home.path)
    }

    async fn enqueue(&self, jobs: Vec<JobSpec>) -> Result<Vec<Enqueued>, JobError> {
        self.enqueue_by_steps(jobs).await
    }

    async fn exchange(&self, exchange: Exchange) -> Result<Exchanged, JobError> {
        if self.home.closed.is_cancelled() {
            return Err(JobError::Closed);
        }
        check_queue(&exchange.queue)?;
        let engine = self.engine()?;
        let (queue, asked) = (Arc::clone(&exchange.queue), exchange.claim.max > 0);
        let exchanged = engine.write(self.terms(1), move |session| {
            session.on(&Arc::clone(&exchange.queue), |turn| {
                let rings = turn.line.rings();
                Ok((turn.exchange(exchange)?, rings))
            })
        });
        let (exchanged, rings) = exchanged.await?;
        if asked {
            engine.watch.answered(&queue, rings);
        }
        Ok(exchanged)
    }

    async fn wait_for_work(&self, queue: &str, at_most: Duration) -> Result<(), JobError> {
        let engine = self.engine()?;
        let waiter = engine.watch.wait(queue);
        engine.look()?;
        tokio::select! {
            () = waiter.notify.notified() => Ok(()),
            () = tokio::time::sleep(at_most) => Ok(()),
            () = self.home.closed.cancelled() => Err(JobError::Closed),
        }
    }

    async fn renew(&self, leases: &[Lease], lease: Duration) -> Result<Vec<Renewal>, JobError> {
        let leases = leases.to_vec();
        self.write_in_passing(move |session| {
            let until = session.news.now.saturating_add(term(lease));
            let renew = |held: &Lease| session.on(&held.queue, |turn| turn.renew(held, until));
            leases.iter().map(renew).collect()
        })
        .await
    }

    async fn report(&self, reports: Vec<Report>) -> Result<Vec<Result<(), JobError>>, JobError> {
        self.write(move |session| {
            let one = |report: Report| {
                let queue = Arc::clone(&report.lease.queue);
                session.on(&queue, |turn| turn.report(report))
            };
            reports.into_iter().map(one).collect()
        })
        .await
    }

    async fn cancel(&self, ids: &[JobId]) -> Result<Vec<Option<JobState>>, JobError> {
        self.step_by_step(ids, |session, id| {
            session.on_job(id, |turn| turn.cancel(id))
        })
        .await
    }

    async fn delete(&self, ids: &[JobId]) -> Result<Vec<bool>, JobError> {
        self.step_by_step(ids, |session, id| {
            let deleted = session.on_job(id, |turn| turn.delete(id))?;
            Ok(deleted.unwrap_or(false))
        })
        .await
    }

    async fn revive(&self, ids: &[JobId]) -> Result<Vec<Result<(), JobError>>, JobError> {
        self.step_by_step(ids, |session, id| {
            let revived = session.on_job(id, |turn| turn.revive(id))?;
            Ok(revived.unwrap_or_else(|| Err(JobError::UnknownJob { id: id.clone() })))
        })
        .await
    }

    async fn get(&self, ids: &[JobId]) -> Result<Vec<Option<Job>>, JobError> {
        let (ids, now) = (ids.to_vec(), self.home.clock.now());
        self.read(move |db| ids.iter().map(|id| read::job(db, id, now)).collect())
            .await
    }

    async fn log(&self, id: &JobId) -> Result<Vec<LogLine>, JobError> {
        let wanted = id.clone();
        let lines = self.read(move |db| read::log(db, &wanted)).await?;
        lines.ok_or_else(|| JobError::UnknownJob { id: id.clone() })
    }

    async fn list(&self, filter: &JobFilter) -> Result<JobPage, JobError> {
        let (filter, after, now) = (
            filter.clone(),
            filter.mark(|mark| mark.parse().ok())?,
            self.home.clock.now(),
        );
        let after = after.unwrap_or(0);
        self.read(move |db| read::list(db, &filter, after, now))
            .await
    }

    async fn counts(&self) -> Result<Vec<QueueCounts>, JobError> {
        let now = self.home.clock.now();
        self.read(move |db| read::counts(db, now)).await
    }

    async fn set_paused(&self, queue: &str, paused: bool) -> Result<(), JobError> {
        check_queue(queue)?;
        let queue = queue.to_owned();
        self.write(move |session| {
            session.on(&queue, |turn| {
                turn.line.now.paused = paused;
                turn.line.ring();
                Ok(())
            })
        })
        .await
    }

    async fn set_limits(&self, queue: &str, limits: QueueLimits) -> Result<(), JobError> {
        check_queue(queue)?;
        limits.check()?;
        let queue = queue.to_owned();
        self.write(move |session| session.on(&queue, |turn| turn.limit(limits)))
            .await
    }

    async fn limits(&self, queue: &str) -> Result<QueueLimits, JobError> {
        check_queue(queue)?;
        let queue = queue.to_owned();
        self.read(move |db| read::limits(db, &queue)).await
    }

    async fn sweep(&self) -> Result<usize, JobError> {
        self.sweep_by_steps().await
    }

    async fn purge(
        &self,
        queue: &str,
        states: &[JobState],
        older_than: Duration,
    ) -> Result<usize, JobError> {
        check_queue(queue)?;
        let before = self.home.clock.now().saturating_sub(millis(older_than));
        let mut states = states.to_vec();
        states.retain(|state| state.is_finished());
        self.purge_by_steps(queue, states, before).await
    }

    async fn now(&self) -> Result<EpochMillis, JobError> {
        Ok(self.home.clock.now())
    }

    async fn put_schedule(&self, schedule: Schedule) -> Result<(), JobError> {
        schedule.check()?;
        self.write(move |session| book::put_schedule(session, schedule))
            .await?
    }

    async fn advance_schedule(&self, before: &Schedule, after: Schedule) -> Result<bool, JobError> {
        let before = before.clone();
        self.write(move |session| book::advance_schedule(session, &before, &after))
            .await
    }

    async fn delete_schedule(&self, name: &str) -> Result<bool, JobError> {
        let name = name.to_owned();
        self.write(move |session| book::delete_schedule(session, &name))
            .await
    }

    async fn schedules(&self) -> Result<Vec<Schedule>, JobError> {
        self.read(book::schedules).await
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.home.clock)
    }

    async fn lead(&self, role: &str, holder: &str, term: Duration) -> Result<bool, JobError> {
        let (role, holder) = (role.to_owned(), holder.to_owned());
        self.write_in_passing(move |session| book::lead(session, &role, &holder, term))
            .await
    }

    async fn announce(&self, presence: &Presence) -> Result<(), JobError> {
        let presence = presence.clone();
        self.write_in_passing(move |session| book::announce(session, presence))
            .await
    }

    async fn leave(&self, presence: &Presence) -> Result<(), JobError> {
        let key = presence.key();
        self.write(move |session| book::leave(session, &key)).await
    }

    async fn workers(&self) -> Result<Vec<Presence>, JobError> {
        let now = self.home.clock.now();
        self.read(move |db| book::workers(db, now)).await
    }

    async fn events(&self) -> Result<EventStream, JobError> {
        let engine = self.engine()?;
        // Before the file is told: what happens behind that is not missed.
        let receiver = engine.watch.subscribe();
        let token = engine.token.clone();
        let follows = engine.watch.is_followed();
        let begun = engine.write(self.terms(1), move |session| {
            follow::begin(session, &token, follows)
        });
        let last = begun.await?;
        engine.watch.follow(last);
        engine.look()?;
        Ok(follow::stream(receiver, last, self.home.closed.clone()))
    }

    async fn cancel_requests(&self) -> Result<EventStream, JobError> {
        let engine = self.engine()?;
        let receiver = engine.watch.subscribe_to_cancels();
        engine.look()?;
        let closed = self.home.closed.clone();
        Ok(super::event::followed(receiver, closed))
    }

    /// The same file: what is asked here goes before what waits there.
    async fn apart(&self) -> Result<Arc<dyn JobManager>, JobError> {
        Ok(Arc::new(Self {
            home: Arc::clone(&self.home),
            urgent: true,
        }))
    }

    async fn close(&self) {
        self.home.closed.cancel();
    }
}
