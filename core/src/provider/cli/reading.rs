//! What the output of a program says, by its format. Pure.
//!
//! An answer may talk about errors: one is believed where the format puts errors,
//! and in place of an answer only if the program's own counts say that it failed.

use serde_json::Value;

use super::super::Usage;
use super::profile::{CliProfile, OutputFormat};

/// What qwen writes around an endpoint's error, in place of or after an answer.
pub(super) const API_ERROR: &str = "[API Error: ";

/// The advice that qwen adds behind a throttle. It says "quota" of every one.
const ADVICE: [&str; 2] = [
    "]\nPossible quota limitations in place",
    "]\nPlease wait and try again later",
];

/// What the output says.
#[derive(Debug, Default)]
pub(super) struct Reading {
    pub(super) text: Option<String>,
    pub(super) error: Option<String>,
    /// The HTTP status, where the format has a place for it.
    pub(super) status: Option<u16>,
    /// Whether it is only a part of what the format promises.
    pub(super) broken: bool,
    pub(super) usage: Option<Usage>,
    pub(super) model: Option<String>,
}

/// Reads what was printed on stdout.
pub(super) fn read(profile: &CliProfile, stdout: &str) -> Reading {
    match profile.output {
        OutputFormat::ResultEvent => read_result_event(stdout, &profile.bare_errors),
        OutputFormat::ResponseObject => read_response_object(stdout),
        OutputFormat::TurnLines => read_turn_lines(stdout),
        OutputFormat::Text => Reading {
            text: Some(stdout.to_owned()),
            ..Reading::default()
        },
    }
}

fn read_result_event(stdout: &str, bare: &[String]) -> Reading {
    let events = events(stdout);
    let Some(result) = events.iter().rev().find(|event| event["type"] == "result") else {
        // Older versions print the text; half a list of events is none.
        let broken = stdout.trim_start().starts_with(['[', '{']);
        let plain = !broken && events.is_empty() && !stdout.trim().is_empty();
        return if plain {
            plain_text(stdout, bare)
        } else {
            Reading {
                broken: broken && events.is_empty(),
                ..Reading::default()
            }
        };
    };
    let text = result["result"].as_str().unwrap_or_default();
    let told = result.pointer("/error/message").and_then(Value::as_str);
    let failed = result["is_error"] == true || result["subtype"] != "success";
    let error = if failed {
        Some(told.unwrap_or(text).to_owned())
    } else {
        error_in(text, bare, requests_failed(result))
    };
    let model = events
        .iter()
        .find_map(|event| event["message"]["model"].as_str());
    Reading {
        text: Some(text.to_owned()),
        error,
        usage: usage(&result["usage"]),
        model: model.map(str::to_owned),
        ..Reading::default()
    }
}

fn plain_text(stdout: &str, bare: &[String]) -> Reading {
    Reading {
        text: Some(stdout.to_owned()),
        error: error_in(stdout.trim(), bare, None),
        ..Reading::default()
    }
}

// The program's own count of requests tells an error from an answer about one.
fn error_in(text: &str, bare: &[String], failed: Option<bool>) -> Option<String> {
    if failed == Some(false) {
        return None;
    }
    wrapped_error(text)
        .or_else(|| bare_error(text, bare, failed == Some(true)))
        .map(str::to_owned)
}

fn wrapped_error(text: &str) -> Option<&str> {
    let error = text.get(text.rfind(API_ERROR)?..)?;
    let closes = error.trim_end().ends_with(']') || ADVICE.iter().any(|part| error.contains(part));
    closes.then_some(error)
}

// Behind a part of the answer only where a request is known to have failed.
fn bare_error<'a>(text: &'a str, bare: &[String], anywhere: bool) -> Option<&'a str> {
    bare.iter().find_map(|words| {
        let at = text.rfind(words.as_str())?;
        (at == 0 || anywhere).then(|| text.get(at..))?
    })
}

// A stream that broke counts as no error, but it was asked for again: then there
// are more requests than turns.
fn requests_failed(result: &Value) -> Option<bool> {
    let models = result.pointer("/stats/models")?.as_object()?;
    if models.is_empty() {
        return None;
    }
    let sum = |count: &str| {
        let counts = models
            .values()
            .filter_map(|model| model["api"][count].as_u64());
        counts.fold(0, u64::saturating_add)
    };
    let turns = result["num_turns"].as_u64().unwrap_or(1).max(1);
    Some(sum("totalErrors") > 0 || sum("totalRequests") > turns)
}

fn read_response_object(stdout: &str) -> Reading {
    // Some versions print lines of their own before it.
    let object = stdout.find('{').and_then(|at| stdout.get(at..));
    let value: Value = object
        .and_then(|object| serde_json::from_str(object.trim()).ok())
        .unwrap_or(Value::Null);
    let error = value.get("error").filter(|error| !error.is_null());
    let error = error.map(|error| {
        error["message"]
            .as_str()
            .map_or_else(|| error.to_string(), str::to_owned)
    });
    Reading {
        text: value["response"].as_str().map(str::to_owned),
        error,
        status: value
            .pointer("/error/code")
            .and_then(Value::as_u64)
            .and_then(|code| u16::try_from(code).ok()),
        broken: value.is_null() && object.is_some(),
        usage: usage_by_model(&value),
        ..Reading::default()
    }
}

fn read_turn_lines(stdout: &str) -> Reading {
    let mut trouble = None;
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
            // Also said of what it then tries again.
            Some("error") => trouble = event["message"].as_str().map(str::to_owned),
            _ => {}
        }
    }
    if reading.error.is_none() && reading.text.is_none() {
        reading.error = trouble;
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

// gemini counts a model at a time.
fn usage_by_model(value: &Value) -> Option<Usage> {
    let models = value.pointer("/stats/models")?.as_object()?;
    let sum = |count: &str| {
        let counts = models
            .values()
            .filter_map(|model| model["tokens"][count].as_u64());
        counts.fold(0, u64::saturating_add)
    };
    Some(Usage {
        input_tokens: sum("prompt"),
        output_tokens: sum("candidates"),
        cached_tokens: sum("cached"),
    })
}
