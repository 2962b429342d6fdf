//! Whether a handler is so quick that a task of its own would cost more than its work.
//!
//! A handler starts in a task of its own. After some quick starts in a row it is begun
//! by the lane itself, and moved to a task only if it has to wait. One slow start, and
//! it must earn that again: a handler that blocks holds up its lane at most once.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Quick starts in a row that show a handler to be quick.
const PROOF: u32 = 16;
/// The longest quick start.
const QUICK: Duration = Duration::from_micros(50);

#[derive(Debug, Default)]
pub(super) struct Pace(AtomicU32);

impl Pace {
    pub(super) fn is_quick(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= PROOF
    }

    /// A start took so long.
    pub(super) fn learn(&self, took: Duration) {
        if took > QUICK {
            self.0.store(0, Ordering::Relaxed);
        } else if !self.is_quick() {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quickness_is_earned_by_many_and_lost_by_one() {
        let pace = Pace::default();
        for _ in 1..PROOF {
            pace.learn(QUICK);
        }
        assert!(!pace.is_quick());
        pace.learn(QUICK);
        assert!(pace.is_quick());
        pace.learn(QUICK * 2);
        assert!(!pace.is_quick());
    }
}
