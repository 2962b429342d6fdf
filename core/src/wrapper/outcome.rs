//! What a call came to: the answer or the error, and how it got there.

use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use crate::clock::millis;
use crate::error::Error;
use crate::provider::{Fault, Response, Usage};

/// The result of one call. Never silent about what was tried.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The answer, or why there is none.
    pub result: Result<Response, Error>,
    /// Requests made upstream.
    pub attempts: u32,
    /// Each attempt, in order.
    pub trail: Vec<Attempt>,
    /// From the call to its end, waiting included.
    pub duration: Duration,
    /// Whether the answer came from the cache or from an identical call in flight.
    pub cached: bool,
}

/// One attempt of a call.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Attempt {
    /// The credential's id.
    pub credential: String,
    /// The provider's name.
    pub provider: String,
    /// The model asked for, when one was named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What went wrong; `None` for success.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
}

impl Outcome {
    /// A call that ended before any attempt.
    pub(crate) fn refused(error: Error) -> Self {
        Self {
            result: Err(error),
            attempts: 0,
            trail: Vec::new(),
            duration: Duration::ZERO,
            cached: false,
        }
    }

    /// Whether there is an answer.
    #[must_use]
    pub fn success(&self) -> bool {
        self.result.is_ok()
    }

    /// The text of the answer, if there is one.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        self.result
            .as_ref()
            .ok()
            .map(|response| response.text.as_str())
    }

    /// Why there is no answer.
    #[must_use]
    pub fn error(&self) -> Option<&Error> {
        self.result.as_ref().err()
    }

    /// What the answer cost, where the endpoint said so.
    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        self.result.as_ref().ok()?.usage
    }

    /// The model that answered.
    #[must_use]
    pub fn model(&self) -> Option<&str> {
        self.result.as_ref().ok()?.model.as_deref()
    }

    /// The answer alone.
    ///
    /// # Errors
    /// Why there is none.
    pub fn into_result(self) -> Result<Response, Error> {
        self.result
    }

    /// The outcome as every language carries it.
    #[must_use]
    pub fn to_json(&self) -> Value {
        serde_json::to_value(Told::of(self)).unwrap_or_default()
    }

    /// The same as text, without the tree in between: every call of a host language
    /// comes this way.
    #[must_use]
    pub fn to_json_text(&self) -> String {
        serde_json::to_string(&Told::of(self)).unwrap_or_default()
    }
}

/// An outcome's members as they are told.
#[derive(Serialize)]
struct Told<'a> {
    success: bool,
    output: Option<&'a str>,
    error: Option<Value>,
    attempts: u32,
    trail: &'a [Attempt],
    duration_ms: u64,
    cached: bool,
    usage: Option<Usage>,
    model: Option<&'a str>,
    #[serde(flatten)]
    answer: Option<Answered<'a>>,
}

/// What only an answer has.
#[derive(Serialize)]
struct Answered<'a> {
    finish_reason: Option<&'a str>,
    tool_calls: &'a [Value],
}

impl<'a> Told<'a> {
    fn of(outcome: &'a Outcome) -> Self {
        Self {
            success: outcome.success(),
            output: outcome.text(),
            error: outcome.error().map(Error::to_json),
            attempts: outcome.attempts,
            trail: &outcome.trail,
            duration_ms: millis(outcome.duration),
            cached: outcome.cached,
            usage: outcome.usage(),
            model: outcome.model(),
            answer: outcome.result.as_ref().ok().map(|response| Answered {
                finish_reason: response.finish_reason.as_deref(),
                tool_calls: &response.tool_calls,
            }),
        }
    }
}
