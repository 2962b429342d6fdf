//! OpenAI-compatible chat completions.
//!
//! Speaks to OpenAI, DashScope, Azure's v1, Gemini's compatible endpoint, vLLM and
//! the many others of that dialect.

mod request;
mod response;
mod stream;

use async_trait::async_trait;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use url::Url;

use super::http::{Endpoint, HttpLimits, Live, is_event_stream, json, secret_header, within};
use super::{ChunkStream, Fault, Patience, Provider, Request, Response, whole};
use crate::credential::{Credential, Secret};

const USUAL_BASE: &str = "https://api.openai.com/v1";

/// Chat completions over HTTP. Connections are made at the first call and kept.
#[derive(Debug)]
pub struct OpenAi {
    endpoint: Endpoint,
}

impl OpenAi {
    /// For `https://api.openai.com/v1`, unless a credential has its own address.
    #[must_use]
    pub fn new() -> Self {
        Self {
            endpoint: Endpoint::new("openai"),
        }
    }

    /// For another address: `/chat/completions` is appended to its path.
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
        let url = self
            .endpoint
            .url(credential, USUAL_BASE, |_| "/chat/completions")?;
        let mut headers = HeaderMap::with_capacity(4);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if !secret.is_empty() {
            headers.insert(AUTHORIZATION, secret_header("Bearer ", secret)?);
        }
        self.endpoint.post(url, headers, body, secret).await
    }

    async fn read(&self, answer: reqwest::Response, secret: &Secret) -> Result<Response, Fault> {
        let body = self.endpoint.body(answer).await?;
        response::read(&body, secret)
    }
}

impl Default for OpenAi {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Provider for OpenAi {
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
