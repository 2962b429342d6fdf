//! How long an endpoint asks to be left alone, out of its headers. Pure.
//!
//! Caps and floors are the wrapper's: a hint is given here as it was said, one
//! that lies in the past as zero.

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use crate::clock::{EpochMillis, millis};

/// A hint beyond this is no better than this one: about 31 years.
const LONGEST: f64 = 1e9;

/// `retry-after-ms` and `retry-after` (seconds or an HTTP date). Names are lower case.
pub(super) fn asked(headers: &BTreeMap<String, String>, now: EpochMillis) -> Option<Duration> {
    let exact = headers
        .get("retry-after-ms")
        .and_then(|text| number(text))
        .and_then(|ms| seconds(ms / 1000.0));
    exact.or_else(|| {
        let text = headers.get("retry-after")?.trim();
        match number(text) {
            Some(amount) => seconds(amount),
            None => until(date(text)?, now),
        }
    })
}

/// When the limits that are used up fill again: `anthropic-ratelimit-*-reset` and
/// `x-ratelimit-reset-*`, each only where its `remaining` is zero.
pub(super) fn reset(headers: &BTreeMap<String, String>, now: EpochMillis) -> Option<Duration> {
    let used_up = headers
        .iter()
        .filter(|(_, value)| number(value).is_some_and(|left| left <= 0.0));
    used_up
        .filter_map(|(name, _)| headers.get(&reset_name(name)?))
        .filter_map(|text| moment(text.trim(), now))
        .max()
}

/// A span as `1s`, `6m0s`, `1h2m3.5s`, `120ms`.
pub(crate) fn span(text: &str) -> Option<Duration> {
    let mut total = 0.0;
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let amount: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(rest.len());
        total += amount
            * match &rest[..letters] {
                "ms" => 0.001,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                "d" => 86_400.0,
                _ => return None,
            };
        rest = &rest[letters..];
    }
    seconds(total)
}

fn reset_name(remaining: &str) -> Option<String> {
    if let Some(rest) = remaining.strip_prefix("x-ratelimit-remaining") {
        return Some(format!("x-ratelimit-reset{rest}"));
    }
    let limit = remaining
        .strip_prefix("anthropic-ratelimit-")?
        .strip_suffix("-remaining")?;
    Some(format!("anthropic-ratelimit-{limit}-reset"))
}

fn moment(text: &str, now: EpochMillis) -> Option<Duration> {
    match number(text) {
        // Some gateways give the moment itself, in milliseconds or seconds.
        Some(amount) if amount >= 1e12 => seconds((amount - now as f64) / 1000.0),
        Some(amount) if amount >= 1e9 => seconds(amount - now as f64 / 1000.0),
        Some(amount) => seconds(amount),
        None => span(text).or_else(|| until(date(text)?, now)),
    }
}

fn number(text: &str) -> Option<f64> {
    let text = text.trim();
    let plain = |c: char| c.is_ascii_digit() || matches!(c, '.' | '-' | '+');
    // `inf` and `nan` are numbers to Rust, not to us.
    text.chars().all(plain).then(|| text.parse().ok())?
}

fn seconds(amount: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(amount.clamp(0.0, LONGEST)).ok()
}

/// Milliseconds since the epoch of an HTTP date or an RFC 3339 one.
fn date(text: &str) -> Option<EpochMillis> {
    if let Ok(at) = httpdate::parse_http_date(text) {
        return at.duration_since(UNIX_EPOCH).ok().map(millis);
    }
    let at: jiff::Timestamp = text.parse().ok()?;
    Some(u64::try_from(at.as_millisecond()).unwrap_or(0))
}

fn until(at: EpochMillis, now: EpochMillis) -> Option<Duration> {
    Some(Duration::from_millis(at.saturating_sub(now)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sun, 06 Nov 1994 08:49:37 GMT.
    const NOW: EpochMillis = 784_111_777_000;

    fn headers(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn a_wait_that_is_asked_for_is_read_in_every_form() {
        for (name, value, expected) in [
            ("retry-after", "30", Some(30_000)),
            ("retry-after", " 1.5 ", Some(1_500)),
            ("retry-after", "0", Some(0)),
            ("retry-after", "-7", Some(0)),
            ("retry-after", "604800", Some(604_800_000)),
            (
                "retry-after",
                "99999999999999999999",
                Some(1_000_000_000_000),
            ),
            ("retry-after", "Sun, 06 Nov 1994 08:50:07 GMT", Some(30_000)),
            ("retry-after", "Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("retry-after", "1994-11-06T08:49:47Z", Some(10_000)),
            ("retry-after", "soon", None),
            ("retry-after", "", None),
            ("retry-after", "nan", None),
            ("retry-after", "inf", None),
            ("retry-after", "1-2", None),
            ("retry-after-ms", "250", Some(250)),
            ("retry-after-ms", "x", None),
        ] {
            let wait = asked(&headers(&[(name, value)]), NOW).map(millis);
            assert_eq!(wait, expected, "{name}: {value}");
        }
    }

    #[test]
    fn milliseconds_win_over_seconds_and_garbage_falls_through() {
        let both = headers(&[("retry-after", "2"), ("retry-after-ms", "1500")]);
        assert_eq!(asked(&both, NOW).map(millis), Some(1500));
        let garbage = headers(&[("retry-after", "2"), ("retry-after-ms", "?")]);
        assert_eq!(asked(&garbage, NOW).map(millis), Some(2000));
    }

    #[test]
    fn a_reset_counts_only_where_nothing_remains_and_the_latest_wins() {
        for (pairs, expected) in [
            (
                &[
                    ("x-ratelimit-remaining-requests", "0"),
                    ("x-ratelimit-reset-requests", "6m0s"),
                ][..],
                Some(360_000),
            ),
            (
                &[
                    ("x-ratelimit-remaining-tokens", "0"),
                    ("x-ratelimit-reset-tokens", "120ms"),
                ],
                Some(120),
            ),
            (
                &[
                    ("x-ratelimit-remaining-tokens", "5"),
                    ("x-ratelimit-reset-tokens", "1s"),
                ],
                None,
            ),
            (&[("x-ratelimit-reset-tokens", "1s")], None),
            (
                &[
                    ("x-ratelimit-remaining-tokens", "0"),
                    ("x-ratelimit-reset-tokens", "later"),
                ],
                None,
            ),
            (
                &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "12")],
                Some(12_000),
            ),
            (
                &[
                    ("anthropic-ratelimit-requests-remaining", "0"),
                    ("anthropic-ratelimit-requests-reset", "1994-11-06T08:49:47Z"),
                ],
                Some(10_000),
            ),
            (
                &[
                    ("anthropic-ratelimit-requests-remaining", "9"),
                    ("anthropic-ratelimit-requests-reset", "1994-11-06T08:49:47Z"),
                ],
                None,
            ),
            (
                &[
                    ("x-ratelimit-remaining-requests", "0"),
                    ("x-ratelimit-reset-requests", "1s"),
                    ("x-ratelimit-remaining-tokens", "0"),
                    ("x-ratelimit-reset-tokens", "1h2m3.5s"),
                ],
                Some(3_723_500),
            ),
        ] {
            assert_eq!(
                reset(&headers(pairs), NOW).map(millis),
                expected,
                "{pairs:?}"
            );
        }
    }

    #[test]
    fn a_reset_given_as_a_moment_is_told_from_a_span() {
        let now = 1_800_000_000_000;
        for value in ["1800000010", "1800000010000"] {
            let given = headers(&[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", value)]);
            assert_eq!(reset(&given, now).map(millis), Some(10_000), "{value}");
        }
    }
}
