//! `worker`: runs jobs from queues, until it is told to stop: by a command for each, or
//! by the handlers of a module, which the host's language loads.

mod app;
mod command;
mod output;
mod plan;
mod run;
mod running;
mod screen;
mod signals;

use clap::{ArgGroup, Args, ValueHint};

pub use self::app::{AppProblem, AppWorker};
use self::command::Command;
use self::plan::Plan;
use super::jobs::Place;
use crate::cli::Begun;
use crate::cli::shell::Stop;
use crate::job::worker::Handlers;

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("work").required(true).args(["command", "app"]))]
pub(super) struct Worker {
    #[command(flatten)]
    place: Place,
    /// Queues that share a number of slots: `text_processing:2`, or `payments,webhooks:1`
    /// to take jobs of the second only when there are none of the first. More than once
    #[arg(long = "queues", value_name = "QUEUE[,QUEUE…][:N]", required = true)]
    lanes: Vec<String>,
    /// What is run for each job, by `sh -c`: the payload on standard input, the result
    /// on standard output; an exit code other than 0 is a failure
    #[arg(long, value_name = "COMMAND", value_hint = ValueHint::CommandString)]
    command: Option<String>,
    /// The handlers of a module, or those that it has under a name: a Python module with
    /// the program that pip installs, a file or package with the one that npm installs
    #[arg(long, value_name = "MODULE[:NAME]")]
    app: Option<String>,
    /// The worker's name [default: host, process and chance]
    #[arg(long, value_name = "NAME")]
    id: Option<String>,
    /// After so long without a sign of life its jobs are another's [default: 30]
    #[arg(long, value_name = "SECONDS")]
    lease: Option<f64>,
    /// How long one attempt may take [default: no limit]
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<f64>,
    /// How long running jobs may go on when it is told to stop [default: 30]
    #[arg(long, value_name = "SECONDS")]
    grace: Option<f64>,
    /// Let webhooks go to addresses of this network, too
    #[arg(long)]
    allow_private_webhooks: bool,
}

impl Worker {
    /// What it says goes over the process's streams.
    pub(super) fn begin(self, as_json: bool) -> Result<Begun, Stop> {
        let plan = Plan::of(&self)?;
        if let Some(app) = &self.app {
            return Ok(Begun::App(AppWorker::new(app, plan, as_json)));
        }
        let command = Command::new(self.command.unwrap_or_default());
        let handlers = Handlers::new().otherwise(command);
        let code = run::run(plan, handlers, |_| {}, as_json, None);
        Ok(Begun::Ended(code))
    }
}
