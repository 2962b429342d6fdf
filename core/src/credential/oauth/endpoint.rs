//! Where a refresh token is redeemed.

use std::sync::LazyLock;
use std::time::Duration;

use serde_json::Value;
use url::Url;

use super::tokens::{Answer, Tokens};
use crate::clock::{Clock, SystemClock};
use crate::provider::http::{ErrorFacts, HttpClient, classify};
use crate::provider::{Fault, FaultReason};

/// Qwen's endpoint and the public client id of its CLI, from that program's source.
const QWEN_URL: &str = "https://chat.qwen.ai/api/v1/oauth2/token";
const QWEN_CLIENT: &str = "f0304373b74a44d2b584a3fb70ca9e56";

/// Overrides the endpoint, for a proxy or a test.
const URL_VARIABLE: &str = "QWEN_OAUTH_TOKEN_URL";

/// The largest answer that is read, in bytes.
const BODY_LIMIT: usize = 64 * 1024;

const TIMEOUT: Duration = Duration::from_secs(30);

static CLIENT: LazyLock<HttpClient> = LazyLock::new(HttpClient::default);

/// A token endpoint and who asks there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenEndpoint {
    /// Its address.
    pub url: String,
    /// The client id, which is public.
    pub client_id: String,
}

impl Default for TokenEndpoint {
    /// Qwen's, or where `QWEN_OAUTH_TOKEN_URL` says.
    fn default() -> Self {
        Self {
            url: std::env::var(URL_VARIABLE).unwrap_or_else(|_| QWEN_URL.to_owned()),
            client_id: QWEN_CLIENT.to_owned(),
        }
    }
}

/// Why there is no new token.
pub(super) enum Refusal {
    /// The refresh token is not valid: redeemed by another, or expired.
    Invalid(String),
    /// The endpoint is in trouble or out of reach.
    Trouble(Fault),
}

impl TokenEndpoint {
    pub(super) async fn redeem(&self, tokens: &Tokens) -> Result<Answer, Refusal> {
        let Some(refresh_token) = &tokens.refresh_token else {
            return Err(Refusal::Invalid("there is none".to_owned()));
        };
        let connect = |problem: String| Refusal::Trouble(Fault::new(FaultReason::Connect, problem));
        let url = Url::parse(&self.url).map_err(|e| connect(format!("the token endpoint: {e}")))?;
        let body = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "refresh_token")
            .append_pair("refresh_token", refresh_token.expose())
            .append_pair("client_id", &self.client_id)
            .finish();
        let client = CLIENT.for_url(&url).map_err(Refusal::Trouble)?;
        let sent = client
            .post(url)
            .timeout(TIMEOUT)
            .header("content-type", "application/x-www-form-urlencoded")
            .header("accept", "application/json")
            .body(body)
            .send()
            .await
            .map_err(|e| connect(format!("the token endpoint: {}", e.without_url())))?;
        let status = sent.status().as_u16();
        let text = text_of(sent).await.map_err(Refusal::Trouble)?;
        if status == 200 {
            return serde_json::from_str(&text).map_err(|_| {
                Refusal::Trouble(Fault::new(
                    FaultReason::MalformedResponse,
                    "the token endpoint's answer has no access token",
                ))
            });
        }
        Err(refused(status, text, refresh_token))
    }
}

/// The text of an answer, up to a limit.
async fn text_of(mut answer: reqwest::Response) -> Result<String, Fault> {
    let mut bytes = Vec::new();
    let broken = |e: reqwest::Error| {
        let problem = format!("the token endpoint's answer broke off: {}", e.without_url());
        Fault::new(FaultReason::Connect, problem)
    };
    while let Some(piece) = answer.chunk().await.map_err(broken)? {
        if bytes.len() + piece.len() > BODY_LIMIT {
            return Err(Fault::new(
                FaultReason::MalformedResponse,
                format!("the token endpoint's answer is over {BODY_LIMIT} bytes"),
            ));
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn refused(status: u16, text: String, token: &crate::Secret) -> Refusal {
    let value: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
    let code = value
        .get("error")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if code == "invalid_grant" || matches!(status, 400 | 401) {
        let said = if code.is_empty() {
            "refused".to_owned()
        } else {
            code.to_owned()
        };
        return Refusal::Invalid(said);
    }
    let facts = ErrorFacts {
        status: Some(status),
        body: Some(text),
        ..ErrorFacts::default()
    }
    .without(token);
    let fault = classify(&facts, SystemClock.now());
    let unknown = || {
        Fault::new(
            FaultReason::ServerError,
            format!("the token endpoint said {status}"),
        )
    };
    Refusal::Trouble(fault.unwrap_or_else(unknown))
}
