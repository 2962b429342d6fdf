//! How a worker is set up.

use std::sync::Arc;
use std::time::Duration;

use super::control::Control;
use super::crew::Crew;
use super::handler::{Handler, Handlers};
use super::lane::Lane;
use super::watch::{AttemptEnd, Watch};
use super::{Worker, presence};
use crate::clock::Clock;
use crate::job::webhook::Deliveries;
use crate::job::{JobError, NAME_LIMIT, SharedJobs, WEBHOOK_KIND, WebhookOptions};

/// The most lanes of a worker.
const LANE_LIMIT: usize = 100;
/// Shorter leases are lost to any hiccup; with longer ones the jobs of a dead worker
/// wait for half a day.
const LEASES: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(50)..=Duration::from_secs(12 * 60 * 60);

/// A worker to be. What is wrong with it is told by [`WorkerBuilder::build`].
#[derive(Debug)]
pub struct WorkerBuilder {
    jobs: SharedJobs,
    id: Option<String>,
    lanes: Vec<Result<Lane, JobError>>,
    handlers: Handlers,
    lease: Duration,
    timeout: Option<Duration>,
    grace: Duration,
    clock: Option<Arc<dyn Clock>>,
    webhooks: WebhookOptions,
    watch: Option<Watch>,
}

impl WorkerBuilder {
    pub(super) fn new(jobs: SharedJobs) -> Self {
        Self {
            jobs,
            id: None,
            lanes: Vec::new(),
            handlers: Handlers::new(),
            lease: Duration::from_secs(30),
            timeout: None,
            grace: Duration::from_secs(30),
            clock: None,
            webhooks: WebhookOptions::default(),
            watch: None,
        }
    }

    /// Its id, by which people know it. Default: made of host, process and chance.
    #[must_use]
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Takes jobs of that queue, so many at once.
    #[must_use]
    pub fn lane(self, queue: &str, concurrency: usize) -> Self {
        self.lane_of(&[queue], concurrency)
    }

    /// Takes jobs of these queues, so many at once together: those of the first before
    /// those of the second.
    #[must_use]
    pub fn lane_of(mut self, queues: &[&str], concurrency: usize) -> Self {
        self.lanes.push(Lane::new(queues, concurrency));
        self
    }

    /// Takes jobs as that lane says.
    #[must_use]
    pub fn with_lane(mut self, lane: Lane) -> Self {
        self.lanes.push(Ok(lane));
        self
    }

    /// Does that kind of job so.
    #[must_use]
    pub fn handler(mut self, kind: &str, handler: impl Handler + 'static) -> Self {
        self.handlers = self.handlers.on(kind, handler);
        self
    }

    /// Does all other kinds of jobs so. Without, they fail as `unknown_kind`.
    #[must_use]
    pub fn default_handler(mut self, handler: impl Handler + 'static) -> Self {
        self.handlers = self.handlers.otherwise(handler);
        self
    }

    /// In place of all handlers given so far, these.
    #[must_use]
    pub fn handlers(mut self, handlers: Handlers) -> Self {
        self.handlers = handlers;
        self
    }

    /// After so long without a sign of life its jobs are given to others: 50 ms to 12 h.
    /// Jobs may take as long as they want. Default: 30 s.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// How long an attempt may take, unless its job says otherwise. Default: no limit.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// How long running jobs may go on when the worker is stopped. Default: 30 s.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// By which clock deadlines and schedules go. Default: that of its jobs.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// How it tells of the ends of jobs that have a webhook. Every worker does that for the
    /// queues of its lanes, whatever its handlers.
    #[must_use]
    pub fn webhooks(mut self, options: WebhookOptions) -> Self {
        self.webhooks = options;
        self
    }

    /// Is told of each attempt, once what came of it is recorded or never will be (`lost`,
    /// `unrecorded`). It must not block.
    #[must_use]
    pub fn on_end(mut self, told: impl Fn(&AttemptEnd<'_>) + Send + Sync + 'static) -> Self {
        self.watch = Some(Watch::new(told));
        self
    }

    /// The worker, which does nothing yet.
    ///
    /// # Errors
    /// [`JobError::Invalid`] for the first thing that is wrong or missing.
    pub fn build(self) -> Result<Worker, JobError> {
        let lanes = self.lanes.into_iter().collect::<Result<Vec<Lane>, _>>()?;
        check_lanes(&lanes)?;
        self.handlers.check()?;
        self.webhooks.check()?;
        if !LEASES.contains(&self.lease) {
            return Err(JobError::invalid("lease", "it is 50 ms to 12 hours"));
        }
        if self.timeout.is_some_and(|timeout| timeout.is_zero()) {
            let problem = "with 0 nothing would run: leave it out for no limit";
            return Err(JobError::invalid("timeout", problem));
        }
        let id = self.id.unwrap_or_else(presence::new_id);
        if id.is_empty() || id.len() > NAME_LIMIT || id.chars().any(char::is_control) {
            let problem = "it is 1 to 200 bytes without control characters";
            return Err(JobError::invalid("id", problem));
        }
        let clock = self.clock.unwrap_or_else(|| self.jobs.clock());
        let jobs = SharedJobs::clone(&self.jobs);
        let deliveries = Deliveries::new(jobs, self.webhooks, Arc::clone(&clock));
        Ok(Worker {
            control: Control::new(&lanes),
            lanes,
            grace: self.grace,
            crew: Arc::new(Crew {
                jobs: self.jobs,
                id: id.into(),
                instance: presence::new_instance().into(),
                handlers: self.handlers.on(WEBHOOK_KIND, deliveries),
                lease: self.lease,
                timeout: self.timeout,
                clock,
                ledger: Arc::default(),
                desk: Arc::default(),
                watch: self.watch,
            }),
        })
    }
}

fn check_lanes(lanes: &[Lane]) -> Result<(), JobError> {
    if lanes.is_empty() || lanes.len() > LANE_LIMIT {
        return Err(JobError::invalid("lane", "a worker has 1 to 100 of them"));
    }
    let mut queues: Vec<&Arc<str>> = lanes.iter().flat_map(|lane| &lane.queues).collect();
    queues.sort();
    match queues.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(JobError::invalid(
            "lane",
            format!("`{}` is in two lanes", pair[0]),
        )),
        None => Ok(()),
    }
}
