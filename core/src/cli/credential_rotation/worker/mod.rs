//! `worker`: runs jobs from queues, a command for each, until it is told to stop.

mod command;
mod screen;
mod signals;

use clap::{Args, ValueHint};
use tokio::sync::mpsc;

use self::command::Command;
use self::screen::{Ended as AttemptEnded, Screen, Told};
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
        let mut screen = Screen::new(as_json, shell);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        let ended = runtime.block_on(self.work(text, &mut screen, shell));
        drop(runtime);
        wait_for_groups();
        let (report, code) = ended?;
        screen.end(&report, shell)?;
        Ok(code)
    }

    async fn work(
        &self,
        text: &str,
        screen: &mut Screen,
        shell: &mut Shell<'_>,
    ) -> Result<(WorkerReport, u8), Stop> {
        // Before anything is said: who reads it may send a signal at once.
        let mut signals = Signals::listen()?;
        let jobs = tokio::select! {
            jobs = self.place.connect() => jobs?,
            code = signals.next() => return Ok((WorkerReport::default(), code)),
        };
        let (told, mut telling) = mpsc::unbounded_channel();
        let mut builder = Runtime::builder(jobs.clone())
            .default_handler(Command::new(text, told.clone()))
            .on_end(move |end| {
                // Who shows it may be gone already.
                let _ = told.send(Told::Ended(AttemptEnded::of(end)));
            })
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
        match self.grace {
            // Nothing that runs is waited for.
            Some(0.0) => builder = builder.grace(std::time::Duration::ZERO),
            grace => {
                if let Some(grace) = span("--grace", grace)? {
                    builder = builder.grace(grace);
                }
            }
        }
        let worker = builder.build()?;
        let handle = worker.handle();
        let queues = self.lanes.join(" ");
        screen.begin(worker.id(), &queues, &jobs.backend(), shell)?;
        let running = worker.run(std::future::pending());
        tokio::pin!(running);
        let (mut code, mut mute) = (None, false);
        let report = loop {
            tokio::select! {
                report = &mut running => break report?,
                Some(told) = telling.recv() => if !screen.show(&told, shell) && !mute {
                    mute = true;
                    screen.note("stopping: what it says cannot be written any more", shell);
                    handle.stop();
                },
                signal = signals.next() => {
                    if code.replace(signal).is_none() {
                        let words = "stopping: waiting for the jobs that run; once more gives them back now";
                        screen.note(words, shell);
                        handle.stop();
                    } else {
                        screen.note("giving back the jobs that run", shell);
                        handle.stop_now();
                    }
                }
            }
        };
        while let Ok(told) = telling.try_recv() {
            screen.show(&told, shell);
        }
        // Told to stop and stopped: its usual end.
        Ok((report, exit::OK))
    }
}
