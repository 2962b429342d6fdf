//! A call's way through the pool, for the loop in `run.py` around client code of the user's.

use std::sync::Arc;

use credential_rotation::Error;
use credential_rotation::credential::Credential;
use credential_rotation::provider::Fault;
use credential_rotation::wrapper::{self, Report};
use parking_lot::Mutex;
use pyo3::prelude::*;

use crate::desk::{Desk, Reply, Task};
use crate::errors::raised;
use crate::outcome::trail;
use crate::runtime::runtime;
use crate::wait::block_on;

/// One call's way through the pool.
#[pyclass(frozen, module = "credential_rotation._native")]
pub(crate) struct Rotation {
    way: Arc<tokio::sync::Mutex<Option<wrapper::Rotation>>>,
    turn: Arc<Mutex<Option<Credential>>>,
}

impl Rotation {
    pub(crate) fn new(way: wrapper::Rotation) -> Self {
        Self {
            way: Arc::new(tokio::sync::Mutex::new(Some(way))),
            turn: Arc::default(),
        }
    }

    fn take_turn(&self) -> impl Future<Output = Result<String, Error>> + Send + use<> {
        let (way, current) = (Arc::clone(&self.way), Arc::clone(&self.turn));
        async move {
            let mut way = way.lock().await;
            let turn = way.as_mut().ok_or(Error::Closed)?.next().await?;
            let told = turn.to_json().to_string();
            *current.lock() = Some(turn.credential);
            Ok(told)
        }
    }

    fn end_well(&self, tokens: Option<u64>) -> impl Future<Output = ()> + Send + use<> {
        let way = Arc::clone(&self.way);
        async move {
            if let Some(mut way) = way.lock().await.take() {
                way.succeed(tokens).await;
            }
        }
    }

    fn end_badly(&self, fault: Option<Fault>) -> impl Future<Output = bool> + Send + use<> {
        let way = Arc::clone(&self.way);
        async move {
            let mut way = way.lock().await;
            match (way.as_mut(), fault) {
                (Some(way), Some(fault)) => way.fail(fault, None).await,
                // None of the pool's business: the credential goes back as it came.
                _ => {
                    way.take();
                    false
                }
            }
        }
    }

    fn fault(&self, py: Python<'_>, report: &str) -> PyResult<Option<Fault>> {
        let report = Report::from_json(report).map_err(|error| raised(py, &error))?;
        let turn = self.turn.lock();
        Ok(turn
            .as_ref()
            .and_then(|credential| report.into_fault(credential)))
    }
}

#[pymethods]
impl Rotation {
    /// Whose turn it is, as JSON.
    fn next(&self, py: Python<'_>) -> PyResult<String> {
        block_on(py, self.take_turn())?.map_err(|error| raised(py, &error))
    }

    /// The same from a coroutine.
    fn anext(&self, py: Python<'_>, desk: &Desk, number: u64) -> PyResult<Task> {
        let turn = self.take_turn();
        desk.submit(py, number, async {
            turn.await.map_or_else(Reply::Error, Reply::Json)
        })
    }

    /// The bare secret of the turn's credential.
    #[getter]
    fn secret(&self) -> Option<String> {
        let turn = self.turn.lock();
        turn.as_ref()
            .map(|credential| credential.secret().expose().to_owned())
    }

    /// Reports success.
    #[pyo3(signature = (tokens=None))]
    fn succeed(&self, py: Python<'_>, tokens: Option<u64>) -> PyResult<()> {
        block_on(py, self.end_well(tokens))
    }

    /// The same from a coroutine.
    #[pyo3(signature = (desk, number, tokens=None))]
    fn asucceed(
        &self,
        py: Python<'_>,
        desk: &Desk,
        number: u64,
        tokens: Option<u64>,
    ) -> PyResult<Task> {
        let done = self.end_well(tokens);
        desk.submit(py, number, async {
            done.await;
            Reply::Nothing
        })
    }

    /// Reports a failure, as JSON. Says whether the call goes on.
    fn fail(&self, py: Python<'_>, report: &str) -> PyResult<bool> {
        let fault = self.fault(py, report)?;
        block_on(py, self.end_badly(fault))
    }

    /// The same from a coroutine.
    fn afail(&self, py: Python<'_>, desk: &Desk, number: u64, report: &str) -> PyResult<Task> {
        let done = self.end_badly(self.fault(py, report)?);
        desk.submit(py, number, async { Reply::Json(done.await.to_string()) })
    }

    /// Gives the credential back, whatever came of it.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.turn.lock().take();
        block_on(py, self.end_badly(None)).map(drop)
    }

    /// The same without waiting, from a coroutine.
    fn release(&self) -> PyResult<()> {
        self.turn.lock().take();
        // At once where nothing is under way, so that whoever looks next sees it back.
        if let Ok(mut way) = self.way.try_lock() {
            way.take();
            return Ok(());
        }
        runtime()?.spawn(self.end_badly(None));
        Ok(())
    }

    /// Each attempt so far.
    #[getter]
    fn trail<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match self.way.try_lock() {
            Ok(way) => trail(py, way.as_ref().map(|way| way.trail()).unwrap_or_default()),
            Err(_) => trail(py, &[]),
        }
    }
}
