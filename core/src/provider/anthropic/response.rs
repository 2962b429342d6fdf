//! A message as a response, and the parts that streams share with it.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::credential::Secret;
use crate::provider::http::{fault_inside, malformed};
use crate::provider::{Fault, FaultReason, Response, Usage};

/// Reads the body of a success.
pub(super) fn read(body: &[u8], secret: &Secret) -> Result<Response, Fault> {
    let problem = "the answer is not a message";
    let Ok(message) = serde_json::from_slice::<Message>(body) else {
        return Err(malformed(problem, body, secret));
    };
    if message.error.is_some() {
        return Err(fault_inside(&String::from_utf8_lossy(body), secret));
    }
    let Some(blocks) = message.content else {
        return Err(malformed(problem, body, secret));
    };
    let mut response = Response {
        model: message.model,
        usage: message.usage.map(|usage| usage.onto(Usage::default())),
        finish_reason: message.stop_reason,
        ..Response::default()
    };
    for block in blocks {
        match block.get("type").and_then(Value::as_str) {
            Some("text") => response.text.push_str(
                block
                    .get("text")
                    .and_then(Value::as_str)
                    .unwrap_or_default(),
            ),
            Some("tool_use") => response.tool_calls.push(block),
            // Thoughts and the results of the endpoint's own tools are not the answer.
            _ => {}
        }
    }
    if response.text.trim().is_empty() && response.tool_calls.is_empty() {
        return Err(nothing_said(response.finish_reason.as_deref()));
    }
    Ok(response)
}

/// Why an answer without text or tool calls is a fault, and whose.
pub(super) fn nothing_said(stop_reason: Option<&str>) -> Fault {
    match stop_reason {
        Some("refusal") => Fault::new(FaultReason::ContentPolicy, "the model refused to answer"),
        // Any credential would run into the same limit.
        Some("max_tokens") => Fault::new(
            FaultReason::BadRequest,
            "the tokens were used up before any text was written: raise `max_tokens`",
        ),
        _ => Fault::new(FaultReason::EmptyResponse, "the answer has no text"),
    }
}

/// Tokens as this endpoint counts them: those from the cache apart.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct WireUsage {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
}

impl WireUsage {
    /// What a later count says, over what an earlier one said.
    pub(super) fn onto(self, earlier: Usage) -> Usage {
        let read = self.cache_read_input_tokens;
        let input = self.input_tokens.map(|fresh| {
            let cached = read.unwrap_or(earlier.cached_tokens);
            fresh
                .saturating_add(cached)
                .saturating_add(self.cache_creation_input_tokens.unwrap_or(0))
        });
        Usage {
            // A last count may leave the cache out, but never counts less.
            input_tokens: input.unwrap_or(0).max(earlier.input_tokens),
            output_tokens: self.output_tokens.unwrap_or(earlier.output_tokens),
            cached_tokens: read.unwrap_or(earlier.cached_tokens),
        }
    }
}

#[derive(Deserialize)]
struct Message {
    model: Option<String>,
    content: Option<Vec<Value>>,
    stop_reason: Option<String>,
    usage: Option<WireUsage>,
    error: Option<IgnoredAny>,
}
