//! Small files that a power cut leaves either old or new.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

/// Replaces a file so that after a power cut either the old or the new content is there.
pub(super) fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temp = path.with_extension("tmp");
    let mut file = File::create(&temp)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&temp, path)?;
    let dir = path.parent().unwrap_or_else(|| Path::new("."));
    File::open(dir)?.sync_all()
}
