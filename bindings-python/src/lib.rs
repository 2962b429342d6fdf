//! The native half of the Python package: converts values and hands them over.
//!
//! Every rule, default and text lives in the core; what a Python user sees
//! lives in `python/credential_rotation`.

use pyo3::prelude::*;

mod accounts;
mod asker;
mod conversations;
mod desk;
mod dispatch;
mod errors;
mod job_attempts;
mod jobs;
mod orders;
mod outcome;
mod pool;
mod program;
mod provider;
mod qwen;
mod rotation;
mod runtime;
mod sessions;
mod stream;
mod testing;
mod wait;
mod worker;
mod wrapper;

/// The version of the core.
#[pyfunction]
fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

#[pymodule(gil_used = false)]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(version, module)?)?;
    module.add_function(wrap_pyfunction!(dispatch::leave, module)?)?;
    module.add_function(wrap_pyfunction!(program::run_cli, module)?)?;
    module.add_function(wrap_pyfunction!(errors::error_codes, module)?)?;
    module.add_function(wrap_pyfunction!(conversations::read_document, module)?)?;
    module.add(
        "MAX_DOCUMENT_BYTES",
        credential_rotation::document::MAX_BYTES,
    )?;
    module.add_function(wrap_pyfunction!(conversations::stage, module)?)?;
    module.add_function(wrap_pyfunction!(conversations::session_name, module)?)?;
    module.add_class::<accounts::AccountsFolder>()?;
    module.add_class::<conversations::Conversations>()?;
    module.add_class::<conversations::TurnStream>()?;
    module.add_class::<desk::Desk>()?;
    module.add_class::<desk::Task>()?;
    module.add_class::<job_attempts::JobAttempt>()?;
    module.add_class::<jobs::JobEvents>()?;
    module.add_class::<jobs::JobManager>()?;
    module.add_class::<outcome::Outcome>()?;
    module.add_class::<pool::CredentialPool>()?;
    module.add_class::<program::AppWorker>()?;
    module.add_class::<provider::HostProvider>()?;
    module.add_class::<provider::Question>()?;
    module.add_class::<qwen::QwenService>()?;
    module.add_class::<rotation::Rotation>()?;
    module.add_class::<sessions::SessionManager>()?;
    module.add_class::<stream::AnswerStream>()?;
    module.add_class::<testing::ManualClock>()?;
    module.add_class::<testing::SimulatedEndpoint>()?;
    module.add_class::<worker::Worker>()?;
    module.add_class::<wrapper::Wrapper>()?;
    Ok(())
}
