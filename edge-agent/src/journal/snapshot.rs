//! Snapshots: the fold exported at a seq, so that it can be rebuilt without the pruned records.
//!
//! A snapshot is written beside its final name, synced and renamed, so that a file with a
//! snapshot's name is whole or damaged by the disk. Two are kept: the newest may turn out bad.
//!
//! ```text
//! magic "PSTS" | format_version u16 | seq u64 | chain_hash [32] | len u64 | crc32c u32 | bytes
//! ```
//!
//! The checksum covers everything before it and the bytes behind it.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
};

use thiserror::Error;

use super::{
    error::{Act, DiskFault, SnapshotError},
    format::{numbered, take},
    medium::{Disk, Medium, make_dir_durably},
};

/// Largest fold that is written or read; a bank's is some hundred KiB.
pub const SNAPSHOT_MAX_BYTES: usize = 64 << 20;

const MAGIC: [u8; 4] = *b"PSTS";
const FORMAT: u16 = 1;
const HEADER_BYTES: usize = 58;
const CRC_AT: usize = HEADER_BYTES - 4;
const DIR_NAME: &str = "snapshot";
/// The folder for those of another history.
const ASIDE_NAME: &str = "snapshot.other";
const TEMP_NAME: &str = "snapshot.tmp";
const KEPT: usize = 2;

/// The fold at a seq.
#[derive(Clone, PartialEq, Eq)]
pub struct Snapshot {
    pub seq: u64,
    /// Hash of the chain at `seq`, to be compared with the journal's.
    pub chain_hash: [u8; 32],
    pub bytes: Vec<u8>,
}

/// Snapshots that hold, newest first, and files that do not.
#[derive(Debug, Default)]
pub struct Snapshots {
    pub snapshots: Vec<Snapshot>,
    pub skipped: Vec<Skipped>,
}

/// A snapshot file that cannot be used. It is left where it is.
#[derive(Debug, Error)]
pub enum Skipped {
    #[error("{} is not whole", path.display())]
    Damaged { path: PathBuf },
    #[error("{} has snapshot format {found}, this agent reads up to {known}", path.display())]
    NewerFormat { path: PathBuf, found: u16, known: u16 },
    #[error(transparent)]
    Disk(DiskFault),
}

/// Writes the fold at `seq` beside the journal in `dir`; only the two newest whole ones remain.
///
/// # Errors
///
/// It is too large, or the disk refuses. The older snapshots are still there then.
pub fn write_snapshot(
    dir: &Path,
    seq: u64,
    chain_hash: &[u8; 32],
    bytes: &[u8],
) -> Result<(), SnapshotError> {
    write_snapshot_on(&Disk, dir, seq, chain_hash, bytes)
}

/// As [`write_snapshot`], on another disk.
///
/// # Errors
///
/// As there.
pub fn write_snapshot_on(
    medium: &dyn Medium,
    dir: &Path,
    seq: u64,
    chain_hash: &[u8; 32],
    bytes: &[u8],
) -> Result<(), SnapshotError> {
    if bytes.len() > SNAPSHOT_MAX_BYTES {
        return Err(SnapshotError::TooLarge { bytes: bytes.len(), max: SNAPSHOT_MAX_BYTES });
    }
    let into = dir.join(DIR_NAME);
    make_dir_durably(medium, &into)?;
    put_file(medium, &into, &snapshot_name(seq), seq, chain_hash, bytes).map_err(|fault| {
        if fault.is_out_of_space() {
            SnapshotError::OutOfSpace { source: fault }
        } else {
            SnapshotError::Disk(fault)
        }
    })?;
    Ok(drop_older(medium, &into)?)
}

/// Reads the snapshots beside the journal in `dir`, newest first.
///
/// # Errors
///
/// The directory cannot be listed. Files that cannot be used are in the answer.
pub fn load_snapshots(dir: &Path) -> Result<Snapshots, SnapshotError> {
    load_snapshots_on(&Disk, dir)
}

/// As [`load_snapshots`], on another disk.
///
/// # Errors
///
/// As there.
pub fn load_snapshots_on(medium: &dyn Medium, dir: &Path) -> Result<Snapshots, SnapshotError> {
    let mut found = Snapshots::default();
    for (path, seq) in newest_first(medium, &dir.join(DIR_NAME))? {
        match load(medium, &path, seq) {
            Ok(snapshot) => found.snapshots.push(snapshot),
            Err(skipped) => found.skipped.push(skipped),
        }
    }
    Ok(found)
}

/// Moves the snapshot at `seq` out of the way, into a folder of its own; the others stay where they are at every step. Of
/// those that were moved the two newest remain.
///
/// # Errors
///
/// The disk refuses.
pub fn move_snapshot_aside_on(
    medium: &dyn Medium,
    dir: &Path,
    seq: u64,
) -> Result<(), SnapshotError> {
    let (from, aside) = (dir.join(DIR_NAME), dir.join(ASIDE_NAME));
    make_dir_durably(medium, &aside)?;
    let (path, to) = (from.join(snapshot_name(seq)), aside.join(snapshot_name(seq)));
    medium.rename(&path, &to).map_err(DiskFault::new(Act::Rename, &path))?;
    medium.sync_dir(&aside).map_err(DiskFault::new(Act::Sync, &aside))?;
    medium.sync_dir(&from).map_err(DiskFault::new(Act::Sync, &from))?;
    for (path, _) in newest_first(medium, &aside)?.into_iter().skip(KEPT) {
        medium.remove(&path).map_err(DiskFault::new(Act::Remove, &path))?;
    }
    Ok(())
}

fn put_file(
    medium: &dyn Medium,
    into: &Path,
    name: &str,
    seq: u64,
    chain_hash: &[u8; 32],
    bytes: &[u8],
) -> Result<(), DiskFault> {
    let (temp, path) = (into.join(TEMP_NAME), into.join(name));
    match medium.remove(&temp) {
        Err(err) if err.kind() != ErrorKind::NotFound => {
            return Err(DiskFault::new(Act::Remove, &temp)(err));
        }
        Ok(()) | Err(_) => {}
    }
    let file = medium.create(&temp).map_err(DiskFault::new(Act::Create, &temp))?;
    let header = encode_header(seq, chain_hash, bytes);
    let written = file
        .write_all_at(&header, 0)
        .and_then(|()| file.write_all_at(bytes, HEADER_BYTES as u64))
        .map_err(DiskFault::new(Act::Write, &temp));
    if let Err(fault) = written {
        medium.remove(&temp).map_err(DiskFault::new(Act::Remove, &temp))?;
        return Err(fault);
    }
    file.sync_all().map_err(DiskFault::new(Act::Sync, &temp))?;
    medium.rename(&temp, &path).map_err(DiskFault::new(Act::Rename, &path))?;
    medium.sync_dir(into).map_err(DiskFault::new(Act::Sync, into))
}

/// Removes what is older than the two newest that hold. One that does not hold is no reason to
/// drop one that does.
fn drop_older(medium: &dyn Medium, into: &Path) -> Result<(), DiskFault> {
    let mut whole = 0;
    for (path, seq) in newest_first(medium, into)? {
        if whole == KEPT {
            medium.remove(&path).map_err(DiskFault::new(Act::Remove, &path))?;
        } else if load(medium, &path, seq).is_ok() {
            whole += 1;
        }
    }
    Ok(())
}

fn newest_first(medium: &dyn Medium, from: &Path) -> Result<Vec<(PathBuf, u64)>, DiskFault> {
    let names = match medium.list(from) {
        Ok(names) => names,
        Err(err) if err.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(err) => return Err(DiskFault::new(Act::List, from)(err)),
    };
    let seqs = names.iter().filter_map(|name| numbered(name, "snap-", ".bin"));
    let mut files: Vec<_> = seqs.map(|seq| (from.join(snapshot_name(seq)), seq)).collect();
    files.sort_unstable_by_key(|(_, seq)| std::cmp::Reverse(*seq));
    Ok(files)
}

fn load(medium: &dyn Medium, path: &Path, seq: u64) -> Result<Snapshot, Skipped> {
    let file = medium.open_read(path).map_err(DiskFault::new(Act::Open, path));
    let file = file.map_err(Skipped::Disk)?;
    let len = file.size().map_err(DiskFault::new(Act::Measure, path)).map_err(Skipped::Disk)?;
    let damaged = || Skipped::Damaged { path: path.to_owned() };
    if len > (HEADER_BYTES + SNAPSHOT_MAX_BYTES) as u64 {
        return Err(damaged());
    }
    let bytes = file.read_whole().map_err(DiskFault::new(Act::Read, path));
    let mut bytes = bytes.map_err(Skipped::Disk)?;
    let version = take(&bytes, 4).map(u16::from_le_bytes);
    match version {
        Some(found) if bytes.starts_with(&MAGIC) && found > FORMAT => {
            let (path, known) = (path.to_owned(), FORMAT);
            return Err(Skipped::NewerFormat { path, found, known });
        }
        Some(_) | None => {}
    }
    let header: [u8; HEADER_BYTES] = take(&bytes, 0).ok_or_else(damaged)?;
    let chain_hash = take(&header, 14).ok_or_else(damaged)?;
    let bytes = bytes.split_off(HEADER_BYTES);
    // The same fields encode to the same header, or one of them is not what was written.
    if header != encode_header(seq, &chain_hash, &bytes) {
        return Err(damaged());
    }
    Ok(Snapshot { seq, chain_hash, bytes })
}

fn encode_header(seq: u64, chain_hash: &[u8; 32], bytes: &[u8]) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..4].copy_from_slice(&MAGIC);
    header[4..6].copy_from_slice(&FORMAT.to_le_bytes());
    header[6..14].copy_from_slice(&seq.to_le_bytes());
    header[14..46].copy_from_slice(chain_hash);
    header[46..CRC_AT].copy_from_slice(&(bytes.len() as u64).to_le_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c(&header[..CRC_AT]), bytes);
    header[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
    header
}

fn snapshot_name(seq: u64) -> String {
    format!("snap-{seq:020}.bin")
}

// The fold holds personal data.
impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { seq, chain_hash: _, bytes } = self;
        f.debug_struct("Snapshot").field("seq", seq).field("bytes", &bytes.len()).finish()
    }
}
