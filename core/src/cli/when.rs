//! Points in time for people: how long from now, and the time itself.

use crate::clock::EpochMillis;

/// `in 4 min (2026-01-02T03:04:05Z)`.
pub(super) fn comes_back(at: EpochMillis, now: EpochMillis) -> String {
    let from_now = from_now(at.saturating_sub(now));
    match i64::try_from(at)
        .ok()
        .and_then(|at| jiff::Timestamp::from_millisecond(at).ok())
    {
        Some(at) => format!("{from_now} ({at:.0})"),
        None => from_now,
    }
}

/// Rounded up: who comes back at the time told is not too early.
fn from_now(milliseconds: u64) -> String {
    const UNITS: [(u64, u64, &str); 3] = [
        (1_000, 120, "s"),
        (60_000, 120, "min"),
        (3_600_000, 48, "h"),
    ];
    if milliseconds == 0 {
        return "now".to_owned();
    }
    for (unit, most, name) in UNITS {
        let count = milliseconds.div_ceil(unit);
        if count < most {
            return format!("in {count} {name}");
        }
    }
    format!("in {} days", milliseconds.div_ceil(86_400_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_told_in_the_unit_people_would_use() {
        let rows = [
            (0, "now"),
            (1, "in 1 s"),
            (119_000, "in 119 s"),
            (119_001, "in 2 min"),
            (240_000, "in 4 min"),
            (7_200_000, "in 2 h"),
            (172_800_000, "in 2 days"),
        ];
        for (milliseconds, expected) in rows {
            assert_eq!(from_now(milliseconds), expected, "{milliseconds}");
        }
    }

    #[test]
    fn the_time_itself_goes_with_it() {
        assert_eq!(
            comes_back(1_060_000, 1_000_000),
            "in 60 s (1970-01-01T00:17:40Z)"
        );
        assert_eq!(comes_back(u64::MAX, u64::MAX), "now");
    }
}
