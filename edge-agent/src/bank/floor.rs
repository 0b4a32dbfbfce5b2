//! The highest signed time ever seen, kept so that a clock that starts in 1970 cannot make an old
//! code new again.

use std::io;
use std::path::{Path, PathBuf};

use locker_core::units::UnixMillis;
use thiserror::Error;

use super::durable::write_durably;

/// The file is written again only when the floor has risen this far, to spare the flash.
const KEEP_EVERY_MS: u64 = 10 * 60 * 1_000;

/// Why the floor could not be read or kept.
#[derive(Debug, Error)]
pub enum FloorError {
    #[error("cannot read {path}")]
    Read { path: PathBuf, source: io::Error },
    #[error("{path} does not hold a time in milliseconds")]
    Malformed { path: PathBuf },
    #[error("cannot write {path}")]
    Write { path: PathBuf, source: io::Error },
}

impl FloorError {
    /// Whether the disk is only full.
    #[must_use]
    pub fn is_out_of_space(&self) -> bool {
        let full = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
        matches!(self, Self::Write { source, .. } if full.contains(&source.kind()))
    }
}

/// The floor and its file.
#[derive(Debug)]
pub struct Floor {
    path: PathBuf,
    kept: UnixMillis,
}

impl Floor {
    /// Reads the floor in `dir`; 1970 if there is none.
    ///
    /// # Errors
    ///
    /// The file is there but cannot be read.
    pub fn open(dir: &Path) -> Result<Self, FloorError> {
        let path = dir.join("time-floor");
        let kept = match std::fs::read_to_string(&path) {
            Ok(text) => match text.trim().parse() {
                Ok(ms) => UnixMillis(ms),
                Err(_) => return Err(FloorError::Malformed { path }),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => UnixMillis::default(),
            Err(source) => return Err(FloorError::Read { path, source }),
        };
        Ok(Self { path, kept })
    }

    /// The highest time kept.
    #[must_use]
    pub const fn get(&self) -> UnixMillis {
        self.kept
    }

    /// Keeps `seen` if it is enough above what is kept.
    ///
    /// # Errors
    ///
    /// The disk refuses.
    pub fn raise(&mut self, seen: UnixMillis) -> Result<(), FloorError> {
        if seen.since_ms(self.kept) < KEEP_EVERY_MS {
            return Ok(());
        }
        let failed = |source| FloorError::Write { path: self.path.clone(), source };
        write_durably(&self.path, seen.0.to_string().as_bytes()).map_err(failed)?;
        self.kept = seen;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t02_the_floor_outlives_the_process_and_never_falls() {
        let dir = tempfile::tempdir().unwrap();
        let mut floor = Floor::open(dir.path()).unwrap();
        assert_eq!(floor.get(), UnixMillis(0));
        floor.raise(UnixMillis(5_000_000)).unwrap();
        floor.raise(UnixMillis(1_000_000)).unwrap();
        assert_eq!(Floor::open(dir.path()).unwrap().get(), UnixMillis(5_000_000));
    }

    #[test]
    fn a_floor_that_is_no_number_is_said_to_be_malformed() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("time-floor"), "yesterday").unwrap();
        assert!(matches!(Floor::open(dir.path()), Err(FloorError::Malformed { .. })));
    }
}
