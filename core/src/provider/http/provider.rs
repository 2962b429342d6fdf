//! A provider over HTTP, whatever its wire format.

use std::fmt;
use std::marker::PhantomData;

use async_trait::async_trait;
use futures_util::FutureExt;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use url::Url;

use super::super::{ChunkStream, Fault, Patience, Provider, Request, Response, whole};
use super::HttpLimits;
use super::endpoint::{self, Endpoint};
use super::exchange::{is_event_stream, within};
use super::live::{Live, Reader};
use crate::credential::{Credential, Secret};

/// What one endpoint's requests and answers look like.
pub(crate) trait WireFormat: fmt::Debug + Send + Sync + 'static {
    /// Its provider's usual name.
    const NAME: &str;
    /// Where its maker serves it.
    const USUAL_BASE: &str;

    type Events: Reader;

    /// What is appended to a base URL.
    fn path(base: &Url) -> &'static str;

    /// Adds the headers of a call; an empty secret is not sent.
    fn head(headers: &mut HeaderMap, secret: &Secret) -> Result<(), Fault>;

    fn body<'a>(
        request: &'a Request,
        model: &'a str,
        stream: bool,
    ) -> impl serde::Serialize + use<'a, Self>;

    /// Reads a whole answer.
    fn read(body: &[u8], secret: &Secret) -> Result<Response, Fault>;

    /// Reads a streamed one.
    fn events(secret: Secret) -> Self::Events;
}

/// Asks a model over HTTP. Connections are made at the first call and kept.
pub struct HttpProvider<F> {
    pub(crate) endpoint: Endpoint,
    format: PhantomData<F>,
}

#[expect(private_bounds, reason = "wire formats are this crate's own")]
impl<F: WireFormat> HttpProvider<F> {
    /// For its maker's endpoint, unless a credential has its own address.
    #[must_use]
    pub fn new() -> Self {
        Self {
            endpoint: Endpoint::new(F::NAME),
            format: PhantomData,
        }
    }

    /// For another address; the path of the call is appended to its path.
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

    fn post(
        &self,
        request: &Request,
        credential: &Credential,
        secret: &Secret,
        stream: bool,
    ) -> Result<impl Future<Output = Result<reqwest::Response, Fault>>, Fault> {
        let model = self.endpoint.model(request, credential)?;
        let body = endpoint::json(&F::body(request, model, stream))?;
        let url = self.endpoint.url(credential, F::USUAL_BASE, F::path)?;
        let mut headers = HeaderMap::with_capacity(4);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        F::head(&mut headers, secret)?;
        self.endpoint.post(url, headers, body, secret)
    }

    fn read(
        &self,
        answer: reqwest::Response,
        secret: &Secret,
    ) -> impl Future<Output = Result<Response, Fault>> {
        // Mapped, for an `async` block would hold what it awaits twice.
        let body = self.endpoint.body(answer);
        body.map(|body| F::read(&body?, secret))
    }
}

#[async_trait]
impl<F: WireFormat> Provider for HttpProvider<F> {
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
            let answer = self.post(request, credential, &secret, false)?.await?;
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
            let answer = self.post(request, credential, &secret, true)?.await?;
            if !is_event_stream(&answer) {
                return Ok(Err(self.read(answer, &secret).await?));
            }
            let events = F::events(secret.clone());
            let limits = self.endpoint.limits;
            let mut live = Live::new(answer, events, limits, patience, secret.clone());
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

impl<F: WireFormat> Default for HttpProvider<F> {
    fn default() -> Self {
        Self::new()
    }
}

impl<F> fmt::Debug for HttpProvider<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpProvider")
            .field("endpoint", &self.endpoint)
            .finish()
    }
}
