//! Who watches a worker hears of each attempt that ended.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::job::{Failure, Lease};

/// What came of an attempt, once it is recorded or never will be.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AttemptEnd<'a> {
    /// Whose it was.
    pub lease: &'a Lease,
    /// Which attempt of its job it was, from 1.
    pub attempt: u32,
    /// The name under which a [`WorkerReport`](super::WorkerReport) counts it.
    pub outcome: &'static str,
    /// Why it failed, if it did.
    pub failure: Option<&'a Failure>,
    /// From its begin until it was recorded.
    pub took: Duration,
}

#[derive(Clone)]
pub(super) struct Watch(Arc<dyn Fn(&AttemptEnd<'_>) + Send + Sync>);

impl Watch {
    pub(super) fn new(watch: impl Fn(&AttemptEnd<'_>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(watch))
    }

    pub(super) fn tell(&self, end: &AttemptEnd<'_>) {
        (self.0)(end);
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watch")
    }
}
