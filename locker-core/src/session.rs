//! A person at the screen: who they are, and how far they are with what they came for.

use crate::ids::{CarrierId, CompartmentNo, CredentialId, IntentId, ParcelId, SessionId};
use crate::policy::SessionPolicy;
use crate::units::UnixMillis;

/// Compartments that one deposit may try before it is given up.
pub const COMPARTMENTS_TRIED_MAX: usize = 8;

/// Who is at the screen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// A courier who showed this carrier's badge.
    Courier { carrier: CarrierId, badge: CredentialId },
    /// Whoever holds this pickup code.
    Recipient { credential: CredentialId },
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
    /// A courier between two parcels.
    Idle,
    Deposit(Handover),
    Pickup(Handover),
}

/// One compartment being opened for one parcel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handover {
    pub parcel: ParcelId,
    pub compartment: CompartmentNo,
    /// The latest pulse.
    pub intent: IntentId,
    /// Pulses given for this opening.
    pub pulses: u8,
    pub phase: Phase,
    /// Compartments that this deposit has tried and left, oldest first.
    pub tried: Vec<CompartmentNo>,
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
        let wait_ms = match &self.task {
            Task::Idle => policy.idle_ms,
            Task::Deposit(handover) | Task::Pickup(handover) => match handover.phase {
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
    pub const fn handover(&self) -> Option<&Handover> {
        match &self.task {
            Task::Idle => None,
            Task::Deposit(handover) | Task::Pickup(handover) => Some(handover),
        }
    }
}
