//! A recipient takes a parcel out.

use super::{PickupEnd, PickupSettled, PickupStarted, SessionStarted, Step, ended};
use crate::compartment::{Allocation, Health};
use crate::credential::CredentialState;
use crate::fact::Fact;
use crate::ids::{CredentialId, SessionId};
use crate::journal::View;
use crate::parcel::ParcelState;
use crate::policy::PULSES_PER_OPENING;
use crate::refusal::Refusal;
use crate::session::{Actor, Handover, Phase, Session, SessionEnd, Task};

/// A valid pickup token was shown: its compartment opens. `facts` come first.
pub(super) fn start(
    view: &impl View,
    credential: CredentialId,
    session: SessionId,
    mut facts: Vec<Fact>,
) -> Result<Step, Refusal> {
    let held = view.credential(credential).ok_or(Refusal::CodeUnknown)?;
    match held.state {
        CredentialState::Active => {}
        CredentialState::Issued => return Err(Refusal::NotDeposited),
        CredentialState::UsedPending => return Err(Refusal::SessionBusy),
        CredentialState::Consumed => return Err(Refusal::CodeUsed),
        CredentialState::Revoked => return Err(Refusal::CodeRevoked),
    }
    let parcel = view.parcel(held.parcel).ok_or(Refusal::CodeUnknown)?;
    let ParcelState::Stored { compartment, .. } = parcel.state else {
        return Err(Refusal::NotDeposited);
    };
    let inside = view.compartment(compartment).ok_or(Refusal::NotDeposited)?;
    let holds = match inside.allocation {
        Allocation::Occupied { parcel: owner } => owner == parcel.id,
        Allocation::Quarantined { parcel: owner, .. } => owner == Some(parcel.id),
        Allocation::Free | Allocation::Depositing { .. } | Allocation::Collecting { .. } => false,
    };
    if !holds {
        return Err(Refusal::NotDeposited);
    }
    match inside.health {
        // A lock that failed before may be tried again: the code stays good.
        Health::Ok | Health::OpenFailed => {}
        Health::Unreachable => return Err(Refusal::LockUnreachable),
    }
    let actor = Actor::Recipient { credential };
    facts.push(Fact::SessionStarted(SessionStarted { session, actor }));
    let started = PickupStarted { session, parcel: parcel.id, compartment, credential };
    facts.push(Fact::PickupStarted(started));
    Ok(Step::of(facts).open(view, session, inside.spec, parcel.id))
}

/// "I have it."
pub(super) fn taken(view: &impl View) -> Result<Step, Refusal> {
    settle(view, PickupEnd::Collected { presumed: false })
}

/// "I did not take it."
pub(super) fn not_taken(view: &impl View) -> Result<Step, Refusal> {
    settle(view, PickupEnd::NotTaken)
}

/// Gives up while the door is stuck; once it was open, the person must say what happened.
pub(super) fn cancel(
    view: &impl View,
    session: SessionId,
    handover: &Handover,
) -> Result<Step, Refusal> {
    match handover.phase {
        Phase::Stuck => Ok(not_opened(view, Step::default(), session, handover)),
        Phase::Open => Err(Refusal::DoorOpen),
        Phase::Opening | Phase::Shut => Err(Refusal::NotNow),
    }
}

/// The door stayed shut. The code is not used up.
pub(super) fn not_opened(
    view: &impl View,
    step: Step,
    session: SessionId,
    handover: &Handover,
) -> Step {
    let failed = handover.pulses >= PULSES_PER_OPENING;
    let step = step.and(settled(session, handover, PickupEnd::NotOpened, failed));
    step.and(ended(session, SessionEnd::Finished)).traced(view, handover.parcel)
}

/// It cannot be known whether the door opened. The code is not used up.
pub(super) fn interrupted(session: SessionId, handover: &Handover) -> Fact {
    settled(session, handover, PickupEnd::Interrupted, false)
}

/// The recipient walked away.
pub(super) fn left(view: &impl View, session: SessionId, handover: &Handover) -> Step {
    let (end, failed) = match handover.phase {
        Phase::Shut => (PickupEnd::Collected { presumed: true }, false),
        Phase::Open => (PickupEnd::CollectedDoorOpen, false),
        Phase::Stuck => (PickupEnd::NotOpened, handover.pulses >= PULSES_PER_OPENING),
        Phase::Opening => (PickupEnd::Interrupted, false),
    };
    Step::of([settled(session, handover, end, failed)]).traced(view, handover.parcel)
}

fn settle(view: &impl View, end: PickupEnd) -> Result<Step, Refusal> {
    let session = view.session().ok_or(Refusal::NoSession)?;
    let Session { id, task: Task::Pickup(handover), .. } = session else {
        return Err(Refusal::NotNow);
    };
    match handover.phase {
        Phase::Shut => {}
        Phase::Open => return Err(Refusal::DoorOpen),
        Phase::Opening | Phase::Stuck => return Err(Refusal::NotNow),
    }
    let facts = [settled(id, &handover, end, false), ended(id, SessionEnd::Finished)];
    Ok(Step::of(facts).traced(view, handover.parcel))
}

const fn settled(
    session: SessionId,
    handover: &Handover,
    end: PickupEnd,
    lock_failed: bool,
) -> Fact {
    let Handover { parcel, compartment, .. } = *handover;
    Fact::PickupSettled(PickupSettled { session, parcel, compartment, end, lock_failed })
}
