//! How long to rest before a backend in trouble is asked again.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

/// 100 ms, 200 ms… up to 5 s, up to half of each left to chance.
#[derive(Debug, Default)]
pub(super) struct Backoff(u32);

impl Backoff {
    pub(super) fn next(&mut self) -> Duration {
        let whole = FIRST.saturating_mul(1 << self.0.min(10)).min(LONGEST);
        self.0 = self.0.saturating_add(1);
        whole.mul_f64(1.0 - fastrand::f64() / 2.0)
    }

    /// It answers again.
    pub(super) fn reset(&mut self) {
        self.0 = 0;
    }

    /// How often in a row it was asked in vain.
    pub(super) fn failures(&self) -> u32 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rests_grow_to_a_limit_and_begin_anew_after_an_answer() {
        let mut backoff = Backoff::default();
        let first = backoff.next();
        assert!((FIRST / 2..=FIRST).contains(&first), "{first:?}");
        for _ in 0..100 {
            assert!(backoff.next() <= LONGEST);
        }
        assert!(backoff.next() >= LONGEST / 2);
        backoff.reset();
        assert!(backoff.next() <= FIRST);
    }
}
