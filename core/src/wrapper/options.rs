//! How a wrapper is set up from data: a file, or a host language's options.
//!
//! Names and defaults live here, once for all languages. Times are in milliseconds.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::builder::{DEFAULT_DEADLINE, PROMPT_LIMIT, RETRY_BUDGET};
use super::cache::CacheOptions;
use super::decide::Policy;
use super::{Target, Wrapper};
use crate::clock::millis;
use crate::config;
use crate::credential::private_file;
use crate::credential::source::CredentialSource;
use crate::credential::{CredentialPool, CredentialSpec, PoolOptions};
use crate::error::Error;
use crate::provider::{Patience, ProviderOptions, SharedProvider, provider};

/// A wrapper as data. Unknown names are refused.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WrapperOptions {
    /// Whom to ask: `openai` (default), `anthropic`, `qwen`, `gemini`, `codex`, `claude`.
    pub provider: String,
    /// The endpoint, for credentials that name none of their own.
    pub base_url: Option<String>,
    /// The program of a CLI provider, when it is not on PATH.
    pub program: Option<PathBuf>,
    /// The model, unless the call or the credential names one.
    pub model: Option<String>,
    /// Credentials given here.
    pub credentials: Vec<CredentialSpec>,
    /// Where further ones come from. With neither, the provider's usual place:
    /// `OPENAI_API_KEY…`, `ANTHROPIC_API_KEY…`, `GEMINI_API_KEY…`, `~/.qwen/accounts`.
    pub sources: Vec<CredentialSource>,
    /// How credentials are chosen and where their state is shared.
    pub pool: PoolOptions,
    /// Whom to ask next, when the first has no answer.
    pub fallbacks: Vec<TargetOptions>,
    /// Retries after the first attempt. Default: 5.
    pub max_retries: Option<u32>,
    /// Whether to wait, within the deadline, when all credentials rest. Default: no.
    pub wait_when_cooling: Option<bool>,
    /// The further numbers of retry and rotation.
    pub policy: Policy,
    /// How long a call may take, waiting and retries included. Default: 300,000.
    pub deadline_ms: u64,
    /// How long an attempt may take. Default: 120,000.
    pub attempt_timeout_ms: u64,
    /// The longest silence in a stream. Default: 60,000.
    pub idle_timeout_ms: u64,
    /// The longest prompt in bytes. Default: 8 MiB.
    pub prompt_limit: usize,
    /// The tokens of the retry budget. Default: 500.
    pub retry_budget: u32,
    /// Keep answers for identical requests. Default: no.
    pub cache: Option<CacheOptions>,
}

/// A further place in the fallback chain as data.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TargetOptions {
    /// As in [`WrapperOptions`].
    pub provider: String,
    /// As in [`WrapperOptions`].
    pub base_url: Option<String>,
    /// As in [`WrapperOptions`].
    pub program: Option<PathBuf>,
    /// The model it is asked for, whatever the call says.
    pub model: Option<String>,
    /// As in [`WrapperOptions`].
    pub credentials: Vec<CredentialSpec>,
    /// As in [`WrapperOptions`].
    pub sources: Vec<CredentialSource>,
    /// As in [`WrapperOptions`].
    pub pool: PoolOptions,
}

impl Default for WrapperOptions {
    fn default() -> Self {
        let patience = Patience::default();
        Self {
            provider: ProviderOptions::default().provider,
            base_url: None,
            program: None,
            model: None,
            credentials: Vec::new(),
            sources: Vec::new(),
            pool: PoolOptions::default(),
            fallbacks: Vec::new(),
            max_retries: None,
            wait_when_cooling: None,
            policy: Policy::default(),
            deadline_ms: millis(DEFAULT_DEADLINE),
            attempt_timeout_ms: millis(patience.attempt),
            idle_timeout_ms: millis(patience.idle),
            prompt_limit: PROMPT_LIMIT,
            retry_budget: RETRY_BUDGET,
            cache: None,
        }
    }
}

impl Default for TargetOptions {
    fn default() -> Self {
        WrapperOptions::default().first_target()
    }
}

impl WrapperOptions {
    /// From the `[wrapper]` table of a configuration file, environment overrides applied.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] naming the file and the place in it;
    /// [`Error::CredentialFilePermissions`] for a file that holds keys and is open to others.
    pub fn from_file(path: &Path) -> Result<Self, Error> {
        let options: Self = config::load_table(path, "wrapper")?;
        let fallbacks = options
            .fallbacks
            .iter()
            .map(|fallback| &fallback.credentials);
        if fallbacks
            .chain([&options.credentials])
            .any(|keys| !keys.is_empty())
        {
            private_file::check(path)?;
        }
        Ok(options)
    }

    /// From JSON, as host languages hand options over.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] naming the option.
    pub fn from_json(json: &str) -> Result<Self, Error> {
        config::from_json(json, "the options")
    }

    /// The wrapper.
    ///
    /// # Errors
    /// What loading credentials, opening stores and finding providers give.
    pub fn build(self) -> Result<Wrapper, Error> {
        self.build_with(None, None)
    }

    /// The wrapper, around a provider or a pool of the caller's own.
    ///
    /// # Errors
    /// As [`WrapperOptions::build`].
    pub fn build_with(
        self,
        own_provider: Option<SharedProvider>,
        own_pool: Option<CredentialPool>,
    ) -> Result<Wrapper, Error> {
        let mut policy = self.policy.clone();
        policy.max_retries = self.max_retries.unwrap_or(policy.max_retries);
        policy.wait_when_cooling = self.wait_when_cooling.unwrap_or(policy.wait_when_cooling);
        let mut builder = Wrapper::builder()
            .policy(policy)
            .deadline(Duration::from_millis(self.deadline_ms))
            .patience(Patience {
                attempt: Duration::from_millis(self.attempt_timeout_ms),
                idle: Duration::from_millis(self.idle_timeout_ms),
            })
            .prompt_limit(self.prompt_limit)
            .retry_budget(self.retry_budget);
        if let Some(cache) = self.cache {
            builder = builder.cache(cache);
        }
        builder = builder.push_target(self.first_target().build_with(own_provider, own_pool)?);
        for fallback in self.fallbacks {
            builder = builder.push_target(fallback.build_with(None, None)?);
        }
        builder.build()
    }

    fn first_target(&self) -> TargetOptions {
        TargetOptions {
            provider: self.provider.clone(),
            base_url: self.base_url.clone(),
            program: self.program.clone(),
            model: self.model.clone(),
            credentials: self.credentials.clone(),
            sources: self.sources.clone(),
            pool: self.pool.clone(),
        }
    }
}

impl TargetOptions {
    fn build_with(
        self,
        own_provider: Option<SharedProvider>,
        own_pool: Option<CredentialPool>,
    ) -> Result<Target, Error> {
        let provider = match own_provider {
            Some(own) => own,
            None => provider(&ProviderOptions {
                provider: self.provider.clone(),
                base_url: self.base_url,
                program: self.program,
            })?,
        };
        let pool = match own_pool {
            Some(own) => own,
            None => {
                let sources =
                    CredentialSource::or_usual(self.sources, &self.credentials, &self.provider);
                let credentials = CredentialSource::load_all(self.credentials, &sources)?;
                CredentialPool::with_options(credentials, self.pool)?
            }
        };
        Ok(Target {
            provider,
            pool,
            model: self.model,
        })
    }
}
