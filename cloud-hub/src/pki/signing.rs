//! Ed25519 keys as small text files: comment lines that start with `#`, then 64 hex digits.
//!
//! Hex and not PKCS#8, because the same 32 bytes are pinned in agents' configuration and printed
//! in runbooks, where they should be comparable by eye.

use std::fmt;
use std::path::{Path, PathBuf};

use ed25519_dalek::{SigningKey, VerifyingKey};

use super::{PkiError, files};

/// Bytes of a seed and of a public key (RFC 8032, section 5.1.5).
const KEY_BYTES: usize = 32;

/// The secret half; prints as nothing.
#[derive(Clone)]
pub struct SigningSeed(SigningKey);

impl SigningSeed {
    /// Reads a `.key` file.
    ///
    /// # Errors
    /// When the file cannot be read or does not hold exactly one key.
    pub fn load(path: &Path) -> Result<Self, SigningKeyError> {
        load(path).map(|seed| Self(SigningKey::from_bytes(&seed)))
    }

    /// The key to sign with.
    #[must_use]
    pub const fn signing_key(&self) -> &SigningKey {
        &self.0
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    #[cfg(test)]
    pub(crate) fn of(seed: [u8; KEY_BYTES]) -> Self {
        Self(SigningKey::from_bytes(&seed))
    }

    pub(super) fn generate() -> Result<Self, SigningKeyError> {
        let mut seed = [0; KEY_BYTES];
        aws_lc_rs::rand::fill(&mut seed).map_err(|_| SigningKeyError::Random)?;
        Ok(Self(SigningKey::from_bytes(&seed)))
    }

    /// Writes both halves; `what` is for people.
    pub(super) fn write(&self, what: &str, secret: &Path, public: &Path) -> Result<(), PkiError> {
        let seed = text(&format!("{what}, Ed25519 seed: keep it secret"), self.0.as_bytes());
        let key = text(&format!("{what}, Ed25519 public key"), self.0.verifying_key().as_bytes());
        files::write_two((secret, &seed), (public, &key))
    }
}

impl fmt::Debug for SigningSeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningSeed(..)")
    }
}

/// The public half; prints as hex.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    /// Reads a `.pub` file.
    ///
    /// # Errors
    /// When the file cannot be read or does not hold exactly one key.
    pub fn load(path: &Path) -> Result<Self, SigningKeyError> {
        let bytes = load(path)?;
        VerifyingKey::from_bytes(&bytes)
            .map(Self)
            .map_err(|_| SigningKeyError::Malformed { path: path.to_owned() })
    }

    /// The key to verify with.
    #[must_use]
    pub const fn verifying_key(&self) -> &VerifyingKey {
        &self.0
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(self.0.as_bytes()))
    }
}

/// Why a key file is of no use.
#[derive(Debug, thiserror::Error)]
pub enum SigningKeyError {
    /// The file could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file does not hold one key.
    #[error("{} does not hold one key of 64 hex digits", path.display())]
    Malformed {
        /// Which file.
        path: PathBuf,
    },
    /// The system gave no random bytes.
    #[error("no random bytes to be had")]
    Random,
}

fn text(what: &str, key: &[u8; KEY_BYTES]) -> String {
    format!("# Postern {what}, hex.\n{}\n", hex(key))
}

fn load(path: &Path) -> Result<[u8; KEY_BYTES], SigningKeyError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| SigningKeyError::Read { path: path.to_owned(), source })?;
    let mut lines =
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    match (lines.next().and_then(unhex), lines.next()) {
        (Some(key), None) => Ok(key),
        _ => Err(SigningKeyError::Malformed { path: path.to_owned() }),
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(text: &str) -> Option<[u8; KEY_BYTES]> {
    if text.len() != KEY_BYTES * 2 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut key = [0; KEY_BYTES];
    for (place, byte) in key.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(place * 2..place * 2 + 2)?, 16).ok()?;
    }
    Some(key)
}
