//! A token bucket that stops retries from multiplying an outage.
//!
//! The numbers are those of the AWS SDKs: 500 tokens, 5 a retry, 10 after a
//! timeout, what a retry cost comes back when it succeeds, 1 for any other success.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::provider::FaultReason;

const RETRY: u32 = 5;
const TIMEOUT: u32 = 10;
const SUCCESS: u32 = 1;

/// Tokens that retries at a failing endpoint spend and successes earn.
#[derive(Debug)]
pub(crate) struct RetryBudget {
    tokens: AtomicU32,
    capacity: u32,
}

impl RetryBudget {
    pub(crate) fn new(capacity: u32) -> Self {
        Self {
            tokens: AtomicU32::new(capacity),
            capacity,
        }
    }

    pub(crate) fn cost(reason: FaultReason) -> u32 {
        match reason {
            FaultReason::Timeout | FaultReason::Stalled => TIMEOUT,
            _ => RETRY,
        }
    }

    /// Takes the tokens, or takes none.
    pub(crate) fn spend(&self, cost: u32) -> bool {
        let taken = self
            .tokens
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| {
                left.checked_sub(cost)
            });
        taken.is_ok()
    }

    /// Gives tokens back: what the call's retries cost, or a little for any success.
    pub(crate) fn earn(&self, spent: u32) {
        if self.tokens.load(Ordering::Relaxed) >= self.capacity {
            return;
        }
        let gain = spent.max(SUCCESS);
        let _ = self
            .tokens
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| {
                Some(left.saturating_add(gain).min(self.capacity))
            });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_retries_empty_it_and_successes_fill_it_again() {
        let budget = RetryBudget::new(500);
        let cost = RetryBudget::cost(FaultReason::ServerError);
        assert_eq!((0..200).filter(|_| budget.spend(cost)).count(), 100);
        budget.earn(cost);
        assert!(budget.spend(cost));
        for _ in 0..4 {
            budget.earn(0);
        }
        assert!(!budget.spend(cost));
    }

    #[test]
    fn it_never_holds_more_than_its_capacity() {
        let budget = RetryBudget::new(10);
        budget.earn(1_000);
        assert_eq!((0..10).filter(|_| budget.spend(5)).count(), 2);
    }
}
