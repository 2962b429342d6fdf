//! `account-qwen`: sets a folder of accounts up, shows it, and asks through it.

mod folder;
mod list;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, CommandFactory, Parser, ValueHint};

use super::completions::{self, CompletionShell};
use super::seconds::{LONGEST_ATTEMPT, milliseconds};
use super::shell::{Ended, Shell};
use super::{answer, prompt};
use crate::credential::accounts::AccountsFolder;
use crate::error::Error;
use crate::qwen::{QwenOptions, QwenService, folder_of};

/// Keep several qwen accounts and keys, and ask through whichever can answer.
#[derive(Debug, Parser)]
#[command(name = "account-qwen", bin_name = "account-qwen", version, after_help = AFTER_HELP)]
pub(super) struct Arguments {
    /// Print results as JSON
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    accounts: Accounts,
    /// Print the completions for a shell
    #[arg(long, value_name = "SHELL", group = "Action")]
    completions: Option<CompletionShell>,
}

/// The same as a subcommand of `credential-rotation`.
#[derive(Debug, Args)]
pub(super) struct Accounts {
    /// The folder that holds the accounts [default: $QWEN_DIR, else ~/.qwen]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    qwen_dir: Option<PathBuf>,
    /// How many accounts the folder has room for [default: what state.yaml says, else 5]
    #[arg(long, value_name = "N")]
    total_accounts: Option<u32>,
    /// The model, when the account or key names none
    #[arg(long, value_name = "M")]
    model: Option<String>,
    /// How long one attempt may take [default: 120]
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<f64>,
    /// Retries after the first attempt [default: 5]
    #[arg(long, value_name = "N")]
    max_retries: Option<u32>,
    /// Who is asked: the program, or its endpoint directly [default: qwen]
    #[arg(long, value_name = "qwen|openai")]
    provider: Option<String>,
    /// The endpoint, for keys that name none
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    base_url: Option<String>,
    /// The qwen program, when it is not on PATH
    #[arg(long, value_name = "PATH", value_hint = ValueHint::ExecutablePath)]
    program: Option<PathBuf>,
    // Last, for its heading holds for all that follow.
    #[command(flatten)]
    action: Action,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
#[command(next_help_heading = "Actions")]
struct Action {
    /// Make the folder ready and take in the account that qwen is logged in with
    #[arg(long)]
    setup: bool,
    /// Take in a token file, or the account that qwen is logged in with
    #[arg(long, value_name = "FILE", num_args = 0..=1, value_hint = ValueHint::FilePath)]
    #[allow(clippy::option_option)] // Given or not, and with a file or not.
    add: Option<Option<PathBuf>>,
    /// Delete an account
    #[arg(long, value_name = "N")]
    remove: Option<u32>,
    /// Show each account and key, its state and when it comes back
    #[arg(long)]
    list: bool,
    /// Make an account the one that programs use
    #[arg(long, value_name = "N")]
    switch: Option<u32>,
    /// Make the next account the one that programs use
    #[arg(long)]
    switch_next: bool,
    /// Show how often each account was switched to
    #[arg(long)]
    stats: bool,
    /// Ask with a prompt; `-` reads it from standard input
    #[arg(long, value_name = "PROMPT|-")]
    wrapper: Option<OsString>,
}

const AFTER_HELP: &str = "\
Examples:
  account-qwen --setup
  account-qwen --list
  account-qwen --wrapper \"Say hello\"
  account-qwen --provider openai --wrapper - --json < prompt.txt

A prompt that begins with `-` is written `--wrapper=-…`, or comes on standard input.

Exit codes: 0 done, 1 the call failed, 2 bad command line, 3 no credential can be
used, 4 bad input, 5 trouble with a file or program, 130 Ctrl-C, 143 TERM.";

/// Does what the command line asks for.
pub(super) fn run(arguments: Arguments, shell: &mut Shell<'_>) -> Ended {
    match arguments.completions {
        Some(of) => completions::print(Arguments::command(), of, shell),
        None => act(arguments.accounts, arguments.json, shell),
    }
}

/// Does one action.
pub(super) fn act(given: Accounts, as_json: bool, shell: &mut Shell<'_>) -> Ended {
    let action = &given.action;
    if let Some(word) = &action.wrapper {
        let text = prompt::read(word, shell.input)?;
        let service = QwenService::open(given.options()?)?;
        return answer::show(service.call(text), as_json, shell);
    }
    let folder = folder_of(given.qwen_dir.clone());
    let accounts = AccountsFolder::open(Some(folder), given.total_accounts)?;
    let mut desk = folder::Desk {
        accounts,
        as_json,
        shell,
    };
    if action.setup {
        desk.setup()
    } else if let Some(file) = &action.add {
        desk.add(file.as_deref())
    } else if let Some(index) = action.remove {
        desk.remove(index)
    } else if let Some(index) = action.switch {
        desk.switch(index)
    } else if action.switch_next {
        desk.switch_next()
    } else if action.stats {
        desk.stats()
    } else {
        list::show(&desk.accounts, desk.as_json, desk.shell)
    }
}

impl Accounts {
    fn options(self) -> Result<QwenOptions, Error> {
        let usual = QwenOptions::default();
        let timeout_ms = match self.timeout {
            Some(seconds) => milliseconds("--timeout", seconds, LONGEST_ATTEMPT)?,
            None => usual.timeout_ms,
        };
        Ok(QwenOptions {
            qwen_dir: self.qwen_dir,
            provider: self.provider.unwrap_or(usual.provider),
            program: self.program,
            model: self.model,
            base_url: self.base_url,
            max_retries: self.max_retries.unwrap_or(usual.max_retries),
            timeout_ms,
            // An attempt that is allowed that long must not be cut by the call's own end.
            deadline_ms: usual.deadline_ms.max(timeout_ms),
        })
    }
}
