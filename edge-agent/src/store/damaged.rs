//! A journal that is damaged in its middle, and the stream that a person puts in its place.
//!
//! The new one begins with what is left of the state: one that was kept (sled's, a snapshot's, or none before the first
//! record), and on top of it every record behind that can still be read. What was done last counts most: a code that was
//! used up in any of these records must open nothing again.

use std::cmp::Reverse;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use locker_core::ids::StreamId;
use locker_core::journal::carry::{InDoubt, carried};
use locker_core::journal::{
    CHAIN_START, ChainHash, Change, FoldedBy, MemoryView, Parent, Place, StreamBreak, View as _,
    next_hash,
};
use locker_proto::entity::decode_snapshot;
use locker_proto::record::decode_record;
use thiserror::Error;
use tracing::{info, warn};

use super::fold::SledFold;
use super::successor::{Beginning, SuccessorError, finish_swap, write_successor};
use super::{Home, JOURNAL, Keeper, Limits, Stamp, fold_record, is_in_doubt};
use crate::journal::{
    self, Disk, Journal, Medium, Salvage, Salvaged, Verify, load_snapshots_on, salvage_on,
};

/// A state that is kept beside a journal, and the record that it was folded up to.
#[derive(Clone, Debug)]
pub struct Kept {
    pub stream: StreamId,
    pub at: Place,
    /// All of it, as the changes that would make it from nothing.
    pub changes: Vec<Change>,
}

/// Why a damaged journal was not replaced. Nothing was changed.
#[derive(Debug, Error)]
pub enum BeginAnewError {
    #[error("{dir} is not damaged; there is nothing to begin anew")]
    NotDamaged { dir: PathBuf },
    #[error("the agent runs on {dir}; stop it first")]
    AgentRuns { dir: PathBuf },
    #[error(
        "{dir} holds no journal, so nothing can go on from it; start the agent: it begins as one with a new disk does"
    )]
    Absent { dir: PathBuf },
    #[error("the journal cannot be looked at")]
    Open(#[source] journal::OpenError),
    #[error(
        "nothing is left of the bank's state; move journal, sled and snapshot out of {dir} and start the agent: it \
         begins as one with a new disk does"
    )]
    NothingLeft { dir: PathBuf },
    #[error("the journal cannot be read")]
    Disk(#[from] journal::DiskFault),
    #[error("the state's snapshots cannot be read")]
    Snapshots(#[from] journal::SnapshotError),
    #[error("no new stream was begun")]
    Successor(#[from] SuccessorError),
}

/// Puts a new stream in the place of the damaged journal in `dir`, which is moved aside. What is known of the state is
/// carried over, and the content of every compartment is in doubt. A person's decision: it is never made silently.
///
/// # Errors
///
/// The journal is whole or in use, nothing of the state is left, or the disk refuses.
pub fn begin_anew(
    dir: &Path,
    limits: Limits,
    keeper: &Keeper,
    stamp: Stamp,
) -> Result<Parent, BeginAnewError> {
    begin_anew_on(Arc::new(Disk), dir, limits, keeper, stamp, || kept_in_sled(dir))
}

/// As [`begin_anew`], with journal and snapshots on another disk, and `kept` for what is in sled.
///
/// # Errors
///
/// As for [`begin_anew`].
pub fn begin_anew_on(
    medium: Arc<dyn Medium>,
    dir: &Path,
    limits: Limits,
    keeper: &Keeper,
    stamp: Stamp,
    kept: impl FnOnce() -> Option<Kept>,
) -> Result<Parent, BeginAnewError> {
    let home = Home { medium: &medium, dir, limits };
    finish_swap(&home)?;
    check_damaged(&home)?;
    let nothing_left = || BeginAnewError::NothingLeft { dir: dir.to_owned() };
    // Not even the name of its stream may be readable.
    let found = salvage_on(&*medium, &dir.join(JOURNAL), |_| ())?.ok_or_else(nothing_left)?;
    let state = last_state(&home, &found, kept())?.ok_or_else(nothing_left)?;
    let common = found.last.map(|(seq, hash)| Place { seq, hash: ChainHash(hash) });
    let stream = StreamId(found.stream_id);
    let parent = Parent { stream, common, reason: Some(StreamBreak::Damaged) };
    let changes = carried(&state, &state, &InDoubt::All);
    write_successor(&home, keeper, stamp, Beginning { parent, changes })?;
    Ok(parent)
}

fn check_damaged(home: &Home<'_>) -> Result<(), BeginAnewError> {
    let dir = home.dir.join(JOURNAL);
    match Journal::open_on(Arc::clone(home.medium), &dir, home.limits, Verify::All) {
        Err(journal::OpenError::Damaged { .. }) => Ok(()),
        Ok(_) => Err(BeginAnewError::NotDamaged { dir }),
        Err(journal::OpenError::Locked { .. }) => {
            Err(BeginAnewError::AgentRuns { dir: home.dir.to_owned() })
        }
        Err(journal::OpenError::NotCreated { .. }) => Err(BeginAnewError::Absent { dir }),
        Err(error) => Err(BeginAnewError::Open(error)),
    }
}

/// What sled knows, if it holds.
fn kept_in_sled(dir: &Path) -> Option<Kept> {
    let sled = dir.join("sled");
    if is_in_doubt(dir) || !sled.exists() {
        return None;
    }
    let fold = SledFold::open(&sled).ok()?;
    let (applied, changes) = (fold.applied()?, fold.export().ok()?);
    let at = Place { seq: applied.seq, hash: applied.hash };
    Some(Kept { stream: applied.stream, at, changes })
}

/// The state as far on as it can be told: from the furthest one that was kept, and every readable record behind it without
/// a gap. None if neither a state nor its first records are left.
fn last_state(
    home: &Home<'_>,
    found: &Salvage,
    kept: Option<Kept>,
) -> Result<Option<MemoryView>, BeginAnewError> {
    let stream = StreamId(found.stream_id);
    let mut bases: Vec<Kept> = kept.into_iter().chain(kept_in_snapshots(home)?).collect();
    bases.retain(|base| base.stream == stream);
    bases.sort_by_key(|base| Reverse(base.at.seq));
    if found.oldest_seq == 1 {
        let at = Place { seq: 0, hash: CHAIN_START };
        bases.push(Kept { stream, at, changes: Vec::new() });
    }
    for base in bases {
        let from = base.at.seq;
        let mut left = LeftOver::begin(base);
        salvage_on(&**home.medium, &home.dir.join(JOURNAL), |record| left.take(record))?;
        if left.is_of_another_history {
            warn!(seq = from, "state of another history");
        } else if left.is_whole() {
            info!(from, upto = left.upto.seq, "state of a damaged journal found");
            return Ok(Some(left.view));
        }
    }
    Ok(None)
}

/// Snapshots that these rules can go on from.
fn kept_in_snapshots(home: &Home<'_>) -> Result<Vec<Kept>, journal::SnapshotError> {
    let found = load_snapshots_on(&**home.medium, home.dir)?.snapshots.into_iter();
    let kept = found.filter_map(|found| {
        let content = decode_snapshot(&found.bytes).ok()?;
        let usable = FoldedBy::from_number(content.fold_version).can_go_on();
        let at = Place { seq: found.seq, hash: ChainHash(found.chain_hash) };
        let kept = Kept { stream: content.stream, at, changes: content.changes };
        (usable && content.applied_seq == found.seq).then_some(kept)
    });
    Ok(kept.collect())
}

/// A state that is brought on by the records that can be read.
struct LeftOver {
    view: MemoryView,
    /// Where it began, and how far it is brought on.
    from: Place,
    upto: Place,
    /// The journal has another record there, or behind it.
    is_of_another_history: bool,
}

impl LeftOver {
    fn begin(base: Kept) -> Self {
        let mut view = MemoryView::default();
        view.apply(base.changes);
        Self { view, from: base.at, upto: base.at, is_of_another_history: false }
    }

    /// A stream takes over the state of another before its first start: short of that, much of it may be missing.
    fn is_whole(&self) -> bool {
        self.view.meta().boot_count > 0
    }

    fn take(&mut self, salvaged: Salvaged<'_>) {
        let Salvaged { seq, previous, record: bytes } = salvaged;
        let previous = ChainHash(previous);
        if seq == self.from.seq {
            self.is_of_another_history |= next_hash(previous, bytes) != self.from.hash;
        }
        if seq != self.upto.seq + 1 || self.is_of_another_history {
            return;
        }
        if previous != self.upto.hash {
            self.is_of_another_history = self.upto == self.from;
            return;
        }
        self.upto = Place { seq, hash: next_hash(previous, bytes) };
        // One that cannot be read was written by another agent. All is in doubt anyway.
        if let Ok(record) = decode_record(bytes) {
            let changes = fold_record(&self.view, &record);
            self.view.apply(changes);
        }
    }
}
