//! The simulated endpoint and the clock set by hand, for tests of users' own.

use std::sync::Arc;
use std::time::Duration;

use credential_rotation::clock::Clock;
use credential_rotation::job::memory::MemoryJobs;
use credential_rotation::testing::{self, Scenario, Script};
use parking_lot::Mutex;
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use serde_json::json;

use crate::errors::raised;
use crate::jobs::JobManager;
use crate::outcome::loads;

/// An HTTP server on loopback that speaks both wire formats and fails as it is told to.
#[pyclass(frozen, module = "credential_rotation._native")]
pub(crate) struct SimulatedEndpoint(Mutex<Option<testing::SimulatedEndpoint>>);

#[pymethods]
impl SimulatedEndpoint {
    /// Starts one with a scenario as JSON.
    #[staticmethod]
    fn start(py: Python<'_>, scenario: &str) -> PyResult<Self> {
        let scenario = Scenario::from_json(scenario).map_err(|error| raised(py, &error))?;
        let started = py.detach(|| testing::SimulatedEndpoint::start_blocking(scenario));
        let endpoint = started.map_err(|problem| PyOSError::new_err(problem.to_string()))?;
        Ok(Self(Mutex::new(Some(endpoint))))
    }

    /// Stops it.
    fn stop(&self, py: Python<'_>) {
        let endpoint = self.0.lock().take();
        py.detach(|| drop(endpoint));
    }

    #[getter]
    fn url(&self) -> PyResult<String> {
        self.with(testing::SimulatedEndpoint::url)
    }

    fn script(&self, py: Python<'_>, key: &str, script: &str) -> PyResult<()> {
        let script = Script::from_json(script).map_err(|error| raised(py, &error))?;
        self.with(|endpoint| endpoint.script(key, script))
    }

    fn hits(&self, key: &str) -> PyResult<u64> {
        self.with(|endpoint| endpoint.hits(key))
    }

    fn hits_total(&self) -> PyResult<u64> {
        self.with(testing::SimulatedEndpoint::hits_total)
    }

    fn closed_early(&self, key: &str) -> PyResult<u64> {
        self.with(|endpoint| endpoint.closed_early(key))
    }

    fn in_flight(&self) -> PyResult<usize> {
        self.with(testing::SimulatedEndpoint::in_flight)
    }

    /// Requests seen: path and body of each, without the keys.
    fn requests<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let seen = self.with(testing::SimulatedEndpoint::requests)?;
        let rows: Vec<_> = seen
            .iter()
            .map(|r| json!({"path": r.path, "body": r.body, "at": r.at}))
            .collect();
        loads(py, &json!(rows).to_string())
    }
}

impl SimulatedEndpoint {
    fn with<T>(&self, look: impl FnOnce(&testing::SimulatedEndpoint) -> T) -> PyResult<T> {
        let endpoint = self.0.lock();
        let running = endpoint
            .as_ref()
            .ok_or_else(|| PyValueError::new_err("the endpoint is stopped"));
        running.map(look)
    }
}

/// A clock that stands still until it is moved, and jobs in memory that go by it.
#[pyclass(frozen, module = "credential_rotation._native")]
pub(crate) struct ManualClock(testing::ManualClock);

#[pymethods]
impl ManualClock {
    /// One that shows this time, or the first of January 2026.
    #[new]
    #[pyo3(signature = (now=None))]
    fn new(now: Option<u64>) -> Self {
        Self(now.map_or_else(testing::ManualClock::default, testing::ManualClock::new))
    }

    /// What it shows, in epoch milliseconds.
    #[getter]
    fn now(&self) -> u64 {
        self.0.now()
    }

    /// Moves it forward.
    fn advance(&self, ms: u64) {
        self.0.advance(Duration::from_millis(ms));
    }

    /// Sets it. An earlier time than it shows is ignored.
    fn set(&self, now: u64) {
        self.0.set(now);
    }

    /// New jobs in memory that go by it.
    fn jobs(&self) -> JobManager {
        JobManager::in_memory(MemoryJobs::with_clock(Arc::new(self.0.clone())))
    }
}
