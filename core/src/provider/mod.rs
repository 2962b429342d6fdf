//! Providers: those who know how to ask a model, and nothing of retries.
//!
//! A provider sends one request with one credential and says what came of it.
//! Whether to try again, with whom and when is decided by the wrapper.

pub mod anthropic;
pub mod cli;
mod fault;
pub mod http;
pub mod openai;
mod registry;
mod request;
mod response;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::Stream;

pub use fault::{Fault, FaultClass, FaultReason, TEXT_LIMIT};
pub use registry::{PROVIDERS, ProviderOptions, provider};
pub use request::{Content, Message, Request};
pub use response::{Chunk, Response, Usage};

use crate::credential::Credential;

/// The pieces of a streamed answer. [`Chunk::Done`] is the last of a whole one;
/// a stream that ends without it was cut, and providers report that as
/// [`FaultReason::Truncated`].
pub type ChunkStream = Pin<Box<dyn Stream<Item = Result<Chunk, Fault>> + Send>>;

/// One way to ask a model.
///
/// Dropping the future or the stream stops the work upstream: a connection is
/// closed, a child process group is ended.
#[async_trait]
pub trait Provider: Send + Sync + fmt::Debug {
    /// Its name in trails and errors.
    fn name(&self) -> &str;

    /// Sends one request once.
    ///
    /// # Errors
    /// A [`Fault`] that says whom it concerns. Its texts never hold the secret.
    async fn send(
        &self,
        request: &Request,
        credential: &Credential,
        patience: Patience,
    ) -> Result<Response, Fault>;

    /// Sends one request once and reads the answer as it comes.
    ///
    /// The default waits for the whole answer and gives it in one piece.
    ///
    /// # Errors
    /// A [`Fault`] before the first piece here, a later one inside the stream.
    async fn stream(
        &self,
        request: &Request,
        credential: &Credential,
        patience: Patience,
    ) -> Result<ChunkStream, Fault> {
        let response = self.send(request, credential, patience).await?;
        Ok(whole(response))
    }
}

/// How long an attempt may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// The whole attempt; for a stream, the time to its first piece.
    pub attempt: Duration,
    /// The longest silence inside a stream.
    pub idle: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            attempt: Duration::from_secs(120),
            idle: Duration::from_secs(60),
        }
    }
}

/// A provider shared by many calls.
pub type SharedProvider = Arc<dyn Provider>;

/// A whole answer as a stream.
#[must_use]
pub fn whole(response: Response) -> ChunkStream {
    let Response {
        text,
        model,
        usage,
        finish_reason,
        tool_calls,
    } = response;
    let text = (!text.is_empty()).then_some(Chunk::Text { text });
    let tools = tool_calls
        .into_iter()
        .map(|delta| Chunk::ToolCall { delta });
    let done = Chunk::Done {
        model,
        usage,
        finish_reason,
    };
    let chunks: Vec<_> = text
        .into_iter()
        .chain(tools)
        .chain([done])
        .map(Ok)
        .collect();
    Box::pin(futures_util::stream::iter(chunks))
}
