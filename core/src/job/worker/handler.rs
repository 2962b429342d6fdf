//! What a worker does with a job: the user's part.

use std::collections::HashMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::Context;
use super::pace::Pace;
use crate::job::{Failure, JobError, Payload, failure_kind};

/// Does one kind of job. An async function or closure that takes a [`Context`] is one.
///
/// A handler that computes or blocks belongs in [`blocking`]: elsewhere it keeps a
/// thread of the runtime from other tasks.
#[async_trait]
pub trait Handler: Send + Sync {
    /// Makes one attempt.
    ///
    /// # Errors
    /// Why there is no result, and what is to follow.
    async fn run(&self, job: Context) -> Result<Payload, HandlerError>;
}

/// Why an attempt has no result, and what is to follow.
///
/// It is no [`std::error::Error`] itself, so that `?` makes one of any that is.
#[derive(Debug, Clone, PartialEq)]
pub enum HandlerError {
    /// It failed: another attempt may follow.
    Failed(Failure),
    /// It failed, and would fail again: no other attempt.
    Unrecoverable(Failure),
    /// Not now but after so long, at no cost.
    Snooze(Duration),
    /// It was called off, or calls itself off.
    Cancelled,
}

impl From<Failure> for HandlerError {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl<E: std::error::Error> From<E> for HandlerError {
    fn from(error: E) -> Self {
        Self::Failed(Failure::new(failure_kind::ERROR, error.to_string()))
    }
}

#[async_trait]
impl<F, Fut> Handler for F
where
    F: Fn(Context) -> Fut + Send + Sync,
    Fut: Future<Output = Result<Payload, HandlerError>> + Send,
{
    async fn run(&self, job: Context) -> Result<Payload, HandlerError> {
        self(job).await
    }
}

#[async_trait]
impl Handler for Arc<dyn Handler> {
    async fn run(&self, job: Context) -> Result<Payload, HandlerError> {
        (**self).run(job).await
    }
}

/// A handler that may block its thread: it gets one of its own.
///
/// It cannot be interrupted: let it look at [`Context::is_cancelled`] now and then. One
/// that does not keeps its thread and its slot, though no longer its job, behind its
/// timeout.
pub fn blocking<F>(work: F) -> Blocking<F>
where
    F: Fn(Context) -> Result<Payload, HandlerError> + Send + Sync + 'static,
{
    Blocking(Arc::new(work))
}

/// How long a job is put off when there is no thread for it.
const NO_THREAD: Duration = Duration::from_secs(1);

/// A handler made by [`blocking`].
#[derive(Debug)]
pub struct Blocking<F>(Arc<F>);

#[async_trait]
impl<F> Handler for Blocking<F>
where
    F: Fn(Context) -> Result<Payload, HandlerError> + Send + Sync + 'static,
{
    async fn run(&self, job: Context) -> Result<Payload, HandlerError> {
        let (work, runtime) = (Arc::clone(&self.0), Handle::current());
        let (tell, told) = oneshot::channel();
        let hold = job.hold_slot();
        let run = move || {
            let _entered = runtime.enter();
            let ended = std::panic::catch_unwind(AssertUnwindSafe(|| work(job)));
            // Its slot is free before its end is known.
            drop(hold);
            let _ = tell.send(ended);
        };
        // Not of the runtime's pool: jobs that hang would use it up for all others.
        let thread = std::thread::Builder::new().name("job".to_owned());
        if let Err(error) = thread.spawn(run) {
            tracing::warn!(%error, "no thread for a job: it is put off for a second");
            return Err(HandlerError::Snooze(NO_THREAD));
        }
        match told.await {
            Ok(Ok(ended)) => ended,
            Ok(Err(panic)) => std::panic::resume_unwind(panic),
            Err(_) => Err(HandlerError::Cancelled),
        }
    }
}

/// Which handler does which kind of job.
#[derive(Default)]
pub struct Handlers {
    of: HashMap<Box<str>, Chosen>,
    otherwise: Option<Chosen>,
}

/// A handler with what has been learnt of it.
#[derive(Clone)]
pub(crate) struct Chosen {
    pub(super) handler: Arc<dyn Handler>,
    pub(super) pace: Arc<Pace>,
}

impl Handlers {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// With a handler for that kind of job. A second one takes the first one's place.
    #[must_use]
    pub fn on(mut self, kind: &str, handler: impl Handler + 'static) -> Self {
        self.of.insert(kind.into(), Chosen::new(handler));
        self
    }

    /// With a handler for all other kinds.
    #[must_use]
    pub fn otherwise(mut self, handler: impl Handler + 'static) -> Self {
        self.otherwise = Some(Chosen::new(handler));
        self
    }

    /// With a handler for that kind of job, unless there is one.
    #[cfg(feature = "testing")]
    pub(super) fn or_on(mut self, kind: &str, handler: impl Handler + 'static) -> Self {
        let chosen = || Chosen::new(handler);
        self.of.entry(kind.into()).or_insert_with(chosen);
        self
    }

    /// With each of them in another one's hands.
    #[cfg(feature = "cli")]
    pub(crate) fn each<H: Handler + 'static>(self, wrap: impl Fn(Arc<dyn Handler>) -> H) -> Self {
        let wrapped = |chosen: Chosen| Chosen::new(wrap(chosen.handler));
        Self {
            of: self
                .of
                .into_iter()
                .map(|(kind, chosen)| (kind, wrapped(chosen)))
                .collect(),
            otherwise: self.otherwise.map(wrapped),
        }
    }

    pub(super) fn of(&self, kind: &str) -> Option<&Chosen> {
        self.of.get(kind).or(self.otherwise.as_ref())
    }

    pub(super) fn check(&self) -> Result<(), JobError> {
        if self.of.is_empty() && self.otherwise.is_none() {
            return Err(JobError::invalid("handlers", "there are none: give one"));
        }
        Ok(())
    }
}

impl std::fmt::Debug for Handlers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.of.keys()).finish()
    }
}

impl Chosen {
    fn new(handler: impl Handler + 'static) -> Self {
        Self {
            handler: Arc::new(handler),
            pace: Arc::default(),
        }
    }
}
