//! The shell programs as pip installs them.

use std::ffi::OsString;

use credential_rotation::cli::{self, Program};
use pyo3::prelude::*;

/// Runs the program named by `argv[0]` and gives its exit code.
#[pyfunction]
pub(crate) fn run_cli(py: Python<'_>, argv: Vec<OsString>) -> u8 {
    let named = argv.first().and_then(|word| Program::named(word));
    let program = named.unwrap_or(Program::CredentialRotation);
    py.detach(|| cli::main(program, argv))
}
