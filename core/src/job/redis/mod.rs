//! Jobs in Redis 6.2 or later, or Valkey: for many processes on many hosts.
//!
//! Every move is one Lua script over the keys of one queue, which share a slot, so
//! that a cluster serves it too. `docs/redis-keys.md` has the keys. Anyone may push
//! JSON to the list that has the queue's name: it is a job.

pub(crate) mod address;
mod attempts;
mod bell;
pub(crate) mod check;
pub(crate) mod decode;
mod encode;
mod follow;
mod format;
mod gather;
pub(crate) mod link;
mod list;
mod registry;
pub(crate) mod scripts;
mod settings;
mod standing_claim;
mod verbs;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use redis::{Cmd, Value, cmd};
use tokio_util::sync::CancellationToken;

use self::address::Address;
use self::bell::Bells;
use self::decode::Parts;
use self::follow::{Followed, Follower};
use self::format::Format;
use self::gather::Gatherer;
use self::link::{Link, is_full, trouble};
use self::scripts::{Args, Head};
use self::standing_claim::StandingClaims;
use super::{
    Claim, Enqueued, EventStream, Exchange, Exchanged, Job, JobError, JobFilter, JobId, JobManager,
    JobPage, JobSpec, JobState, Lease, LogLine, Presence, QueueCounts, QueueLimits, Renewal,
    Report, Schedule,
};
use crate::clock::{Clock, EpochMillis, SystemClock};

/// Jobs that one script reads or drops at most.
const STEP: usize = 500;

/// Jobs in Redis. Clones share the connection.
#[derive(Clone)]
pub struct RedisJobs {
    shared: Arc<Shared>,
}

struct Shared {
    link: Link,
    format: Format,
    gatherer: Gatherer,
    bells: Bells,
    standing: StandingClaims,
    events: Follower,
    cancels: Follower,
    /// Queues that this process has entered in the list of queues, and over which connection.
    known: Mutex<HashMap<Arc<str>, u64>>,
    clock: Option<Arc<dyn Clock>>,
    closed: CancellationToken,
}

impl RedisJobs {
    /// Connects, and looks whether the server can hold jobs. A server that is not there
    /// is asked for five times within some three seconds.
    ///
    /// # Errors
    /// [`JobError::Invalid`] for a URL that is none, [`JobError::Unavailable`],
    /// [`JobError::Unsuitable`], also where another version keeps its jobs.
    pub async fn connect(url: &str) -> Result<Self, JobError> {
        Self::connect_with(url, None).await
    }

    /// The same with a clock of the caller's in place of the server's, as tests have.
    ///
    /// # Errors
    /// As [`RedisJobs::connect`].
    pub async fn connect_with(url: &str, clock: Option<Arc<dyn Clock>>) -> Result<Self, JobError> {
        let jobs = Self::over(Arc::new(Address::parse(url)?), clock);
        check::connected(&jobs.shared.link).await?;
        jobs.shared.format.check(&jobs.shared.link).await?;
        Ok(jobs)
    }

    fn over(address: Arc<Address>, clock: Option<Arc<dyn Clock>>) -> Self {
        Self {
            shared: Arc::new(Shared {
                link: Link::new(address),
                format: Format::default(),
                gatherer: Gatherer::default(),
                bells: Bells::default(),
                standing: StandingClaims::default(),
                events: Follower::of_events(),
                cancels: Follower::of_cancels(),
                known: Mutex::default(),
                clock,
                closed: CancellationToken::new(),
            }),
        }
    }

    /// Enters a queue in the list of queues, once a connection: a server that took another's
    /// place may not have heard of it.
    async fn enter(&self, queue: &Arc<str>) -> Result<(), JobError> {
        self.shared.link.address().check_queue(queue)?;
        if self.shared.closed.is_cancelled() {
            return Err(JobError::Closed);
        }
        let connection = self.shared.link.made();
        if self.shared.known.lock().get(queue) != Some(&connection) {
            self.shared.format.check(&self.shared.link).await?;
            let mut add = self.global("SADD", "queues");
            match self.shared.link.send(add.arg(&**queue)).await {
                // A full one has jobs of the queue, or takes none: it is to get empty.
                Err(error) if is_full(&error) => return Ok(()),
                added => added.map_err(|error| trouble(self.shared.link.address(), &error))?,
            };
            let mut known = self.shared.known.lock();
            known.insert(Arc::clone(queue), connection);
        }
        Ok(())
    }

    /// All queues, by name.
    async fn queues(&self) -> Result<Vec<Arc<str>>, JobError> {
        let listed = self
            .shared
            .link
            .ask(&self.global("SMEMBERS", "queues"))
            .await?;
        let mut names: Vec<Arc<str>> = Parts::of(listed)?.filter_map(text).map(Arc::from).collect();
        names.sort_unstable();
        Ok(names)
    }

    fn global(&self, verb: &str, key: &str) -> Cmd {
        let mut command = cmd(verb);
        command.arg(self.shared.link.address().global(key));
        command
    }

    async fn run(
        &self,
        script: &scripts::Script,
        queue: &str,
        args: &Args,
    ) -> Result<Value, JobError> {
        self.shared.format.check(&self.shared.link).await?;
        script
            .run(&self.shared.link, &self.shared.head(queue), args)
            .await
    }

    /// The server's time, or the caller's.
    async fn now(&self) -> Result<EpochMillis, JobError> {
        if let Some(clock) = &self.shared.clock {
            return Ok(clock.now());
        }
        let mut parts = Parts::of(self.shared.link.ask(&cmd("TIME")).await?)?;
        let mut number = || parts.text().map(|text| text.parse::<u64>().unwrap_or(0));
        let (seconds, micros) = (number()?, number()?);
        Ok(seconds * 1000 + micros / 1000)
    }
}

impl Shared {
    fn head(&self, queue: &str) -> Head {
        let address = self.link.address();
        Head {
            list: address.list(queue),
            prefix: address.queue_prefix(queue),
            now: self
                .clock
                .as_ref()
                .map_or_else(String::new, |clock| clock.now().to_string()),
            told: matches!(address.kind, address::Kind::Cluster(_)),
        }
    }
}

impl fmt::Debug for RedisJobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisJobs({})", self.shared.link.address().shown)
    }
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => String::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        _ => None,
    }
}

#[async_trait]
impl JobManager for RedisJobs {
    fn backend(&self) -> String {
        self.shared.link.address().shown.clone()
    }

    async fn enqueue(&self, jobs: Vec<JobSpec>) -> Result<Vec<Enqueued>, JobError> {
        Self::take_in(self, jobs).await
    }

    async fn exchange(&self, exchange: Exchange) -> Result<Exchanged, JobError> {
        Self::settle_and_claim(self, exchange).await
    }

    fn is_worth_two_exchanges(&self) -> bool {
        true
    }

    async fn wait_for_work(&self, queue: &str, at_most: Duration) -> Result<(), JobError> {
        self.shared.link.address().check_queue(queue)?;
        bell::wait(&self.shared, queue, at_most).await
    }

    async fn wait_and_claim(
        &self,
        queue: &str,
        claim: Claim,
        at_most: Duration,
        called_off: &CancellationToken,
    ) -> Result<Exchanged, JobError> {
        Self::stand_and_claim(self, queue, claim, at_most, called_off).await
    }

    async fn renew(&self, leases: &[Lease], lease: Duration) -> Result<Vec<Renewal>, JobError> {
        Self::renew_leases(self, leases, lease).await
    }

    async fn report(&self, reports: Vec<Report>) -> Result<Vec<Result<(), JobError>>, JobError> {
        Self::record_news(self, reports).await
    }

    async fn cancel(&self, ids: &[JobId]) -> Result<Vec<Option<JobState>>, JobError> {
        Self::call_off(self, ids).await
    }

    async fn delete(&self, ids: &[JobId]) -> Result<Vec<bool>, JobError> {
        Self::remove(self, ids).await
    }

    async fn revive(&self, ids: &[JobId]) -> Result<Vec<Result<(), JobError>>, JobError> {
        Self::let_wait_again(self, ids).await
    }

    async fn get(&self, ids: &[JobId]) -> Result<Vec<Option<Job>>, JobError> {
        Self::look_up(self, ids).await
    }

    async fn log(&self, id: &JobId) -> Result<Vec<LogLine>, JobError> {
        Self::read_log(self, id).await
    }

    async fn list(&self, filter: &JobFilter) -> Result<JobPage, JobError> {
        Self::list_jobs(self, filter).await
    }

    async fn counts(&self) -> Result<Vec<QueueCounts>, JobError> {
        Self::count(self).await
    }

    async fn set_paused(&self, queue: &str, paused: bool) -> Result<(), JobError> {
        let value = if paused { "1" } else { "" };
        self.settings(queue, &[("paused", value.to_owned())]).await
    }

    async fn set_limits(&self, queue: &str, limits: QueueLimits) -> Result<(), JobError> {
        Self::write_limits(self, queue, limits).await
    }

    async fn limits(&self, queue: &str) -> Result<QueueLimits, JobError> {
        Self::read_limits(self, queue).await
    }

    async fn sweep(&self) -> Result<usize, JobError> {
        Self::sweep_all(self).await
    }

    async fn purge(
        &self,
        queue: &str,
        states: &[JobState],
        older_than: Duration,
    ) -> Result<usize, JobError> {
        Self::purge_ended(self, queue, states, older_than).await
    }

    async fn now(&self) -> Result<EpochMillis, JobError> {
        Self::now(self).await
    }

    async fn put_schedule(&self, schedule: Schedule) -> Result<(), JobError> {
        Self::write_schedule(self, schedule).await
    }

    async fn advance_schedule(&self, before: &Schedule, after: Schedule) -> Result<bool, JobError> {
        Self::advance(self, before, &after).await
    }

    async fn delete_schedule(&self, name: &str) -> Result<bool, JobError> {
        let mut delete = self.global("HDEL", "schedules");
        Ok(self.shared.link.ask(delete.arg(name)).await? == Value::Int(1))
    }

    async fn schedules(&self) -> Result<Vec<Schedule>, JobError> {
        Self::read_schedules(self).await
    }

    fn clock(&self) -> Arc<dyn Clock> {
        let clock = self.shared.clock.clone();
        clock.unwrap_or_else(|| Arc::new(SystemClock))
    }

    async fn lead(&self, role: &str, holder: &str, term: Duration) -> Result<bool, JobError> {
        Self::take_role(self, role, holder, term).await
    }

    async fn announce(&self, presence: &Presence) -> Result<(), JobError> {
        Self::write_presence(self, presence).await
    }

    async fn leave(&self, presence: &Presence) -> Result<(), JobError> {
        let mut delete = self.global("HDEL", "workers");
        self.shared
            .link
            .ask(delete.arg(presence.key()))
            .await
            .map(drop)
    }

    async fn workers(&self) -> Result<Vec<Presence>, JobError> {
        Self::read_workers(self).await
    }

    async fn events(&self) -> Result<EventStream, JobError> {
        let receiver = follow::subscribe(&self.shared, Followed::Events).await?;
        Ok(super::event::followed(receiver, self.shared.closed.clone()))
    }

    async fn cancel_requests(&self) -> Result<EventStream, JobError> {
        let receiver = follow::subscribe(&self.shared, Followed::Cancels).await?;
        Ok(super::event::followed(receiver, self.shared.closed.clone()))
    }

    async fn apart(&self) -> Result<Arc<dyn JobManager>, JobError> {
        let address = Arc::clone(self.shared.link.address());
        Ok(Arc::new(Self::over(address, self.shared.clock.clone())))
    }

    async fn close(&self) {
        self.shared.closed.cancel();
    }
}
