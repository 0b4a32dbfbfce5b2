//! Six-digit codes on the hub's side: it draws them, makes the tags that banks hold, and is alone
//! able to read the digits again.

pub mod cli;
mod counters;
pub mod couriers;
pub mod job;
pub mod key_file;
pub mod mint;
pub mod pepper;
pub mod sealing;

pub use counters::{Count, Counters};

use std::path::Path;
use std::sync::Arc;

use thiserror::Error;

use crate::config;
use key_file::SecretFileError;
use pepper::CodeMaster;
use sealing::{SealingKeys, SealingKeysError};

/// The secrets that codes are made and read with.
#[derive(Clone, Debug)]
pub struct CodeKeys {
    pub master: Arc<CodeMaster>,
    pub sealing: Arc<SealingKeys>,
}

impl CodeKeys {
    /// Reads the files that the configuration names.
    ///
    /// # Errors
    ///
    /// When one of them is of no use.
    pub fn load(config: &config::Codes) -> Result<Self, LoadCodesError> {
        let master = CodeMaster::load(&config.master_file).map_err(LoadCodesError::Master)?;
        let files: Vec<(u8, &Path)> =
            config.sealing.iter().map(|key| (key.id, key.file.as_path())).collect();
        let sealing = SealingKeys::load(&files).map_err(LoadCodesError::Sealing)?;
        Ok(Self { master: Arc::new(master), sealing: Arc::new(sealing) })
    }
}

/// Why the keys of codes are of no use.
#[derive(Debug, Error)]
pub enum LoadCodesError {
    #[error("the master secret of codes cannot be used")]
    Master(#[source] SecretFileError),
    #[error("the sealing keys of codes cannot be used")]
    Sealing(#[source] SealingKeysError),
}
