//! A streamed answer, piece by piece.

use std::sync::Arc;

use credential_rotation::wrapper::{Answer, Attempt};
use futures_util::StreamExt;
use parking_lot::Mutex;
use pyo3::prelude::*;
use serde_json::json;
use tokio::sync::watch;

use crate::asker::Asker;
use crate::desk::{Desk, Reply, Task};
use crate::errors::raised;
use crate::outcome::trail;
use crate::runtime::runtime;
use crate::wait::block_on;
use crate::wrapper::asker;

/// An answer as it comes.
#[pyclass(frozen, module = "credential_rotation._native")]
pub(crate) struct AnswerStream {
    /// `None` when it is closed.
    answer: Arc<tokio::sync::Mutex<Option<Answer>>>,
    closed: watch::Sender<bool>,
    trail: Arc<Mutex<Vec<Attempt>>>,
    hosted: bool,
}

impl AnswerStream {
    pub(crate) fn new(answer: Answer, hosted: bool) -> Self {
        Self {
            answer: Arc::new(tokio::sync::Mutex::new(Some(answer))),
            closed: watch::Sender::new(false),
            trail: Arc::default(),
            hosted,
        }
    }

    fn step(&self) -> impl Future<Output = Reply> + Send + use<> {
        let (answer, trail) = (Arc::clone(&self.answer), Arc::clone(&self.trail));
        let mut closed = self.closed.subscribe();
        async move {
            let mut answer = answer.lock().await;
            let Some(open) = answer.as_mut() else {
                return Reply::Nothing;
            };
            let piece = tokio::select! {
                biased;
                _ = closed.wait_for(|closed| *closed) => None,
                piece = open.next() => piece,
            };
            *trail.lock() = open.trail();
            match piece {
                Some(Ok(chunk)) => Reply::Json(json!(chunk).to_string()),
                Some(Err(error)) => {
                    *answer = None;
                    Reply::Error(error)
                }
                None => {
                    *answer = None;
                    Reply::Nothing
                }
            }
        }
    }
}

#[pymethods]
impl AnswerStream {
    /// The next piece as JSON; `None` at the end.
    fn next(&self, py: Python<'_>) -> PyResult<Option<String>> {
        let asker = asker(py, self.hosted, None)?;
        match block_on(py, Asker::behind(asker, self.step()))? {
            Reply::Json(piece) => Ok(Some(piece)),
            Reply::Error(error) => Err(raised(py, &error)),
            Reply::Nothing | Reply::Outcome(_) => Ok(None),
        }
    }

    /// The same from a coroutine.
    fn anext(&self, py: Python<'_>, desk: &Desk, number: u64) -> PyResult<Task> {
        let asker = asker(py, self.hosted, Some(desk))?;
        desk.submit(py, number, Asker::behind(asker, self.step()))
    }

    /// Stops the work upstream; whoever waits for a piece is told that it is the end.
    fn close(&self) -> PyResult<()> {
        self.closed.send_replace(true);
        let answer = Arc::clone(&self.answer);
        // On the runtime: what it holds (sockets, timers) belongs there.
        runtime()?.spawn(async move { answer.lock().await.take() });
        Ok(())
    }

    #[getter]
    fn trail<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        trail(py, &self.trail.lock())
    }
}
