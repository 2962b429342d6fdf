//! Time, apart from everything that decides by it.
//!
//! Rules take a [`Clock`] so that tests drive time by hand. Only this file asks
//! the operating system what time it is.

use std::fmt;
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Milliseconds since the Unix epoch.
pub type EpochMillis = u64;

/// Tells the time.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Milliseconds since the Unix epoch. Never goes backwards within a process.
    fn now(&self) -> EpochMillis;
}

/// The clock of the machine: the wall clock read once, then monotonic time.
///
/// A wall clock that is set back while the process runs therefore does not
/// bring an expired cooldown back.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> EpochMillis {
        static ANCHOR: OnceLock<(Instant, EpochMillis)> = OnceLock::new();
        let (started, epoch) = ANCHOR.get_or_init(|| (Instant::now(), wall_now()));
        epoch.saturating_add(millis(started.elapsed()))
    }
}

/// A duration in whole milliseconds, saturating.
#[must_use]
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn wall_now() -> EpochMillis {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, millis)
}
