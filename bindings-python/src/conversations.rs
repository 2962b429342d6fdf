//! Conversations: turns as they come, and jobs that take them.

use std::sync::Arc;

use bytes::Bytes;
use credential_rotation::conversation::{self, jobs, wire};
use credential_rotation::document;
use credential_rotation::job::JobState;
use credential_rotation::session::SessionKey;
use futures_util::StreamExt;
use pyo3::prelude::*;
use serde_json::json;
use tokio::sync::watch;

use crate::asker::Asker;
use crate::desk::{Desk, Reply, Task};
use crate::errors::raised;
use crate::jobs::JobManager;
use crate::runtime::runtime;
use crate::sessions::SessionManager;
use crate::wait::block_on;
use crate::wrapper::{Wrapper, asker};

/// Sessions and those who answer in them.
#[pyclass(frozen, module = "credential_rotation._native")]
pub(crate) struct Conversations {
    core: conversation::Conversations,
    /// Whether a provider written in Python wants to know who asks.
    hosted: bool,
}

#[pymethods]
impl Conversations {
    /// Over sessions, answered through a wrapper or those that a session names; options as
    /// JSON.
    #[new]
    #[allow(clippy::needless_pass_by_value)]
    fn new(
        py: Python<'_>,
        sessions: &SessionManager,
        wrapper: &Wrapper,
        wrappers: Vec<(String, Py<Wrapper>)>,
        options: &str,
    ) -> PyResult<Self> {
        let hosted = wrapper.hosted() || wrappers.iter().any(|(_, other)| other.get().hosted());
        let others = wrappers
            .iter()
            .map(|(name, other)| (name.clone(), other.get().core()))
            .collect();
        let made = wire::conversations(sessions.shared(), wrapper.core(), others, options);
        let core = made.map_err(|error| raised(py, &error))?;
        Ok(Self { core, hosted })
    }

    /// Takes a turn. Nothing happens before the first piece is asked for.
    fn say(&self, wish: &str) -> TurnStream {
        TurnStream {
            turn: Arc::new(tokio::sync::Mutex::new(Some(wire::say(&self.core, wish)))),
            closed: watch::Sender::new(false),
            hosted: self.hosted,
        }
    }

    /// Asks for a job; gives its id.
    #[pyo3(signature = (jobs, order, file=None))]
    fn submit(
        &self,
        py: Python<'_>,
        jobs: &JobManager,
        order: &str,
        file: Option<Vec<u8>>,
    ) -> PyResult<String> {
        let current = jobs.current();
        let submitted = block_on(py, async {
            let jobs = current.await?;
            wire::submit(&self.core, &*jobs, order, file.map(Bytes::from)).await
        })?;
        let id = submitted.map_err(|error| raised(py, &error))?;
        Ok(id.to_string())
    }
}

impl Conversations {
    pub(crate) fn core(&self) -> conversation::Conversations {
        self.core.clone()
    }
}

/// A job's state in the words that people are shown.
#[pyfunction]
pub(crate) fn stage(kind: &str, state: &str) -> PyResult<&'static str> {
    let state: JobState = serde_json::from_value(json!(state))
        .map_err(|problem| pyo3::exceptions::PyValueError::new_err(problem.to_string()))?;
    Ok(jobs::stage(kind, state))
}

/// What a session is called among jobs.
#[pyfunction]
pub(crate) fn session_name(py: Python<'_>, owner: &str, id: &str) -> PyResult<String> {
    let key = SessionKey::new(owner, id).map_err(|error| raised(py, &error.into()))?;
    Ok(jobs::session_name(&key))
}

/// Reads a document by options as JSON; gives JSON.
#[pyfunction]
pub(crate) fn read_document(py: Python<'_>, body: &[u8], options: &str) -> PyResult<String> {
    let read = py.detach(|| document::wire::read_json(body, options));
    read.map_err(|error| raised(py, &error.into()))
}

/// A turn as it goes on.
#[pyclass(frozen, module = "credential_rotation._native")]
pub(crate) struct TurnStream {
    /// `None` when it is closed.
    turn: Arc<tokio::sync::Mutex<Option<conversation::TurnStream>>>,
    closed: watch::Sender<bool>,
    hosted: bool,
}

impl TurnStream {
    fn step(&self) -> impl Future<Output = Reply> + Send + use<> {
        let turn = Arc::clone(&self.turn);
        let mut closed = self.closed.subscribe();
        async move {
            let mut turn = turn.lock().await;
            let Some(open) = turn.as_mut() else {
                return Reply::Nothing;
            };
            let piece = tokio::select! {
                biased;
                _ = closed.wait_for(|closed| *closed) => None,
                piece = open.next() => piece,
            };
            match piece {
                Some(Ok(piece)) => Reply::Json(json!(piece).to_string()),
                Some(Err(error)) => {
                    *turn = None;
                    Reply::Error(error)
                }
                None => {
                    *turn = None;
                    Reply::Nothing
                }
            }
        }
    }
}

#[pymethods]
impl TurnStream {
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

    /// Stops the turn: the session is as it was.
    fn close(&self) -> PyResult<()> {
        self.closed.send_replace(true);
        let turn = Arc::clone(&self.turn);
        // On the runtime: what it holds (sockets, timers) belongs there.
        runtime()?.spawn(async move { turn.lock().await.take() });
        Ok(())
    }
}
