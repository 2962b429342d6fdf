//! The content of a token file. Fields that this version does not know are kept.

use std::path::Path;

use serde_json::{Map, Value, json};
use url::Url;

use crate::clock::{Clock, EpochMillis, SystemClock};
use crate::credential::{Secret, private_file};
use crate::error::Error;

/// Where calls go when the file does not say; from the qwen CLI's own source.
const USUAL_URL: &str = "https://dashscope.aliyuncs.com/compatible-mode/v1";

#[derive(Clone)]
pub(in crate::credential) struct Tokens {
    pub(in crate::credential) access_token: Secret,
    pub(super) refresh_token: Option<Secret>,
    pub(in crate::credential) expiry_date: Option<EpochMillis>,
    resource_url: Option<String>,
    others: Map<String, Value>,
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

    pub(in crate::credential) fn parse(text: &str) -> Result<Self, String> {
        // The parser's own message may quote the content.
        let value: Value = serde_json::from_str(text)
            .map_err(|e| format!("no JSON at line {}, column {}", e.line(), e.column()))?;
        let Value::Object(mut others) = value else {
            return Err("it is not a JSON object".to_owned());
        };
        let access_token =
            take_text(&mut others, "access_token").filter(|text| !text.trim().is_empty());
        let access_token = access_token.ok_or("it has no `access_token`")?;
        Ok(Self {
            access_token: Secret::new(access_token),
            refresh_token: take_text(&mut others, "refresh_token").map(Secret::new),
            expiry_date: others
                .get("expiry_date")
                .and_then(Value::as_f64)
                .map(|at| at.max(0.0) as u64),
            resource_url: take_text(&mut others, "resource_url"),
            others,
        })
    }

    /// Whether both come from one login: no two files may redeem one refresh token.
    pub(in crate::credential) fn same_grant(&self, other: &Self) -> bool {
        match (&self.refresh_token, &other.refresh_token) {
            (Some(one), Some(another)) => one == another,
            _ => self.access_token == other.access_token,
        }
    }

    /// Whether it expires later than another.
    pub(super) fn outlives(&self, other: &Self) -> bool {
        self.expiry_date.unwrap_or(0) > other.expiry_date.unwrap_or(0)
    }

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
