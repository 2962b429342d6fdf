//! What an endpoint's error body says, wherever it says it. Pure.
//!
//! Only collects; `rules` knows what the words mean.

use std::time::Duration;

use serde_json::{Map, Value};

use super::retry_after;

/// The gist of an error body.
#[derive(Debug, Default)]
pub(super) struct ErrorBody {
    /// Codes and types, in lower case, the most particular first.
    pub(super) codes: Vec<String>,
    /// The message for people.
    pub(super) message: Option<String>,
    /// A status told inside the body.
    pub(super) status: Option<u16>,
    /// A wait told inside the body.
    pub(super) wait: Option<Duration>,
    /// Whether the quota of a whole day is meant.
    pub(super) daily: bool,
}

impl ErrorBody {
    /// Reads what can be read; anything else says nothing.
    pub(super) fn read(text: &str) -> Self {
        let mut said = Self::default();
        if let Ok(value) = serde_json::from_str(text) {
            said.value(&value);
        }
        said
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::Object(outer) => {
                match outer.get("error").or_else(|| outer.get("Error")) {
                    Some(Value::Object(inner)) => self.object(inner),
                    Some(Value::String(text)) => {
                        self.code(text);
                        self.message = Some(text.clone());
                    }
                    _ => {}
                }
                self.object(outer);
            }
            // Google wraps stream errors in a list.
            Value::Array(list) => list.first().into_iter().for_each(|first| self.value(first)),
            _ => {}
        }
    }

    fn object(&mut self, object: &Map<String, Value>) {
        for name in ["code", "Code", "type", "__type", "status", "reason"] {
            match object.get(name) {
                Some(Value::String(text)) => self.code(text),
                Some(Value::Number(number)) => self.number(number.as_u64()),
                _ => {}
            }
        }
        if self.message.is_none() {
            self.message = ["message", "Message", "error_description", "detail", "msg"]
                .iter()
                .find_map(|name| object.get(*name)?.as_str())
                .map(str::to_owned);
        }
        if let Some(status) = object
            .get("ResponseMetadata")
            .and_then(|meta| meta.get("HTTPStatusCode"))
        {
            self.number(status.as_u64());
        }
        if let Some(inner) = object.get("innererror").and_then(Value::as_object) {
            self.object(inner);
        }
        let details = object.get("details").and_then(Value::as_array);
        for detail in details.into_iter().flatten() {
            self.detail(detail);
        }
    }

    /// One of Google's `details`.
    fn detail(&mut self, detail: &Value) {
        if let Some(reason) = detail.get("reason").and_then(Value::as_str) {
            self.code(reason);
        }
        if let Some(delay) = detail.get("retryDelay").and_then(Value::as_str) {
            self.wait = retry_after::span(delay);
        }
        let violations = detail.get("violations").and_then(Value::as_array);
        self.daily |= violations.into_iter().flatten().any(|violation| {
            violation
                .get("quotaId")
                .and_then(Value::as_str)
                .is_some_and(|id| id.contains("PerDay"))
        });
    }

    fn code(&mut self, text: &str) {
        match text.parse() {
            Ok(number) => self.number(Some(number)),
            Err(_) => self.codes.push(bare(text)),
        }
    }

    fn number(&mut self, number: Option<u64>) {
        match number {
            Some(number @ 400..=599) => self.status = self.status.or(u16::try_from(number).ok()),
            Some(number) => self.codes.push(number.to_string()),
            None => {}
        }
    }
}

/// `com.amazonaws.x#ThrottlingException:http://…` is `throttlingexception`.
fn bare(code: &str) -> String {
    let code = code.rsplit('#').next().unwrap_or(code);
    let code = code.split(':').next().unwrap_or(code);
    code.trim().to_lowercase()
}
