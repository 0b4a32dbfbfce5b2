//! Files of the PKI on disk: keys for their owner only, and nothing overwritten.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use super::{Issued, PkiError};

const KEY_MODE: u32 = 0o600;
const PUBLIC_MODE: u32 = 0o644;
const DIRECTORY_MODE: u32 = 0o755;

pub(super) fn make_directory(path: &Path) -> Result<(), PkiError> {
    DirBuilder::new()
        .recursive(true)
        .mode(DIRECTORY_MODE)
        .create(path)
        .map_err(|source| PkiError::Write { path: path.to_owned(), source })
}

/// The key first: a certificate without a key helps nobody, a key without one can be removed.
pub(super) fn write_pair(issued: &Issued, certificate: &str, key: &str) -> Result<(), PkiError> {
    write_two((&issued.key, key), (&issued.certificate, certificate))
}

/// Writes a secret and its public counterpart, neither of which may exist.
pub(super) fn write_two(secret: (&Path, &str), public: (&Path, &str)) -> Result<(), PkiError> {
    if public.0.exists() {
        return Err(PkiError::Exists { path: public.0.to_owned() });
    }
    write_new(secret.0, secret.1, KEY_MODE)?;
    write_new(public.0, public.1, PUBLIC_MODE)
}

/// Writes a secret that has no public counterpart; it may not exist.
pub(super) fn write_secret(path: &Path, text: &str) -> Result<(), PkiError> {
    write_new(path, text, KEY_MODE)
}

/// Writes a public file in one step, over an older one.
pub(super) fn replace(path: &Path, text: &str) -> Result<(), PkiError> {
    let failed = |source| PkiError::Write { path: path.to_owned(), source };
    let temporary = path.with_extension("new");
    let mut file = File::create(&temporary).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    fs::rename(&temporary, path).map_err(failed)
}

pub(super) fn read(path: &Path) -> Result<String, PkiError> {
    fs::read_to_string(path).map_err(|source| PkiError::Read { path: path.to_owned(), source })
}

fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), PkiError> {
    let failed = |source: std::io::Error| {
        let path = path.to_owned();
        if source.kind() == ErrorKind::AlreadyExists {
            PkiError::Exists { path }
        } else {
            PkiError::Write { path, source }
        }
    };
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(mode).open(path).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)
}
