//! What the hub makes of a birth and of a batch, decided in memory before any SQL.

use thiserror::Error;

use crate::ids::StreamId;
use crate::journal::{BATCH_MAX_BYTES, BATCH_MAX_RECORDS, ChainHash, RECORD_MAX_BYTES, next_hash};

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
    pub parent: Option<StreamId>,
    pub oldest: u64,
    pub head: u64,
    pub head_hash: ChainHash,
}

/// The hub's answer to a birth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BirthVerdict {
    /// The first stream of this bank, or the one we know, continued.
    GoOn,
    /// The bank's journal ends below what it once told us: an old copy, or flash that lied.
    Behind,
    /// The bank's journal differs from what it once told us.
    Fork,
    /// The bank names this known stream as parent of its new one.
    Successor,
    /// A new stream that names no known parent: the bank was re-imaged.
    Unrelated,
}

/// Compares a birth with what the hub has of the bank.
#[must_use]
pub fn on_birth(cursor: Option<Cursor>, birth: Birth) -> BirthVerdict {
    let Some(cursor) = cursor else { return BirthVerdict::GoOn };
    if birth.stream != cursor.stream {
        return if birth.parent == Some(cursor.stream) {
            BirthVerdict::Successor
        } else {
            BirthVerdict::Unrelated
        };
    }
    if birth.head < cursor.committed {
        return BirthVerdict::Behind;
    }
    if birth.head == cursor.committed && birth.head_hash != cursor.hash {
        return BirthVerdict::Fork;
    }
    BirthVerdict::GoOn
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
