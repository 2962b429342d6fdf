//! The wrapper: one prompt in, one answer out, whichever credential gives it.
//!
//! It joins providers and pools by the rules of [`decide`]. It knows no wire
//! format, and its hosts' own client code can take the provider's place
//! ([`Wrapper::run`]).

mod ask;
mod builder;
mod cache;
pub mod decide;
mod options;
mod outcome;
mod report;
mod retry_budget;
mod rotation;
mod run;
mod stream;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub use ask::{Ask, CallLimits};
pub use builder::{DEFAULT_DEADLINE, PROMPT_LIMIT, WrapperBuilder};
pub use cache::CacheOptions;
pub use options::{TargetOptions, WrapperOptions};
pub use outcome::{Attempt, Outcome};
pub use report::{NamedFault, Report};
pub use rotation::{Rotation, Turn};
pub use run::RunError;
pub use stream::Answer;

use self::cache::{Cached, ResponseCache};
use self::decide::Policy;
use self::retry_budget::RetryBudget;
use crate::clock::EpochMillis;
use crate::credential::CredentialPool;
use crate::error::Error;
use crate::provider::{Fault, FaultReason, Patience, Request, Response, SharedProvider};

/// Calls a model through a pool of credentials. Cheap to clone; clones share everything.
#[derive(Debug, Clone)]
pub struct Wrapper(Arc<Inner>);

/// One place in a fallback chain: whom to ask, with which credentials, for which model.
#[derive(Debug, Clone)]
pub struct Target {
    /// Who is asked.
    pub provider: SharedProvider,
    /// With what.
    pub pool: CredentialPool,
    /// For which model, unless the call (for the first target) or credential says.
    pub model: Option<String>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    targets: Vec<Target>,
    policy: Policy,
    patience: Patience,
    deadline_ms: u64,
    prompt_limit: usize,
    budget: RetryBudget,
    cache: Option<ResponseCache>,
    closed: AtomicBool,
}

impl Wrapper {
    /// Starts to set one up.
    #[must_use]
    pub fn builder() -> WrapperBuilder {
        WrapperBuilder::default()
    }

    /// Asks with one user message.
    pub async fn call(&self, prompt: impl Into<String>) -> Outcome {
        self.complete(Request::prompt(prompt)).await
    }

    /// Asks with one user message; the answer's text, or `message` when there is none.
    pub async fn call_with_fallback(
        &self,
        prompt: impl Into<String>,
        message: impl Into<String>,
    ) -> String {
        match self.call(prompt).await.result {
            Ok(response) => response.text,
            Err(_) => message.into(),
        }
    }

    /// Asks with a whole request.
    pub async fn complete(&self, request: Request) -> Outcome {
        if let Err(error) = self.check(&request) {
            return Outcome::refused(error);
        }
        let cache = self.0.cache.as_ref();
        match cache.and_then(|cache| Some((cache, ResponseCache::key(&request)?))) {
            Some((cache, key)) => self.complete_cached(cache, key, request).await,
            None => self.perform(request, CallLimits::default()).await,
        }
    }

    /// Asks with a whole request and limits of this call's own, within the wrapper's.
    /// Past the cache: a call that waits for another's answer would share its limits.
    pub async fn complete_within(
        &self,
        request: Request,
        limits: impl Into<CallLimits>,
    ) -> Outcome {
        match self.check(&request) {
            Ok(()) => self.perform(request, limits.into()).await,
            Err(error) => Outcome::refused(error),
        }
    }

    /// Asks with a whole request and gives the answer as it comes.
    ///
    /// Nothing is sent until the answer is first polled; dropping it stops the
    /// work upstream. The deadline covers the time to the first piece.
    #[must_use]
    pub fn stream(&self, request: Request) -> Answer {
        match self.check(&request) {
            Ok(()) => stream::open(Arc::clone(&self.0), request),
            Err(error) => stream::refused(error),
        }
    }

    /// A call's way through the pool, for a loop around client code of one's own.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub fn rotation(&self, ask: Ask) -> Result<Rotation, Error> {
        self.open()?;
        Ok(Rotation::new(Arc::clone(&self.0), ask))
    }

    /// The fallback chain; the first target is the one usually asked.
    #[must_use]
    pub fn targets(&self) -> &[Target] {
        &self.0.targets
    }

    /// The pool of the first target.
    #[must_use]
    pub fn pool(&self) -> &CredentialPool {
        // The builder refuses an empty chain.
        &self.0.targets[0].pool
    }

    /// Refuses further calls; those in flight end at their next step.
    pub fn close(&self) {
        self.0.closed.store(true, Ordering::Release);
    }

    fn check(&self, request: &Request) -> Result<(), Error> {
        self.open()?;
        if request
            .messages
            .iter()
            .all(|message| message.content.is_blank())
        {
            return Err(Error::EmptyPrompt);
        }
        let bytes = request.text_bytes();
        if bytes > self.0.prompt_limit {
            return Err(Error::PromptTooLarge {
                bytes,
                limit: self.0.prompt_limit,
            });
        }
        Ok(())
    }

    fn open(&self) -> Result<(), Error> {
        if self.0.is_closed() {
            Err(Error::Closed)
        } else {
            Ok(())
        }
    }

    async fn complete_cached(
        &self,
        cache: &ResponseCache,
        key: [u8; 32],
        request: Request,
    ) -> Outcome {
        let started = self.0.now();
        let result = match cache
            .get_or(key, self.perform(request, CallLimits::default()))
            .await
        {
            Cached::Own(outcome) => return *outcome,
            Cached::Shared(response) => Ok(Response::clone(&response)),
            Cached::Failed(outcome) => outcome.result.clone(),
        };
        Outcome {
            result,
            attempts: 0,
            trail: Vec::new(),
            duration: Duration::from_millis(self.0.now().saturating_sub(started)),
            cached: true,
        }
    }

    async fn perform(&self, mut request: Request, limits: CallLimits) -> Outcome {
        let mut rotation = Rotation::new(Arc::clone(&self.0), Ask::of(&request)).within(limits);
        loop {
            let turn = match rotation.next().await {
                Ok(turn) => turn,
                Err(error) => return rotation.outcome(Err(error)),
            };
            let Some(target) = self.0.targets.get(turn.target) else {
                return rotation.outcome(Err(Error::Closed));
            };
            request.model.clone_from(&turn.model);
            let sending = target
                .provider
                .send(&request, &turn.credential, turn.patience);
            match tokio::time::timeout(turn.patience.attempt, sending).await {
                Ok(Ok(response)) => {
                    rotation
                        .succeed(response.usage.map(|usage| usage.total()))
                        .await;
                    return rotation.outcome(Ok(response));
                }
                Ok(Err(fault)) => rotation.fail(fault, None).await,
                Err(_) => rotation.fail(timed_out(turn.patience), None).await,
            };
        }
    }
}

impl Inner {
    fn now(&self) -> EpochMillis {
        self.targets[0].pool.now()
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }
}

fn timed_out(patience: Patience) -> Fault {
    let limit = patience.attempt.as_millis();
    Fault::new(FaultReason::Timeout, format!("no answer within {limit} ms"))
}

#[cfg(test)]
mod tests;
