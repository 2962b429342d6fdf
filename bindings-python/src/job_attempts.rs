//! Attempts at jobs in Python's hands.
//!
//! They are gathered and the loop is woken once for all of them; what came of one is told
//! to its `JobAttempt`. The loop hears of each that is not waited for any more, whatever
//! ended it: a timeout, a worker that gives back what runs, a lost lease.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use credential_rotation::job::worker::{Context, Handler, HandlerError, SlotHold};
use credential_rotation::job::{Failure, Payload};
use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};
use tokio::sync::oneshot;

use crate::dispatch::dispatch;
use crate::errors::raised;
use crate::orders::Orders;

type Answer = oneshot::Sender<Result<Payload, HandlerError>>;

/// Attempts that have begun, as `(number, attempt)`, and numbers of those that are to end.
type Taken<'py> = (Bound<'py, PyList>, Vec<u64>);

/// How often a loop is looked at: one that was closed under its worker tells nobody.
const LOOK: Duration = Duration::from_secs(2);

/// What the loop is to be told.
#[derive(Default)]
pub(crate) struct Inbox {
    tray: Mutex<Tray>,
    rung: AtomicBool,
    bell: Mutex<Option<Arc<Bell>>>,
    /// For the worker that all this is about.
    pub(crate) orders: Orders,
}

/// Both under one lock: no attempt is called off before it is seen to begin.
#[derive(Default)]
struct Tray {
    last: u64,
    begun: Vec<Begun>,
    called_off: Vec<u64>,
}

struct Begun {
    number: u64,
    context: Context,
    answer: (SlotHold, Answer),
}

/// `loop.call_soon_threadsafe` and what it shall call.
struct Bell {
    ring: Py<PyAny>,
    is_closed: Py<PyAny>,
    deliver: Py<PyAny>,
}

/// One attempt at a job, in the hands of its handler.
#[pyclass(frozen, module = "credential_rotation._native")]
pub(crate) struct JobAttempt {
    context: Context,
    /// The slot is held as well: a function in a thread goes on behind its timeout.
    answer: Mutex<Option<(SlotHold, Answer)>>,
}

/// Hands attempts to the loop and waits for what comes of them.
pub(crate) struct Host(pub(crate) Arc<Inbox>);

#[async_trait]
impl Handler for Host {
    async fn run(&self, context: Context) -> Result<Payload, HandlerError> {
        let (answer, mut answered) = oneshot::channel();
        let cancelled = context.cancelled();
        let mut waiting = Waiting {
            number: self.0.begin(context, answer),
            inbox: &self.0,
            told: false,
        };
        let answer = tokio::select! {
            biased;
            answer = &mut answered => answer,
            () = cancelled.cancelled() => {
                waiting.call_off();
                // A coroutine that was called off before its first step has no words.
                return answered.await.unwrap_or(Err(HandlerError::Cancelled));
            }
        };
        waiting.told = true;
        match answer {
            Ok(answer) => answer,
            Err(_) => {
                // Its loop is gone: the worker gives back this job and all others.
                self.0.orders.stop(true);
                std::future::pending().await
            }
        }
    }
}

/// Tells the loop when an attempt's end is not waited for any more.
struct Waiting<'a> {
    inbox: &'a Arc<Inbox>,
    number: u64,
    /// Whether the loop knows that it is over.
    told: bool,
}

impl Waiting<'_> {
    fn call_off(&mut self) {
        if !std::mem::replace(&mut self.told, true) {
            self.inbox.call_off(self.number);
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.call_off();
    }
}

impl Inbox {
    /// From now on attempts are announced by `deliver()` on that loop.
    pub(crate) fn hang_bell(
        &self,
        py: Python<'_>,
        event_loop: &Py<PyAny>,
        deliver: Py<PyAny>,
    ) -> PyResult<()> {
        *self.bell.lock() = Some(Arc::new(Bell {
            ring: event_loop.getattr(py, "call_soon_threadsafe")?,
            is_closed: event_loop.getattr(py, "is_closed")?,
            deliver,
        }));
        Ok(())
    }

    /// What there is for the loop.
    pub(crate) fn take<'py>(&self, py: Python<'py>) -> PyResult<Taken<'py>> {
        self.rung.store(false, Ordering::Release);
        let (begun, called_off) = {
            let mut tray = self.tray.lock();
            let begun = std::mem::take(&mut tray.begun);
            (begun, std::mem::take(&mut tray.called_off))
        };
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
        Ok((rows, called_off))
    }

    /// Has everything given back once the loop is closed. Never ends.
    pub(crate) async fn watch(self: Arc<Self>) -> std::convert::Infallible {
        loop {
            tokio::time::sleep(LOOK).await;
            let inbox = Arc::clone(&self);
            dispatch(move |py| {
                let bell = inbox.bell.lock().clone();
                let closed = bell.map(|bell| bell.is_closed.call0(py)?.extract::<bool>(py));
                if !matches!(closed, Some(Ok(false))) {
                    inbox.orders.stop(true);
                }
            });
        }
    }

    fn begin(self: &Arc<Self>, context: Context, answer: Answer) -> u64 {
        let number = {
            let mut tray = self.tray.lock();
            tray.last += 1;
            let number = tray.last;
            tray.begun.push(Begun {
                number,
                answer: (context.hold_slot(), answer),
                context,
            });
            number
        };
        self.ring();
        number
    }

    fn call_off(self: &Arc<Self>, number: u64) {
        {
            let mut tray = self.tray.lock();
            let unseen = tray.begun.iter().position(|begun| begun.number == number);
            if let Some(unseen) = unseen {
                // Its handler need not begin.
                tray.begun.remove(unseen);
                return;
            }
            tray.called_off.push(number);
        }
        self.ring();
    }

    fn ring(self: &Arc<Self>) {
        if self.rung.swap(true, Ordering::AcqRel) {
            return;
        }
        let Some(bell) = self.bell.lock().clone() else {
            return;
        };
        let inbox = Arc::clone(self);
        dispatch(move |py| {
            if bell.ring.call1(py, (&bell.deliver,)).is_err() {
                // The loop is closed, and with it all handlers are gone.
                inbox.rung.store(false, Ordering::Release);
                inbox.orders.stop(true);
            }
        });
    }
}

impl JobAttempt {
    fn end(&self, ended: Result<Payload, HandlerError>) {
        if let Some((held, answer)) = self.answer.lock().take() {
            drop(held);
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
    fn max_attempts(&self) -> u32 {
        self.context.spec().max_attempts
    }

    #[getter]
    fn priority(&self) -> i16 {
        self.context.spec().priority
    }

    #[getter]
    fn tags(&self) -> Vec<&str> {
        let tags = &self.context.spec().tags;
        tags.iter().map(|tag| &**tag).collect()
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
