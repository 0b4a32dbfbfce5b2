//! sled's folder as a whole: how large it is, and where it goes when it is not used on.

use std::io;
use std::path::{Path, PathBuf};

use tracing::{info, warn};

/// What sled may take on the disk before a start makes it again, in bytes. It frees what it no longer needs only inside
/// its file, which grows slowly: a state of 1 MB comes to 24 MiB in 45 busy days and to 34 in 170.
pub(super) const SLED_MAX_BYTES: u64 = 32 << 20;

/// Where the fold has its sled.
pub(super) struct SledFiles {
    pub(super) dir: PathBuf,
    /// One that has grown, until the new one stands.
    grown: PathBuf,
}

impl SledFiles {
    pub(super) fn of(store: &Path) -> Self {
        Self { dir: store.join("sled"), grown: store.join("sled.grown") }
    }

    /// Undoes what a start left half done.
    pub(super) fn put_back(&self) -> io::Result<()> {
        if self.grown.exists() && !self.dir.exists() {
            std::fs::rename(&self.grown, &self.dir)?;
        }
        Ok(())
    }

    /// Whether it takes too much.
    pub(super) fn has_grown(&self) -> io::Result<bool> {
        let bytes = match used_bytes(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            used => used?,
        };
        if bytes > SLED_MAX_BYTES {
            info!(bytes, "sled has grown, it is made again");
        }
        Ok(bytes > SLED_MAX_BYTES)
    }

    /// Takes one that has grown out of the way of a new one.
    pub(super) fn set_grown_aside(&self) -> io::Result<()> {
        if self.grown.exists() {
            std::fs::remove_dir_all(&self.grown)?;
        }
        std::fs::rename(&self.dir, &self.grown)
    }

    /// There is nothing to look at in one that has only grown.
    pub(super) fn drop_grown(&self) {
        if self.grown.exists()
            && let Err(error) = std::fs::remove_dir_all(&self.grown)
        {
            warn!(%error, "sled that has grown not removed");
        }
    }

    /// Takes one that is not believed out of the way of a new one; the two latest such are kept.
    pub(super) fn move_aside(&self) -> io::Result<()> {
        if !self.dir.exists() {
            return Ok(());
        }
        let kept = |n: u8| -> PathBuf {
            let mut name = self.dir.as_os_str().to_owned();
            name.push(format!(".broken-{n}"));
            name.into()
        };
        let (newer, older) = (kept(1), kept(2));
        if newer.exists() {
            if older.exists() {
                std::fs::remove_dir_all(&older)?;
            }
            std::fs::rename(&newer, &older)?;
        }
        std::fs::rename(&self.dir, &newer)
    }

    /// Removes one that was not finished. Whatever is left of it, the next start has another one to make.
    pub(super) fn give_up_unfinished(&self) {
        if self.dir.exists()
            && let Err(error) = std::fs::remove_dir_all(&self.dir)
        {
            warn!(%error, "unfinished sled not removed");
        }
        if let Err(error) = self.put_back() {
            warn!(%error, "sled not put back");
        }
    }
}

/// The lengths of all files below `dir`.
fn used_bytes(dir: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let found = entry.metadata()?;
        bytes += if found.is_dir() { used_bytes(&entry.path())? } else { found.len() };
    }
    Ok(bytes)
}
