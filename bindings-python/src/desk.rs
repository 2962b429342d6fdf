//! The desk: where coroutines leave work under a number and get the results.
//!
//! All results that are there when the event loop looks go over at once: many
//! finished calls wake it with one `call_soon_threadsafe`. The futures stay with
//! Python (`_desk.py`); no worker thread of ours ever waits for the GIL.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use credential_rotation::{Error, wrapper};
use parking_lot::Mutex;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyList;
use tokio::task::AbortHandle;

use crate::dispatch::{dispatch, still_here};
use crate::errors::exception;
use crate::outcome::Outcome;
use crate::runtime::runtime;

/// What came of a piece of work.
pub(crate) enum Reply {
    /// A call's outcome.
    Outcome(Box<wrapper::Outcome>),
    /// A value as JSON.
    Json(String),
    /// Nothing, or the end of a stream.
    Nothing,
    /// An error to raise.
    Error(Error),
}

/// The desk of one event loop.
#[pyclass(frozen, module = "credential_rotation._native")]
pub(crate) struct Desk(Arc<Shared>);

struct Shared {
    event_loop: Py<PyAny>,
    /// `loop.call_soon_threadsafe` and what it shall call.
    ring: Py<PyAny>,
    is_closed: Py<PyAny>,
    deliver: Py<PyAny>,
    outbox: Mutex<Vec<(u64, Reply)>>,
    rung: AtomicBool,
}

/// Work that is under way.
#[pyclass(frozen, module = "credential_rotation._native")]
pub(crate) struct Task(AbortHandle);

#[pymethods]
impl Task {
    /// Ends the work wherever it is; its result does not come any more.
    fn cancel(&self) {
        self.0.abort();
    }
}

#[pymethods]
impl Desk {
    /// A desk for `loop`, on which `deliver()` is called when there are results.
    #[new]
    fn new(r#loop: &Bound<'_, PyAny>, deliver: Py<PyAny>) -> PyResult<Self> {
        Ok(Self(Arc::new(Shared {
            event_loop: r#loop.clone().unbind(),
            ring: r#loop.getattr("call_soon_threadsafe")?.unbind(),
            is_closed: r#loop.getattr("is_closed")?.unbind(),
            deliver,
            outbox: Mutex::default(),
            rung: AtomicBool::new(false),
        })))
    }

    /// The results that are there: a list of `(number, succeeded, value)`.
    fn take<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        self.0.rung.store(false, Ordering::Release);
        let replies = std::mem::take(&mut *self.0.outbox.lock());
        let rows = PyList::empty(py);
        for (number, reply) in replies {
            let row = match reply {
                Reply::Outcome(outcome) => (
                    number,
                    true,
                    Bound::new(py, Outcome::of(*outcome))?.into_any(),
                )
                    .into_pyobject(py)?,
                Reply::Json(json) => (number, true, json).into_pyobject(py)?,
                Reply::Nothing => (number, true, py.None()).into_pyobject(py)?,
                Reply::Error(error) => (number, false, exception(py, &error)?).into_pyobject(py)?,
            };
            rows.append(row)?;
        }
        Ok(rows)
    }
}

impl Desk {
    /// The loop it serves.
    pub(crate) fn event_loop(&self) -> &Py<PyAny> {
        &self.0.event_loop
    }

    /// Does `work` and delivers what came of it under `number`.
    pub(crate) fn submit(
        &self,
        py: Python<'_>,
        number: u64,
        work: impl Future<Output = Reply> + Send + 'static,
    ) -> PyResult<Task> {
        still_here(py)?;
        let desk = Arc::clone(&self.0);
        let task = runtime()?.spawn(async move {
            let reply = work.await;
            deliver(desk, number, reply);
        });
        Ok(Task(task.abort_handle()))
    }
}

fn deliver(desk: Arc<Shared>, number: u64, reply: Reply) {
    desk.outbox.lock().push((number, reply));
    if !desk.rung.swap(true, Ordering::AcqRel) {
        dispatch(move |py| desk.ring(py));
    }
}

impl Shared {
    fn ring(&self, py: Python<'_>) {
        let closed = self
            .is_closed
            .call0(py)
            .and_then(|closed| closed.extract::<bool>(py));
        if !matches!(closed, Ok(false)) {
            self.outbox.lock().clear();
            return;
        }
        // A loop that closes in between refuses; its futures are gone with it.
        if let Err(problem) = self.ring.call1(py, (&self.deliver,))
            && !problem.is_instance_of::<PyRuntimeError>(py)
        {
            problem.write_unraisable(py, None);
        }
    }
}
