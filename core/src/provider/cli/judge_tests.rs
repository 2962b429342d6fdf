//! One row a rule: what programs were seen to print, and what it means.

use serde_json::json;

use super::super::super::Usage;
use super::*;
use FaultReason::*;

const NOW: EpochMillis = 1_000_000;

fn judged(
    profile: &CliProfile,
    code: i32,
    stdout: &str,
    stderr: &str,
) -> Result<String, FaultReason> {
    let ended = Ended {
        code: Some(code),
        stdout: stdout.as_bytes(),
        stderr,
    };
    judge(profile, ended, NOW)
        .map(|response| response.text)
        .map_err(|fault| fault.reason)
}

/// What qwen 0.15.10 prints with `-o json`.
fn qwen(result: &str, errors: u64) -> String {
    json!([
        {"type": "system", "subtype": "init", "model": "m"},
        {"type": "assistant", "message": {"model": "m", "content": [{"type": "text", "text": result}]}},
        {"type": "result", "subtype": "success", "is_error": false, "result": result,
         "usage": {"input_tokens": 4, "output_tokens": 9, "cache_read_input_tokens": 1},
         "stats": {"models": {"m": {"api": {"totalRequests": 1, "totalErrors": errors}}}}}
    ])
    .to_string()
}

#[test]
fn an_answer_is_an_answer_whatever_it_talks_about() {
    for text in [
        "hello",
        "The codes are 429 403 quota exceeded",
        "It prints [API Error: 429 slow down]",
        "insufficient_quota means that you pay",
    ] {
        assert_eq!(
            judged(&CliProfile::qwen(), 0, &qwen(text, 0), ""),
            Ok(text.to_owned())
        );
    }
    let warned = "Qwen OAuth free tier was discontinued on 2026-04-15.";
    assert_eq!(
        judged(&CliProfile::qwen(), 0, &qwen("hello", 0), warned),
        Ok("hello".to_owned())
    );
}

#[test]
fn usage_and_model_are_read_back() {
    let stdout = qwen("hello", 0);
    let ended = Ended {
        code: Some(0),
        stdout: stdout.as_bytes(),
        stderr: "",
    };
    let response = judge(&CliProfile::qwen(), ended, NOW).unwrap();
    assert_eq!(response.model.as_deref(), Some("m"));
    assert_eq!(
        response.usage,
        Some(Usage {
            input_tokens: 4,
            output_tokens: 9,
            cached_tokens: 1
        })
    );
}

#[test]
fn qwen_faults_are_told_whatever_code_and_format_say() {
    let api = |words: &str| format!("[API Error: {words}]");
    let in_result = [
        ("401 Incorrect API key provided.", Unauthorized),
        ("403 Forbidden", Forbidden),
        ("404 The model `x` does not exist", ModelNotFound),
        ("400 bad", BadRequest),
        (
            "400 This model's maximum context length is 8 tokens",
            ContextTooLong,
        ),
        ("429 slow down", RateLimited),
        (
            "429 You exceeded your current quota, insufficient_quota",
            QuotaExhausted,
        ),
        ("Free allocated quota exceeded.", QuotaExhausted),
        ("500 oops", ServerError),
        ("503 busy", Overloaded),
        ("Connection error. (cause: fetch failed)", Connect),
        ("Network error during token refresh: fetch failed", Connect),
        ("Model stream ended without a finish reason.", Truncated),
        (
            "Model stream ended with empty response text.",
            EmptyResponse,
        ),
        ("Could not parse message into JSON", MalformedResponse),
        (
            "Expected property name or '}' in JSON at position 1",
            MalformedResponse,
        ),
        ("something new", Crashed),
    ];
    for (words, reason) in in_result {
        let profile = CliProfile::qwen();
        assert_eq!(
            judged(&profile, 0, &qwen(&api(words), 1), ""),
            Err(reason),
            "json: {words}"
        );
        let partial = format!("partial answ{}", api(words));
        assert_eq!(
            judged(&profile, 0, &qwen(&partial, 1), ""),
            Err(reason),
            "partial: {words}"
        );
        assert_eq!(
            judged(&profile, 1, "", &api(words)),
            Err(reason),
            "text mode: {words}"
        );
        assert_eq!(
            judged(&profile, 0, "\n", &api(words)),
            Err(reason),
            "0.5.2: {words}"
        );
    }
    let on_stderr = [
        (
            "Qwen OAuth quota exceeded: Your free daily quota has been reached",
            QuotaExhausted,
        ),
        (
            "Qwen API quota exceeded: Your Qwen API quota has been exhausted",
            QuotaExhausted,
        ),
        (
            "Qwen OAuth free tier was discontinued on 2026-04-15. Run /auth to switch to",
            Discontinued,
        ),
        (
            "Device authorization flow failed: fetch failed",
            LoginRequired,
        ),
        (
            "Authorization timeout, please restart the process.",
            LoginRequired,
        ),
        ("No auth type is selected.", LoginRequired),
        ("Missing API key for OpenAI-compatible auth.", Unauthorized),
        ("TypeError: undefined is not a function", Crashed),
        ("", Crashed),
    ];
    for (stderr, reason) in on_stderr {
        assert_eq!(
            judged(&CliProfile::qwen(), 1, "", stderr),
            Err(reason),
            "{stderr}"
        );
    }
}

/// What qwen 0.15.10 prints of streams that break: no request counts as failed.
fn broken_stream(result: &str, requests: u64) -> String {
    json!([
        {"type": "system", "subtype": "init", "model": "m"},
        {"type": "result", "subtype": "success", "is_error": false, "num_turns": 1, "result": result,
         "stats": {"models": {"m": {"api": {"totalRequests": requests, "totalErrors": 0}}}}}
    ])
    .to_string()
}

#[test]
fn a_stream_that_broke_each_time_is_no_answer_although_no_request_counts_as_failed() {
    let rows = [
        (
            "partialpartialpartial[API Error: Model stream ended without a finish reason.]",
            Truncated,
        ),
        (
            "[API Error: Model stream ended with empty response text.]",
            EmptyResponse,
        ),
    ];
    for (result, reason) in rows {
        let profile = CliProfile::qwen();
        assert_eq!(
            judged(&profile, 0, &broken_stream(result, 3), ""),
            Err(reason)
        );
        // In one request the same words are the model's own.
        assert_eq!(
            judged(&profile, 0, &broken_stream(result, 1), ""),
            Ok(result.to_owned())
        );
    }
}

#[test]
fn the_advice_after_a_throttle_is_neither_an_answer_nor_a_quota() {
    let advice = "Possible quota limitations in place or slow response times detected. Please wait and try again later.";
    let said = format!("partial answ[API Error: 429 slow down]\n{advice}");
    let profile = CliProfile::qwen();
    assert_eq!(judged(&profile, 0, &qwen(&said, 1), ""), Err(RateLimited));
    assert_eq!(judged(&profile, 1, "", &said), Err(RateLimited));
    assert_eq!(judged(&profile, 0, &qwen(&said, 0), ""), Ok(said.clone()));
    let traced = format!("{said}\n    at quotaOf (file:///cli.js:1:1)\n");
    let ended = Ended {
        code: Some(1),
        stdout: b"",
        stderr: &traced,
    };
    let fault = judge(&profile, ended, NOW).unwrap_err();
    assert_eq!(
        (fault.reason, fault.message.as_str()),
        (RateLimited, "429 slow down")
    );
}

#[test]
fn a_bare_quota_message_in_place_of_the_answer_is_no_answer() {
    // qwen 0.12.0, as it is: code 0, `is_error: false`, nothing on stderr.
    let quota = "Qwen OAuth quota exceeded: Your free daily quota has been reached.\n\nTo continue using Qwen Code without waiting, upgrade to the Alibaba Cloud Coding Plan:\n  China:       https://help.aliyun.com/zh/model-studio/coding-plan";
    let ended = "Qwen OAuth free tier has been discontinued as of 2026-04-15. Run /auth";
    let profile = CliProfile::qwen();
    for (message, reason) in [(quota, QuotaExhausted), (ended, Discontinued)] {
        assert_eq!(
            judged(&profile, 0, &qwen(message, 1), ""),
            Err(reason),
            "{message}"
        );
        let partial = format!("partial answ{message}");
        assert_eq!(judged(&profile, 0, &qwen(&partial, 1), ""), Err(reason));
        assert_eq!(judged(&profile, 0, message, ""), Err(reason), "text mode");
        // With no failed request, the words are the model's own.
        assert_eq!(
            judged(&profile, 0, &qwen(message, 0), ""),
            Ok(message.to_owned())
        );
    }
    let about = "It says \"Qwen OAuth quota exceeded: …\" then";
    assert_eq!(judged(&profile, 0, about, ""), Ok(about.to_owned()));
    let old = "[API Error: Qwen API quota exceeded: Your Qwen API quota has been exhausted. Please wait for your quota to reset.]";
    assert_eq!(
        judged(&profile, 0, &qwen(old, 1), ""),
        Err(QuotaExhausted),
        "0.5.2"
    );
}

#[test]
fn half_a_list_of_events_is_no_answer() {
    for half in ["[{\"type\":\"system\"", "{\"type\":\"resu", "[\n  {\n"] {
        assert_eq!(
            judged(&CliProfile::qwen(), 0, half, ""),
            Err(MalformedResponse),
            "{half}"
        );
    }
}

#[test]
fn qwen_024_tells_errors_as_such() {
    let stdout = json!([{"type": "result", "subtype": "error_during_execution", "is_error": true,
        "error": {"message": "[API Error: 401 no]"}}])
    .to_string();
    assert_eq!(
        judged(&CliProfile::qwen(), 1, &stdout, ""),
        Err(Unauthorized)
    );
}

#[test]
fn events_one_a_line_read_as_a_list_does() {
    let lines = "{\"type\":\"system\"}\nnoise\n{\"type\":\"result\",\"subtype\":\"success\",\"is_error\":false,\"result\":\"hi\"}\n";
    assert_eq!(
        judged(&CliProfile::qwen(), 0, lines, ""),
        Ok("hi".to_owned())
    );
}

#[test]
fn no_answer_and_no_error_is_an_empty_answer() {
    assert_eq!(judged(&CliProfile::qwen(), 0, "\n", ""), Err(EmptyResponse));
    assert_eq!(
        judged(&CliProfile::qwen(), 0, &qwen("", 0), ""),
        Err(EmptyResponse)
    );
}

#[test]
fn bytes_that_are_no_text_are_refused_by_name() {
    let ended = Ended {
        code: Some(0),
        stdout: b"\xff\xfe",
        stderr: "",
    };
    let fault = judge(&CliProfile::qwen(), ended, NOW).unwrap_err();
    assert_eq!(fault.reason, InvalidOutput);
    assert!(fault.message.contains("`qwen`"), "{}", fault.message);
}

#[test]
fn the_other_programs_are_told_by_their_own_formats() {
    let (gemini, codex, claude) = (
        CliProfile::gemini(),
        CliProfile::codex(),
        CliProfile::claude(),
    );
    type Row<'a> = (
        &'a CliProfile,
        i32,
        String,
        &'a str,
        Result<String, FaultReason>,
    );
    let rows: Vec<Row<'_>> = vec![
        (&gemini, 0, json!({"response": "hi"}).to_string(), "", Ok("hi".into())),
        (&gemini, 1, json!({"error": {"message": "You have exhausted your daily quota on this model."}}).to_string(), "", Err(QuotaExhausted)),
        (&gemini, 41, String::new(), "login", Err(LoginRequired)),
        (&gemini, 42, String::new(), "bad input", Err(BadRequest)),
        (&gemini, 53, String::new(), "too many turns", Err(BadRequest)),
        (&codex, 0, "{\"type\":\"item.completed\",\"item\":{\"type\":\"agent_message\",\"text\":\"hi\"}}\n{\"type\":\"turn.completed\",\"usage\":{\"input_tokens\":1,\"output_tokens\":2}}".into(), "", Ok("hi".into())),
        (&codex, 1, "{\"type\":\"turn.failed\",\"error\":{\"message\":\"Quota exceeded. Check your plan\"}}".into(), "", Err(QuotaExhausted)),
        (&gemini, 1, json!({"error": {"type": "Error", "message": "no such key", "code": 401}}).to_string(), "", Err(Unauthorized)),
        (&gemini, 1, json!({"error": {"type": "Error", "message": "busy", "code": 503}}).to_string(), "", Err(Overloaded)),
        (&gemini, 0, format!("Loaded cached credentials.\n{}", json!({"response": "hi"})), "", Ok("hi".into())),
        (&codex, 1, "{\"type\":\"error\",\"message\":\"You've hit your usage limit\"}".into(), "", Err(QuotaExhausted)),
        (&codex, 0, "{\"type\":\"error\",\"message\":\"Reconnecting... 1/5\"}\n{\"type\":\"item.completed\",\"item\":{\"type\":\"agent_message\",\"text\":\"hi\"}}\n{\"type\":\"turn.completed\"}".into(), "", Ok("hi".into())),
        (&claude, 1, json!({"type": "result", "subtype": "success", "is_error": true, "result": "API Error: 529 {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}"}).to_string(), "", Err(Overloaded)),
        (&claude, 1, json!({"type": "result", "subtype": "success", "is_error": true, "result": "API Error: Connection error."}).to_string(), "", Err(Connect)),
        (&claude, 0, json!({"type": "result", "subtype": "success", "is_error": false, "result": "API Error: 529 means overloaded"}).to_string(), "", Ok("API Error: 529 means overloaded".into())),
        (&codex, 1, "{\"type\":\"turn.failed\",\"error\":{\"message\":\"You've hit your usage limit\"}}".into(), "", Err(QuotaExhausted)),
        (&claude, 0, json!({"type": "result", "subtype": "success", "is_error": false, "result": "hi"}).to_string(), "", Ok("hi".into())),
        (&claude, 1, json!({"type": "result", "subtype": "success", "is_error": true, "result": "You've hit your session limit · resets 3pm"}).to_string(), "", Err(QuotaExhausted)),
        (&claude, 1, json!({"type": "result", "subtype": "success", "is_error": true, "result": "Invalid API key · Please run /login"}).to_string(), "", Err(Unauthorized)),
    ];
    for (profile, code, stdout, stderr, expected) in rows {
        assert_eq!(
            judged(profile, code, &stdout, stderr),
            expected,
            "{}: {stdout} {stderr}",
            profile.name
        );
    }
}

#[test]
fn gemini_counts_its_tokens_by_model() {
    let counted = |prompt, candidates, cached| json!({"tokens": {"prompt": prompt, "candidates": candidates, "cached": cached}});
    let stdout = json!({"response": "hi", "stats": {"models": {"a": counted(5, 2, 1), "b": counted(1, 1, 0)}}});
    let stdout = stdout.to_string();
    let ended = Ended {
        code: Some(0),
        stdout: stdout.as_bytes(),
        stderr: "",
    };
    let response = judge(&CliProfile::gemini(), ended, NOW).unwrap();
    assert_eq!(
        response.usage,
        Some(Usage {
            input_tokens: 6,
            output_tokens: 3,
            cached_tokens: 1
        })
    );
}

#[test]
fn a_reset_time_in_the_message_is_kept() {
    let told = |words: &str| {
        let claude =
            json!({"type": "result", "subtype": "success", "is_error": true, "result": words});
        let gemini = json!({"error": {"message": words}});
        let judged = |profile, stdout: String| {
            let ended = Ended {
                code: Some(1),
                stdout: stdout.as_bytes(),
                stderr: "",
            };
            judge(&profile, ended, NOW).unwrap_err()
        };
        [
            judged(CliProfile::claude(), claude.to_string()),
            judged(CliProfile::gemini(), gemini.to_string()),
        ]
    };
    let [claude, _] = told("Claude AI usage limit reached|1060");
    let seconds = |count| Some(std::time::Duration::from_secs(count));
    assert_eq!(
        (claude.reason, claude.retry_after),
        (QuotaExhausted, seconds(60))
    );
    let words = "You have exhausted your capacity on this model. Your quota will reset after ";
    for (wait, expected) in [("2h3m1s.", seconds(7381)), ("a while.", None), ("", None)] {
        let [_, gemini] = told(&format!("{words}{wait}"));
        assert_eq!(
            (gemini.reason, gemini.retry_after),
            (QuotaExhausted, expected),
            "{wait}"
        );
    }
}

proptest::proptest! {
    #[test]
    fn no_output_makes_it_panic(
        code in proptest::option::of(-1i32..300), stdout: Vec<u8>, stderr in ".*",
        words in r#"(\[API Error: |\]|\{|\}|"result"|"type":|,|\||[0-9]{1,25}|\n|.)*"#, now: u64,
    ) {
        let profiles = [CliProfile::qwen(), CliProfile::gemini(), CliProfile::codex(), CliProfile::claude()];
        for profile in profiles {
            for output in [stdout.as_slice(), words.as_bytes()] {
                let _ = judge(&profile, Ended { code, stdout: output, stderr: &stderr }, now);
                let _ = judge(&profile, Ended { code, stdout: output, stderr: &words }, now);
            }
        }
    }
}
