//! `credential-rotation`: asks by a configuration file, looks after its pools, runs
//! jobs and looks after them, and stands in for an endpoint.

mod call;
mod configuration;
mod document;
mod jobs;
mod pool;
mod queues;
mod sessions;
mod simulate;
pub(super) mod worker;

use clap::{CommandFactory, Parser, Subcommand};

use super::Begun;
use super::account_qwen::{self, Accounts};
use super::completions::{self, CompletionShell};
use super::shell::{Shell, Stop};

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
    /// Look at the credentials, take one out or back in
    Pool(pool::Pool),
    /// Look after a folder of qwen accounts: the actions of account-qwen
    Accounts(Box<Accounts>),
    /// Run jobs from queues, until it is told to stop
    Worker(worker::Worker),
    /// Look at jobs, and at one of them; try one again, call one off
    Jobs(jobs::Jobs),
    /// Look at queues; pause one, let it go on
    Queues(queues::Queues),
    /// Look at the workers that are there, and at the queues
    Status(queues::Status),
    /// Look at sessions; take one out and in again
    Sessions(sessions::Sessions),
    /// Print the text of a document
    Document(document::Document),
    /// Stand in for an LLM endpoint on this machine, until Ctrl-C
    Simulate(simulate::Simulate),
    /// Print the completions for a shell
    Completions {
        /// The shell
        shell: CompletionShell,
    },
}

const AFTER_HELP: &str = "\
Examples:
  credential-rotation call \"Say hello\"
  credential-rotation call - --provider anthropic --model claude-haiku-4-5 < prompt.txt
  credential-rotation pool list --json
  credential-rotation pool disable key-2 --reason \"rotated out\"
  credential-rotation accounts --list
  credential-rotation worker --url redis://localhost --queues text_processing:2 --command ./summarise
  credential-rotation jobs list --queue text_processing --state failed
  credential-rotation document text report.pdf --max-pages 10
  credential-rotation sessions list --url sqlite:sessions.db
  credential-rotation simulate --scenario scenario.json --port 8080

Exit codes: 0 done, 1 the call failed, 2 bad command line, 3 no credential can be
used, 4 bad input, 5 trouble with a file or program, 130 Ctrl-C, 143 TERM.";

/// Does what the command line asks for, as far as it can without a host.
pub(super) fn begin(arguments: Arguments, shell: &mut Shell<'_>) -> Result<Begun, Stop> {
    let as_json = arguments.json;
    let ended = match arguments.command {
        Command::Worker(worker) => return worker.begin(as_json),
        Command::Call(call) => call.run(as_json, shell),
        Command::Pool(pool) => pool.run(as_json, shell),
        Command::Accounts(accounts) => account_qwen::act(*accounts, as_json, shell),
        Command::Jobs(jobs) => jobs.run(as_json, shell),
        Command::Queues(queues) => queues.run(as_json, shell),
        Command::Status(status) => status.run(as_json, shell),
        Command::Sessions(sessions) => sessions.run(as_json, shell),
        Command::Document(document) => document.run(as_json, shell),
        Command::Simulate(simulate) => simulate.run(as_json, shell),
        Command::Completions { shell: of } => completions::print(Arguments::command(), of, shell),
    };
    ended.map(Begun::Ended)
}
