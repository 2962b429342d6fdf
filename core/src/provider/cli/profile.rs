//! What a program needs and says, as data: a new program is a new profile.
//!
//! The facts are those of the programs' own output and sources: qwen 0.5.2 to
//! 0.24.4, gemini 0.61, codex 0.169, claude.

use serde::{Deserialize, Serialize};

use super::super::FaultReason;

/// A program that asks a model, described.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CliProfile {
    /// Its name in trails and configuration.
    pub name: String,
    /// The program looked for on PATH.
    pub program: String,
    /// How to get it.
    pub install: String,
    /// Arguments of every run. The prompt is never one: it goes to stdin.
    pub args: Vec<String>,
    /// Arguments that name a model; `{model}` is filled in.
    #[serde(default)]
    pub model_args: Vec<String>,
    /// Variables of every run.
    #[serde(default)]
    pub env: Vec<(String, String)>,
    /// Files written into the home before a run: path in the home, content.
    #[serde(default)]
    pub files: Vec<(String, String)>,
    /// How it is given an API key.
    pub key: KeyAuth,
    /// How it is given an account.
    pub account: AccountAuth,
    /// How its output reads.
    pub output: OutputFormat,
    /// What its messages mean: lower-case parts of an error, the first that fits counts.
    /// Never looked for in an answer.
    pub meanings: Vec<(String, FaultReason)>,
    /// How an error begins that stands bare in place of an answer. One is only believed
    /// where the program counts a failed request, or counts nothing and says no more.
    #[serde(default)]
    pub bare_errors: Vec<String>,
    /// What on stderr, as it comes, ends the wait: lower-case parts of a line.
    #[serde(default)]
    pub hopeless: Vec<String>,
    /// What an exit code means, where nothing else tells.
    #[serde(default)]
    pub exit_codes: Vec<(i32, FaultReason)>,
}

/// How a program is given an API key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyAuth {
    /// Arguments that choose it.
    #[serde(default)]
    pub args: Vec<String>,
    /// The variable that holds the key.
    pub key: String,
    /// The variable that holds the endpoint. With one, calls go through a relay of
    /// ours that sees the endpoint's own answer, and the program never sees the key.
    #[serde(default)]
    pub base_url: Option<String>,
    /// The variable that holds the model.
    #[serde(default)]
    pub model: Option<String>,
    /// The endpoint when nothing names one.
    #[serde(default)]
    pub usual_url: Option<String>,
}

/// How a program is given an account: by a home of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountAuth {
    /// Arguments that choose it.
    #[serde(default)]
    pub args: Vec<String>,
    /// The token file's path in the home.
    pub token_file: String,
    /// Variables that hold the home; `{home}` is filled in. `HOME` always does.
    #[serde(default)]
    pub home: Vec<(String, String)>,
}

/// How a program's output reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputFormat {
    /// A JSON list of events, or one a line, with a `result` event (qwen, claude).
    ResultEvent,
    /// A JSON object with `response` or `error` (gemini).
    ResponseObject,
    /// JSON lines with items and turns (codex).
    TurnLines,
    /// The text itself.
    Text,
}

/// The profiles' names.
pub const PROFILES: [&str; 4] = ["qwen", "gemini", "codex", "claude"];

impl CliProfile {
    /// The profile of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "qwen" => Some(Self::qwen()),
            "gemini" => Some(Self::gemini()),
            "codex" => Some(Self::codex()),
            "claude" => Some(Self::claude()),
            _ => None,
        }
    }

    /// Qwen Code.
    #[must_use]
    pub fn qwen() -> Self {
        Self {
            name: "qwen".to_owned(),
            program: "qwen".to_owned(),
            install: "run `npm install -g @qwen-code/qwen-code@0.15.10`, or set `program`"
                .to_owned(),
            args: texts(&["-o", "json"]),
            model_args: texts(&["--model", "{model}"]),
            env: pairs(&[
                ("QWEN_CODE_NO_RELAUNCH", "true"),
                ("QWEN_TELEMETRY_ENABLED", "false"),
            ]),
            // Without this it sends a second request for each prompt, and retries for minutes.
            files: pairs(&[(
                ".qwen/settings.json",
                r#"{"memory":{"enableManagedAutoMemory":false},"model":{"generationConfig":{"maxRetries":0}},"privacy":{"usageStatisticsEnabled":false},"general":{"disableAutoUpdate":true,"disableUpdateNag":true}}"#,
            )]),
            key: KeyAuth {
                args: texts(&["--auth-type", "openai"]),
                key: "OPENAI_API_KEY".to_owned(),
                base_url: Some("OPENAI_BASE_URL".to_owned()),
                model: Some("OPENAI_MODEL".to_owned()),
                usual_url: Some("https://dashscope.aliyuncs.com/compatible-mode/v1".to_owned()),
            },
            account: AccountAuth {
                args: texts(&["--auth-type", "qwen-oauth"]),
                token_file: ".qwen/oauth_creds.json".to_owned(),
                home: pairs(&[("QWEN_HOME", "{home}/.qwen")]),
            },
            output: OutputFormat::ResultEvent,
            meanings: meanings(&[
                ("qwen oauth quota exceeded:", FaultReason::QuotaExhausted),
                ("qwen api quota exceeded:", FaultReason::QuotaExhausted),
                ("insufficient_quota", FaultReason::QuotaExhausted),
                ("allocated quota exceeded", FaultReason::QuotaExhausted),
                ("free tier was discontinued on", FaultReason::Discontinued),
                (
                    "free tier has been discontinued as of",
                    FaultReason::Discontinued,
                ),
                (
                    "device authorization flow failed",
                    FaultReason::LoginRequired,
                ),
                (
                    "authorization timeout, please restart",
                    FaultReason::LoginRequired,
                ),
                ("no auth type is selected", FaultReason::LoginRequired),
                (
                    "missing api key for openai-compatible auth",
                    FaultReason::Unauthorized,
                ),
                ("no input provided via stdin", FaultReason::BadRequest),
            ]),
            bare_errors: texts(&[
                "Qwen OAuth quota exceeded:",
                "Qwen OAuth free tier has been discontinued",
                "Qwen OAuth free tier was discontinued",
            ]),
            hopeless: texts(&[
                "quota exceeded:",
                "allocated quota exceeded",
                "retrying in ",
                "device authorization flow failed",
                "authorization timeout, please restart",
            ]),
            exit_codes: Vec::new(),
        }
    }

    /// Gemini CLI.
    #[must_use]
    pub fn gemini() -> Self {
        Self {
            name: "gemini".to_owned(),
            program: "gemini".to_owned(),
            install: "run `npm install -g @google/gemini-cli`, or set `program`".to_owned(),
            args: texts(&["-p", "", "-o", "json"]),
            model_args: texts(&["--model", "{model}"]),
            env: Vec::new(),
            files: Vec::new(),
            key: KeyAuth {
                args: Vec::new(),
                key: "GEMINI_API_KEY".to_owned(),
                base_url: None,
                model: None,
                usual_url: None,
            },
            account: AccountAuth {
                args: Vec::new(),
                token_file: ".gemini/oauth_creds.json".to_owned(),
                home: pairs(&[("GEMINI_CLI_HOME", "{home}")]),
            },
            output: OutputFormat::ResponseObject,
            meanings: meanings(&[
                (
                    "you have exhausted your daily quota",
                    FaultReason::QuotaExhausted,
                ),
                ("your quota will reset after", FaultReason::QuotaExhausted),
                ("api key not valid", FaultReason::Unauthorized),
                ("please set an auth method", FaultReason::LoginRequired),
            ]),
            bare_errors: Vec::new(),
            hopeless: texts(&[
                "you have exhausted your daily quota",
                "your quota will reset after",
            ]),
            exit_codes: vec![
                (41, FaultReason::LoginRequired),
                (42, FaultReason::BadRequest),
                (53, FaultReason::BadRequest),
            ],
        }
    }

    /// Codex.
    #[must_use]
    pub fn codex() -> Self {
        Self {
            name: "codex".to_owned(),
            program: "codex".to_owned(),
            install: "run `npm install -g @openai/codex`, or set `program`".to_owned(),
            args: texts(&["exec", "--json", "--skip-git-repo-check", "-"]),
            model_args: texts(&["--model", "{model}"]),
            env: Vec::new(),
            files: Vec::new(),
            key: KeyAuth {
                args: Vec::new(),
                key: "CODEX_API_KEY".to_owned(),
                base_url: None,
                model: None,
                usual_url: None,
            },
            account: AccountAuth {
                args: Vec::new(),
                token_file: ".codex/auth.json".to_owned(),
                home: pairs(&[("CODEX_HOME", "{home}/.codex")]),
            },
            output: OutputFormat::TurnLines,
            meanings: meanings(&[
                ("quota exceeded", FaultReason::QuotaExhausted),
                ("you've hit your usage limit", FaultReason::QuotaExhausted),
                ("not logged in", FaultReason::LoginRequired),
            ]),
            bare_errors: Vec::new(),
            hopeless: Vec::new(),
            exit_codes: Vec::new(),
        }
    }

    /// Claude Code.
    #[must_use]
    pub fn claude() -> Self {
        Self {
            name: "claude".to_owned(),
            program: "claude".to_owned(),
            install: "run `npm install -g @anthropic-ai/claude-code`, or set `program`".to_owned(),
            // Prompts come from others: no tools for them, and nothing of them is kept.
            args: texts(&[
                "-p",
                "--output-format",
                "json",
                "--no-session-persistence",
                "--tools",
                "",
            ]),
            model_args: texts(&["--model", "{model}"]),
            env: pairs(&[
                ("DISABLE_AUTOUPDATER", "1"),
                ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
            ]),
            files: Vec::new(),
            key: KeyAuth {
                args: Vec::new(),
                key: "ANTHROPIC_API_KEY".to_owned(),
                base_url: Some("ANTHROPIC_BASE_URL".to_owned()),
                model: None,
                usual_url: Some("https://api.anthropic.com".to_owned()),
            },
            account: AccountAuth {
                args: Vec::new(),
                token_file: ".claude/.credentials.json".to_owned(),
                home: pairs(&[("CLAUDE_CONFIG_DIR", "{home}/.claude")]),
            },
            output: OutputFormat::ResultEvent,
            meanings: meanings(&[
                ("usage limit reached", FaultReason::QuotaExhausted),
                ("you've hit your", FaultReason::QuotaExhausted),
                ("credit balance is too low", FaultReason::Billing),
                ("invalid api key", FaultReason::Unauthorized),
                ("please run /login", FaultReason::LoginRequired),
            ]),
            bare_errors: Vec::new(),
            hopeless: Vec::new(),
            exit_codes: Vec::new(),
        }
    }

    /// What a message of this program means, if it is known.
    pub(super) fn meaning(&self, message: &str) -> Option<FaultReason> {
        let lower = message.to_lowercase();
        let found = self
            .meanings
            .iter()
            .find(|(part, _)| lower.contains(part.as_str()));
        found.map(|(_, reason)| *reason)
    }

    /// Whether a line on stderr ends the wait.
    pub(super) fn is_hopeless(&self, line: &str) -> bool {
        let lower = line.to_lowercase();
        self.hopeless
            .iter()
            .any(|part| lower.contains(part.as_str()))
    }
}

fn texts(items: &[&str]) -> Vec<String> {
    items.iter().map(|item| (*item).to_owned()).collect()
}

fn pairs(items: &[(&str, &str)]) -> Vec<(String, String)> {
    items
        .iter()
        .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
        .collect()
}

fn meanings(items: &[(&str, FaultReason)]) -> Vec<(String, FaultReason)> {
    items
        .iter()
        .map(|(text, reason)| ((*text).to_owned(), *reason))
        .collect()
}
