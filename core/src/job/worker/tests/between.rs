//! A manager in front of another that fails as a test says.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::hurry::Hurry;
use crate::clock::Clock;
use crate::job::memory::MemoryJobs;
use crate::job::{
    Enqueued, EventStream, Exchange, Exchanged, Job, JobError, JobFilter, JobId, JobManager,
    JobPage, JobSpec, JobState, Lease, LogLine, Presence, QueueCounts, QueueLimits, Renewal,
    Report, Schedule, SharedJobs,
};
use crate::testing::ManualClock;

/// A call that a test may let fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    /// With so many settlements and so many jobs asked for.
    Exchange(usize, usize),
    Renew,
    Report,
    /// Another connection. It is made, whatever the test says.
    Apart,
}

/// What happens to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Good,
    /// It is not made.
    Refused,
    /// It is made, and its answer is lost.
    Unanswered,
    /// It is not made, and nothing says so.
    Hung,
    /// It is made, and its answer comes so much later.
    Late(Duration),
}

type Script = Arc<dyn Fn(Verb) -> Fate + Send + Sync>;

#[derive(Clone)]
pub(super) struct Between {
    inner: SharedJobs,
    script: Script,
    hurry: Option<Arc<Hurry>>,
}

impl Between {
    pub(super) fn over(
        inner: SharedJobs,
        script: impl Fn(Verb) -> Fate + Send + Sync + 'static,
    ) -> SharedJobs {
        Arc::new(Self {
            inner,
            script: Arc::new(script),
            hurry: None,
        })
    }

    /// Jobs in memory whose time goes on with the renewals of leases of that length, and
    /// a manager in front of them.
    pub(super) fn hurried(
        lease: Duration,
        script: impl Fn(Verb) -> Fate + Send + Sync + 'static,
    ) -> (SharedJobs, SharedJobs) {
        let clock = ManualClock::default();
        let inner: SharedJobs = Arc::new(MemoryJobs::with_clock(Arc::new(clock.clone())));
        let between = Self {
            inner: SharedJobs::clone(&inner),
            script: Arc::new(script),
            hurry: Some(Arc::new(Hurry::new(clock, lease))),
        };
        (inner, Arc::new(between))
    }

    async fn pass<T>(
        &self,
        verb: Verb,
        call: impl Future<Output = Result<T, JobError>>,
    ) -> Result<T, JobError> {
        let fate = (self.script)(verb);
        match fate {
            Fate::Good => call.await,
            Fate::Refused => Err(trouble()),
            Fate::Unanswered => call.await.and(Err(trouble())),
            Fate::Hung => std::future::pending().await,
            Fate::Late(by) => {
                let answer = call.await;
                tokio::time::sleep(by).await;
                answer
            }
        }
    }
}

fn trouble() -> JobError {
    JobError::Unavailable {
        backend: "test:".to_owned(),
        problem: "as the test says".to_owned(),
        remedy: "wait".to_owned(),
    }
}

impl fmt::Debug for Between {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Between")
    }
}

#[async_trait]
impl JobManager for Between {
    fn backend(&self) -> String {
        self.inner.backend()
    }
    async fn enqueue(&self, jobs: Vec<JobSpec>) -> Result<Vec<Enqueued>, JobError> {
        self.inner.enqueue(jobs).await
    }
    async fn exchange(&self, exchange: Exchange) -> Result<Exchanged, JobError> {
        let verb = Verb::Exchange(exchange.settle.len(), exchange.claim.max);
        let ends = exchange
            .settle
            .iter()
            .map(|end| end.lease.clone())
            .collect();
        let call = self.pass(verb, self.inner.exchange(exchange));
        match &self.hurry {
            Some(hurry) => hurry.exchange(ends, call).await,
            None => call.await,
        }
    }
    fn is_worth_two_exchanges(&self) -> bool {
        true
    }
    async fn wait_for_work(&self, queue: &str, at_most: Duration) -> Result<(), JobError> {
        self.inner.wait_for_work(queue, at_most).await
    }
    async fn renew(&self, leases: &[Lease], lease: Duration) -> Result<Vec<Renewal>, JobError> {
        let call = self.pass(Verb::Renew, self.inner.renew(leases, lease));
        match &self.hurry {
            Some(hurry) => hurry.renew(leases, call).await,
            None => call.await,
        }
    }
    async fn report(&self, reports: Vec<Report>) -> Result<Vec<Result<(), JobError>>, JobError> {
        self.pass(Verb::Report, self.inner.report(reports)).await
    }
    async fn cancel(&self, ids: &[JobId]) -> Result<Vec<Option<JobState>>, JobError> {
        self.inner.cancel(ids).await
    }
    async fn delete(&self, ids: &[JobId]) -> Result<Vec<bool>, JobError> {
        self.inner.delete(ids).await
    }
    async fn revive(&self, ids: &[JobId]) -> Result<Vec<Result<(), JobError>>, JobError> {
        self.inner.revive(ids).await
    }
    async fn get(&self, ids: &[JobId]) -> Result<Vec<Option<Job>>, JobError> {
        self.inner.get(ids).await
    }
    async fn log(&self, id: &JobId) -> Result<Vec<LogLine>, JobError> {
        self.inner.log(id).await
    }
    async fn list(&self, filter: &JobFilter) -> Result<JobPage, JobError> {
        self.inner.list(filter).await
    }
    async fn counts(&self) -> Result<Vec<QueueCounts>, JobError> {
        self.inner.counts().await
    }
    async fn set_paused(&self, queue: &str, paused: bool) -> Result<(), JobError> {
        self.inner.set_paused(queue, paused).await
    }
    async fn set_limits(&self, queue: &str, limits: QueueLimits) -> Result<(), JobError> {
        self.inner.set_limits(queue, limits).await
    }
    async fn limits(&self, queue: &str) -> Result<QueueLimits, JobError> {
        self.inner.limits(queue).await
    }
    async fn sweep(&self) -> Result<usize, JobError> {
        self.inner.sweep().await
    }
    async fn purge(
        &self,
        queue: &str,
        states: &[JobState],
        older_than: Duration,
    ) -> Result<usize, JobError> {
        self.inner.purge(queue, states, older_than).await
    }
    async fn now(&self) -> Result<crate::clock::EpochMillis, JobError> {
        self.inner.now().await
    }
    async fn put_schedule(&self, schedule: Schedule) -> Result<(), JobError> {
        self.inner.put_schedule(schedule).await
    }
    async fn advance_schedule(&self, before: &Schedule, after: Schedule) -> Result<bool, JobError> {
        self.inner.advance_schedule(before, after).await
    }

    async fn delete_schedule(&self, name: &str) -> Result<bool, JobError> {
        self.inner.delete_schedule(name).await
    }
    async fn schedules(&self) -> Result<Vec<Schedule>, JobError> {
        self.inner.schedules().await
    }
    fn clock(&self) -> Arc<dyn Clock> {
        self.inner.clock()
    }
    async fn lead(&self, role: &str, holder: &str, term: Duration) -> Result<bool, JobError> {
        self.inner.lead(role, holder, term).await
    }
    async fn announce(&self, presence: &Presence) -> Result<(), JobError> {
        self.inner.announce(presence).await
    }
    async fn leave(&self, presence: &Presence) -> Result<(), JobError> {
        self.inner.leave(presence).await
    }
    async fn workers(&self) -> Result<Vec<Presence>, JobError> {
        self.inner.workers().await
    }
    async fn events(&self) -> Result<EventStream, JobError> {
        self.inner.events().await
    }
    async fn cancel_requests(&self) -> Result<EventStream, JobError> {
        match &self.hurry {
            Some(hurry) => Ok(Arc::clone(hurry).missed()),
            None => self.inner.cancel_requests().await,
        }
    }
    async fn apart(&self) -> Result<SharedJobs, JobError> {
        (self.script)(Verb::Apart);
        Ok(Arc::new(self.clone()))
    }
    async fn close(&self) {
        self.inner.close().await;
    }
}
