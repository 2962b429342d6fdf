//! Anthropic Messages, as bytes.

use bytes::Bytes;
use serde_json::{Value, json};

use super::catalogue::ScriptedFault;
use super::dialect::{Dialect, ErrorAnswer, Reply, json as to_json, quoted};
use crate::clock::{Clock, SystemClock};

/// The wire format of Anthropic.
pub(super) struct Anthropic;

impl Dialect for Anthropic {
    fn whole(&self, reply: &Reply) -> Bytes {
        let mut content = Vec::new();
        if reply.has_text {
            content.push(json!({"type": "text", "text": reply.text}));
        }
        for (index, call) in reply.tool_calls.iter().enumerate() {
            content.push(json!({
                "type": "tool_use", "id": call.id_or(index),
                "name": call.name, "input": call.arguments,
            }));
        }
        to_json(&message(
            reply,
            content,
            json!(stop_reason(reply)),
            reply.usage.output_tokens,
        ))
    }

    fn opening(&self, reply: &Reply) -> Vec<Bytes> {
        let start = message(reply, Vec::new(), Value::Null, 1);
        let mut events = vec![
            event(
                "message_start",
                &json!({"type": "message_start", "message": start}),
            ),
            event("ping", &json!({"type": "ping"})),
        ];
        if reply.has_text {
            let block = json!({"type": "text", "text": ""});
            events.push(block_start(0, &block));
        }
        events
    }

    fn piece(&self, _: &Reply, text: &str) -> Bytes {
        Bytes::from(format!(
            "event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{{\"type\":\"text_delta\",\"text\":{}}}}}\n\n",
            quoted(text)
        ))
    }

    fn ending(&self, reply: &Reply) -> Vec<Bytes> {
        let mut events = Vec::new();
        let text_blocks = usize::from(reply.has_text);
        if reply.has_text {
            events.push(block_stop(0));
        }
        for (order, call) in reply.tool_calls.iter().enumerate() {
            let index = order + text_blocks;
            let block = json!({
                "type": "tool_use", "id": call.id_or(order), "name": call.name, "input": {},
            });
            let delta = json!({"type": "content_block_delta", "index": index, "delta": {
                "type": "input_json_delta", "partial_json": call.arguments.to_string(),
            }});
            events.push(block_start(index, &block));
            events.push(event("content_block_delta", &delta));
            events.push(block_stop(index));
        }
        let delta = json!({
            "type": "message_delta",
            "delta": {"stop_reason": stop_reason(reply), "stop_sequence": null},
            "usage": {"output_tokens": reply.usage.output_tokens},
        });
        events.push(event("message_delta", &delta));
        events.push(event("message_stop", &json!({"type": "message_stop"})));
        events
    }

    fn error(&self, error: &ErrorAnswer) -> Bytes {
        to_json(&object(error))
    }

    fn error_event(&self, error: &ErrorAnswer) -> Bytes {
        event("error", &object(error))
    }

    fn describe(&self, fault: ScriptedFault) -> Option<ErrorAnswer> {
        let words = fault.words()?;
        let (status, kind) = words.anthropic;
        Some(ErrorAnswer {
            status,
            kind: kind.into(),
            code: kind.into(),
            message: words.message.to_owned(),
        })
    }

    fn limit_headers(&self, seconds: u64) -> Vec<(&'static str, String)> {
        let at = SystemClock
            .now()
            .saturating_add(seconds.saturating_mul(1000));
        let reset = i64::try_from(at)
            .ok()
            .and_then(|at| jiff::Timestamp::from_millisecond(at).ok())
            .map_or_else(String::new, |at| format!("{at:.0}"));
        vec![
            ("anthropic-ratelimit-requests-limit", "50".to_owned()),
            ("anthropic-ratelimit-requests-remaining", "0".to_owned()),
            ("anthropic-ratelimit-requests-reset", reset),
        ]
    }
}

fn object(error: &ErrorAnswer) -> Value {
    json!({"type": "error", "error": {"type": error.code, "message": error.message}})
}

fn message(reply: &Reply, content: Vec<Value>, stop_reason: Value, output_tokens: u64) -> Value {
    let usage = reply.usage;
    json!({
        "id": format!("msg_{}", reply.hit), "type": "message", "role": "assistant",
        "model": reply.model, "content": content,
        "stop_reason": stop_reason, "stop_sequence": null,
        "usage": {
            // Anthropic counts cached tokens apart from the others.
            "input_tokens": usage.input_tokens.saturating_sub(usage.cached_tokens),
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": usage.cached_tokens,
            "output_tokens": output_tokens,
        },
    })
}

fn stop_reason(reply: &Reply) -> &str {
    let usual = if reply.tool_calls.is_empty() {
        "end_turn"
    } else {
        "tool_use"
    };
    reply.finish_reason.as_deref().unwrap_or(usual)
}

fn block_start(index: usize, block: &Value) -> Bytes {
    let data = json!({"type": "content_block_start", "index": index, "content_block": block});
    event("content_block_start", &data)
}

fn block_stop(index: usize) -> Bytes {
    let data = json!({"type": "content_block_stop", "index": index});
    event("content_block_stop", &data)
}

fn event(name: &str, data: &Value) -> Bytes {
    Bytes::from(format!("event: {name}\ndata: {data}\n\n"))
}
