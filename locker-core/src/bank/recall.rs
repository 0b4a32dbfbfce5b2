//! A courier or staff takes a parcel out that must not stay, one at a time: its label is read before
//! the compartment counts as empty.

use super::{Moment, RecallEnd, RecallSettled, RecallStarted, Step, gate_for};
use crate::compartment::Health;
use crate::fact::Fact;
use crate::ids::{Barcode, CarrierId, SessionId};
use crate::journal::View;
use crate::parcel::ParcelState;
use crate::policy::PULSES_PER_OPENING;
use crate::refusal::Refusal;
use crate::session::{Actor, Handover, Phase, Session, Task};

/// A label was chosen from the list of what must leave: its compartment opens.
pub(super) fn start(
    view: &impl View,
    carrier: Option<CarrierId>,
    barcode: &Barcode,
    at: Moment<'_>,
) -> Result<Step, Refusal> {
    let session = view.session().ok_or(Refusal::NoSession)?;
    if session.task != Task::Idle {
        return Err(Refusal::NotNow);
    }
    let carrier = match &session.actor {
        Actor::Courier { carrier: own, .. } => own.clone(),
        Actor::Staff { .. } => carrier.ok_or(Refusal::BarcodeUnknown)?,
        Actor::Recipient { .. } => return Err(Refusal::NotNow),
    };
    let known = view.parcel_by_barcode(&carrier, barcode).and_then(|id| view.parcel(id));
    let parcel = known.ok_or(Refusal::BarcodeUnknown)?;
    let compartment = match parcel.state {
        ParcelState::Stored { compartment, .. } => compartment,
        ParcelState::Collected { .. } => return Err(Refusal::AlreadyCollected),
        ParcelState::Unresolved { .. } => return Err(Refusal::ParcelUnresolved),
        ParcelState::Missing { .. } => return Err(Refusal::ParcelMissing),
        ParcelState::Booked
        | ParcelState::Depositing { .. }
        | ParcelState::Collecting { .. }
        | ParcelState::Recalling { .. }
        | ParcelState::Cancelled { .. }
        | ParcelState::BookingExpired { .. }
        | ParcelState::Recalled { .. } => return Err(Refusal::NotDeposited),
    };
    if parcel.recall.is_none() {
        return Err(Refusal::NotRecalled);
    }
    let held = view.compartment(compartment).ok_or(Refusal::NotDeposited)?;
    if matches!(held.health, Health::Unreachable | Health::Stopped) {
        return Err(Refusal::LockUnreachable);
    }
    if let Some(refused) = gate_for(view, &session, at)? {
        return Ok(refused);
    }
    let started = RecallStarted { session: session.id, parcel: parcel.id, compartment };
    let step = Step::of([Fact::RecallStarted(started)]);
    Ok(step.open(view, session.id, held.spec, Some(parcel.id)))
}

/// "I took it out": the label must be the parcel's own.
pub(super) fn removed(view: &impl View, barcode: &Barcode) -> Result<Step, Refusal> {
    let (session, handover) = shut(view)?;
    let parcel = view.parcel(handover.parcel).ok_or(Refusal::NotNow)?;
    if parcel.barcode != *barcode {
        return Err(Refusal::BarcodeMismatch);
    }
    Ok(settle(view, session.id, &handover, RecallEnd::Removed))
}

/// "There is nothing inside."
pub(super) fn found_empty(view: &impl View) -> Result<Step, Refusal> {
    let (session, handover) = shut(view)?;
    Ok(settle(view, session.id, &handover, RecallEnd::FoundEmpty))
}

/// "I left it inside."
pub(super) fn not_taken(view: &impl View) -> Result<Step, Refusal> {
    let (session, handover) = shut(view)?;
    Ok(settle(view, session.id, &handover, RecallEnd::NotTaken))
}

/// Gives up while the door is stuck; once it was open, the person must say what happened.
pub(super) fn cancel(
    view: &impl View,
    session: SessionId,
    handover: &Handover,
) -> Result<Step, Refusal> {
    match handover.opening.phase {
        Phase::Stuck => Ok(settle(view, session, handover, RecallEnd::NotOpened)),
        Phase::Open => Err(Refusal::DoorOpen),
        Phase::Opening | Phase::Shut => Err(Refusal::NotNow),
    }
}

/// The door stayed shut for the last time.
pub(super) fn not_opened(
    view: &impl View,
    mut step: Step,
    session: SessionId,
    handover: &Handover,
) -> Step {
    step.facts.push(settled(session, handover, RecallEnd::NotOpened));
    step.traced(view, handover.parcel)
}

/// It cannot be known whether the door opened, or the agent stopped.
pub(super) const fn interrupted(session: SessionId, handover: &Handover) -> Fact {
    settled(session, handover, RecallEnd::Interrupted)
}

/// The person walked away: what was inside may be inside or not.
pub(super) fn left(view: &impl View, session: SessionId, handover: &Handover) -> Step {
    let end = match handover.opening.phase {
        Phase::Stuck => RecallEnd::NotOpened,
        Phase::Opening | Phase::Open | Phase::Shut => RecallEnd::Interrupted,
    };
    settle(view, session, handover, end)
}

fn shut(view: &impl View) -> Result<(Session, Handover), Refusal> {
    let session = view.session().ok_or(Refusal::NoSession)?;
    let Task::Recall(handover) = session.task.clone() else { return Err(Refusal::NotNow) };
    match handover.opening.phase {
        Phase::Shut => Ok((session, handover)),
        Phase::Open => Err(Refusal::DoorOpen),
        Phase::Opening | Phase::Stuck => Err(Refusal::NotNow),
    }
}

fn settle(view: &impl View, session: SessionId, handover: &Handover, end: RecallEnd) -> Step {
    Step::of([settled(session, handover, end)]).traced(view, handover.parcel)
}

const fn settled(session: SessionId, handover: &Handover, end: RecallEnd) -> Fact {
    let Handover { parcel, opening, .. } = handover;
    let lock_failed = matches!(end, RecallEnd::NotOpened) && opening.pulses >= PULSES_PER_OPENING;
    Fact::RecallSettled(RecallSettled {
        session,
        parcel: *parcel,
        compartment: opening.compartment,
        end,
        lock_failed,
    })
}
