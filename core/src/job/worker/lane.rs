//! Queues that share a number of slots.

use std::fmt;
use std::sync::Arc;

use crate::job::{JobError, check_queue};

/// The most jobs that a lane has at once.
pub const CONCURRENCY_LIMIT: usize = 65_536;
/// The most queues of a lane.
const QUEUE_LIMIT: usize = 100;

/// Queues that share a number of slots.
///
/// On a command line `text_processing:2`, and `payments,webhooks:1`: with a free slot,
/// a job of `webhooks` is taken only if there is none of `payments`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lane {
    pub(super) queues: Vec<Arc<str>>,
    pub(super) concurrency: usize,
    pub(super) order: Order,
}

/// Which queue of a lane is asked first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Order {
    /// Always the first that may have jobs.
    Strict,
    /// Each as often as its weight says.
    Weighted(Vec<u32>),
}

impl Lane {
    /// # Errors
    /// [`JobError::Invalid`] for names that no queues have, and for no slots or too many.
    pub fn new(queues: &[&str], concurrency: usize) -> Result<Self, JobError> {
        if queues.is_empty() || queues.len() > QUEUE_LIMIT {
            return Err(JobError::invalid("lane", "it has 1 to 100 queues"));
        }
        for (nth, queue) in queues.iter().enumerate() {
            check_queue(queue)?;
            if queue.contains(',') {
                return Err(JobError::invalid("lane", "a comma stands between queues"));
            }
            if queues[..nth].contains(queue) {
                let problem = format!("`{queue}` is in it twice");
                return Err(JobError::invalid("lane", problem));
            }
        }
        check_concurrency(concurrency)?;
        Ok(Self {
            queues: queues.iter().map(|queue| Arc::from(*queue)).collect(),
            concurrency,
            order: Order::Strict,
        })
    }

    /// Reads the form of a command line: `text_processing:2`, `payments,webhooks:1`.
    /// Without a number there is one slot.
    ///
    /// # Errors
    /// As [`Lane::new`].
    pub fn parse(text: &str) -> Result<Self, JobError> {
        // A queue's name may have colons: the last one is before the number, if one follows.
        let number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let (names, concurrency) = match text.rsplit_once(':') {
            Some((names, digits)) if number(digits) => {
                // Too many digits are too many slots.
                (names, digits.parse().unwrap_or(usize::MAX))
            }
            _ => (text, 1),
        };
        let queues: Vec<&str> = names.split(',').map(str::trim).collect();
        Self::new(&queues, concurrency)
    }

    /// Asks queues in turn, each as often as its weight says, in place of in strict order.
    ///
    /// # Errors
    /// [`JobError::Invalid`] unless each queue has a weight of 1 or more.
    pub fn weighted(mut self, weights: &[u32]) -> Result<Self, JobError> {
        if weights.len() != self.queues.len() || weights.contains(&0) {
            let problem = "each queue has one, of 1 or more";
            return Err(JobError::invalid("weights", problem));
        }
        self.order = Order::Weighted(weights.to_vec());
        Ok(self)
    }

    /// Its queues, with commas between: how a lane is called.
    #[must_use]
    pub fn name(&self) -> String {
        self.queues.join(",")
    }

    pub(super) fn is_strict(&self) -> bool {
        self.order == Order::Strict
    }

    /// Of the queues that may have jobs, the one to ask next.
    pub(super) fn pick(&self, may_have: impl Fn(usize) -> bool) -> Option<usize> {
        let mut candidates = (0..self.queues.len()).filter(|nth| may_have(*nth));
        match &self.order {
            Order::Strict => candidates.next(),
            Order::Weighted(weights) => {
                let candidates: Vec<usize> = candidates.collect();
                let all: u64 = candidates.iter().map(|nth| u64::from(weights[*nth])).sum();
                let mut drawn = fastrand::u64(..all.max(1));
                candidates.into_iter().find(|nth| {
                    let weight = u64::from(weights[*nth]);
                    let hit = drawn < weight;
                    drawn = drawn.saturating_sub(weight);
                    hit
                })
            }
        }
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name(), self.concurrency)
    }
}

pub(super) fn check_concurrency(concurrency: usize) -> Result<(), JobError> {
    if (1..=CONCURRENCY_LIMIT).contains(&concurrency) {
        return Ok(());
    }
    Err(JobError::invalid("concurrency", "it is 1 to 65,536"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_of_the_command_line_is_read() {
        let rows = [
            ("text_processing:2", "text_processing:2"),
            ("payments,webhooks:1", "payments,webhooks:1"),
            ("payments, webhooks:1", "payments,webhooks:1"),
            ("mail", "mail:1"),
            ("eu:mail", "eu:mail:1"),
            ("eu:mail:65536", "eu:mail:65536"),
        ];
        for (text, lane) in rows {
            assert_eq!(Lane::parse(text).unwrap().to_string(), lane);
        }
        for text in [
            "",
            ":2",
            "a:0",
            "a,a:1",
            "a,:1",
            "a:65537",
            "a:99999999999999999999999",
            "a b",
        ] {
            assert!(Lane::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn strict_order_asks_the_first_and_weights_ask_each_its_part() {
        let lane = Lane::parse("a,b,c:1").unwrap();
        assert_eq!(lane.pick(|_| true), Some(0));
        assert_eq!(lane.pick(|nth| nth > 0), Some(1));
        assert_eq!(lane.pick(|_| false), None);
        assert!(lane.clone().weighted(&[1, 2]).is_err());
        let lane = lane.weighted(&[8, 1, 1]).unwrap();
        let mut asked = [0; 3];
        for _ in 0..10_000 {
            asked[lane.pick(|_| true).unwrap()] += 1;
        }
        assert!(
            asked[0] > 7_500 && asked[1] > 500 && asked[2] > 500,
            "{asked:?}"
        );
        assert_eq!(lane.pick(|nth| nth == 2), Some(2));
        assert_eq!(lane.pick(|_| false), None);
    }
}
