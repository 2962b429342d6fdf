//! Tells of one end, by one request: the handler of deliveries in every worker.

#[cfg(test)]
mod tests;

use std::error::Error;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use reqwest::StatusCode;
use serde::Deserialize;
use url::Url;

use super::address::{self, AddressRefused, PublicOnly};
use super::sign::{self, SecretTrouble};
use super::{Notice, body};
use crate::clock::Clock;
use crate::credential::Secret;
use crate::job::worker::{Context, Handler, HandlerError};
use crate::job::{Failure, JobError, Payload, SharedJobs, failure_kind};
use crate::provider::http::http_client;

/// How long a request may take with its answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
/// How much of an answer is read.
const ANSWER_LIMIT: usize = 4 * 1024;
/// How much of it is told to those who look at the delivery, in characters.
const ANSWER_SHOWN: usize = 200;

/// How a worker tells of the ends of jobs that have a webhook.
///
/// Its JSON form has the same members; those left out have the defaults.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebhookOptions {
    /// What deliveries are signed with: `whsec_` and base64, as the Standard Webhooks
    /// specification has it. While a new one takes the place of an old one, both, with a
    /// space between. Default: the variable `CREDENTIAL_ROTATION_WEBHOOK_SECRET`.
    pub secret: Option<Secret>,
    /// Whether they go to addresses that only this network can reach, too. Whoever adds
    /// jobs can then have requests made to all that the worker can reach.
    pub allow_private: bool,
}

impl WebhookOptions {
    /// # Errors
    /// [`JobError::Invalid`] for a secret that is none.
    pub(in crate::job) fn check(&self) -> Result<(), JobError> {
        let checked = self.secret.as_ref().map_or(Ok(()), sign::check);
        checked.map_err(|trouble| JobError::invalid("webhooks", trouble.to_string()))
    }
}

/// Does the deliveries of a worker.
pub(in crate::job) struct Deliveries {
    jobs: SharedJobs,
    options: WebhookOptions,
    clock: Arc<dyn Clock>,
    /// Made for the first delivery: most workers have none.
    client: OnceLock<reqwest::Client>,
}

/// Why an attempt told nobody.
#[derive(Debug, thiserror::Error)]
enum Undelivered {
    #[error("the delivery's payload is none: {0}")]
    Garbled(JobError),
    #[error("{0}")]
    Refused(AddressRefused),
    #[error("{0}")]
    Unsigned(SecretTrouble),
    #[error("the job cannot be looked up: {0}")]
    Backend(JobError),
    #[error("no answer from the webhook: {0}")]
    Unreachable(String),
    #[error("the webhook answered {status}{said}")]
    Answered { status: StatusCode, said: String },
}

impl Deliveries {
    pub(in crate::job) fn new(
        jobs: SharedJobs,
        options: WebhookOptions,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            jobs,
            options,
            clock,
            client: OnceLock::new(),
        }
    }

    async fn deliver(&self, job: &Context) -> Result<StatusCode, Undelivered> {
        let notice: Notice = job.payload().read().map_err(Undelivered::Garbled)?;
        super::check_url(&notice.url).map_err(Undelivered::Garbled)?;
        let no_url = |e: url::ParseError| JobError::invalid("webhook", e.to_string());
        let url = Url::parse(&notice.url).map_err(|e| Undelivered::Garbled(no_url(e)))?;
        if !self.options.allow_private {
            address::check_literal(&url).map_err(Undelivered::Refused)?;
        }
        let ids = std::slice::from_ref(&notice.id);
        let found = self.jobs.get(ids).await.map_err(Undelivered::Backend)?;
        let ended = found.into_iter().next().flatten();
        let body = body::body(&notice, ended.as_ref())
            .map_err(|e| Undelivered::Garbled(JobError::invalid("payload", e.to_string())))?;
        let message = body::message_id(job.id(), &notice);
        let seconds = self.clock.now() / 1_000;
        let secret = sign::secret(self.options.secret.as_ref());
        let signatures = sign::signatures(secret.as_ref(), &message, seconds, &body)
            .map_err(Undelivered::Unsigned)?;
        let request = self
            .client()?
            .post(url)
            .timeout(REQUEST_TIMEOUT)
            .header("content-type", "application/json")
            .header("webhook-id", &*message)
            .header("webhook-timestamp", seconds)
            .header("webhook-signature", signatures)
            .body(body);
        let answer = request.send().await.map_err(Undelivered::of)?;
        let status = answer.status();
        let said = said(answer).await;
        match status.is_success() {
            true => Ok(status),
            false => Err(Undelivered::Answered { status, said }),
        }
    }

    fn client(&self) -> Result<&reqwest::Client, Undelivered> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let builder = http_client().map_err(|fault| Undelivered::Unreachable(fault.message))?;
        // A proxy would resolve names anew, and to what it wants.
        let mut builder = builder.no_proxy();
        if !self.options.allow_private {
            builder = builder.dns_resolver(Arc::new(PublicOnly));
        }
        let client = builder.build().map_err(Undelivered::of)?;
        Ok(self.client.get_or_init(|| client))
    }
}

#[async_trait]
impl Handler for Deliveries {
    async fn run(&self, job: Context) -> Result<Payload, HandlerError> {
        let status = self.deliver(&job).await.map_err(Undelivered::ends)?;
        Ok(Payload::of(
            &serde_json::json!({ "status": status.as_u16() }),
        )?)
    }
}

impl Undelivered {
    fn of(error: reqwest::Error) -> Self {
        let mut source: Option<&(dyn Error + 'static)> = Some(&error);
        let mut last = String::new();
        while let Some(cause) = source {
            if let Some(refused) = cause.downcast_ref::<AddressRefused>() {
                return Self::Refused(refused.clone());
            }
            last = cause.to_string();
            source = cause.source();
        }
        if error.is_timeout() {
            last = "it took longer than 15 s".to_owned();
        }
        Self::Unreachable(last)
    }

    fn ends(self) -> HandlerError {
        let words = self.to_string();
        let (kind, again) = match self {
            Self::Garbled(_) => (failure_kind::BAD_PAYLOAD, false),
            Self::Refused(_) => (failure_kind::WEBHOOK_REFUSED, false),
            Self::Unsigned(_) => (failure_kind::WEBHOOK_SECRET, true),
            Self::Backend(_) => (failure_kind::ERROR, true),
            Self::Answered { status, .. } if status == StatusCode::GONE => {
                (failure_kind::WEBHOOK_GONE, false)
            }
            Self::Unreachable(_) | Self::Answered { .. } => (failure_kind::WEBHOOK_FAILED, true),
        };
        let failure = Failure::new(kind, words);
        match again {
            true => HandlerError::Failed(failure),
            false => HandlerError::Unrecoverable(failure),
        }
    }
}

/// The beginning of an answer's text, for a failure's words.
async fn said(mut answer: reqwest::Response) -> String {
    let mut read = Vec::new();
    while read.len() < ANSWER_LIMIT
        && let Ok(Some(piece)) = answer.chunk().await
    {
        let room = ANSWER_LIMIT - read.len();
        read.extend_from_slice(&piece[..piece.len().min(room)]);
    }
    let text = String::from_utf8_lossy(&read);
    let words: Vec<&str> = text.split_whitespace().collect();
    let shown: String = words
        .join(" ")
        .chars()
        .filter(|c| !c.is_control())
        .take(ANSWER_SHOWN)
        .collect();
    match shown.is_empty() {
        true => shown,
        false => format!(": {shown}"),
    }
}
