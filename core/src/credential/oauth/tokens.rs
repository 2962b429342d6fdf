//! The content of a token file. Fields that this version does not know are kept.
//!
//! Programs write theirs in shapes of their own. Only qwen's are written and redeemed
//! here: another's refresh token would be told to an endpoint that it is not for.

use std::path::Path;

use serde_json::{Map, Value, json};
use url::Url;

use crate::clock::{Clock, EpochMillis, SystemClock};
use crate::credential::{Secret, private_file};
use crate::error::Error;

/// Where calls go when the file does not say; from the qwen CLI's own source.
const USUAL_URL: &str = "https://dashscope.aliyuncs.com/compatible-mode/v1";

#[derive(Clone)]
pub(crate) struct Tokens {
    pub(in crate::credential) access_token: Secret,
    pub(super) refresh_token: Option<Secret>,
    pub(super) expiry_date: Option<EpochMillis>,
    /// Known where the file does not say when it expires.
    refreshed: Option<EpochMillis>,
    resource_url: Option<String>,
    program: Program,
    others: Map<String, Value>,
}

/// Whose file it is: who may redeem its refresh token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Program {
    Qwen,
    Gemini,
    Codex,
    Claude,
}

/// What a token endpoint answered.
#[derive(serde::Deserialize)]
pub(super) struct Answer {
    access_token: Secret,
    refresh_token: Option<Secret>,
    expires_in: Option<u64>,
    resource_url: Option<String>,
    token_type: Option<String>,
}

impl Tokens {
    pub(in crate::credential) fn read(file: &Path) -> Result<Self, Error> {
        let text = private_file::read(file)?;
        Self::parse(&text).map_err(|problem| private_file::corrupt(file, problem))
    }

    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        // The parser's own message may quote the content.
        let value: Value = serde_json::from_str(text)
            .map_err(|e| format!("no JSON at line {}, column {}", e.line(), e.column()))?;
        let Value::Object(others) = value else {
            return Err("it is not a JSON object".to_owned());
        };
        if let Some(login) = others.get("tokens").and_then(Value::as_object) {
            return Self::of_codex(login, &others);
        }
        if let Some(login) = others.get("claudeAiOauth").and_then(Value::as_object) {
            return Self::of_claude(login);
        }
        Self::flat(others)
    }

    // `~/.qwen/oauth_creds.json` and `~/.gemini/oauth_creds.json`.
    fn flat(mut others: Map<String, Value>) -> Result<Self, String> {
        let access_token = token(take_text(&mut others, "access_token"), "access_token")?;
        let google = |scope: &str| scope.contains("googleapis.com");
        let scope = others.get("scope").and_then(Value::as_str);
        let program = if scope.is_some_and(google) {
            Program::Gemini
        } else {
            Program::Qwen
        };
        Ok(Self {
            access_token,
            refresh_token: take_text(&mut others, "refresh_token").map(Secret::new),
            expiry_date: moment(others.get("expiry_date")),
            refreshed: None,
            resource_url: take_text(&mut others, "resource_url"),
            program,
            others,
        })
    }

    // `~/.codex/auth.json` says when it was refreshed, not when it expires.
    fn of_codex(login: &Map<String, Value>, file: &Map<String, Value>) -> Result<Self, String> {
        let refreshed = file.get("last_refresh").and_then(Value::as_str);
        let refreshed = refreshed.and_then(|at| at.parse::<jiff::Timestamp>().ok());
        Ok(Self {
            access_token: token(text(login, "access_token"), "tokens.access_token")?,
            refresh_token: text(login, "refresh_token").map(Secret::new),
            expiry_date: None,
            refreshed: refreshed.and_then(|at| EpochMillis::try_from(at.as_millisecond()).ok()),
            resource_url: None,
            program: Program::Codex,
            others: Map::new(),
        })
    }

    // `~/.claude/.credentials.json`.
    fn of_claude(login: &Map<String, Value>) -> Result<Self, String> {
        Ok(Self {
            access_token: token(text(login, "accessToken"), "claudeAiOauth.accessToken")?,
            refresh_token: text(login, "refreshToken").map(Secret::new),
            expiry_date: moment(login.get("expiresAt")),
            refreshed: None,
            resource_url: None,
            program: Program::Claude,
            others: Map::new(),
        })
    }

    /// The program that alone may refresh it, unless that may be done here.
    pub(super) fn refreshed_by(&self) -> Option<&'static str> {
        match self.program {
            Program::Qwen => None,
            Program::Gemini => Some("gemini"),
            Program::Codex => Some("codex"),
            Program::Claude => Some("claude"),
        }
    }

    /// Whether both come from one login: no two files may redeem one refresh token.
    pub(in crate::credential) fn same_grant(&self, other: &Self) -> bool {
        match (&self.refresh_token, &other.refresh_token) {
            (Some(one), Some(another)) => one == another,
            _ => self.access_token == other.access_token,
        }
    }

    /// Whether it expires, or was refreshed, later than another.
    pub(crate) fn outlives(&self, other: &Self) -> bool {
        let age = |tokens: &Self| tokens.expiry_date.or(tokens.refreshed).unwrap_or(0);
        age(self) > age(other)
    }

    /// Writes qwen's shape: nobody else's is refreshed here.
    pub(super) fn write(&self, file: &Path) -> Result<(), Error> {
        let mut value = self.others.clone();
        value.insert("access_token".to_owned(), json!(self.access_token.expose()));
        if let Some(token) = &self.refresh_token {
            value.insert("refresh_token".to_owned(), json!(token.expose()));
        }
        if let Some(url) = &self.resource_url {
            value.insert("resource_url".to_owned(), json!(url));
        }
        if let Some(expiry) = self.expiry_date {
            value.insert("expiry_date".to_owned(), json!(expiry));
        }
        let text = serde_json::to_string_pretty(&value)
            .map_err(|e| private_file::unavailable(file, &e))?;
        private_file::write(file, text.as_bytes())
    }

    pub(super) fn renewed(mut self, answer: Answer) -> Self {
        self.access_token = answer.access_token;
        self.refresh_token = answer.refresh_token.or(self.refresh_token);
        self.resource_url = answer.resource_url.or(self.resource_url);
        let lasts = |seconds: u64| {
            SystemClock
                .now()
                .saturating_add(seconds.saturating_mul(1000))
        };
        self.expiry_date = answer.expires_in.map(lasts);
        if let Some(kind) = answer.token_type {
            self.others.insert("token_type".to_owned(), json!(kind));
        }
        self
    }

    /// `https://` where there is no scheme, `/v1` where it does not end so.
    pub(super) fn base_url(&self) -> Option<Url> {
        if self.program != Program::Qwen {
            return None;
        }
        let given = self
            .resource_url
            .as_deref()
            .map(str::trim)
            .filter(|url| !url.is_empty());
        let mut url = given.unwrap_or(USUAL_URL).trim_end_matches('/').to_owned();
        if !url.contains("://") {
            url.insert_str(0, "https://");
        }
        if !url.ends_with("/v1") {
            url.push_str("/v1");
        }
        Url::parse(&url).ok()
    }
}

fn token(found: Option<String>, name: &str) -> Result<Secret, String> {
    let found = found.filter(|text| !text.trim().is_empty());
    found
        .map(Secret::new)
        .ok_or_else(|| format!("it has no `{name}`"))
}

fn text(object: &Map<String, Value>, name: &str) -> Option<String> {
    object.get(name)?.as_str().map(str::to_owned)
}

fn moment(value: Option<&Value>) -> Option<EpochMillis> {
    let at = value?.as_f64()?;
    Some(at.max(0.0) as u64)
}

fn take_text(object: &mut Map<String, Value>, name: &str) -> Option<String> {
    match object.remove(name) {
        Some(Value::String(text)) => Some(text),
        Some(other) => {
            object.insert(name.to_owned(), other);
            None
        }
        None => None,
    }
}
