//! What is asked of a model, in words that no provider owns.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A request to a model.
///
/// Its JSON form has the same field names; unknown fields are refused except
/// under `extra`, whose members are sent to the endpoint as they are.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Request {
    /// The model; `None` takes the credential's or the wrapper's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The system prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// The conversation, oldest first.
    pub messages: Vec<Message>,
    /// The most tokens to generate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    /// Sampling temperature.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// Where to stop.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stop: Vec<String>,
    /// Tools in the endpoint's own format, passed through.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tools: Option<Value>,
    /// Tool choice in the endpoint's own format, passed through.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_choice: Option<Value>,
    /// The conversation it belongs to: the sticky strategy keeps one on one credential.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The credential to be asked while it can be used, such as the one that answered last in
    /// the conversation: else the pool's strategy chooses. No part of what is asked.
    #[serde(skip_serializing)]
    pub credential: Option<String>,
    /// So many of the first messages come again in later requests, with the system prompt:
    /// an endpoint that wants to be told what to cache is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stable_messages: Option<usize>,
    /// Further members of the endpoint's body, passed through.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub extra: Map<String, Value>,
}

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// `user`, `assistant`, `system` or `tool`.
    pub role: String,
    /// Text, or parts in the endpoint's own format.
    #[serde(default)]
    pub content: Content,
    /// Further members (`tool_calls`, `tool_call_id`, `name`…), passed through.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// What a message says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Content {
    /// Plain text.
    Text(String),
    /// Parts (images, tool results…) in the endpoint's own format, or null.
    Parts(Value),
}

impl Default for Content {
    fn default() -> Self {
        Self::Parts(Value::Null)
    }
}

impl Request {
    /// A single user message.
    pub fn prompt(prompt: impl Into<String>) -> Self {
        Self {
            messages: vec![Message::user(prompt)],
            ..Self::default()
        }
    }

    /// The bytes of text in it: what the prompt limit and token estimates go by.
    #[must_use]
    pub fn text_bytes(&self) -> usize {
        let messages: usize = self.messages.iter().map(|m| m.content.text_bytes()).sum();
        messages + self.system.as_ref().map_or(0, String::len)
    }
}

impl Message {
    /// A message from the user.
    pub fn user(text: impl Into<String>) -> Self {
        Self::new("user", text)
    }

    /// A message from the model.
    pub fn assistant(text: impl Into<String>) -> Self {
        Self::new("assistant", text)
    }

    /// A message of any role.
    pub fn new(role: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            role: role.into(),
            content: Content::Text(text.into()),
            extra: Map::new(),
        }
    }
}

impl Content {
    /// Whether it says nothing: white space, null or no parts.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        match self {
            Self::Text(text) => text.trim().is_empty(),
            Self::Parts(Value::Array(parts)) => parts.is_empty(),
            Self::Parts(value) => value.is_null(),
        }
    }

    /// The text in it, parts' texts joined.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Parts(Value::Array(parts)) => parts
                .iter()
                .filter_map(|part| part.get("text").and_then(Value::as_str))
                .collect::<Vec<_>>()
                .join("\n"),
            Self::Parts(_) => String::new(),
        }
    }

    pub(crate) fn text_bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Parts(Value::Null) => 0,
            Self::Parts(value) => value.to_string().len(),
        }
    }
}
