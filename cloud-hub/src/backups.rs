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
use crate::store::{BackUpError, PARTIAL, Store, WriteError, back_up};
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
    /// The newest backup that this job has made itself.
    last: Option<(PathBuf, Instant)>,
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
        Self { store, file, backups, safe_after_ms, not_before: None, last: None }
    }

    /// Runs until `stop` completes. A backup that is under way then is given up, and what there is of it
    /// goes before the next.
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

    async fn make_if_due(&mut self, backups: &config::Backups) -> Result<(), MakeBackupError> {
        let folder = &backups.folder;
        let failed = |source| MakeBackupError::Folder { path: folder.clone(), source };
        DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder).map_err(failed)?;
        let Found { made, cut } = found(folder).map_err(failed)?;
        // First: a disk that they have filled has no room for another.
        remove(cut);
        let age = self.age(&made, SystemTime::now());
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
        self.last = Some((path, begun));
        let keep = usize::try_from(backups.keep).unwrap_or(usize::MAX);
        let excess = (made.len() + 1).saturating_sub(keep);
        remove(oldest_first(made, SystemTime::now()).into_iter().take(excess));
        Ok(())
    }

    /// How old the newest backup is. What this job has made itself it knows by a clock that nobody sets;
    /// of others it goes by their time and not by their name, and by none from the future: a clock that was
    /// ahead once must not make the job look away, nor make it work without an end.
    fn age(&self, made: &[Made], now: SystemTime) -> Option<Duration> {
        let own = self.last.as_ref().filter(|(path, _)| made.iter().any(|it| it.path == *path));
        let own = own.map(|(_, begun)| begun.elapsed());
        own.or_else(|| made.iter().filter_map(|it| now.duration_since(it.at).ok()).min())
    }
}

/// A backup that is whole.
#[derive(Debug)]
struct Made {
    path: PathBuf,
    at: SystemTime,
}

/// What this job has left in its folder.
#[derive(Debug, Default)]
struct Found {
    made: Vec<Made>,
    /// What is left of backups that ended before they were whole: each may be as large as the store.
    cut: Vec<PathBuf>,
}

/// In the order in which they go. Those from the future first: whatever their clock said, they are not
/// newer than one that is made now.
fn oldest_first(mut made: Vec<Made>, now: SystemTime) -> Vec<PathBuf> {
    made.sort_unstable_by_key(|it| (it.at <= now, it.at));
    made.into_iter().map(|it| it.path).collect()
}

fn remove(files: impl IntoIterator<Item = PathBuf>) {
    for file in files {
        if let Err(error) = std::fs::remove_file(&file) {
            warn!(path = %file.display(), %error, "backup not removed");
        }
    }
}

/// Looks through a folder.
fn found(folder: &Path) -> io::Result<Found> {
    let mut found = Found::default();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else { continue };
        if !entry.path().is_file() {
            continue;
        }
        if name.ends_with(SUFFIX) {
            found.made.push(Made { path: entry.path(), at: entry.metadata()?.modified()? });
        } else if name.contains(&format!("{SUFFIX}{PARTIAL}")) {
            // Or what SQLite keeps beside it.
            found.cut.push(entry.path());
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
