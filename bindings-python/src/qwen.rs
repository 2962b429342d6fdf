//! The qwen service: one folder's accounts and keys behind one call.

use std::time::Duration;

use credential_rotation::config;
use credential_rotation::provider::Request;
use credential_rotation::qwen::{self, QwenOptions};
use credential_rotation::wrapper::CallLimits;
use pyo3::prelude::*;

use crate::errors::raised;
use crate::outcome::Outcome;
use crate::wait::block_on;
use crate::wrapper::Wrapper;

/// One folder's accounts behind one call.
#[pyclass(frozen, module = "credential_rotation._native")]
pub(crate) struct QwenService(qwen::QwenService);

#[pymethods]
impl QwenService {
    /// From options as JSON.
    #[staticmethod]
    fn open(py: Python<'_>, options: &str) -> PyResult<Self> {
        let options = config::from_json::<QwenOptions>(options, "the options");
        let opened = options.and_then(qwen::QwenService::open);
        opened.map(Self).map_err(|error| raised(py, &error))
    }

    /// The wrapper over the folder's accounts.
    fn wrapper(&self) -> Wrapper {
        Wrapper::over(self.0.wrapper().clone())
    }

    /// Asks with one prompt and a timeout for each attempt.
    fn call(&self, py: Python<'_>, prompt: String, timeout_ms: u64) -> PyResult<Outcome> {
        let attempt = Some(Duration::from_millis(timeout_ms));
        let limits = CallLimits {
            attempt,
            ..CallLimits::default()
        };
        block_on(py, self.0.complete(Request::prompt(prompt), limits)).map(Outcome::of)
    }
}
