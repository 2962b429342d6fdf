//! A request as the body of a Messages call. Borrows everything but joined system prompts.

use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use crate::provider::{Content, Message, Request};

/// Members that `extra` cannot replace: the pool and the reader rely on them.
const OURS: [&str; 3] = ["model", "messages", "stream"];
/// The endpoint demands a limit.
const MAX_TOKENS: u32 = 4096;

/// The body of a call.
pub(super) struct Body<'a> {
    pub(super) request: &'a Request,
    pub(super) model: &'a str,
    pub(super) stream: bool,
}

impl Serialize for Body<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let request = self.request;
        // What `extra` names is left to it, so that no member comes twice.
        let free = |name: &str| !request.extra.contains_key(name);
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("model", self.model)?;
        if free("max_tokens") {
            map.serialize_entry("max_tokens", &request.max_tokens.unwrap_or(MAX_TOKENS))?;
        }
        if free("system") {
            match system(request) {
                System::None => {}
                System::Text(text) => map.serialize_entry("system", text)?,
                System::Joined(value) => map.serialize_entry("system", &value)?,
            }
        }
        map.serialize_entry("messages", &Messages(request))?;
        if let Some(temperature) = request.temperature.filter(|_| free("temperature")) {
            map.serialize_entry("temperature", &temperature)?;
        }
        if !request.stop.is_empty() && free("stop_sequences") {
            map.serialize_entry("stop_sequences", &request.stop)?;
        }
        if let Some(tools) = request.tools.as_ref().filter(|_| free("tools")) {
            map.serialize_entry("tools", tools)?;
        }
        if let Some(choice) = request.tool_choice.as_ref().filter(|_| free("tool_choice")) {
            map.serialize_entry("tool_choice", choice)?;
        }
        if self.stream {
            map.serialize_entry("stream", &true)?;
        }
        for (name, value) in &request.extra {
            if !OURS.contains(&name.as_str()) {
                map.serialize_entry(name, value)?;
            }
        }
        map.end()
    }
}

fn is_system(message: &Message) -> bool {
    matches!(message.role.as_str(), "system" | "developer")
}

enum System<'a> {
    None,
    Text(&'a str),
    Joined(Value),
}

/// The system prompt and the system messages, which this endpoint knows no role for.
fn system(request: &Request) -> System<'_> {
    let messages = request.messages.iter().filter(|message| is_system(message));
    let contents: Vec<&Content> = messages.map(|message| &message.content).collect();
    let texts: Option<Vec<&str>> = contents
        .iter()
        .filter(|content| !content.is_blank())
        .map(|content| match content {
            Content::Text(text) => Some(text.as_str()),
            Content::Parts(_) => None,
        })
        .collect();
    let prompt = request.system.as_deref();
    if let Some(texts) = texts {
        let all: Vec<&str> = prompt.into_iter().chain(texts).collect();
        return match all[..] {
            [] => System::None,
            [text] => System::Text(text),
            _ => System::Joined(Value::String(all.join("\n\n"))),
        };
    }
    // Parts carry more than text (`cache_control`): keep them as blocks.
    let block = |text: &str| json!({ "type": "text", "text": text });
    let mut blocks: Vec<Value> = prompt.map(block).into_iter().collect();
    for content in contents {
        match content {
            Content::Text(text) => blocks.push(block(text)),
            Content::Parts(Value::Array(parts)) => blocks.extend(parts.iter().cloned()),
            Content::Parts(_) => {}
        }
    }
    System::Joined(Value::Array(blocks))
}

struct Messages<'a>(&'a Request);

impl Serialize for Messages<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(None)?;
        for (at, message) in self.0.messages.iter().enumerate() {
            if is_system(message) {
                continue;
            }
            if self.0.stable_messages == Some(at + 1) {
                list.serialize_element(&cached(message))?;
            } else {
                list.serialize_element(message)?;
            }
        }
        list.end()
    }
}

/// A message with the mark that makes this endpoint cache all up to it, the system prompt
/// included.
fn cached(message: &Message) -> Message {
    let mut parts = match &message.content {
        Content::Text(text) => vec![json!({ "type": "text", "text": text })],
        Content::Parts(Value::Array(parts)) => parts.clone(),
        Content::Parts(_) => return message.clone(),
    };
    if let Some(Value::Object(last)) = parts.last_mut() {
        let mark = || json!({ "type": "ephemeral" });
        last.entry("cache_control").or_insert_with(mark);
    }
    Message {
        content: Content::Parts(Value::Array(parts)),
        ..message.clone()
    }
}
