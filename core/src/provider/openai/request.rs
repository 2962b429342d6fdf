//! A request as the body of a chat completion. Borrows everything.

use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};
use serde_json::json;

use crate::provider::Request;

/// Members that `extra` cannot replace: the pool and the reader rely on them.
const OURS: [&str; 3] = ["model", "messages", "stream"];

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
        map.serialize_entry("messages", &Messages(request))?;
        if let Some(limit) = request.max_tokens.filter(|_| free("max_tokens")) {
            map.serialize_entry("max_tokens", &limit)?;
        }
        if let Some(temperature) = request.temperature.filter(|_| free("temperature")) {
            map.serialize_entry("temperature", &temperature)?;
        }
        if !request.stop.is_empty() && free("stop") {
            map.serialize_entry("stop", &request.stop)?;
        }
        if let Some(tools) = request.tools.as_ref().filter(|_| free("tools")) {
            map.serialize_entry("tools", tools)?;
        }
        if let Some(choice) = request.tool_choice.as_ref().filter(|_| free("tool_choice")) {
            map.serialize_entry("tool_choice", choice)?;
        }
        if self.stream {
            map.serialize_entry("stream", &true)?;
            if free("stream_options") {
                map.serialize_entry("stream_options", &json!({ "include_usage": true }))?;
            }
        }
        for (name, value) in &request.extra {
            // Endpoints refuse options of a stream where there is none.
            let misplaced = name == "stream_options" && !self.stream;
            if !OURS.contains(&name.as_str()) && !misplaced {
                map.serialize_entry(name, value)?;
            }
        }
        map.end()
    }
}

struct Messages<'a>(&'a Request);

impl Serialize for Messages<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct System<'a> {
            role: &'static str,
            content: &'a str,
        }
        let mut list = serializer.serialize_seq(None)?;
        if let Some(content) = &self.0.system {
            let role = "system";
            list.serialize_element(&System { role, content })?;
        }
        for message in &self.0.messages {
            list.serialize_element(message)?;
        }
        list.end()
    }
}
