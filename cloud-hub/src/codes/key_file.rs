//! Secrets of 256 bits as small text files, in the form of the signing keys: comment lines that
//! start with `#`, then 64 hex digits.

use std::fmt;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use thiserror::Error;
use zeroize::Zeroizing;

/// Bytes of a secret.
pub const SECRET_BYTES: usize = 32;
/// Longest file we read, in bytes; a longer one is none of ours.
const FILE_MAX_BYTES: usize = 4_096;

/// 256 secret bits. Prints as nothing.
#[derive(Clone)]
pub struct Secret(Zeroizing<[u8; SECRET_BYTES]>);

impl Secret {
    /// Reads a `.key` file.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or does not hold exactly one secret.
    pub fn load(path: &Path) -> Result<Self, SecretFileError> {
        let read = |source| SecretFileError::Read { path: path.to_owned(), source };
        let text = Zeroizing::new(std::fs::read_to_string(path).map_err(read)?);
        Self::parse(&text).ok_or_else(|| SecretFileError::Malformed { path: path.to_owned() })
    }

    /// A fresh one.
    ///
    /// # Errors
    ///
    /// When the system gives no random bytes.
    pub fn generate() -> Result<Self, SecretFileError> {
        let mut bytes = Zeroizing::new([0; SECRET_BYTES]);
        aws_lc_rs::rand::fill(&mut *bytes).map_err(|_| SecretFileError::Random)?;
        Ok(Self(bytes))
    }

    /// What to write into its file; `what` is for people.
    #[must_use]
    pub fn file_text(&self, what: &str) -> Zeroizing<String> {
        let mut text = Zeroizing::new(format!("# Postern {what}, hex: keep it secret\n"));
        // It must not grow, or copies stay behind in memory.
        text.reserve_exact(2 * SECRET_BYTES + 1);
        push_hex_line(&mut text, &*self.0);
        text
    }

    pub(super) fn bytes(&self) -> &[u8; SECRET_BYTES] {
        &self.0
    }

    fn parse(text: &str) -> Option<Self> {
        if text.len() > FILE_MAX_BYTES {
            return None;
        }
        let is_content = |line: &&str| !line.is_empty() && !line.starts_with('#');
        let mut lines = text.lines().map(str::trim).filter(is_content);
        let (line, None) = (lines.next()?, lines.next()) else { return None };
        if line.len() != 2 * SECRET_BYTES || !line.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let mut bytes = Zeroizing::new([0; SECRET_BYTES]);
        for (place, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(line.get(2 * place..2 * place + 2)?, 16).ok()?;
        }
        Some(Self(bytes))
    }
}

impl From<[u8; SECRET_BYTES]> for Secret {
    fn from(bytes: [u8; SECRET_BYTES]) -> Self {
        Self(Zeroizing::new(bytes))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Adds bytes in hex and the end of the line.
pub(super) fn push_hex_line(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text.push('\n');
}

/// Why a secret's file is of no use.
#[derive(Debug, Error)]
pub enum SecretFileError {
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{} does not hold one secret of 64 hex digits", path.display())]
    Malformed { path: PathBuf },
    #[error("no random bytes to be had")]
    Random,
}

#[cfg(test)]
mod tests;
