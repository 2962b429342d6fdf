//! Call LLMs through a rotating pool of credentials.
//!
//! A [`Wrapper`](wrapper::Wrapper) sends a prompt through a
//! [`Provider`](provider::Provider) with a credential that a
//! [`CredentialPool`](credential::CredentialPool) lends it, and goes on to the
//! next credential when one is throttled, out of quota or refused.
//!
//! This crate knows nothing of its hosts: the Python and Node packages convert
//! values and hand them over.
#![forbid(unsafe_code)]

#[cfg(feature = "cli")]
pub mod cli;
pub mod clock;
pub mod config;
pub mod connect;
pub mod conversation;
pub mod credential;
pub mod document;
pub mod error;
pub mod job;
pub mod provider;
pub mod qwen;
pub mod session;
mod sqlite;
#[cfg(feature = "testing")]
pub mod testing;
pub mod wrapper;

pub use credential::{Credential, Secret};
pub use error::Error;

/// The README's examples are compiled with the other documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

/// And those of the pages.
#[cfg(doctest)]
#[doc = include_str!("../../docs/jobs.md")]
struct Jobs;

/// And those of the sessions' page.
#[cfg(doctest)]
#[doc = include_str!("../../docs/sessions.md")]
struct Sessions;
