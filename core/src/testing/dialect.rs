//! What the wire formats have in common: one file beside this for each.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::catalogue::ScriptedFault;
use super::scenario::ToolCall;
use crate::provider::{Content, Usage};

/// A wire format: how requests read and answers are written.
pub(super) trait Dialect: Send + Sync {
    /// A whole answer.
    fn whole(&self, reply: &Reply) -> Bytes;
    /// The events that open a stream.
    fn opening(&self, reply: &Reply) -> Vec<Bytes>;
    /// The event of one piece of text.
    fn piece(&self, reply: &Reply, text: &str) -> Bytes;
    /// The events after the text, up to the terminator.
    fn ending(&self, reply: &Reply) -> Vec<Bytes>;
    /// An error object.
    fn error(&self, error: &ErrorAnswer) -> Bytes;
    /// An error inside a stream.
    fn error_event(&self, error: &ErrorAnswer) -> Bytes;
    /// Status and code of a fault; `None` if it is not an error answer.
    fn describe(&self, fault: ScriptedFault) -> Option<ErrorAnswer>;
    /// Headers that tell of a throttle, in seconds to go.
    fn limit_headers(&self, seconds: u64) -> Vec<(&'static str, String)>;
}

/// What a request asks for.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Asked {
    pub(super) model: String,
    pub(super) prompt: String,
    pub(super) stream: bool,
    pub(super) include_usage: bool,
}

/// A good answer, in words of neither format.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Reply {
    pub(super) hit: u64,
    pub(super) created: u64,
    pub(super) model: String,
    pub(super) text: String,
    pub(super) usage: Usage,
    pub(super) include_usage: bool,
    pub(super) finish_reason: Option<String>,
    pub(super) tool_calls: Vec<ToolCall>,
    /// Whether text is streamed, though `text` may not hold it.
    pub(super) has_text: bool,
}

/// An error answer.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ErrorAnswer {
    pub(super) status: u16,
    pub(super) kind: Cow<'static, str>,
    pub(super) code: Cow<'static, str>,
    pub(super) message: String,
}

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(default, borrow)]
    model: Option<Cow<'a, str>>,
    #[serde(default)]
    stream: Option<bool>,
    #[serde(default)]
    stream_options: Option<StreamOptions>,
    #[serde(default, borrow)]
    messages: Vec<Message<'a>>,
}

#[derive(Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: bool,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    role: Cow<'a, str>,
    #[serde(default, borrow)]
    content: Option<&'a RawValue>,
}

impl Asked {
    /// Reads a body. Only the last user message is looked into.
    pub(super) fn read(body: &[u8]) -> Result<Self, serde_json::Error> {
        let body: Body<'_> = serde_json::from_slice(body)?;
        let mut messages = body.messages.iter().rev();
        let content = messages
            .find(|message| message.role == "user")
            .and_then(|message| message.content);
        let prompt = match content {
            Some(content) => serde_json::from_str::<Content>(content.get())?.text(),
            None => String::new(),
        };
        Ok(Self {
            model: body.model.unwrap_or_default().into_owned(),
            prompt,
            stream: body.stream.unwrap_or(false),
            include_usage: body.stream_options.is_some_and(|o| o.include_usage),
        })
    }
}

impl ToolCall {
    pub(super) fn id_or(&self, index: usize) -> String {
        self.id
            .clone()
            .unwrap_or_else(|| format!("call_{}", index + 1))
    }
}

/// A value as JSON text.
pub(super) fn json(value: &Value) -> Bytes {
    Bytes::from(value.to_string())
}

/// A text as a JSON string.
pub(super) fn quoted(text: &str) -> String {
    // A string always serialises.
    serde_json::to_string(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prompt_is_the_text_of_the_last_user_message() {
        let cases = [
            (r#"{"messages": []}"#, ""),
            (
                r#"{"messages": [{"role":"user","content":"a"},{"role":"assistant","content":"b"}]}"#,
                "a",
            ),
            (
                r#"{"messages": [{"role":"user","content":[{"type":"text","text":"x"},{"type":"image"}]}]}"#,
                "x",
            ),
            (
                r#"{"messages": [{"role":"us\u0065r","content":"\u00e8"}]}"#,
                "è",
            ),
        ];
        for (body, prompt) in cases {
            assert_eq!(Asked::read(body.as_bytes()).unwrap().prompt, prompt);
        }
    }
}
