//! The journal's files: a bank's truth, written before any door moves.
//!
//! A journal is a directory of segment files, each a header and then framed records, and beside
//! them a lock file, a ballast that keeps room for pickups on a full disk, and snapshots of the
//! fold. Everything here is synchronous: it runs on a thread of its own, and what `append` returns
//! is on the disk.
//!
//! ```text
//! <dir>/lock                              held while a process has the journal open
//! <dir>/ballast                           space given up when the disk is full
//! <dir>/seg-00000000000000000001.log      header | frame | frame | ...
//! <dir>/snapshot/snap-00000000000000000042.bin
//! ```
//!
//! Three promises shape the code. A call to `append` is all or nothing, even when the power goes
//! in the middle of its write. A sync that failed is never tried again: the kernel may have
//! thrown the pages away, so the journal latches and its process has to restart. And damage to
//! what was once acknowledged is an error with a place, never a shorter journal.

mod cut;
mod erase;
mod error;
mod format;
mod medium;
mod open;
mod reader;
mod salvage;
mod scan;
mod snapshot;
mod space;
mod writer;

pub use erase::{Erasure, Pruned};
pub use error::{
    Act, AppendError, CreateError, CutError, Damage, DiskFault, EraseError, OpenError, PruneError,
    ReadError, SnapshotError, SpaceError,
};
pub use format::{
    CALL_MAX_ENTRIES, DETACHED_MAX_BYTES, GENESIS_HASH, RECORD_MAX_BYTES, chain_hash,
};
pub use medium::{Disk, Medium, MediumFile, MediumLock};
pub use open::{Recovery, Verify};
pub use reader::JournalReader;
pub use salvage::{Salvage, Salvaged, salvage_on};
pub use scan::fuzz_segment;
pub use snapshot::{
    SNAPSHOT_MAX_BYTES, Skipped, Snapshot, Snapshots, load_snapshots, load_snapshots_on,
    move_snapshot_aside_on, write_snapshot, write_snapshot_on,
};
pub use space::Space;
pub use writer::Journal;

/// One record to append, with the part that may later be erased.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    pub record: &'a [u8],
    /// Salt and bytes of which the record carries only a hash; never empty when present.
    pub detached: Option<&'a [u8]>,
}

/// What one call of `append` put on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    pub first_seq: u64,
    pub last_seq: u64,
    /// Hash of the chain at `last_seq`.
    pub head_hash: [u8; 32],
}

/// One record as it was written.
#[derive(Clone, PartialEq, Eq)]
pub struct Stored {
    pub seq: u64,
    pub record: Vec<u8>,
    pub detached: Detached,
}

/// The detached part of a stored record.
#[derive(Clone, PartialEq, Eq)]
pub enum Detached {
    None,
    Some(Vec<u8>),
    /// There was one; its bytes are zero on the disk.
    Erased,
}

/// How much the journal may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A segment that would grow past this is followed by a new one. A single call larger than
    /// this still gets a segment to itself.
    pub segment_bytes: u32,
    /// Bytes of all frames of one call of `append`; a larger call is refused.
    pub call_bytes: u32,
    /// Size of the ballast file; 0 means none is kept.
    pub ballast_bytes: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { segment_bytes: 4 << 20, call_bytes: 1 << 20, ballast_bytes: 4 << 20 }
    }
}

// Records and detached parts hold what people did and who they are: sizes are enough for a log.
impl std::fmt::Debug for Stored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stored")
            .field("seq", &self.seq)
            .field("record_bytes", &self.record.len())
            .field("detached", &self.detached)
            .finish()
    }
}

impl std::fmt::Debug for Detached {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Some(bytes) => write!(f, "Some({} bytes)", bytes.len()),
            Self::Erased => f.write_str("Erased"),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
