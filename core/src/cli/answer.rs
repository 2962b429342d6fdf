//! One call for people: a spinner while it lasts, then the answer or the error.

use std::future::Future;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::exit;
use super::pending::{Waited, wait_for};
use super::shell::{Ended, Shell};
use crate::wrapper::Outcome;

const TURN: Duration = Duration::from_millis(100);

/// Waits for an outcome and shows it.
pub(super) fn show(
    call: impl Future<Output = Outcome>,
    as_json: bool,
    shell: &mut Shell<'_>,
) -> Ended {
    let spinner = shell.err_is_terminal.then(|| spinner(shell.colours));
    let waited = wait_for(call);
    if let Some(spinner) = spinner {
        spinner.finish_and_clear();
    }
    match waited? {
        Waited::Signalled(code) => Ok(code),
        Waited::Done(outcome) => told(outcome, as_json, shell),
    }
}

fn told(outcome: Outcome, as_json: bool, shell: &mut Shell<'_>) -> Ended {
    if !as_json {
        let response = outcome.into_result()?;
        shell.say(&response.text)?;
        return Ok(exit::OK);
    }
    let said = shell.say_json(&outcome.to_json());
    match outcome.error() {
        None => said.map(|()| exit::OK),
        // The call's failure counts, read or not.
        Some(error) => {
            shell.complain(&error.to_string());
            Ok(exit::code_of(error))
        }
    }
}

fn spinner(colours: bool) -> ProgressBar {
    let spinner = ProgressBar::new_spinner().with_message("waiting for the answer");
    let template = if colours {
        "{spinner:.cyan} {msg} {elapsed}"
    } else {
        "{spinner} {msg} {elapsed}"
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        spinner.set_style(style);
    }
    spinner.enable_steady_tick(TURN);
    spinner
}
