//! The native half of the Node package: converts values and hands them over.
//!
//! Every rule, default and text lives in the core; what a Node user sees lives
//! in `lib/*.ts`.

use napi_derive::napi;

mod accounts;
mod conversations;
mod desk;
mod errors;
mod job_events;
mod job_handler;
mod job_worker;
mod jobs;
mod outbox;
mod pool;
mod program;
mod provider;
mod qwen;
mod rotation;
mod runtime;
mod sessions;
mod stream;
mod testing;
mod wrapper;

/// The version of the core.
#[napi]
pub(crate) fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}
