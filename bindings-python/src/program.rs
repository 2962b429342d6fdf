//! The shell programs as pip installs them: the core's, with handlers of Python modules.

use std::ffi::OsString;
use std::sync::Arc;

use credential_rotation::cli::{self, AppProblem, Program, exit};
use credential_rotation::job::worker::Handlers;
use parking_lot::Mutex;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::desk::{Desk, Reply, Task};
use crate::job_attempts::{Host, Inbox};

/// What a command line has come to.
#[derive(IntoPyObject)]
pub(crate) enum Begun {
    Ended(u8),
    App(Py<AppWorker>),
}

/// A worker of a command line, which lacks the handlers of its module.
#[pyclass(frozen, module = "credential_rotation._native")]
pub(crate) struct AppWorker {
    module: String,
    name: Option<String>,
    /// None once it was run or refused.
    worker: Mutex<Option<cli::AppWorker>>,
    inbox: Arc<Inbox>,
}

/// Runs the program named by `argv[0]`; gives its exit code, or the worker that is to have
/// its module loaded.
#[pyfunction]
pub(crate) fn run_cli(py: Python<'_>, argv: Vec<OsString>) -> PyResult<Begun> {
    let named = argv.first().and_then(|word| Program::named(word));
    let program = named.unwrap_or(Program::CredentialRotation);
    match py.detach(|| cli::begin(program, argv)) {
        cli::Begun::Ended(code) => Ok(Begun::Ended(code)),
        cli::Begun::App(worker) => {
            let worker = AppWorker {
                module: worker.module().to_owned(),
                name: worker.name().map(str::to_owned),
                worker: Mutex::new(Some(worker)),
                inbox: Arc::default(),
            };
            Ok(Begun::App(Py::new(py, worker)?))
        }
    }
}

#[pymethods]
impl AppWorker {
    /// The module to load.
    #[getter]
    fn module(&self) -> &str {
        &self.module
    }

    /// What its handlers are called there, if that was said.
    #[getter]
    fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Says that the module cannot be loaded; gives the exit code.
    #[pyo3(signature = (problem, trace=None))]
    fn refuse(&self, py: Python<'_>, problem: String, trace: Option<String>) -> PyResult<u8> {
        self.refused(py, &AppProblem::NotLoaded { problem, trace })
    }

    /// Says that the module has so many handlers, and not one; gives the exit code.
    fn refuse_count(&self, py: Python<'_>, count: usize) -> PyResult<u8> {
        self.refused(py, &AppProblem::NotOne(count))
    }

    /// Runs until a signal and gives the exit code; attempts are announced by `deliver()`
    /// on the desk's loop.
    fn run(&self, py: Python<'_>, desk: &Desk, number: u64, deliver: Py<PyAny>) -> PyResult<Task> {
        self.inbox.hang_bell(py, desk.event_loop(), deliver)?;
        let (worker, inbox) = (self.take_worker()?, Arc::clone(&self.inbox));
        desk.submit(py, number, async move {
            let orders = Arc::clone(&inbox);
            let handlers = Handlers::new().otherwise(Host(Arc::clone(&inbox)));
            let running = tokio::task::spawn_blocking(move || {
                // Nobody has told it anything yet that could be wrong.
                worker.run(handlers, |worker| drop(orders.orders.give_to(worker)))
            });
            let code = tokio::select! {
                // What made it panic is on standard error already.
                code = running => code.unwrap_or(exit::CALL_FAILED),
                never = inbox.watch() => match never {},
            };
            Reply::Json(code.to_string())
        })
    }

    /// Takes no more jobs; those that run may end within the grace, or with `now` are given
    /// back.
    #[pyo3(signature = (now=false))]
    fn stop(&self, now: bool) {
        self.inbox.orders.stop(now);
    }

    /// The attempts that have begun, as `(number, attempt)`, and the numbers of those
    /// that are to end.
    fn take<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyList>, Vec<u64>)> {
        self.inbox.take(py)
    }
}

impl AppWorker {
    fn refused(&self, py: Python<'_>, problem: &AppProblem) -> PyResult<u8> {
        let worker = self.take_worker()?;
        Ok(py.detach(|| worker.refuse(problem)))
    }

    fn take_worker(&self) -> PyResult<cli::AppWorker> {
        let taken = self.worker.lock().take();
        taken.ok_or_else(|| PyRuntimeError::new_err("this worker has run"))
    }
}
