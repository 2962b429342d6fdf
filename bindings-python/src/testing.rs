//! The simulated endpoint, for tests of users' own.

use credential_rotation::testing::{self, Scenario, Script};
use parking_lot::Mutex;
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use serde_json::json;

use crate::errors::raised;
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
