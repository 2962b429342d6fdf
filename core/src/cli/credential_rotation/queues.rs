//! `queues` and `status`: how much there is to do, and who does it.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::json;

use super::jobs::Place;
use crate::cli::pending::{Waited, wait_for};
use crate::cli::shell::{Ended, Shell, Stop};
use crate::cli::{exit, table};
use crate::clock::{Clock, SystemClock};
use crate::job::{JobError, Presence, QueueCounts, SharedJobs};

#[derive(Debug, Args)]
pub(super) struct Queues {
    #[command(flatten)]
    place: Place,
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Stop claims of a queue; running jobs go on
    Pause {
        /// The queue
        queue: String,
    },
    /// Allow claims of a queue again
    Resume {
        /// The queue
        queue: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct Status {
    #[command(flatten)]
    place: Place,
    /// Show it anew every so many seconds, until Ctrl-C; on a terminal in place
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "1",
        value_parser = clap::value_parser!(u64).range(1..=3600))]
    watch: Option<u64>,
}

impl Queues {
    pub(super) fn run(self, as_json: bool, shell: &mut Shell<'_>) -> Ended {
        let done = wait_for(async {
            let jobs = self.place.connect().await?;
            let (queue, paused) = match &self.action {
                None => return list(&jobs, as_json, shell).await,
                Some(Action::Pause { queue }) => (queue, true),
                Some(Action::Resume { queue }) => (queue, false),
            };
            let counts = jobs.counts().await?;
            if !counts.iter().any(|counts| counts.queue == *queue) {
                let queue = queue.clone();
                return Err(JobError::UnknownQueue { queue }.into());
            }
            jobs.set_paused(queue, paused).await?;
            if as_json {
                shell.say_json(&json!({ "queue": queue, "paused": paused }))?;
            } else {
                let what = if paused { "is paused" } else { "goes on" };
                shell.say(&format!("{queue} {what}"))?;
            }
            Ok(exit::OK)
        });
        match done? {
            Waited::Done(ended) => ended,
            Waited::Signalled(code) => Ok(code),
        }
    }
}

impl Status {
    pub(super) fn run(self, as_json: bool, shell: &mut Shell<'_>) -> Ended {
        let done = wait_for(async {
            let jobs = self.place.connect().await?;
            let mut seen = Seen::look(&jobs).await?;
            loop {
                if self.watch.is_some() && shell.out_is_terminal && !as_json {
                    write!(shell.out, "{HOME}")?;
                }
                seen.show(&jobs, as_json, shell)?;
                let Some(seconds) = self.watch else {
                    return Ok::<_, Stop>(exit::OK);
                };
                // Who watches wants to see it come back.
                seen = loop {
                    tokio::time::sleep(Duration::from_secs(seconds)).await;
                    match Seen::look(&jobs).await {
                        Ok(seen) => break seen,
                        Err(error) => unseen(&error, as_json, shell)?,
                    }
                };
            }
        });
        match done? {
            Waited::Done(ended) => ended,
            // To watch has no other end.
            Waited::Signalled(exit::INTERRUPTED) if self.watch.is_some() => Ok(exit::OK),
            Waited::Signalled(code) => Ok(code),
        }
    }
}

/// To the first place of the terminal, and all of it cleared.
const HOME: &str = "\x1b[H\x1b[J";

/// What there is at one time.
struct Seen {
    workers: Vec<Presence>,
    queues: Vec<QueueCounts>,
}

impl Seen {
    async fn look(jobs: &SharedJobs) -> Result<Self, JobError> {
        Ok(Self {
            workers: jobs.workers().await?,
            queues: jobs.counts().await?,
        })
    }

    fn show(&self, jobs: &SharedJobs, as_json: bool, shell: &mut Shell<'_>) -> Result<(), Stop> {
        let Self { workers, queues } = self;
        if as_json {
            let told = json!({ "backend": jobs.backend(), "workers": workers, "queues": queues });
            return shell.say_json(&told);
        }
        let now = SystemClock.now();
        let rows: Vec<_> = workers
            .iter()
            .map(|worker| worker_row(worker, now))
            .collect();
        let heads = [
            "WORKER", "HOST", "PID", "QUEUES", "RUNNING", "MEMORY", "SEEN",
        ];
        table::print(heads, &rows, shell)?;
        shell.say("")?;
        print(queues, shell)
    }
}

/// It cannot be seen for now.
fn unseen(error: &JobError, as_json: bool, shell: &mut Shell<'_>) -> Result<(), Stop> {
    if as_json {
        return shell.say_json(&json!({ "error": error.to_json() }));
    }
    shell.note(&format!("{error}: it is looked at again"));
    Ok(())
}

async fn list(jobs: &SharedJobs, as_json: bool, shell: &mut Shell<'_>) -> Ended {
    let counts = jobs.counts().await?;
    if as_json {
        shell.say_json(&json!({ "queues": counts }))?;
    } else {
        print(&counts, shell)?;
    }
    Ok(exit::OK)
}

fn print(counts: &[QueueCounts], shell: &mut Shell<'_>) -> Result<(), Stop> {
    let rows: Vec<_> = counts.iter().map(queue_row).collect();
    let heads = [
        "QUEUE",
        "WAITING",
        "DELAYED",
        "RUNNING",
        "COMPLETED",
        "FAILED",
        "CANCELLED",
        "OLDEST",
        "STATE",
    ];
    table::print(heads, &rows, shell)
}

fn queue_row(counts: &QueueCounts) -> [table::Cell; 9] {
    let oldest = counts.oldest_ms.map(|age| format!("{} s", age / 1000));
    [
        counts.queue.as_str().into(),
        counts.waiting.to_string().into(),
        counts.delayed.to_string().into(),
        counts.running.to_string().into(),
        counts.completed.to_string().into(),
        counts.failed.to_string().into(),
        counts.cancelled.to_string().into(),
        oldest.unwrap_or_default().into(),
        table::Cell::of_state(if counts.paused { "paused" } else { "ready" }),
    ]
}

fn worker_row(worker: &Presence, now: u64) -> [table::Cell; 7] {
    [
        worker.worker.as_str().into(),
        worker.host.as_str().into(),
        worker.pid.to_string().into(),
        worker.queues.join(" ").into(),
        worker.running.len().to_string().into(),
        format!("{} MB", worker.rss / 1_000_000).into(),
        format!("{} s ago", now.saturating_sub(worker.seen_at) / 1000).into(),
    ]
}
