//! When a failed attempt is tried again. Pure: the jitter is handed in.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The longest rest between two attempts: a day.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
/// The most rests of a list.
const LIST_LIMIT: usize = 100;

/// How long a job rests between attempts.
///
/// As JSON: `{"kind": "fixed", "delay_ms": 1000}`, `{"kind": "exponential", "base_ms":
/// 1000, "factor": 2, "max_ms": 60000}`, `{"kind": "list", "delays_ms": [100, 1000]}`;
/// each with `"jitter"`, the part of the rest that is left to chance, 0 to 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum RetryPolicy {
    /// The same rest each time.
    Fixed {
        /// The rest in milliseconds.
        delay_ms: u64,
        /// The part of it left to chance.
        #[serde(default)]
        jitter: f64,
    },
    /// A rest that grows with each attempt.
    Exponential {
        /// The first rest in milliseconds.
        base_ms: u64,
        /// By how much it grows. Default: 2.
        #[serde(default = "two")]
        factor: f64,
        /// Where it stops growing, in milliseconds. Default: 10 minutes.
        #[serde(default = "ten_minutes")]
        max_ms: u64,
        /// The part of it left to chance.
        #[serde(default)]
        jitter: f64,
    },
    /// A rest for each attempt; the last one goes on.
    List {
        /// The rests in milliseconds.
        delays_ms: Vec<u64>,
        /// The part of each left to chance.
        #[serde(default)]
        jitter: f64,
    },
}

impl Default for RetryPolicy {
    /// 1 s, 2 s, 4 s… up to 10 minutes, a fifth of it left to chance.
    fn default() -> Self {
        Self::Exponential {
            base_ms: 1_000,
            factor: two(),
            max_ms: ten_minutes(),
            jitter: 0.2,
        }
    }
}

impl RetryPolicy {
    /// The rest after so many failed attempts, with `chance` from 0 to 1.
    ///
    /// The jitter shortens: never is it longer than the policy says.
    #[must_use]
    pub fn rest(&self, failed: u32, chance: f64) -> Duration {
        let nth = failed.max(1) - 1;
        let (whole, jitter) = match self {
            Self::Fixed { delay_ms, jitter } => (*delay_ms as f64, *jitter),
            Self::Exponential {
                base_ms,
                factor,
                max_ms,
                jitter,
            } => {
                let exponent = i32::try_from(nth).unwrap_or(i32::MAX);
                let grown = *base_ms as f64 * factor.max(1.0).powi(exponent);
                (grown.min(*max_ms as f64), *jitter)
            }
            Self::List { delays_ms, jitter } => {
                let nth = usize::try_from(nth).unwrap_or(usize::MAX);
                let delay = delays_ms.get(nth).or(delays_ms.last());
                (delay.copied().unwrap_or(0) as f64, *jitter)
            }
        };
        let part = jitter.clamp(0.0, 1.0) * chance.clamp(0.0, 1.0);
        let millis = (whole * (1.0 - part)).clamp(0.0, LONGEST.as_millis() as f64);
        Duration::from_millis(millis as u64)
    }

    /// What is wrong with it, if anything.
    pub(super) fn problem(&self) -> Option<&'static str> {
        let (jitter, factor) = match self {
            Self::Fixed { jitter, .. } => (*jitter, 1.0),
            Self::List { jitter, delays_ms } => {
                if delays_ms.is_empty() {
                    return Some("`delays_ms` is empty");
                }
                if delays_ms.len() > LIST_LIMIT {
                    return Some("`delays_ms` has over 100 rests: the last one goes on");
                }
                (*jitter, 1.0)
            }
            Self::Exponential { jitter, factor, .. } => (*jitter, *factor),
        };
        if !(0.0..=1.0).contains(&jitter) {
            return Some("`jitter` goes from 0 to 1");
        }
        (!factor.is_finite() || factor < 1.0).then_some("`factor` is at least 1")
    }
}

fn two() -> f64 {
    2.0
}

fn ten_minutes() -> u64 {
    600_000
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(policy: &RetryPolicy, failed: u32, chance: f64) -> u64 {
        u64::try_from(policy.rest(failed, chance).as_millis()).unwrap()
    }

    #[test]
    fn rests_are_as_the_policy_says() {
        let fixed = RetryPolicy::Fixed {
            delay_ms: 50,
            jitter: 0.0,
        };
        let list = RetryPolicy::List {
            delays_ms: vec![10, 100],
            jitter: 0.0,
        };
        let growing = RetryPolicy::Exponential {
            base_ms: 100,
            factor: 3.0,
            max_ms: 1_000,
            jitter: 0.5,
        };
        let rows = [
            (&fixed, 1, 0.0, 50),
            (&fixed, 9, 1.0, 50),
            (&list, 1, 0.0, 10),
            (&list, 2, 0.0, 100),
            (&list, 7, 0.0, 100),
            (&growing, 1, 0.0, 100),
            (&growing, 2, 0.0, 300),
            (&growing, 2, 1.0, 150),
            (&growing, 4, 0.0, 1_000),
            (&growing, u32::MAX, 0.0, 1_000),
            (&growing, 0, 0.0, 100),
        ];
        for (policy, failed, chance, rest) in rows {
            assert_eq!(
                ms(policy, failed, chance),
                rest,
                "{policy:?} after {failed}"
            );
        }
    }

    #[test]
    fn no_numbers_make_a_rest_longer_than_a_day() {
        let policy = RetryPolicy::Exponential {
            base_ms: u64::MAX,
            factor: 1e300,
            max_ms: u64::MAX,
            jitter: f64::NAN,
        };
        assert!(policy.rest(u32::MAX, f64::NAN) <= LONGEST);
    }

    #[test]
    fn a_policy_that_makes_no_sense_is_told_so() {
        let rows = [
            r#"{"kind": "list", "delays_ms": []}"#,
            r#"{"kind": "fixed", "delay_ms": 1, "jitter": 1.5}"#,
            r#"{"kind": "exponential", "base_ms": 1, "factor": 0.5}"#,
            &format!(r#"{{"kind": "list", "delays_ms": {:?}}}"#, [1; 101]),
        ];
        for row in rows {
            let policy: RetryPolicy = serde_json::from_str(row).unwrap();
            assert!(policy.problem().is_some(), "{row}");
        }
        assert_eq!(RetryPolicy::default().problem(), None);
    }
}
