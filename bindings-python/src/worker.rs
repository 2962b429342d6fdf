//! A worker whose handlers are Python's.
//!
//! Attempts are gathered and the loop is woken once for all of them; what came of one
//! is told to its `JobAttempt`. Leases are kept by the core, on a thread of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use credential_rotation::Error;
use credential_rotation::conversation::jobs::{GENERATION, TRAINING, handler};
use credential_rotation::job::worker::{
    Context, Handler, HandlerError, Handlers, Lane, Worker as Core, WorkerHandle, WorkerReport,
};
use credential_rotation::job::{Failure, Payload, WebhookOptions};
use credential_rotation::testing::drain_until_idle;
use parking_lot::Mutex;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};
use serde::Deserialize;
use tokio::sync::oneshot;

use crate::conversations::Conversations;
use crate::desk::{Desk, Reply, Task};
use crate::dispatch::dispatch;
use crate::errors::raised;
use crate::jobs::JobManager;

/// How a worker is set up, as JSON.
#[derive(Clone, Deserialize)]
struct Options {
    queues: Vec<String>,
    id: Option<String>,
    lease_ms: Option<u64>,
    timeout_ms: Option<u64>,
    grace_ms: Option<u64>,
    webhooks: Option<WebhookOptions>,
}

/// Runs jobs with handlers of Python's.
#[pyclass(frozen, module = "credential_rotation._native")]
pub(crate) struct Worker {
    options: Options,
    handle: Mutex<Option<WorkerHandle>>,
    inbox: Arc<Inbox>,
}

/// What the loop is to be told.
#[derive(Default)]
struct Inbox {
    begun: Mutex<Vec<Begun>>,
    cancelled: Mutex<Vec<u64>>,
    rung: AtomicBool,
    next: Mutex<u64>,
    bell: Mutex<Option<Arc<Bell>>>,
}

/// `loop.call_soon_threadsafe` and what it shall call.
struct Bell {
    ring: Py<PyAny>,
    deliver: Py<PyAny>,
}

struct Begun {
    number: u64,
    context: Context,
    answer: oneshot::Sender<Result<Payload, HandlerError>>,
}

/// One attempt at a job, in the hands of its handler.
#[pyclass(frozen, module = "credential_rotation._native")]
pub(crate) struct JobAttempt {
    context: Context,
    answer: Mutex<Option<oneshot::Sender<Result<Payload, HandlerError>>>>,
}

#[pymethods]
impl Worker {
    /// From options as JSON.
    #[new]
    fn new(py: Python<'_>, options: &str) -> PyResult<Self> {
        let options: Options = serde_json::from_str(options).map_err(|problem| {
            PyRuntimeError::new_err(format!("the worker's options: {problem}"))
        })?;
        for lane in &options.queues {
            Lane::parse(lane).map_err(|error| raised(py, &error.into()))?;
        }
        Ok(Self {
            options,
            handle: Mutex::new(None),
            inbox: Arc::default(),
        })
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
        self.hang_bell(py, desk, deliver)?;
        let (options, inbox) = (self.options.clone(), Arc::clone(&self.inbox));
        let connected = jobs.current();
        let conversations = conversations.map(Conversations::core);
        let (told, handle) = oneshot::channel();
        let task = desk.submit(py, number, async move {
            let built = async {
                let jobs = connected.await?;
                let mut builder = Core::builder(jobs).default_handler(Host(inbox));
                if let Some(conversations) = &conversations {
                    for kind in [TRAINING, GENERATION] {
                        builder = builder.handler(kind, handler(conversations));
                    }
                }
                for lane in &options.queues {
                    builder = builder.with_lane(Lane::parse(lane)?);
                }
                let span = |ms: u64| Duration::from_millis(ms);
                if let Some(id) = options.id {
                    builder = builder.id(id);
                }
                if let Some(lease) = options.lease_ms {
                    builder = builder.lease(span(lease));
                }
                if let Some(timeout) = options.timeout_ms {
                    builder = builder.timeout(span(timeout));
                }
                if let Some(grace) = options.grace_ms {
                    builder = builder.grace(span(grace));
                }
                if let Some(webhooks) = options.webhooks {
                    builder = builder.webhooks(webhooks);
                }
                builder.build()
            };
            let worker = match built.await {
                Ok(worker) => worker,
                Err(error) => return Reply::Error(error.into()),
            };
            let _ = told.send(worker.handle());
            match worker.run(std::future::pending()).await {
                Ok(report) => Reply::Json(told_of(&report)),
                Err(error) => Reply::Error(Error::from(error)),
            }
        })?;
        let handle = py.detach(|| handle.blocking_recv());
        *self.handle.lock() = handle.ok();
        Ok(task)
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
        self.hang_bell(py, desk, deliver)?;
        let mut handlers = Handlers::new().otherwise(Host(Arc::clone(&self.inbox)));
        if let Some(conversations) = conversations.map(Conversations::core) {
            for kind in [TRAINING, GENERATION] {
                handlers = handlers.on(kind, handler(&conversations));
            }
        }
        let connected = jobs.current();
        desk.submit(py, number, async move {
            let drained = async { drain_until_idle(&connected.await?, handlers).await };
            match drained.await {
                Ok(report) => Reply::Json(told_of(&report)),
                Err(error) => Reply::Error(Error::from(error)),
            }
        })
    }

    /// Takes no more jobs; those that run may end within the grace. Again: gives them
    /// back now.
    #[pyo3(signature = (now=false))]
    fn stop(&self, now: bool) {
        if let Some(handle) = &*self.handle.lock() {
            if now {
                handle.stop_now();
            } else {
                handle.stop();
            }
        }
    }

    /// The attempts that have begun, as `(number, attempt)`, and the numbers of those
    /// that are to end.
    fn take<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyList>, Vec<u64>)> {
        self.inbox.rung.store(false, Ordering::Release);
        let begun = std::mem::take(&mut *self.inbox.begun.lock());
        let cancelled = std::mem::take(&mut *self.inbox.cancelled.lock());
        let rows = PyList::empty(py);
        for Begun {
            number,
            context,
            answer,
        } in begun
        {
            let answer = Mutex::new(Some(answer));
            rows.append((number, Bound::new(py, JobAttempt { context, answer })?))?;
        }
        Ok((rows, cancelled))
    }
}

impl Worker {
    /// From now on attempts are announced on the desk's loop.
    fn hang_bell(&self, py: Python<'_>, desk: &Desk, deliver: Py<PyAny>) -> PyResult<()> {
        let ring = desk.event_loop().getattr(py, "call_soon_threadsafe")?;
        *self.inbox.bell.lock() = Some(Arc::new(Bell { ring, deliver }));
        Ok(())
    }
}

fn told_of(report: &WorkerReport) -> String {
    let numbers: serde_json::Map<_, _> = report
        .by_name()
        .into_iter()
        .map(|(name, count)| (name.to_owned(), count.into()))
        .collect();
    serde_json::Value::from(numbers).to_string()
}

/// Hands attempts to the loop and waits for what comes of them.
struct Host(Arc<Inbox>);

#[async_trait]
impl Handler for Host {
    async fn run(&self, context: Context) -> Result<Payload, HandlerError> {
        let (answer, answered) = oneshot::channel();
        let cancelled = context.cancelled();
        let number = {
            let mut next = self.0.next.lock();
            *next += 1;
            *next
        };
        self.0.begun.lock().push(Begun {
            number,
            context,
            answer,
        });
        self.0.ring();
        tokio::pin!(answered);
        tokio::select! {
            biased;
            ended = &mut answered => return ended.unwrap_or(Err(HandlerError::Cancelled)),
            () = cancelled.cancelled() => {}
        }
        self.0.cancelled.lock().push(number);
        self.0.ring();
        answered.await.unwrap_or(Err(HandlerError::Cancelled))
    }
}

impl Inbox {
    fn ring(&self) {
        if self.rung.swap(true, Ordering::AcqRel) {
            return;
        }
        let Some(bell) = self.bell.lock().clone() else {
            return;
        };
        dispatch(move |py| {
            // A loop that is closed has no handlers any more: their leases run out.
            let _ = bell.ring.call1(py, (&bell.deliver,));
        });
    }
}

impl JobAttempt {
    fn end(&self, ended: Result<Payload, HandlerError>) {
        if let Some(answer) = self.answer.lock().take() {
            // Nobody waits for one that was given up.
            let _ = answer.send(ended);
        }
    }
}

#[pymethods]
impl JobAttempt {
    #[getter]
    fn id(&self) -> &str {
        self.context.id().as_str()
    }

    #[getter]
    fn queue(&self) -> &str {
        &self.context.spec().queue
    }

    #[getter]
    fn kind(&self) -> &str {
        self.context.kind()
    }

    /// The payload's text.
    #[getter]
    fn payload<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.context.payload().as_bytes())
    }

    #[getter]
    fn attempt(&self) -> u32 {
        self.context.attempt()
    }

    #[getter]
    fn session(&self) -> Option<&str> {
        self.context.session()
    }

    #[getter]
    fn group(&self) -> Option<&str> {
        self.context.spec().group.as_deref()
    }

    #[getter]
    fn deadline(&self) -> Option<u64> {
        self.context.deadline()
    }

    #[getter]
    fn cancelled(&self) -> bool {
        self.context.is_cancelled()
    }

    fn progress(&self, percent: f32, message: &str) {
        self.context.progress(percent, message);
    }

    fn log(&self, text: &str) {
        self.context.log(text);
    }

    /// It is done; the result as JSON.
    fn complete(&self, py: Python<'_>, result: String) -> PyResult<()> {
        let result = Payload::from_json(result).map_err(|error| raised(py, &error.into()))?;
        self.end(Ok(result));
        Ok(())
    }

    /// It failed; another attempt may follow if that can help.
    #[pyo3(signature = (kind, message, trace=None, recoverable=true))]
    fn fail(&self, kind: &str, message: &str, trace: Option<&str>, recoverable: bool) {
        let mut failure = Failure::new(kind, message);
        if let Some(trace) = trace {
            failure = failure.with_trace(trace);
        }
        self.end(Err(if recoverable {
            HandlerError::Failed(failure)
        } else {
            HandlerError::Unrecoverable(failure)
        }));
    }

    /// Not now, but after so long.
    fn snooze(&self, ms: u64) {
        self.end(Err(HandlerError::Snooze(Duration::from_millis(ms))));
    }

    /// It gave way.
    fn cancel(&self) {
        self.end(Err(HandlerError::Cancelled));
    }
}
