//! What a host language tells of an attempt of its own, and is told of its turn, as JSON.
//!
//! One form for Python and Node, so that their loops around client code of the
//! user's differ in syntax alone.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::rotation::Turn;
use crate::clock::{Clock, SystemClock, millis};
use crate::config;
use crate::credential::Credential;
use crate::error::Error;
use crate::provider::http::{ErrorFacts, classify};
use crate::provider::{Fault, FaultReason};

/// What came of an attempt that failed.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Report {
    /// What is known of the error, for the core to classify.
    Facts(ErrorFacts),
    /// A fault that a classifier of the user's named.
    Fault(NamedFault),
}

/// A fault as a classifier of the user's names it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamedFault {
    /// What happened.
    pub reason: FaultReason,
    /// In words. Default: the reason.
    pub message: Option<String>,
    /// The HTTP status, where there was one.
    pub status: Option<u16>,
    /// How long the endpoint asked to be left alone, in milliseconds.
    pub retry_after_ms: Option<u64>,
    /// What the endpoint answered.
    pub body: Option<String>,
}

impl Report {
    /// Reads the JSON form: `{"facts": {…}}` or `{"fault": {"reason": …}}`.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] naming what cannot be used.
    pub fn from_json(json: &str) -> Result<Self, Error> {
        config::from_json(json, "the classifier's fault")
    }

    /// The fault that it tells of, without the credential's secret; `None` when it is
    /// none of the pool's business.
    #[must_use]
    pub fn into_fault(self, credential: &Credential) -> Option<Fault> {
        let secret = credential.secret();
        match self {
            Self::Facts(facts) => classify(&facts.without(&secret), SystemClock.now()),
            Self::Fault(named) => Some(named.into_fault().without(&secret)),
        }
    }

    /// The fault of a provider of the host's: one that speaks of no endpoint is a
    /// fault of its code, which another credential would not mend.
    #[must_use]
    pub fn into_provider_fault(self, credential: &Credential) -> Fault {
        let words = match &self {
            Self::Facts(facts) => format!(
                "the provider threw {}: {}",
                facts.type_name.as_deref().unwrap_or("an error"),
                facts.message.as_deref().unwrap_or_default()
            ),
            Self::Fault(_) => String::new(),
        };
        let unknown = || Fault::new(FaultReason::BadRequest, words);
        self.into_fault(credential)
            .unwrap_or_else(unknown)
            .without(&credential.secret())
    }
}

impl NamedFault {
    fn into_fault(self) -> Fault {
        let message = self
            .message
            .unwrap_or_else(|| self.reason.as_str().to_owned());
        let wait = self.retry_after_ms.map(Duration::from_millis);
        let mut fault = Fault::new(self.reason, message).with_retry_after(wait);
        fault.status = self.status;
        match self.body {
            Some(body) => fault.with_body(body),
            None => fault,
        }
    }
}

impl Turn {
    /// The turn as JSON, without the secret.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "id": self.credential.id(),
            "base_url": self.credential.base_url().map(|url| url.to_string()),
            "model": self.model,
            "number": self.number,
            "target": self.target,
            "attempt_timeout_ms": millis(self.patience.attempt),
        })
    }
}
