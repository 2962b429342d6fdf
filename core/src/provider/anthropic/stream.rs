//! The events of a streamed message. It is whole when `message_stop` came.

use std::collections::VecDeque;

use serde::Deserialize;
use serde_json::Value;

use super::response::{WireUsage, nothing_said};
use crate::credential::Secret;
use crate::provider::http::{self, Event, Progress, fault_inside, malformed};
use crate::provider::{Chunk, Fault, FaultReason, Usage};

/// What has been read so far.
pub(crate) struct Reader {
    secret: Secret,
    model: Option<String>,
    usage: Option<Usage>,
    stop_reason: Option<String>,
    said: bool,
    stopped: bool,
}

impl Reader {
    pub(super) fn new(secret: Secret) -> Self {
        Self {
            secret,
            model: None,
            usage: None,
            stop_reason: None,
            said: false,
            stopped: false,
        }
    }

    fn count(&mut self, usage: Option<WireUsage>) {
        if let Some(usage) = usage {
            self.usage = Some(usage.onto(self.usage.unwrap_or_default()));
        }
    }

    fn text(&mut self, text: Option<String>, chunks: &mut VecDeque<Chunk>) {
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            self.said |= !text.trim().is_empty();
            chunks.push_back(Chunk::Text { text });
        }
    }

    /// A piece of a tool call: the whole event, for its `index`.
    fn tool(&mut self, data: &str, chunks: &mut VecDeque<Chunk>) -> Result<(), Fault> {
        let delta: Value = serde_json::from_str(data).map_err(|_| self.garbage(data))?;
        self.said = true;
        chunks.push_back(Chunk::ToolCall { delta });
        Ok(())
    }

    fn garbage(&self, data: &str) -> Fault {
        let problem = "an event of the stream is not a piece of a message";
        malformed(problem, data.as_bytes(), &self.secret)
    }
}

impl http::Reader for Reader {
    fn read(&mut self, event: Event, chunks: &mut VecDeque<Chunk>) -> Result<Progress, Fault> {
        let data = event.data.as_str();
        if event.name == "error" {
            return Err(fault_inside(data, &self.secret));
        }
        let piece: Piece = serde_json::from_str(data).map_err(|_| self.garbage(data))?;
        match piece {
            Piece::MessageStart { message } => {
                self.model = message.model;
                self.count(message.usage);
                Ok(Progress::Waiting)
            }
            Piece::ContentBlockStart { content_block } => {
                match content_block.kind.as_deref() {
                    Some("text") => self.text(content_block.text, chunks),
                    Some("tool_use") => self.tool(data, chunks)?,
                    _ => {}
                }
                Ok(Progress::Begun)
            }
            Piece::ContentBlockDelta { delta } => {
                match delta.kind.as_deref() {
                    Some("text_delta") => self.text(delta.text, chunks),
                    Some("input_json_delta") => self.tool(data, chunks)?,
                    // Thoughts, signatures and citations are not the answer.
                    _ => {}
                }
                Ok(Progress::Begun)
            }
            Piece::MessageDelta { delta, usage } => {
                self.stop_reason = delta.stop_reason.or(self.stop_reason.take());
                self.count(usage);
                Ok(Progress::Waiting)
            }
            Piece::MessageStop {} => {
                self.stopped = true;
                Ok(Progress::Finished)
            }
            Piece::Error {} => Err(fault_inside(data, &self.secret)),
            Piece::Other => Ok(Progress::Waiting),
        }
    }

    fn end(&mut self) -> Result<Chunk, Fault> {
        if !self.stopped {
            return Err(Fault::new(
                FaultReason::Truncated,
                "the stream ended without `message_stop`",
            ));
        }
        if !self.said {
            return Err(nothing_said(self.stop_reason.as_deref()));
        }
        Ok(Chunk::Done {
            model: self.model.take(),
            usage: self.usage.take(),
            finish_reason: self.stop_reason.take(),
        })
    }
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Piece {
    MessageStart {
        message: Start,
    },
    ContentBlockStart {
        content_block: Part,
    },
    ContentBlockDelta {
        delta: Part,
    },
    MessageDelta {
        delta: Delta,
        usage: Option<WireUsage>,
    },
    MessageStop {},
    Error {},
    /// Pings, block ends, and what is yet to be invented.
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Start {
    model: Option<String>,
    usage: Option<WireUsage>,
}

#[derive(Deserialize)]
struct Part {
    #[serde(rename = "type")]
    kind: Option<String>,
    text: Option<String>,
}

#[derive(Deserialize)]
struct Delta {
    stop_reason: Option<String>,
}
