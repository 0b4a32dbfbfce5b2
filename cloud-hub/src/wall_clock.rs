//! The one place where the hub reads the time of day.

use std::time::{SystemTime, UNIX_EPOCH};

use locker_core::units::UnixMillis;

/// The time now. A clock before 1970 counts as 1970.
#[must_use]
pub(crate) fn now() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
