//! A command for each job: the payload on its standard input, the result on its output.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use clap::builder::styling::AnsiColor;
use serde_json::json;
use tokio::sync::mpsc;

use crate::cli::shell::{Shell, Stop};
use crate::job::worker::{Context, Handler, HandlerError};
use crate::job::{Failure, Payload, failure_kind};
use crate::provider::cli::process::{self, Inherits, Run};

/// Runs a command by the shell for each job.
///
/// It has `JOB_ID`, `JOB_QUEUE`, `JOB_KIND` and `JOB_ATTEMPT` in its environment, and a
/// process group of its own, which is ended when the job is called off.
pub(super) struct Command {
    text: String,
    told: mpsc::UnboundedSender<Told>,
}

/// An attempt that has ended, to be shown.
pub(super) struct Told {
    queue: String,
    id: String,
    took: Duration,
    failure: Option<String>,
}

impl Command {
    pub(super) fn new(text: &str, told: mpsc::UnboundedSender<Told>) -> Self {
        Self {
            text: text.to_owned(),
            told,
        }
    }

    async fn attempt(&self, job: &Context) -> Result<Payload, HandlerError> {
        let env = [
            ("JOB_ID", job.id().to_string()),
            ("JOB_QUEUE", job.spec().queue.to_string()),
            ("JOB_KIND", job.kind().to_owned()),
            ("JOB_ATTEMPT", job.attempt().to_string()),
        ];
        let run = Run {
            program: "sh".into(),
            args: vec!["-c".to_owned(), self.text.clone()],
            env: env.map(|(name, value)| (name.to_owned(), value)).into(),
            inherits: Inherits::All,
            folder: None,
            stdin: job.payload().as_bytes().to_vec(),
        };
        let running = process::run(run, |_| false, Box::new(()));
        let finished = tokio::select! {
            finished = running => finished?,
            () = job.cancelled().cancelled_owned() => return Err(HandlerError::Cancelled),
        };
        if finished.overflowed {
            let limit = process::STDOUT_LIMIT;
            let problem = format!("the command printed over {limit} bytes");
            return Err(Failure::new(failure_kind::RESULT_TOO_LARGE, problem).into());
        }
        let status = finished.status.filter(|status| !status.success());
        match status {
            None => Ok(result(finished.stdout)?),
            Some(status) => {
                let last = finished
                    .stderr
                    .lines()
                    .rev()
                    .find(|line| !line.trim().is_empty());
                let words =
                    last.map_or_else(|| status.to_string(), |last| format!("{status}: {last}"));
                Err(Failure::new(failure_kind::ERROR, words)
                    .with_trace(finished.stderr)
                    .into())
            }
        }
    }
}

/// JSON as it is, and anything else as a JSON string.
fn result(stdout: Vec<u8>) -> Result<Payload, crate::job::JobError> {
    let text = String::from_utf8_lossy(&stdout).into_owned();
    if text.trim().is_empty() {
        return Ok(Payload::NULL);
    }
    match Payload::from_json(stdout) {
        Ok(json) => Ok(json),
        Err(_) => Payload::of(&text.strip_suffix('\n').unwrap_or(&text)),
    }
}

#[async_trait]
impl Handler for Command {
    async fn run(&self, job: Context) -> Result<Payload, HandlerError> {
        let started = Instant::now();
        let ended = self.attempt(&job).await;
        let failure = match &ended {
            Ok(_) => None,
            Err(HandlerError::Failed(failure) | HandlerError::Unrecoverable(failure)) => {
                Some(failure.message.clone())
            }
            Err(_) => Some("called off".to_owned()),
        };
        // Who shows it may be gone already.
        let _ = self.told.send(Told {
            queue: job.spec().queue.to_string(),
            id: job.id().to_string(),
            took: started.elapsed(),
            failure,
        });
        ended
    }
}

impl Told {
    pub(super) fn show(self, as_json: bool, shell: &mut Shell<'_>) -> Result<(), Stop> {
        let took = u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX);
        if as_json {
            return shell.say_json(&json!({
                "queue": self.queue, "id": self.id, "took_ms": took, "failure": self.failure,
            }));
        }
        let (colour, what) = match &self.failure {
            None => (AnsiColor::Green, "done".to_owned()),
            Some(failure) => (AnsiColor::Red, format!("failed: {failure}")),
        };
        let what = shell.tint(colour, &crate::cli::shell::one_line(&what));
        let line = format!("{} {} {took} ms ", self.queue, self.id);
        shell.say_coloured(&line, &what)
    }
}
