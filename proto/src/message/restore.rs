//! What the hub sends a bank whose journal is not what it once told: its own records back, or the order to begin a new one.
//! Like an order it is for the connection at hand.

use locker_core::ids::StreamId;
use locker_core::journal::{ChainHash, Place, StreamBreak};
use prost::Message;

use super::up::check_limits;
use super::{DecodeMessageError, Nonce, form};
use crate::convert::{self, Wire, WireEnum, choice, present, required};
use crate::malformed::{FieldProblem, Malformed};
use crate::wire::bank::v1 as wire;

/// `down/restore`. Travels as the payload of a [`crate::signed`] message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restore {
    pub stream: StreamId,
    /// Of this connection's birth.
    pub nonce: Nonce,
    pub kind: RestoreKind,
}

/// What the bank must do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RestoreKind {
    /// Take these records back. Runs come in order and without a gap, up to `until`, where the hub's stream ends.
    Run {
        first_seq: u64,
        /// The chain's hash before it.
        previous: ChainHash,
        /// Each as the bank wrote it once; within the limits of a [`super::Batch`].
        records: Vec<Vec<u8>>,
        until: Place,
    },
    /// Begin a new stream that goes on from this one.
    NewStream {
        reason: StreamBreak,
        /// The last record known to be in common.
        common: Option<Place>,
    },
}

impl Restore {
    /// As bytes. The caller stays within the limits of a batch.
    #[must_use]
    pub fn encode(self) -> Vec<u8> {
        let kind = match self.kind {
            RestoreKind::Run { first_seq, previous, records, until } => {
                wire::restore::Kind::Run(wire::RestoreRun {
                    first_seq,
                    previous_hash: previous.0.to_vec(),
                    records,
                    until: Some(until.to_wire()),
                })
            }
            RestoreKind::NewStream { reason, common } => {
                wire::restore::Kind::NewStream(wire::NewStream {
                    reason: reason.number(),
                    common: common.as_ref().map(Wire::to_wire),
                })
            }
        };
        let form = wire::Restore {
            stream_id: self.stream.0.to_vec(),
            nonce: self.nonce.0.to_vec(),
            kind: Some(kind),
        };
        form.encode_to_vec()
    }

    /// Reads what [`Self::encode`] wrote.
    ///
    /// # Errors
    ///
    /// The bytes are something else, or above a limit.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeMessageError> {
        let form: wire::Restore = form(bytes)?;
        Ok(Self {
            stream: convert::id("Restore.stream_id", &form.stream_id)?,
            nonce: Nonce(convert::exact("Restore.nonce", &form.nonce)?),
            kind: match present("Restore.kind", form.kind)? {
                wire::restore::Kind::Run(run) => run_from_wire(run)?,
                wire::restore::Kind::NewStream(form) => RestoreKind::NewStream {
                    reason: choice("NewStream.reason", form.reason)?,
                    common: form.common.map(Wire::from_wire).transpose()?,
                },
            },
        })
    }
}

/// Seqs count up from 1 without overflow and end at `until`, or before.
fn run_from_wire(form: wire::RestoreRun) -> Result<RestoreKind, DecodeMessageError> {
    check_limits(&form.records)?;
    let until: Place = required("RestoreRun.until", form.until)?;
    let count = u64::try_from(form.records.len()).unwrap_or(u64::MAX);
    let max = until.seq.saturating_sub(count - 1).min(u64::MAX / 2);
    if !(1..=max).contains(&form.first_seq) {
        let problem = FieldProblem::Range { value: form.first_seq, min: 1, max };
        return Err(Malformed::field("RestoreRun.first_seq", problem).into());
    }
    Ok(RestoreKind::Run {
        first_seq: form.first_seq,
        previous: convert::hash("RestoreRun.previous_hash", &form.previous_hash)?,
        records: form.records,
        until,
    })
}
