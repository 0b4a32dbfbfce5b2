//! Points in time as programmes read them, always in UTC and to the second. What people read about
//! a bank is written by [`SiteZone`](crate::site_zone::SiteZone).

use locker_core::units::UnixMillis;
use prost_types::Timestamp;

/// As RFC 3339: `2026-11-24T18:00:00Z`.
#[must_use]
pub fn rfc3339(at: UnixMillis) -> String {
    let seconds = i64::try_from(at.0 / 1_000).unwrap_or(i64::MAX);
    Timestamp { seconds, nanos: 0 }.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_days_are_written_right() {
        assert_eq!(rfc3339(UnixMillis(0)), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(UnixMillis(1_709_208_000_999)), "2024-02-29T12:00:00Z");
    }

    #[test]
    fn the_end_of_time_is_still_a_text() {
        assert!(!rfc3339(UnixMillis(u64::MAX)).is_empty());
    }
}
