//! From what is known of a failed call to the fault that it is. Pure.
//!
//! Serves our own providers and any client code of the user's: the host languages
//! take [`ErrorFacts`] from an SDK's exception and hand them over as JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::super::{Fault, FaultClass, FaultReason};
use super::error_body::ErrorBody;
use super::{retry_after, rules};
use crate::clock::EpochMillis;
use crate::credential::Secret;

/// What is known of a failed call.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ErrorFacts {
    /// What happened below HTTP: `connect`, `timeout`, `stalled`, `truncated`,
    /// `malformed`, or an errno-like code (`ECONNRESET`, `UND_ERR_CONNECT_TIMEOUT`).
    pub kind: Option<String>,
    /// The HTTP status.
    pub status: Option<u16>,
    /// The headers that speak of limits: `retry-after`, `retry-after-ms`,
    /// `x-ratelimit-*`, `anthropic-ratelimit-*`. Others are not read.
    pub headers: BTreeMap<String, String>,
    /// The body: text, or JSON as the SDK has parsed it.
    #[serde(deserialize_with = "text_of_any_value")]
    pub body: Option<String>,
    /// The exception's name, best with its package: `openai.RateLimitError`.
    pub type_name: Option<String>,
    /// The exception's message.
    pub message: Option<String>,
}

impl ErrorFacts {
    /// Takes the secret out of every text. Before [`classify`], which cuts texts: half
    /// a key at the cut would not be found afterwards.
    #[must_use]
    pub fn without(mut self, secret: &Secret) -> Self {
        let bare = secret.expose().trim();
        if bare.len() >= 4 {
            for text in [&mut self.body, &mut self.message].into_iter().flatten() {
                if text.contains(bare) {
                    *text = text.replace(bare, "***");
                }
            }
        }
        self
    }
}

/// The fault that these facts are, or `None` when nothing in them speaks of a call to
/// an endpoint: a user's own `ValueError` must reach the user.
///
/// `now` turns dates into waits.
#[must_use]
pub fn classify(facts: &ErrorFacts, now: EpochMillis) -> Option<Fault> {
    let said = facts
        .body
        .as_deref()
        .map(ErrorBody::read)
        .unwrap_or_default();
    let status = facts.status.filter(|status| *status >= 300).or(said.status);
    let reason = reason(facts, &said, status)?;

    let headers: BTreeMap<_, _> = facts
        .headers
        .iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), value.clone()))
        .collect();
    let limited = reason.class() == FaultClass::Throttle || reason == FaultReason::QuotaExhausted;
    let wait = retry_after::asked(&headers, now)
        .or(said.wait)
        // A limit that happens to be used up does not explain a 500.
        .or_else(|| limited.then(|| retry_after::reset(&headers, now))?);

    let mut fault = Fault::new(reason, words(facts, said, status)).with_retry_after(wait);
    fault.status = status.or(facts.status);
    if let Some(body) = &facts.body {
        fault = fault.with_body(body.as_str());
    }
    Some(fault)
}

fn reason(facts: &ErrorFacts, said: &ErrorBody, status: Option<u16>) -> Option<FaultReason> {
    let name = facts.type_name.as_deref().map(Name::read);
    let coded = |table: &[(&str, FaultReason)]| {
        let named = name.as_ref().filter(|name| name.known);
        let mut codes = said.codes.iter().chain(named.map(|name| &name.last));
        codes.find_map(|code| look_up(table, code))
    };

    if let Some(reason) = coded(rules::CODES) {
        return Some(match reason {
            FaultReason::RateLimited if said.daily => FaultReason::QuotaExhausted,
            reason => reason,
        });
    }
    if facts.body.is_some() || status.is_some() || name.as_ref().is_some_and(|name| name.known) {
        let words = [
            said.message.as_deref(),
            facts.message.as_deref(),
            plain_body(facts),
        ];
        let words = words.into_iter().flatten().collect::<Vec<_>>().join("\n");
        if let Some(reason) = phrased(&words.to_lowercase(), said, status) {
            return Some(reason);
        }
    }
    if let Some(reason) = status.and_then(rules::status) {
        return Some(reason);
    }
    let kind = facts.kind.as_deref().map(str::to_lowercase);
    kind.and_then(|kind| look_up(rules::TRANSPORT, &kind))
        .or_else(|| {
            let name = name.as_ref().filter(|name| name.known || !name.packaged)?;
            look_up(rules::TRANSPORT, &name.last)
        })
        .or_else(|| coded(rules::VAGUE_CODES))
        .or_else(|| {
            let name = name.as_ref().filter(|name| name.known)?;
            look_up(rules::SDK_ERRORS, &name.last)
        })
}

fn phrased(words: &str, said: &ErrorBody, status: Option<u16>) -> Option<FaultReason> {
    // Endpoints word a missing model in a dozen ways; all of them name "model".
    let missing = status == Some(404) || said.codes.iter().any(|code| code == "not_found_error");
    if missing && words.contains("model") {
        return Some(FaultReason::ModelNotFound);
    }
    rules::PHRASES
        .iter()
        .filter(|(statuses, ..)| status.is_none_or(|status| statuses.contains(&status)))
        .find(|(_, phrase, _)| words.contains(phrase))
        .map(|(.., reason)| *reason)
}

/// The body where it is text for people, not JSON or a page.
fn plain_body(facts: &ErrorFacts) -> Option<&str> {
    let body = facts.body.as_deref()?;
    (!body.trim_start().starts_with(['{', '[', '<'])).then_some(body)
}

fn words(facts: &ErrorFacts, said: ErrorBody, status: Option<u16>) -> String {
    const GLIMPSE: usize = 200;
    let given = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
    if let Some(text) = given(said.message).or_else(|| given(facts.message.clone())) {
        return text;
    }
    let start: Option<String> =
        plain_body(facts).map(|body| body.trim().chars().take(GLIMPSE).collect());
    match (status, given(start)) {
        (Some(status @ 300..=399), _) => format!(
            "HTTP {status}: redirects are not followed, the key would go with them; use the address that it points to as base URL"
        ),
        (Some(404), _) => {
            "HTTP 404: there is nothing at this address; check the base URL".to_owned()
        }
        (Some(status), Some(start)) => format!("HTTP {status}: {start}"),
        (Some(status), None) => format!("HTTP {status}"),
        (None, _) => given(facts.type_name.clone())
            .or_else(|| given(facts.kind.clone()))
            .unwrap_or_else(|| "the call failed".to_owned()),
    }
}

/// An exception's name, taken apart.
struct Name {
    last: String,
    packaged: bool,
    known: bool,
}

impl Name {
    fn read(name: &str) -> Self {
        let name = name.to_lowercase();
        let (package, last) = match name.rsplit_once('.') {
            Some((path, last)) => (path.split('.').next(), last),
            None => (None, name.as_str()),
        };
        Self {
            packaged: package.is_some(),
            known: package.is_some_and(|package| rules::PACKAGES.contains(&package)),
            last: last.to_owned(),
        }
    }
}

fn look_up(table: &[(&str, FaultReason)], key: &str) -> Option<FaultReason> {
    table
        .iter()
        .find(|(name, _)| *name == key)
        .map(|(_, reason)| *reason)
}

fn text_of_any_value<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<String>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::Null => None,
        Value::String(text) => Some(text),
        value => Some(value.to_string()),
    })
}

#[cfg(test)]
#[path = "classify_tests.rs"]
mod tests;
