//! A recipient takes a parcel out.

use super::{Moment, OpenerKind, PickupEnd, PickupSettled, PickupStarted, SessionStarted, Step};
use super::{ended, gate, gate_for, grace};
use crate::compartment::{Allocation, Compartment, Health};
use crate::credential::{Credential, CredentialState, Holder};
use crate::fact::Fact;
use crate::ids::{CredentialId, ParcelId, SessionId};
use crate::journal::View;
use crate::parcel::{Parcel, ParcelState, RecallReason};
use crate::policy::{PULSES_PER_OPENING, SessionPolicy};
use crate::refusal::Refusal;
use crate::session::{Actor, Handover, Opening, Phase, Session, SessionEnd, Task};

/// A valid pickup token was shown: its compartment opens, and for a while after it was emptied once
/// more. `facts` come first.
pub(super) fn start(
    view: &impl View,
    credential: CredentialId,
    mut facts: Vec<Fact>,
    at: Moment<'_>,
) -> Result<Step, Refusal> {
    let held = view.credential(credential).ok_or(Refusal::CodeUnknown)?;
    if let Some(left_behind) = grace::left_behind(view, credential, at) {
        return grace::start(view, credential, facts, left_behind, at);
    }
    check_code(&held, at)?;
    let parcel = view.parcel(held.parcel).ok_or(Refusal::CodeUnknown)?;
    let inside = check_inside(view, &parcel)?;
    if let Some(refused) = gate(view, OpenerKind::Recipient, at)? {
        return Ok(refused);
    }
    let session = at.fresh_session;
    let actor = Actor::Recipient { credential };
    facts.push(Fact::SessionStarted(SessionStarted { session, actor }));
    Ok(open(view, Step::of(facts), session, credential, &parcel, &inside))
}

/// The next parcel for the same person, with the code that opened the first.
pub(super) fn open_next(view: &impl View, at: Moment<'_>) -> Result<Step, Refusal> {
    let session = view.session().ok_or(Refusal::NoSession)?;
    let Actor::Recipient { credential } = session.actor else { return Err(Refusal::NotNow) };
    if session.task != Task::Idle {
        return Err(Refusal::NotNow);
    }
    let next = others(view, credential).into_iter().next().ok_or(Refusal::NoMoreParcels)?;
    let inside = check_inside(view, &next)?;
    if let Some(refused) = gate_for(view, &session, at)? {
        return Ok(refused);
    }
    Ok(open(view, Step::default(), session.id, credential, &next, &inside))
}

/// Parcels for the same person that this code opens, besides its own.
#[must_use]
pub fn others(view: &impl View, credential: CredentialId) -> Vec<Parcel> {
    let Some(held) = view.credential(credential) else { return Vec::new() };
    // A delegate fetches one parcel, not all that the recipient has here.
    if held.holder != Holder::Recipient {
        return Vec::new();
    }
    let Some(group) = view.parcel(held.parcel).and_then(|parcel| parcel.terms.group) else {
        return Vec::new();
    };
    let mut parcels = view.parcels();
    parcels.retain(|parcel| {
        parcel.terms.group == Some(group)
            && parcel.id != held.parcel
            && check_inside(view, parcel).is_ok()
    });
    parcels
}

fn open(
    view: &impl View,
    step: Step,
    session: SessionId,
    credential: CredentialId,
    parcel: &Parcel,
    inside: &Compartment,
) -> Step {
    let compartment = inside.spec.no;
    let started = PickupStarted { session, parcel: parcel.id, compartment, credential };
    step.and(Fact::PickupStarted(started)).open(view, session, inside.spec, Some(parcel.id))
}

fn check_code(held: &Credential, at: Moment<'_>) -> Result<(), Refusal> {
    match held.state {
        CredentialState::Active => {}
        CredentialState::Issued => return Err(Refusal::NotDeposited),
        CredentialState::UsedPending => return Err(Refusal::PickupInProgress),
        CredentialState::Consumed => return Err(Refusal::CodeUsed),
        CredentialState::Revoked | CredentialState::Superseded => {
            return Err(Refusal::CodeRevoked);
        }
    }
    match held.holder {
        Holder::Delegate { until } if at.clock.surely_past(until) => Err(Refusal::CodeExpired),
        Holder::Recipient | Holder::Delegate { .. } => Ok(()),
    }
}

/// The compartment that a parcel can be fetched from, or why it cannot be.
fn check_inside(view: &impl View, parcel: &Parcel) -> Result<Compartment, Refusal> {
    let compartment = match parcel.state {
        ParcelState::Stored { compartment, .. } => compartment,
        ParcelState::Collected { .. } => return Err(Refusal::AlreadyCollected),
        ParcelState::Recalled { .. } => return Err(Refusal::ParcelRecalled),
        ParcelState::Unresolved { .. } => return Err(Refusal::ParcelUnresolved),
        ParcelState::Missing { .. } => return Err(Refusal::ParcelMissing),
        ParcelState::Booked
        | ParcelState::Depositing { .. }
        | ParcelState::Collecting { .. }
        | ParcelState::Recalling { .. }
        | ParcelState::Cancelled { .. }
        | ParcelState::BookingExpired { .. } => return Err(Refusal::NotDeposited),
    };
    match parcel.recall {
        None => {}
        Some(RecallReason::Expired) => return Err(Refusal::ParcelExpired),
        Some(RecallReason::Sender | RecallReason::Safety | RecallReason::Refused) => {
            return Err(Refusal::ParcelRecalled);
        }
    }
    let inside = view.compartment(compartment).ok_or(Refusal::NotDeposited)?;
    let holds = match inside.allocation {
        Allocation::Occupied { parcel: owner } => owner == parcel.id,
        Allocation::Quarantined { parcel: owner, .. } => owner == Some(parcel.id),
        Allocation::Free
        | Allocation::Reserved { .. }
        | Allocation::Depositing { .. }
        | Allocation::Collecting { .. }
        | Allocation::Recalling { .. } => false,
    };
    if !holds {
        return Err(Refusal::NotDeposited);
    }
    match inside.health {
        // A lock that failed before may be tried again: the code stays good.
        Health::Ok | Health::OpenFailed => Ok(inside),
        Health::Unreachable | Health::Stopped => Err(Refusal::LockUnreachable),
    }
}

/// "I do not want it; it is inside again."
pub(super) fn refuse(view: &impl View) -> Result<Step, Refusal> {
    settle(view, PickupEnd::Refused)
}

/// "There is nothing inside."
pub(super) fn found_empty(view: &impl View) -> Result<Step, Refusal> {
    settle(view, PickupEnd::FoundEmpty)
}

/// "It is somebody else's; it is inside again."
pub(super) fn wrong_parcel(view: &impl View) -> Result<Step, Refusal> {
    settle(view, PickupEnd::WrongParcel)
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
    match handover.opening.phase {
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
    let failed = handover.opening.pulses >= PULSES_PER_OPENING;
    let step = step.and(settled(session, handover, PickupEnd::NotOpened, failed));
    step.and(ended(session, SessionEnd::Finished)).traced(view, handover.parcel)
}

/// It cannot be known whether the door opened. The code is not used up.
pub(super) fn interrupted(session: SessionId, handover: &Handover) -> Fact {
    settled(session, handover, PickupEnd::Interrupted, false)
}

/// The recipient walked away.
pub(super) fn left(
    view: &impl View,
    session: SessionId,
    handover: &Handover,
    policy: &SessionPolicy,
) -> Step {
    let (end, failed) = match handover.opening.phase {
        Phase::Shut if was_jammed(view, handover, policy) => (PickupEnd::Unconfirmed, false),
        Phase::Shut => (PickupEnd::Collected { presumed: true }, false),
        Phase::Open => (PickupEnd::CollectedDoorOpen, false),
        Phase::Stuck => (PickupEnd::NotOpened, handover.opening.pulses >= PULSES_PER_OPENING),
        Phase::Opening => (PickupEnd::Interrupted, false),
    };
    Step::of([settled(session, handover, end, failed)]).traced(view, handover.parcel)
}

fn settle(view: &impl View, end: PickupEnd) -> Result<Step, Refusal> {
    let session = view.session().ok_or(Refusal::NoSession)?;
    let Session { id, task: Task::Pickup(handover), .. } = session else {
        return Err(Refusal::NotNow);
    };
    match handover.opening.phase {
        Phase::Shut => {}
        Phase::Open => return Err(Refusal::DoorOpen),
        Phase::Opening | Phase::Stuck => return Err(Refusal::NotNow),
    }
    let step = Step::of([settled(id, &handover, end, false)]).traced(view, handover.parcel);
    let more = match session_credential(view) {
        Some(credential) => !others_besides(view, credential, handover.parcel).is_empty(),
        None => false,
    };
    // Whoever has more parcels here stays signed in for them.
    Ok(if more && matches!(end, PickupEnd::Collected { .. }) {
        step
    } else {
        step.and(ended(id, SessionEnd::Finished))
    })
}

/// The door was open for so short a time that nobody can have taken anything out.
fn was_jammed(view: &impl View, handover: &Handover, policy: &SessionPolicy) -> bool {
    let shut_at = view.session().map(|session| session.moved_at);
    match (handover.opening.opened_at, shut_at) {
        (Some(opened), Some(shut)) => shut.since_ms(opened) < policy.jam_ms,
        (None, _) | (_, None) => false,
    }
}

fn session_credential(view: &impl View) -> Option<CredentialId> {
    match view.session()?.actor {
        Actor::Recipient { credential } => Some(credential),
        Actor::Courier { .. } | Actor::Staff { .. } => None,
    }
}

fn others_besides(view: &impl View, credential: CredentialId, parcel: ParcelId) -> Vec<Parcel> {
    let mut rest = others(view, credential);
    rest.retain(|other| other.id != parcel);
    rest
}

const fn settled(
    session: SessionId,
    handover: &Handover,
    end: PickupEnd,
    lock_failed: bool,
) -> Fact {
    let Handover { parcel, opening: Opening { compartment, .. }, .. } = *handover;
    Fact::PickupSettled(PickupSettled { session, parcel, compartment, end, lock_failed })
}
