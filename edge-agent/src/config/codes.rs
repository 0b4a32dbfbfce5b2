//! What six-digit codes need at a bank: the file with the secret that their tags are made with.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use locker_core::code::tag::{PEPPER_BYTES, SALT_BYTES, TagKeys};
use serde::Deserialize;
use thiserror::Error;
use zeroize::Zeroizing;

/// Longest keys file we read, in bytes; a longer one is none of ours.
const FILE_MAX_BYTES: usize = 4_096;
/// Permissions that nobody may have: others any, the group more than reading. The group's reading
/// bit is how the mode shows an access list with one user more, as systemd makes for credentials.
const MODE_FORBIDDEN: u32 = 0o037;

/// Six-digit codes.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CodesConfig {
    /// Salt and pepper of this bank's codes; without it the keypad takes no digits.
    pub keys_file: Option<PathBuf>,
}

/// Why a keys file is of no use. The bank goes on without its keypad.
#[derive(Debug, Error)]
pub enum KeysFileError {
    #[error("cannot read {path}")]
    Read { path: PathBuf, source: io::Error },
    #[error("{path} has mode {mode:03o}; nobody but its owner may read or change it")]
    Exposed { path: PathBuf, mode: u32 },
    #[error("{path} does not hold a salt of 32 and a pepper of 64 hex digits, a line each")]
    Malformed { path: PathBuf },
}

impl CodesConfig {
    /// Reads the keys, if a file is named.
    ///
    /// # Errors
    ///
    /// Names the file and what is wrong with it; never what is in it.
    pub fn load(&self) -> Result<Option<TagKeys>, KeysFileError> {
        self.keys_file.as_deref().map(load).transpose()
    }
}

fn load(path: &Path) -> Result<TagKeys, KeysFileError> {
    let read = |source| KeysFileError::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(read)?;
    let mode = file.metadata().map_err(read)?.permissions().mode() & 0o777;
    if mode & MODE_FORBIDDEN != 0 {
        return Err(KeysFileError::Exposed { path: path.to_owned(), mode });
    }
    // It must not grow while it is read, or copies stay behind in memory.
    let mut text = Zeroizing::new(Vec::with_capacity(FILE_MAX_BYTES + 64));
    file.take(FILE_MAX_BYTES as u64 + 1).read_to_end(&mut text).map_err(read)?;
    parse(&text).ok_or_else(|| KeysFileError::Malformed { path: path.to_owned() })
}

/// Comment lines that start with `#`, then the salt and the pepper.
fn parse(text: &[u8]) -> Option<TagKeys> {
    if text.len() > FILE_MAX_BYTES {
        return None;
    }
    let is_content = |line: &&str| !line.is_empty() && !line.starts_with('#');
    let mut lines = std::str::from_utf8(text).ok()?.lines().map(str::trim).filter(is_content);
    let (salt, pepper, None) = (lines.next()?, lines.next()?, lines.next()) else { return None };
    let salt: Zeroizing<[u8; SALT_BYTES]> = hex(salt)?;
    let pepper: Zeroizing<[u8; PEPPER_BYTES]> = hex(pepper)?;
    Some(TagKeys::new(*salt, pepper))
}

fn hex<const N: usize>(digits: &str) -> Option<Zeroizing<[u8; N]>> {
    if digits.len() != 2 * N || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = Zeroizing::new([0; N]);
    for (place, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(digits.get(2 * place..2 * place + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests;
