//! What can go wrong with one attempt, in the words that rotation decides by.
//!
//! A fault says what happened and whom it concerns; what follows from it is
//! decided elsewhere (`wrapper::decide`).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::credential::Secret;

/// The longest message or body that a fault keeps, in bytes.
pub const TEXT_LIMIT: usize = 4096;

/// Whom a fault concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultClass {
    /// The request itself: no other credential would do better.
    Request,
    /// The credential: refused, or out of quota or money.
    Credential,
    /// The credential for a while: too many calls.
    Throttle,
    /// The endpoint or the way to it: nobody's key is to blame.
    Provider,
    /// The model: this credential has none of that name.
    Model,
}

/// What exactly happened. [`FaultReason::class`] says whom it concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultReason {
    /// 400 or 422: the endpoint does not accept the request.
    BadRequest,
    /// The prompt does not fit the model's window.
    ContextTooLong,
    /// Refused by the endpoint's content policy.
    ContentPolicy,
    /// 413: the body is too large.
    TooLarge,
    /// A program's output is not text (not UTF-8), or is over the limit.
    InvalidOutput,
    /// 401: the key or token is not valid, or not any more.
    Unauthorized,
    /// 403: the key may not do this.
    Forbidden,
    /// 402 and billing codes: there is no money left.
    Billing,
    /// The quota is used up.
    QuotaExhausted,
    /// A program wants a person to log in.
    LoginRequired,
    /// The plan behind the credential no longer exists.
    Discontinued,
    /// 429: too many calls for now.
    RateLimited,
    /// The account's files are in use by another run on this host.
    AccountBusy,
    /// 529 or 503: the endpoint is overloaded.
    Overloaded,
    /// Any other 5xx.
    ServerError,
    /// No connection: refused, reset, DNS or TLS.
    Connect,
    /// The attempt took longer than its timeout.
    Timeout,
    /// A stream sent nothing for longer than the idle timeout.
    Stalled,
    /// A stream or body ended before its end.
    Truncated,
    /// The answer is not in the format that the endpoint should speak.
    MalformedResponse,
    /// An answer without any text.
    EmptyResponse,
    /// A program failed in a way that it did not explain.
    Crashed,
    /// 404: no such model for this credential.
    ModelNotFound,
}

impl FaultReason {
    /// Whom this concerns.
    #[must_use]
    pub fn class(self) -> FaultClass {
        match self {
            Self::BadRequest
            | Self::ContextTooLong
            | Self::ContentPolicy
            | Self::TooLarge
            | Self::InvalidOutput => FaultClass::Request,
            Self::Unauthorized
            | Self::Forbidden
            | Self::Billing
            | Self::QuotaExhausted
            | Self::LoginRequired
            | Self::Discontinued => FaultClass::Credential,
            Self::RateLimited | Self::AccountBusy => FaultClass::Throttle,
            Self::Overloaded
            | Self::ServerError
            | Self::Connect
            | Self::Timeout
            | Self::Stalled
            | Self::Truncated
            | Self::MalformedResponse
            | Self::EmptyResponse
            | Self::Crashed => FaultClass::Provider,
            Self::ModelNotFound => FaultClass::Model,
        }
    }

    /// Its name in JSON, logs and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::ContextTooLong => "context_too_long",
            Self::ContentPolicy => "content_policy",
            Self::TooLarge => "too_large",
            Self::InvalidOutput => "invalid_output",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::Billing => "billing",
            Self::QuotaExhausted => "quota_exhausted",
            Self::LoginRequired => "login_required",
            Self::Discontinued => "discontinued",
            Self::RateLimited => "rate_limited",
            Self::AccountBusy => "account_busy",
            Self::Overloaded => "overloaded",
            Self::ServerError => "server_error",
            Self::Connect => "connect",
            Self::Timeout => "timeout",
            Self::Stalled => "stalled",
            Self::Truncated => "truncated",
            Self::MalformedResponse => "malformed_response",
            Self::EmptyResponse => "empty_response",
            Self::Crashed => "crashed",
            Self::ModelNotFound => "model_not_found",
        }
    }
}

/// One failed attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// What happened.
    pub reason: FaultReason,
    /// In words, for a person. At most [`TEXT_LIMIT`] bytes, without the secret.
    pub message: String,
    /// The HTTP status, where there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// How long the endpoint asked to be left alone.
    #[serde(skip)]
    pub retry_after: Option<Duration>,
    /// What the endpoint answered, without the secret, cut at [`TEXT_LIMIT`] bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}

impl Fault {
    /// A fault in words that do not come from outside.
    pub fn new(reason: FaultReason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: cut(message.into()),
            status: None,
            retry_after: None,
            body: None,
        }
    }

    /// Whom it concerns.
    #[must_use]
    pub fn class(&self) -> FaultClass {
        self.reason.class()
    }

    /// Adds the HTTP status.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }

    /// Adds how long the endpoint asked to be left alone.
    #[must_use]
    pub fn with_retry_after(mut self, wait: Option<Duration>) -> Self {
        self.retry_after = wait;
        self
    }

    /// Adds what the endpoint answered.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<String>) -> Self {
        self.body = Some(cut(body.into()));
        self
    }

    /// Takes the secret out of every text: endpoints echo keys in their errors.
    #[must_use]
    pub fn without(mut self, secret: &Secret) -> Self {
        let bare = secret.expose().trim();
        if bare.len() >= 4 {
            self.message = self.message.replace(bare, "***");
            self.body = self.body.map(|body| body.replace(bare, "***"));
        }
        self
    }
}

fn cut(mut text: String) -> String {
    if text.len() > TEXT_LIMIT {
        let mut end = TEXT_LIMIT;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_echoed_key_is_taken_out_of_message_and_body() {
        let fault = Fault::new(FaultReason::Unauthorized, "Incorrect API key: sk-abcdef")
            .with_body("{\"error\":\"sk-abcdef\"}")
            .without(&Secret::new("sk-abcdef"));
        assert_eq!(fault.message, "Incorrect API key: ***");
        assert_eq!(fault.body.as_deref(), Some("{\"error\":\"***\"}"));
    }

    #[test]
    fn a_long_message_is_cut_at_a_character() {
        let fault = Fault::new(FaultReason::BadRequest, "è".repeat(TEXT_LIMIT));
        assert!(fault.message.len() <= TEXT_LIMIT);
        assert!(fault.message.chars().all(|c| c == 'è'));
    }
}
