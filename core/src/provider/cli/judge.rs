//! What a run came to, told from what the program printed. Pure.
//!
//! Exit codes and formats lie: an error comes with code 0, `is_error: false` and
//! its text in place of the answer; and an answer may talk about errors. So an
//! error is believed where the program's own format puts one, and words are only
//! looked for in errors.

use serde_json::Value;

use super::super::http::{ErrorFacts, classify};
use super::super::{Fault, FaultReason, Response, Usage};
use super::profile::{CliProfile, OutputFormat};
use crate::clock::EpochMillis;

/// What qwen writes around an endpoint's error, in place of or after an answer.
const API_ERROR: &str = "[API Error: ";

/// A run that has ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ended<'a> {
    /// The exit code; `None` when a signal ended it.
    pub(super) code: Option<i32>,
    pub(super) stdout: &'a [u8],
    pub(super) stderr: &'a str,
}

/// What the output says.
#[derive(Debug, Default)]
struct Reading {
    text: Option<String>,
    error: Option<String>,
    usage: Option<Usage>,
    model: Option<String>,
}

/// The answer, or why there is none.
pub(super) fn judge(
    profile: &CliProfile,
    ended: Ended<'_>,
    now: EpochMillis,
) -> Result<Response, Fault> {
    let Ok(stdout) = std::str::from_utf8(ended.stdout) else {
        return Err(Fault::new(
            FaultReason::InvalidOutput,
            format!(
                "`{}` printed bytes that are not UTF-8 text: check its version and locale",
                profile.program
            ),
        ));
    };
    let reading = read(profile.output, stdout);
    if let Some(error) = &reading.error {
        return Err(fault_of(profile, error, ended, now));
    }
    let text = reading.text.as_deref().map(str::trim).unwrap_or_default();
    match ended.code {
        Some(0) if !text.is_empty() => Ok(Response {
            text: text.to_owned(),
            model: reading.model,
            usage: reading.usage.filter(|usage| usage.total() > 0),
            finish_reason: None,
            tool_calls: Vec::new(),
        }),
        // qwen 0.5.2 ends with 0 and an empty line, and tells the error on stderr.
        Some(0) if ended.stderr.trim().is_empty() => Err(Fault::new(
            FaultReason::EmptyResponse,
            format!("`{}` ended without an answer", profile.program),
        )),
        _ => Err(fault_of(profile, ended.stderr, ended, now)),
    }
}

/// What an error text of this program means.
pub(super) fn fault_of(
    profile: &CliProfile,
    error: &str,
    ended: Ended<'_>,
    now: EpochMillis,
) -> Fault {
    let said = first_words(error, ended.stderr, &profile.program);
    if let Some(reason) = profile.meaning(error) {
        return Fault::new(reason, said).with_retry_after(reset_of(error, now));
    }
    if let Some(fault) = of_api_error(error, now) {
        return fault;
    }
    let by_code = ended
        .code
        .and_then(|code| profile.exit_codes.iter().find(|(known, _)| *known == code))
        .map(|(_, reason)| *reason);
    Fault::new(by_code.unwrap_or(FaultReason::Crashed), said)
}

fn read(format: OutputFormat, stdout: &str) -> Reading {
    match format {
        OutputFormat::ResultEvent => read_result_event(stdout),
        OutputFormat::ResponseObject => read_response_object(stdout),
        OutputFormat::TurnLines => read_turn_lines(stdout),
        OutputFormat::Text => Reading {
            text: Some(stdout.to_owned()),
            ..Reading::default()
        },
    }
}

fn read_result_event(stdout: &str) -> Reading {
    let events = events(stdout);
    let Some(result) = events.iter().rev().find(|event| event["type"] == "result") else {
        // Older versions, or a run that ended early: what is there is the text.
        let plain = events.is_empty() && !stdout.trim().is_empty();
        return if plain {
            plain_text(stdout)
        } else {
            Reading::default()
        };
    };
    let text = result["result"].as_str().unwrap_or_default();
    let told = result.pointer("/error/message").and_then(Value::as_str);
    let failed = result["is_error"] == true || result["subtype"] != "success";
    let error = if failed {
        Some(told.unwrap_or(text).to_owned())
    } else {
        api_error_in(text, requests_failed(result))
    };
    let model = events
        .iter()
        .find_map(|event| event["message"]["model"].as_str());
    Reading {
        text: Some(text.to_owned()),
        error,
        usage: usage(&result["usage"]),
        model: model.map(str::to_owned),
    }
}

fn plain_text(stdout: &str) -> Reading {
    Reading {
        text: Some(stdout.to_owned()),
        error: api_error_in(stdout.trim(), None),
        ..Reading::default()
    }
}

// The program's own count of failed requests tells an error from an answer about one.
fn api_error_in(text: &str, failed: Option<bool>) -> Option<String> {
    let at = text.rfind(API_ERROR)?;
    let closes = text.trim_end().ends_with(']');
    (closes && failed != Some(false)).then(|| text[at..].to_owned())
}

fn requests_failed(result: &Value) -> Option<bool> {
    let models = result.pointer("/stats/models")?.as_object()?;
    if models.is_empty() {
        return None;
    }
    let errors = models
        .values()
        .filter_map(|model| model.pointer("/api/totalErrors")?.as_u64());
    Some(errors.sum::<u64>() > 0)
}

fn read_response_object(stdout: &str) -> Reading {
    let value: Value = serde_json::from_str(stdout.trim()).unwrap_or(Value::Null);
    let error = value.get("error").filter(|error| !error.is_null());
    let error = error.map(|error| {
        error["message"]
            .as_str()
            .map_or_else(|| error.to_string(), str::to_owned)
    });
    Reading {
        text: value["response"].as_str().map(str::to_owned),
        error,
        ..Reading::default()
    }
}

fn read_turn_lines(stdout: &str) -> Reading {
    let mut reading = Reading::default();
    for event in events(stdout) {
        match event["type"].as_str() {
            Some("item.completed") if event["item"]["type"] == "agent_message" => {
                reading.text = event["item"]["text"].as_str().map(str::to_owned);
            }
            Some("turn.completed") => reading.usage = usage(&event["usage"]),
            Some("turn.failed") => {
                let message = event["error"]["message"]
                    .as_str()
                    .unwrap_or("the turn failed");
                reading.error = Some(message.to_owned());
            }
            _ => {}
        }
    }
    reading
}

/// A JSON list, or one JSON value a line.
fn events(stdout: &str) -> Vec<Value> {
    match serde_json::from_str(stdout.trim()) {
        Ok(Value::Array(events)) => events,
        Ok(one @ Value::Object(_)) => vec![one],
        _ => stdout
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .filter(Value::is_object)
            .collect(),
    }
}

fn usage(value: &Value) -> Option<Usage> {
    let count = |name: &str| value[name].as_u64();
    Some(Usage {
        input_tokens: count("input_tokens")?,
        output_tokens: count("output_tokens").unwrap_or(0),
        cached_tokens: count("cache_read_input_tokens")
            .or(count("cached_input_tokens"))
            .unwrap_or(0),
    })
}

// `[API Error: 429 words]`, `[API Error: Connection error. (cause: fetch failed)]`…
fn of_api_error(error: &str, now: EpochMillis) -> Option<Fault> {
    let at = error.rfind(API_ERROR)? + API_ERROR.len();
    let words = error.get(at..)?.trim().trim_end_matches(']').trim();
    let status = words
        .split_whitespace()
        .next()
        .and_then(|word| word.parse::<u16>().ok());
    let lower = words.to_lowercase();
    let rows = [
        ("connection error", FaultReason::Connect),
        ("fetch failed", FaultReason::Connect),
        ("without a finish reason", FaultReason::Truncated),
        ("empty response text", FaultReason::EmptyResponse),
        (
            "could not parse message into json",
            FaultReason::MalformedResponse,
        ),
        ("timeout", FaultReason::Timeout),
    ];
    let facts = ErrorFacts {
        status: status.filter(|status| (400..600).contains(status)),
        message: Some(words.to_owned()),
        body: Some(words.to_owned()),
        ..ErrorFacts::default()
    };
    let by_words = rows.iter().find(|(part, _)| lower.contains(part));
    match (facts.status, by_words) {
        (None, Some((_, reason))) => Some(Fault::new(*reason, words)),
        _ => classify(&facts, now).or_else(|| Some(Fault::new(FaultReason::Crashed, words))),
    }
}

// `Claude AI usage limit reached|1760000000`
fn reset_of(error: &str, now: EpochMillis) -> Option<std::time::Duration> {
    let digits = error.split('|').nth(1)?.trim();
    let end = digits
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(digits.len());
    let at: u64 = digits.get(..end)?.parse().ok()?;
    Some(std::time::Duration::from_millis(
        at.saturating_mul(1000).saturating_sub(now),
    ))
}

// Stack traces follow the first line and help nobody who reads a trail.
fn first_words(error: &str, stderr: &str, program: &str) -> String {
    let line = |text: &str| {
        text.lines()
            .map(str::trim)
            .find(|line| !line.is_empty())
            .map(str::to_owned)
    };
    line(error)
        .or_else(|| line(stderr))
        .unwrap_or_else(|| format!("`{program}` ended without saying why"))
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
