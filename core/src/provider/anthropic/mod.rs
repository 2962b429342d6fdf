//! Anthropic Messages.

mod request;
mod response;
mod stream;

use reqwest::header::{HeaderMap, HeaderValue};
use url::Url;

use super::http::{HttpProvider, WireFormat, secret_header};
use super::{Fault, Request, Response};
use crate::credential::Secret;

const VERSION: &str = "2023-06-01";

/// Messages, at `https://api.anthropic.com` if nothing else is given. `/v1/messages`
/// is appended to the path of a base URL, or `/messages` where that ends in `/v1`.
pub type Anthropic = HttpProvider<Messages>;

/// The wire format of Messages.
#[derive(Debug)]
pub enum Messages {}

impl WireFormat for Messages {
    const NAME: &str = "anthropic";
    const USUAL_BASE: &str = "https://api.anthropic.com";

    type Events = stream::Reader;

    fn path(base: &Url) -> &'static str {
        let path = base.path().trim_end_matches('/');
        if path.ends_with("/v1") || path.ends_with("/messages") {
            "/messages"
        } else {
            "/v1/messages"
        }
    }

    fn head(headers: &mut HeaderMap, secret: &Secret) -> Result<(), Fault> {
        headers.insert("anthropic-version", HeaderValue::from_static(VERSION));
        if !secret.is_empty() {
            headers.insert("x-api-key", secret_header("", secret)?);
        }
        Ok(())
    }

    fn body<'a>(
        request: &'a Request,
        model: &'a str,
        stream: bool,
    ) -> impl serde::Serialize + use<'a> {
        request::Body {
            request,
            model,
            stream,
        }
    }

    fn read(body: &[u8], secret: &Secret) -> Result<Response, Fault> {
        response::read(body, secret)
    }

    fn events(secret: Secret) -> Self::Events {
        stream::Reader::new(secret)
    }
}

#[cfg(test)]
mod tests;
