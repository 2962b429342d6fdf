//! `credential-rotation`: asks by a configuration file, shows its pools, and
//! stands in for an endpoint.

mod call;
mod pool;
mod simulate;

use std::path::PathBuf;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueHint};

use super::completions::{self, CompletionShell};
use super::shell::{Ended, Shell};
use crate::config::FILE_NAME;
use crate::error::Error;
use crate::wrapper::WrapperOptions;

/// Call LLMs through a rotating pool of credentials.
#[derive(Debug, Parser)]
#[command(name = "credential-rotation", bin_name = "credential-rotation", version, after_help = AFTER_HELP)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// Print results as JSON
    #[arg(long, global = true)]
    pub(super) json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Ask with a prompt
    Call(call::Call),
    /// Look at the credentials
    Pool(pool::Pool),
    /// Stand in for an LLM endpoint on this machine, until Ctrl-C
    Simulate(simulate::Simulate),
    /// Print the completions for a shell
    Completions {
        /// The shell
        shell: CompletionShell,
    },
}

/// Where the configuration is.
#[derive(Debug, Args)]
struct Configuration {
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = FILE_NAME, value_hint = ValueHint::FilePath)]
    config: PathBuf,
}

impl Configuration {
    fn options(&self) -> Result<WrapperOptions, Error> {
        WrapperOptions::from_file(&self.config)
    }
}

const AFTER_HELP: &str = "\
Exit codes: 0 done, 1 the call failed, 2 bad command line, 3 no credential can be
used, 4 bad input, 5 trouble with a file or program, 130 Ctrl-C, 143 TERM.";

/// Does what the command line asks for.
pub(super) fn run(arguments: Arguments, shell: &mut Shell<'_>) -> Ended {
    let as_json = arguments.json;
    match arguments.command {
        Command::Call(call) => call.run(as_json, shell),
        Command::Pool(pool) => pool.run(as_json, shell),
        Command::Simulate(simulate) => simulate.run(as_json, shell),
        Command::Completions { shell: of } => completions::print(Arguments::command(), of, shell),
    }
}
