//! A new journal that goes on from one that cannot: what it begins with, and how it takes the other's place.
//!
//! The new one is written whole beside the old one and then takes its name, so that after a power cut there is one of the
//! two. The old one is kept aside.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use locker_core::fact::Fact;
use locker_core::ids::StreamId;
use locker_core::journal::{
    CHAIN_START, ChainHash, Change, Parent, Place, RECORD_MAX_BYTES, Record, StateCarried,
    StreamBreak, StreamOpened, next_hash,
};
use locker_proto::record::encode_record;
use thiserror::Error;

use super::history::{is_empty, move_aside_on};
use super::incoming::replace_file;
use super::restore::{FRAME_BYTES, START_ROOM_BYTES};
use super::{Home, JOURNAL, Keeper, Limits, Stamp};
use crate::journal::{self, AppendError, CreateError, Entry, Journal, Medium};

/// The folder in which the new journal is written.
const NEXT: &str = "next";
/// In it, when it is whole.
const READY: &str = "ready";
/// The hub's order to begin a new stream.
const ORDER: &str = "begin-anew";

/// What a new stream begins with.
pub(super) struct Beginning {
    pub(super) parent: Parent,
    pub(super) changes: Vec<Change>,
}

/// An order to begin a new stream at the next start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) reason: StreamBreak,
    pub(super) common: Option<Place>,
}

/// Why no new stream was begun.
#[derive(Debug, Error)]
pub enum SuccessorError {
    #[error("nothing is left of the bank's state")]
    NoState,
    #[error("one thing in the state is larger than a record may be")]
    TooLarge,
    #[error("{needed} bytes are needed, {free} are free")]
    Room { needed: u64, free: u64 },
    #[error("cannot make the new journal")]
    Create(#[from] CreateError),
    #[error("cannot write the new journal")]
    Append(#[from] AppendError),
    #[error("cannot open the new journal")]
    Open(#[source] journal::OpenError),
    #[error("cannot write {path}")]
    File { path: PathBuf, source: std::io::Error },
}

/// Writes the new journal and puts it in the place of the one there is.
pub(super) fn write_successor(
    home: &Home<'_>,
    keeper: &Keeper,
    stamp: Stamp,
    beginning: Beginning,
) -> Result<(), SuccessorError> {
    let next = home.dir.join(NEXT);
    remove_files(&**home.medium, &next).map_err(at(&next))?;
    let records = first_records(keeper, stamp, beginning)?;
    // With something left over: else it would stand there, and no start could be recorded in it.
    let bytes: u64 = records.iter().map(|record| record.len() as u64 + FRAME_BYTES).sum();
    let needed = bytes + START_ROOM_BYTES;
    let free = home.medium.free_bytes(home.dir).map_err(at(home.dir))?;
    if free < needed {
        return Err(SuccessorError::Room { needed, free });
    }
    let limits = Limits { ballast_bytes: 0, ..home.limits };
    let mut journal =
        Journal::create_on(Arc::clone(home.medium), &next, keeper.fresh_stream.0, limits)?;
    for record in &records {
        journal.append(&[Entry { record, detached: None }])?;
    }
    drop(journal);
    replace_file(&**home.medium, &next, READY, b"").map_err(at(&next))?;
    swap(home)
}

/// Finishes what a start that was cut short had begun. The caller has the store to itself, or finds the journal locked
/// and is told so when it opens it.
pub(super) fn finish_swap(home: &Home<'_>) -> Result<(), SuccessorError> {
    let next = home.dir.join(NEXT);
    let names = match home.medium.list(&next) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        listed => listed.map_err(at(&next))?,
    };
    if !names.iter().any(|name| name == READY) {
        return Ok(());
    }
    let lock_path = home.dir.join(JOURNAL).join("lock");
    let lock = match home.medium.lock(&lock_path) {
        Ok(None) => return Ok(()),
        Ok(lock) => lock,
        // The old one is out of the way already.
        Err(_) => None,
    };
    swap(home)?;
    drop(lock);
    Ok(())
}

fn swap(home: &Home<'_>) -> Result<(), SuccessorError> {
    let (next, journal) = (home.dir.join(NEXT), home.dir.join(JOURNAL));
    if !is_empty(&**home.medium, &journal).map_err(at(&journal))? {
        move_aside_on(&**home.medium, &journal).map_err(at(&journal))?;
    }
    home.medium.rename(&next, &journal).map_err(at(&journal))?;
    home.medium.sync_dir(home.dir).map_err(at(home.dir))?;
    let order = home.dir.join(ORDER);
    for done in [order, journal.join(READY)] {
        match home.medium.remove(&done) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(at(&done)(error)),
            Ok(()) | Err(_) => {}
        }
    }
    home.medium.sync_dir(home.dir).map_err(at(home.dir))
}

/// The opening, and the state in as many records as it needs.
fn first_records(
    keeper: &Keeper,
    stamp: Stamp,
    beginning: Beginning,
) -> Result<Vec<Vec<u8>>, SuccessorError> {
    let opened = StreamOpened {
        bank: keeper.bank.clone(),
        device_key: keeper.device_key,
        parent: Some(beginning.parent),
    };
    let mut facts = vec![Fact::StreamOpened(opened)];
    let mut waiting = vec![beginning.changes];
    let mut records: Vec<Vec<u8>> = Vec::new();
    let mut hash = CHAIN_START;
    loop {
        let fact = match (facts.pop(), waiting.pop()) {
            (Some(fact), chunk) => {
                waiting.extend(chunk);
                fact
            }
            (None, Some(chunk)) => Fact::StateCarried(StateCarried::new(chunk)),
            (None, None) => return Ok(records),
        };
        let record = Record {
            stream: keeper.fresh_stream,
            seq: records.len() as u64 + 1,
            boot: keeper.boot,
            at: stamp.at,
            quality: stamp.quality,
            previous: hash,
            trace: None,
            detached: None,
            fact,
        };
        let bytes = encode_record(&record);
        if bytes.len() <= RECORD_MAX_BYTES {
            hash = next_hash(hash, &bytes);
            records.push(bytes);
            continue;
        }
        // Too much for one: the first half goes first.
        let Fact::StateCarried(carried) = record.fact else { return Err(SuccessorError::TooLarge) };
        let mut first = carried.entities().to_vec();
        if first.len() < 2 {
            return Err(SuccessorError::TooLarge);
        }
        let second = first.split_off(first.len() / 2);
        waiting.extend([second, first]);
    }
}

/// Keeps the hub's order for the next start.
pub(super) fn write_order(
    home: &Home<'_>,
    stream: StreamId,
    order: Order,
) -> Result<(), SuccessorError> {
    let mut bytes = stream.0.to_vec();
    bytes.push(match order.reason {
        StreamBreak::Forked => 1,
        StreamBreak::Damaged => 2,
        StreamBreak::Replaced => 3,
    });
    if let Some(Place { seq, hash }) = order.common {
        bytes.extend(seq.to_be_bytes());
        bytes.extend(hash.0);
    }
    replace_file(&**home.medium, home.dir, ORDER, &bytes).map_err(at(&home.dir.join(ORDER)))
}

/// The order for this stream, if there is one. One that cannot be read, or is for another, is none.
pub(super) fn order_of(home: &Home<'_>, stream: StreamId) -> Result<Option<Order>, SuccessorError> {
    let path = home.dir.join(ORDER);
    let bytes = match home.medium.open_read(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened.and_then(|file| file.read_whole()).map_err(at(&path))?,
    };
    let Some((of, rest)) = bytes.split_first_chunk::<16>() else { return Ok(None) };
    let Some((reason, rest)) = rest.split_first() else { return Ok(None) };
    let reason = match reason {
        1 => StreamBreak::Forked,
        2 => StreamBreak::Damaged,
        3 => StreamBreak::Replaced,
        _ => return Ok(None),
    };
    let common = rest.split_first_chunk::<8>().and_then(|(seq, hash)| {
        let hash = hash.try_into().ok()?;
        Some(Place { seq: u64::from_be_bytes(*seq), hash: ChainHash(hash) })
    });
    Ok((*of == stream.0).then_some(Order { reason, common }))
}

/// Removes what is there of a new journal that found no room: the old one goes on, and needs the room.
pub(super) fn give_up(home: &Home<'_>) -> Result<(), SuccessorError> {
    let next = home.dir.join(NEXT);
    remove_files(&**home.medium, &next).map_err(at(&next))
}

fn remove_files(medium: &dyn Medium, dir: &Path) -> std::io::Result<()> {
    let names = match medium.list(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        listed => listed?,
    };
    for name in names {
        medium.remove(&dir.join(name))?;
    }
    Ok(())
}

fn at(path: &Path) -> impl FnOnce(std::io::Error) -> SuccessorError {
    let path = path.to_owned();
    move |source| SuccessorError::File { path, source }
}
