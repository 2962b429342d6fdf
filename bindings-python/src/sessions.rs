//! Sessions: wishes and answers as JSON. Names and forms are the core's; Python's own names
//! are given in `sessions.py`.

use std::sync::Arc;

use bytes::Bytes;
use credential_rotation::session::{SessionError, SessionKey, SharedSessions, wire};
use credential_rotation::{Error, connect};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::desk::{Desk, Reply, Task};
use crate::errors::raised;
use crate::wait::block_on;

/// Where sessions are kept.
#[pyclass(frozen, module = "credential_rotation._native")]
pub(crate) struct SessionManager {
    sessions: SharedSessions,
}

#[pymethods]
impl SessionManager {
    /// Opens the sessions at a URL.
    #[staticmethod]
    fn connect(py: Python<'_>, url: &str) -> PyResult<Self> {
        let sessions = done(py, block_on(py, connect::sessions(url))?)?;
        Ok(Self { sessions })
    }

    /// Does what a wish says; gives JSON.
    fn ask(&self, py: Python<'_>, wish: &str) -> PyResult<String> {
        done(py, block_on(py, wire::perform(&*self.sessions, wish))?)
    }

    /// The same from a coroutine.
    fn aask(&self, py: Python<'_>, desk: &Desk, number: u64, wish: String) -> PyResult<Task> {
        let sessions = self.shared();
        desk.submit(py, number, async move {
            match wire::perform(&*sessions, &wish).await {
                Ok(json) => Reply::Json(json),
                Err(error) => Reply::Error(error.into()),
            }
        })
    }

    /// Keeps a file with a session, as the wish says.
    fn put_file(&self, py: Python<'_>, wish: &str, body: &[u8]) -> PyResult<()> {
        let body = Bytes::copy_from_slice(body);
        let put = wire::put_file(&*self.sessions, wish, body);
        done(py, block_on(py, put)?)
    }

    /// Reads a file.
    fn file<'py>(
        &self,
        py: Python<'py>,
        owner: &str,
        id: &str,
        name: &str,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let key = done(py, SessionKey::new(owner, id))?;
        let body = done(py, block_on(py, self.sessions.file(&key, name))?)?;
        Ok(PyBytes::new(py, &body))
    }
}

impl SessionManager {
    pub(crate) fn shared(&self) -> SharedSessions {
        Arc::clone(&self.sessions)
    }
}

fn done<T>(py: Python<'_>, result: Result<T, SessionError>) -> PyResult<T> {
    result.map_err(|error| raised(py, &Error::from(error)))
}
