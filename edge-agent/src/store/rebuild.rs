//! Opens sled and brings it up to the journal, or makes it again from a snapshot and the journal.
//!
//! sled is believed only if it stands at a place that the journal has too, with the same hash.

use std::path::Path;

use locker_core::ids::StreamId;
use locker_core::journal::{ChainHash, FOLD_VERSION};
use locker_proto::entity::decode_snapshot;
use locker_proto::record::{DecodeError, decode_record};
use thiserror::Error;

use super::fold::{Applied, FoldError, SledFold, move_aside};
use crate::journal::{self, Journal, load_snapshots};

/// Records read at a time while replaying.
const REPLAY_RECORDS: usize = 1_024;
/// Bytes read at a time while replaying.
const REPLAY_BYTES: usize = 1024 * 1024;

/// Why the state cannot be made from the journal.
#[derive(Debug, Error)]
pub enum RebuildError {
    #[error("cannot read the journal")]
    Read(#[from] journal::ReadError),
    #[error("record {seq} cannot be read; was it written by a newer agent?")]
    Record { seq: u64, source: DecodeError },
    #[error("cannot write sled")]
    Fold(#[from] FoldError),
    #[error("cannot move the unusable sled store aside")]
    MoveAside(#[source] std::io::Error),
    #[error("cannot look for snapshots")]
    Snapshots(#[from] journal::SnapshotError),
    #[error("records below {oldest} are pruned and no snapshot covers them")]
    NoSnapshot { oldest: u64 },
}

/// A fold that stands at the journal's head.
pub(super) struct Rebuilt {
    pub fold: SledFold,
    pub replayed: u64,
    pub snapshot_seq: u64,
    pub why: Option<String>,
}

/// Opens the fold in `dir`, replays what it lacks, and makes it again where it cannot be believed.
pub(super) fn open_fold(
    dir: &Path,
    journal: &Journal,
    stream: StreamId,
) -> Result<Rebuilt, RebuildError> {
    let sled_dir = dir.join("sled");
    let snapshots = load_snapshots(dir)?;
    let snapshot_seq = snapshots.snapshots.first().map_or(0, |newest| newest.seq);
    let why = match SledFold::open(&sled_dir).map(|fold| (distrust(&fold, journal, stream), fold)) {
        Ok((None, mut fold)) => match replay(&mut fold, journal, stream) {
            Ok(replayed) => return Ok(Rebuilt { fold, replayed, snapshot_seq, why: None }),
            Err(RebuildError::Fold(error)) => error.to_string(),
            Err(error) => return Err(error),
        },
        Ok((Some(why), _)) => why,
        Err(error) => error.to_string(),
    };
    if sled_dir.exists() {
        move_aside(&sled_dir).map_err(RebuildError::MoveAside)?;
    }
    let mut fold = SledFold::open(&sled_dir)?;
    for snapshot in &snapshots.snapshots {
        if restore(&mut fold, snapshot, journal, stream)? {
            break;
        }
    }
    let start = fold.applied().map_or(1, |applied| applied.seq + 1);
    let oldest = journal.oldest_seq();
    if start < oldest {
        return Err(RebuildError::NoSnapshot { oldest });
    }
    let replayed = replay(&mut fold, journal, stream)?;
    Ok(Rebuilt { fold, replayed, snapshot_seq, why: Some(why) })
}

/// Why the fold does not belong to this journal, if it does not.
fn distrust(fold: &SledFold, journal: &Journal, stream: StreamId) -> Option<String> {
    let Some(applied) = fold.applied() else {
        return (journal.oldest_seq() > 1).then(|| "sled is empty".to_owned());
    };
    if applied.stream != stream {
        return Some("sled is of another stream".to_owned());
    }
    if applied.seq > journal.head_seq() {
        return Some("sled is ahead of the journal".to_owned());
    }
    match journal.hash_at(applied.seq) {
        Ok(hash) if hash == applied.hash.0 => None,
        Ok(_) => Some("sled disagrees with the journal".to_owned()),
        Err(error) => Some(format!("sled's place in the journal: {error}")),
    }
}

/// Takes a snapshot over if it belongs to this journal and these rules.
fn restore(
    fold: &mut SledFold,
    snapshot: &journal::Snapshot,
    journal: &Journal,
    stream: StreamId,
) -> Result<bool, RebuildError> {
    let known = journal.hash_at(snapshot.seq).is_ok_and(|hash| hash == snapshot.chain_hash);
    let Ok(content) = decode_snapshot(&snapshot.bytes) else { return Ok(false) };
    let fits = content.fold_version == FOLD_VERSION
        && content.stream == stream
        && content.applied_seq == snapshot.seq;
    if known && fits {
        let hash = ChainHash(snapshot.chain_hash);
        fold.apply(content.changes, Applied { stream, seq: snapshot.seq, hash })?;
    }
    Ok(known && fits)
}

fn replay(fold: &mut SledFold, journal: &Journal, stream: StreamId) -> Result<u64, RebuildError> {
    let mut replayed = 0;
    loop {
        let from = fold.applied().map_or(1, |applied| applied.seq + 1);
        let run = journal.read(from, REPLAY_RECORDS, REPLAY_BYTES)?;
        if run.is_empty() {
            return Ok(replayed);
        }
        for stored in run {
            let seq = stored.seq;
            let unreadable = |source| RebuildError::Record { seq, source };
            let record = decode_record(&stored.record).map_err(unreadable)?;
            let changes = super::fold_record(fold, &record);
            if let Some(fault) = fold.take_fault() {
                return Err(fault.into());
            }
            let hash = locker_core::journal::next_hash(record.previous, &stored.record);
            fold.apply(changes, Applied { stream, seq, hash })?;
            replayed += 1;
        }
    }
}
