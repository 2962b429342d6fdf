//! What a model answered, in words that no provider owns.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A whole answer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Response {
    /// The text of the answer.
    pub text: String,
    /// The model that answered, as the endpoint names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What it cost, as the endpoint counts it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// Why it ended (`stop`, `length`, `tool_calls`, `end_turn`…), as the endpoint says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<String>,
    /// Tool calls in the endpoint's own format.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub tool_calls: Vec<Value>,
}

/// Tokens, as the endpoint counts them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Tokens read, those from a prompt cache included.
    pub input_tokens: u64,
    /// Tokens written.
    pub output_tokens: u64,
    /// Tokens read from a prompt cache, part of `input_tokens`.
    pub cached_tokens: u64,
}

impl Usage {
    /// Tokens read and written.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.input_tokens.saturating_add(self.output_tokens)
    }
}

/// A piece of a streamed answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Chunk {
    /// More text.
    Text {
        /// Never empty.
        text: String,
    },
    /// A piece of a tool call, in the endpoint's own format.
    ToolCall {
        /// The delta as the endpoint sent it.
        delta: Value,
    },
    /// The end: always the last chunk, and only of a whole answer.
    Done {
        /// The model that answered.
        #[serde(skip_serializing_if = "Option::is_none")]
        model: Option<String>,
        /// What it cost.
        #[serde(skip_serializing_if = "Option::is_none")]
        usage: Option<Usage>,
        /// Why it ended.
        #[serde(skip_serializing_if = "Option::is_none")]
        finish_reason: Option<String>,
    },
}
