//! Staff looks into a compartment and says what is there: how a quarantine ends, and how a person
//! whose code does not work is helped. The only way from "not known" to "free". A recipient who comes
//! back for something forgotten looks in the same way: [`grace`].

use super::{Finding, InspectionSettled, InspectionStarted, Moment, StaffFinding, Step};
use super::{ended, gate_for, grace, staff};
use crate::compartment::{Allocation, Health};
use crate::fact::Fact;
use crate::ids::{Barcode, CarrierId, CompartmentNo, ParcelId, SessionId};
use crate::journal::View;
use crate::parcel::ParcelState;
use crate::refusal::Refusal;
use crate::session::{Opening, Phase, Session, SessionEnd, Task};

/// Opens a compartment that nobody else is busy with.
pub(super) fn start(
    view: &impl View,
    compartment: CompartmentNo,
    at: Moment<'_>,
) -> Result<Step, Refusal> {
    let (session, _) = staff(view)?;
    if session.task != Task::Idle {
        return Err(Refusal::NotNow);
    }
    let held = view.compartment(compartment).ok_or(Refusal::CompartmentUnknown)?;
    if matches!(held.health, Health::Unreachable | Health::Stopped) {
        return Err(Refusal::LockUnreachable);
    }
    if let Some(refused) = gate_for(view, &session, at)? {
        return Ok(refused);
    }
    let session = session.id;
    let step = Step::of([Fact::InspectionStarted(InspectionStarted { session, compartment })]);
    Ok(step.open(view, session, held.spec, held.parcel()))
}

/// What staff found, once the door is shut.
pub(super) fn found(view: &impl View, finding: &StaffFinding) -> Result<Step, Refusal> {
    let (session, _) = staff(view)?;
    let Task::Inspection(opening) = &session.task else { return Err(Refusal::NotNow) };
    match opening.phase {
        Phase::Shut => {}
        Phase::Open => return Err(Refusal::DoorOpen),
        Phase::Opening | Phase::Stuck => return Err(Refusal::NotNow),
    }
    let finding = match finding {
        StaffFinding::Empty => Finding::Empty,
        StaffFinding::Holds { carrier, barcode } => {
            let parcel = may_be_inside(view, carrier, barcode, opening.compartment)?;
            Finding::Holds(parcel)
        }
        StaffFinding::TakenOut { carrier, barcode } => {
            Finding::TakenOut(may_be_inside(view, carrier, barcode, opening.compartment)?)
        }
        StaffFinding::HandedOver { carrier, barcode } => {
            Finding::HandedOver(may_be_inside(view, carrier, barcode, opening.compartment)?)
        }
    };
    let settled = settled(session.id, opening, finding);
    let step = Step::of([settled]);
    Ok(match finding {
        Finding::Holds(parcel) | Finding::TakenOut(parcel) | Finding::HandedOver(parcel) => {
            step.traced(view, parcel)
        }
        Finding::NotOpened | Finding::Empty | Finding::Unfinished => step,
    })
}

/// Gives up while the door is stuck; once it was open, whoever looks must say what they found.
pub(super) fn cancel(session: &Session, opening: &Opening) -> Result<Step, Refusal> {
    match opening.phase {
        Phase::Stuck => Ok(not_opened(Step::default(), session, opening)),
        Phase::Open => Err(Refusal::DoorOpen),
        Phase::Opening | Phase::Shut => Err(Refusal::NotNow),
    }
}

/// The door stayed shut for the last time.
pub(super) fn not_opened(step: Step, session: &Session, opening: &Opening) -> Step {
    over(step, session, opening, Finding::NotOpened)
}

/// It cannot be known whether the door opened.
pub(super) fn not_known(step: Step, session: &Session, opening: &Opening) -> Step {
    over(step, session, opening, Finding::Unfinished)
}

/// Staff stay signed in for the next compartment.
fn over(step: Step, session: &Session, opening: &Opening, finding: Finding) -> Step {
    let step = step.and(settled(session.id, opening, finding));
    if grace::looks(session) { step.and(ended(session.id, SessionEnd::Finished)) } else { step }
}

/// Nobody said what was found.
pub(super) const fn unfinished(session: SessionId, opening: &Opening) -> Fact {
    let finding = if matches!(opening.phase, Phase::Stuck) {
        Finding::NotOpened
    } else {
        Finding::Unfinished
    };
    settled(session, opening, finding)
}

pub(super) const fn settled(session: SessionId, opening: &Opening, finding: Finding) -> Fact {
    let compartment = opening.compartment;
    Fact::InspectionSettled(InspectionSettled { session, compartment, finding })
}

/// The parcel with this label, unless it is surely in another compartment or was never here.
fn may_be_inside(
    view: &impl View,
    carrier: &CarrierId,
    barcode: &Barcode,
    compartment: CompartmentNo,
) -> Result<ParcelId, Refusal> {
    let known = view.parcel_by_barcode(carrier, barcode).and_then(|id| view.parcel(id));
    let parcel = known.ok_or(Refusal::BarcodeUnknown)?;
    match parcel.state {
        ParcelState::Stored { compartment: other, .. } if other != compartment => {
            let belongs = view.compartment(other).map(|held| held.allocation);
            match belongs {
                // What is there is in doubt: two parcels may have been swapped.
                Some(Allocation::Quarantined { .. }) | None => Ok(parcel.id),
                Some(
                    Allocation::Free
                    | Allocation::Reserved { .. }
                    | Allocation::Depositing { .. }
                    | Allocation::Occupied { .. }
                    | Allocation::Collecting { .. }
                    | Allocation::Recalling { .. },
                ) => Err(Refusal::AlreadyDeposited),
            }
        }
        ParcelState::Depositing { .. }
        | ParcelState::Collecting { .. }
        | ParcelState::Recalling { .. } => Err(Refusal::SessionBusy),
        ParcelState::Booked
        | ParcelState::Stored { .. }
        | ParcelState::Collected { .. }
        | ParcelState::Cancelled { .. }
        | ParcelState::Unresolved { .. }
        | ParcelState::BookingExpired { .. }
        | ParcelState::Recalled { .. }
        | ParcelState::Missing { .. } => Ok(parcel.id),
    }
}
