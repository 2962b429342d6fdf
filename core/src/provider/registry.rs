//! Providers by name, for configuration.

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::SharedProvider;
use super::anthropic::Anthropic;
use super::cli::{CliProfile, CliProvider};
use super::http::parse_base_url;
use super::openai::OpenAi;
use crate::error::Error;

/// The names that [`provider`] knows.
pub const PROVIDERS: [&str; 6] = ["openai", "anthropic", "qwen", "gemini", "codex", "claude"];

/// Which provider to use, and where it is; its JSON form has the same names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProviderOptions {
    /// One of [`PROVIDERS`]. Default: `openai`.
    pub provider: String,
    /// The endpoint, for credentials that name none of their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_url: Option<String>,
    /// The program of a CLI provider, when it is not on PATH.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub program: Option<PathBuf>,
}

impl Default for ProviderOptions {
    fn default() -> Self {
        Self {
            provider: "openai".to_owned(),
            base_url: None,
            program: None,
        }
    }
}

/// The provider of that name.
///
/// # Errors
/// [`Error::UnknownProvider`], [`Error::InvalidUrl`], [`Error::CliNotFound`].
pub fn provider(options: &ProviderOptions) -> Result<SharedProvider, Error> {
    let base_url = options
        .base_url
        .as_deref()
        .map(parse_base_url)
        .transpose()?;
    Ok(match options.provider.as_str() {
        "openai" => Arc::new(match base_url {
            Some(url) => OpenAi::new().with_base_url(url),
            None => OpenAi::new(),
        }),
        "anthropic" => Arc::new(match base_url {
            Some(url) => Anthropic::new().with_base_url(url),
            None => Anthropic::new(),
        }),
        name => {
            let profile = CliProfile::named(name).ok_or_else(|| Error::UnknownProvider {
                name: name.to_owned(),
                known: PROVIDERS.join(", "),
            })?;
            let program = options
                .program
                .clone()
                .unwrap_or_else(|| profile.program.clone().into());
            let cli = CliProvider::with_program(profile, program)?;
            Arc::new(match base_url {
                Some(url) => cli.with_base_url(url),
                None => cli,
            })
        }
    })
}
