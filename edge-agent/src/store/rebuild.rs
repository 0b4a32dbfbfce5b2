//! Opens sled and brings it up to the journal, or makes it again from a snapshot and the journal.
//!
//! sled is believed only if it stands at a place that the journal has too, with the same hash, and
//! if the last run did not end in doubt about it. What is to take its place is folded in memory first: until that has
//! worked, nothing is moved or removed, and where the disk has no room for sled, it is all that is needed.
//!
//! When the rules of folding change, all is folded anew from the first record. Where that is pruned, today's rules
//! go on from the state that older ones came to: a bank must never stay shut because it was updated.

use std::path::Path;

use locker_core::ids::StreamId;
use locker_core::journal::{FOLD_VERSION, FoldedBy, MemoryView, Overlay};
use locker_proto::record::{DecodeError, decode_record};
use thiserror::Error;
use tracing::warn;

use super::fold::{Applied, FoldError, SledFold};
use super::is_in_doubt;
use super::sled_files::SledFiles;
use super::snapshots::{Covered, Fitting, base_of, fitting_snapshots, stand_in_for_sled};
use super::state::{MemoryFold, State};
use crate::journal::{self, Journal, Medium, ReadError, Stored};

/// Records read at a time while replaying.
const REPLAY_RECORDS: usize = 1_024;
/// Records whose changes go into sled together while replaying: a transaction for each would cost more
/// than all the folding, and what is not in sled yet is looked for one change after the other.
const FOLDED_TOGETHER: usize = 32;
/// Bytes read at a time while replaying.
const REPLAY_BYTES: usize = 1024 * 1024;
/// What must be free for sled to be used, in bytes: eight of its segments. Below it writes that it makes some time later
/// may fail, and then it cannot be used on.
pub(super) const SLED_ROOM_BYTES: u64 = 4 << 20;
/// What is said of a sled that has nothing in it, or is not there.
const EMPTY: &str = "sled is empty";
/// What is said of one that takes too much.
const GROWN: &str = "sled has grown";

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
    #[error("cannot look at the size of sled")]
    Size(#[source] std::io::Error),
    #[error("cannot look for snapshots")]
    Snapshots(#[from] journal::SnapshotError),
    #[error("records below {oldest} are pruned and no snapshot covers them")]
    NoSnapshot { oldest: u64 },
    #[error(
        "the state was folded by rules {found}, this agent folds by {FOLD_VERSION}; install the newer agent again"
    )]
    NewerRules { found: u32 },
}

impl RebuildError {
    /// Whether the disk is only full, and sled is the one thing that has the state.
    pub(super) fn is_out_of_space(&self) -> bool {
        match self {
            Self::Fold(error) => error.is_out_of_space(),
            Self::Read(_)
            | Self::Record { .. }
            | Self::MoveAside(_)
            | Self::Size(_)
            | Self::Snapshots(_)
            | Self::NoSnapshot { .. }
            | Self::NewerRules { .. } => false,
        }
    }
}

/// A fold that stands at the journal's head.
pub(super) struct Rebuilt {
    pub fold: State,
    pub replayed: u64,
    pub covered: Covered,
    pub why: Option<String>,
}

/// Opens the fold in `dir`, replays what it lacks, and makes it again where it cannot be believed.
pub(super) fn open_fold(
    medium: &dyn Medium,
    dir: &Path,
    journal: &Journal,
    stream: StreamId,
) -> Result<Rebuilt, RebuildError> {
    let start = Start { dir, sled: SledFiles::of(dir), journal, stream };
    start.sled.put_back().map_err(RebuildError::MoveAside)?;
    let found = fitting_snapshots(medium, dir, journal, stream)?;
    let places: Vec<_> = found.0.iter().map(|found| (found.folded_by, found.applied.seq)).collect();
    // A disk that does not say is used until it refuses.
    let free_bytes = medium.free_bytes(dir).unwrap_or(u64::MAX);
    let (fold, replayed, why) = if free_bytes < SLED_ROOM_BYTES {
        warn!(free_bytes, "no room for sled, state held in memory");
        start.without_sled(found)?
    } else if stand_in_for_sled(&found.0, journal.oldest_seq())
        && start.sled.has_grown().map_err(RebuildError::Size)?
    {
        start.with_smaller_sled(found)?
    } else {
        start.with_sled(found)?
    };
    if fold.is_in_sled() {
        start.sled.drop_grown();
    }
    Ok(Rebuilt { covered: Covered::by(fold.folded_by(), &places), fold, replayed, why })
}

/// The fold in memory alone, for a run in which sled has failed.
pub(super) fn fold_in_memory(
    medium: &dyn Medium,
    dir: &Path,
    journal: &Journal,
    stream: StreamId,
) -> Result<State, RebuildError> {
    let start = Start { dir, sled: SledFiles::of(dir), journal, stream };
    let (memory, _) = start.fold_anew(fitting_snapshots(medium, dir, journal, stream)?)?;
    Ok(State::Memory(Box::new(memory)))
}

/// The snapshots that fit, and the damage for which it cannot be told of others.
type Found = (Vec<Fitting>, Option<ReadError>);

/// A fold, the records that were folded for it, and why sled was made again, if it was.
type Made = (State, u64, Option<String>);

/// Why sled is not used as it is.
struct Distrust {
    said: String,
    /// The disk is only full; nothing is wrong with sled.
    full: Option<FoldError>,
}

impl From<FoldError> for Distrust {
    fn from(error: FoldError) -> Self {
        let said = in_words(&error);
        Self { said, full: error.is_out_of_space().then_some(error) }
    }
}

impl Distrust {
    fn of(said: &str) -> Self {
        Self { said: said.to_owned(), full: None }
    }
}

/// What a start has to work with.
struct Start<'a> {
    dir: &'a Path,
    sled: SledFiles,
    journal: &'a Journal,
    stream: StreamId,
}

impl Start<'_> {
    /// sled as it is, or made again where it cannot be believed.
    fn with_sled(&self, found: Found) -> Result<Made, RebuildError> {
        let Distrust { said, full } = match self.trusted()? {
            Ok((sled, replayed)) => return Ok((State::Sled(Box::new(sled)), replayed, None)),
            Err(distrust) => distrust,
        };
        match (self.fold_anew(found), full) {
            (Ok((memory, replayed)), None) => {
                self.put_into_new(memory, replayed, said, SledFiles::move_aside)
            }
            (Ok((memory, replayed)), Some(_)) => {
                warn!(said, "no room for sled, state held in memory");
                Ok((State::Memory(Box::new(memory)), replayed, None))
            }
            (Err(error), full) => Err(full.map_or(error, RebuildError::Fold)),
        }
    }

    /// The state in memory alone.
    fn without_sled(&self, found: Found) -> Result<Made, RebuildError> {
        match self.fold_anew(found) {
            Ok((memory, replayed)) => Ok((State::Memory(Box::new(memory)), replayed, None)),
            Err(error) => self.with_sled_alone(error),
        }
    }

    /// A new sled in the place of one that takes too much.
    fn with_smaller_sled(&self, found: Found) -> Result<Made, RebuildError> {
        match self.fold_anew(found) {
            Ok((memory, replayed)) => {
                let said = GROWN.to_owned();
                self.put_into_new(memory, replayed, said, SledFiles::set_grown_aside)
            }
            Err(error) => self.with_sled_alone(error),
        }
    }

    /// sled after all, since nothing else has the state.
    fn with_sled_alone(&self, why: RebuildError) -> Result<Made, RebuildError> {
        warn!(%why, "state cannot be made without sled");
        match self.trusted()? {
            Ok((sled, replayed)) => Ok((State::Sled(Box::new(sled)), replayed, None)),
            Err(distrust) => Err(distrust.full.map_or(why, RebuildError::Fold)),
        }
    }

    /// The fold as sled has it, brought up to the journal; or why it is not believed.
    fn trusted(&self) -> Result<Result<(SledFold, u64), Distrust>, RebuildError> {
        if is_in_doubt(self.dir) {
            return Ok(Err(Distrust::of("the last run ended in doubt about sled")));
        }
        // Not made only to be moved aside, where it would push out one that can be looked at.
        if self.journal.oldest_seq() > 1 && !self.sled.dir.exists() {
            return Ok(Err(Distrust::of(EMPTY)));
        }
        let mut fold = match SledFold::open(&self.sled.dir) {
            Ok(fold) => fold,
            Err(error) => return Ok(Err(error.into())),
        };
        if let Some(why) = self.distrust(&fold) {
            return Ok(Err(Distrust::of(&why)));
        }
        match self.replay(&mut fold) {
            Ok(replayed) => Ok(Ok((fold, replayed))),
            Err(RebuildError::Fold(error)) => Ok(Err(error.into())),
            Err(error) => Err(error),
        }
    }

    /// Why the fold does not belong to this journal, if it does not.
    fn distrust(&self, fold: &SledFold) -> Option<String> {
        let Some(applied) = fold.applied() else {
            return (self.journal.oldest_seq() > 1).then(|| EMPTY.to_owned());
        };
        if applied.stream != self.stream {
            return Some("sled is of another stream".to_owned());
        }
        if applied.seq > self.journal.head_seq() {
            return Some("sled is ahead of the journal".to_owned());
        }
        match self.journal.hash_at(applied.seq) {
            Ok(hash) if hash == applied.hash.0 => None,
            Ok(_) => Some("sled disagrees with the journal".to_owned()),
            Err(error) => Some(format!("sled's place in the journal: {error}")),
        }
    }

    /// Puts a state that stands into a new sled, after `set_aside` has made room for its folder. If the disk has none, the
    /// state goes on in memory.
    fn put_into_new(
        &self,
        memory: MemoryFold,
        replayed: u64,
        said: String,
        set_aside: impl FnOnce(&SledFiles) -> std::io::Result<()>,
    ) -> Result<Made, RebuildError> {
        set_aside(&self.sled).map_err(RebuildError::MoveAside)?;
        match write_sled(&self.sled.dir, &memory) {
            Ok(sled) => Ok((State::Sled(Box::new(sled)), replayed, Some(said))),
            Err(error) => {
                self.sled.give_up_unfinished();
                if !error.is_out_of_space() {
                    return Err(error.into());
                }
                warn!(said, "no room for a new sled, state held in memory");
                Ok((State::Memory(Box::new(memory)), replayed, None))
            }
        }
    }

    /// Folds what no sled has a part in: from a snapshot on, or from the first record. The bounded state has room in
    /// memory.
    fn fold_anew(&self, found: Found) -> Result<(MemoryFold, u64), RebuildError> {
        let (snapshots, damage) = found;
        let base = base_of(snapshots, self.journal.oldest_seq());
        let base = base.map_err(|error| damage.map_or(error, RebuildError::Read))?;
        let (view, folded_by) = (MemoryView::default(), FoldedBy::THESE);
        let mut memory = MemoryFold { view, applied: None, folded_by };
        if let Some(Fitting { changes, applied, folded_by }) = base {
            if !folded_by.is_by_these_alone() {
                let rules = folded_by.number();
                warn!(seq = applied.seq, rules, "going on from a state that older rules folded");
            }
            memory.view.apply(changes);
            memory.applied = Some(applied);
            memory.folded_by = folded_by.and_these();
        }
        let replayed = self.replay_in_memory(&mut memory)?;
        Ok((memory, replayed))
    }

    fn replay_in_memory(&self, memory: &mut MemoryFold) -> Result<u64, RebuildError> {
        let mut replayed = 0;
        loop {
            let from = memory.applied.map_or(1, |applied| applied.seq + 1);
            let run = self.journal.read(from, REPLAY_RECORDS, REPLAY_BYTES)?;
            if run.is_empty() {
                return Ok(replayed);
            }
            for stored in run {
                let seq = stored.seq;
                let unreadable = |source| RebuildError::Record { seq, source };
                let record = decode_record(&stored.record).map_err(unreadable)?;
                let changes = super::fold_record(&memory.view, &record);
                memory.view.apply(changes);
                let hash = locker_core::journal::next_hash(record.previous, &stored.record);
                memory.applied = Some(Applied { stream: self.stream, seq, hash });
                replayed += 1;
            }
        }
    }

    fn replay(&self, fold: &mut SledFold) -> Result<u64, RebuildError> {
        if fold.applied().is_none() {
            return self.replay_all(fold);
        }
        let mut replayed = 0;
        loop {
            let from = fold.applied().map_or(1, |applied| applied.seq + 1);
            let run = self.journal.read(from, REPLAY_RECORDS, REPLAY_BYTES)?;
            if run.is_empty() {
                return Ok(replayed);
            }
            for some in run.chunks(FOLDED_TOGETHER) {
                fold_together(fold, some, self.stream)?;
                replayed += u64::try_from(some.len()).unwrap_or(u64::MAX);
            }
        }
    }

    /// Folds a whole journal in memory and puts only what is left at its end into sled: what came and went in between
    /// would be written for nothing.
    fn replay_all(&self, fold: &mut SledFold) -> Result<u64, RebuildError> {
        let (view, folded_by) = (MemoryView::default(), FoldedBy::THESE);
        let mut memory = MemoryFold { view, applied: None, folded_by };
        let replayed = self.replay_in_memory(&mut memory)?;
        if let Some(applied) = memory.applied {
            fold.apply(memory.view.export(), applied)?;
        }
        Ok(replayed)
    }
}

fn write_sled(dir: &Path, memory: &MemoryFold) -> Result<SledFold, FoldError> {
    let mut sled = SledFold::open(dir)?;
    if let Some(applied) = memory.applied {
        sled.begin_with(memory.view.export(), applied, memory.folded_by)?;
    }
    Ok(sled)
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
