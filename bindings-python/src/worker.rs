//! A worker whose handlers are Python's. Leases are kept by the core, on a thread of its own.

use std::sync::Arc;
use std::time::Duration;

use credential_rotation::Error;
use credential_rotation::conversation::Conversations as CoreConversations;
use credential_rotation::conversation::jobs::{GENERATION, TRAINING, handler};
use credential_rotation::job::worker::{Handlers, LaneOptions, Worker as Core, WorkerReport};
use credential_rotation::job::{JobError, SharedJobs, WebhookOptions};
use credential_rotation::testing::drain_until_idle;
use pyo3::prelude::*;
use pyo3::types::PyList;
use serde::Deserialize;
use serde_json::json;

use crate::conversations::Conversations;
use crate::desk::{Desk, Reply, Task};
use crate::errors::raised;
use crate::job_attempts::{Host, Inbox};
use crate::jobs::JobManager;

/// Longer spans are as good as none, and can be added to any time.
const CENTURY_MS: f64 = 3.2e12;

/// How a worker is set up, as JSON.
#[derive(Clone, Deserialize)]
struct Options {
    queues: Vec<LaneOptions>,
    id: Option<String>,
    lease_ms: Option<f64>,
    timeout_ms: Option<f64>,
    grace_ms: Option<f64>,
    webhooks: Option<WebhookOptions>,
}

/// Runs jobs with handlers of Python's, once.
#[pyclass(frozen, module = "credential_rotation._native")]
pub(crate) struct Worker {
    options: Options,
    inbox: Arc<Inbox>,
}

#[pymethods]
impl Worker {
    /// From options as JSON.
    #[new]
    fn new(py: Python<'_>, options: &str) -> PyResult<Self> {
        let options = Options::read(options).map_err(|error| raised(py, &error.into()))?;
        Ok(Self {
            options,
            inbox: Arc::default(),
        })
    }

    /// Its id, once it runs.
    #[getter]
    fn id(&self) -> Option<String> {
        self.inbox.orders.id()
    }

    /// Runs until it is stopped; attempts are announced by `deliver()` on the desk's loop.
    /// Training and generation are the core's business, if there are conversations.
    #[pyo3(signature = (desk, number, jobs, deliver, conversations=None))]
    fn run(
        &self,
        py: Python<'_>,
        desk: &Desk,
        number: u64,
        jobs: &JobManager,
        deliver: Py<PyAny>,
        conversations: Option<&Conversations>,
    ) -> PyResult<Task> {
        self.inbox.hang_bell(py, desk.event_loop(), deliver)?;
        let (options, inbox) = (self.options.clone(), Arc::clone(&self.inbox));
        let connected = jobs.current();
        let conversations = conversations.map(Conversations::core);
        desk.submit(py, number, async move {
            let done = async {
                let worker = options.build(connected.await?, &inbox, conversations)?;
                inbox.orders.give_to(&worker)?;
                tokio::select! {
                    done = worker.run(std::future::pending()) => done,
                    never = inbox.watch() => match never {},
                }
            };
            replied(done.await)
        })
    }

    /// Does what can be done now, of all queues, one after the other; gives what was done.
    #[pyo3(signature = (desk, number, jobs, deliver, conversations=None))]
    fn drain(
        &self,
        py: Python<'_>,
        desk: &Desk,
        number: u64,
        jobs: &JobManager,
        deliver: Py<PyAny>,
        conversations: Option<&Conversations>,
    ) -> PyResult<Task> {
        self.inbox.hang_bell(py, desk.event_loop(), deliver)?;
        let mut handlers = Handlers::new().otherwise(Host(Arc::clone(&self.inbox)));
        if let Some(conversations) = conversations.map(Conversations::core) {
            for kind in [TRAINING, GENERATION] {
                handlers = handlers.on(kind, handler(&conversations));
            }
        }
        let connected = jobs.current();
        desk.submit(py, number, async move {
            let drained = async { drain_until_idle(&connected.await?, handlers).await };
            replied(drained.await)
        })
    }

    /// Takes no more jobs; those that run may end within the grace, or with `now` are given
    /// back. Before it runs: it ends as soon as it does.
    #[pyo3(signature = (now=false))]
    fn stop(&self, now: bool) {
        self.inbox.orders.stop(now);
    }

    /// Sets how many jobs a lane has at once.
    fn set_concurrency(&self, py: Python<'_>, lane: &str, concurrency: usize) -> PyResult<()> {
        let set = self.inbox.orders.set_concurrency(lane, concurrency);
        set.map_err(|error| raised(py, &error.into()))
    }

    /// The attempts that have begun, as `(number, attempt)`, and the numbers of those
    /// that are to end.
    fn take<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyList>, Vec<u64>)> {
        self.inbox.take(py)
    }
}

impl Options {
    fn read(text: &str) -> Result<Self, JobError> {
        let read: Self = serde_json::from_str(text).map_err(|problem| JobError::Invalid {
            field: "options",
            problem: problem.to_string(),
        })?;
        for queues in &read.queues {
            queues.lane()?;
        }
        Ok(read)
    }

    fn build(
        self,
        jobs: SharedJobs,
        inbox: &Arc<Inbox>,
        conversations: Option<CoreConversations>,
    ) -> Result<Core, JobError> {
        let mut builder = Core::builder(jobs).default_handler(Host(Arc::clone(inbox)));
        if let Some(conversations) = &conversations {
            for kind in [TRAINING, GENERATION] {
                builder = builder.handler(kind, handler(conversations));
            }
        }
        for queues in &self.queues {
            builder = builder.with_lane(queues.lane()?);
        }
        if let Some(id) = self.id {
            builder = builder.id(id);
        }
        if let Some(lease) = self.lease_ms {
            builder = builder.lease(span(lease));
        }
        if let Some(timeout) = self.timeout_ms {
            builder = builder.timeout(span(timeout));
        }
        if let Some(grace) = self.grace_ms {
            builder = builder.grace(span(grace));
        }
        if let Some(webhooks) = self.webhooks {
            builder = builder.webhooks(webhooks);
        }
        builder.build()
    }
}

fn span(ms: f64) -> Duration {
    Duration::from_millis(ms.clamp(0.0, CENTURY_MS) as u64)
}

fn replied(done: Result<WorkerReport, JobError>) -> Reply {
    match done {
        Ok(report) => Reply::Json(json!(report).to_string()),
        Err(error) => Reply::Error(Error::from(error)),
    }
}
