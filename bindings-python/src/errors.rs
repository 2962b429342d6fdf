//! Errors of the core as exceptions: the classes are Python's, the content the core's.

use credential_rotation::error::CODES;
use credential_rotation::{Error, conversation, document, job, session};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

/// Every code of the core.
#[pyfunction]
pub(crate) fn error_codes() -> Vec<&'static str> {
    [
        &CODES[..],
        &job::CODES[..],
        &session::CODES[..],
        &conversation::CODES[..],
        &document::CODES[..],
    ]
    .concat()
}

/// The exception object of an error.
pub(crate) fn exception<'py>(py: Python<'py>, error: &Error) -> PyResult<Bound<'py, PyAny>> {
    static FROM_WIRE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let from_wire = FROM_WIRE.import(py, "credential_rotation.errors", "from_wire")?;
    from_wire.call1((error.to_json().to_string(),))
}

/// The exception of an error, to raise.
pub(crate) fn raised(py: Python<'_>, error: &Error) -> PyErr {
    match exception(py, error) {
        Ok(exception) => PyErr::from_value(exception),
        Err(problem) => problem,
    }
}
