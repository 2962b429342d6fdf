//! Anthropic Messages.

mod request;
mod response;
mod stream;

use async_trait::async_trait;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use url::Url;

use super::http::{Endpoint, HttpLimits, Live, is_event_stream, json, secret_header, within};
use super::{ChunkStream, Fault, Patience, Provider, Request, Response, whole};
use crate::credential::{Credential, Secret};

const USUAL_BASE: &str = "https://api.anthropic.com";
const VERSION: &str = "2023-06-01";

/// Messages over HTTP. Connections are made at the first call and kept.
#[derive(Debug)]
pub struct Anthropic {
    endpoint: Endpoint,
}

impl Anthropic {
    /// For `https://api.anthropic.com`, unless a credential has its own address.
    #[must_use]
    pub fn new() -> Self {
        Self {
            endpoint: Endpoint::new("anthropic"),
        }
    }

    /// For another address: `/v1/messages` is appended to its path, or `/messages`
    /// where that ends in `/v1`.
    #[must_use]
    pub fn with_base_url(mut self, base_url: Url) -> Self {
        self.endpoint.base_url = Some(base_url);
        self
    }

    /// The model for requests and credentials that name none.
    #[must_use]
    pub fn with_model(mut self, model: impl Into<String>) -> Self {
        self.endpoint.model = Some(model.into());
        self
    }

    /// Its name in trails and errors.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.endpoint.name = name.into();
        self
    }

    /// Other bounds on answers.
    #[must_use]
    pub fn with_limits(mut self, limits: HttpLimits) -> Self {
        self.endpoint.limits = limits;
        self
    }

    async fn post(
        &self,
        request: &Request,
        credential: &Credential,
        secret: &Secret,
        stream: bool,
    ) -> Result<reqwest::Response, Fault> {
        let model = self.endpoint.model(request, credential)?;
        let body = json(&request::Body::new(request, model, stream))?;
        let url = self.endpoint.url(credential, USUAL_BASE, tail)?;
        let mut headers = HeaderMap::with_capacity(4);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert("anthropic-version", HeaderValue::from_static(VERSION));
        if !secret.is_empty() {
            headers.insert("x-api-key", secret_header("", secret)?);
        }
        self.endpoint.post(url, headers, body, secret).await
    }

    async fn read(&self, answer: reqwest::Response, secret: &Secret) -> Result<Response, Fault> {
        let body = self.endpoint.body(answer).await?;
        response::read(&body, secret)
    }
}

fn tail(base: &Url) -> &'static str {
    let path = base.path().trim_end_matches('/');
    if path.ends_with("/v1") || path.ends_with("/messages") {
        "/messages"
    } else {
        "/v1/messages"
    }
}

impl Default for Anthropic {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Provider for Anthropic {
    fn name(&self) -> &str {
        &self.endpoint.name
    }

    async fn send(
        &self,
        request: &Request,
        credential: &Credential,
        patience: Patience,
    ) -> Result<Response, Fault> {
        // One for the whole attempt: an account's token can change meanwhile, and it is
        // the one that was sent that must not show.
        let secret = credential.secret();
        within(patience.attempt, async {
            let answer = self.post(request, credential, &secret, false).await?;
            self.read(answer, &secret).await
        })
        .await
        .map_err(|fault| fault.without(&secret))
    }

    async fn stream(
        &self,
        request: &Request,
        credential: &Credential,
        patience: Patience,
    ) -> Result<ChunkStream, Fault> {
        let secret = credential.secret();
        let opened = within(patience.attempt, async {
            let answer = self.post(request, credential, &secret, true).await?;
            if !is_event_stream(&answer) {
                return Ok(Err(self.read(answer, &secret).await?));
            }
            let reader = stream::Reader::new(secret.clone());
            let limits = self.endpoint.limits;
            let mut live = Live::new(answer, reader, limits, patience, secret.clone());
            live.begin().await?;
            Ok(Ok(live))
        })
        .await
        .map_err(|fault| fault.without(&secret))?;
        match opened {
            Ok(live) => live.into_stream().await,
            Err(response) => Ok(whole(response)),
        }
    }
}

#[cfg(test)]
mod tests;
