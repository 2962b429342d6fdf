//! OpenAI chat completions, as bytes.

use bytes::Bytes;
use serde_json::{Value, json};

use super::catalogue::ScriptedFault;
use super::dialect::{Dialect, ErrorAnswer, Reply, json as to_json, quoted};

/// The wire format of OpenAI.
pub(super) struct OpenAi;

const DONE: Bytes = Bytes::from_static(b"data: [DONE]\n\n");

impl Dialect for OpenAi {
    fn whole(&self, reply: &Reply) -> Bytes {
        let calls: Vec<Value> = (reply.tool_calls.iter().enumerate())
            .map(|(index, call)| {
                json!({
                    "id": call.id_or(index), "type": "function",
                    "function": {"name": call.name, "arguments": call.arguments.to_string()},
                })
            })
            .collect();
        let calls = if calls.is_empty() {
            String::new()
        } else {
            format!(r#","tool_calls":{}"#, Value::Array(calls))
        };
        // Written by hand: benches live on this path.
        Bytes::from(format!(
            concat!(
                r#"{{"id":"chatcmpl-{}","object":"chat.completion","created":{},"model":{},"#,
                r#""choices":[{{"index":0,"message":{{"role":"assistant","content":{}{}}},"#,
                r#""logprobs":null,"finish_reason":{}}}],"usage":{}}}"#
            ),
            reply.hit,
            reply.created,
            quoted(&reply.model),
            quoted(&reply.text),
            calls,
            quoted(finish_reason(reply)),
            usage(reply),
        ))
    }

    fn opening(&self, reply: &Reply) -> Vec<Bytes> {
        vec![chunk(reply, r#"{"role":"assistant","content":""}"#, "null")]
    }

    fn piece(&self, reply: &Reply, text: &str) -> Bytes {
        chunk(reply, &format!(r#"{{"content":{}}}"#, quoted(text)), "null")
    }

    fn ending(&self, reply: &Reply) -> Vec<Bytes> {
        let mut events = Vec::new();
        for (index, call) in reply.tool_calls.iter().enumerate() {
            let name = json!({"tool_calls": [{
                "index": index, "id": call.id_or(index), "type": "function",
                "function": {"name": call.name, "arguments": ""},
            }]});
            let arguments = json!({"tool_calls": [{
                "index": index, "function": {"arguments": call.arguments.to_string()},
            }]});
            events.push(chunk(reply, &name.to_string(), "null"));
            events.push(chunk(reply, &arguments.to_string(), "null"));
        }
        events.push(chunk(reply, "{}", &quoted(finish_reason(reply))));
        if reply.include_usage {
            events.push(event(reply, "[]", &format!(r#","usage":{}"#, usage(reply))));
        }
        events.push(DONE);
        events
    }

    fn error(&self, error: &ErrorAnswer) -> Bytes {
        to_json(&object(error))
    }

    fn error_event(&self, error: &ErrorAnswer) -> Bytes {
        Bytes::from(format!("data: {}\n\n", object(error)))
    }

    fn describe(&self, fault: ScriptedFault) -> Option<ErrorAnswer> {
        let words = fault.words()?;
        let (status, kind, code) = words.openai;
        Some(ErrorAnswer {
            status,
            kind: kind.into(),
            code: code.into(),
            message: words.message.to_owned(),
        })
    }

    fn limit_headers(&self, seconds: u64) -> Vec<(&'static str, String)> {
        vec![
            ("x-ratelimit-limit-requests", "60".to_owned()),
            ("x-ratelimit-remaining-requests", "0".to_owned()),
            ("x-ratelimit-reset-requests", format!("{seconds}s")),
        ]
    }
}

fn object(error: &ErrorAnswer) -> Value {
    json!({"error": {
        "message": error.message, "type": error.kind, "param": null, "code": error.code,
    }})
}

fn chunk(reply: &Reply, delta: &str, finish_reason: &str) -> Bytes {
    let choices = format!(r#"[{{"index":0,"delta":{delta},"finish_reason":{finish_reason}}}]"#);
    event(reply, &choices, "")
}

fn event(reply: &Reply, choices: &str, rest: &str) -> Bytes {
    Bytes::from(format!(
        "data: {{\"id\":\"chatcmpl-{}\",\"object\":\"chat.completion.chunk\",\"created\":{},\"model\":{},\"choices\":{choices}{rest}}}\n\n",
        reply.hit,
        reply.created,
        quoted(&reply.model),
    ))
}

fn finish_reason(reply: &Reply) -> &str {
    let usual = if reply.tool_calls.is_empty() {
        "stop"
    } else {
        "tool_calls"
    };
    reply.finish_reason.as_deref().unwrap_or(usual)
}

fn usage(reply: &Reply) -> String {
    let usage = reply.usage;
    format!(
        r#"{{"prompt_tokens":{},"completion_tokens":{},"total_tokens":{},"prompt_tokens_details":{{"cached_tokens":{}}}}}"#,
        usage.input_tokens,
        usage.output_tokens,
        usage.total(),
        usage.cached_tokens,
    )
}
