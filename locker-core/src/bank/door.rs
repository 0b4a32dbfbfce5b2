//! What pulses and sensors say, and what follows from it for whoever is at the screen.

use super::{BoardChanged, DoorMoved, DoorsRead, Moment, PulseOutcome, PulseSettled, Step};
use super::{deposit, ended, pickup};
use crate::compartment::{Compartment, Door, DoorReading, Health, LockPosition};
use crate::fact::Fact;
use crate::ids::IntentId;
use crate::journal::View;
use crate::policy::PULSES_PER_OPENING;
use crate::refusal::Refusal;
use crate::session::{Handover, Phase, Session, SessionEnd, Task};

/// Another pulse after the person was asked to push the door.
pub(super) fn try_again(view: &impl View) -> Result<Step, Refusal> {
    let session = view.session().ok_or(Refusal::NoSession)?;
    let handover = session.handover().ok_or(Refusal::NotNow)?;
    if handover.phase != Phase::Stuck {
        return Err(Refusal::NotNow);
    }
    if handover.pulses >= PULSES_PER_OPENING {
        return Err(Refusal::NoPulseLeft);
    }
    let held = view.compartment(handover.compartment).ok_or(Refusal::NotNow)?;
    if held.health == Health::Unreachable {
        return Err(Refusal::LockUnreachable);
    }
    Ok(Step::default().open(view, session.id, held.spec, handover.parcel))
}

/// A pulse has its outcome.
pub(super) fn settled(
    view: &impl View,
    intent: IntentId,
    lock: LockPosition,
    outcome: PulseOutcome,
    _at: Moment<'_>,
) -> Step {
    let Some(held) = at_lock(view, lock) else { return Step::default() };
    if held.pulse != Some(intent) {
        return Step::default();
    }
    let compartment = held.spec.no;
    let step = Step::of([Fact::PulseSettled(PulseSettled { intent, compartment, outcome })]);
    let session = view.session();
    let Some((session, handover)) = busy_with(session.as_ref(), &held) else { return step };
    let step = step.traced(view, handover.parcel);
    if matches!(handover.phase, Phase::Open | Phase::Shut) {
        // The door's own report came first: it did open, whatever the pulse says of itself.
        return step;
    }
    match outcome {
        PulseOutcome::Opened { .. } | PulseOutcome::AlreadyOpen | PulseOutcome::NotSent => step,
        PulseOutcome::NotOpened if handover.pulses < PULSES_PER_OPENING => step,
        PulseOutcome::NotOpened => match session.task {
            Task::Deposit(_) => deposit::lock_failed(view, step, session.id, handover),
            Task::Pickup(_) => pickup::not_opened(view, step, session.id, handover),
            Task::Idle => step,
        },
        PulseOutcome::Unknown | PulseOutcome::Recovered => not_known(view, step, session, handover),
    }
}

/// A door moved. Only the opening that the session is busy with explains it: once that is settled,
/// not even a pulse whose outcome is still to come may open the door unseen.
pub(super) fn moved(view: &impl View, lock: LockPosition, reading: DoorReading) -> Step {
    let Some(held) = at_lock(view, lock) else { return Step::default() };
    let unchanged = match reading {
        DoorReading::Open => held.door.is_open(),
        DoorReading::Closed => held.door == Door::Closed,
    };
    let session = view.session();
    let handover = busy_with(session.as_ref(), &held).map(|(_, handover)| handover);
    let waits = handover.is_some_and(|handover| match (handover.phase, reading) {
        (Phase::Opening | Phase::Stuck | Phase::Shut, DoorReading::Open) => true,
        (Phase::Open, DoorReading::Closed) => true,
        (Phase::Open, DoorReading::Open) => false,
        (Phase::Opening | Phase::Stuck | Phase::Shut, DoorReading::Closed) => false,
    });
    if unchanged && !waits {
        return Step::default();
    }
    let cause = handover.map(|handover| handover.intent);
    let moved = DoorMoved { compartment: held.spec.no, reading, cause };
    let step = Step::of([Fact::DoorMoved(moved)]);
    match handover {
        Some(handover) => step.traced(view, handover.parcel),
        None => step,
    }
}

/// The first reading of a board: levels, not edges.
pub(super) fn baseline(view: &impl View, board: u8, readings: &[(u8, DoorReading)]) -> Step {
    let read: Vec<_> = readings
        .iter()
        .filter_map(|&(lock, reading)| {
            at_lock(view, LockPosition { board, lock }).map(|held| (held.spec.no, reading))
        })
        .collect();
    if read.is_empty() {
        Step::default()
    } else {
        Step::of([Fact::DoorsRead(DoorsRead { readings: read })])
    }
}

/// A board went silent or answers again. A door that is stuck in its lock may spring open while
/// nobody can see it, so an opening that waits there for another try is given up as not known.
pub(super) fn board(view: &impl View, board: u8, online: bool) -> Step {
    let mut affected = view.compartments();
    affected.retain(|held| {
        let unreachable = held.health == Health::Unreachable;
        held.spec.lock.board == board && unreachable == online
    });
    if affected.is_empty() {
        return Step::default();
    }
    let step = Step::of([Fact::BoardChanged(BoardChanged { board, online })]);
    let session = view.session();
    let busy = affected.iter().find_map(|held| busy_with(session.as_ref(), held));
    match busy {
        Some((session, handover)) if !online && handover.phase == Phase::Stuck => {
            not_known(view, step, session, handover)
        }
        Some(_) | None => step,
    }
}

/// Whether the door opened cannot be known.
fn not_known(view: &impl View, step: Step, session: &Session, handover: &Handover) -> Step {
    let step = step.traced(view, handover.parcel);
    match session.task {
        Task::Deposit(_) => step.and(deposit::unresolved(session.id, handover)),
        Task::Pickup(_) => step
            .and(pickup::interrupted(session.id, handover))
            .and(ended(session.id, SessionEnd::Left)),
        Task::Idle => step,
    }
}

fn at_lock(view: &impl View, lock: LockPosition) -> Option<Compartment> {
    view.compartments().into_iter().find(|held| held.spec.lock == lock)
}

fn busy_with<'s>(
    session: Option<&'s Session>,
    held: &Compartment,
) -> Option<(&'s Session, &'s Handover)> {
    let session = session?;
    let handover = session.handover()?;
    (handover.compartment == held.spec.no).then_some((session, handover))
}
