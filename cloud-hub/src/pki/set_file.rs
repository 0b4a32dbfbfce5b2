//! The key set as a text file: comment lines for people, then one line of hex, which is the signed document as banks get
//! it.
//!
//! Nothing in it is secret. The comments are not read: what counts is what the root has signed.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use locker_core::credential::{KEYS_MAX, KeySet};
use locker_proto::Malformed;
use locker_proto::key_set::{OpenKeySetError, RootKey, SignedKeySet};

use super::PkiError;
use super::files;
use super::signing::{SigningSeed, hex};

/// Longest file that is looked at, in bytes: a full set takes about 2,000.
const FILE_MAX_BYTES: usize = 64 * 1024;

/// A key set with its root's signature, as it was read from a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySetFile {
    /// As banks get it.
    pub signed: SignedKeySet,
    /// What it says.
    pub keys: KeySet,
}

impl KeySetFile {
    /// Signs `keys`.
    #[must_use]
    pub fn sign(root: &SigningSeed, keys: KeySet) -> Self {
        Self { signed: SignedKeySet::sign(root.signing_key(), &keys), keys }
    }

    /// Reads a file and holds it against its own signature, so that damage shows here and not at
    /// every bank. Whether its root is one that banks believe is theirs to say.
    ///
    /// # Errors
    /// When it cannot be read, is no such file, was altered, or holds no sound key set.
    pub fn load(path: &Path) -> Result<Self, KeySetFileError> {
        let of = |problem| KeySetFileError { path: path.to_owned(), problem };
        let text = std::fs::read_to_string(path).map_err(|error| of(Problem::Read(error)))?;
        let bytes = unhex(&text).ok_or_else(|| of(Problem::Form))?;
        let signed = SignedKeySet::decode(&bytes).map_err(|error| of(Problem::Malformed(error)))?;
        let keys = signed.open(&[signed.root()]).map_err(|error| of(Problem::Signature(error)))?;
        if keys.is_sound() { Ok(Self { signed, keys }) } else { Err(of(Problem::Unsound)) }
    }

    /// Who signed it.
    #[must_use]
    pub const fn root(&self) -> RootKey {
        self.signed.root()
    }

    /// Puts it in the place of an older one, in one step.
    pub(crate) fn replace(&self, path: &Path) -> Result<(), PkiError> {
        files::replace(path, &self.text())
    }

    fn text(&self) -> String {
        let KeySet { generation, keys, command, root: _ } = &self.keys;
        let mut text = format!(
            "# Postern key set, generation {}, signed by the hub's root {}. Nothing in it is secret.\n",
            generation.0,
            self.root(),
        );
        // Writing to a String does not fail.
        for key in command {
            let _ = writeln!(text, "# command key {}: {}", key.kid, hex(&key.public));
        }
        for key in keys {
            let _ = writeln!(text, "# credential key {}: {}", key.kid, hex(&key.public));
        }
        text + &hex(&self.signed.encode()) + "\n"
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if text.len() > FILE_MAX_BYTES {
        return None;
    }
    let mut lines =
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let (line, None) = (lines.next()?, lines.next()) else { return None };
    if !line.len().is_multiple_of(2) || !line.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    (0..line.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(line.get(at..at + 2)?, 16).ok())
        .collect()
}

/// Why a key set's file is of no use.
#[derive(Debug, thiserror::Error)]
#[error("the key set {} cannot be used", path.display())]
pub struct KeySetFileError {
    path: PathBuf,
    #[source]
    problem: Problem,
}

#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error("it cannot be read")]
    Read(#[source] std::io::Error),
    #[error("it is not one line of hex digits beside its comments")]
    Form,
    #[error("its line of hex digits is no signed key set")]
    Malformed(#[source] Malformed),
    #[error("its signature is of no use")]
    Signature(#[source] OpenKeySetError),
    #[error("of each kind there must be one to {KEYS_MAX} keys with different ids")]
    Unsound,
}
