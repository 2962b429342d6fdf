//! Each fault as it arrives over TCP.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};

use super::raw_client::{Wire, ask, eventually, open, prompt, receive, send, streamed};
use super::*;

fn start(steps: Value) -> SimulatedEndpoint {
    let scenario = json!({ "default": steps }).to_string();
    SimulatedEndpoint::start_blocking(Scenario::from_json(&scenario).unwrap()).unwrap()
}

#[test]
fn an_answer_echoes_the_prompt_in_both_formats() {
    let endpoint = start(json!([{}]));
    let openai = ask(&endpoint, Wire::OpenAi, "k", &prompt("hi \"you\"")).json();
    assert_eq!(
        openai["choices"][0]["message"]["content"],
        "echo: hi \"you\""
    );
    assert_eq!(openai["choices"][0]["finish_reason"], "stop");
    assert_eq!(openai["usage"]["prompt_tokens"], 2);
    assert_eq!(openai["usage"]["total_tokens"], 6);
    assert_eq!(openai["model"], "sim-1");
    let anthropic = ask(&endpoint, Wire::Anthropic, "k", &prompt("hi")).json();
    assert_eq!(
        anthropic["content"],
        json!([{"type": "text", "text": "echo: hi"}])
    );
    assert_eq!(anthropic["stop_reason"], "end_turn");
    assert_eq!(anthropic["usage"]["output_tokens"], 2);
    assert_eq!(endpoint.hits("k"), 2);
}

#[test]
fn text_usage_tools_and_finish_reason_are_as_scripted() {
    let endpoint = start(json!([{
        "text": "{model} #{hit}: {prompt}", "finish_reason": "length",
        "usage": {"input_tokens": 10, "output_tokens": 5, "cached_tokens": 4},
        "tool_calls": [{"name": "look", "arguments": {"at": 1}}],
    }]));
    let openai = ask(&endpoint, Wire::OpenAi, "k", &prompt("{hit}")).json();
    let message = &openai["choices"][0]["message"];
    assert_eq!(message["content"], "sim-1 #1: {hit}");
    assert_eq!(
        message["tool_calls"][0]["function"],
        json!({"name": "look", "arguments": "{\"at\":1}"})
    );
    assert_eq!(openai["choices"][0]["finish_reason"], "length");
    assert_eq!(openai["usage"]["prompt_tokens_details"]["cached_tokens"], 4);
    let anthropic = ask(&endpoint, Wire::Anthropic, "k", &prompt("x")).json();
    assert_eq!(anthropic["content"][1]["input"], json!({"at": 1}));
    assert_eq!(anthropic["usage"]["input_tokens"], 6);
    assert_eq!(anthropic["usage"]["cache_read_input_tokens"], 4);
}

#[test]
fn a_stream_has_the_events_of_its_format() {
    let endpoint = start(json!([{"text": "one two three"}]));
    let openai = ask(&endpoint, Wire::OpenAi, "k", &streamed("x"));
    assert_eq!(openai.text(), "one two three");
    assert!(openai.ends_with_terminator());
    assert!(
        openai
            .events()
            .iter()
            .all(|event| event.get("usage").is_none())
    );
    let anthropic = ask(&endpoint, Wire::Anthropic, "k", &streamed("x"));
    assert_eq!(anthropic.text(), "one two three");
    let events = anthropic.events();
    let kinds: Vec<_> = events
        .iter()
        .map(|event| event["type"].as_str().unwrap())
        .collect();
    let expected = [
        "message_start",
        "ping",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ];
    assert_eq!(kinds, expected);
    assert_eq!(endpoint.closed_early("k"), 0);
}

#[test]
fn usage_is_streamed_to_those_who_ask() {
    let endpoint = start(json!([{"usage": {"input_tokens": 7, "output_tokens": 8}}]));
    let mut body = streamed("x");
    body["stream_options"] = json!({"include_usage": true});
    let events = ask(&endpoint, Wire::OpenAi, "k", &body).events();
    let last = events.last().unwrap();
    assert_eq!(last["choices"], json!([]));
    assert_eq!(last["usage"]["total_tokens"], 15);
}

#[test]
fn tool_calls_are_streamed_in_both_formats() {
    let endpoint = start(json!([{"tool_calls": [{"name": "look", "arguments": {"at": 1}}]}]));
    let openai = ask(&endpoint, Wire::OpenAi, "k", &streamed("x")).events();
    let name = openai[1].pointer("/choices/0/delta/tool_calls/0/function/name");
    assert_eq!(name, Some(&json!("look")));
    assert_eq!(openai[3]["choices"][0]["finish_reason"], "tool_calls");
    let anthropic = ask(&endpoint, Wire::Anthropic, "k", &streamed("x")).events();
    assert_eq!(anthropic[2]["content_block"]["name"], "look");
    assert_eq!(anthropic[3]["delta"]["partial_json"], "{\"at\":1}");
}

#[test]
fn each_error_has_the_status_and_words_of_its_format() {
    let cases = [
        (
            "rate_limited",
            429,
            "rate_limit_exceeded",
            429,
            "rate_limit_error",
        ),
        (
            "insufficient_quota",
            429,
            "insufficient_quota",
            402,
            "billing_error",
        ),
        (
            "credit_balance_exhausted",
            429,
            "credit_balance_exhausted",
            402,
            "billing_error",
        ),
        (
            "rate_quota",
            429,
            "Throttling.RateQuota",
            429,
            "rate_limit_error",
        ),
        (
            "allocation_quota",
            429,
            "Throttling.AllocationQuota",
            429,
            "rate_limit_error",
        ),
        (
            "free_quota_exhausted",
            429,
            "insufficient_quota",
            402,
            "billing_error",
        ),
        ("billing", 402, "payment_required", 402, "billing_error"),
        (
            "unauthorized",
            401,
            "invalid_api_key",
            401,
            "authentication_error",
        ),
        (
            "forbidden",
            403,
            "permission_denied",
            403,
            "permission_error",
        ),
        (
            "model_not_found",
            404,
            "model_not_found",
            404,
            "not_found_error",
        ),
        (
            "bad_request",
            400,
            "invalid_value",
            400,
            "invalid_request_error",
        ),
        (
            "context_too_long",
            400,
            "context_length_exceeded",
            400,
            "invalid_request_error",
        ),
        (
            "content_policy",
            400,
            "content_policy_violation",
            400,
            "invalid_request_error",
        ),
        (
            "too_large",
            413,
            "request_too_large",
            413,
            "request_too_large",
        ),
        (
            "unprocessable",
            422,
            "unprocessable_entity",
            422,
            "invalid_request_error",
        ),
        ("server_error", 500, "internal_error", 500, "api_error"),
        ("bad_gateway", 502, "bad_gateway", 502, "api_error"),
        ("unavailable", 503, "service_unavailable", 503, "api_error"),
        ("overloaded", 529, "overloaded", 529, "overloaded_error"),
    ];
    for (fault, status, code, anthropic_status, kind) in cases {
        let endpoint = start(json!([{ "fault": fault }]));
        let openai = ask(&endpoint, Wire::OpenAi, "k", &streamed("x"));
        assert_eq!(openai.status, status, "{fault}");
        assert_eq!(openai.json()["error"]["code"], code);
        let anthropic = ask(&endpoint, Wire::Anthropic, "k", &prompt("x"));
        assert_eq!(anthropic.status, anthropic_status, "{fault}");
        assert_eq!(anthropic.json()["type"], "error");
        assert_eq!(anthropic.json()["error"]["type"], kind);
    }
}

#[test]
fn a_status_alone_names_its_fault_and_words_can_be_given() {
    let endpoint = start(json!([
        {"status": 418}, {"status": 529},
        {"status": 429, "code": "Throttling", "message": "slow down", "echo_key": true},
        {"status": 200},
    ]));
    let answers = [(); 4].map(|()| ask(&endpoint, Wire::OpenAi, "sk-echoed", &prompt("x")));
    assert_eq!(answers.each_ref().map(|a| a.status), [418, 529, 429, 200]);
    let error = &answers[2].json()["error"];
    assert_eq!(error["code"], "Throttling");
    assert_eq!(error["message"], "slow down The key was: sk-echoed");
}

#[test]
fn retry_after_comes_in_every_shape() {
    let cases = [
        (json!({"retry_after": 30}), Some("30"), None),
        (json!({"retry_after": "12"}), Some("12"), None),
        (
            json!({"retry_after": "soon, maybe"}),
            Some("soon, maybe"),
            None,
        ),
        (json!({"retry_after": -5}), Some("-5"), None),
        (json!({"retry_after_ms": 1500}), None, Some("1500")),
        (json!({}), None, None),
    ];
    for (mut step, seconds, millis) in cases {
        step["fault"] = json!("rate_limited");
        let endpoint = start(json!([step]));
        for wire in Wire::BOTH {
            let answer = ask(&endpoint, wire, "k", &prompt("x"));
            assert_eq!(answer.header("retry-after"), seconds);
            assert_eq!(answer.header("retry-after-ms"), millis);
        }
    }
}

#[test]
fn retry_after_as_a_date_lies_where_the_script_says() {
    let endpoint = start(json!([
        {"status": 429, "retry_after_date": 3600, "times": 1},
        {"status": 429, "retry_after_date": -3600, "times": 1},
    ]));
    let date = || {
        let answer = ask(&endpoint, Wire::OpenAi, "k", &prompt("x"));
        httpdate::parse_http_date(answer.header("retry-after").unwrap()).unwrap()
    };
    assert!(date() > SystemTime::now() + Duration::from_secs(3500));
    assert!(date() < SystemTime::now() - Duration::from_secs(3500));
}

#[test]
fn a_throttle_has_the_limit_headers_of_its_format() {
    let endpoint = start(json!([{"fault": "rate_limited", "headers": {"request-id": "r1"}}]));
    let anthropic = ask(&endpoint, Wire::Anthropic, "k", &prompt("x"));
    let remaining = anthropic.header("anthropic-ratelimit-requests-remaining");
    assert_eq!(remaining, Some("0"));
    let reset = anthropic
        .header("anthropic-ratelimit-requests-reset")
        .unwrap();
    assert!(reset.parse::<jiff::Timestamp>().is_ok());
    assert_eq!(anthropic.header("request-id"), Some("r1"));
    let openai = ask(&endpoint, Wire::OpenAi, "k", &prompt("x"));
    assert_eq!(openai.header("x-ratelimit-reset-requests"), Some("60s"));
}

#[test]
fn a_success_can_be_none() {
    for wire in Wire::BOTH {
        for body in [prompt("x"), streamed("x")] {
            let endpoint = start(json!([
                {"fault": "html"}, {"fault": "malformed_json"}, {"fault": "empty"},
                {"fault": "error_in_ok", "error": "free_quota_exhausted"},
            ]));
            let answers = [(); 4].map(|()| ask(&endpoint, wire, "k", &body));
            let [html, malformed, empty, error] = answers;
            assert!(
                [&html, &malformed, &empty, &error]
                    .iter()
                    .all(|a| a.status == 200 && a.whole)
            );
            assert!(html.body.starts_with("<!DOCTYPE html>"));
            assert!(malformed.body.ends_with("oops") || malformed.body.ends_with("oops\n\n"));
            assert!(!empty.body.contains("echo") && empty.text().is_empty());
            assert_eq!(
                error.json()["error"]["message"],
                "Free allocated quota exceeded."
            );
        }
    }
}

#[test]
fn an_error_event_comes_first_or_after_some_pieces() {
    for wire in Wire::BOTH {
        let endpoint = start(json!([
            {"fault": "error_event"},
            {"fault": "error_event", "after": 2, "pieces": ["a", "b", "c"], "error": "rate_limited"},
        ]));
        let first = ask(&endpoint, wire, "k", &streamed("x"));
        assert_eq!((first.status, first.events().len()), (200, 1));
        assert_eq!(first.events()[0]["error"]["message"], "Overloaded");
        assert_eq!(
            first.body.starts_with("event: error\n"),
            wire == Wire::Anthropic
        );
        let later = ask(&endpoint, wire, "k", &streamed("x"));
        assert_eq!(later.text(), "ab");
        assert!(later.events().last().unwrap()["error"].is_object());
        assert!(!later.ends_with_terminator());
    }
}

#[test]
fn a_stall_is_silent_until_the_client_goes_away() {
    for (step, body) in [
        (json!({"fault": "stall"}), prompt("x")),
        (json!({"fault": "stall", "after": 0}), streamed("x")),
        (
            json!({"fault": "stall", "after": 2, "pieces": ["a", "b", "c"]}),
            streamed("x"),
        ),
        (json!({"fault": "stall", "after": 1}), prompt("x")),
    ] {
        let endpoint = start(json!([step]));
        let mut tcp = open(&endpoint, Wire::OpenAi, "k", &body);
        eventually("the request arrives", || endpoint.in_flight() == 1);
        tcp.set_read_timeout(Some(Duration::from_millis(50)))
            .unwrap();
        let received = receive(&mut tcp);
        assert_eq!(received.broken, Some(io::ErrorKind::WouldBlock));
        assert!(!received.whole);
        let (before_head, after) = (step["after"].is_null(), step["after"] == 2);
        assert_eq!(received.status, if before_head { 0 } else { 200 });
        assert_eq!(received.text(), if after { "ab" } else { "" });
        drop(tcp);
        eventually("the client is missed", || endpoint.closed_early("k") == 1);
        eventually("the connection is closed", || {
            endpoint.open_connections() == 0
        });
        assert_eq!(endpoint.in_flight(), 0);
    }
}

#[test]
fn a_stall_with_an_end_goes_on() {
    let step = json!({"fault": "stall", "for_ms": 30, "pieces": ["a", "b"]});
    let mut later = step.clone();
    later["after"] = json!(1);
    for step in [step, later] {
        let endpoint = start(json!([step]));
        let start = Instant::now();
        let answer = ask(&endpoint, Wire::Anthropic, "k", &streamed("x"));
        assert!(start.elapsed() >= Duration::from_millis(30));
        assert_eq!(answer.text(), "ab");
        assert!(answer.ends_with_terminator() && answer.whole);
        let whole = ask(&endpoint, Wire::Anthropic, "k", &prompt("x"));
        assert_eq!(whole.json()["content"][0]["text"], "ab");
    }
}

#[test]
fn a_reset_is_a_reset_and_a_close_is_not() {
    let pieces = json!(["a", "b", "c"]);
    for (fault, broken) in [
        ("reset", Some(io::ErrorKind::ConnectionReset)),
        ("close", None),
    ] {
        let endpoint = start(json!([
            {"fault": fault},
            {"fault": fault, "after": 2, "pieces": pieces},
            {"fault": fault, "after": 1, "pieces": pieces},
        ]));
        let before = ask(&endpoint, Wire::OpenAi, "k", &streamed("x"));
        assert_eq!((before.raw.as_str(), before.broken), ("", broken));
        let amid = ask(&endpoint, Wire::OpenAi, "k", &streamed("x"));
        assert_eq!((amid.text().as_str(), amid.broken), ("ab", broken));
        assert!(!amid.whole);
        let half = ask(&endpoint, Wire::OpenAi, "k", &prompt("x"));
        assert!(half.body.starts_with("{\"id\"") && !half.whole);
        assert_eq!(half.broken, broken);
        assert_eq!(endpoint.closed_early("k"), 0);
    }
}

#[test]
fn a_truncated_stream_ends_without_its_terminator() {
    for wire in Wire::BOTH {
        let endpoint = start(json!([
            {"fault": "truncated", "text": "one two"},
            {"fault": "truncated", "text": "one two", "after": 1},
        ]));
        for text in ["one two", "one "] {
            let answer = ask(&endpoint, wire, "k", &streamed("x"));
            assert_eq!(answer.text(), text);
            assert!(answer.whole && !answer.ends_with_terminator());
        }
        let answer = ask(&endpoint, wire, "k", &prompt("x"));
        assert!(answer.whole && serde_json::from_str::<Value>(&answer.body).is_err());
    }
}

#[test]
fn a_split_body_comes_in_pieces_of_the_given_size() {
    for size in [1, 7] {
        let endpoint = start(json!([{"text": "è una prova", "split": size}]));
        let answer = ask(&endpoint, Wire::OpenAi, "k", &prompt("x"));
        assert!(answer.chunks.len() > 20 && answer.whole);
        let text = &answer.json()["choices"][0]["message"]["content"];
        assert_eq!(text, "è una prova");
        assert!(answer.chunks.iter().all(|&chunk| chunk <= size));
    }
}

#[test]
fn a_slow_stream_and_a_delay_take_their_time() {
    let endpoint = start(json!([{"pieces": ["a", "b", "c"], "piece_ms": 10, "delay_ms": 20}]));
    let start = Instant::now();
    let answer = ask(&endpoint, Wire::OpenAi, "k", &streamed("x"));
    assert_eq!(answer.text(), "abc");
    assert!(start.elapsed() >= Duration::from_millis(50));
    // Each piece was on its way before the next was made.
    assert!(answer.chunks.len() >= 4);
}

#[test]
fn a_big_stream_has_the_asked_length() {
    let endpoint = start(json!([{"bytes": 5_000_001}]));
    for wire in Wire::BOTH {
        let answer = ask(&endpoint, wire, "k", &streamed("x"));
        assert_eq!(answer.text().len(), 5_000_001);
        assert!(answer.ends_with_terminator());
    }
    let whole = ask(&endpoint, Wire::Anthropic, "k", &prompt("x")).json();
    assert_eq!(
        whole["content"][0]["text"].as_str().unwrap().len(),
        5_000_001
    );
}

#[test]
fn a_big_stream_stops_when_its_reader_leaves() {
    let endpoint = start(json!([{"bytes": 1_u64 << 50}]));
    let mut tcp = open(&endpoint, Wire::OpenAi, "k", &streamed("x"));
    tcp.read_exact(&mut [0; 100_000]).unwrap();
    drop(tcp);
    eventually("the stream stops", || endpoint.closed_early("k") == 1);
}

#[test]
fn keys_follow_their_own_scripts() {
    let scenario = r#"{"keys": {"a": [{"status": 500, "times": 1}, {}]}, "unknown": "401"}"#;
    let scenario = Scenario::from_json(scenario).unwrap();
    let endpoint = SimulatedEndpoint::start_blocking(scenario).unwrap();
    let status = |key: &str| ask(&endpoint, Wire::OpenAi, key, &prompt("x")).status;
    assert_eq!(
        [status("a"), status("a"), status("b"), status("")],
        [500, 200, 401, 401]
    );
    endpoint.script("b", Step::fault(ScriptedFault::Overloaded));
    assert_eq!([status("b"), status("a")], [529, 200]);
    assert_eq!(
        [endpoint.hits("a"), endpoint.hits("b"), endpoint.hits("c")],
        [3, 2, 0]
    );
    assert_eq!(endpoint.hits_total(), 6);
}

#[test]
fn requests_are_kept_when_wanted() {
    for record in [true, false] {
        let scenario = Scenario {
            record,
            ..Scenario::default()
        };
        let endpoint = SimulatedEndpoint::start_blocking(scenario).unwrap();
        ask(&endpoint, Wire::Anthropic, "sk-seen", &prompt("look"));
        let seen = endpoint.requests();
        assert_eq!(seen.len(), usize::from(record));
        if let Some(seen) = seen.first() {
            assert_eq!(seen.key.expose(), "sk-seen");
            assert_eq!(seen.path, "/v1/messages");
            assert_eq!(seen.body["messages"][0]["content"], "look");
            assert!(!format!("{seen:?}").contains("sk-seen"));
        }
    }
}

#[test]
fn both_formats_take_a_bearer_token_and_anthropic_its_own_header_first() {
    let endpoint = start(json!([{}]));
    let body = prompt("x").to_string();
    for auth in [
        "authorization: bearer k",
        "authorization: b\r\nx-api-key: k",
    ] {
        receive(&mut send(&endpoint, "POST /v1/messages", auth, &body));
    }
    assert_eq!(endpoint.hits("k"), 2);
}

#[test]
fn models_are_listed_for_good_keys_and_cost_no_step() {
    let scenario = r#"{"keys": {"bad": [{"status": 401}], "once": [{"status": 500, "times": 1}]}, "models": ["m"]}"#;
    let scenario = Scenario::from_json(scenario).unwrap();
    let endpoint = SimulatedEndpoint::start_blocking(scenario).unwrap();
    let models = |key: &str| {
        let auth = format!("authorization: Bearer {key}");
        receive(&mut send(&endpoint, "GET /v1/models", &auth, ""))
    };
    assert_eq!(models("once").json()["data"][0]["id"], "m");
    assert_eq!([models("bad").status, models("").status], [401, 401]);
    assert_eq!(
        ask(&endpoint, Wire::OpenAi, "once", &prompt("x")).status,
        500
    );
    assert_eq!(endpoint.hits("bad"), 0);
}

#[test]
fn what_is_no_request_is_refused_without_a_step() {
    let endpoint = start(json!([{}]));
    let auth = "authorization: Bearer k";
    let status = |line: &str, body: &str| receive(&mut send(&endpoint, line, auth, body)).status;
    assert_eq!(status("POST /v1/chat/completions", "{oops"), 400);
    assert_eq!(status("POST /v1/v1/messages", "{}"), 404);
    assert_eq!(status("GET /v1/messages", ""), 404);
    assert_eq!(
        status("POST /compatible-mode/v1/chat/completions", "{}"),
        200
    );
}

#[test]
fn a_refresh_token_is_redeemed_by_one_of_many() {
    let scenario =
        r#"{"unknown": "401", "oauth": {"refresh_tokens": ["r"], "script": [{"delay_ms": 5}]}}"#;
    let scenario = Scenario::from_json(scenario).unwrap();
    let endpoint = SimulatedEndpoint::start_blocking(scenario).unwrap();
    let redeem = || {
        let form = "grant_type=refresh_token&refresh_token=r&client_id=c";
        receive(&mut send(
            &endpoint,
            "POST /api/v1/oauth2/token",
            "x: y",
            form,
        ))
    };
    let answers: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(redeem)).collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    let granted: Vec<_> = answers
        .iter()
        .filter(|answer| answer.status == 200)
        .collect();
    assert_eq!(granted.len(), 1);
    let refused = answers.iter().filter(|answer| answer.status == 400);
    assert!(
        refused
            .clone()
            .all(|answer| answer.json()["error"] == "invalid_grant")
    );
    let tokens = granted[0].json();
    assert_eq!(tokens["resource_url"], endpoint.url());
    let access = tokens["access_token"].as_str().unwrap();
    assert_eq!(
        ask(&endpoint, Wire::OpenAi, access, &prompt("x")).status,
        200
    );
    let expected = Redemptions {
        granted: 1,
        refused: 7,
    };
    assert_eq!(endpoint.redemptions(), expected);
}

#[test]
fn the_token_endpoint_fails_as_scripted() {
    let scenario = r#"{"oauth": {"refresh_tokens": ["r"], "script": [
        {"status": 503}, {"fault": "reset"}, {"fault": "reset", "after": 0}, {}]}}"#;
    let scenario = Scenario::from_json(scenario).unwrap();
    let endpoint = SimulatedEndpoint::start_blocking(scenario).unwrap();
    let redeem = || {
        let form = "grant_type=refresh_token&refresh_token=r";
        receive(&mut send(
            &endpoint,
            "POST /api/v1/oauth2/token",
            "x: y",
            form,
        ))
    };
    assert_eq!(redeem().status, 503);
    assert_eq!(redeem().broken, Some(io::ErrorKind::ConnectionReset));
    assert_eq!(endpoint.redemptions().granted, 0);
    assert_eq!(redeem().broken, Some(io::ErrorKind::ConnectionReset));
    assert_eq!(endpoint.redemptions().granted, 1);
    assert_eq!(redeem().status, 400);
}

#[test]
fn a_connection_is_kept_alive_until_it_is_closed() {
    let endpoint = start(json!([{}]));
    let mut tcp = TcpStream::connect(endpoint.address()).unwrap();
    for _ in 0..2 {
        let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer k\r\ncontent-length: 2\r\n\r\n{}";
        tcp.write_all(head.as_bytes()).unwrap();
        let read = tcp.read(&mut [0; 4096]).unwrap();
        assert!(read > 100);
    }
    assert_eq!((endpoint.hits("k"), endpoint.open_connections()), (2, 1));
    drop(tcp);
    eventually("it is closed", || endpoint.open_connections() == 0);
}

#[test]
fn dropping_the_endpoint_closes_port_and_connections() {
    let endpoint = start(json!([{"fault": "stall"}]));
    let address = endpoint.address();
    let mut tcp = open(&endpoint, Wire::OpenAi, "k", &prompt("x"));
    eventually("the request arrives", || endpoint.in_flight() == 1);
    drop(endpoint);
    assert_eq!(receive(&mut tcp).raw, "");
    assert!(TcpStream::connect(address).is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn it_runs_on_the_callers_runtime_too() {
    let endpoint = SimulatedEndpoint::start(Scenario::default()).await.unwrap();
    let answer = tokio::task::block_in_place(|| ask(&endpoint, Wire::OpenAi, "k", &prompt("x")));
    assert_eq!(answer.status, 200);
}
