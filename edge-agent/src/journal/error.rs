//! What can go wrong with the journal, one type for each operation.
//!
//! Three kinds need telling apart by the caller: out of space (load: stop deposits, give up the
//! ballast), a failed disk (final: the process restarts) and damage (a person decides).

use std::{
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use thiserror::Error;

/// The disk refused one act on one path.
#[derive(Debug, Error)]
#[error("cannot {act} {}", path.display())]
pub struct DiskFault {
    pub act: Act,
    pub path: PathBuf,
    pub source: io::Error,
}

/// What was asked of the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    Allocate,
    Create,
    List,
    Lock,
    Measure,
    Open,
    Read,
    Remove,
    Rename,
    Sync,
    Truncate,
    Write,
}

/// What is wrong with a file, found at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Damage {
    #[error("the segment's header cannot be read or is not this segment's")]
    Header,
    #[error("the segment belongs to another stream")]
    Stream,
    #[error("the frame's head fails its checksum")]
    Head,
    #[error("the file ends inside a frame or a call")]
    Cut,
    #[error("the record fails its checksum")]
    Record,
    #[error("the detached part fails its checksum")]
    Detached,
    #[error("the frame is whole but not the one due here")]
    Order,
    #[error("a segment is missing before this one")]
    Missing,
    #[error("the hash chain does not continue")]
    Chain,
}

#[derive(Debug, Error)]
pub enum CreateError {
    #[error("{} holds a journal already", dir.display())]
    Exists { dir: PathBuf },
    #[error("{} is in use by another process", dir.display())]
    Locked { dir: PathBuf },
    #[error("no space to create a journal")]
    OutOfSpace { source: DiskFault },
    #[error(transparent)]
    Disk(#[from] DiskFault),
}

#[derive(Debug, Error)]
pub enum OpenError {
    #[error("{} holds no journal", dir.display())]
    NotCreated { dir: PathBuf },
    #[error("{} is in use by another process", dir.display())]
    Locked { dir: PathBuf },
    #[error(
        "{} has journal format {found}, written by a newer agent; this agent reads up to {known}: \
         install that agent or a later one, or restore a copy of the directory made before it",
        segment.display()
    )]
    NewerFormat { segment: PathBuf, found: u16, known: u16 },
    /// Records that were acknowledged cannot be read. Nothing was changed.
    #[error("{} is damaged at byte {offset}, seq {seq}", segment.display())]
    Damaged {
        segment: PathBuf,
        offset: u64,
        /// The first seq that cannot be trusted.
        seq: u64,
        #[source]
        damage: Damage,
    },
    #[error(transparent)]
    Disk(#[from] DiskFault),
}

#[derive(Debug, Error)]
pub enum AppendError {
    #[error("a call without entries")]
    NoEntries,
    #[error("{count} entries in one call, the limit is {max}")]
    TooManyEntries { count: usize, max: usize },
    #[error("entry {index} has an empty record")]
    EmptyRecord { index: usize },
    #[error("record of entry {index} has {bytes} bytes, the limit is {max}")]
    RecordTooLarge { index: usize, bytes: usize, max: usize },
    #[error("entry {index} has an empty detached part")]
    EmptyDetached { index: usize },
    #[error("detached part of entry {index} has {bytes} bytes, the limit is {max}")]
    DetachedTooLarge { index: usize, bytes: usize, max: usize },
    #[error("a call of {bytes} bytes, the limit is {max}")]
    CallTooLarge { bytes: usize, max: usize },
    /// Nothing of the call was kept; the journal can be used on.
    #[error("no space for more records")]
    OutOfSpace { source: DiskFault },
    /// Final: whether the call is on the disk is known only after a restart.
    #[error("the journal's disk failed")]
    Disk { source: DiskFault },
    #[error("the journal failed before; the process must restart")]
    Failed,
}

/// Why records were not taken back.
#[derive(Debug, Error)]
pub enum CutError {
    #[error("the records cannot be read")]
    Read(#[from] ReadError),
    #[error("the records cannot be written again")]
    Append(#[from] AppendError),
    #[error(transparent)]
    Disk(#[from] DiskFault),
    #[error("the journal's disk failed before")]
    Failed,
}

#[derive(Debug, Error)]
pub enum ReadError {
    #[error("records below {oldest} are pruned")]
    Pruned { oldest: u64 },
    #[error("the journal ends at {head}")]
    BeyondHead { head: u64 },
    #[error("{} is damaged at byte {offset}, seq {seq}", segment.display())]
    Damaged {
        segment: PathBuf,
        offset: u64,
        seq: u64,
        #[source]
        damage: Damage,
    },
    #[error("the journal failed before; the process must restart")]
    Failed,
    #[error(transparent)]
    Disk(#[from] DiskFault),
}

#[derive(Debug, Error)]
pub enum EraseError {
    #[error("the record cannot be found")]
    Read(#[from] ReadError),
    /// Only on disks that copy on write; the erasure can be asked for again.
    #[error("no space to overwrite in place")]
    OutOfSpace { source: DiskFault },
    #[error("the journal's disk failed")]
    Disk { source: DiskFault },
    #[error("the journal failed before; the process must restart")]
    Failed,
}

#[derive(Debug, Error)]
pub enum PruneError {
    #[error("the journal failed before; the process must restart")]
    Failed,
    #[error(transparent)]
    Disk(#[from] DiskFault),
}

#[derive(Debug, Error)]
pub enum SpaceError {
    #[error("no space for the ballast")]
    OutOfSpace { source: DiskFault },
    #[error("the journal failed before; the process must restart")]
    Failed,
    #[error(transparent)]
    Disk(#[from] DiskFault),
}

#[derive(Debug, Error)]
pub enum SnapshotError {
    #[error("a snapshot of {bytes} bytes, the limit is {max}")]
    TooLarge { bytes: usize, max: usize },
    #[error("no space for the snapshot")]
    OutOfSpace { source: DiskFault },
    #[error(transparent)]
    Disk(#[from] DiskFault),
}

impl SnapshotError {
    /// Whether the disk is only full.
    pub(crate) fn is_out_of_space(&self) -> bool {
        match self {
            Self::OutOfSpace { .. } => true,
            Self::Disk(fault) => fault.is_out_of_space(),
            Self::TooLarge { .. } => false,
        }
    }
}

impl DiskFault {
    /// For `map_err`.
    pub(super) fn new(act: Act, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self { act, path: path.to_owned(), source }
    }

    /// Full, and known to be so before a sync: what was written can still be taken back. A sync
    /// that runs out of space has lost pages like any other failed sync.
    pub(crate) fn is_out_of_space(&self) -> bool {
        matches!(self.act, Act::Allocate | Act::Create | Act::Write)
            && matches!(self.source.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
    }
}

impl std::fmt::Display for Act {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Allocate => "allocate",
            Self::Create => "create",
            Self::List => "list",
            Self::Lock => "lock",
            Self::Measure => "measure",
            Self::Open => "open",
            Self::Read => "read",
            Self::Remove => "remove",
            Self::Rename => "rename",
            Self::Sync => "sync",
            Self::Truncate => "truncate",
            Self::Write => "write",
        })
    }
}
