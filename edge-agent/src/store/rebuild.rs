//! Opens sled and brings it up to the journal, or makes it again from a snapshot and the journal.
//!
//! sled is believed only if it stands at a place that the journal has too, with the same hash, and
//! if the last run did not end in doubt about it.
//!
//! When the rules of folding change, all is folded anew from the first record. Where that is pruned, today's rules
//! go on from the state that older ones came to: a bank must never stay shut because it was updated.

use std::path::Path;

use locker_core::ids::StreamId;
use locker_core::journal::{ChainHash, Change, FOLD_VERSION, FoldedBy, MemoryView, Overlay};
use locker_proto::entity::{self, decode_snapshot};
use locker_proto::record::{DecodeError, decode_record};
use thiserror::Error;
use tracing::{info, warn};

use super::fold::{Applied, FoldError, SledFold, move_aside};
use super::is_in_doubt;
use crate::journal::{
    self, Journal, Medium, ReadError, Stored, load_snapshots_on, move_snapshot_aside_on,
};

/// Records read at a time while replaying.
const REPLAY_RECORDS: usize = 1_024;
/// Records whose changes go into sled together while replaying: a transaction for each would cost more
/// than all the folding, and what is not in sled yet is looked for one change after the other.
const FOLDED_TOGETHER: usize = 32;
/// Bytes read at a time while replaying.
const REPLAY_BYTES: usize = 1024 * 1024;

/// Why the state cannot be made from the journal.
#[derive(Debug, Error)]
pub enum RebuildError {
    #[error("cannot read the journal")]
    Read(#[from] ReadError),
    #[error("record {seq} cannot be read; was it written by a newer agent?")]
    Record { seq: u64, source: DecodeError },
    #[error("cannot write sled")]
    Fold(#[from] FoldError),
    #[error("cannot move what is unusable aside")]
    MoveAside(#[source] std::io::Error),
    #[error("cannot look for snapshots")]
    Snapshots(#[from] journal::SnapshotError),
    #[error("records below {oldest} are pruned and no snapshot covers them")]
    NoSnapshot { oldest: u64 },
    #[error(
        "the state was folded by rules {found}, this agent folds by {FOLD_VERSION}; install the newer agent again"
    )]
    NewerRules { found: u32 },
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
    medium: &dyn Medium,
    dir: &Path,
    journal: &Journal,
    stream: StreamId,
) -> Result<Rebuilt, RebuildError> {
    let sled_dir = dir.join("sled");
    let (snapshots, damage) = fitting_snapshots(medium, dir, journal, stream)?;
    let places: Vec<_> =
        snapshots.iter().map(|found| (found.folded_by, found.applied.seq)).collect();
    // One that another state was exported to stands in for no record of this one.
    let snapshot_seq = |fold: &SledFold| {
        let own = places.iter().find(|(folded_by, _)| *folded_by == fold.folded_by());
        own.map_or(0, |(_, seq)| *seq)
    };
    let why = match open_trusted(dir, &sled_dir, journal, stream)? {
        Ok((fold, replayed)) => {
            return Ok(Rebuilt { snapshot_seq: snapshot_seq(&fold), fold, replayed, why: None });
        }
        Err(why) => why,
    };
    // Looked at first: a start that fails again and again must not push out what it moved aside.
    let base = base_of(snapshots, journal.oldest_seq());
    let base = base.map_err(|error| damage.map_or(error, RebuildError::Read))?;
    if sled_dir.exists() {
        move_aside(&sled_dir).map_err(RebuildError::MoveAside)?;
    }
    let mut fold = SledFold::open(&sled_dir)?;
    if let Some(Fitting { changes, applied, folded_by }) = base {
        if !folded_by.is_by_these_alone() {
            let rules = folded_by.number();
            warn!(seq = applied.seq, rules, "going on from a state that older rules folded");
        }
        fold.begin_with(changes, applied, folded_by)?;
    }
    let replayed = replay(&mut fold, journal, stream)?;
    Ok(Rebuilt { snapshot_seq: snapshot_seq(&fold), fold, replayed, why: Some(why) })
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

/// The fold as sled has it, brought up to the journal; or why it is not believed.
fn open_trusted(
    dir: &Path,
    sled_dir: &Path,
    journal: &Journal,
    stream: StreamId,
) -> Result<Result<(SledFold, u64), String>, RebuildError> {
    if is_in_doubt(dir) {
        return Ok(Err("the last run ended in doubt about sled".to_owned()));
    }
    let mut fold = match SledFold::open(sled_dir) {
        Ok(fold) => fold,
        Err(error) => return Ok(Err(in_words(&error))),
    };
    if let Some(why) = distrust(&fold, journal, stream) {
        return Ok(Err(why));
    }
    match replay(&mut fold, journal, stream) {
        Ok(replayed) => Ok(Ok((fold, replayed))),
        Err(RebuildError::Fold(error)) => Ok(Err(in_words(&error))),
        Err(error) => Err(error),
    }
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

/// The snapshots that belong here, newest first, and the damage for which it cannot be told of others. Whole ones that do
/// not belong here are moved aside: left where they are, those above the head would count as the newest and push out what
/// is written next. One whose place in the journal is damaged stays: a new stream may have to begin with it.
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
        let content = decode_snapshot(&snapshot.bytes).ok();
        let ours = content.as_ref().is_none_or(|content| content.stream == stream);
        let here = match journal.hash_at(snapshot.seq) {
            Ok(hash) => hash == snapshot.chain_hash,
            Err(ReadError::Pruned { .. } | ReadError::BeyondHead { .. }) => false,
            Err(error) if ours => {
                warn!(seq = snapshot.seq, %error, "snapshot cannot be held against the journal");
                damage = Some(error);
                continue;
            }
            Err(_) => false,
        };
        if !ours || !here {
            info!(seq = snapshot.seq, "snapshot of another history");
            move_snapshot_aside_on(medium, dir, snapshot.seq)?;
            continue;
        }
        fitting
            .extend(content.and_then(|content| Fitting::new(content, &snapshot, journal, stream)));
    }
    Ok((fitting, damage))
}

fn replay(fold: &mut SledFold, journal: &Journal, stream: StreamId) -> Result<u64, RebuildError> {
    if fold.applied().is_none() {
        return replay_all(fold, journal, stream);
    }
    let mut replayed = 0;
    loop {
        let from = fold.applied().map_or(1, |applied| applied.seq + 1);
        let run = journal.read(from, REPLAY_RECORDS, REPLAY_BYTES)?;
        if run.is_empty() {
            return Ok(replayed);
        }
        for some in run.chunks(FOLDED_TOGETHER) {
            fold_together(fold, some, stream)?;
            replayed += u64::try_from(some.len()).unwrap_or(u64::MAX);
        }
    }
}

/// Folds a whole journal in memory, where the bounded state has room, and puts only what is left at its
/// end into sled: what came and went in between would be written for nothing.
fn replay_all(
    fold: &mut SledFold,
    journal: &Journal,
    stream: StreamId,
) -> Result<u64, RebuildError> {
    let (mut view, mut applied) = (MemoryView::default(), None::<Applied>);
    let mut replayed = 0;
    loop {
        let from = applied.as_ref().map_or(1, |applied| applied.seq + 1);
        let run = journal.read(from, REPLAY_RECORDS, REPLAY_BYTES)?;
        if run.is_empty() {
            break;
        }
        for stored in run {
            let seq = stored.seq;
            let unreadable = |source| RebuildError::Record { seq, source };
            let record = decode_record(&stored.record).map_err(unreadable)?;
            let changes = super::fold_record(&view, &record);
            view.apply(changes);
            let hash = locker_core::journal::next_hash(record.previous, &stored.record);
            applied = Some(Applied { stream, seq, hash });
            replayed += 1;
        }
    }
    if let Some(applied) = applied {
        fold.apply(view.export(), applied)?;
    }
    Ok(replayed)
}

/// Folds a few records and puts what they add up to into sled at once.
fn fold_together(
    fold: &mut SledFold,
    records: &[Stored],
    stream: StreamId,
) -> Result<(), RebuildError> {
    let mut overlay = Overlay::new(&*fold);
    let mut applied = None;
    for stored in records {
        let seq = stored.seq;
        let unreadable = |source| RebuildError::Record { seq, source };
        let record = decode_record(&stored.record).map_err(unreadable)?;
        let changes = super::fold_record(&overlay, &record);
        overlay.push(changes);
        let hash = locker_core::journal::next_hash(record.previous, &stored.record);
        applied = Some(Applied { stream, seq, hash });
    }
    let changes = overlay.into_changes();
    if let Some(fault) = fold.take_fault() {
        return Err(fault.into());
    }
    if let Some(applied) = applied {
        fold.apply(changes, applied)?;
    }
    Ok(())
}

/// An error with its cause, for the log.
fn in_words(error: &FoldError) -> String {
    let cause = std::error::Error::source(error);
    cause.map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
}
