//! What commissioning found, kept in the data directory, and how it gets into the configuration.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::board::{BoardAddr, LockIndex, Polarity};
use crate::config::{BoardPolarity, Config};

/// Name of the file in the data directory.
const FILE_NAME: &str = "commissioned.json";
/// Format that this agent writes, and the only one it reads.
const FORMAT_VERSION: u32 = 1;
/// A bank of ten full boards takes some thirty KiB; more is no file of ours.
const FILE_MAX_BYTES: u64 = 1 << 20;
/// Whoever runs the agent may read it; the data directory keeps others out.
const FILE_MODE: u32 = 0o644;

/// What commissioning found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Commissioned {
    format_version: u32,
    /// When, by the clock of the machine, which may have been wrong: for people only.
    commissioned_at_ms: u64,
    locks: Vec<LearnedLock>,
}

/// What the hook bit of one lock means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LearnedLock {
    pub board: BoardAddr,
    pub lock: LockIndex,
    pub polarity: Polarity,
}

/// Why what was found cannot be stored.
#[derive(Debug, Error)]
pub enum StoreCommissionedError {
    #[error("cannot write {path}")]
    Write { path: PathBuf, source: io::Error },
    #[error("cannot put it into words")]
    Encode(#[from] serde_json::Error),
}

/// Why what was found cannot be read.
#[derive(Debug, Error)]
pub enum LoadCommissionedError {
    #[error("cannot read {path}")]
    Read { path: PathBuf, source: io::Error },
    #[error("{path} is not what `edge-agent commission` writes: {message}")]
    Malformed { path: PathBuf, message: String },
    #[error(
        "{path} has format {found}, this agent knows {FORMAT_VERSION}; commission the locker again"
    )]
    OtherFormat { path: PathBuf, found: u64 },
}

/// Why an agent must not run yet.
#[derive(Debug, Error)]
pub enum PrepareError {
    #[error("what commissioning found cannot be used")]
    Load(#[from] LoadCommissionedError),
    #[error(
        "the configuration says polarity = \"learned\", but nothing was learned of lock {lock} of board \
         {board} ({count} locks in all). A door must not be judged by a sensor that may read the other \
         way round: run `edge-agent commission --config FILE` at the locker, with somebody to shut the \
         doors, and start again"
    )]
    NotCommissioned { board: u8, lock: u8, count: usize },
}

/// Puts what commissioning found into the boards whose polarity is to be learned.
///
/// # Errors
///
/// Something is not known of such a board. An agent must not run then.
pub fn prepare(mut config: Config) -> Result<Config, PrepareError> {
    let learning = |polarity: &BoardPolarity| matches!(polarity, BoardPolarity::Learned(_));
    if !config.bus.iter().flat_map(|port| &port.boards).any(|board| learning(&board.polarity)) {
        return Ok(config);
    }
    let found = Commissioned::load(&config.data_dir)?;
    let mut unknown = Vec::new();
    for board in config.bus.iter_mut().flat_map(|port| &mut port.boards) {
        if !learning(&board.polarity) {
            continue;
        }
        let polarities = found.as_ref().map(|found| found.of_board(board.addr));
        board.polarity = BoardPolarity::Learned(polarities.unwrap_or_default());
        let blank = board.wired().filter(|lock| board.polarity_of(*lock).is_none());
        unknown.extend(blank.map(|lock| (board.addr.get(), lock.get())));
    }
    match unknown.first() {
        None => Ok(config),
        Some((board, lock)) => {
            let (board, lock) = (*board, *lock);
            Err(PrepareError::NotCommissioned { board, lock, count: unknown.len() })
        }
    }
}

impl Commissioned {
    pub(super) fn new(commissioned_at_ms: u64, locks: Vec<LearnedLock>) -> Self {
        Self { format_version: FORMAT_VERSION, commissioned_at_ms, locks }
    }

    /// The locks that were opened.
    #[must_use]
    pub fn locks(&self) -> &[LearnedLock] {
        &self.locks
    }

    /// Reads what is in `data_dir`; none if nothing was found there yet.
    ///
    /// # Errors
    ///
    /// The file is there but cannot be used.
    pub fn load(data_dir: &Path) -> Result<Option<Self>, LoadCommissionedError> {
        #[derive(Deserialize)]
        struct Version {
            format_version: u64,
        }
        let path = data_dir.join(FILE_NAME);
        let text = match read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(LoadCommissionedError::Read { path, source }),
        };
        let malformed = |error: serde_json::Error| LoadCommissionedError::Malformed {
            path: path.clone(),
            message: error.to_string(),
        };
        let found = serde_json::from_str::<Version>(&text).map_err(malformed)?.format_version;
        if found != u64::from(FORMAT_VERSION) {
            return Err(LoadCommissionedError::OtherFormat { path, found });
        }
        serde_json::from_str(&text).map(Some).map_err(malformed)
    }

    /// Replaces what is in `data_dir`, so that after a power cut either the old or the new is there.
    ///
    /// # Errors
    ///
    /// The disk refuses.
    pub fn store(&self, data_dir: &Path) -> Result<(), StoreCommissionedError> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        let path = data_dir.join(FILE_NAME);
        let write = |source| StoreCommissionedError::Write { path: path.clone(), source };
        fs::create_dir_all(data_dir).map_err(write)?;
        replace(data_dir, &path, text.as_bytes()).map_err(write)
    }

    fn of_board(&self, addr: BoardAddr) -> BTreeMap<LockIndex, Polarity> {
        let locks = self.locks.iter().filter(|lock| lock.board == addr);
        locks.map(|lock| (lock.lock, lock.polarity)).collect()
    }
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    io::Read::read_to_string(&mut io::Read::take(File::open(path)?, FILE_MAX_BYTES), &mut text)?;
    Ok(text)
}

fn replace(dir: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temp = path.with_extension("tmp");
    let mut open = OpenOptions::new();
    let mut file = open.write(true).create(true).truncate(true).mode(FILE_MODE).open(&temp)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temp, path)?;
    File::open(dir)?.sync_all()
}
