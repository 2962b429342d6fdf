//! A clock that stands still until a test moves it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::{Clock, EpochMillis, millis};

/// A clock set by hand. Clones show the same time.
#[derive(Debug, Clone)]
pub struct ManualClock(Arc<Hands>);

#[derive(Debug)]
struct Hands {
    now: AtomicU64,
    jumped: AtomicU64,
}

impl ManualClock {
    /// A clock that shows `now`.
    #[must_use]
    pub fn new(now: EpochMillis) -> Self {
        Self(Arc::new(Hands {
            now: AtomicU64::new(now),
            jumped: AtomicU64::new(0),
        }))
    }

    /// Moves it forward.
    pub fn advance(&self, by: Duration) {
        let by = millis(by);
        let forward = |now: u64| Some(now.saturating_add(by));
        let _ = self
            .0
            .now
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, forward);
    }

    /// Sets it. An earlier time than it shows is ignored.
    pub fn set(&self, now: EpochMillis) {
        self.0.now.fetch_max(now, Ordering::AcqRel);
    }

    /// Moves it forward as a machine's clock is that is set, or that wakes from sleep: what
    /// was given a term before has as much of it as before.
    pub fn jump(&self, by: Duration) {
        self.0.jumped.fetch_add(millis(by), Ordering::AcqRel);
        self.advance(by);
    }
}

impl Default for ManualClock {
    /// The first of January 2026, UTC.
    fn default() -> Self {
        Self::new(1_767_225_600_000)
    }
}

impl Clock for ManualClock {
    fn now(&self) -> EpochMillis {
        self.0.now.load(Ordering::Acquire)
    }

    fn jumped(&self) -> u64 {
        self.0.jumped.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stands_still_until_moved_and_never_goes_back() {
        let clock = ManualClock::new(1_000);
        let other = clock.clone();
        assert_eq!(clock.now(), 1_000);
        other.advance(Duration::from_millis(5));
        assert_eq!(clock.now(), 1_005);
        clock.set(900);
        assert_eq!(clock.now(), 1_005);
        clock.set(2_000);
        clock.advance(Duration::MAX);
        assert_eq!(other.now(), u64::MAX);
    }
}
