//! The native half of the Python package: converts values and hands them over.
//!
//! Every rule, default and text lives in the core; what a Python user sees
//! lives in `python/credential_rotation`.

use pyo3::prelude::*;

mod program;

/// The version of the core.
#[pyfunction]
fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

#[pymodule(gil_used = false)]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(version, module)?)?;
    module.add_function(wrap_pyfunction!(program::run_cli, module)?)?;
    Ok(())
}
