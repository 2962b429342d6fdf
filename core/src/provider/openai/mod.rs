//! OpenAI-compatible chat completions.
//!
//! Speaks to OpenAI, DashScope, Azure's v1, Gemini's compatible endpoint, vLLM and
//! the many others of that dialect.

mod request;
mod response;
mod stream;

use reqwest::header::{AUTHORIZATION, HeaderMap};
use url::Url;

use super::http::{HttpProvider, WireFormat, secret_header};
use super::{Fault, Request, Response};
use crate::credential::Secret;

/// Chat completions, at `https://api.openai.com/v1` if nothing else is given.
/// `/chat/completions` is appended to the path of a base URL.
pub type OpenAi = HttpProvider<ChatCompletions>;

/// The wire format of chat completions.
#[derive(Debug)]
pub enum ChatCompletions {}

impl WireFormat for ChatCompletions {
    const NAME: &str = "openai";
    const USUAL_BASE: &str = "https://api.openai.com/v1";

    type Events = stream::Reader;

    fn path(_base: &Url) -> &'static str {
        "/chat/completions"
    }

    fn head(headers: &mut HeaderMap, secret: &Secret) -> Result<(), Fault> {
        if !secret.is_empty() {
            headers.insert(AUTHORIZATION, secret_header("Bearer ", secret)?);
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
