//! The snapshots of a journal that a state can be made from, and which records they stand in for.
//!
//! Two are kept, because the newest may turn out bad. So records go only below the older one: with all that is above it the
//! state can be made again from either.

use std::path::Path;

use locker_core::ids::StreamId;
use locker_core::journal::{ChainHash, Change, FoldedBy};
use locker_proto::entity::{self, EncodeSnapshotError, decode_snapshot, encode_snapshot};
use thiserror::Error;
use tracing::{info, warn};

use super::fold::{Applied, FoldError};
use super::{History, Ledger, RebuildError};
use crate::journal::{self, Journal, Medium, ReadError, load_snapshots_on, move_snapshot_aside_on};

/// Records after which the fold is exported again.
pub const SNAPSHOT_EVERY_RECORDS: u64 = 4_096;

impl Ledger {
    /// Exports the fold if enough has happened since the last time; for a quiet moment.
    ///
    /// # Errors
    ///
    /// The disk refuses or is full. The next call tries again.
    pub fn snapshot_if_due(&mut self) -> Result<bool, SnapshotLedgerError> {
        let (seq, _) = self.head();
        if seq < self.covered.newest + SNAPSHOT_EVERY_RECORDS {
            return Ok(false);
        }
        self.write_snapshot()?;
        self.covered = self.covered.and(seq);
        Ok(true)
    }

    /// Exports the fold now.
    pub(super) fn write_snapshot(&self) -> Result<(), SnapshotLedgerError> {
        let (seq, hash) = self.head();
        let changes = self.fold.export()?;
        let (fold_version, stream) = (self.fold.folded_by().number(), self.stream);
        let snapshot = entity::Snapshot { fold_version, stream, applied_seq: seq, changes };
        let bytes = encode_snapshot(&snapshot)?;
        let History { medium, dir, .. } = &self.history;
        Ok(journal::write_snapshot_on(&**medium, dir, seq, &hash.0, &bytes)?)
    }
}

/// Why the fold could not be exported.
#[derive(Debug, Error)]
pub enum SnapshotLedgerError {
    #[error("cannot read the fold")]
    Fold(#[from] FoldError),
    #[error("cannot encode the fold")]
    Encode(#[from] EncodeSnapshotError),
    #[error("cannot write the snapshot")]
    Snapshot(#[from] journal::SnapshotError),
}

/// A snapshot that belongs to this journal.
pub(super) struct Fitting {
    pub(super) changes: Vec<Change>,
    pub(super) applied: Applied,
    pub(super) folded_by: FoldedBy,
}

impl Fitting {
    /// None if it is of another history, or says that it is of another place than its file.
    pub(super) fn new(
        content: entity::Snapshot,
        found: &journal::Snapshot,
        journal: &Journal,
        stream: StreamId,
    ) -> Option<Self> {
        let &journal::Snapshot { seq, chain_hash, .. } = found;
        let here = journal.hash_at(seq).is_ok_and(|hash| hash == chain_hash);
        let fits = here && content.stream == stream && content.applied_seq == seq;
        fits.then(|| Self {
            changes: content.changes,
            applied: Applied { stream, seq, hash: ChainHash(chain_hash) },
            folded_by: FoldedBy::from_number(content.fold_version),
        })
    }
}

/// Where the two newest snapshots of a state are; 0 is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Covered {
    pub(super) newest: u64,
    older: u64,
}

impl Covered {
    /// Those of the state that was folded by these rules: one that another state was exported to stands in for no record
    /// of this one. `places` are newest first.
    pub(super) fn by(folded_by: FoldedBy, places: &[(FoldedBy, u64)]) -> Self {
        let own = places.iter().filter(|(by, _)| *by == folded_by);
        let mut own = own.map(|(_, seq)| *seq);
        Self { newest: own.next().unwrap_or(0), older: own.next().unwrap_or(0) }
    }

    /// Another one is written.
    pub(super) const fn and(self, seq: u64) -> Self {
        Self { newest: seq, older: self.newest }
    }

    /// The last record that can be done without, also if the newest turns out bad.
    pub(super) const fn upto(self) -> u64 {
        self.older
    }
}

/// What folding begins with when the journal's records go back to `oldest`; none is the first record. A state by
/// these rules alone comes first, then all records, and only then what older rules had a part in.
pub(super) fn base_of(
    snapshots: Vec<Fitting>,
    oldest: u64,
) -> Result<Option<Fitting>, RebuildError> {
    let newer = snapshots.iter().find(|found| !found.folded_by.can_go_on());
    let newer = newer.map(|found| found.folded_by.newest());
    let mut usable = snapshots;
    usable.retain(|found| found.folded_by.can_go_on() && found.applied.seq + 1 >= oldest);
    let pure = usable.iter().position(|found| found.folded_by.is_by_these_alone());
    match (pure, usable.is_empty()) {
        (Some(at), _) => Ok(Some(usable.swap_remove(at))),
        (None, _) if oldest == 1 => Ok(None),
        (None, false) => Ok(Some(usable.swap_remove(0))),
        (None, true) => Err(match newer {
            Some(found) => RebuildError::NewerRules { found },
            None => RebuildError::NoSnapshot { oldest },
        }),
    }
}

/// Whether sled can be done without: nothing that it may have is better than what these are, nor newer than this agent.
pub(super) fn stand_in_for_sled(snapshots: &[Fitting], oldest: u64) -> bool {
    let alike = snapshots.windows(2).all(|two| two[0].folded_by == two[1].folded_by);
    let usable = |found: &Fitting| found.folded_by.can_go_on() && found.applied.seq + 1 >= oldest;
    alike && snapshots.iter().any(usable)
}

/// The snapshots that belong here, newest first, and the damage for which it cannot be told of others. Whole ones that do
/// not belong here are moved aside: left where they are, those above the head would count as the newest and push out what
/// is written next. One whose place in the journal cannot be read stays: it may belong here all the same.
pub(super) fn fitting_snapshots(
    medium: &dyn Medium,
    dir: &Path,
    journal: &Journal,
    stream: StreamId,
) -> Result<(Vec<Fitting>, Option<ReadError>), RebuildError> {
    let found = load_snapshots_on(medium, dir)?;
    for skipped in &found.skipped {
        warn!(%skipped, "snapshot cannot be used");
    }
    let (mut fitting, mut damage) = (Vec::new(), None);
    for snapshot in found.snapshots {
        let seq = snapshot.seq;
        let content = decode_snapshot(&snapshot.bytes).ok();
        let of_stream = content.as_ref().is_none_or(|content| content.stream == stream);
        match journal.hash_at(seq) {
            Ok(hash) if of_stream && hash == snapshot.chain_hash => {}
            Ok(_) | Err(ReadError::Pruned { .. } | ReadError::BeyondHead { .. }) => {
                info!(seq, "snapshot of another history");
                match move_snapshot_aside_on(medium, dir, seq) {
                    // It takes part in nothing, and the next start tries again.
                    Err(error) if error.is_out_of_space() => warn!(seq, %error, "snapshot stays"),
                    done => done?,
                }
                continue;
            }
            Err(error) => {
                warn!(seq, %error, "snapshot's place in the journal cannot be read");
                damage = Some(error);
                continue;
            }
        }
        fitting
            .extend(content.and_then(|content| Fitting::new(content, &snapshot, journal, stream)));
    }
    Ok((fitting, damage))
}
