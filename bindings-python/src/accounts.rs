//! The accounts folder, whose results go over as JSON.

use std::path::PathBuf;

use credential_rotation::Error;
use credential_rotation::credential::accounts::{self, SwitchReason};
use pyo3::prelude::*;
use serde::Serialize;
use serde_json::json;

use crate::errors::raised;
use crate::outcome::loads;

/// Numbered accounts of one folder.
#[pyclass(frozen, module = "credential_rotation._native")]
pub(crate) struct AccountsFolder(accounts::AccountsFolder);

#[pymethods]
impl AccountsFolder {
    #[new]
    #[pyo3(signature = (qwen_dir=None, total_accounts=None))]
    fn new(
        py: Python<'_>,
        qwen_dir: Option<PathBuf>,
        total_accounts: Option<u32>,
    ) -> PyResult<Self> {
        let opened = accounts::AccountsFolder::open(qwen_dir, total_accounts);
        opened.map(Self).map_err(|error| raised(py, &error))
    }

    /// Where things are: `qwen_dir`, `state_file`, `lock_file`, `accounts_dir`, `creds_link`, `log_file`.
    fn paths<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let folder = &self.0;
        let paths = json!({
            "qwen_dir": folder.qwen_dir(),
            "state_file": folder.state_file(),
            "lock_file": folder.lock_file(),
            "accounts_dir": folder.accounts_dir(),
            "creds_link": folder.creds_link(),
            "log_file": folder.log_file(),
        });
        loads(py, &paths.to_string())
    }

    fn state<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.on_disk(py, accounts::AccountsFolder::state)
    }

    fn list_accounts<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.on_disk(py, accounts::AccountsFolder::list)
    }

    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.on_disk(py, accounts::AccountsFolder::stats)
    }

    fn switch_to<'py>(
        &self,
        py: Python<'py>,
        index: u32,
        reason: &str,
    ) -> PyResult<Bound<'py, PyAny>> {
        let reason = reason_of(py, reason)?;
        self.on_disk(py, |folder| folder.switch_to(index, reason))
    }

    fn switch_next<'py>(&self, py: Python<'py>, reason: &str) -> PyResult<Bound<'py, PyAny>> {
        let reason = reason_of(py, reason)?;
        self.on_disk(py, |folder| folder.switch_next(reason))
    }

    fn setup<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.on_disk(py, accounts::AccountsFolder::setup)
    }

    fn reset_state<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.on_disk(py, accounts::AccountsFolder::reset_state)
    }

    #[pyo3(signature = (file=None))]
    fn add<'py>(&self, py: Python<'py>, file: Option<PathBuf>) -> PyResult<Bound<'py, PyAny>> {
        self.on_disk(py, |folder| folder.add(file.as_deref()))
    }

    fn remove<'py>(&self, py: Python<'py>, index: u32) -> PyResult<Bound<'py, PyAny>> {
        self.on_disk(py, |folder| folder.remove(index))
    }
}

impl AccountsFolder {
    fn on_disk<'py, T: Serialize + Send>(
        &self,
        py: Python<'py>,
        work: impl FnOnce(&accounts::AccountsFolder) -> Result<T, Error> + Send,
    ) -> PyResult<Bound<'py, PyAny>> {
        let done = py.detach(|| work(&self.0));
        let value = done.map_err(|error| raised(py, &error))?;
        loads(py, &json!(value).to_string())
    }
}

fn reason_of(py: Python<'_>, name: &str) -> PyResult<SwitchReason> {
    name.parse().map_err(|error| raised(py, &error))
}
