//! The facts that sessions and doors leave behind.

use crate::compartment::{DoorReading, QuarantineReason};
use crate::ids::{CompartmentNo, CredentialId, IntentId, ParcelId, SessionId};
use crate::session::{Actor, SessionEnd};

/// Somebody began to use the screen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionStarted {
    pub session: SessionId,
    pub actor: Actor,
}

/// Nobody is at the screen any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionEnded {
    pub session: SessionId,
    pub end: SessionEnd,
}

/// A compartment was chosen for a parcel that a courier holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DepositStarted {
    pub session: SessionId,
    pub parcel: ParcelId,
    pub compartment: CompartmentNo,
    /// Compartments that this deposit tried before and left.
    pub tried: Vec<CompartmentNo>,
}

/// The parcel did not fit and was taken out again, the courier says; the door is shut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DepositMisfit {
    pub session: SessionId,
    pub parcel: ParcelId,
    pub compartment: CompartmentNo,
}

/// A deposit ended without a parcel being stored for certain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DepositAborted {
    pub session: SessionId,
    pub parcel: ParcelId,
    pub compartment: CompartmentNo,
    pub content: AbortedContent,
    /// The lock did not open although pulsed as often as allowed.
    pub lock_failed: bool,
}

/// What an aborted deposit left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AbortedContent {
    /// The door never opened: as it was before.
    Untouched,
    /// The door opened or may have: not known.
    Unknown(QuarantineReason),
}

/// The parcel is inside and the door is shut: custody has passed to the bank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DepositConfirmed {
    pub session: SessionId,
    pub parcel: ParcelId,
    pub compartment: CompartmentNo,
    /// The courier left without a word; the door went open and shut.
    pub presumed: bool,
}

/// A recipient's code was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PickupStarted {
    pub session: SessionId,
    pub parcel: ParcelId,
    pub compartment: CompartmentNo,
    pub credential: CredentialId,
}

/// A pickup ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PickupSettled {
    pub session: SessionId,
    pub parcel: ParcelId,
    pub compartment: CompartmentNo,
    pub end: PickupEnd,
    /// The lock did not open although pulsed as often as allowed.
    pub lock_failed: bool,
}

/// How a pickup ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PickupEnd {
    /// Taken, the door is shut. `presumed`: nobody said so.
    Collected { presumed: bool },
    /// The recipient left with the door open.
    CollectedDoorOpen,
    /// The recipient says that the parcel is still inside.
    NotTaken,
    /// The door did not open.
    NotOpened,
    /// It is not known whether the door opened: the board went silent or the agent stopped.
    Interrupted,
}

/// A lock is about to be pulsed. Durable before the pulse; every pulse has one of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PulseIntended {
    pub intent: IntentId,
    pub session: SessionId,
    pub compartment: CompartmentNo,
    pub parcel: ParcelId,
}

/// What became of an intended pulse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PulseSettled {
    pub intent: IntentId,
    pub compartment: CompartmentNo,
    pub outcome: PulseOutcome,
}

/// What a pulse did, as far as can be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PulseOutcome {
    /// The sensor changed to open inside the pulse's own window, this long after it.
    Opened { after_ms: u32 },
    /// The sensor read shut, twice, after the window.
    NotOpened,
    /// The sensor read open before the pulse.
    AlreadyOpen,
    /// No trustworthy reading. Never taken for success or failure.
    Unknown,
    /// The pulse never went out on the wire.
    NotSent,
    /// The agent stopped before it heard; found at the next start.
    Recovered,
}

/// A door was opened or shut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DoorMoved {
    pub compartment: CompartmentNo,
    pub reading: DoorReading,
    /// The pulse that explains it; an opening without one was made by nobody we let in.
    pub cause: Option<IntentId>,
}

/// The doors of a board, read for the first time since it came on line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DoorsRead {
    pub readings: Vec<(CompartmentNo, DoorReading)>,
}

/// A lock board went silent or answers again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BoardChanged {
    pub board: u8,
    pub online: bool,
}
