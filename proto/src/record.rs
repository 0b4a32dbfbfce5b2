//! A journal's records as bytes. Whoever wrote a record is the only one who encodes it: the chain, the disk and the hub
//! keep its bytes, so what is decoded here is looked at and never written again.

use locker_core::ids::BootId;
use locker_core::journal::{RECORD_MAX_BYTES, Record};
use locker_core::units::UnixMillis;
use prost::Message;
use thiserror::Error;

use crate::convert;
use crate::fact::{fact_from_wire, fact_to_wire};
use crate::malformed::{FieldProblem, Malformed};
use crate::wire::journal::v1 as wire;

/// The version of a record's form that this software writes.
pub const FORMAT_VERSION: u32 = 1;

/// Why bytes are not a record.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// No version of this software would have written it.
    #[error("the record is malformed")]
    Malformed(#[from] Malformed),
    /// All is well but the fact, which an agent newer than this one wrote. Keep the bytes.
    #[error("the record holds a fact that this version does not know")]
    UnknownFact,
    #[error("the record has format {found}, and this version knows {FORMAT_VERSION}")]
    NewerFormat { found: u32 },
}

impl DecodeError {
    /// Whether a newer version may be able to read it.
    #[must_use]
    pub const fn may_be_newer(&self) -> bool {
        match self {
            Self::Malformed(malformed) => malformed.may_be_newer(),
            Self::UnknownFact | Self::NewerFormat { .. } => true,
        }
    }
}

/// The bytes that are chained, stored and sent. The caller holds their length against
/// [`RECORD_MAX_BYTES`] before it appends them.
#[must_use]
pub fn encode_record(record: &Record) -> Vec<u8> {
    let form = wire::Record {
        stream_id: record.stream.0.to_vec(),
        seq: record.seq,
        boot_id: record.boot.0.to_vec(),
        at_ms: record.at.0,
        within_ms: convert::within_ms(record.quality),
        previous_hash: record.previous.0.to_vec(),
        traceparent: convert::trace_to_wire(record.trace.as_ref()),
        detached_hash: record.detached.map(|hash| hash.0.to_vec()).unwrap_or_default(),
        format_version: FORMAT_VERSION,
        fact: Some(fact_to_wire(&record.fact)),
    };
    form.encode_to_vec()
}

/// What a record means.
///
/// # Errors
///
/// [`DecodeError::UnknownFact`] only when everything beside the fact is in order.
pub fn decode_record(bytes: &[u8]) -> Result<Record, DecodeError> {
    if bytes.len() > RECORD_MAX_BYTES {
        let max_bytes = RECORD_MAX_BYTES;
        return Err(Malformed::TooLarge { bytes: bytes.len(), max_bytes }.into());
    }
    let form = wire::Record::decode(bytes).map_err(Malformed::NotProtobuf)?;
    if form.format_version > FORMAT_VERSION {
        return Err(DecodeError::NewerFormat { found: form.format_version });
    }
    if form.format_version == 0 {
        return Err(Malformed::field("Record.format_version", FieldProblem::Missing).into());
    }
    let stream = convert::id("Record.stream_id", &form.stream_id)?;
    let boot: BootId = convert::id("Record.boot_id", &form.boot_id)?;
    let previous = convert::hash("Record.previous_hash", &form.previous_hash)?;
    let trace = convert::trace("Record.traceparent", &form.traceparent)?;
    let detached = if form.detached_hash.is_empty() {
        None
    } else {
        Some(convert::hash("Record.detached_hash", &form.detached_hash)?)
    };
    Ok(Record {
        stream,
        seq: form.seq,
        boot,
        at: UnixMillis(form.at_ms),
        quality: convert::quality(form.within_ms),
        previous,
        trace,
        detached,
        fact: fact_from_wire(form.fact.ok_or(DecodeError::UnknownFact)?)?,
    })
}
