//! Seals: records in which the device key signs for everything before them, so that a bank's history can be held against
//! it, and the state that it folded to, so that two folds of one history cannot drift apart unseen.
//!
//! The core builds and compares the bytes; whoever calls holds the keys.

use std::fmt;

use sha2::{Digest, Sha256};
use thiserror::Error;

use super::{ChainHash, Record, View};
use crate::compartment::{
    Allocation, Compartment, Content, Door, Evidence, Health, QuarantineReason,
};
use crate::ids::StreamId;

/// Unsealed records after which a seal is due at once.
pub const SEAL_EVERY_RECORDS: u64 = 256;
/// How long a record may wait for its seal, in milliseconds.
pub const SEAL_WITHIN_MS: u64 = 60_000;

/// What a seal's signature begins with, so that it can be taken for nothing else. Frozen.
const SEAL_DOMAIN: &[u8] = b"postern-seal-v1\0";
/// What a projection's hash begins with. Frozen.
const PROJECTION_DOMAIN: &[u8] = b"postern-projection-v1\0";

/// The device key stands for all records up to `upto`. `upto` is the record before the seal's own.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Sealed {
    pub upto: u64,
    /// The chain's hash at `upto`.
    pub hash: ChainHash,
    /// The rules that `projection` was folded with: [`FoldedBy::number`](super::FoldedBy::number).
    pub fold_version: u32,
    /// [`projection`] of the state at `upto`.
    pub projection: [u8; 32],
    /// ECDSA P-256 over SHA-256 of [`Self::signed_bytes`]: r and s, 32 bytes each.
    pub signature: [u8; 64],
}

impl Sealed {
    /// What the device key of the bank with this `stream` signs: the text `postern-seal-v1`, a zero byte, the stream,
    /// `upto`, the hash, the fold version and the projection; numbers with their highest byte first. Frozen.
    #[must_use]
    pub fn signed_bytes(&self, stream: StreamId) -> Vec<u8> {
        [
            SEAL_DOMAIN,
            &stream.0,
            &self.upto.to_be_bytes(),
            &self.hash.0,
            &self.fold_version.to_be_bytes(),
            &self.projection,
        ]
        .concat()
    }
}

// A signature is long and tells a reader nothing.
impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealed")
            .field("upto", &self.upto)
            .field("hash", &self.hash)
            .field("fold_version", &self.fold_version)
            .finish_non_exhaustive()
    }
}

/// Whether a seal is due in a quiet moment, when the journal ends at `head`, its latest seal is record `sealed` (0: none)
/// and the first record after that has waited for `waited_ms`. Never asked on the way to a door.
#[must_use]
pub const fn is_due(head: u64, sealed: u64, waited_ms: u64) -> bool {
    let unsealed = head.saturating_sub(sealed);
    unsealed > 0 && (unsealed >= SEAL_EVERY_RECORDS || waited_ms >= SEAL_WITHIN_MS)
}

/// Whether a seal is due before a bank introduces itself to the hub.
#[must_use]
pub const fn is_due_at_connect(head: u64, sealed: u64) -> bool {
    head > sealed
}

/// What checking a seal told of the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateCheck {
    /// Both folds came to the same state.
    Same,
    /// The checker has no state at that place, or folds by other rules.
    NotCompared,
}

/// Why a seal does not stand for the records before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SealError {
    #[error("seal {seq} is for record {upto}, not for the one before it")]
    Place { seq: u64, upto: u64 },
    #[error("seal {seq} is for another chain")]
    Chain { seq: u64 },
    #[error("seal {seq} is not signed by the bank's device key")]
    Signature { seq: u64 },
    #[error("the bank's state at seal {seq} is another than ours")]
    State { seq: u64 },
}

/// Checks the seal in `record`. `state`: the checker's own [`projection`] just before it, with the version of its rules.
/// `verify` holds a signature over a message against the device key that the stream names there.
///
/// # Errors
///
/// The seal is for another place or chain, its signature does not hold, or the states differ.
pub fn check(
    record: &Record,
    sealed: &Sealed,
    state: Option<(u32, [u8; 32])>,
    verify: impl FnOnce(&[u8], &[u8; 64]) -> bool,
) -> Result<StateCheck, SealError> {
    let seq = record.seq;
    if sealed.upto.checked_add(1) != Some(seq) {
        return Err(SealError::Place { seq, upto: sealed.upto });
    }
    if sealed.hash != record.previous {
        return Err(SealError::Chain { seq });
    }
    if !verify(&sealed.signed_bytes(record.stream), &sealed.signature) {
        return Err(SealError::Signature { seq });
    }
    match state {
        Some((version, ours)) if version == sealed.fold_version => {
            let same = ours == sealed.projection;
            if same { Ok(StateCheck::Same) } else { Err(SealError::State { seq }) }
        }
        Some(_) | None => Ok(StateCheck::NotCompared),
    }
}

/// SHA-256 over what two folds of one history must agree on. The encoding is frozen; numbers have their highest byte
/// first:
///
/// - the text `postern-projection-v1` and a zero byte; the number of compartments, 4 bytes;
/// - for each compartment, by number: its number, 2 bytes; allocation, quarantine reason (0: none), door, content,
///   evidence (0: none) and health, 1 byte each, as numbered below; the parcel that it holds or may hold: a byte 0 for
///   none, or a byte 1 and its 16 bytes; and for that parcel, if the state knows it: a byte 1, its version, 4 bytes, the
///   id of its credential, 16 bytes, and that credential's version, 4 bytes (0 if it is not known); else a byte 0.
#[must_use]
pub fn projection(view: &impl View) -> [u8; 32] {
    let mut hash = Sha256::new_with_prefix(PROJECTION_DOMAIN);
    let compartments = view.compartments();
    let count = u32::try_from(compartments.len()).unwrap_or(u32::MAX);
    hash.update(count.to_be_bytes());
    for held in &compartments {
        hash.update(held.spec.no.0.to_be_bytes());
        hash.update(facets(held));
        let Some(id) = held.parcel() else {
            hash.update([0]);
            continue;
        };
        hash.update([1]);
        hash.update(id.0);
        let Some(parcel) = view.parcel(id) else {
            hash.update([0]);
            continue;
        };
        let credential = view.credential(parcel.credential).map_or(0, |held| held.version.0);
        hash.update([1]);
        hash.update(parcel.version.0.to_be_bytes());
        hash.update(parcel.credential.0);
        hash.update(credential.to_be_bytes());
    }
    hash.finalize().into()
}

/// The four facets, as the frozen numbers of [`projection`].
const fn facets(held: &Compartment) -> [u8; 6] {
    let (allocation, reason) = match held.allocation {
        Allocation::Free => (1, 0),
        Allocation::Reserved { .. } => (2, 0),
        Allocation::Depositing { .. } => (3, 0),
        Allocation::Occupied { .. } => (4, 0),
        Allocation::Collecting { .. } => (5, 0),
        Allocation::Recalling { .. } => (6, 0),
        Allocation::Quarantined { reason, .. } => (7, number_of(reason)),
    };
    let door = match held.door {
        Door::Unknown => 1,
        Door::Closed => 2,
        Door::Open => 3,
        Door::ForcedOpen => 4,
    };
    let (content, evidence) = match held.content {
        Content::Empty(evidence) => (1, number_of_evidence(evidence)),
        Content::Full(evidence) => (2, number_of_evidence(evidence)),
        Content::Unknown => (3, 0),
    };
    let health = match held.health {
        Health::Ok => 1,
        Health::OpenFailed => 2,
        Health::Unreachable => 3,
        Health::Stopped => 4,
    };
    [allocation, reason, door, content, evidence, health]
}

const fn number_of(reason: QuarantineReason) -> u8 {
    match reason {
        QuarantineReason::DepositUnresolved => 1,
        QuarantineReason::OpenedByNobody => 2,
        QuarantineReason::DoorLeftOpen => 3,
        QuarantineReason::Interrupted => 4,
        QuarantineReason::LockFailed => 5,
        QuarantineReason::FoundOccupied => 6,
        QuarantineReason::FoundEmpty => 7,
        QuarantineReason::WrongParcel => 8,
        QuarantineReason::WrongDoor => 9,
        QuarantineReason::InspectionUnfinished => 10,
        QuarantineReason::HistoryLost => 11,
    }
}

const fn number_of_evidence(evidence: Evidence) -> u8 {
    match evidence {
        Evidence::DoorCycle => 1,
        Evidence::Attested => 2,
        Evidence::Inspected => 3,
    }
}

#[cfg(test)]
mod tests;
