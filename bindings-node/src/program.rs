//! The shell programs as npm installs them.

use std::ffi::{OsStr, OsString};

use credential_rotation::cli::{self, Program};
use napi_derive::napi;

/// Runs the program named by `argv[0]` and gives its exit code.
#[napi]
pub(crate) fn run_cli(argv: Vec<String>) -> u8 {
    let named = argv
        .first()
        .and_then(|word| Program::named(OsStr::new(word)));
    let program = named.unwrap_or(Program::CredentialRotation);
    cli::main(program, argv.into_iter().map(OsString::from))
}
