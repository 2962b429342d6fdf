//! Time, apart from everything that decides by it.
//!
//! Rules take a [`Clock`] so that tests drive time by hand. Only this file asks
//! the operating system what time it is.

use std::fmt;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Milliseconds since the Unix epoch.
pub type EpochMillis = u64;

/// The longest term that jobs, queues and claims have: a hundred years, in milliseconds.
pub const TERM_LIMIT_MS: u64 = 100 * 366 * 24 * 60 * 60 * 1000;
/// The latest time that jobs have: the end of the year 9999, in epoch milliseconds.
pub const TIME_LIMIT: EpochMillis = 253_402_300_799_999;

/// Tells the time.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Milliseconds since the Unix epoch. Goes back only where the machine's clock is set back.
    fn now(&self) -> EpochMillis;

    /// How far it has jumped ahead within the last minutes, in milliseconds: whoever was given
    /// a term before that has so much more of it.
    fn jumped(&self) -> u64 {
        0
    }
}

/// The clock of the machine: monotonic time, held to the wall clock.
///
/// Small corrections of the wall clock are not followed, so time goes on evenly. Where it is
/// set by more than a second, or the machine has slept, all processes follow within a moment,
/// and agree with those that start later.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> EpochMillis {
        let (started, course) = &*MACHINE;
        let elapsed = millis(started.elapsed());
        if course.is_to_check(elapsed) {
            let wall = wall_now();
            // A thread that was held up between the two readings knows nothing.
            if millis(started.elapsed()) - elapsed < CHECKED_EVERY {
                course.check(elapsed, wall);
            }
        }
        course.at(elapsed)
    }

    fn jumped(&self) -> u64 {
        let (started, course) = &*MACHINE;
        course.jumped(|| millis(started.elapsed()))
    }
}

static MACHINE: LazyLock<(Instant, Course)> =
    LazyLock::new(|| (Instant::now(), Course::from(wall_now())));

/// How often the wall clock is looked at, in milliseconds.
const CHECKED_EVERY: u64 = 100;
/// What the wall clock may be away before it is followed, in milliseconds.
const STEP: u64 = 1_000;
/// How long a jump is told of: who is alive has renewed all terms by then.
const REMEMBERED: u64 = 600_000;

/// How monotonic time is held to the wall clock. Both are handed in, in milliseconds.
#[derive(Debug)]
struct Course {
    /// What is added to monotonic time.
    offset: AtomicU64,
    checked_at: AtomicU64,
    jumped_at: AtomicU64,
    jumped_by: AtomicU64,
}

impl Course {
    fn from(wall: u64) -> Self {
        Self {
            offset: AtomicU64::new(wall),
            checked_at: AtomicU64::new(0),
            jumped_at: AtomicU64::new(0),
            jumped_by: AtomicU64::new(0),
        }
    }

    fn at(&self, elapsed: u64) -> EpochMillis {
        self.offset.load(Ordering::Acquire).saturating_add(elapsed)
    }

    /// Whether it is time to look at the wall clock: of many threads, for one.
    fn is_to_check(&self, elapsed: u64) -> bool {
        let before = self.checked_at.load(Ordering::Relaxed);
        elapsed >= before.saturating_add(CHECKED_EVERY)
            && self
                .checked_at
                .compare_exchange(before, elapsed, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    fn check(&self, elapsed: u64, wall: u64) {
        let shown = self.at(elapsed);
        if wall.abs_diff(shown) <= STEP {
            return;
        }
        if wall > shown {
            let before = self.jumped(|| elapsed);
            self.jumped_at.store(elapsed, Ordering::Release);
            self.jumped_by
                .store(before.saturating_add(wall - shown), Ordering::Release);
        }
        let offset = wall.saturating_sub(elapsed);
        self.offset.store(offset, Ordering::Release);
    }

    fn jumped(&self, elapsed: impl FnOnce() -> u64) -> u64 {
        let by = self.jumped_by.load(Ordering::Acquire);
        let over =
            by > 0 && elapsed().saturating_sub(self.jumped_at.load(Ordering::Acquire)) > REMEMBERED;
        if over {
            self.jumped_by.store(0, Ordering::Release);
        }
        if over { 0 } else { by }
    }
}

/// A duration in whole milliseconds, saturating.
#[must_use]
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A term as it is kept, in whole milliseconds: at most [`TERM_LIMIT_MS`], so that no time
/// it leads to is out of any backend's range.
pub(crate) fn term(duration: Duration) -> u64 {
    millis(duration).min(TERM_LIMIT_MS)
}

fn wall_now() -> EpochMillis {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WALL: u64 = 1_800_000_000_000;
    const HOUR: u64 = 3_600_000;

    #[test]
    fn small_corrections_are_not_followed_and_steps_are() {
        let course = Course::from(WALL);
        course.check(10_000, WALL + 10_900);
        assert_eq!(
            (course.at(10_000), course.jumped(|| 10_000)),
            (WALL + 10_000, 0)
        );
        course.check(20_000, WALL + 19_100);
        assert_eq!(course.at(20_000), WALL + 20_000);
        course.check(30_000, WALL + 30_000 + HOUR);
        assert_eq!(course.at(30_001), WALL + 30_001 + HOUR);
        course.check(40_000, WALL + 40_000);
        assert_eq!(course.at(40_000), WALL + 40_000);
    }

    #[test]
    fn jumps_ahead_are_told_of_for_a_while() {
        let course = Course::from(WALL);
        course.check(1_000, WALL + 1_000 + HOUR);
        course.check(2_000, WALL + 7_000 + HOUR);
        assert_eq!(course.jumped(|| 2_000), HOUR + 5_000);
        // Back is no jump ahead.
        course.check(3_000, WALL + 3_000);
        assert_eq!(course.jumped(|| 2_000 + REMEMBERED), HOUR + 5_000);
        assert_eq!(course.jumped(|| 2_001 + REMEMBERED), 0);
        assert_eq!(course.jumped(|| 2_000), 0);
    }

    #[test]
    fn one_of_many_looks_at_the_wall_clock_now_and_then() {
        let course = Course::from(WALL);
        assert!(!course.is_to_check(CHECKED_EVERY - 1));
        assert!(course.is_to_check(CHECKED_EVERY));
        assert!(!course.is_to_check(CHECKED_EVERY));
        assert!(course.is_to_check(2 * CHECKED_EVERY));
    }

    #[test]
    fn the_machines_clock_shows_its_time() {
        let before = wall_now();
        let now = SystemClock.now();
        assert!(now.abs_diff(before) <= 2 * STEP, "{now} {before}");
    }
}
