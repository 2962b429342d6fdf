//! How a wrapper is put together in Rust.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::cache::{CacheOptions, ResponseCache};
use super::decide::Policy;
use super::retry_budget::RetryBudget;
use super::{Inner, Target, Wrapper};
use crate::clock::millis;
use crate::credential::CredentialPool;
use crate::error::Error;
use crate::provider::{Patience, Provider};

/// The longest prompt by default, in bytes.
pub const PROMPT_LIMIT: usize = 8 * 1024 * 1024;

/// The overall deadline of a call by default.
pub const DEFAULT_DEADLINE: Duration = Duration::from_secs(300);

/// The tokens of the retry budget by default: a hundred retries.
pub(super) const RETRY_BUDGET: u32 = 500;

/// Puts a [`Wrapper`] together.
#[derive(Debug, Clone)]
pub struct WrapperBuilder {
    targets: Vec<Target>,
    policy: Policy,
    patience: Patience,
    deadline: Duration,
    prompt_limit: usize,
    retry_budget: u32,
    cache: Option<CacheOptions>,
}

impl Default for WrapperBuilder {
    fn default() -> Self {
        Self {
            targets: Vec::new(),
            policy: Policy::default(),
            patience: Patience::default(),
            deadline: DEFAULT_DEADLINE,
            prompt_limit: PROMPT_LIMIT,
            retry_budget: RETRY_BUDGET,
            cache: None,
        }
    }
}

impl WrapperBuilder {
    /// Adds whom to ask. The first is asked first, the others are the fallback chain.
    #[must_use]
    pub fn target(mut self, provider: impl Provider + 'static, pool: CredentialPool) -> Self {
        self.targets.push(Target {
            provider: Arc::new(provider),
            pool,
            model: None,
        });
        self
    }

    /// Adds a target that is put together already.
    #[must_use]
    pub fn push_target(mut self, target: Target) -> Self {
        self.targets.push(target);
        self
    }

    /// The model that the last target added is asked for.
    #[must_use]
    pub fn model(mut self, model: impl Into<String>) -> Self {
        if let Some(target) = self.targets.last_mut() {
            target.model = Some(model.into());
        }
        self
    }

    /// Retries after the first attempt. Default: 5.
    #[must_use]
    pub fn max_retries(mut self, retries: u32) -> Self {
        self.policy.max_retries = retries;
        self
    }

    /// All the numbers that the rules go by.
    #[must_use]
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// How long a call may take, waiting and retries included. Default: [`DEFAULT_DEADLINE`].
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// How long one attempt may take. Default: 120 s, and 60 s of silence in a stream.
    #[must_use]
    pub fn patience(mut self, patience: Patience) -> Self {
        self.patience = patience;
        self
    }

    /// Waits, within the deadline, when all credentials rest.
    #[must_use]
    pub fn wait_when_cooling(mut self, wait: bool) -> Self {
        self.policy.wait_when_cooling = wait;
        self
    }

    /// The longest prompt in bytes. Default: [`PROMPT_LIMIT`].
    #[must_use]
    pub fn prompt_limit(mut self, bytes: usize) -> Self {
        self.prompt_limit = bytes;
        self
    }

    /// The tokens of the retry budget (a retry costs 5, after a timeout 10). Default: 500.
    #[must_use]
    pub fn retry_budget(mut self, tokens: u32) -> Self {
        self.retry_budget = tokens;
        self
    }

    /// Keeps answers for identical requests. Default: no.
    #[must_use]
    pub fn cache(mut self, options: CacheOptions) -> Self {
        self.cache = Some(options);
        self
    }

    /// The wrapper.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] without a target, or for a time of zero.
    pub fn build(self) -> Result<Wrapper, Error> {
        let refused = |problem: &str| {
            Err(Error::InvalidConfig {
                place: "the wrapper".to_owned(),
                problem: problem.to_owned(),
            })
        };
        if self.targets.is_empty() {
            return refused("no provider: add at least one target");
        }
        if self.deadline.is_zero()
            || self.patience.attempt.is_zero()
            || self.patience.idle.is_zero()
        {
            return refused("a deadline or timeout is zero: give it in milliseconds, at least 1");
        }
        Ok(Wrapper(Arc::new(Inner {
            targets: self.targets,
            policy: self.policy,
            patience: self.patience,
            deadline_ms: millis(self.deadline),
            prompt_limit: self.prompt_limit,
            budget: RetryBudget::new(self.retry_budget),
            cache: self.cache.map(ResponseCache::new),
            closed: AtomicBool::new(false),
        })))
    }
}
