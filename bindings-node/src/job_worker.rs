//! Workers whose handlers are JavaScript: the core claims, renews and records; the
//! host does the work.
//!
//! Jobs go over in batches, and so do their ends. Nothing of the core waits for the
//! JavaScript thread: one that is busy for long loses no lease.

use std::collections::HashMap;
use std::fmt::{self, Write};
use std::sync::Arc;

use async_trait::async_trait;
use credential_rotation::clock::EpochMillis;
use credential_rotation::job::worker::{
    Context, Handler, HandlerError, Lane, Worker, WorkerHandle, WorkerReport,
};
use credential_rotation::job::{Failure, JobError, JobId, Payload};
use napi::bindgen_prelude::Function;
use napi_derive::napi;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::oneshot;

use crate::desk::Desk;
use crate::errors::{Thrown, job_thrown};
use crate::jobs::{JobManager, from_json};
use crate::outbox::Outbox;
use crate::pool::duration;
use crate::runtime;

/// A worker of the host's.
#[napi]
pub struct JobWorker {
    /// None once it runs.
    worker: Mutex<Option<Worker>>,
    id: String,
    handle: WorkerHandle,
    host: Arc<Host>,
}

/// A worker as JSON.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    id: Option<String>,
    queues: Vec<Queues>,
    #[serde(default)]
    kinds: Vec<String>,
    #[serde(default)]
    otherwise: bool,
    lease_ms: Option<f64>,
    timeout_ms: Option<f64>,
    grace_ms: Option<f64>,
}

/// A lane, as on a command line or with its members apart.
#[derive(Deserialize)]
#[serde(untagged)]
enum Queues {
    Text(String),
    Apart {
        queues: Vec<String>,
        concurrency: usize,
        weights: Option<Vec<u32>>,
    },
}

/// How an attempt ended.
#[derive(Deserialize)]
struct End {
    number: u32,
    #[serde(default)]
    result: Payload,
    error: Option<Why>,
}

#[derive(Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
enum Why {
    Failed(Failure),
    Unrecoverable(Failure),
    Snooze { after_ms: f64 },
}

type Ended = Result<Payload, HandlerError>;

/// An attempt as its handler gets it, but for the payload.
#[derive(Serialize)]
struct Told<'a> {
    id: &'a JobId,
    queue: &'a str,
    kind: &'a str,
    attempt: u32,
    max_attempts: u32,
    session: Option<&'a str>,
    group: Option<&'a str>,
    tags: &'a [Box<str>],
    priority: i16,
    deadline: Option<EpochMillis>,
}

impl<'a> Told<'a> {
    fn of(job: &'a Context) -> Self {
        let spec = job.spec();
        Self {
            id: job.id(),
            queue: &job.lease().queue,
            kind: job.kind(),
            attempt: job.attempt(),
            max_attempts: spec.max_attempts,
            session: job.session(),
            group: spec.group.as_deref(),
            tags: &spec.tags,
            priority: spec.priority,
            deadline: job.deadline(),
        }
    }
}

/// The JavaScript side.
struct Host {
    outbox: Outbox,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    last: u32,
    attempts: HashMap<u32, (Context, oneshot::Sender<Ended>)>,
}

#[napi]
impl JobWorker {
    /// `begin` gets lists of `[number, job, payload]`, an attempt to make, and `[number]`,
    /// one that is to end.
    #[napi(factory)]
    pub fn build(
        jobs: &JobManager,
        options: String,
        begin: Function<'_, String, ()>,
    ) -> Result<Self, Thrown> {
        let outbox = Outbox::new(&begin)
            .map_err(|problem| Thrown::new(crate::errors::FromCore, problem.reason.clone()))?;
        let host = Arc::new(Host {
            outbox,
            open: Mutex::default(),
        });
        let built = from_json::<Options>(&options, "options")
            .and_then(|options| options.build(jobs, &host));
        let worker = built.map_err(|error| job_thrown(&error))?;
        Ok(Self {
            id: worker.id().to_owned(),
            handle: worker.handle(),
            worker: Mutex::new(Some(worker)),
            host,
        })
    }

    /// Its id.
    #[napi(getter)]
    pub fn id(&self) -> String {
        self.id.clone()
    }

    /// Runs jobs until it is stopped; what it has done comes under `number`.
    #[napi]
    pub fn run(&self, desk: &Desk, number: u32) -> napi::Result<()> {
        let worker = self.worker.lock().take();
        desk.shared().submit_job(number, async move {
            let worker = worker.ok_or(JobError::Closed)?;
            let done = worker.run(std::future::pending()).await?;
            Ok(told(&done))
        })
    }

    /// Takes no more jobs and ends those that run; or gives those back at once.
    #[napi]
    pub fn stop(&self, now: bool) {
        if now {
            self.handle.stop_now();
        } else {
            self.handle.stop();
        }
    }

    /// Sets how many jobs a lane has at once.
    #[napi]
    pub fn set_concurrency(&self, lane: String, concurrency: u32) -> Result<(), Thrown> {
        let concurrency = usize::try_from(concurrency).unwrap_or(usize::MAX);
        self.handle
            .set_concurrency(&lane, concurrency)
            .map_err(|error| job_thrown(&error))
    }

    /// Records ends of attempts: a list of `{number, result}` and `{number, error}`.
    #[napi]
    pub fn end(&self, ends: String) -> Result<(), Thrown> {
        let ends = from_json::<Vec<End>>(&ends, "result").map_err(|error| job_thrown(&error))?;
        let mut open = self.host.open.lock();
        for end in ends {
            // One that nobody waits for any more is dropped.
            if let Some((_, asker)) = open.attempts.remove(&end.number) {
                let _ = asker.send(match end.error {
                    None => Ok(end.result),
                    Some(why) => Err(why.into()),
                });
            }
        }
        Ok(())
    }

    /// Says how far an attempt is, 0 to 100.
    #[napi]
    pub fn progress(&self, number: u32, percent: f64, message: String) {
        if let Some(attempt) = self.host.attempt(number) {
            attempt.progress(percent as f32, message);
        }
    }

    /// Adds a line to the log of an attempt's job.
    #[napi]
    pub fn log(&self, number: u32, text: String) {
        if let Some(attempt) = self.host.attempt(number) {
            attempt.log(text);
        }
    }
}

impl Drop for JobWorker {
    fn drop(&mut self) {
        // One that never ran may be the last to hold its jobs' connections.
        runtime::drop_inside(self.worker.lock().take());
    }
}

impl Options {
    fn build(self, jobs: &JobManager, host: &Arc<Host>) -> Result<Worker, JobError> {
        let handler = || HostHandler(Arc::clone(host));
        let mut worker = Worker::builder(jobs.connected()?);
        for queues in self.queues {
            worker = worker.with_lane(queues.lane()?);
        }
        for kind in &self.kinds {
            worker = worker.handler(kind, handler());
        }
        if self.otherwise {
            worker = worker.default_handler(handler());
        }
        if let Some(id) = self.id {
            worker = worker.id(id);
        }
        if let Some(lease) = self.lease_ms {
            worker = worker.lease(duration(lease));
        }
        if let Some(timeout) = self.timeout_ms {
            worker = worker.timeout(duration(timeout));
        }
        if let Some(grace) = self.grace_ms {
            worker = worker.grace(duration(grace));
        }
        worker.build()
    }
}

impl Queues {
    fn lane(self) -> Result<Lane, JobError> {
        let (queues, concurrency, weights) = match self {
            Self::Text(text) => return Lane::parse(&text),
            Self::Apart {
                queues,
                concurrency,
                weights,
            } => (queues, concurrency, weights),
        };
        let queues: Vec<&str> = queues.iter().map(String::as_str).collect();
        let lane = Lane::new(&queues, concurrency)?;
        match weights {
            Some(weights) => lane.weighted(&weights),
            None => Ok(lane),
        }
    }
}

impl From<Why> for HandlerError {
    fn from(why: Why) -> Self {
        // Made anew: long words are cut.
        let cut = |failure: Failure| {
            let made = Failure::new(failure.kind, failure.message);
            match failure.trace {
                Some(trace) => made.with_trace(trace),
                None => made,
            }
        };
        match why {
            Why::Failed(failure) => Self::Failed(cut(failure)),
            Why::Unrecoverable(failure) => Self::Unrecoverable(cut(failure)),
            Why::Snooze { after_ms } => Self::Snooze(duration(after_ms)),
        }
    }
}

/// Lets the host do the work.
struct HostHandler(Arc<Host>);

#[async_trait]
impl Handler for HostHandler {
    async fn run(&self, job: Context) -> Ended {
        let cancelled = job.cancelled();
        let (number, mut ended) = self.0.begin(job);
        let _waiting = Waiting {
            host: &self.0,
            number,
        };
        let end = tokio::select! {
            biased;
            end = &mut ended => end,
            () = cancelled.cancelled() => {
                self.0.abort(number);
                ended.await
            }
        };
        match end {
            Ok(end) => end,
            // The environment is gone, and this worker is about to be.
            Err(_) => std::future::pending().await,
        }
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").finish_non_exhaustive()
    }
}

/// Tells the host when its end is not waited for any more.
struct Waiting<'a> {
    host: &'a Host,
    number: u32,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self
            .host
            .open
            .lock()
            .attempts
            .remove(&self.number)
            .is_some()
        {
            self.host.abort(self.number);
        }
    }
}

impl Host {
    fn begin(&self, job: Context) -> (u32, oneshot::Receiver<Ended>) {
        let told = Told::of(&job);
        let told = serde_json::to_string(&told).unwrap_or_default();
        let payload = String::from_utf8_lossy(job.payload().as_bytes());
        let payload = serde_json::to_string(&payload).unwrap_or_default();
        let (asker, ended) = oneshot::channel();
        let number = {
            let mut open = self.open.lock();
            open.last = open.last.wrapping_add(1);
            let number = open.last;
            open.attempts.insert(number, (job, asker));
            number
        };
        self.outbox.add(|lines| {
            // Writing to a string does not fail.
            let _ = write!(lines, "[{number},{told},{payload}]");
        });
        (number, ended)
    }

    fn abort(&self, number: u32) {
        self.outbox.add(|lines| {
            let _ = write!(lines, "[{number}]");
        });
    }

    fn attempt(&self, number: u32) -> Option<Context> {
        let open = self.open.lock();
        open.attempts
            .get(&number)
            .map(|(attempt, _)| attempt.clone())
    }
}

fn told(report: &WorkerReport) -> String {
    json!({
        "completed": report.completed,
        "failed": report.failed,
        "cancelled": report.cancelled,
        "retried": report.retried,
        "snoozed": report.snoozed,
        "released": report.released,
        "lost": report.lost,
        "unrecorded": report.unrecorded,
    })
    .to_string()
}
