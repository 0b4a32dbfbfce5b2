//! The job that keeps the store from being the only copy: makes backups by the clock, lets the oldest
//! go, and tells banks by it what they need not keep. Without backups it lets records come of age
//! instead.
//!
//! Only these backups move what banks hear as safe: one that somebody made by hand may be thrown
//! away at any time.

use std::error::Error;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use thiserror::Error;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tracing::{error, info, warn};

use crate::config;
use crate::notify::when::rfc3339;
use crate::store::{BackUpError, Store, WriteError, back_up};
use crate::wall_clock::now;

/// How often the job looks whether something is due.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// After a backup that failed the next one is tried at the earliest after this time.
const RETRY_AFTER: Duration = Duration::from_secs(300);
/// What the files are called; others in the folder are left alone.
const PREFIX: &str = "hub-";
const SUFFIX: &str = ".db";
const FOLDER_MODE: u32 = 0o700;

/// See the module's text.
#[derive(Debug)]
pub struct BackupJob {
    store: Store,
    /// The store's file.
    file: PathBuf,
    backups: Option<config::Backups>,
    safe_after_ms: u64,
    not_before: Option<Instant>,
}

/// Why a backup was not made, or does not count.
#[derive(Debug, Error)]
pub enum MakeBackupError {
    #[error("the folder {} cannot be used", path.display())]
    Folder { path: PathBuf, source: io::Error },
    #[error("the store was not copied")]
    BackUp(#[from] BackUpError),
    #[error("the backup was made, and what it holds could not be noted")]
    Note(#[from] WriteError),
}

impl BackupJob {
    /// For the store whose file is `file`.
    #[must_use]
    pub const fn new(
        store: Store,
        file: PathBuf,
        backups: Option<config::Backups>,
        safe_after_ms: u64,
    ) -> Self {
        Self { store, file, backups, safe_after_ms, not_before: None }
    }

    /// Runs until `stop` completes. A backup that is under way then is given up.
    pub async fn run(mut self, stop: impl Future<Output = ()>) {
        let mut tick = interval(LOOK_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let work = async {
            loop {
                tick.tick().await;
                self.look().await;
            }
        };
        tokio::select! {
            () = stop => {}
            () = work => {}
        }
    }

    /// Does what is due.
    async fn look(&mut self) {
        let Some(backups) = self.backups.clone() else {
            if let Err(error) = self.store.age_watermarks(now(), self.safe_after_ms).await {
                error!(%error, source = error.source(), "watermarks not noted");
            }
            return;
        };
        if self.not_before.is_some_and(|at| Instant::now() < at) {
            return;
        }
        match self.make_if_due(&backups).await {
            Ok(()) => self.not_before = None,
            Err(error) => {
                self.not_before = Some(Instant::now() + RETRY_AFTER);
                error!(%error, source = error.source(), "no backup of the store");
            }
        }
    }

    async fn make_if_due(&self, backups: &config::Backups) -> Result<(), MakeBackupError> {
        let folder = &backups.folder;
        let failed = |source| MakeBackupError::Folder { path: folder.clone(), source };
        DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder).map_err(failed)?;
        let mut made = made(folder).map_err(failed)?;
        // By its own time and not by its name: a clock that was wrong makes a backup too many and none
        // too few.
        let newest = made.iter().map(|(_, at)| *at).max();
        let age = newest.map(|at| SystemTime::now().duration_since(at).unwrap_or(Duration::MAX));
        if age.is_some_and(|age| age < backups.every()) {
            return Ok(());
        }
        let begun = Instant::now();
        let stamp = rfc3339(now()).replace(['-', ':'], "");
        let path = folder.join(format!("{PREFIX}{stamp}{SUFFIX}"));
        let backup = back_up(&self.file, &path).await?;
        let (bytes, banks) = (backup.bytes, backup.watermarks.len());
        self.store.note_safe(backup.watermarks).await?;
        let took_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        info!(path = %path.display(), bytes, banks, took_ms, "backup made");
        made.sort_unstable_by_key(|(_, at)| *at);
        let keep = usize::try_from(backups.keep).unwrap_or(usize::MAX);
        let excess = (made.len() + 1).saturating_sub(keep);
        for (old, _) in made.into_iter().take(excess) {
            if let Err(error) = std::fs::remove_file(&old) {
                warn!(path = %old.display(), %error, "old backup not removed");
            }
        }
        Ok(())
    }
}

/// The backups in a folder, with their times.
fn made(folder: &Path) -> io::Result<Vec<(PathBuf, SystemTime)>> {
    let mut made = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let ours = name.to_str().is_some_and(|name| {
            name.starts_with(PREFIX) && name.ends_with(SUFFIX) && entry.path().is_file()
        });
        if ours {
            made.push((entry.path(), entry.metadata()?.modified()?));
        }
    }
    Ok(made)
}

#[cfg(test)]
mod tests;
