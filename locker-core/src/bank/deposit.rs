//! A courier puts a parcel in.

use super::{
    AbortedContent, BoundCode, DepositAborted, DepositConfirmed, DepositMisfit, DepositStarted,
};
use super::{Moment, Step, courier, gate_for};
use crate::compartment::{Allocation, Compartment, Door, QuarantineReason};
use crate::fact::Fact;
use crate::ids::{Barcode, CompartmentNo, SessionId};
use crate::journal::View;
use crate::parcel::{Parcel, ParcelState};
use crate::policy::{PULSES_PER_OPENING, SessionPolicy};
use crate::refusal::Refusal;
use crate::session::{COMPARTMENTS_TRIED_MAX, Handover, Opening, Phase, Session, Task};

/// A courier scanned a label: the smallest free compartment that fits opens.
pub(super) fn scan(view: &impl View, barcode: &Barcode, at: Moment<'_>) -> Result<Step, Refusal> {
    let (session, carrier) = courier(view)?;
    if session.task != Task::Idle {
        return Err(Refusal::NotNow);
    }
    if !at.deposits_open || view.meta().mode.maintenance {
        return Err(Refusal::BankNotAccepting);
    }
    if view.meta().on_battery {
        return Err(Refusal::OnBattery);
    }
    let known = view.parcel_by_barcode(&carrier, barcode).and_then(|id| view.parcel(id));
    let parcel = known.ok_or_else(|| {
        let others = view.parcels().iter().any(|parcel| parcel.barcode == *barcode);
        if others { Refusal::OtherCarriersParcel } else { Refusal::BarcodeUnknown }
    })?;
    let late = match parcel.state {
        ParcelState::Booked => false,
        // Late, but there may be room all the same: it is booked again by being brought.
        ParcelState::BookingExpired { .. } => true,
        ParcelState::Depositing { .. }
        | ParcelState::Stored { .. }
        | ParcelState::Collecting { .. }
        | ParcelState::Recalling { .. } => return Err(Refusal::AlreadyDeposited),
        ParcelState::Collected { .. } => return Err(Refusal::AlreadyCollected),
        ParcelState::Cancelled { .. } => return Err(Refusal::ParcelCancelled),
        ParcelState::Unresolved { .. } => return Err(Refusal::ParcelUnresolved),
        ParcelState::Recalled { .. } => return Err(Refusal::ParcelRecalled),
        ParcelState::Missing { .. } => return Err(Refusal::ParcelMissing),
    };
    let chosen = choose(view, &parcel, &[], Claim::Soft)
        .map_err(|refusal| if late { Refusal::BookingExpired } else { refusal })?;
    if let Some(refused) = gate_for(view, &session, at)? {
        return Ok(refused);
    }
    Ok(offer(view, Step::default(), session.id, &parcel, &chosen, Vec::new()))
}

/// "The parcel is inside." If another door moved meanwhile, the courier must say which compartment
/// was used; if it was another one, nobody knows what is in either.
pub(super) fn confirm(
    view: &impl View,
    compartment: Option<CompartmentNo>,
) -> Result<Step, Refusal> {
    let (session, handover) = shut(view)?;
    match compartment {
        None if handover.opening.other_door => Err(Refusal::ConfirmNumber),
        Some(used) if used != handover.opening.compartment => {
            let content = AbortedContent::Unknown(QuarantineReason::WrongDoor);
            let fact = aborted(session.id, &handover, content, false);
            Ok(Step::of([fact]).traced(view, handover.parcel))
        }
        None | Some(_) => Ok(confirmed(view, session.id, &handover, false)),
    }
}

/// "I shut it empty and keep the parcel."
pub(super) fn took_back(view: &impl View) -> Result<Step, Refusal> {
    let (session, handover) = shut(view)?;
    let fact = aborted(session.id, &handover, AbortedContent::TakenBack, false);
    Ok(Step::of([fact]).traced(view, handover.parcel))
}

/// "There is something inside already." Staff must look; the courier gets another compartment.
pub(super) fn found_occupied(view: &impl View, at: Moment<'_>) -> Result<Step, Refusal> {
    let (session, handover) = shut(view)?;
    let fact = aborted(session.id, &handover, AbortedContent::Foreign, false);
    let step = Step::of([fact]).traced(view, handover.parcel);
    Ok(next(view, step, &session, &handover, None, at))
}

/// "The door cannot be shut": the only way to finish with an open door.
pub(super) fn will_not_shut(view: &impl View) -> Result<Step, Refusal> {
    let (session, handover) = under_way(view)?;
    match handover.opening.phase {
        Phase::Open => {}
        Phase::Opening | Phase::Stuck | Phase::Shut => return Err(Refusal::NotNow),
    }
    let content = AbortedContent::Unknown(QuarantineReason::DoorLeftOpen);
    let fact = aborted(session.id, &handover, content, false);
    Ok(Step::of([fact]).traced(view, handover.parcel))
}

/// "It does not fit; I have taken it out again." The next larger compartment opens, if there is one.
pub(super) fn does_not_fit(view: &impl View, at: Moment<'_>) -> Result<Step, Refusal> {
    let (session, handover) = shut(view)?;
    let Handover { parcel, opening: Opening { compartment, .. }, .. } = handover;
    let too_small = view.compartment(compartment).map(|held| held.spec.inside.volume_mm3());
    let begun = next(view, Step::default(), &session, &handover, too_small, at);
    let gave_up = begun.pulse.is_none();
    let misfit = DepositMisfit { session: session.id, parcel, compartment, gave_up };
    let mut step = begun.traced(view, parcel);
    step.facts.insert(0, Fact::DepositMisfit(misfit));
    Ok(step)
}

/// Gives up. Free again only if the door never opened and reads shut. From a door that jammed the
/// courier still has the parcel, and may bring it to another compartment; staff must look at this one.
pub(super) fn cancel(
    view: &impl View,
    session: SessionId,
    handover: &Handover,
    policy: &SessionPolicy,
) -> Result<Step, Refusal> {
    let jammed = || open_for_ms(view, handover).is_some_and(|open_ms| open_ms < policy.jam_ms);
    match handover.opening.phase {
        Phase::Opening => Err(Refusal::NotNow),
        Phase::Shut if handover.opening.reopened == 0 && jammed() => {
            let fact = aborted(session, handover, AbortedContent::Untouched, true);
            Ok(Step::of([fact]).traced(view, handover.parcel))
        }
        Phase::Stuck | Phase::Open | Phase::Shut => Ok(abort(view, session, handover)),
    }
}

/// The lock did not open for the last time: another compartment, if there is one.
pub(super) fn lock_failed(
    view: &impl View,
    step: Step,
    session: &Session,
    handover: &Handover,
    at: Moment<'_>,
) -> Step {
    let step = step.and(aborted(session.id, handover, AbortedContent::Untouched, true));
    next(view, step, session, handover, None, at)
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
    match handover.opening.phase {
        Phase::Shut if policy.presume_deposited && may_presume(view, handover, policy) => {
            confirmed(view, session, handover, true)
        }
        Phase::Open => {
            let content = AbortedContent::Unknown(QuarantineReason::DoorLeftOpen);
            Step::of([aborted(session, handover, content, false)]).traced(view, handover.parcel)
        }
        Phase::Opening | Phase::Stuck | Phase::Shut => abort(view, session, handover),
    }
}

/// Whether a door that is shut again says that the parcel is inside. Not if another one moved: it is
/// not even certain which compartment was used. Nor if it stood open for so long that the courier may
/// have been gone when somebody shut it.
fn may_presume(view: &impl View, handover: &Handover, policy: &SessionPolicy) -> bool {
    let Opening { other_door, left_open, .. } = handover.opening;
    let soon = open_for_ms(view, handover).is_some_and(|open_ms| open_ms < policy.door_alert_ms);
    soon && !other_door && !left_open
}

/// How long the door that is shut again was open; too long rather than too short.
fn open_for_ms(view: &impl View, handover: &Handover) -> Option<u64> {
    let shut_at = view.session()?.moved_at;
    Some(shut_at.since_ms(handover.opening.opened_at?))
}

fn abort(view: &impl View, session: SessionId, handover: &Handover) -> Step {
    let door = view.compartment(handover.opening.compartment).map(|held| held.door);
    let untouched = handover.opening.phase == Phase::Stuck && door == Some(Door::Closed);
    let fact = if untouched {
        let failed = handover.opening.pulses >= PULSES_PER_OPENING;
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
    let Handover { parcel, opening: Opening { compartment, .. }, .. } = *handover;
    Fact::DepositAborted(DepositAborted { session, parcel, compartment, content, lock_failed })
}

fn confirmed(view: &impl View, session: SessionId, handover: &Handover, presumed: bool) -> Step {
    let &Handover { parcel, opening: Opening { compartment, .. }, .. } = handover;
    let code = unused_code(view);
    let confirmed = DepositConfirmed { session, parcel, compartment, presumed, code };
    Step::of([Fact::DepositConfirmed(confirmed)]).traced(view, parcel)
}

/// The next six digits that are nobody's, if any are left.
pub(crate) fn unused_code(view: &impl View) -> Option<BoundCode> {
    let unused = view.slots().into_iter().find(|held| held.parcel.is_none())?;
    Some(BoundCode { slot: unused.slot.id, sealed: unused.slot.sealed })
}

/// Goes on with another compartment, if the bank takes deposits still: a larger one than
/// `too_small`, in cubic millimetres. Who opens too many gets none.
fn next(
    view: &impl View,
    step: Step,
    session: &Session,
    handover: &Handover,
    too_small: Option<u128>,
    at: Moment<'_>,
) -> Step {
    let mut tried = handover.tried.clone();
    tried.push(handover.opening.compartment);
    let Some(parcel) = view.parcel(handover.parcel) else { return step };
    let allowed = matches!(gate_for(view, session, at), Ok(None));
    let taken = at.deposits_open && !view.meta().on_battery;
    if tried.len() >= COMPARTMENTS_TRIED_MAX || !taken || !allowed {
        return step;
    }
    let chosen = candidates(view, &parcel, &tried, Claim::Soft)
        .find(|held| too_small.is_none_or(|small| held.spec.inside.volume_mm3() > small));
    match chosen {
        Some(chosen) => offer(view, step, session.id, &parcel, &chosen, tried),
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
    step.and(Fact::DepositStarted(started)).open(view, session, chosen.spec, Some(parcel.id))
}

/// What a compartment is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// A parcel at the door: leaves alone what is kept back for the hub's promises.
    Soft,
    /// One of the hub's promises.
    Hard,
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
    claim: Claim,
) -> Result<Compartment, Refusal> {
    let fits = |held: &Compartment| {
        parcel.size.fits_into(held.spec.inside)
            && held.spec.inside.volume_mm3() > u128::from(parcel.misfit_mm3)
    };
    candidates(view, parcel, tried, claim).next().ok_or_else(|| {
        let any = view.compartments().iter().any(fits);
        if any { Refusal::NoFreeCompartment } else { Refusal::ParcelTooLarge }
    })
}

/// Fitting free compartments: the one reserved for the parcel, then smallest first, then by number.
fn candidates(
    view: &impl View,
    parcel: &Parcel,
    tried: &[CompartmentNo],
    claim: Claim,
) -> impl Iterator<Item = Compartment> {
    let all = view.compartments();
    let own = |held: &Compartment| held.allocation == Allocation::Reserved { parcel: parcel.id };
    // Staff may be looking into one that counts as free.
    let busy = view.session().and_then(|session| session.opening().map(|held| held.compartment));
    let mut fitting: Vec<Compartment> = all
        .iter()
        .filter(|held| Some(held.spec.no) != busy)
        .filter(|held| held.may_take(parcel) && !tried.contains(&held.spec.no))
        .filter(|held| held.spec.inside.volume_mm3() > u128::from(parcel.misfit_mm3))
        .filter(|held| own(held) || claim == Claim::Hard || !is_kept_back(view, &all, held))
        .copied()
        .collect();
    fitting.sort_by_key(|held| (!own(held), held.spec.inside.volume_mm3(), held.spec.no));
    fitting.into_iter()
}

/// Whether the last compartments of this one's size are kept back for the hub's promises. Those
/// that are reserved already are promises kept.
fn is_kept_back(view: &impl View, all: &[Compartment], wanted: &Compartment) -> bool {
    let size = wanted.spec.inside;
    let ceded = view.meta().quota.of(size);
    if ceded == 0 {
        return false;
    }
    let of_size = || all.iter().filter(|held| held.spec.inside == size);
    let reserved = |held: &&Compartment| matches!(held.allocation, Allocation::Reserved { .. });
    let free = of_size().filter(|held| held.allocation == Allocation::Free).count();
    free <= ceded.saturating_sub(of_size().filter(reserved).count())
}

fn shut(view: &impl View) -> Result<(Session, Handover), Refusal> {
    let (session, handover) = under_way(view)?;
    match handover.opening.phase {
        Phase::Shut => Ok((session, handover)),
        Phase::Open => Err(Refusal::DoorOpen),
        Phase::Opening | Phase::Stuck => Err(Refusal::NotNow),
    }
}

fn under_way(view: &impl View) -> Result<(Session, Handover), Refusal> {
    let (session, _) = courier(view)?;
    match session.task.clone() {
        Task::Deposit(handover) => Ok((session, handover)),
        Task::Idle | Task::Pickup(_) | Task::Recall(_) | Task::Inspection(_) => {
            Err(Refusal::NotNow)
        }
    }
}
