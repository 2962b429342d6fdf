//! What the HTTP providers share: one client, fault classes, event streams.
//!
//! Wire formats are not here: each provider's folder knows its own.

mod base_url;
mod classify;
mod client;
mod endpoint;
mod error_body;
mod exchange;
mod live;
mod provider;
#[cfg(test)]
pub(crate) mod raw_peer;
mod retry_after;
mod rules;
mod sse;

pub use base_url::parse_base_url;
pub use classify::{ErrorFacts, classify};
pub use endpoint::HttpLimits;
pub use provider::HttpProvider;

pub(crate) use client::{HttpClient, http_client};
pub(crate) use endpoint::secret_header;
pub(crate) use exchange::{fault_inside, malformed};
pub(crate) use live::{Progress, Reader};
pub(crate) use provider::WireFormat;
pub(crate) use retry_after::span;
pub(crate) use sse::Event;
