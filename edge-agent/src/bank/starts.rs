//! How often the agent has started lately, so that a supply that breaks down under every pulse is
//! left alone for a while.
//!
//! Five minutes are counted without a clock: what the system's clock says after a power cut is a
//! guess, and one that jumps ahead would hide just the loop that is looked for. A start counts until
//! a run after it has lasted so long by the clock that never jumps, or was stopped in order; the time
//! without power counts for nothing. That errs on the side of waiting, which costs a person seconds.

use std::io;
use std::path::{Path, PathBuf};

use tracing::warn;

use super::durable::write_durably;

/// So many starts in a row, none of which lasted [`LASTING_MS`], are a loop.
pub const STARTS_MAX: u32 = 3;
/// A run that lasted this long ends the loop, in milliseconds.
pub const LASTING_MS: u64 = 5 * 60 * 1_000;

/// The starts in a row that ended early, and their file.
#[derive(Debug)]
pub struct Starts {
    path: PathBuf,
    in_a_row: u32,
}

impl Starts {
    /// Counts this start in `dir`. A disk that refuses is no reason to stay away: the count is then
    /// this run's alone, and the log says so. What cannot be read counts as a loop.
    #[must_use]
    pub fn count(dir: &Path) -> Self {
        let path = dir.join("starts");
        let before = match std::fs::read_to_string(&path) {
            Ok(text) => text.trim().parse().unwrap_or_else(|_| {
                warn!(path = %path.display(), "count of starts is damaged, doors wait");
                STARTS_MAX
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => {
                warn!(%error, path = %path.display(), "count of starts cannot be read, doors wait");
                STARTS_MAX
            }
        };
        let starts = Self { path, in_a_row: before.saturating_add(1) };
        starts.keep();
        starts
    }

    /// How many in a row have ended early, this one included.
    #[must_use]
    pub const fn in_a_row(&self) -> u32 {
        self.in_a_row
    }

    /// Whether doors had better wait.
    #[must_use]
    pub const fn is_loop(&self) -> bool {
        self.in_a_row >= STARTS_MAX
    }

    /// This run has lasted, or was stopped in order: no start counts any more.
    pub fn forget(&mut self) {
        self.in_a_row = 0;
        self.keep();
    }

    fn keep(&self) {
        if let Err(error) = write_durably(&self.path, self.in_a_row.to_string().as_bytes()) {
            warn!(%error, path = %self.path.display(), "starts not counted");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p_d_the_third_start_in_a_row_that_ended_early_is_a_loop_until_one_has_lasted() {
        let dir = tempfile::tempdir().unwrap();
        let early = [1, 2].map(|_| Starts::count(dir.path()).is_loop());
        assert_eq!(early, [false, false], "two may be a person who pulled the plug");
        let mut third = Starts::count(dir.path());
        assert_eq!((third.in_a_row(), third.is_loop()), (3, true));
        assert!(Starts::count(dir.path()).is_loop(), "as long as it goes on");
        third.forget();
        assert!(!Starts::count(dir.path()).is_loop());
    }

    #[test]
    fn p_d_a_count_that_cannot_be_read_counts_as_a_loop_and_one_that_cannot_be_kept_as_this_run() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("starts"), "many").unwrap();
        assert!(Starts::count(dir.path()).is_loop());
        let gone = dir.path().join("gone");
        assert_eq!(Starts::count(&gone).in_a_row(), 1);
    }
}
