//! `cloud-hub store ..`: backups of the store and the way back, from the command line of the machine
//! that the store is on.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use thiserror::Error;

use crate::config::{Config, LoadConfigError};
use crate::notify::when::rfc3339;
use crate::store::{
    BackUpError, Backup, RestoreError, Restored, back_up, check_backup, file_of, restore,
};
use crate::wall_clock::now;
use locker_core::units::UnixMillis;

/// Back the store up, look into a backup, put one back.
#[derive(Debug, Args)]
pub struct StoreArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: StoreCommand,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum StoreCommand {
    /// Copy the store to a new file, whether or not the hub runs.
    ///
    /// The file holds personal data and only its owner can read it. It is checked before it gets its
    /// name. Keep the hub's keys apart from it: without them it is of no use. Banks are told nothing
    /// by it; for that the hub makes backups itself, see `[store.backup]` in the configuration.
    Backup {
        /// The hub's configuration file.
        #[arg(long, env = "POSTERN_HUB_CONFIG", value_name = "FILE")]
        config: PathBuf,
        /// The file to make.
        file: PathBuf,
    },
    /// Read all of a backup and say what it holds.
    Check {
        /// The backup.
        file: PathBuf,
    },
    /// Put a backup in the place of the store. The hub must be stopped.
    ///
    /// What is there is moved aside and not removed. Banks tell again what they did since the backup.
    /// Until a bank has, it is sent no decisions and no codes; its doors go on serving what it holds.
    /// What callers asked for since the backup is lost unless a bank knows of it: announcements
    /// and what operators set must be made again, and revocations of certificates, too.
    Restore {
        /// The hub's configuration file.
        #[arg(long, env = "POSTERN_HUB_CONFIG", value_name = "FILE")]
        config: PathBuf,
        /// The backup.
        file: PathBuf,
    },
}

/// Why it was not done.
#[derive(Debug, Error)]
pub enum StoreCliError {
    #[error("the configuration cannot be used")]
    Config(#[source] LoadConfigError),
    #[error("store.url names no file")]
    NoFile,
    #[error("there is no backup")]
    BackUp(#[source] BackUpError),
    #[error("nothing was restored")]
    Restore(#[source] RestoreError),
}

/// Does it, and gives what to tell whoever asked.
///
/// # Errors
///
/// See [`StoreCliError`].
pub async fn run(args: StoreArgs) -> Result<String, StoreCliError> {
    match args.command {
        StoreCommand::Backup { config, file } => {
            let made = back_up(&store_of(&config)?, &file).await;
            Ok(described(&made.map_err(StoreCliError::BackUp)?))
        }
        StoreCommand::Check { file } => {
            Ok(described(&check_backup(&file).await.map_err(StoreCliError::BackUp)?))
        }
        StoreCommand::Restore { config, file } => {
            let store = store_of(&config)?;
            let restored = Box::pin(restore(&store, &file, now())).await;
            Ok(told(&store, &restored.map_err(StoreCliError::Restore)?))
        }
    }
}

fn store_of(config: &Path) -> Result<PathBuf, StoreCliError> {
    let config = Config::load(config).map_err(StoreCliError::Config)?;
    file_of(&config.store.url).ok_or(StoreCliError::NoFile)
}

fn described(backup: &Backup) -> String {
    let Backup { path, bytes, epoch, format, watermarks } = backup;
    let records: u64 = watermarks.iter().map(|mark| mark.committed).sum();
    format!(
        "{}: sound, {bytes} bytes, format {format}, {} banks with {records} records in all, hub \
         since {}",
        path.display(),
        watermarks.len(),
        rfc3339(UnixMillis(epoch.0)),
    )
}

fn told(store: &Path, restored: &Restored) -> String {
    let Restored { backup, epoch, aside } = restored;
    let mut text = format!("{} restored from {}\n", store.display(), described(backup));
    if let Some(aside) = aside {
        // Writing into a string cannot fail.
        let _ = writeln!(text, "what was there is now {}", aside.display());
    }
    let _ = write!(
        text,
        "its epoch is {}: start the hub, and watch `hubctl alarm list`; tokens that callers held \
         end with RESUME_TOKEN_EXPIRED",
        epoch.0
    );
    text
}

#[cfg(test)]
mod tests;
