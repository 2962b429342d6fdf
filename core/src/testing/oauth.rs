//! A token endpoint whose refresh tokens rotate: each is good for one redemption.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::{Value, json};

use super::ledger::Progress;
use super::scenario::{Script, Step};

/// Refresh tokens remembered; beyond it new ones are refused.
const TOKENS: usize = 65_536;

/// How the token endpoint behaves.
#[derive(Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OAuthScenario {
    /// The refresh tokens that are good at the start. Empty: any, once.
    pub refresh_tokens: Vec<String>,
    /// Seconds that a new access token says it lives.
    pub expires_in: u64,
    /// The `resource_url` of an answer; default the endpoint itself.
    pub resource_url: Option<String>,
    /// Faults. One with `after` comes after the redemption, others in place of
    /// it; `delay_ms` passes between redemption and answer.
    pub script: Script,
}

/// What became of the refresh tokens that were shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Redemptions {
    /// Redeemed for new tokens.
    pub granted: u64,
    /// Refused with `invalid_grant`: spent before, or never known.
    pub refused: u64,
}

impl Default for OAuthScenario {
    fn default() -> Self {
        Self {
            refresh_tokens: Vec::new(),
            expires_in: 3600,
            resource_url: None,
            script: Script::default(),
        }
    }
}

/// The memory of the token endpoint.
pub(super) struct TokenDesk {
    any: bool,
    expires_in: u64,
    resource_url: String,
    book: Mutex<Book>,
}

/// New tokens.
pub(super) struct Grant {
    pub(super) access_token: String,
    pub(super) body: Bytes,
}

struct Book {
    script: Progress,
    tokens: HashMap<String, Token>,
    redemptions: Redemptions,
}

/// A refresh token: who it began as, and how often that was renewed.
struct Token {
    root: String,
    generation: u64,
    spent: bool,
}

impl TokenDesk {
    pub(super) fn new(scenario: &OAuthScenario, url: &str) -> Self {
        let tokens = scenario.refresh_tokens.iter();
        let tokens = tokens.map(|token| (token.clone(), Token::first(token)));
        Self {
            any: scenario.refresh_tokens.is_empty(),
            expires_in: scenario.expires_in,
            resource_url: scenario.resource_url.as_deref().unwrap_or(url).to_owned(),
            book: Mutex::new(Book {
                script: Progress::new(&scenario.script),
                tokens: tokens.collect(),
                redemptions: Redemptions::default(),
            }),
        }
    }

    pub(super) fn next_step(&self) -> Arc<Step> {
        self.book.lock().script.next()
    }

    pub(super) fn redemptions(&self) -> Redemptions {
        self.book.lock().redemptions
    }

    /// Redeems a refresh token, or answers with the error object.
    pub(super) fn redeem(&self, body: &[u8]) -> Result<Grant, Bytes> {
        let form = read_form(body);
        let field = |name: &str| form.get(name).map_or("", String::as_str);
        if field("grant_type") != "refresh_token" {
            return Err(refusal("unsupported_grant_type", "only refresh_token"));
        }
        let shown = field("refresh_token");
        let mut book = self.book.lock();
        let book = &mut *book;
        if self.any && !shown.is_empty() && book.tokens.len() < TOKENS {
            (book.tokens.entry(shown.to_owned())).or_insert_with(|| Token::first(shown));
        }
        let Some(token) = book.tokens.get_mut(shown).filter(|token| !token.spent) else {
            book.redemptions.refused += 1;
            return Err(refusal(
                "invalid_grant",
                "the refresh token is not valid or was used before",
            ));
        };
        token.spent = true;
        let next = Token {
            root: token.root.clone(),
            generation: token.generation + 1,
            spent: false,
        };
        book.redemptions.granted += 1;
        let refresh_token = format!("{}.{}", next.root, next.generation);
        let access_token = format!("access-{refresh_token}");
        let body = json!({
            "access_token": access_token,
            "token_type": "Bearer",
            "refresh_token": refresh_token,
            "expires_in": self.expires_in,
            "resource_url": self.resource_url,
        });
        book.tokens.insert(refresh_token, next);
        Ok(Grant {
            access_token,
            body: Bytes::from(body.to_string()),
        })
    }
}

impl Token {
    fn first(token: &str) -> Self {
        Self {
            root: token.to_owned(),
            generation: 0,
            spent: false,
        }
    }
}

/// An error of the token endpoint (RFC 6749, 5.2).
pub(super) fn refusal(error: &str, description: &str) -> Bytes {
    Bytes::from(json!({"error": error, "error_description": description}).to_string())
}

fn read_form(body: &[u8]) -> HashMap<String, String> {
    if let Ok(Value::Object(members)) = serde_json::from_slice(body) {
        let texts = members.into_iter();
        return texts
            .filter_map(|(name, value)| Some((name, value.as_str()?.to_owned())))
            .collect();
    }
    url::form_urlencoded::parse(body).into_owned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn desk(tokens: &[&str]) -> TokenDesk {
        let scenario = OAuthScenario {
            refresh_tokens: tokens.iter().map(|&token| token.to_owned()).collect(),
            ..OAuthScenario::default()
        };
        TokenDesk::new(&scenario, "http://here")
    }

    fn redeem(desk: &TokenDesk, token: &str) -> Option<String> {
        let body = format!("grant_type=refresh_token&refresh_token={token}&client_id=c");
        let grant = desk.redeem(body.as_bytes()).ok()?;
        let body: Value = serde_json::from_slice(&grant.body).unwrap();
        assert_eq!(body["access_token"], grant.access_token);
        Some(body["refresh_token"].as_str().unwrap().to_owned())
    }

    #[test]
    fn a_refresh_token_is_redeemed_once_and_its_successor_once() {
        let desk = desk(&["r"]);
        let next = redeem(&desk, "r").unwrap();
        assert_eq!(redeem(&desk, "r"), None);
        assert_eq!(redeem(&desk, "stranger"), None);
        assert!(redeem(&desk, &next).is_some());
        assert_eq!(redeem(&desk, &next), None);
        let redemptions = Redemptions {
            granted: 2,
            refused: 3,
        };
        assert_eq!(desk.redemptions(), redemptions);
    }

    #[test]
    fn without_a_list_any_token_is_good_once() {
        let desk = desk(&[]);
        assert!(redeem(&desk, "anything").is_some());
        assert_eq!(redeem(&desk, "anything"), None);
        assert_eq!(redeem(&desk, ""), None);
    }
}
