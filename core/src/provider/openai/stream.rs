//! The events of a streamed chat completion.
//!
//! An answer is whole when `[DONE]` came, or when the stream ended properly after a
//! `finish_reason`: not every endpoint of this dialect sends both.

use std::collections::VecDeque;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::response::{Text, WireUsage, nothing_said};
use crate::credential::Secret;
use crate::provider::http::{self, Event, Progress, fault_inside, malformed};
use crate::provider::{Chunk, Fault, FaultReason, Usage};

/// What has been read so far.
pub(crate) struct Reader {
    secret: Secret,
    model: Option<String>,
    usage: Option<Usage>,
    finish_reason: Option<String>,
    refusal: String,
    said: bool,
    done: bool,
}

impl Reader {
    pub(super) fn new(secret: Secret) -> Self {
        Self {
            secret,
            model: None,
            usage: None,
            finish_reason: None,
            refusal: String::new(),
            said: false,
            done: false,
        }
    }

    fn choice(&mut self, choice: Choice, chunks: &mut VecDeque<Chunk>) -> Result<Progress, Fault> {
        let delta = choice.delta.unwrap_or_default();
        let text = delta.content.0;
        // DashScope puts an error's words where the text would be.
        if choice.finish_reason.as_deref() == Some("error_finish") {
            let body = json!({ "error": { "message": text } });
            return Err(fault_inside(&body.to_string(), &self.secret));
        }
        let mut begun = delta.reasoning_content.is_some() || delta.reasoning.is_some();
        if let Some(refusal) = delta.refusal {
            self.refusal.push_str(&refusal.0);
        }
        if !text.is_empty() {
            self.said |= !text.trim().is_empty();
            begun = true;
            chunks.push_back(Chunk::Text { text });
        }
        for delta in delta.tool_calls.into_iter().flatten() {
            self.said = true;
            begun = true;
            chunks.push_back(Chunk::ToolCall { delta });
        }
        if choice.finish_reason.is_some() {
            self.finish_reason = choice.finish_reason;
        }
        Ok(if begun {
            Progress::Begun
        } else {
            Progress::Waiting
        })
    }
}

impl http::Reader for Reader {
    fn read(&mut self, event: Event, chunks: &mut VecDeque<Chunk>) -> Result<Progress, Fault> {
        let data = event.data.trim();
        if data == "[DONE]" {
            self.done = true;
            return Ok(Progress::Finished);
        }
        if data.is_empty() {
            return Ok(Progress::Waiting);
        }
        if event.name == "error" {
            return Err(fault_inside(data, &self.secret));
        }
        let Ok(piece) = serde_json::from_str::<Piece>(data) else {
            let problem = "an event of the stream is not a piece of a chat completion";
            return Err(malformed(problem, data.as_bytes(), &self.secret));
        };
        if piece.error.is_some() || piece.choices.is_none() && piece.code.is_some() {
            return Err(fault_inside(data, &self.secret));
        }
        self.model = piece
            .model
            .filter(|model| !model.is_empty())
            .or(self.model.take());
        self.usage = piece.usage.map(Usage::from).or(self.usage);
        let first = piece
            .choices
            .into_iter()
            .flatten()
            .find(|choice| choice.index == 0);
        match first {
            Some(choice) => self.choice(choice, chunks),
            None => Ok(Progress::Waiting),
        }
    }

    fn end(&mut self) -> Result<Chunk, Fault> {
        if !self.done && self.finish_reason.is_none() {
            return Err(Fault::new(
                FaultReason::Truncated,
                "the stream ended without `finish_reason` or `[DONE]`",
            ));
        }
        if !self.said {
            let refusal = std::mem::take(&mut self.refusal);
            return Err(nothing_said(self.finish_reason.as_deref(), Some(refusal)));
        }
        Ok(Chunk::Done {
            model: self.model.take(),
            usage: self.usage.take(),
            finish_reason: self.finish_reason.take(),
        })
    }
}

#[derive(Deserialize)]
struct Piece {
    model: Option<String>,
    choices: Option<Vec<Choice>>,
    usage: Option<WireUsage>,
    error: Option<IgnoredAny>,
    code: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    index: u64,
    delta: Option<Delta>,
    finish_reason: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Delta {
    content: Text,
    refusal: Option<Text>,
    reasoning_content: Option<IgnoredAny>,
    reasoning: Option<IgnoredAny>,
    tool_calls: Option<Vec<Value>>,
}
