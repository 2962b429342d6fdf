//! The pool: who may be used now, for programs that look or lend a hand.

use std::time::Duration;

use credential_rotation::Error;
use credential_rotation::config;
use credential_rotation::credential::{self, CredentialSource, CredentialSpec, PoolOptions};
use pyo3::prelude::*;
use serde::Deserialize;
use serde_json::json;

use crate::errors::raised;
use crate::outcome::loads;
use crate::wait::block_on;

/// Credentials that calls borrow.
#[pyclass(frozen, module = "credential_rotation._native")]
pub(crate) struct CredentialPool(credential::CredentialPool);

/// A pool as JSON: its credentials, where further ones come from, and its options.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetUp {
    #[serde(default)]
    credentials: Vec<CredentialSpec>,
    #[serde(default)]
    sources: Vec<CredentialSource>,
    #[serde(default)]
    options: PoolOptions,
}

#[pymethods]
impl CredentialPool {
    /// From JSON.
    #[staticmethod]
    fn from_json(py: Python<'_>, set_up: &str) -> PyResult<Self> {
        let built =
            config::from_json::<SetUp>(set_up, "the options of the pool").and_then(|set_up| {
                let credentials = CredentialSource::load_all(set_up.credentials, &set_up.sources)?;
                credential::CredentialPool::with_options(credentials, set_up.options)
            });
        built.map(Self).map_err(|error| raised(py, &error))
    }

    /// Every credential's state, by what all processes of this host know.
    fn list<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let rows = block_on(py, self.0.refreshed_list())?;
        loads(py, &json!(rows).to_string())
    }

    fn cool(&self, py: Python<'_>, id: &str, wait_ms: u64, reason: &str) -> PyResult<()> {
        done(py, self.0.cool(id, Duration::from_millis(wait_ms), reason))
    }

    #[pyo3(signature = (id, wait_ms, reason))]
    fn park(&self, py: Python<'_>, id: &str, wait_ms: Option<u64>, reason: &str) -> PyResult<()> {
        done(
            py,
            self.0.park(id, wait_ms.map(Duration::from_millis), reason),
        )
    }

    fn disable(&self, py: Python<'_>, id: &str, reason: &str) -> PyResult<()> {
        done(py, self.0.disable(id, reason))
    }

    fn admit(&self, py: Python<'_>, id: &str) -> PyResult<()> {
        done(py, self.0.admit(id))
    }

    fn __len__(&self) -> usize {
        self.0.len()
    }
}

impl CredentialPool {
    pub(crate) fn over(pool: credential::CredentialPool) -> Self {
        Self(pool)
    }

    pub(crate) fn core(&self) -> credential::CredentialPool {
        self.0.clone()
    }
}

fn done(py: Python<'_>, work: impl Future<Output = Result<(), Error>> + Send) -> PyResult<()> {
    block_on(py, work)?.map_err(|error| raised(py, &error))
}
