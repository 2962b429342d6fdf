//! `account-qwen`: see `credential_rotation::cli`.
use credential_rotation::cli::{Program, main as run};
fn main() -> std::process::ExitCode {
    run(Program::AccountQwen, std::env::args_os()).into()
}
