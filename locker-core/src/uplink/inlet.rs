//! What the hub makes of a birth and of a batch, decided in memory before any SQL.

use thiserror::Error;

use crate::ids::StreamId;
use crate::journal::{BATCH_MAX_BYTES, BATCH_MAX_RECORDS, RECORD_MAX_BYTES};
use crate::journal::{CHAIN_START, ChainHash, Parent, Place, StreamBreak, next_hash};

/// Unreadable messages in a row at one seq after which the stream is stopped.
pub const UNREADABLE_MAX: u32 = 3;

/// How far the hub has a bank's stream: everything up to `committed` is durable, and the chain's
/// hash is `hash` there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    pub stream: StreamId,
    pub committed: u64,
    pub hash: ChainHash,
}

/// What a bank says of its journal when it connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Birth {
    pub stream: StreamId,
    pub parent: Option<Parent>,
    pub oldest: u64,
    pub head: u64,
    pub head_hash: ChainHash,
}

/// How the rungs of a bank's ladder compare with what the hub has of the same stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Past {
    /// The highest rung at or below the watermark where both have the same hash.
    pub common: Option<u64>,
    /// At a rung above that, but not above the watermark, they have different ones.
    pub differs: bool,
    /// The lowest seq whose record the hub can still send.
    pub held_from: u64,
}

impl Past {
    /// The seqs at which the hub has to look its own hashes up. What it knows without looking, at the watermark and
    /// before the first record, is not among them.
    #[must_use]
    pub fn asks(cursor: Cursor, rungs: &[Place]) -> Vec<u64> {
        let inside = rungs.iter().map(|rung| rung.seq);
        inside.filter(|seq| (1..cursor.committed).contains(seq)).collect()
    }

    /// Holds `rungs` against the hub's own hashes: `ours` are those that [`Self::asks`] for, as far as the hub still has
    /// them. It can send records from `held_from` on.
    #[must_use]
    pub fn compare(cursor: Cursor, rungs: &[Place], ours: &[Place], held_from: u64) -> Self {
        let known = |seq| {
            if seq == cursor.committed {
                return Some(cursor.hash);
            }
            if seq == 0 {
                return Some(CHAIN_START);
            }
            ours.iter().find(|place| place.seq == seq).map(|place| place.hash)
        };
        let mut past = Self { common: None, differs: false, held_from };
        let mut rungs: Vec<&Place> =
            rungs.iter().filter(|rung| rung.seq <= cursor.committed).collect();
        rungs.sort_unstable_by_key(|rung| std::cmp::Reverse(rung.seq));
        for rung in rungs {
            match known(rung.seq) {
                Some(hash) if hash == rung.hash => {
                    past.common = Some(rung.seq);
                    break;
                }
                Some(_) => past.differs = true,
                None => {}
            }
        }
        past
    }

    /// What follows when the bank's stream is not the hub's up to the watermark: also when only a batch shows it.
    #[must_use]
    pub const fn on_difference(self) -> BirthVerdict {
        match self.common {
            Some(common) if common + 1 >= self.held_from => {
                BirthVerdict::Restore { from: common + 1 }
            }
            last_common => BirthVerdict::Fork { last_common },
        }
    }
}

/// The hub's answer to a birth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BirthVerdict {
    /// The first stream of this bank, or the one we know, continued.
    GoOn,
    /// The bank lacks what it once told us: an old copy, or flash that lied. It is sent the stored records from here on.
    /// Whether what it has of its own since then can be said again, or it must begin a new stream, only it can tell.
    Restore { from: u64 },
    /// The bank's stream differs from what it once told us, and the hub cannot send it the records from their last common
    /// one on: the bank is told to begin a new stream.
    Fork { last_common: Option<u64> },
    /// The bank names this known stream as parent of its new one. `behind`: it did not know all that the hub has of the
    /// parent when it began the new one, so what the hub believes is inside may be newer than what the bank believes.
    Successor { behind: bool },
    /// A new stream that names no known parent: the bank was re-imaged.
    Unrelated,
}

/// Compares a birth with what the hub has of the bank. `past` is of the birth's ladder, where it is of the cursor's
/// stream.
#[must_use]
pub fn on_birth(cursor: Option<Cursor>, birth: Birth, past: Past) -> BirthVerdict {
    let Some(cursor) = cursor else { return BirthVerdict::GoOn };
    if birth.stream != cursor.stream {
        return match birth.parent {
            Some(parent) if parent.stream == cursor.stream => {
                BirthVerdict::Successor { behind: is_behind(parent, cursor) }
            }
            Some(_) | None => BirthVerdict::Unrelated,
        };
    }
    let other_head = birth.head == cursor.committed && birth.head_hash != cursor.hash;
    if birth.head < cursor.committed || other_head || past.differs {
        return past.on_difference();
    }
    BirthVerdict::GoOn
}

/// A bank that forked was sent the hub's branch first. Of any other the last common record tells.
fn is_behind(parent: Parent, cursor: Cursor) -> bool {
    let behind = parent.common.is_none_or(|common| common.seq < cursor.committed);
    match parent.reason {
        Some(StreamBreak::Forked) => parent.common.is_none(),
        Some(StreamBreak::Damaged | StreamBreak::Replaced) | None => behind,
    }
}

/// A batch as it came, its records' bytes untouched.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    pub stream: StreamId,
    pub first_seq: u64,
    /// The chain's hash before the first record.
    pub previous: ChainHash,
    pub records: &'a [Vec<u8>],
}

/// What to do with a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchVerdict {
    /// Store all records but the first `skip`, which are known; afterwards the cursor is `next`.
    Commit { skip: usize, next: Cursor },
    /// Everything in it is known.
    Duplicate,
    /// It begins above what comes next.
    Gap { want: u64 },
    /// It continues another history than ours.
    Fork { seq: u64 },
}

/// Why a batch cannot be judged: it is quarantined and never moves the watermark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BatchError {
    #[error("the batch is of a stream that was not announced")]
    OtherStream,
    #[error("the batch has no records")]
    Empty,
    #[error("the batch has {records} records, more than {BATCH_MAX_RECORDS}")]
    TooManyRecords { records: usize },
    #[error("the batch has {bytes} bytes, more than {BATCH_MAX_BYTES}")]
    TooManyBytes { bytes: usize },
    #[error("a record has {bytes} bytes, more than {RECORD_MAX_BYTES}")]
    RecordTooLarge { bytes: usize },
    #[error("seq {first_seq} is out of range")]
    SeqOutOfRange { first_seq: u64 },
}

/// Judges `batch` against `cursor`.
///
/// # Errors
///
/// A batch that is of another stream or breaks a limit.
pub fn on_batch(cursor: Cursor, batch: Batch<'_>) -> Result<BatchVerdict, BatchError> {
    check_limits(cursor, batch)?;
    if batch.first_seq > cursor.committed + 1 {
        return Ok(BatchVerdict::Gap { want: cursor.committed + 1 });
    }
    let mut hash = batch.previous;
    let mut before = batch.first_seq - 1;
    let mut skip = 0;
    for record in batch.records {
        if before == cursor.committed && hash != cursor.hash {
            return Ok(BatchVerdict::Fork { seq: before });
        }
        if before < cursor.committed {
            skip += 1;
        }
        hash = next_hash(hash, record);
        before += 1;
    }
    if before < cursor.committed {
        return Ok(BatchVerdict::Duplicate);
    }
    if before == cursor.committed {
        let same = hash == cursor.hash;
        return Ok(if same { BatchVerdict::Duplicate } else { BatchVerdict::Fork { seq: before } });
    }
    let next = Cursor { stream: cursor.stream, committed: before, hash };
    Ok(BatchVerdict::Commit { skip, next })
}

fn check_limits(cursor: Cursor, batch: Batch<'_>) -> Result<(), BatchError> {
    if batch.stream != cursor.stream {
        return Err(BatchError::OtherStream);
    }
    let records = batch.records.len();
    if records == 0 {
        return Err(BatchError::Empty);
    }
    if records > BATCH_MAX_RECORDS {
        return Err(BatchError::TooManyRecords { records });
    }
    let bytes = batch.records.iter().map(Vec::len).sum();
    if bytes > BATCH_MAX_BYTES {
        return Err(BatchError::TooManyBytes { bytes });
    }
    if let Some(large) = batch.records.iter().find(|record| record.len() > RECORD_MAX_BYTES) {
        return Err(BatchError::RecordTooLarge { bytes: large.len() });
    }
    let first_seq = batch.first_seq;
    let in_range = first_seq > 0 && first_seq <= u64::MAX / 2;
    if in_range { Ok(()) } else { Err(BatchError::SeqOutOfRange { first_seq }) }
}

#[cfg(test)]
mod tests;
