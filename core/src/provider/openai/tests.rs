//! Against raw peers, by table.

use std::time::Duration;

use futures_util::StreamExt;
use serde_json::{Value, json};

use super::*;
use crate::credential::Credential;
use crate::provider::http::HttpLimits;
use crate::provider::http::raw_peer::{Act, END, EVENTS, RawPeer, answer, chunk};
use crate::provider::{Chunk, FaultReason, Message, Patience, Provider, Usage};

const KEY: &str = "sk-live-0123456789";

fn key() -> Credential {
    Credential::new("a", KEY)
}

fn provider(peer: &RawPeer) -> OpenAi {
    OpenAi::new()
        .with_base_url(peer.url.clone())
        .with_model("m")
}

fn patience(attempt: u64, idle: u64) -> Patience {
    Patience {
        attempt: Duration::from_millis(attempt),
        idle: Duration::from_millis(idle),
    }
}

fn text(text: &str) -> Chunk {
    Chunk::Text {
        text: text.to_owned(),
    }
}

fn says(content: &str) -> String {
    let piece = json!({"model": "m-1", "choices": [{"index": 0, "delta": {"content": content}}]});
    format!("data: {piece}\n\n")
}

const STOP: &str =
    "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\r\n\r\n";
const USAGE: &str = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":2,\"prompt_tokens_details\":{\"cached_tokens\":3}}}\n\n";
const DONE: &str = "data: [DONE]\n\n";

async fn collected(peer: &RawPeer, patience: Patience) -> (Vec<Chunk>, Option<Fault>) {
    let request = Request::prompt("hi");
    let mut chunks = Vec::new();
    let mut stream = match provider(peer).stream(&request, &key(), patience).await {
        Ok(stream) => stream,
        Err(fault) => return (chunks, Some(fault)),
    };
    let mut fault = None;
    while let Some(item) = stream.next().await {
        assert!(fault.is_none(), "something came after a fault");
        match item {
            Ok(chunk) => chunks.push(chunk),
            Err(broken) => fault = Some(broken),
        }
    }
    (chunks, fault)
}

fn streamed(events: &str) -> Vec<Act> {
    vec![
        Act::Send(EVENTS.into()),
        Act::Send(chunk(events.as_bytes())),
        Act::Send(END.into()),
    ]
}

/// The most bytes that glibc hands out and takes back without a lock.
#[cfg(all(target_env = "gnu", target_pointer_width = "64"))]
const WITHOUT_A_LOCK: usize = 1_032;

#[test]
#[cfg(all(target_env = "gnu", target_pointer_width = "64"))]
fn a_call_at_work_is_small_enough_to_be_cheap() {
    let provider = OpenAi::new().with_model("m");
    let (request, key) = (Request::prompt("hi"), key());
    let size = size_of_val(&*provider.send(&request, &key, patience(1, 1)));
    assert!(size <= WITHOUT_A_LOCK, "{size} bytes");
}

#[tokio::test]
async fn a_call_carries_everything_and_reads_text_usage_and_tools() {
    let body = json!({
        "model": "m-1",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {
            "role": "assistant", "content": "caffè", "tool_calls": [{"id": "t"}]}}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 3}},
    });
    let mut peer = RawPeer::saying(&answer("200 OK", "", &body.to_string())).await;
    let mut request = Request::prompt("hi");
    request.system = Some("be brief".to_owned());
    request.messages.push(Message::assistant("yes?"));
    request.max_tokens = Some(5);
    request.temperature = Some(0.5);
    request.stop = vec!["END".to_owned()];
    request.tools = Some(json!([{"type": "function"}]));
    request.tool_choice = Some(json!("auto"));
    request.extra = json!({"seed": 1, "max_tokens": 9, "stream": true, "model": "no"})
        .as_object()
        .cloned()
        .unwrap();
    let response = provider(&peer)
        .send(&request, &key(), Patience::default())
        .await
        .unwrap();
    assert_eq!(response.text, "caffè");
    assert_eq!(response.model.as_deref(), Some("m-1"));
    assert_eq!(response.finish_reason.as_deref(), Some("stop"));
    assert_eq!(response.tool_calls, [json!({"id": "t"})]);
    let usage = Usage {
        input_tokens: 7,
        output_tokens: 2,
        cached_tokens: 3,
    };
    assert_eq!(response.usage, Some(usage));

    let sent = peer.requests.recv().await.unwrap();
    let (head, body) = sent.split_once("\r\n\r\n").unwrap();
    assert!(
        head.starts_with("POST /chat/completions HTTP/1.1\r\n"),
        "{head}"
    );
    assert!(
        head.contains(&format!("authorization: Bearer {KEY}")),
        "{head}"
    );
    assert_eq!(
        serde_json::from_str::<Value>(body).unwrap(),
        json!({
            "model": "m",
            "messages": [
                {"role": "system", "content": "be brief"},
                {"role": "user", "content": "hi"},
                {"role": "assistant", "content": "yes?"},
            ],
            "max_tokens": 9, "temperature": 0.5, "stop": ["END"],
            "tools": [{"type": "function"}], "tool_choice": "auto", "seed": 1,
        })
    );
    assert_eq!(body.matches("max_tokens").count(), 1, "{body}");
}

#[tokio::test]
async fn a_call_without_a_model_says_where_to_name_one() {
    let fault = OpenAi::new()
        .send(&Request::prompt("hi"), &key(), Patience::default())
        .await
        .unwrap_err();
    assert_eq!(fault.reason, FaultReason::BadRequest);
    assert!(fault.message.contains("set `model`"), "{}", fault.message);
}

#[tokio::test]
async fn answers_that_are_none_are_told_apart() {
    let choice = |message: Value, finish: &str| {
        json!({"choices": [{"message": message, "finish_reason": finish}]}).to_string()
    };
    for (status, headers, body, reason, words) in [
        (
            "401 Unauthorized",
            "",
            format!(
                "{{\"error\":{{\"message\":\"Incorrect API key provided: {KEY}\",\"code\":\"invalid_api_key\"}}}}"
            ),
            FaultReason::Unauthorized,
            "provided: ***",
        ),
        (
            "429 Too Many Requests",
            "retry-after: 30\r\n",
            "{\"error\":{\"message\":\"slow\"}}".to_owned(),
            FaultReason::RateLimited,
            "slow",
        ),
        (
            "500 Internal Server Error",
            "",
            "boom".to_owned(),
            FaultReason::ServerError,
            "boom",
        ),
        (
            "502 Bad Gateway",
            "content-type: text/html\r\n",
            "<html>".to_owned(),
            FaultReason::ServerError,
            "HTTP 502",
        ),
        (
            "302 Found",
            "location: http://127.0.0.1:1/\r\n",
            String::new(),
            FaultReason::MalformedResponse,
            "redirects are not followed",
        ),
        (
            "200 OK",
            "",
            "<html>hello</html>".to_owned(),
            FaultReason::MalformedResponse,
            "web page",
        ),
        (
            "200 OK",
            "",
            "{\"choices\":[".to_owned(),
            FaultReason::MalformedResponse,
            "not a chat completion",
        ),
        (
            "200 OK",
            "",
            "{\"choices\":[]}".to_owned(),
            FaultReason::MalformedResponse,
            "not a chat completion",
        ),
        (
            "200 OK",
            "",
            "{\"error\":{\"code\":\"insufficient_quota\",\"message\":\"no more\"}}".to_owned(),
            FaultReason::QuotaExhausted,
            "no more",
        ),
        (
            "200 OK",
            "",
            "{\"error\":{\"code\":502,\"message\":\"upstream\"}}".to_owned(),
            FaultReason::ServerError,
            "upstream",
        ),
        (
            "200 OK",
            "",
            "{\"error\":{\"message\":\"odd\"}}".to_owned(),
            FaultReason::ServerError,
            "inside its answer",
        ),
        (
            "200 OK",
            "",
            "{\"code\":\"Throttling.RateQuota\",\"message\":\"slow\"}".to_owned(),
            FaultReason::RateLimited,
            "slow",
        ),
        (
            "200 OK",
            "",
            choice(json!({"content": " "}), "stop"),
            FaultReason::EmptyResponse,
            "no text",
        ),
        (
            "200 OK",
            "",
            choice(json!({"content": null}), "length"),
            FaultReason::BadRequest,
            "raise `max_tokens`",
        ),
        (
            "200 OK",
            "",
            choice(json!({"content": ""}), "content_filter"),
            FaultReason::ContentPolicy,
            "filter",
        ),
        (
            "200 OK",
            "",
            choice(json!({"refusal": "I will not"}), "stop"),
            FaultReason::ContentPolicy,
            "I will not",
        ),
    ] {
        let peer = RawPeer::saying(&answer(status, headers, &body)).await;
        let request = Request::prompt("hi");
        let sent = provider(&peer)
            .send(&request, &key(), Patience::default())
            .await;
        let opened = provider(&peer)
            .stream(&request, &key(), Patience::default())
            .await;
        for fault in [sent.err(), opened.err().filter(|_| status != "200 OK")]
            .into_iter()
            .flatten()
        {
            assert_eq!(fault.reason, reason, "{status} {body}: {fault:?}");
            assert!(fault.message.contains(words), "{status} {body}: {fault:?}");
            assert!(!format!("{fault:?}").contains(KEY), "{fault:?}");
        }
    }
}

#[tokio::test]
async fn a_throttle_carries_the_wait_that_was_asked_for() {
    let peer = RawPeer::saying(&answer("429 Too Many Requests", "Retry-After: 30\r\n", "")).await;
    let request = Request::prompt("hi");
    let fault = provider(&peer)
        .send(&request, &key(), Patience::default())
        .await
        .unwrap_err();
    assert_eq!(fault.retry_after, Some(Duration::from_secs(30)));
    assert_eq!(fault.status, Some(429));
}

#[tokio::test]
async fn what_breaks_on_the_way_is_told_apart() {
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"choices\":";
    let huge = "HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n{";
    let late = "HTTP/1.1 429 Too Many Requests\r\ncontent-length: 100\r\n\r\n{";
    for (name, script, reason) in [
        ("silence", vec![Act::Hang], FaultReason::Timeout),
        (
            "half, then silence",
            vec![Act::Send(half.into()), Act::Hang],
            FaultReason::Timeout,
        ),
        (
            "half, then the end",
            vec![Act::Send(half.into())],
            FaultReason::Truncated,
        ),
        (
            "half, then a reset",
            vec![
                Act::Send(half.into()),
                Act::Pause(Duration::from_millis(20)),
                Act::Reset,
            ],
            FaultReason::Truncated,
        ),
        ("a reset", vec![Act::Reset], FaultReason::Connect),
        (
            "no HTTP",
            vec![Act::Send("SSH-2.0-x\r\n".into())],
            FaultReason::Connect,
        ),
        (
            "too much",
            vec![Act::Send(huge.into()), Act::Hang],
            FaultReason::MalformedResponse,
        ),
        (
            "a refusal cut short",
            vec![Act::Send(late.into())],
            FaultReason::RateLimited,
        ),
    ] {
        let peer = RawPeer::acting(script).await;
        let request = Request::prompt("hi");
        let fault = provider(&peer)
            .send(&request, &key(), patience(400, 400))
            .await
            .unwrap_err();
        assert_eq!(fault.reason, reason, "{name}: {fault:?}");
    }
}

#[tokio::test]
async fn nobody_listening_is_a_connect_fault_without_the_address() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    drop(listener);
    let provider = OpenAi::new()
        .with_base_url(url.parse().unwrap())
        .with_model("m");
    let request = Request::prompt("hi");
    let fault = provider
        .send(&request, &key(), Patience::default())
        .await
        .unwrap_err();
    assert_eq!(fault.reason, FaultReason::Connect);
    assert!(!fault.message.contains("/v1"), "{}", fault.message);
    assert!(fault.message.contains("refused"), "{}", fault.message);
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_though_its_length_was_not_told() {
    let body = [b'x'; 40];
    let script = vec![
        Act::Send(
            EVENTS
                .replace("text/event-stream", "application/json")
                .into(),
        ),
        Act::Send(chunk(&body)),
        Act::Send(chunk(&body)),
        Act::Hang,
    ];
    let peer = RawPeer::acting(script).await;
    let limits = HttpLimits {
        body: 64,
        ..HttpLimits::default()
    };
    let request = Request::prompt("hi");
    let provider = provider(&peer).with_limits(limits);
    let fault = provider
        .send(&request, &key(), patience(2000, 2000))
        .await
        .unwrap_err();
    assert!(
        fault.message.contains("over the limit of 64 bytes"),
        "{fault:?}"
    );
}

#[tokio::test]
async fn a_stream_cut_at_every_byte_gives_the_same_chunks() {
    let events = [&says("caf"), &says("fè 🙂"), STOP, USAGE, DONE].concat();
    let mut script = vec![Act::Send(EVENTS.into())];
    script.extend(events.bytes().map(|byte| Act::Send(chunk(&[byte]))));
    script.push(Act::Send(END.into()));
    let expected = [
        text("caf"),
        text("fè 🙂"),
        Chunk::Done {
            model: Some("m-1".to_owned()),
            usage: Some(Usage {
                input_tokens: 7,
                output_tokens: 2,
                cached_tokens: 3,
            }),
            finish_reason: Some("stop".to_owned()),
        },
    ];
    for script in [script, streamed(&events)] {
        let mut peer = RawPeer::acting(script).await;
        assert_eq!(
            collected(&peer, Patience::default()).await,
            (expected.to_vec(), None)
        );
        let sent = peer.requests.recv().await.unwrap();
        assert!(
            sent.contains("\"stream_options\":{\"include_usage\":true}"),
            "{sent}"
        );
    }
}

#[tokio::test]
async fn streams_that_end_otherwise_are_told_apart() {
    let error = "data: {\"error\":{\"code\":\"insufficient_quota\",\"message\":\"no more\"}}\n\n";
    let named = "event: error\ndata: {\"code\":\"Throttling.RateQuota\",\"message\":\"slow\"}\n\n";
    let finish = "data: {\"choices\":[{\"delta\":{\"content\":\"Free allocated quota exceeded.\"},\"finish_reason\":\"error_finish\"}]}\n\n";
    let garbage = "data: <html>\n\n";
    let a = says("a");
    for (events, said, reason) in [
        ([error].concat(), 0, Some(FaultReason::QuotaExhausted)),
        ([named].concat(), 0, Some(FaultReason::RateLimited)),
        ([finish].concat(), 0, Some(FaultReason::QuotaExhausted)),
        (
            [a.as_str(), error].concat(),
            1,
            Some(FaultReason::QuotaExhausted),
        ),
        ([a.as_str()].concat(), 1, Some(FaultReason::Truncated)),
        (String::new(), 0, Some(FaultReason::Truncated)),
        ([garbage].concat(), 0, Some(FaultReason::MalformedResponse)),
        ([DONE].concat(), 0, Some(FaultReason::EmptyResponse)),
        (
            [": ping\n\n", STOP, DONE].concat(),
            0,
            Some(FaultReason::EmptyResponse),
        ),
        ([a.as_str(), STOP].concat(), 2, None),
        ([a.as_str(), DONE].concat(), 2, None),
        ([a.as_str(), STOP, DONE, error].concat(), 2, None),
    ] {
        let peer = RawPeer::acting(streamed(&events)).await;
        let (chunks, fault) = collected(&peer, Patience::default()).await;
        assert_eq!(fault.map(|fault| fault.reason), reason, "{events}");
        assert_eq!(chunks.len(), said, "{events}");
    }
}

#[tokio::test]
async fn a_fault_before_the_first_piece_comes_from_the_call_itself() {
    let error = "data: {\"error\":{\"code\":\"insufficient_quota\"}}\n\n";
    let peer = RawPeer::acting(streamed(error)).await;
    let request = Request::prompt("hi");
    let opened = provider(&peer)
        .stream(&request, &key(), Patience::default())
        .await;
    assert_eq!(
        opened.err().map(|fault| fault.reason),
        Some(FaultReason::QuotaExhausted)
    );
}

#[tokio::test]
async fn an_endpoint_that_does_not_stream_gives_the_whole_answer() {
    let body = json!({"choices": [{"message": {"content": "all"}, "finish_reason": "stop"}]});
    let headers = "content-type: application/json\r\n";
    let peer = RawPeer::saying(&answer("200 OK", headers, &body.to_string())).await;
    let (chunks, fault) = collected(&peer, Patience::default()).await;
    assert_eq!(
        (chunks.first(), chunks.len(), fault),
        (Some(&text("all")), 2, None)
    );
}

#[tokio::test]
async fn silence_trips_and_a_slow_live_stream_does_not() {
    let send = |text: &str| Act::Send(chunk(text.as_bytes()));
    let head = Act::Send(EVENTS.into());
    let ping = send(": keep-alive\n\n");
    let pause = |ms| Act::Pause(Duration::from_millis(ms));
    let thinks = send("data: {\"choices\":[{\"delta\":{\"reasoning_content\":\"hm\"}}]}\n\n");

    let mut pings = vec![head.clone()];
    for _ in 0..100 {
        pings.extend([ping.clone(), pause(20)]);
    }
    let mut slow = vec![head.clone()];
    for _ in 0..8 {
        slow.extend([send(&says("a")), pause(60)]);
    }
    slow.extend([send(DONE), Act::Send(END.into())]);
    let mut thoughtful = vec![head.clone(), thinks.clone()];
    for _ in 0..8 {
        thoughtful.extend([pause(60), thinks.clone()]);
    }
    thoughtful.extend([send(&says("a")), send(DONE), Act::Send(END.into())]);

    for (name, script, said, reason) in [
        ("no head", vec![Act::Hang], 0, Some(FaultReason::Timeout)),
        (
            "no piece",
            vec![head.clone(), Act::Hang],
            0,
            Some(FaultReason::Timeout),
        ),
        ("pings only", pings, 0, Some(FaultReason::Timeout)),
        (
            "a piece, then silence",
            vec![head.clone(), send(&says("a")), Act::Hang],
            1,
            Some(FaultReason::Stalled),
        ),
        (
            "thoughts, then silence",
            vec![head.clone(), thinks, Act::Hang],
            0,
            Some(FaultReason::Stalled),
        ),
        (
            "a piece, then a reset",
            vec![head, send(&says("a")), pause(30), Act::Reset],
            1,
            Some(FaultReason::Truncated),
        ),
        ("slow but live", slow, 9, None),
        ("long thoughts", thoughtful, 2, None),
    ] {
        let peer = RawPeer::acting(script).await;
        let reading = collected(&peer, patience(400, 300));
        let read = tokio::time::timeout(Duration::from_secs(10), reading).await;
        let (chunks, fault) = read.expect(name);
        assert_eq!(fault.map(|fault| fault.reason), reason, "{name}");
        assert_eq!(chunks.len(), said, "{name}");
    }
}

#[tokio::test]
async fn dropping_a_call_closes_its_connection() {
    let mut peer = RawPeer::acting(vec![Act::Hang]).await;
    let provider = provider(&peer);
    let (request, key) = (Request::prompt("hi"), key());
    let call =
        tokio::spawn(async move { provider.send(&request, &key, Patience::default()).await });
    peer.requests.recv().await.unwrap();
    call.abort();
    let closed = tokio::time::timeout(Duration::from_secs(2), peer.closed.recv()).await;
    assert_eq!(closed, Ok(Some(())));
}

#[tokio::test]
async fn dropping_a_stream_closes_its_connection() {
    let script = vec![
        Act::Send(EVENTS.into()),
        Act::Send(chunk(says("a").as_bytes())),
        Act::Hang,
    ];
    let mut peer = RawPeer::acting(script).await;
    // Kept until the end: it is the stream that must close, not the client.
    let provider = provider(&peer);
    let request = Request::prompt("hi");
    let mut stream = provider
        .stream(&request, &key(), Patience::default())
        .await
        .unwrap();
    assert_eq!(stream.next().await, Some(Ok(text("a"))));
    drop(stream);
    let closed = tokio::time::timeout(Duration::from_secs(2), peer.closed.recv()).await;
    assert_eq!(closed, Ok(Some(())));
    drop(provider);
}
