//! Points in time as people and programmes read them, always in UTC and to the second.

use locker_core::units::UnixMillis;
use prost_types::Timestamp;

const DAY_S: u64 = 86_400;
const WEEKDAYS: [&str; 7] =
    ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// As RFC 3339: `2026-11-24T18:00:00Z`.
#[must_use]
pub fn rfc3339(at: UnixMillis) -> String {
    let seconds = i64::try_from(at.0 / 1_000).unwrap_or(i64::MAX);
    Timestamp { seconds, nanos: 0 }.to_string()
}

/// For a letter: `Tuesday, 24 November 2026, 18:00 UTC`.
#[must_use]
pub fn readable(at: UnixMillis) -> String {
    let text = rfc3339(at);
    let mut parts = text.split(['-', 'T', ':']);
    let mut next = || parts.next().unwrap_or_default();
    let (year, month, day, hour, minute) = (next(), next(), next(), next(), next());
    let named = month.parse::<usize>().ok().and_then(|month| MONTHS.get(month.wrapping_sub(1)));
    // 1 January 1970 was a Thursday.
    let weekday = usize::try_from(at.0 / 1_000 / DAY_S % 7).ok().and_then(|day| WEEKDAYS.get(day));
    match (named, weekday) {
        (Some(month), Some(weekday)) => {
            let day = day.trim_start_matches('0');
            format!("{weekday}, {day} {month} {year}, {hour}:{minute} UTC")
        }
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_days_are_written_right() {
        assert_eq!(rfc3339(UnixMillis(0)), "1970-01-01T00:00:00Z");
        assert_eq!(readable(UnixMillis(0)), "Thursday, 1 January 1970, 00:00 UTC");
        let leap = UnixMillis(1_709_208_000_999);
        assert_eq!(rfc3339(leap), "2024-02-29T12:00:00Z");
        assert_eq!(readable(leap), "Thursday, 29 February 2024, 12:00 UTC");
        assert_eq!(readable(UnixMillis(1_795_543_200_000)), "Tuesday, 24 November 2026, 18:00 UTC");
    }

    #[test]
    fn the_end_of_time_is_still_a_text() {
        assert!(!readable(UnixMillis(u64::MAX)).is_empty());
    }
}
