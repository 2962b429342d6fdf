//! Against raw peers, by table. What is shared with chat completions is tested there.

use futures_util::StreamExt;
use serde_json::{Value, json};

use super::*;
use crate::credential::Credential;
use crate::provider::http::raw_peer::{Act, END, EVENTS, RawPeer, answer, chunk};
use crate::provider::{Chunk, Content, FaultReason, Message, Patience, Provider, Usage};

const KEY: &str = "sk-ant-0123456789";

fn key() -> Credential {
    Credential::new("a", KEY)
}

fn provider(peer: &RawPeer) -> Anthropic {
    Anthropic::new()
        .with_base_url(peer.url.clone())
        .with_model("m")
}

fn body(request: &Request) -> Value {
    serde_json::to_value(Messages::body(request, "m", false)).unwrap()
}

fn event(value: &Value) -> String {
    let name = value["type"].as_str().unwrap();
    format!("event: {name}\ndata: {value}\n\n")
}

async fn collected(events: &[String]) -> (Vec<Chunk>, Option<FaultReason>) {
    let events = events.concat();
    let mut script = vec![Act::Send(EVENTS.into())];
    script.extend(events.bytes().map(|byte| Act::Send(chunk(&[byte]))));
    script.push(Act::Send(END.into()));
    let peer = RawPeer::acting(script).await;
    let request = Request::prompt("hi");
    let mut chunks = Vec::new();
    let opened = provider(&peer)
        .stream(&request, &key(), Patience::default())
        .await;
    let mut stream = match opened {
        Ok(stream) => stream,
        Err(fault) => return (chunks, Some(fault.reason)),
    };
    while let Some(item) = stream.next().await {
        match item {
            Ok(chunk) => chunks.push(chunk),
            Err(fault) => return (chunks, Some(fault.reason)),
        }
    }
    (chunks, None)
}

#[tokio::test]
async fn a_call_carries_key_version_and_body_and_reads_text_tools_and_usage() {
    let answered = json!({
        "type": "message", "model": "m-1", "stop_reason": "tool_use",
        "content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "caf"},
            {"type": "text", "text": "fè"}, {"type": "tool_use", "id": "t"}],
        "usage": {"input_tokens": 5, "output_tokens": 2, "cache_read_input_tokens": 3, "cache_creation_input_tokens": 4},
    });
    let mut peer = RawPeer::saying(&answer("200 OK", "", &answered.to_string())).await;
    let request = Request::prompt("hi");
    let response = provider(&peer)
        .send(&request, &key(), Patience::default())
        .await
        .unwrap();
    assert_eq!(response.text, "caffè");
    assert_eq!(
        response.tool_calls,
        [json!({"type": "tool_use", "id": "t"})]
    );
    assert_eq!(response.finish_reason.as_deref(), Some("tool_use"));
    let usage = Usage {
        input_tokens: 12,
        output_tokens: 2,
        cached_tokens: 3,
    };
    assert_eq!(response.usage, Some(usage));

    let sent = peer.requests.recv().await.unwrap();
    assert!(sent.starts_with("POST /v1/messages HTTP/1.1\r\n"), "{sent}");
    assert!(sent.contains(&format!("x-api-key: {KEY}")), "{sent}");
    assert!(sent.contains("anthropic-version: 2023-06-01"), "{sent}");
}

#[test]
fn the_body_has_the_members_that_this_endpoint_knows() {
    let mut request = Request::prompt("hi");
    assert_eq!(
        body(&request),
        json!({"model": "m", "max_tokens": 4096, "messages": [{"role": "user", "content": "hi"}]})
    );
    request.max_tokens = Some(5);
    request.temperature = Some(0.5);
    request.stop = vec!["END".to_owned()];
    request.tools = Some(json!([{"name": "f"}]));
    request.tool_choice = Some(json!({"type": "auto"}));
    request.extra = json!({"top_k": 3, "messages": []})
        .as_object()
        .cloned()
        .unwrap();
    assert_eq!(
        body(&request),
        json!({
            "model": "m", "max_tokens": 5, "temperature": 0.5, "stop_sequences": ["END"],
            "tools": [{"name": "f"}], "tool_choice": {"type": "auto"}, "top_k": 3,
            "messages": [{"role": "user", "content": "hi"}],
        })
    );
}

#[test]
fn system_messages_are_folded_into_the_system_prompt() {
    let parts = |value| Message {
        content: Content::Parts(value),
        ..Message::new("system", "")
    };
    let cached = json!({"type": "text", "text": "b", "cache_control": {"type": "ephemeral"}});
    for (prompt, messages, expected) in [
        (Some("a"), vec![], json!("a")),
        (None, vec![Message::new("system", "b")], json!("b")),
        (
            Some("a"),
            vec![Message::new("system", "b"), Message::new("developer", "c")],
            json!("a\n\nb\n\nc"),
        ),
        (
            Some("a"),
            vec![parts(json!([cached]))],
            json!([{"type": "text", "text": "a"}, cached]),
        ),
        (None, vec![Message::new("system", " ")], Value::Null),
    ] {
        let mut request = Request::prompt("hi");
        request.system = prompt.map(str::to_owned);
        request.messages.splice(0..0, messages);
        let body = body(&request);
        assert_eq!(body["system"], expected);
        assert_eq!(body["messages"], json!([{"role": "user", "content": "hi"}]));
    }
}

#[test]
fn the_messages_that_come_again_end_with_a_mark_for_the_cache() {
    let mark = json!({"type": "ephemeral"});
    let text = json!({"type": "text", "text": "b"});
    let marked = json!([{"type": "text", "text": "b", "cache_control": mark}]);
    let own = json!({"type": "text", "text": "b", "cache_control": {"ttl": "1h"}});
    let parts = |value: &Value| Content::Parts(json!([value]));
    for (content, expected) in [
        (Content::Text("b".to_owned()), marked.clone()),
        (parts(&text), marked),
        (parts(&own), json!([own])),
        (Content::default(), Value::Null),
    ] {
        let mut request = Request::prompt("a");
        request.messages.push(Message {
            content,
            ..Message::assistant("")
        });
        request.messages.push(Message::user("c"));
        request.stable_messages = Some(2);
        let messages = &body(&request)["messages"];
        assert_eq!(messages[1]["content"], expected);
        assert_eq!(
            (&messages[0]["content"], &messages[2]["content"]),
            (&json!("a"), &json!("c"))
        );
    }
}

#[test]
fn the_version_is_not_put_into_the_path_twice() {
    for (base, expected) in [
        ("http://h", "http://h/v1/messages"),
        ("http://h/anthropic/", "http://h/anthropic/v1/messages"),
        ("http://h/v1", "http://h/v1/messages"),
        ("http://h/v1/", "http://h/v1/messages"),
        ("http://h/v1/messages", "http://h/v1/messages"),
    ] {
        let provider = Anthropic::new().with_base_url(base.parse().unwrap());
        let url = provider
            .endpoint
            .url(&key(), Messages::USUAL_BASE, Messages::path)
            .unwrap();
        assert_eq!(url.as_str(), expected);
    }
    let usual = Anthropic::new()
        .endpoint
        .url(&key(), Messages::USUAL_BASE, Messages::path)
        .unwrap();
    assert_eq!(usual.as_str(), "https://api.anthropic.com/v1/messages");
}

#[tokio::test]
async fn answers_that_are_none_are_told_apart() {
    let error = |kind: &str, message: &str| {
        json!({"type": "error", "error": {"type": kind, "message": message}}).to_string()
    };
    for (status, body, reason) in [
        (
            "529 Overloaded",
            error("overloaded_error", "Overloaded"),
            FaultReason::Overloaded,
        ),
        (
            "400 Bad Request",
            error("invalid_request_error", "Your credit balance is too low"),
            FaultReason::Billing,
        ),
        (
            "404 Not Found",
            error("not_found_error", "model: claude-x"),
            FaultReason::ModelNotFound,
        ),
        (
            "200 OK",
            error("rate_limit_error", "slow"),
            FaultReason::RateLimited,
        ),
        ("200 OK", "hello".to_owned(), FaultReason::MalformedResponse),
        (
            "200 OK",
            json!({"content": [], "stop_reason": "end_turn"}).to_string(),
            FaultReason::EmptyResponse,
        ),
        (
            "200 OK",
            json!({"content": [], "stop_reason": "refusal"}).to_string(),
            FaultReason::ContentPolicy,
        ),
        (
            "200 OK",
            json!({"content": [], "stop_reason": "max_tokens"}).to_string(),
            FaultReason::BadRequest,
        ),
    ] {
        let peer = RawPeer::saying(&answer(status, "", &body)).await;
        let request = Request::prompt("hi");
        let fault = provider(&peer)
            .send(&request, &key(), Patience::default())
            .await
            .unwrap_err();
        assert_eq!(fault.reason, reason, "{status} {body}");
    }
}

#[tokio::test]
async fn streams_are_read_to_their_end_and_not_beyond() {
    let start = event(&json!({"type": "message_start", "message": {"model": "m-1",
        "usage": {"input_tokens": 5, "output_tokens": 1, "cache_read_input_tokens": 3}}}));
    let ping = event(&json!({"type": "ping"}));
    let open = event(
        &json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
    );
    let text = event(
        &json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "caffè"}}),
    );
    let thought = event(
        &json!({"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm"}}),
    );
    let tool = json!({"type": "content_block_start", "index": 1, "content_block": {"type": "tool_use", "id": "t"}});
    let input = json!({"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": "{"}});
    let close = event(&json!({"type": "content_block_stop", "index": 0}));
    let delta = event(
        &json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 9}}),
    );
    let stop = event(&json!({"type": "message_stop"}));
    let error = event(
        &json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}),
    );
    let news = event(&json!({"type": "something_new", "x": 1}));
    let s = |events: &[&String]| {
        events
            .iter()
            .map(|event| (*event).clone())
            .collect::<Vec<_>>()
    };

    let said = Chunk::Text {
        text: "caffè".to_owned(),
    };
    let done = Chunk::Done {
        model: Some("m-1".to_owned()),
        usage: Some(Usage {
            input_tokens: 8,
            output_tokens: 9,
            cached_tokens: 3,
        }),
        finish_reason: Some("end_turn".to_owned()),
    };
    let call = [tool.clone(), input.clone()].map(|delta| Chunk::ToolCall { delta });
    for (events, chunks, reason) in [
        (
            s(&[
                &start, &ping, &open, &thought, &text, &news, &close, &delta, &stop,
            ]),
            vec![said.clone(), done.clone()],
            None,
        ),
        (
            s(&[&start, &event(&tool), &event(&input), &delta, &stop]),
            [&call[..], &[done]].concat(),
            None,
        ),
        (
            s(&[&start, &ping, &error]),
            vec![],
            Some(FaultReason::Overloaded),
        ),
        (
            s(&[&start, &open, &text, &error]),
            vec![said.clone()],
            Some(FaultReason::Overloaded),
        ),
        (
            s(&[&start, &open, &text, &close, &delta]),
            vec![said.clone()],
            Some(FaultReason::Truncated),
        ),
        (s(&[&start]), vec![], Some(FaultReason::Truncated)),
        (
            s(&[&start, &delta, &stop]),
            vec![],
            Some(FaultReason::EmptyResponse),
        ),
        (
            s(&[&start, &open, &text, &"data: {\n\n".to_owned()]),
            vec![said],
            Some(FaultReason::MalformedResponse),
        ),
    ] {
        assert_eq!(collected(&events).await, (chunks, reason), "{events:?}");
    }
}
