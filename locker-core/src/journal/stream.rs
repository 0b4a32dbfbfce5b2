//! How one stream of a bank goes over into the next, and how two copies of one stream are compared: its places, what it
//! continues, what a bank may say again, and what must be looked at when a piece of history is lost.

use std::fmt;

use super::{ChainHash, Change};
use crate::bank::{AbortedContent, Finding, PickupEnd, PulseOutcome, RecallEnd};
use crate::compartment::QuarantineReason;
use crate::fact::Fact;
use crate::ids::{CompartmentNo, StreamId};

/// Most rungs of a ladder.
pub const RUNGS_MAX: usize = 64;

/// What the signature of a changed key begins with, so that it can be taken for nothing else. Frozen.
const KEY_CHANGE_DOMAIN: &[u8] = b"postern-key-change-v1\0";

/// A record of a stream, and the chain's hash there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub seq: u64,
    pub hash: ChainHash,
}

/// What a stream goes on from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parent {
    pub stream: StreamId,
    /// The last record of it that bank and hub are known to have in common, or that the bank could still read.
    pub common: Option<Place>,
    /// Why it ended; none if an agent wrote this that was too old to say.
    pub reason: Option<StreamBreak>,
}

/// Why a stream ended and another was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamBreak {
    /// Bank and hub held different records at the same place.
    Forked,
    /// It could not be read on, and a person decided to go on without it.
    Damaged,
    /// The bank's machine or disk was replaced.
    Replaced,
}

/// The bank has another device key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeyChanged {
    /// SHA-256 of the SubjectPublicKeyInfo of the key until now, if the stream says.
    pub old: Option<[u8; 32]>,
    /// And of the key from here on.
    pub new: [u8; 32],
    /// ECDSA P-256 by the old key over SHA-256 of [`Self::signed_bytes`], r and s, 32 bytes each; none if the old key was
    /// gone. Without it, only the new key's certificate vouches for the change.
    pub signature: Option<[u8; 64]>,
}

impl KeyChanged {
    /// What the old key signs: the text `postern-key-change-v1`, a zero byte, the stream, the seq of this record, highest
    /// byte first, the old key's hash (zeros if there is none) and the new one's. Frozen.
    #[must_use]
    pub fn signed_bytes(&self, stream: StreamId, seq: u64) -> Vec<u8> {
        let old = self.old.unwrap_or_default();
        [KEY_CHANGE_DOMAIN, &stream.0, &seq.to_be_bytes(), &old, &self.new].concat()
    }
}

impl fmt::Debug for KeyChanged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyChanged")
            .field("signed", &self.signature.is_some())
            .finish_non_exhaustive()
    }
}

/// What a stream takes over of the state of the one it goes on from. A long list takes more than one; they stand between
/// the stream's opening and its first start, and nowhere else count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateCarried {
    entities: Vec<Change>,
}

impl StateCarried {
    /// Carries `changes`. What is removed is not carried: nothing is there that it could be removed from.
    #[must_use]
    pub fn new(mut changes: Vec<Change>) -> Self {
        changes.retain(|change| match change {
            Change::CompartmentRemoved(_)
            | Change::ParcelForgotten(_)
            | Change::SlotForgotten(_) => false,
            Change::Meta(_)
            | Change::Compartment(_)
            | Change::Parcel(_)
            | Change::Credential(_)
            | Change::Session(_)
            | Change::Governor(_)
            | Change::Slot(_)
            | Change::Budget(_)
            | Change::CourierCodes(_) => true,
        });
        Self { entities: changes }
    }

    /// Each entity as it is.
    #[must_use]
    pub fn entities(&self) -> &[Change] {
        &self.entities
    }
}

/// Where a bank says its hashes when it introduces itself, so that the hub finds a common past: at the head, 1, 2, 4, 8...
/// below it, just below the oldest record, and at `asked`, a place that was in doubt. Highest first, at most
/// [`RUNGS_MAX`].
#[must_use]
pub fn ladder(oldest: u64, head: u64, asked: Option<u64>) -> Vec<u64> {
    let lowest = oldest.saturating_sub(1).min(head);
    let below = (0..u64::BITS).map_while(|bit| head.checked_sub(1 << bit));
    let mut seqs: Vec<u64> = below.take_while(|seq| *seq > lowest).take(RUNGS_MAX - 3).collect();
    seqs.extend([head, lowest]);
    seqs.extend(asked.filter(|seq| (lowest..=head).contains(seq)));
    seqs.sort_unstable_by(|one, other| other.cmp(one));
    seqs.dedup();
    seqs
}

/// Whether nothing is lost if a bank takes `fact` back and goes on from a record before it: it says what is said again by
/// itself (a start, readings, seals, what has lapsed, the hub's decisions, which it sends again) or only that something
/// is not known.
#[must_use]
pub fn is_said_again(fact: &Fact) -> bool {
    match fact {
        Fact::Booted(_)
        | Fact::DoorsRead(_)
        | Fact::BoardChanged(_)
        | Fact::PowerChanged(_)
        | Fact::Sealed(_)
        | Fact::KeyChanged(_)
        | Fact::GrantAccepted(_)
        | Fact::GrantRefused(_)
        | Fact::ConfigAccepted(_)
        | Fact::ConfigRefused(_)
        | Fact::CompartmentReserved(_)
        | Fact::BookingLapsed(_)
        | Fact::KeepLapsed(_)
        | Fact::SessionEnded(_) => true,
        Fact::PulseSettled(settled) => settled.outcome == PulseOutcome::Recovered,
        Fact::DepositAborted(aborted) => {
            aborted.content == AbortedContent::Unknown(QuarantineReason::Interrupted)
        }
        Fact::PickupSettled(settled) => settled.end == PickupEnd::Interrupted,
        Fact::RecallSettled(settled) => settled.end == RecallEnd::Interrupted,
        Fact::InspectionSettled(settled) => settled.finding == Finding::Unfinished,
        Fact::StreamOpened(_)
        | Fact::StateCarried(_)
        | Fact::SessionStarted(_)
        | Fact::DepositStarted(_)
        | Fact::DepositMisfit(_)
        | Fact::DepositConfirmed(_)
        | Fact::PickupStarted(_)
        | Fact::PulseIntended(_)
        | Fact::DoorMoved(_)
        | Fact::RecallStarted(_)
        | Fact::InspectionStarted(_)
        | Fact::Alarm(_)
        | Fact::LockdownBegan(_)
        | Fact::LockdownLiftAsked(_)
        | Fact::LockdownLifted(_)
        | Fact::BoardReset(_)
        | Fact::CommandAnswered(_)
        | Fact::CodeTyped(_)
        | Fact::KeypadReset(_)
        | Fact::SlotBound(_) => false,
    }
}

/// The compartment whose content is in doubt if `fact` is on only one of two branches of a history.
#[must_use]
pub const fn touched(fact: &Fact) -> Option<CompartmentNo> {
    Some(match fact {
        Fact::DepositStarted(started) => started.compartment,
        Fact::DepositMisfit(misfit) => misfit.compartment,
        Fact::DepositAborted(aborted) => aborted.compartment,
        Fact::DepositConfirmed(confirmed) => confirmed.compartment,
        Fact::PickupStarted(started) => started.compartment,
        Fact::PickupSettled(settled) => settled.compartment,
        Fact::PulseIntended(intended) => intended.compartment,
        Fact::PulseSettled(settled) => settled.compartment,
        Fact::DoorMoved(moved) => moved.compartment,
        Fact::RecallStarted(started) => started.compartment,
        Fact::RecallSettled(settled) => settled.compartment,
        Fact::InspectionStarted(started) => started.compartment,
        Fact::InspectionSettled(settled) => settled.compartment,
        Fact::StreamOpened(_)
        | Fact::Booted(_)
        | Fact::GrantAccepted(_)
        | Fact::GrantRefused(_)
        | Fact::ConfigAccepted(_)
        | Fact::ConfigRefused(_)
        | Fact::SessionStarted(_)
        | Fact::SessionEnded(_)
        | Fact::DoorsRead(_)
        | Fact::BoardChanged(_)
        | Fact::PowerChanged(_)
        | Fact::BookingLapsed(_)
        | Fact::KeepLapsed(_)
        | Fact::CompartmentReserved(_)
        | Fact::Alarm(_)
        | Fact::LockdownBegan(_)
        | Fact::LockdownLiftAsked(_)
        | Fact::LockdownLifted(_)
        | Fact::BoardReset(_)
        | Fact::CommandAnswered(_)
        | Fact::CodeTyped(_)
        | Fact::KeypadReset(_)
        | Fact::SlotBound(_)
        | Fact::Sealed(_)
        | Fact::KeyChanged(_)
        | Fact::StateCarried(_) => return None,
    })
}

#[cfg(test)]
mod tests;
