//! At a start: puts records that the hub gave back in their place, or begins a new stream where that cannot be done.
//!
//! Each step leaves either the journal as it was, or a beginning of the one that it is to become, so that a start that is
//! cut short goes on at the next. Until all is in place only staff may open doors.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;

use locker_core::fact::Fact;
use locker_core::ids::StreamId;
use locker_core::journal::carry::{InDoubt, carried};
use locker_core::journal::stream::{is_said_again, touched};
use locker_core::journal::{ChainHash, MemoryView, Parent, Place, StreamBreak};
use locker_proto::entity::decode_snapshot;
use locker_proto::record::decode_record;
use thiserror::Error;
use tracing::{info, warn};

use super::incoming::{Incoming, TakeBackError, clear, replace_file};
use super::snapshots::{Fitting, base_of};
use super::successor::{Beginning, SuccessorError, give_up, order_of, write_successor};
use super::{Home, JOURNAL, Keeper, Stamp, fold_record};
use crate::journal::load_snapshots_on;
use crate::journal::{
    self, AppendError, CreateError, CutError, Entry, Journal, ReadError, Stored, Verify,
};

/// Records read at a time.
const RECORDS_AT_A_TIME: usize = 256;
/// Bytes read at a time.
const BYTES_AT_A_TIME: usize = 512 * 1024;
/// What a frame adds to its record, at most, in bytes.
pub(super) const FRAME_BYTES: u64 = 64;
/// What must be left for the records of a start, in bytes.
pub(super) const START_ROOM_BYTES: u64 = 1_024;
/// The folder for what is cut off.
const CUT: &str = "cut";
/// The file that says how many starts were counted in what was cut off.
const COUNTED: &str = "starts-counted";

/// What was done to the journal at this start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Healed {
    /// Records from after `common` up to `upto` are the hub's again.
    Restored { common: u64, upto: u64 },
    /// A new stream goes on from that one, of which `common` is the last record in common.
    Succeeded { parent: StreamId, common: Option<u64> },
}

/// Why the journal could not be made whole. The agent does not start.
#[derive(Debug, Error)]
pub enum RestoreError {
    #[error("cannot use what the hub gave back")]
    Incoming(#[from] TakeBackError),
    #[error("cannot read the journal")]
    Read(#[from] ReadError),
    #[error("cannot take records back")]
    Cut(#[from] CutError),
    #[error("cannot put the hub's records in place")]
    Append(#[from] AppendError),
    #[error("cannot begin a new stream")]
    Successor(#[from] SuccessorError),
    #[error("cannot look for snapshots")]
    Snapshots(#[from] journal::SnapshotError),
    #[error("cannot give the reserve to the journal")]
    Reserve(#[from] journal::SpaceError),
    #[error("{needed} bytes are needed, {free} are free")]
    Room { needed: u64, free: u64 },
    #[error("cannot keep the count of starts in {path}")]
    Count { path: PathBuf, source: std::io::Error },
}

impl RestoreError {
    /// Load, not damage: the bank goes on with what it has, for staff only, and tries again.
    fn is_out_of_space(&self) -> bool {
        match self {
            Self::Room { .. }
            | Self::Append(AppendError::OutOfSpace { .. })
            | Self::Cut(CutError::Append(AppendError::OutOfSpace { .. })) => true,
            Self::Cut(CutError::Disk(fault)) => fault.is_out_of_space(),
            Self::Successor(error) => error.is_out_of_space(),
            Self::Count { source, .. } => is_full(source),
            Self::Incoming(_)
            | Self::Read(_)
            | Self::Cut(_)
            | Self::Append(_)
            | Self::Reserve(_)
            | Self::Snapshots(_) => false,
        }
    }
}

impl SuccessorError {
    fn is_out_of_space(&self) -> bool {
        match self {
            Self::Room { .. }
            | Self::Create(CreateError::OutOfSpace { .. })
            | Self::Append(AppendError::OutOfSpace { .. }) => true,
            Self::Create(CreateError::Disk(fault)) => fault.is_out_of_space(),
            Self::File { source, .. } => is_full(source),
            Self::NoState | Self::TooLarge | Self::Create(_) | Self::Append(_) | Self::Open(_) => {
                false
            }
        }
    }
}

fn is_full(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

/// The journal as it goes on.
pub(super) struct Settled {
    pub(super) journal: Journal,
    /// What has come and is not in place: only staff may open doors.
    pub(super) incoming: Option<Incoming>,
    /// There is something to be done that found no room: only staff may open doors.
    pub(super) waits_for_room: bool,
    pub(super) healed: Option<Healed>,
}

/// What came of one try.
enum Tried {
    Untouched,
    /// Not all is here.
    Waiting(Box<Incoming>),
    Restored {
        common: u64,
        upto: u64,
    },
    /// Another journal stands in this one's place.
    Succeeded(Parent),
}

/// Puts in place what the hub gave back, if it is complete, or follows its order to begin a new stream. A full disk must not
/// keep a bank from starting: the reserve is there for this, too, and without it the journal goes on as it is.
pub(super) fn settle(
    home: &Home<'_>,
    mut journal: Journal,
    keeper: &Keeper,
    stamp: Stamp,
) -> Result<Settled, RestoreError> {
    let mut tried = try_to_settle(home, &mut journal, keeper, stamp);
    if tried.as_ref().is_err_and(RestoreError::is_out_of_space) && journal.release_ballast()? {
        warn!("disk full, using the reserve");
        tried = try_to_settle(home, &mut journal, keeper, stamp);
    }
    let settled = |journal, incoming, healed| {
        Ok(Settled { journal, incoming, waits_for_room: false, healed })
    };
    match tried {
        Err(error) if error.is_out_of_space() => {
            warn!(%error, "journal not made whole, the disk is full");
            give_up(home)?;
            journal.claim_room();
            let incoming = Incoming::open(home.medium, home.dir, home.limits)?;
            Ok(Settled { journal, incoming, waits_for_room: true, healed: None })
        }
        Err(error) => Err(error),
        Ok(Tried::Untouched) => settled(journal, None, None),
        Ok(Tried::Waiting(here)) => settled(journal, Some(*here), None),
        Ok(Tried::Restored { common, upto }) => {
            settled(journal, None, Some(Healed::Restored { common, upto }))
        }
        Ok(Tried::Succeeded(parent)) => {
            // Its lock is held until the other one is in its place.
            drop(journal);
            go_on_with_other(home, parent)
        }
    }
}

fn try_to_settle(
    home: &Home<'_>,
    journal: &mut Journal,
    keeper: &Keeper,
    stamp: Stamp,
) -> Result<Tried, RestoreError> {
    let stream = StreamId(journal.stream_id());
    if let Some(order) = order_of(home, stream)? {
        let state = state_at(home, journal, journal.head_seq())?.ok_or(SuccessorError::NoState)?;
        let parent = Parent { stream, common: order.common, reason: Some(order.reason) };
        let changes = carried(&state, &state, &InDoubt::All);
        write_successor(home, keeper, stamp, Beginning { parent, changes })?;
        return Ok(Tried::Succeeded(parent));
    }
    let Some(here) = Incoming::open(home.medium, home.dir, home.limits)? else {
        return Ok(Tried::Untouched);
    };
    if here.journal.stream_id() != stream.0 {
        drop(here);
        clear(&**home.medium, home.dir)?;
        return Ok(Tried::Untouched);
    }
    if !here.is_complete() {
        return Ok(Tried::Waiting(Box::new(here)));
    }
    put_in_place(home, journal, here, keeper, stamp)
}

fn put_in_place(
    home: &Home<'_>,
    journal: &mut Journal,
    here: Incoming,
    keeper: &Keeper,
    stamp: Stamp,
) -> Result<Tried, RestoreError> {
    let Some(common) = last_common(journal, &here.journal)? else {
        warn!("records from the hub do not continue this journal");
        drop(here);
        clear(&**home.medium, home.dir)?;
        return Ok(Tried::Untouched);
    };
    let ours = facts_above(journal, common)?;
    let again = ours.as_ref().is_some_and(|facts| facts.iter().all(is_said_again));
    if !again {
        let beginning = two_branches(home, journal, &here.journal, common, ours)?;
        let parent = beginning.parent;
        write_successor(home, keeper, stamp, beginning)?;
        return Ok(Tried::Succeeded(parent));
    }
    check_room(journal, &here.journal, common)?;
    keep_count(home, &ours.unwrap_or_default())?;
    let upto = here.journal.head_seq();
    replace_above(home, journal, &here.journal, common)?;
    drop(here);
    clear(&**home.medium, home.dir)?;
    info!(common, upto, "records from the hub put in place");
    Ok(Tried::Restored { common, upto })
}

/// The hub has heard of starts whose records are taken back: the next one counts on from them, or it would look like that of
/// a second agent.
fn keep_count(home: &Home<'_>, taken_back: &[Fact]) -> Result<(), RestoreError> {
    let starts = taken_back.iter().filter_map(|fact| {
        let Fact::Booted(booted) = fact else { return None };
        Some(booted.boot_count)
    });
    let Some(counted) = starts.max() else { return Ok(()) };
    if counted > counted_starts(home)? {
        let kept = replace_file(&**home.medium, home.dir, COUNTED, &counted.to_be_bytes());
        kept.map_err(|source| RestoreError::Count { path: home.dir.join(COUNTED), source })?;
    }
    Ok(())
}

/// The highest number of a start whose record was taken back, 0 if none was.
pub(super) fn counted_starts(home: &Home<'_>) -> Result<u64, RestoreError> {
    let path = home.dir.join(COUNTED);
    let bytes = match home.medium.open_read(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
        opened => opened
            .and_then(|file| file.read_whole())
            .map_err(|source| RestoreError::Count { path, source })?,
    };
    Ok(bytes.try_into().map_or(0, u64::from_be_bytes))
}

/// Whether the hub's records find room with something left over. One run after the other would take all that there is, and
/// then not even a start could be recorded.
fn check_room(journal: &Journal, theirs: &Journal, common: u64) -> Result<(), RestoreError> {
    let (kept_aside, put_in) = (bytes_above(journal, common)?, bytes_above(theirs, common)?);
    let needed = kept_aside + put_in + START_ROOM_BYTES;
    let free = journal.space()?.free_bytes;
    if free < needed { Err(RestoreError::Room { needed, free }) } else { Ok(()) }
}

/// What the records above `seq` take, about.
fn bytes_above(journal: &Journal, seq: u64) -> Result<u64, ReadError> {
    let (mut bytes, mut last) = (0, seq);
    loop {
        let run = journal.read(last + 1, RECORDS_AT_A_TIME, BYTES_AT_A_TIME)?;
        let Some(stored) = run.last() else { return Ok(bytes) };
        last = stored.seq;
        bytes += run.iter().map(|stored| stored.record.len() as u64 + FRAME_BYTES).sum::<u64>();
    }
}

/// Cuts off what is above `common` and appends the hub's records as they are.
fn replace_above(
    home: &Home<'_>,
    journal: &mut Journal,
    theirs: &Journal,
    common: u64,
) -> Result<(), RestoreError> {
    journal.cut(common, &home.dir.join(CUT))?;
    loop {
        let run = theirs.read(journal.head_seq() + 1, RECORDS_AT_A_TIME, BYTES_AT_A_TIME)?;
        if run.is_empty() {
            return Ok(());
        }
        let entries: Vec<Entry<'_>> = run.iter().map(plain).collect();
        journal.append(&entries)?;
    }
}

fn plain(stored: &Stored) -> Entry<'_> {
    Entry { record: &stored.record, detached: None }
}

/// The last record that both have, found byte by byte; none if the hub's do not even begin behind one of ours.
fn last_common(own: &Journal, theirs: &Journal) -> Result<Option<u64>, ReadError> {
    let mut seq = theirs.oldest_seq() - 1;
    let begins = match own.hash_at(seq) {
        Ok(hash) => theirs.hash_at(seq)? == hash,
        Err(ReadError::Pruned { .. } | ReadError::BeyondHead { .. }) => false,
        Err(error) => return Err(error),
    };
    if !begins {
        return Ok(None);
    }
    loop {
        let ours = own.read(seq + 1, RECORDS_AT_A_TIME, BYTES_AT_A_TIME)?;
        let others = theirs.read(seq + 1, RECORDS_AT_A_TIME, BYTES_AT_A_TIME)?;
        let pairs = ours.iter().zip(&others);
        let same = pairs.take_while(|(one, other)| one.record == other.record).count();
        seq += same as u64;
        if same == 0 || same < ours.len().min(others.len()) {
            return Ok(Some(seq));
        }
    }
}

/// What the records above `seq` say; none if one of them cannot be read.
fn facts_above(journal: &Journal, seq: u64) -> Result<Option<Vec<Fact>>, ReadError> {
    let mut facts = Vec::new();
    loop {
        let next = seq + 1 + facts.len() as u64;
        let run = journal.read(next, RECORDS_AT_A_TIME, BYTES_AT_A_TIME)?;
        if run.is_empty() {
            return Ok(Some(facts));
        }
        for stored in run {
            let Ok(record) = decode_record(&stored.record) else { return Ok(None) };
            facts.push(record.fact);
        }
    }
}

/// What a new stream begins with when bank and hub have different records above `common`.
fn two_branches(
    home: &Home<'_>,
    own: &Journal,
    theirs: &Journal,
    common: u64,
    ours: Option<Vec<Fact>>,
) -> Result<Beginning, RestoreError> {
    let stream = StreamId(own.stream_id());
    let place = Place { seq: common, hash: ChainHash(own.hash_at(common)?) };
    let reason = Some(StreamBreak::Forked);
    let parent = Parent { stream, common: Some(place), reason };
    let both = ours.zip(facts_above(theirs, common)?);
    let in_doubt = both.map_or(InDoubt::All, |(ours, theirs)| {
        InDoubt::These(ours.iter().chain(&theirs).filter_map(touched).collect())
    });
    let here = state_at(home, own, own.head_seq())?;
    let changes = match state_at(home, own, common)? {
        Some(mut base) => {
            fold_above(&mut base, theirs, common, theirs.head_seq())?;
            let here = here.unwrap_or_else(|| base.clone());
            carried(&base, &here, &in_doubt)
        }
        // What it was at the last common record is not known any more. What the hub's records used up stays so all the same.
        None => {
            let here = here.ok_or(SuccessorError::NoState)?;
            let mut both = here.clone();
            fold_above(&mut both, theirs, common, theirs.head_seq())?;
            carried(&both, &here, &InDoubt::All)
        }
    };
    Ok(Beginning { parent, changes })
}

/// The state at `seq`, from the newest snapshot below it or from the first record; none if both are gone.
fn state_at(
    home: &Home<'_>,
    journal: &Journal,
    seq: u64,
) -> Result<Option<MemoryView>, RestoreError> {
    let stream = StreamId(journal.stream_id());
    let found = load_snapshots_on(&**home.medium, home.dir)?.snapshots.into_iter();
    let below = found.filter(|snapshot| snapshot.seq <= seq);
    let fitting = below.filter_map(|snapshot| {
        let content = decode_snapshot(&snapshot.bytes).ok()?;
        Fitting::new(content, &snapshot, journal, stream)
    });
    let Ok(base) = base_of(fitting.collect(), journal.oldest_seq()) else { return Ok(None) };
    let mut view = MemoryView::default();
    let from = base.as_ref().map_or(0, |base| base.applied.seq);
    view.apply(base.map(|base| base.changes).unwrap_or_default());
    fold_above(&mut view, journal, from, seq)?;
    Ok(Some(view))
}

/// Folds the records above `from` up to `upto`. One that cannot be read changes nothing: whoever asks has put all that is
/// above into doubt then.
fn fold_above(
    view: &mut MemoryView,
    journal: &Journal,
    from: u64,
    upto: u64,
) -> Result<(), ReadError> {
    let mut seq = from;
    while seq < upto {
        let run = journal.read(seq + 1, RECORDS_AT_A_TIME, BYTES_AT_A_TIME)?;
        if run.is_empty() {
            return Ok(());
        }
        for stored in run.into_iter().take_while(|stored| stored.seq <= upto) {
            seq = stored.seq;
            if let Ok(record) = decode_record(&stored.record) {
                let changes = fold_record(view, &record);
                view.apply(changes);
            }
        }
    }
    Ok(())
}

/// The new journal, in whose place the old one was.
fn go_on_with_other(home: &Home<'_>, parent: Parent) -> Result<Settled, RestoreError> {
    clear(&**home.medium, home.dir)?;
    let opened = Journal::open_on(
        Arc::clone(home.medium),
        &home.dir.join(JOURNAL),
        home.limits,
        Verify::Tail,
    );
    let (journal, _) = opened.map_err(SuccessorError::Open)?;
    let common = parent.common.map(|common| common.seq);
    warn!(parent = %parent.stream, common, "new stream begun");
    let healed = Some(Healed::Succeeded { parent: parent.stream, common });
    Ok(Settled { journal, incoming: None, waits_for_room: false, healed })
}
