//! Who asks: the event loop and the context variables of a call, for providers
//! written in Python, which run elsewhere.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

tokio::task_local! {
    static ASKER: Arc<Asker>;
}

/// Where a call came from.
pub(crate) struct Asker {
    /// The loop of a call from a coroutine.
    pub(crate) event_loop: Option<Py<PyAny>>,
    /// `contextvars.copy_context()` as the call was made.
    pub(crate) context: Py<PyAny>,
}

impl Asker {
    /// Whoever is running on this thread now.
    pub(crate) fn here(py: Python<'_>, event_loop: Option<&Py<PyAny>>) -> PyResult<Self> {
        static COPY: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let copy_context = COPY.import(py, "contextvars", "copy_context")?;
        Ok(Self {
            event_loop: event_loop.map(|event_loop| event_loop.clone_ref(py)),
            context: copy_context.call0()?.unbind(),
        })
    }

    /// Who asked for the work that this task does.
    pub(crate) fn of_this_task() -> Option<Arc<Self>> {
        ASKER.try_with(Arc::clone).ok()
    }

    /// Does work on behalf of someone, where that is known.
    pub(crate) async fn behind<F: Future>(asker: Option<Self>, work: F) -> F::Output {
        match asker {
            Some(asker) => ASKER.scope(Arc::new(asker), work).await,
            None => work.await,
        }
    }
}
