//! Workers: the core claims, renews and records; handlers of the host's do the work.

use std::sync::Arc;

use credential_rotation::cli::exit;
use credential_rotation::conversation::{
    self,
    jobs::{GENERATION, TRAINING},
};
use credential_rotation::job::worker::{
    HandlerError, Handlers, LaneOptions, Worker, WorkerHandle, WorkerReport,
};
use credential_rotation::job::{Failure, JobError, Payload, WebhookOptions};
use credential_rotation::testing::drain_until_idle;
use napi::bindgen_prelude::Function;
use napi_derive::napi;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::json;

use crate::conversations::Conversations;
use crate::desk::Desk;
use crate::errors::{Thrown, job_thrown};
use crate::job_handler::{Host, HostHandler};
use crate::jobs::{JobManager, from_json};
use crate::outbox::Outbox;
use crate::pool::duration;
use crate::program::AppWorker;
use crate::runtime;

/// A worker of the host's.
#[napi]
pub struct JobWorker {
    /// None once it runs.
    worker: Mutex<Option<Worker>>,
    id: String,
    /// None for one without queues.
    handle: Option<WorkerHandle>,
    host: Arc<Host>,
}

/// A worker as JSON.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    id: Option<String>,
    queues: Vec<LaneOptions>,
    #[serde(default)]
    kinds: Vec<String>,
    #[serde(default)]
    otherwise: bool,
    lease_ms: Option<f64>,
    timeout_ms: Option<f64>,
    grace_ms: Option<f64>,
    webhooks: Option<WebhookOptions>,
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
    Cancelled,
}

#[napi]
impl JobWorker {
    /// `begin` gets lists of `[number, job, payload]`, an attempt to make, and `[number]`,
    /// one that is to end. Training and generation are the core's business, if there are
    /// conversations.
    #[napi(factory)]
    pub fn build(
        jobs: &JobManager,
        options: String,
        begin: Function<'_, String, ()>,
        conversations: Option<&Conversations>,
    ) -> Result<Self, Thrown> {
        let built = host(&begin).and_then(|host| {
            let options: Options = from_json(&options, "options")?;
            let conversations = conversations.map(Conversations::core);
            Ok((options.build(jobs, &host, conversations)?, host))
        });
        let (worker, host) = built.map_err(|error| job_thrown(&error))?;
        Ok(Self {
            id: worker.id().to_owned(),
            handle: Some(worker.handle()),
            worker: Mutex::new(Some(worker)),
            host,
        })
    }

    /// One that has no queues of its own: for tests, and for a worker of a command line.
    #[napi(factory)]
    pub fn without_queues(begin: Function<'_, String, ()>) -> Result<Self, Thrown> {
        Ok(Self {
            worker: Mutex::new(None),
            id: String::new(),
            handle: None,
            host: host(&begin).map_err(|error| job_thrown(&error))?,
        })
    }

    /// Does what can be done now, of all queues, one after the other; what was done comes
    /// under `number`.
    #[napi]
    pub fn drain(
        &self,
        desk: &Desk,
        number: u32,
        jobs: &JobManager,
        kinds: Vec<String>,
        otherwise: bool,
        conversations: Option<&Conversations>,
    ) -> napi::Result<()> {
        let mut handlers = self.handlers(&kinds, otherwise);
        if let Some(conversations) = conversations.map(Conversations::core) {
            for kind in [TRAINING, GENERATION] {
                handlers = handlers.on(kind, conversation::jobs::handler(&conversations));
            }
        }
        let jobs = jobs.connected();
        desk.shared().submit_job(number, async move {
            Ok(told(&drain_until_idle(&jobs?, handlers).await?))
        })
    }

    /// Runs a worker of a command line until a signal, which it hears as soon as this
    /// returns; its exit code comes under `number`.
    #[napi]
    pub fn run_app(
        &self,
        desk: &Desk,
        number: u32,
        app: &AppWorker,
        kinds: Vec<String>,
        otherwise: bool,
    ) -> napi::Result<()> {
        let (mut worker, handlers) = (app.take()?, self.handlers(&kinds, otherwise));
        runtime::inside(|| worker.listen())??;
        desk.shared().submit_job(number, async move {
            let running = tokio::task::spawn_blocking(move || worker.run(handlers, |_| {}));
            // What made it panic is on standard error already.
            Ok(running.await.unwrap_or(exit::CALL_FAILED).to_string())
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
        match &self.handle {
            Some(handle) if now => handle.stop_now(),
            Some(handle) => handle.stop(),
            None => {}
        }
    }

    /// Sets how many jobs a lane has at once.
    #[napi]
    pub fn set_concurrency(&self, lane: String, concurrency: u32) -> Result<(), Thrown> {
        let concurrency = usize::try_from(concurrency).unwrap_or(usize::MAX);
        let set = self.handle.as_ref().ok_or(JobError::Closed);
        set.and_then(|handle| handle.set_concurrency(&lane, concurrency))
            .map_err(|error| job_thrown(&error))
    }

    /// Whether the handler of an attempt is still to begin: while the host was busy it may
    /// have timed out, or become another's. If not, the host is done with it.
    #[napi]
    pub fn begins(&self, number: u32) -> bool {
        self.host.begins(number)
    }

    /// Records ends of attempts: a list of `{number, result}` and `{number, error}`.
    #[napi]
    pub fn end(&self, ends: String) -> Result<(), Thrown> {
        let ends = from_json::<Vec<End>>(&ends, "result").map_err(|error| job_thrown(&error))?;
        for end in ends {
            let ended = match end.error {
                None => Ok(end.result),
                Some(why) => Err(why.into()),
            };
            self.host.end(end.number, ended);
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

impl JobWorker {
    fn handlers(&self, kinds: &[String], otherwise: bool) -> Handlers {
        let handler = || HostHandler(Arc::clone(&self.host));
        let mut handlers = Handlers::new();
        for kind in kinds {
            handlers = handlers.on(kind, handler());
        }
        if otherwise {
            handlers = handlers.otherwise(handler());
        }
        handlers
    }
}

impl Drop for JobWorker {
    fn drop(&mut self) {
        // One that never ran may be the last to hold its jobs' connections.
        runtime::drop_inside(self.worker.lock().take());
    }
}

/// The JavaScript side behind `begin`.
fn host(begin: &Function<'_, String, ()>) -> Result<Arc<Host>, JobError> {
    let outbox = Outbox::new(begin).map_err(|problem| JobError::Invalid {
        field: "begin",
        problem: problem.reason.clone(),
    })?;
    Ok(Arc::new(Host::new(outbox)))
}

impl Options {
    fn build(
        self,
        jobs: &JobManager,
        host: &Arc<Host>,
        conversations: Option<conversation::Conversations>,
    ) -> Result<Worker, JobError> {
        let handler = || HostHandler(Arc::clone(host));
        let mut worker = Worker::builder(jobs.connected()?);
        for queues in self.queues {
            worker = worker.with_lane(queues.lane()?);
        }
        if let Some(conversations) = conversations {
            for kind in [TRAINING, GENERATION] {
                worker = worker.handler(kind, conversation::jobs::handler(&conversations));
            }
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
        if let Some(webhooks) = self.webhooks {
            worker = worker.webhooks(webhooks);
        }
        worker.build()
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
            Why::Cancelled => Self::Cancelled,
        }
    }
}

fn told(report: &WorkerReport) -> String {
    json!(report).to_string()
}
