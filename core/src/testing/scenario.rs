//! What the simulated endpoint shall do: its JSON form is in the module above.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroUsize;

use hyper::header::{HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::Value;

use super::catalogue::ScriptedFault;
use super::oauth::OAuthScenario;
use crate::Error;
use crate::provider::Usage;

/// A script for each key, and what all share.
///
/// The default answers every key.
#[derive(Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scenario {
    /// Scripts by key.
    pub keys: BTreeMap<String, Script>,
    /// The script of every other key.
    pub default: Script,
    /// What becomes of keys that are not listed.
    pub unknown: UnknownKey,
    /// Whether requests are kept for `requests()`. Off in benchmarks.
    pub record: bool,
    /// What `GET /v1/models` lists.
    pub models: Vec<String>,
    /// The token endpoint.
    pub oauth: OAuthScenario,
}

/// Steps in order.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct Script(pub Vec<Step>);

/// What becomes of keys that are not listed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum UnknownKey {
    /// They follow the default script.
    #[default]
    #[serde(rename = "default")]
    Default,
    /// They are refused.
    #[serde(rename = "401")]
    Refused,
}

/// How one request, or some in a row, are served. The default echoes the prompt.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Step {
    /// What goes wrong.
    pub fault: Option<ScriptedFault>,
    /// Requests that this step serves.
    pub times: Option<u64>,
    /// The HTTP status, if not the fault's own.
    pub status: Option<u16>,
    /// The error's words.
    pub message: Option<String>,
    /// The error's code; for Anthropic its type.
    pub code: Option<String>,
    /// The fault whose error object a 200 carries.
    pub error: Option<ScriptedFault>,
    /// Whether the error's message ends with the key.
    pub echo_key: bool,
    /// The `retry-after` header.
    pub retry_after: Option<RetryAfter>,
    /// The `retry-after` header as a date, in seconds from now.
    pub retry_after_date: Option<i64>,
    /// The `retry-after-ms` header.
    pub retry_after_ms: Option<u64>,
    /// Further headers.
    pub headers: BTreeMap<String, String>,
    /// Silence before the head, in milliseconds.
    pub delay_ms: u64,
    /// The answer, with `{prompt}`, `{model}` and `{hit}` filled in.
    pub text: Option<String>,
    /// The answer in the exact pieces of a stream.
    pub pieces: Option<Vec<String>>,
    /// The answer as so many bytes of filler.
    pub bytes: Option<u64>,
    /// What the answer says that it cost.
    pub usage: Option<Usage>,
    /// Why the answer says that it ended.
    pub finish_reason: Option<String>,
    /// Tools that the answer calls.
    pub tool_calls: Vec<ToolCall>,
    /// Pause after each piece of a stream, in milliseconds.
    pub piece_ms: u64,
    /// Bytes of the body in each write.
    pub split: Option<NonZeroUsize>,
    /// Pieces that come before the fault.
    pub after: Option<usize>,
    /// How long a stall lasts, in milliseconds.
    pub for_ms: Option<u64>,
}

/// The value of a `retry-after` header.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum RetryAfter {
    /// Seconds.
    Seconds(i64),
    /// Anything, garbage included.
    Text(String),
}

/// A call of a tool in an answer.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolCall {
    /// The tool.
    pub name: String,
    /// Its arguments.
    #[serde(default)]
    pub arguments: Value,
    /// The call's id; default `call_1` and so on.
    #[serde(default)]
    pub id: Option<String>,
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            keys: BTreeMap::new(),
            default: Script::default(),
            unknown: UnknownKey::Default,
            record: true,
            models: vec!["sim-1".to_owned()],
            oauth: OAuthScenario::default(),
        }
    }
}

impl fmt::Debug for Scenario {
    /// Without the keys: people test with real ones.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scenario")
            .field("keys", &self.keys.len())
            .field("default", &self.default)
            .field("unknown", &self.unknown)
            .finish_non_exhaustive()
    }
}

impl Scenario {
    /// Reads the JSON form.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] that names the member which cannot be used.
    pub fn from_json(json: &str) -> Result<Self, Error> {
        let scenario: Self = serde_json::from_str(json).map_err(|error| invalid(&error))?;
        let scripts = scenario.keys.values().chain([&scenario.default]);
        for step in scripts.flat_map(|script| &script.0) {
            step.check().map_err(|problem| invalid(&problem))?;
        }
        for step in &scenario.oauth.script.0 {
            step.check().map_err(|problem| invalid(&problem))?;
        }
        Ok(scenario)
    }

    /// Adds a key with its script.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>, script: impl Into<Script>) -> Self {
        self.keys.insert(key.into(), script.into());
        self
    }
}

impl Script {
    /// Reads the JSON form: a list of steps.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] that names the member which cannot be used.
    pub fn from_json(json: &str) -> Result<Self, Error> {
        let script: Self = serde_json::from_str(json).map_err(|error| invalid(&error))?;
        for step in &script.0 {
            step.check().map_err(|problem| invalid(&problem))?;
        }
        Ok(script)
    }
}

impl From<Step> for Script {
    fn from(step: Step) -> Self {
        Self(vec![step])
    }
}

impl<const N: usize> From<[Step; N]> for Script {
    fn from(steps: [Step; N]) -> Self {
        Self(steps.into())
    }
}

impl From<ScriptedFault> for Script {
    fn from(fault: ScriptedFault) -> Self {
        Step::fault(fault).into()
    }
}

impl Step {
    /// An answer that echoes the prompt.
    #[must_use]
    pub fn ok() -> Self {
        Self::default()
    }

    /// An answer in these words.
    pub fn text(text: impl Into<String>) -> Self {
        Self {
            text: Some(text.into()),
            ..Self::default()
        }
    }

    /// A fault.
    #[must_use]
    pub fn fault(fault: ScriptedFault) -> Self {
        Self {
            fault: Some(fault),
            ..Self::default()
        }
    }

    /// Serves so many requests, then the next step takes over.
    #[must_use]
    pub fn times(mut self, times: u64) -> Self {
        self.times = Some(times);
        self
    }

    /// Asks to be left alone for so many seconds.
    #[must_use]
    pub fn retry_after(mut self, seconds: i64) -> Self {
        self.retry_after = Some(RetryAfter::Seconds(seconds));
        self
    }

    /// Lets so many pieces of the answer through before the fault.
    #[must_use]
    pub fn after(mut self, pieces: usize) -> Self {
        self.after = Some(pieces);
        self
    }

    /// The fault that is meant, by name or by status.
    pub(super) fn meant(&self) -> Option<ScriptedFault> {
        self.fault
            .or_else(|| self.status.and_then(ScriptedFault::of_status))
    }

    fn check(&self) -> Result<(), String> {
        if let Some(status) = self.status.filter(|status| !(200..=599).contains(status)) {
            return Err(format!("`status` {status} is not between 200 and 599"));
        }
        if let Some(RetryAfter::Text(text)) = &self.retry_after
            && HeaderValue::from_str(text).is_err()
        {
            return Err("`retry_after` cannot be sent in a header".to_owned());
        }
        for (name, value) in &self.headers {
            if HeaderName::try_from(name.as_str()).is_err() || HeaderValue::from_str(value).is_err()
            {
                return Err(format!("the header `{name}` cannot be sent"));
            }
        }
        Ok(())
    }
}

fn invalid(problem: &dyn fmt::Display) -> Error {
    Error::InvalidConfig {
        place: "the scenario".to_owned(),
        problem: problem.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_form_reads_into_steps() {
        let scenario = Scenario::from_json(
            r#"{"keys": {"k": [{"fault": "rate_limited", "retry_after": "soon", "times": 2}, {}]},
                "unknown": "401", "record": false}"#,
        )
        .unwrap();
        assert_eq!(scenario.unknown, UnknownKey::Refused);
        assert!(!scenario.record);
        let steps = &scenario.keys["k"].0;
        assert_eq!(steps[0].meant(), Some(ScriptedFault::RateLimited));
        assert_eq!(
            steps[0].retry_after,
            Some(RetryAfter::Text("soon".to_owned()))
        );
        assert_eq!(steps[1], Step::ok());
    }

    #[test]
    fn what_cannot_be_served_is_refused_by_name() {
        let cases = [
            (r#"{"keyz": {}}"#, "keyz"),
            (r#"{"default": [{"fault": "gremlins"}]}"#, "gremlins"),
            (r#"{"default": [{"status": 99}]}"#, "`status` 99"),
            (
                r#"{"default": [{"headers": {"a b": "c"}}]}"#,
                "header `a b`",
            ),
            (r#"{"default": [{"retry_after": "a\nb"}]}"#, "`retry_after`"),
            (r#"{"default": [{"split": 0}]}"#, "nonzero"),
        ];
        for (json, named) in cases {
            let error = Scenario::from_json(json).unwrap_err();
            assert_eq!(error.code(), "invalid_config");
            assert!(error.to_string().contains(named), "{error} names {named}");
        }
    }

    #[test]
    fn debug_shows_no_key() {
        let scenario = Scenario::default().key("sk-real", Step::ok());
        assert!(!format!("{scenario:?}").contains("sk-real"));
    }

    #[test]
    fn every_scenario_and_fault_of_the_guide_reads() {
        let guide = include_str!("../../../docs/testing.md");
        let scenarios: Vec<_> = guide.split("```json\n").skip(1).collect();
        assert_eq!(scenarios.len(), 2);
        for scenario in scenarios {
            let scenario = scenario.split("```").next().unwrap();
            Scenario::from_json(scenario).unwrap();
        }
        let rows = guide.lines().filter(|line| line.starts_with("| `"));
        let faults = guide.split("### Faults").nth(1).unwrap();
        let faults = faults.split("### The token endpoint").next().unwrap();
        for row in rows.filter(|row| faults.contains(row)) {
            let names = row.split('|').nth(1).unwrap().split('`').skip(1).step_by(2);
            for name in names {
                serde_json::from_value::<ScriptedFault>(name.into()).unwrap();
            }
        }
    }
}
