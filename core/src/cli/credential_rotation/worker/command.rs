//! A command for each job: the payload on its standard input, the result on its output.

use async_trait::async_trait;

use crate::job::worker::{Context, Handler, HandlerError};
use crate::job::{Failure, Payload, failure_kind};
use crate::provider::cli::process::{self, Inherits, Run};

/// Runs a command by the shell for each job.
///
/// It has `JOB_ID`, `JOB_QUEUE`, `JOB_KIND` and `JOB_ATTEMPT` in its environment, and a
/// process group of its own, which is ended when the job is called off.
pub(super) struct Command(String);

impl Command {
    pub(super) fn new(text: String) -> Self {
        Self(text)
    }
}

#[async_trait]
impl Handler for Command {
    async fn run(&self, job: Context) -> Result<Payload, HandlerError> {
        let env = [
            ("JOB_ID", job.id().to_string()),
            ("JOB_QUEUE", job.spec().queue.to_string()),
            ("JOB_KIND", job.kind().to_owned()),
            ("JOB_ATTEMPT", job.attempt().to_string()),
        ];
        let run = Run {
            program: "sh".into(),
            args: vec!["-c".to_owned(), self.0.clone()],
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
            let failure = Failure::new(failure_kind::RESULT_TOO_LARGE, problem);
            return Err(HandlerError::Unrecoverable(failure));
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
