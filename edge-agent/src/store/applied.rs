//! How far sled has folded the journal in: written with each batch, and by which rules.

use locker_core::ids::StreamId;
use locker_core::journal::{ChainHash, FOLD_VERSION, FoldedBy};

use super::fold::{FORMAT_VERSION, FoldError};

/// How far the journal is folded in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Applied {
    pub stream: StreamId,
    pub seq: u64,
    pub hash: ChainHash,
}

/// Format version, [`FoldedBy::number`], stream, seq, hash; big-endian.
pub(super) fn write_applied(applied: Applied, folded_by: FoldedBy) -> Vec<u8> {
    let mut bytes = FORMAT_VERSION.to_be_bytes().to_vec();
    bytes.extend_from_slice(&folded_by.number().to_be_bytes());
    bytes.extend_from_slice(&applied.stream.0);
    bytes.extend_from_slice(&applied.seq.to_be_bytes());
    bytes.extend_from_slice(&applied.hash.0);
    bytes
}

pub(super) fn read_applied(bytes: &[u8]) -> Result<(Applied, FoldedBy), FoldError> {
    let (format, rest) = bytes.split_first_chunk().ok_or(FoldError::Applied)?;
    let found = u16::from_be_bytes(*format);
    if found != FORMAT_VERSION {
        return Err(FoldError::Format { found });
    }
    let (version, rest) = rest.split_first_chunk().ok_or(FoldError::Applied)?;
    let folded_by = FoldedBy::from_number(u32::from_be_bytes(*version));
    let found = folded_by.newest();
    if found != FOLD_VERSION {
        return Err(FoldError::FoldVersion { found });
    }
    let (stream, rest) = rest.split_first_chunk().ok_or(FoldError::Applied)?;
    let (seq, hash) = rest.split_first_chunk().ok_or(FoldError::Applied)?;
    let hash = hash.try_into().map_err(|_| FoldError::Applied)?;
    let (stream, seq) = (StreamId(*stream), u64::from_be_bytes(*seq));
    Ok((Applied { stream, seq, hash: ChainHash(hash) }, folded_by))
}
