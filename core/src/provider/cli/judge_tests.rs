//! One row a rule: what programs were seen to print, and what it means.

use serde_json::json;

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
        ("Model stream ended without a finish reason.", Truncated),
        (
            "Model stream ended with empty response text.",
            EmptyResponse,
        ),
        ("Could not parse message into JSON", MalformedResponse),
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
fn a_reset_time_in_the_message_is_kept() {
    let stdout = json!({"type": "result", "subtype": "success", "is_error": true,
        "result": "Claude AI usage limit reached|1060"})
    .to_string();
    let ended = Ended {
        code: Some(1),
        stdout: stdout.as_bytes(),
        stderr: "",
    };
    let fault = judge(&CliProfile::claude(), ended, NOW).unwrap_err();
    assert_eq!(fault.retry_after, Some(std::time::Duration::from_secs(60)));
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
