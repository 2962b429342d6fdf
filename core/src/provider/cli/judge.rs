//! What a run came to, told from what the program printed. Pure.
//!
//! Exit codes and formats lie: an error comes with code 0, `is_error: false` and
//! its text in place of the answer; and an answer may talk about errors. So words
//! are only looked for in what `reading` found to be an error.

use super::super::http::{ErrorFacts, classify, span};
use super::super::{Fault, FaultReason, Response};
use super::profile::CliProfile;
use super::reading::{API_ERROR, read};
use crate::clock::EpochMillis;

/// How claude begins one.
const BARE_API_ERROR: &str = "API Error: ";

/// A run that has ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ended<'a> {
    /// The exit code; `None` when a signal ended it.
    pub(super) code: Option<i32>,
    pub(super) stdout: &'a [u8],
    pub(super) stderr: &'a str,
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
    let reading = read(profile, stdout);
    if let Some(error) = &reading.error {
        let known = profile.meaning(error).is_some();
        let by_status = reading.status.filter(|_| !known);
        let fault = by_status.and_then(|status| of_status(status, error, now));
        return Err(fault.unwrap_or_else(|| fault_of(profile, error, ended, now)));
    }
    if reading.broken && ended.code == Some(0) {
        return Err(Fault::new(
            FaultReason::MalformedResponse,
            format!("the output of `{}` is not whole JSON", profile.program),
        ));
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

fn of_status(status: u16, words: &str, now: EpochMillis) -> Option<Fault> {
    let facts = ErrorFacts {
        status: Some(status).filter(|status| (400..600).contains(status)),
        message: Some(words.to_owned()),
        body: Some(words.to_owned()),
        ..ErrorFacts::default()
    };
    facts.status.and_then(|_| classify(&facts, now))
}

// `[API Error: 429 words]`, `[API Error: Connection error. (cause: fetch failed)]`…
fn of_api_error(error: &str, now: EpochMillis) -> Option<Fault> {
    let words = api_error_words(error)?;
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
        ("in json at position", FaultReason::MalformedResponse),
        ("timeout", FaultReason::Timeout),
    ];
    let status = status.filter(|status| (400..600).contains(status));
    let by_words = rows.iter().find(|(part, _)| lower.contains(part));
    // claude has the endpoint's JSON behind the status.
    let body = words.find('{').and_then(|at| words.get(at..));
    let facts = ErrorFacts {
        status,
        message: Some(words.to_owned()),
        body: Some(body.unwrap_or(words).to_owned()),
        ..ErrorFacts::default()
    };
    match (status, by_words) {
        (None, Some((_, reason))) => Some(Fault::new(*reason, words)),
        _ => classify(&facts, now).or_else(|| Some(Fault::new(FaultReason::Crashed, words))),
    }
}

// Without the advice and the stack trace that may follow.
fn api_error_words(error: &str) -> Option<&str> {
    let Some(at) = error.rfind(API_ERROR) else {
        return Some(error.trim().strip_prefix(BARE_API_ERROR)?.trim());
    };
    let words = error.get(at + API_ERROR.len()..)?;
    let words = words.split_once("]\n").map_or(words, |(words, _)| words);
    Some(words.trim().trim_end_matches(']').trim())
}

// `Claude AI usage limit reached|1760000000`, `Your quota will reset after 3h5m.`
fn reset_of(error: &str, now: EpochMillis) -> Option<std::time::Duration> {
    if let Some((_, after)) = error.split_once("will reset after ") {
        return span(after.split_whitespace().next()?.trim_end_matches('.'));
    }
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
