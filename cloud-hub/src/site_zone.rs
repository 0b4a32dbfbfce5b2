//! The time zone of the place where a bank stands, in which people read times about it: a deadline
//! on a letter must be the one on the station's clock. The rules of all zones are compiled in, so
//! that a host without them, or with old ones, says nothing else.

use std::fmt;
use std::str::FromStr;

use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{Timestamp, Zoned};
use locker_core::units::UnixMillis;
use thiserror::Error;

/// Entries of the IANA database that are no places: clocks that nobody has set yet.
const NO_PLACES: [&str; 2] = ["Etc/Unknown", "Factory"];

/// A time zone by its IANA name.
#[derive(Clone, PartialEq, Eq)]
pub struct SiteZone(TimeZone);

/// The text names no time zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("expected the IANA name of a time zone, such as Europe/Berlin")]
pub struct ParseSiteZoneError;

impl SiteZone {
    /// UTC: of banks whose zone nobody has said.
    pub const UTC: Self = Self(TimeZone::UTC);

    /// As the IANA database spells it: `Europe/Berlin`.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }

    /// For a letter: `Tuesday, 24 November 2026, 19:00 (Europe/Berlin, UTC+1)`. Seconds are left
    /// out, so that who comes by then is never late.
    #[must_use]
    pub fn readable(&self, at: UnixMillis) -> String {
        let local = self.local(at);
        let (time, zone) = (local.strftime("%A, %-d %B %Y, %H:%M"), self.name());
        if *self == Self::UTC {
            return format!("{time} UTC");
        }
        // The offset tells the two hours apart that the clocks show twice in autumn.
        format!("{time} ({}, UTC{})", zone.replace('_', " "), short_offset(&local))
    }

    /// As RFC 3339, to the second: `2026-11-24T19:00:00+01:00`.
    #[must_use]
    pub fn rfc3339(&self, at: UnixMillis) -> String {
        let local = self.local(at);
        let time = local.strftime("%Y-%m-%dT%H:%M:%S");
        if *self == Self::UTC {
            return format!("{time}Z");
        }
        format!("{time}{}", local.strftime("%:z"))
    }

    /// A time that no calendar has, which only a lying clock can bring, is the end of time.
    fn local(&self, at: UnixMillis) -> Zoned {
        let known = i64::try_from(at.0).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
        known.unwrap_or(Timestamp::MAX).to_zoned(self.0.clone())
    }
}

/// `+1`, `-3:30`.
fn short_offset(local: &Zoned) -> String {
    let seconds = local.offset().seconds();
    let sign = if seconds < 0 { '-' } else { '+' };
    let minutes = seconds.unsigned_abs() / 60;
    match minutes % 60 {
        0 => format!("{sign}{}", minutes / 60),
        rest => format!("{sign}{}:{rest:02}", minutes / 60),
    }
}

impl FromStr for SiteZone {
    type Err = ParseSiteZoneError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if NO_PLACES.iter().any(|name| name.eq_ignore_ascii_case(text)) {
            return Err(ParseSiteZoneError);
        }
        TimeZoneDatabase::bundled().get(text).map(Self).map_err(|_| ParseSiteZoneError)
    }
}

impl fmt::Debug for SiteZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SiteZone({})", self.name())
    }
}

impl fmt::Display for SiteZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests;
