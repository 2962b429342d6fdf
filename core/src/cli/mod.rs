//! The programs `account-qwen` and `credential-rotation`.
//!
//! One implementation for the programs that cargo installs and those of the Python
//! and Node packages: [`main`] takes a command line and gives an exit code; [`begin`] does
//! the same but leaves handlers of a module to who can load it. What a command does lies
//! elsewhere in this crate; here it is asked for and shown. `docs/cli.md` is the reference.

mod account_qwen;
mod answer;
mod completions;
mod credential_rotation;
pub mod exit;
mod patient;
mod pending;
mod prompt;
mod seconds;
mod shell;
mod table;
mod when;

use std::ffi::{OsStr, OsString};
use std::path::Path;

use clap::Parser;

pub use credential_rotation::worker::{AppProblem, AppWorker};
pub use shell::Shell;

/// One of the programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// `account-qwen`: the accounts of one folder.
    AccountQwen,
    /// `credential-rotation`: calls and pools by a configuration file.
    CredentialRotation,
}

impl Program {
    /// The program that the first word of a command line names, by path or not.
    #[must_use]
    pub fn named(word: &OsStr) -> Option<Self> {
        let name = Path::new(word).file_stem()?;
        [Self::AccountQwen, Self::CredentialRotation]
            .into_iter()
            .find(|program| program.name() == name)
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::AccountQwen => "account-qwen",
            Self::CredentialRotation => "credential-rotation",
        }
    }
}

/// What a command line has come to.
#[derive(Debug)]
pub enum Begun {
    /// It is done; the exit code.
    Ended(u8),
    /// A worker that is to run handlers of a module, which is to be loaded.
    App(AppWorker),
}

/// Runs a program with a command line, whose first word is its name, over the
/// process's streams, and gives the exit code. Blocks, on a runtime of its own.
pub fn main(program: Program, args: impl IntoIterator<Item = OsString>) -> u8 {
    Shell::of_process(|shell| run(program, args, shell))
}

/// The same over streams of the caller's; only `worker` writes to the process's own, from a
/// thread that nobody who reads slowly can hold up.
pub fn run(
    program: Program,
    args: impl IntoIterator<Item = OsString>,
    shell: &mut Shell<'_>,
) -> u8 {
    match begin_over(program, args, shell) {
        Begun::Ended(code) => code,
        Begun::App(app) => app.refuse_without_host(shell),
    }
}

/// The same as [`main`], for who can load the modules of a language.
pub fn begin(program: Program, args: impl IntoIterator<Item = OsString>) -> Begun {
    Shell::of_process(|shell| begin_over(program, args, shell))
}

fn begin_over(
    program: Program,
    args: impl IntoIterator<Item = OsString>,
    shell: &mut Shell<'_>,
) -> Begun {
    let (as_json, begun) = match program {
        Program::AccountQwen => match account_qwen::Arguments::try_parse_from(args) {
            Ok(arguments) => {
                let as_json = arguments.json;
                let ended = account_qwen::run(arguments, shell);
                (as_json, ended.map(Begun::Ended))
            }
            Err(problem) => return Begun::Ended(explain(&problem, shell)),
        },
        Program::CredentialRotation => match credential_rotation::Arguments::try_parse_from(args) {
            Ok(arguments) => (arguments.json, credential_rotation::begin(arguments, shell)),
            Err(problem) => return Begun::Ended(explain(&problem, shell)),
        },
    };
    begun.unwrap_or_else(|stop| Begun::Ended(shell.end(Err(stop), as_json)))
}

/// Help and version on stdout, mistakes on stderr.
fn explain(problem: &clap::Error, shell: &mut Shell<'_>) -> u8 {
    let text = problem.render();
    // Who closed the stream does not want to read it.
    if problem.use_stderr() {
        let _ = write!(shell.err, "{text}");
        exit::USAGE
    } else {
        let _ = write!(shell.out, "{text}");
        exit::OK
    }
}

#[cfg(test)]
mod tests;
