//! What a worker's command line comes to. All that can be wrong with it is told before
//! anything is loaded or reached.

use std::fmt;
use std::time::Duration;

use super::Worker;
use crate::cli::seconds::{LONGEST_ATTEMPT, milliseconds};
use crate::cli::shell::Stop;
use crate::connect;
use crate::error::Error;
use crate::job::worker::{Handlers, Lane, Worker as Runtime, WorkerBuilder};
use crate::job::{JobError, SharedJobs, WebhookOptions};

/// A worker that only lacks its handlers.
pub(super) struct Plan {
    url: String,
    lanes: Vec<Lane>,
    id: Option<String>,
    lease: Option<Duration>,
    timeout: Option<Duration>,
    grace: Option<Duration>,
    allow_private_webhooks: bool,
}

impl Plan {
    pub(super) fn of(words: &Worker) -> Result<Self, Stop> {
        let lanes = words.lanes.iter().map(|lane| Lane::parse(lane));
        Ok(Self {
            url: words.place.url()?,
            lanes: lanes.collect::<Result<_, _>>()?,
            id: words.id.clone(),
            lease: span("--lease", words.lease)?,
            timeout: span("--timeout", words.timeout)?,
            grace: match words.grace {
                // Nothing that runs is waited for.
                Some(0.0) => Some(Duration::ZERO),
                grace => span("--grace", grace)?,
            },
            allow_private_webhooks: words.allow_private_webhooks,
        })
    }

    pub(super) async fn connect(&self) -> Result<SharedJobs, JobError> {
        connect::jobs(&self.url).await
    }

    /// Its lanes, as on a command line.
    pub(super) fn lanes(&self) -> String {
        let lanes: Vec<String> = self.lanes.iter().map(ToString::to_string).collect();
        lanes.join(" ")
    }

    pub(super) fn builder(self, jobs: SharedJobs, handlers: Handlers) -> WorkerBuilder {
        let webhooks = WebhookOptions {
            secret: None,
            allow_private: self.allow_private_webhooks,
        };
        let mut builder = Runtime::builder(jobs).handlers(handlers).webhooks(webhooks);
        for lane in self.lanes {
            builder = builder.with_lane(lane);
        }
        if let Some(id) = self.id {
            builder = builder.id(id);
        }
        if let Some(lease) = self.lease {
            builder = builder.lease(lease);
        }
        if let Some(timeout) = self.timeout {
            builder = builder.timeout(timeout);
        }
        if let Some(grace) = self.grace {
            builder = builder.grace(grace);
        }
        builder
    }
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL may have a password.
        f.debug_struct("Plan")
            .field("lanes", &self.lanes)
            .finish_non_exhaustive()
    }
}

fn span(option: &str, seconds: Option<f64>) -> Result<Option<Duration>, Error> {
    let span = seconds.map(|seconds| milliseconds(option, seconds, LONGEST_ATTEMPT));
    Ok(span.transpose()?.map(Duration::from_millis))
}
