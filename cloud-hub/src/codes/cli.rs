//! `cloud-hub codes ..`: the keys of six-digit codes from the command line.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use locker_core::ids::{BankId, Generation};
use thiserror::Error;
use zeroize::Zeroizing;

use super::key_file::{Secret, SecretFileError};
use super::pepper::CodeMaster;
use crate::config::{Config, LoadConfigError};

/// Name of the master secret's file that `init` makes.
const MASTER_FILE: &str = "codes-master.key";
/// Name of the first sealing key's file that `init` makes.
const SEALING_FILE: &str = "sealing-1.key";
const KEY_MODE: u32 = 0o600;
const DIRECTORY_MODE: u32 = 0o700;

/// Make the keys of six-digit codes.
///
/// A parcel can be picked up by typing six digits at the bank if the hub's configuration has a
/// `[codes]` section and the bank's agent a keys file. First `codes init` makes the hub's own two
/// secrets; then `codes keys` makes the file of each bank. Existing files are never overwritten.
#[derive(Debug, Args)]
pub struct CodesArgs {
    /// What to make.
    #[command(subcommand)]
    pub command: CodesCommand,
}

/// What to make.
#[derive(Debug, Subcommand)]
pub enum CodesCommand {
    /// Make the hub's secrets: codes-master.key and sealing-1.key.
    ///
    /// Name both in the `[codes]` section of the hub's configuration, and back them up apart from the
    /// store. Without the master secret every bank needs a new keys file; without the sealing key
    /// the codes of parcels that are inside cannot be sent again.
    Init {
        /// Directory for them; it is made if it is missing.
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
    },
    /// Make the keys file of one bank, derived from the master secret.
    ///
    /// Bring it to the bank on a way that nobody else reads, as a file that only the agent can
    /// read, and name it as `keys_file` in the `[codes]` section of the agent's configuration. The
    /// same command gives the same keys again.
    Keys {
        /// The hub's configuration file.
        #[arg(long, env = "POSTERN_HUB_CONFIG", value_name = "FILE")]
        config: PathBuf,
        /// The bank, as in its certificate.
        #[arg(long, value_name = "ID")]
        bank: BankId,
        /// Which keys of this bank; hubs mint with generation 1.
        #[arg(long, default_value_t = 1, value_name = "N")]
        generation: u64,
        /// Write to this new file, readable by its owner alone; to standard output if left out.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

/// What was made.
#[derive(Debug)]
pub enum CodesOutput {
    /// These files were written.
    Files(Vec<PathBuf>),
    /// The secret text itself, for standard output.
    Text(Zeroizing<String>),
}

/// Does what was asked for, and gives what the caller is to print.
///
/// # Errors
///
/// When a file exists already, or cannot be read or written.
pub fn run(args: CodesArgs) -> Result<CodesOutput, CodesCommandError> {
    match args.command {
        CodesCommand::Init { dir } => init(&dir).map(CodesOutput::Files),
        CodesCommand::Keys { config, bank, generation, out } => {
            let config = Config::load(&config).map_err(CodesCommandError::Config)?;
            let codes = config.codes.ok_or(CodesCommandError::NoCodes)?;
            let master = CodeMaster::load(&codes.master_file).map_err(CodesCommandError::Secret)?;
            let text = master.file_text(&bank, Generation(generation));
            let Some(out) = out else { return Ok(CodesOutput::Text(text)) };
            write_new(&out, &text)?;
            Ok(CodesOutput::Files(vec![out]))
        }
    }
}

fn init(dir: &Path) -> Result<Vec<PathBuf>, CodesCommandError> {
    let failed = |source| CodesCommandError::Write { path: dir.to_owned(), source };
    DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(dir).map_err(failed)?;
    let files = [(MASTER_FILE, "master secret of six-digit codes"), (SEALING_FILE, "sealing key")];
    let paths = files.map(|(name, _)| dir.join(name));
    // Neither is made if one of them is there: they would not belong together.
    if let Some(path) = paths.iter().find(|path| path.exists()) {
        return Err(CodesCommandError::Exists { path: path.clone() });
    }
    for (path, (_, what)) in paths.iter().zip(files) {
        let secret = Secret::generate().map_err(CodesCommandError::Secret)?;
        write_new(path, &secret.file_text(what))?;
    }
    Ok(paths.to_vec())
}

fn write_new(path: &Path, text: &str) -> Result<(), CodesCommandError> {
    let failed = |source: io::Error| {
        let path = path.to_owned();
        if source.kind() == ErrorKind::AlreadyExists {
            CodesCommandError::Exists { path }
        } else {
            CodesCommandError::Write { path, source }
        }
    };
    let mut options = OpenOptions::new();
    let mut file =
        options.write(true).create_new(true).mode(KEY_MODE).open(path).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)
}

/// Why no keys were made.
#[derive(Debug, Error)]
pub enum CodesCommandError {
    #[error("the hub's configuration cannot be used")]
    Config(#[source] LoadConfigError),
    #[error("the hub's configuration has no [codes] section: see `cloud-hub codes init --help`")]
    NoCodes,
    #[error("the secret cannot be used")]
    Secret(#[source] SecretFileError),
    #[error("{} exists already and is not overwritten", path.display())]
    Exists { path: PathBuf },
    #[error("cannot write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
}

#[cfg(test)]
mod tests;
