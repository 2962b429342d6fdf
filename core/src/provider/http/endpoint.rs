//! An address to call, with all that does not depend on the wire format.

use std::borrow::Cow;

use reqwest::header::{HeaderMap, HeaderValue};
use url::Url;

use super::super::{Fault, FaultReason, Request};
use super::base_url::appended;
use super::client::HttpClient;
use super::exchange;
use crate::credential::{Credential, Secret};

/// What is read of an answer at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpLimits {
    /// Bytes of a whole answer: 32 MiB.
    pub body: usize,
    /// Bytes of one event of a stream: 8 MiB. A stream as a whole has no limit.
    pub event: usize,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            body: 32 << 20,
            event: 8 << 20,
        }
    }
}

/// Where a provider sends its calls, and through which client.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) name: String,
    pub(crate) base_url: Option<Url>,
    pub(crate) model: Option<String>,
    pub(crate) limits: HttpLimits,
    client: HttpClient,
}

impl Endpoint {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            base_url: None,
            model: None,
            limits: HttpLimits::default(),
            client: HttpClient::default(),
        }
    }

    /// The request's model, else the credential's, else the provider's.
    pub(crate) fn model<'a>(
        &'a self,
        request: &'a Request,
        credential: &'a Credential,
    ) -> Result<&'a str, Fault> {
        [
            request.model.as_deref(),
            credential.model(),
            self.model.as_deref(),
        ]
        .into_iter()
        .flatten()
        .find(|model| !model.trim().is_empty())
        .ok_or_else(|| {
            Fault::new(
                FaultReason::BadRequest,
                "no model is named: set `model` in the request, the credential or the provider",
            )
        })
    }

    /// The credential's address, else the provider's, else the usual one, with `tail`.
    pub(crate) fn url(
        &self,
        credential: &Credential,
        usual: &str,
        tail: impl FnOnce(&Url) -> &'static str,
    ) -> Result<Url, Fault> {
        let given = credential
            .base_url()
            .or(self.base_url.as_ref().map(Cow::Borrowed));
        let base = match given {
            Some(base) => base,
            None => super::parse_base_url(usual)
                .map(Cow::Owned)
                .map_err(|error| Fault::new(FaultReason::BadRequest, error.to_string()))?,
        };
        Ok(appended(&base, tail(&base)))
    }

    /// What is to be awaited for the body to be sent and for a status; one that is no success
    /// is a fault.
    // No `async fn`: what is sent would lie in the future twice, and that is moved into a box.
    pub(crate) fn post(
        &self,
        url: Url,
        headers: HeaderMap,
        body: Vec<u8>,
        secret: &Secret,
    ) -> Result<impl Future<Output = Result<reqwest::Response, Fault>>, Fault> {
        let client = self.client.for_url(&url)?;
        let sending = client.post(url).headers(headers).body(body).send();
        Ok(async move {
            let response = sending.await.map_err(exchange::unsent)?;
            if response.status().is_success() {
                return Ok(response);
            }
            Err(Box::pin(exchange::refusal(response, secret)).await)
        })
    }

    /// The whole body of an answer.
    pub(crate) fn body(
        &self,
        response: reqwest::Response,
    ) -> impl Future<Output = Result<bytes::Bytes, Fault>> + use<> {
        exchange::whole_body(response, self.limits.body)
    }
}

/// A header that is never shown: `prefix` and the secret.
pub(crate) fn secret_header(prefix: &str, secret: &Secret) -> Result<HeaderValue, Fault> {
    let text = [prefix, secret.expose().trim()].concat();
    let mut value = HeaderValue::try_from(text).map_err(|_| {
        Fault::new(
            FaultReason::Unauthorized,
            "the key holds characters that no header can carry: check for line breaks inside it",
        )
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// The request as JSON.
pub(crate) fn json(body: &impl serde::Serialize) -> Result<Vec<u8>, Fault> {
    serde_json::to_vec(body).map_err(|error| {
        Fault::new(
            FaultReason::BadRequest,
            format!("the request cannot be written as JSON: {error}"),
        )
    })
}
