//! `worker`: runs jobs from queues, a command for each, until it is told to stop.

mod command;
mod signals;

use clap::{Args, ValueHint};
use serde_json::json;
use tokio::sync::mpsc;

use self::command::{Command, Told};
use self::signals::Signals;
use super::jobs::Place;
use crate::cli::exit;
use crate::cli::seconds::{LONGEST_ATTEMPT, milliseconds};
use crate::cli::shell::{Ended, Shell, Stop};
use crate::config::invalid;
use crate::job::WebhookOptions;
use crate::job::worker::{Lane, Worker as Runtime, WorkerReport};
use crate::provider::cli::wait_for_groups;

#[derive(Debug, Args)]
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
    /// A Python or Node module with handlers, for the program that pip or npm installs
    #[arg(long, value_name = "MODULE", conflicts_with = "command")]
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
    pub(super) fn run(self, as_json: bool, shell: &mut Shell<'_>) -> Ended {
        let Some(text) = &self.command else {
            let problem = match &self.app {
                Some(_) => {
                    "this program runs commands only: for a Python or Node module use the one that pip or npm installs"
                }
                None => "say what is to be run for each job",
            };
            return Err(invalid("--command", &problem).into());
        };
        let (told, telling) = mpsc::unbounded_channel();
        let command = Command::new(text, told);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        let ended = runtime.block_on(self.work(command, telling, as_json, shell));
        drop(runtime);
        wait_for_groups();
        let (report, code) = ended?;
        if as_json {
            shell.say_json(&json!({ "success": true, "report": summary(&report) }))?;
        } else {
            let WorkerReport {
                completed,
                failed,
                released,
                ..
            } = report;
            shell.say(&format!(
                "stopped: {completed} completed, {failed} failed, {released} given back"
            ))?;
        }
        Ok(code)
    }

    async fn work(
        &self,
        command: Command,
        mut telling: mpsc::UnboundedReceiver<Told>,
        as_json: bool,
        shell: &mut Shell<'_>,
    ) -> Result<(WorkerReport, u8), Stop> {
        // Before anything is said: who reads it may send a signal at once.
        let mut signals = Signals::listen()?;
        let jobs = tokio::select! {
            jobs = self.place.connect() => jobs?,
            code = signals.next() => return Ok((WorkerReport::default(), code)),
        };
        let mut builder = Runtime::builder(jobs.clone())
            .default_handler(command)
            .webhooks(WebhookOptions {
                secret: None,
                allow_private: self.allow_private_webhooks,
            });
        for lane in &self.lanes {
            builder = builder.with_lane(Lane::parse(lane)?);
        }
        if let Some(id) = &self.id {
            builder = builder.id(id);
        }
        let span = |option, seconds: Option<f64>| {
            let seconds = seconds.map(|seconds| milliseconds(option, seconds, LONGEST_ATTEMPT));
            seconds
                .transpose()
                .map(|span| span.map(std::time::Duration::from_millis))
        };
        if let Some(lease) = span("--lease", self.lease)? {
            builder = builder.lease(lease);
        }
        if let Some(timeout) = span("--timeout", self.timeout)? {
            builder = builder.timeout(timeout);
        }
        if let Some(grace) = span("--grace", self.grace)? {
            builder = builder.grace(grace);
        }
        let worker = builder.build()?;
        let handle = worker.handle();
        if !as_json {
            let queues = self.lanes.join(" ");
            shell.say(&format!(
                "worker {} takes {queues} from {}",
                worker.id(),
                jobs.backend()
            ))?;
        }
        let running = worker.run(std::future::pending());
        tokio::pin!(running);
        let mut code = None;
        let report = loop {
            tokio::select! {
                report = &mut running => break report?,
                Some(told) = telling.recv() => told.show(as_json, shell)?,
                signal = signals.next() => {
                    if code.replace(signal).is_none() {
                        shell.note("stopping: waiting for the jobs that run; once more gives them back now");
                        handle.stop();
                    } else {
                        shell.note("giving back the jobs that run");
                        handle.stop_now();
                    }
                }
            }
        };
        while let Ok(told) = telling.try_recv() {
            told.show(as_json, shell)?;
        }
        // Told to stop and stopped: its usual end.
        Ok((report, exit::OK))
    }
}

fn summary(report: &WorkerReport) -> serde_json::Value {
    let numbers = report.by_name().into_iter();
    numbers
        .map(|(name, count)| (name.to_owned(), count.into()))
        .collect::<serde_json::Map<_, _>>()
        .into()
}
