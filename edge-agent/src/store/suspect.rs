//! Damage that was met while the agent ran, noted for the next start.
//!
//! A start reads the last segment and of the older ones only what it needs: it would not see that damage again, and the bank
//! would run without its hub. With the note it reads every frame, and refuses in the same words as for any other damage.

use std::io::{self, ErrorKind};
use std::path::Path;

use tracing::{info, warn};

use super::incoming::replace_file;
use super::{History, Ledger};
use crate::journal::{Medium, ReadError, Verify};

/// The file beside the journal that is the note; in it the place, for a person.
const SUSPECT: &str = "journal.suspect";

impl History {
    /// Has the next start read the whole journal because of `damage`.
    ///
    /// # Errors
    ///
    /// The disk refuses or is full; nothing is noted.
    pub fn suspect(&self, damage: &ReadError) -> io::Result<()> {
        replace_file(&*self.medium, &self.dir, SUSPECT, format!("{damage}\n").as_bytes())
    }
}

impl Ledger {
    /// As [`History::suspect`].
    ///
    /// # Errors
    ///
    /// As for [`History::suspect`].
    pub fn suspect(&self, damage: &ReadError) -> io::Result<()> {
        self.history.suspect(damage)
    }
}

/// How much a start reads. A note that cannot be looked for counts as one.
pub(super) fn how_to_verify(medium: &dyn Medium, dir: &Path) -> Verify {
    match medium.open_read(&dir.join(SUSPECT)) {
        Err(error) if error.kind() == ErrorKind::NotFound => Verify::Tail,
        Ok(_) | Err(_) => Verify::All,
    }
}

/// Takes the note back: every frame was read, and all are whole.
pub(super) fn found_whole(medium: &dyn Medium, dir: &Path) {
    let path = dir.join(SUSPECT);
    match medium.remove(&path).and_then(|()| medium.sync_dir(dir)) {
        Ok(()) => info!("journal read through and found whole"),
        // The next start reads it through once more, which harms nobody.
        Err(error) => warn!(%error, "note of damage not removed"),
    }
}
