//! A person at the screen: who they are, and how far they are with what they came for.

use crate::code::slot::SlotId;
use crate::ids::{CarrierId, CompartmentNo, CredentialId, IntentId, ParcelId, SessionId};
use crate::policy::SessionPolicy;
use crate::units::UnixMillis;

/// How often one opening may be opened again at the person's wish.
pub const REOPENED_MAX: u8 = 3;
/// Compartments that one deposit may try before it is given up.
pub const COMPARTMENTS_TRIED_MAX: usize = 8;

/// Who is at the screen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// A courier of this carrier.
    Courier { carrier: CarrierId, proof: CourierProof },
    /// Whoever holds this pickup code.
    Recipient { credential: CredentialId },
    /// One of the operator's people who showed a personal badge.
    Staff { badge: CredentialId },
}

/// What a courier signed in with. Both give the same rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CourierProof {
    /// A scanned badge.
    Badge(CredentialId),
    /// Six digits, by the slot that they belong to.
    Keypad(SlotId),
}

/// The one session that a bank's screen can have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    pub id: SessionId,
    pub actor: Actor,
    pub task: Task,
    /// When something last happened in it; deadlines count from here.
    pub moved_at: UnixMillis,
}

/// What the session is busy with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// Between two parcels.
    Idle,
    Deposit(Handover),
    Pickup(Handover),
    /// A courier or staff takes a parcel out that must not stay.
    Recall(Handover),
    /// Staff looks into a compartment, or a recipient for something forgotten.
    Inspection(Opening),
}

/// One compartment being opened for one parcel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handover {
    pub parcel: ParcelId,
    pub opening: Opening,
    /// Compartments that this deposit has tried and left, oldest first.
    pub tried: Vec<CompartmentNo>,
}

/// One compartment being opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opening {
    pub compartment: CompartmentNo,
    /// The latest pulse.
    pub intent: IntentId,
    /// Pulses given since the door was last seen shut.
    pub pulses: u8,
    /// How often the person had it opened again.
    pub reopened: u8,
    pub phase: Phase,
    /// When the door was last seen to open.
    pub opened_at: Option<UnixMillis>,
    /// Another door moved meanwhile: the person must say which one they used.
    pub other_door: bool,
    /// It stands open, or stood open until it was shut, for so long that an alarm was raised.
    pub left_open: bool,
}

impl Opening {
    /// An opening that has had no pulse yet.
    #[must_use]
    pub const fn of(compartment: CompartmentNo) -> Self {
        Self {
            compartment,
            intent: IntentId(0),
            pulses: 0,
            reopened: 0,
            phase: Phase::Opening,
            opened_at: None,
            other_door: false,
            left_open: false,
        }
    }
}

/// How far the door is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Pulsed, outcome not known yet.
    Opening,
    /// The lock did not open; the person is asked to push the door and try again.
    Stuck,
    Open,
    /// Was open and is shut again; the person is asked what happened.
    Shut,
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionEnd {
    /// Done with everything.
    Finished,
    /// The person left it, by a button or by doing nothing.
    Left,
    /// The agent stopped while it was going on.
    Interrupted,
}

impl Session {
    /// When the session must be settled without the person, under `policy`.
    #[must_use]
    pub fn deadline(&self, policy: &SessionPolicy) -> Option<UnixMillis> {
        let wait_ms = match self.opening() {
            None => match self.actor {
                Actor::Courier { .. } => policy.idle_ms,
                // Whoever stands there next must not get at what is left of their entitlement.
                Actor::Recipient { .. } | Actor::Staff { .. } => policy.confirm_ms,
            },
            Some(opening) => match opening.phase {
                // The bus settles every pulse it was given; there is nothing to wait for here.
                Phase::Opening => return None,
                Phase::Stuck => policy.retry_ms,
                Phase::Open => policy.door_open_ms,
                Phase::Shut => policy.confirm_ms,
            },
        };
        Some(self.moved_at.plus_ms(wait_ms))
    }

    /// The opening under way, if any.
    #[must_use]
    pub const fn opening(&self) -> Option<&Opening> {
        match &self.task {
            Task::Idle => None,
            Task::Deposit(handover) | Task::Pickup(handover) | Task::Recall(handover) => {
                Some(&handover.opening)
            }
            Task::Inspection(opening) => Some(opening),
        }
    }

    /// As [`Self::opening`], to be changed by the fold.
    pub(crate) const fn opening_mut(&mut self) -> Option<&mut Opening> {
        match &mut self.task {
            Task::Idle => None,
            Task::Deposit(handover) | Task::Pickup(handover) | Task::Recall(handover) => {
                Some(&mut handover.opening)
            }
            Task::Inspection(opening) => Some(opening),
        }
    }

    /// The parcel that the opening under way is for, if any.
    #[must_use]
    pub const fn parcel(&self) -> Option<ParcelId> {
        match &self.task {
            Task::Deposit(handover) | Task::Pickup(handover) | Task::Recall(handover) => {
                Some(handover.parcel)
            }
            Task::Idle | Task::Inspection(_) => None,
        }
    }
}
