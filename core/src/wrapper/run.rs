//! Rotation around client code of the user's own.

use std::fmt;
use std::future::Future;

use super::ask::Ask;
use super::rotation::Turn;
use super::{Wrapper, timed_out};
use crate::error::Error;
use crate::provider::Fault;

/// Why a [`Wrapper::run`] gave nothing.
#[derive(Debug)]
pub enum RunError<E> {
    /// The user's code failed, and another try would not help or was not left.
    Theirs(E),
    /// There was no credential to try with, or no time.
    Ours(Error),
}

impl<E: fmt::Display> fmt::Display for RunError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Theirs(error) => error.fmt(f),
            Self::Ours(error) => error.fmt(f),
        }
    }
}

impl<E: std::error::Error + 'static> std::error::Error for RunError<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Theirs(error) => Some(error),
            Self::Ours(error) => Some(error),
        }
    }
}

impl Wrapper {
    /// Calls `work` with a credential, and again with the next one while it fails
    /// in a way that another credential or another try can mend.
    ///
    /// `classify` tells what an error of `work` means; `None` is an error that is
    /// none of the pool's business and comes back at once. Each call of `work` is
    /// given up after the attempt timeout.
    ///
    /// # Errors
    /// [`RunError::Theirs`] with the last error of `work`; [`RunError::Ours`] when no
    /// credential could be used or the deadline passed.
    pub async fn run<T, E, F, Fut>(
        &self,
        ask: Ask,
        classify: impl Fn(&E) -> Option<Fault>,
        mut work: F,
    ) -> Result<T, RunError<E>>
    where
        F: FnMut(Turn) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let mut rotation = self.rotation(ask).map_err(RunError::Ours)?;
        loop {
            let turn = rotation.next().await.map_err(RunError::Ours)?;
            let patience = turn.patience;
            match tokio::time::timeout(patience.attempt, work(turn)).await {
                Ok(Ok(value)) => {
                    rotation.succeed(None).await;
                    return Ok(value);
                }
                Ok(Err(error)) => {
                    let goes_on = match classify(&error) {
                        Some(fault) => rotation.fail(fault, None).await,
                        None => false,
                    };
                    if !goes_on {
                        return Err(RunError::Theirs(error));
                    }
                }
                Err(_) => {
                    rotation.fail(timed_out(patience), None).await;
                }
            }
        }
    }
}
