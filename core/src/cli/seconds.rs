//! Spans of time as a command line gives them: seconds, fractions are fine.

use std::time::Duration;

use crate::clock::millis;
use crate::config::invalid;
use crate::error::Error;

/// The longest that one attempt may take: a day.
pub(super) const LONGEST_ATTEMPT: u32 = 86_400;

/// The longest that a credential is kept out with an end: a year.
pub(super) const LONGEST_REST: u32 = 366 * 86_400;

/// The span in milliseconds. `option` names it when it cannot be.
pub(super) fn milliseconds(option: &str, seconds: f64, most: u32) -> Result<u64, Error> {
    let given = Some(seconds).filter(|seconds| (0.001..=f64::from(most)).contains(seconds));
    given
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .map(millis)
        .ok_or_else(|| invalid(option, &format!("give seconds from 0.001 to {most}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_positive_bounded_and_a_number() {
        let rows = [
            (0.001, Some(1)),
            (1.5, Some(1_500)),
            (60.0, Some(60_000)),
            (60.001, None),
            (0.0, None),
            (-1.0, None),
            (f64::NAN, None),
            (f64::INFINITY, None),
        ];
        for (seconds, expected) in rows {
            assert_eq!(
                milliseconds("--for", seconds, 60).ok(),
                expected,
                "{seconds}"
            );
        }
        let error = milliseconds("--for", 0.0, 60).unwrap_err();
        assert!(error.to_string().contains("--for"), "{error}");
    }
}
