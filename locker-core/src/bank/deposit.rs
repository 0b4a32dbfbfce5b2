//! A courier puts a parcel in.

use super::{AbortedContent, DepositAborted, DepositConfirmed, DepositMisfit, DepositStarted};
use super::{Moment, Step, courier};
use crate::compartment::{Compartment, Door, QuarantineReason};
use crate::fact::Fact;
use crate::ids::{Barcode, CompartmentNo, SessionId};
use crate::journal::View;
use crate::parcel::{Parcel, ParcelState};
use crate::policy::{PULSES_PER_OPENING, SessionPolicy};
use crate::refusal::Refusal;
use crate::session::{COMPARTMENTS_TRIED_MAX, Handover, Phase, Session, Task};

/// A courier scanned a label: the smallest free compartment that fits opens.
pub(super) fn scan(view: &impl View, barcode: &Barcode, at: Moment<'_>) -> Result<Step, Refusal> {
    let (session, carrier) = courier(view)?;
    if session.task != Task::Idle {
        return Err(Refusal::NotNow);
    }
    if !at.deposits_open {
        return Err(Refusal::BankNotAccepting);
    }
    let known = view.parcel_by_barcode(barcode).and_then(|id| view.parcel(id));
    let parcel = known.ok_or(Refusal::BarcodeUnknown)?;
    if parcel.carrier != carrier {
        return Err(Refusal::OtherCarriersParcel);
    }
    match parcel.state {
        ParcelState::Booked => {}
        ParcelState::Depositing { .. }
        | ParcelState::Stored { .. }
        | ParcelState::Collecting { .. } => return Err(Refusal::AlreadyDeposited),
        ParcelState::Collected { .. } => return Err(Refusal::AlreadyCollected),
        ParcelState::Cancelled { .. } => return Err(Refusal::ParcelCancelled),
        ParcelState::Unresolved { .. } => return Err(Refusal::ParcelUnresolved),
    }
    let chosen = choose(view, &parcel, &[])?;
    Ok(offer(view, Step::default(), session.id, &parcel, &chosen, Vec::new()))
}

/// "The parcel is inside."
pub(super) fn confirm(view: &impl View) -> Result<Step, Refusal> {
    let (session, handover) = under_way(view)?;
    match handover.phase {
        Phase::Shut => Ok(confirmed(view, session.id, &handover, false)),
        Phase::Open => Err(Refusal::DoorOpen),
        Phase::Opening | Phase::Stuck => Err(Refusal::NotNow),
    }
}

/// "It does not fit; I have taken it out again." The next larger compartment opens, if there is one.
pub(super) fn does_not_fit(view: &impl View, at: Moment<'_>) -> Result<Step, Refusal> {
    let (session, handover) = under_way(view)?;
    match handover.phase {
        Phase::Shut => {}
        Phase::Open => return Err(Refusal::DoorOpen),
        Phase::Opening | Phase::Stuck => return Err(Refusal::NotNow),
    }
    let Handover { parcel, compartment, .. } = handover;
    let misfit = DepositMisfit { session: session.id, parcel, compartment };
    let step = Step::of([Fact::DepositMisfit(misfit)]).traced(view, parcel);
    Ok(if at.deposits_open { next(view, step, session.id, &handover, true) } else { step })
}

/// Gives up. Free again only if the door never opened and reads shut.
pub(super) fn cancel(
    view: &impl View,
    session: SessionId,
    handover: &Handover,
) -> Result<Step, Refusal> {
    match handover.phase {
        Phase::Opening => Err(Refusal::NotNow),
        Phase::Stuck | Phase::Open | Phase::Shut => Ok(abort(view, session, handover)),
    }
}

/// The lock did not open for the last time: another compartment, if there is one.
pub(super) fn lock_failed(
    view: &impl View,
    step: Step,
    session: SessionId,
    handover: &Handover,
) -> Step {
    let step = step.and(aborted(session, handover, AbortedContent::Untouched, true));
    next(view, step, session, handover, false)
}

/// It cannot be known whether the door opened.
pub(super) fn unresolved(session: SessionId, handover: &Handover) -> Fact {
    let content = AbortedContent::Unknown(QuarantineReason::DepositUnresolved);
    aborted(session, handover, content, false)
}

/// The agent stopped in the middle.
pub(super) fn interrupted(session: SessionId, handover: &Handover) -> Fact {
    let content = AbortedContent::Unknown(QuarantineReason::Interrupted);
    aborted(session, handover, content, false)
}

/// The courier walked away.
pub(super) fn left(
    view: &impl View,
    session: SessionId,
    handover: &Handover,
    policy: &SessionPolicy,
) -> Step {
    match handover.phase {
        Phase::Shut if policy.presume_deposited => confirmed(view, session, handover, true),
        Phase::Open => {
            let content = AbortedContent::Unknown(QuarantineReason::DoorLeftOpen);
            Step::of([aborted(session, handover, content, false)]).traced(view, handover.parcel)
        }
        Phase::Opening | Phase::Stuck | Phase::Shut => abort(view, session, handover),
    }
}

fn abort(view: &impl View, session: SessionId, handover: &Handover) -> Step {
    let door = view.compartment(handover.compartment).map(|held| held.door);
    let untouched = handover.phase == Phase::Stuck && door == Some(Door::Closed);
    let fact = if untouched {
        let failed = handover.pulses >= PULSES_PER_OPENING;
        aborted(session, handover, AbortedContent::Untouched, failed)
    } else {
        unresolved(session, handover)
    };
    Step::of([fact]).traced(view, handover.parcel)
}

const fn aborted(
    session: SessionId,
    handover: &Handover,
    content: AbortedContent,
    lock_failed: bool,
) -> Fact {
    let Handover { parcel, compartment, .. } = *handover;
    Fact::DepositAborted(DepositAborted { session, parcel, compartment, content, lock_failed })
}

fn confirmed(view: &impl View, session: SessionId, handover: &Handover, presumed: bool) -> Step {
    let &Handover { parcel, compartment, .. } = handover;
    let confirmed = DepositConfirmed { session, parcel, compartment, presumed };
    Step::of([Fact::DepositConfirmed(confirmed)]).traced(view, parcel)
}

/// Goes on with another compartment; a larger one if the last was too small.
fn next(
    view: &impl View,
    step: Step,
    session: SessionId,
    handover: &Handover,
    larger: bool,
) -> Step {
    let mut tried = handover.tried.clone();
    tried.push(handover.compartment);
    let Some(parcel) = view.parcel(handover.parcel) else { return step };
    if tried.len() >= COMPARTMENTS_TRIED_MAX {
        return step;
    }
    let left_mm3 = view.compartment(handover.compartment).map(|held| held.spec.inside.volume_mm3());
    let chosen = candidates(view, &parcel, &tried)
        .find(|held| !larger || Some(held.spec.inside.volume_mm3()) > left_mm3);
    match chosen {
        Some(chosen) => offer(view, step, session, &parcel, &chosen, tried),
        None => step,
    }
}

fn offer(
    view: &impl View,
    step: Step,
    session: SessionId,
    parcel: &Parcel,
    chosen: &Compartment,
    tried: Vec<CompartmentNo>,
) -> Step {
    let compartment = chosen.spec.no;
    let started = DepositStarted { session, parcel: parcel.id, compartment, tried };
    step.and(Fact::DepositStarted(started)).open(view, session, chosen.spec, parcel.id)
}

/// The smallest compartment that `parcel` may be put into, or why there is none.
///
/// # Errors
///
/// [`Refusal::ParcelTooLarge`] if it would fit into none even if all were free.
pub(crate) fn choose(
    view: &impl View,
    parcel: &Parcel,
    tried: &[CompartmentNo],
) -> Result<Compartment, Refusal> {
    let fits = |held: &Compartment| parcel.size.fits_into(held.spec.inside);
    candidates(view, parcel, tried).next().ok_or_else(|| {
        let any = view.compartments().iter().any(fits);
        if any { Refusal::NoFreeCompartment } else { Refusal::ParcelTooLarge }
    })
}

/// Fitting free compartments, smallest first, then by number.
fn candidates(
    view: &impl View,
    parcel: &Parcel,
    tried: &[CompartmentNo],
) -> impl Iterator<Item = Compartment> {
    let mut fitting: Vec<Compartment> = view
        .compartments()
        .into_iter()
        .filter(|held| held.may_take(parcel) && !tried.contains(&held.spec.no))
        .collect();
    fitting.sort_by_key(|held| (held.spec.inside.volume_mm3(), held.spec.no));
    fitting.into_iter()
}

fn under_way(view: &impl View) -> Result<(Session, Handover), Refusal> {
    let (session, _) = courier(view)?;
    match session.task.clone() {
        Task::Deposit(handover) => Ok((session, handover)),
        Task::Idle | Task::Pickup(_) => Err(Refusal::NotNow),
    }
}
