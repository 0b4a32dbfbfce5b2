//! Backups of the store: where, how often, how many; and what counts as safe without them.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::Store;
use super::limits::row;

/// Backups that the hub makes while it runs.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backups {
    /// The folder for them, on another disk than the store's; it is made if it is missing.
    pub folder: PathBuf,
    /// How often one is made, in minutes.
    #[serde(default = "every_minutes")]
    pub every_minutes: u32,
    /// How many are kept; the oldest goes for one more.
    #[serde(default = "keep")]
    pub keep: u32,
}

impl Backups {
    /// How often one is made.
    #[must_use]
    pub const fn every(&self) -> Duration {
        Duration::from_secs(self.every_minutes as u64 * 60)
    }
}

const fn every_minutes() -> u32 {
    60
}

const fn keep() -> u32 {
    48
}

/// A week: a store that is lost and has no backup takes no more than a week of evidence with it.
pub(super) const fn safe_after_hours() -> u32 {
    168
}

impl Store {
    /// The same in milliseconds.
    #[must_use]
    pub const fn safe_after_ms(&self) -> u64 {
        self.safe_after_hours as u64 * 3_600_000
    }
}

/// The first value that makes no sense, and what would.
pub(super) fn check(store: &Store) -> Result<(), (String, String)> {
    row("store.safe_after_hours", store.safe_after_hours, 1, 8_760).check()?;
    let Some(backup) = &store.backup else { return Ok(()) };
    row("store.backup.every_minutes", backup.every_minutes, 1, 10_080).check()?;
    row("store.backup.keep", backup.keep, 1, 10_000).check()
}
