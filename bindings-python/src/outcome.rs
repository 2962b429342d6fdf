//! What a call came to; its parts become Python values when they are asked for.

use credential_rotation::clock::millis;
use credential_rotation::wrapper;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use serde_json::json;

use crate::errors::{exception, raised};

/// The outcome of one call. Never silent about what was tried.
#[pyclass(frozen, module = "credential_rotation")]
pub(crate) struct Outcome(wrapper::Outcome);

impl Outcome {
    pub(crate) fn of(outcome: wrapper::Outcome) -> Self {
        Self(outcome)
    }
}

#[pymethods]
impl Outcome {
    #[getter]
    fn success(&self) -> bool {
        self.0.success()
    }

    #[getter]
    fn output(&self) -> Option<&str> {
        self.0.text()
    }

    #[getter]
    fn error<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.0.error().map(|error| exception(py, error)).transpose()
    }

    #[getter]
    fn attempts(&self) -> u32 {
        self.0.attempts
    }

    #[getter]
    fn trail<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        trail(py, &self.0.trail)
    }

    #[getter]
    fn usage<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        static USAGE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let Some(usage) = self.0.usage() else {
            return Ok(None);
        };
        let class = USAGE.import(py, "credential_rotation.outcome", "Usage")?;
        class
            .call1((usage.input_tokens, usage.output_tokens, usage.cached_tokens))
            .map(Some)
    }

    #[getter]
    fn model(&self) -> Option<&str> {
        self.0.model()
    }

    #[getter]
    fn finish_reason(&self) -> Option<&str> {
        self.0.result.as_ref().ok()?.finish_reason.as_deref()
    }

    #[getter]
    fn tool_calls<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let calls = self
            .0
            .result
            .as_ref()
            .map(|response| response.tool_calls.as_slice());
        loads(py, &json!(calls.unwrap_or_default()).to_string())
    }

    #[getter]
    fn duration_ms(&self) -> u64 {
        millis(self.0.duration)
    }

    #[getter]
    fn cached(&self) -> bool {
        self.0.cached
    }

    /// The text of the answer; raises the error when there is none.
    fn unwrap(&self, py: Python<'_>) -> PyResult<&str> {
        match &self.0.result {
            Ok(response) => Ok(&response.text),
            Err(error) => Err(raised(py, error)),
        }
    }

    /// The outcome as plain data.
    fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        loads(py, &self.0.to_json().to_string())
    }

    fn __repr__(&self) -> String {
        let how = match &self.0.result {
            Ok(_) => "success=True".to_owned(),
            Err(error) => format!("success=False, error={:?}", error.code()),
        };
        format!("<Outcome {how}, attempts={}>", self.0.attempts)
    }
}

/// Attempts as Python values.
pub(crate) fn trail<'py>(
    py: Python<'py>,
    trail: &[wrapper::Attempt],
) -> PyResult<Bound<'py, PyAny>> {
    static TRAIL: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let from_wire = TRAIL.import(py, "credential_rotation.outcome", "trail_from_wire")?;
    from_wire.call1((json!(trail).to_string(),))
}

/// JSON as Python values.
pub(crate) fn loads<'py>(py: Python<'py>, json: &str) -> PyResult<Bound<'py, PyAny>> {
    static LOADS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    LOADS.import(py, "json", "loads")?.call1((json,))
}
