//! A chat completion as a response, and the parts that streams share with it.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::Value;

use crate::credential::Secret;
use crate::provider::http::{fault_inside, malformed};
use crate::provider::{Fault, FaultReason, Response, Usage};

/// Reads the body of a success.
pub(super) fn read(body: &[u8], secret: &Secret) -> Result<Response, Fault> {
    let problem = "the answer is not a chat completion";
    let Ok(completion) = serde_json::from_slice::<Completion>(body) else {
        return Err(malformed(problem, body, secret));
    };
    if completion.error.is_some() || completion.choices.is_none() && completion.code.is_some() {
        return Err(fault_inside(&String::from_utf8_lossy(body), secret));
    }
    let Some(choice) = completion.choices.into_iter().flatten().next() else {
        return Err(malformed(problem, body, secret));
    };
    let message = choice.message.unwrap_or_default();
    let response = Response {
        text: message.content.0,
        model: completion.model,
        usage: completion.usage.map(Usage::from),
        finish_reason: choice.finish_reason,
        tool_calls: message.tool_calls.unwrap_or_default(),
    };
    if response.text.trim().is_empty() && response.tool_calls.is_empty() {
        let refusal = message.refusal.map(|text| text.0);
        return Err(nothing_said(response.finish_reason.as_deref(), refusal));
    }
    Ok(response)
}

/// Why an answer without text or tool calls is a fault, and whose.
pub(super) fn nothing_said(finish_reason: Option<&str>, refusal: Option<String>) -> Fault {
    let refusal = refusal.filter(|text| !text.trim().is_empty());
    match (finish_reason, refusal) {
        (_, Some(refusal)) => Fault::new(FaultReason::ContentPolicy, refusal),
        (Some("content_filter"), None) => Fault::new(
            FaultReason::ContentPolicy,
            "the endpoint's content filter left nothing of the answer",
        ),
        // Any credential would run into the same limit.
        (Some("length"), None) => Fault::new(
            FaultReason::BadRequest,
            "the tokens were used up before any text was written: raise `max_tokens`",
        ),
        _ => Fault::new(FaultReason::EmptyResponse, "the answer has no text"),
    }
}

/// Text as endpoints give it: a string, null, or a list of parts.
#[derive(Debug, Default)]
pub(super) struct Text(pub(super) String);

/// Tokens as endpoints of this dialect count them.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct WireUsage {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    prompt_tokens_details: Option<Details>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Details {
    cached_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct Completion {
    model: Option<String>,
    choices: Option<Vec<Choice>>,
    usage: Option<WireUsage>,
    error: Option<IgnoredAny>,
    code: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Choice {
    message: Option<Message>,
    finish_reason: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Message {
    content: Text,
    refusal: Option<Text>,
    tool_calls: Option<Vec<Value>>,
}

impl From<WireUsage> for Usage {
    fn from(wire: WireUsage) -> Self {
        let cached = wire.prompt_tokens_details.and_then(|it| it.cached_tokens);
        Self {
            input_tokens: wire.prompt_tokens.unwrap_or(0),
            output_tokens: wire.completion_tokens.unwrap_or(0),
            cached_tokens: cached.unwrap_or(0),
        }
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, null or a list of parts")
            }
            fn visit_str<E>(self, text: &str) -> Result<Text, E> {
                Ok(Text(text.to_owned()))
            }
            fn visit_string<E>(self, text: String) -> Result<Text, E> {
                Ok(Text(text))
            }
            fn visit_unit<E>(self) -> Result<Text, E> {
                Ok(Text::default())
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Text, A::Error> {
                let mut text = String::new();
                while let Some(part) = parts.next_element::<Value>()? {
                    text.push_str(part.get("text").and_then(Value::as_str).unwrap_or_default());
                }
                Ok(Text(text))
            }
        }
        deserializer.deserialize_any(TextVisitor)
    }
}
