//! What pulses and sensors say, and what follows from it for whoever is at the screen.

use super::{Alarm, BoardChanged, DoorMoved, DoorsRead, Moment};
use super::{OpeningClass, PulseOutcome, PulseSettled, Step};
use super::{deposit, ended, gate_for, inspection, pickup, recall};
use crate::compartment::{Compartment, Door, DoorReading, Health, LockPosition};
use crate::fact::Fact;
use crate::ids::IntentId;
use crate::journal::View;
use crate::policy::{LATE_OPENING_MS, PULSES_PER_OPENING, SessionPolicy, TOGETHER_MS};
use crate::refusal::Refusal;
use crate::session::{Opening, Phase, REOPENED_MAX, Session, SessionEnd, Task};
use crate::units::UnixMillis;

/// Another pulse after the person was asked to push the door.
pub(super) fn try_again(view: &impl View, at: Moment<'_>) -> Result<Step, Refusal> {
    let session = view.session().ok_or(Refusal::NoSession)?;
    let opening = session.opening().ok_or(Refusal::NotNow)?;
    if opening.phase != Phase::Stuck {
        return Err(Refusal::NotNow);
    }
    if opening.pulses >= PULSES_PER_OPENING {
        return Err(Refusal::NoPulseLeft);
    }
    pulse_again(view, &session, opening, at)
}

/// The same compartment once more, after its door was shut: something was forgotten.
pub(super) fn reopen(view: &impl View, at: Moment<'_>) -> Result<Step, Refusal> {
    let session = view.session().ok_or(Refusal::NoSession)?;
    let opening = session.opening().ok_or(Refusal::NotNow)?;
    match opening.phase {
        Phase::Shut => {}
        Phase::Open => return Err(Refusal::DoorOpen),
        Phase::Opening | Phase::Stuck => return Err(Refusal::NotNow),
    }
    if opening.reopened >= REOPENED_MAX {
        return Err(Refusal::NoPulseLeft);
    }
    pulse_again(view, &session, opening, at)
}

fn pulse_again(
    view: &impl View,
    session: &Session,
    opening: &Opening,
    at: Moment<'_>,
) -> Result<Step, Refusal> {
    let held = view.compartment(opening.compartment).ok_or(Refusal::NotNow)?;
    if matches!(held.health, Health::Unreachable | Health::Stopped) {
        return Err(Refusal::LockUnreachable);
    }
    if let Some(refused) = gate_for(view, session, at)? {
        return Ok(refused);
    }
    Ok(Step::default().open(view, session.id, held.spec, session.parcel()))
}

/// When a door that stands open during a session raises an alarm, if it has not yet.
pub(super) fn alert_due(
    view: &impl View,
    session: &Session,
    policy: &SessionPolicy,
) -> Option<UnixMillis> {
    let opening = session.opening()?;
    let held = view.compartment(opening.compartment)?;
    let waits = opening.phase == Phase::Open && !held.open_too_long;
    waits.then(|| session.moved_at.plus_ms(policy.door_alert_ms))
}

/// The door stands open for too long; the session goes on.
pub(super) fn open_too_long(view: &impl View, session: &Session, at: Moment<'_>) -> Step {
    let due = alert_due(view, session, at.policy);
    match (due, session.opening()) {
        (Some(due), Some(opening)) if at.now >= due => {
            Step::of([Fact::Alarm(Alarm::DoorOpenTooLong(opening.compartment))])
        }
        (Some(_) | None, Some(_) | None) => Step::default(),
    }
}

/// A board that answers and opens nothing is taken out of service.
pub(super) fn board_power(view: &impl View, board: u8) -> Step {
    let serves =
        |held: &Compartment| held.spec.lock.board == board && held.health != Health::Stopped;
    if view.compartments().iter().any(serves) {
        Step::of([Fact::Alarm(Alarm::BoardPower { board })])
    } else {
        Step::default()
    }
}

/// A sensor does not move with its door: what it says counts for less from now on.
pub(super) fn sensor_doubt(view: &impl View, lock: LockPosition) -> Step {
    match at_lock(view, lock) {
        Some(held) if !held.sensor_doubt => {
            Step::of([Fact::Alarm(Alarm::SensorDoubt(held.spec.no))])
        }
        Some(_) | None => Step::default(),
    }
}

/// A pulse has its outcome.
pub(super) fn settled(
    view: &impl View,
    intent: IntentId,
    lock: LockPosition,
    outcome: PulseOutcome,
    at: Moment<'_>,
) -> Step {
    let Some(held) = at_lock(view, lock) else { return Step::default() };
    if held.pulse != Some(intent) {
        return Step::default();
    }
    let compartment = held.spec.no;
    let step = Step::of([Fact::PulseSettled(PulseSettled { intent, compartment, outcome })]);
    let session = view.session();
    let Some((session, opening)) = busy_with(session.as_ref(), &held) else { return step };
    let step = traced(view, step, session);
    if matches!(opening.phase, Phase::Open | Phase::Shut) {
        // The door's own report came first: it did open, whatever the pulse says of itself.
        return step;
    }
    match outcome {
        PulseOutcome::Opened { .. } | PulseOutcome::AlreadyOpen | PulseOutcome::NotSent => step,
        PulseOutcome::NotOpened if opening.pulses < PULSES_PER_OPENING => step,
        // It was open before: whether anything is inside is asked of the person, not of the lock.
        PulseOutcome::NotOpened if opening.reopened > 0 => step,
        PulseOutcome::NotOpened => match &session.task {
            Task::Deposit(handover) => deposit::lock_failed(view, step, session, handover, at),
            Task::Pickup(handover) => pickup::not_opened(view, step, session.id, handover),
            Task::Recall(handover) => recall::not_opened(view, step, session.id, handover),
            Task::Inspection(opening) => inspection::not_opened(step, session, opening),
            Task::Idle => step,
        },
        PulseOutcome::Unknown | PulseOutcome::Recovered => not_known(view, step, session),
    }
}

/// A door moved. Only the opening that the session is busy with explains it: once that is settled,
/// not even a pulse whose outcome is still to come may open the door unseen.
pub(super) fn moved(
    view: &impl View,
    lock: LockPosition,
    reading: DoorReading,
    at: Moment<'_>,
) -> Step {
    let Some(held) = at_lock(view, lock) else { return Step::default() };
    let unchanged = match reading {
        DoorReading::Open => held.door.is_open(),
        DoorReading::Closed => held.door == Door::Closed,
    };
    let session = view.session();
    let opening = busy_with(session.as_ref(), &held).map(|(_, opening)| opening);
    let waits = opening.is_some_and(|opening| match (opening.phase, reading) {
        (Phase::Opening | Phase::Stuck | Phase::Shut, DoorReading::Open) => true,
        (Phase::Open, DoorReading::Closed) => true,
        (Phase::Open, DoorReading::Open) => false,
        (Phase::Opening | Phase::Stuck | Phase::Shut, DoorReading::Closed) => false,
    });
    if unchanged && !waits {
        return Step::default();
    }
    let cause = opening.map(|opening| opening.intent);
    let class = match reading {
        DoorReading::Open if cause.is_none() => Some(class_of(view, &held, at)),
        DoorReading::Open | DoorReading::Closed => None,
    };
    let moved = DoorMoved { compartment: held.spec.no, reading, cause, class };
    let mut step = Step::of([Fact::DoorMoved(moved)]);
    if class == Some(OpeningClass::AddressClash) {
        let board = held.spec.lock.board;
        step.facts.push(Fact::Alarm(Alarm::AddressClash { board }));
    }
    match session {
        Some(session) if cause.is_some() => traced(view, step, &session),
        Some(_) | None => step,
    }
}

/// What kind of opening it is that no pulse for this lock explains.
fn class_of(view: &impl View, held: &Compartment, at: Moment<'_>) -> OpeningClass {
    let session = view.session();
    let opens = |other: &Compartment| {
        let opened_at =
            busy_with(session.as_ref(), other).and_then(|(_, opening)| opening.opened_at);
        // The pulse's own door is often seen first, which settles the pulse.
        opened_at.is_some_and(|then| at.now.since_ms(then) < TOGETHER_MS)
    };
    let pulsed = |other: &Compartment| {
        other.spec.no != held.spec.no && (other.pulse.is_some() || opens(other))
    };
    let mut shaking = view.compartments().into_iter().filter(pulsed).peekable();
    let beside = |other: &Compartment| {
        let (a, b) = (held.spec.lock, other.spec.lock);
        a.board == b.board && a.lock.abs_diff(b.lock) == 1
    };
    let late = |pulsed_at: UnixMillis| at.now.since_ms(pulsed_at) < LATE_OPENING_MS;
    if held.sensor_doubt {
        OpeningClass::CableFault
    } else if held.pulse.is_some() || held.pulsed_at.is_some_and(late) {
        OpeningClass::Late
    } else if shaking.peek().is_none() {
        OpeningClass::Forced
    } else if shaking.any(|other| beside(&other)) {
        OpeningClass::Sympathetic
    } else {
        OpeningClass::AddressClash
    }
}

/// The first reading of a board: levels, not edges. A door that stands open with nobody at it has
/// been open for too long already, whoever opened it: somebody must shut it.
pub(super) fn baseline(view: &impl View, board: u8, readings: &[(u8, DoorReading)]) -> Step {
    let at = |&(lock, reading)| Some((at_lock(view, LockPosition { board, lock })?, reading));
    let found: Vec<(Compartment, DoorReading)> = readings.iter().filter_map(at).collect();
    if found.is_empty() {
        return Step::default();
    }
    let session = view.session();
    let left_open = |(held, reading): &(Compartment, DoorReading)| {
        let alone = *reading == DoorReading::Open && busy_with(session.as_ref(), held).is_none();
        (alone && !held.open_too_long).then_some(Fact::Alarm(Alarm::DoorOpenTooLong(held.spec.no)))
    };
    let alarms: Vec<Fact> = found.iter().filter_map(left_open).collect();
    let readings = found.iter().map(|(held, reading)| (held.spec.no, *reading)).collect();
    let mut step = Step::of([Fact::DoorsRead(DoorsRead { readings })]);
    step.facts.extend(alarms);
    step
}

/// A board went silent or answers again. A door that is stuck in its lock may spring open while
/// nobody can see it, so an opening that waits there for another try is given up as not known.
pub(super) fn board(view: &impl View, board: u8, online: bool) -> Step {
    let mut affected = view.compartments();
    affected.retain(|held| {
        let changes = match held.health {
            Health::Ok | Health::OpenFailed => !online,
            Health::Unreachable => online,
            // Only staff put it back.
            Health::Stopped => false,
        };
        held.spec.lock.board == board && changes
    });
    if affected.is_empty() {
        return Step::default();
    }
    let step = Step::of([Fact::BoardChanged(BoardChanged { board, online })]);
    let session = view.session();
    let busy = affected.iter().find_map(|held| busy_with(session.as_ref(), held));
    match busy {
        Some((session, opening)) if !online && opening.phase == Phase::Stuck => {
            not_known(view, step, session)
        }
        Some(_) | None => step,
    }
}

/// Whether the door opened cannot be known.
fn not_known(view: &impl View, step: Step, session: &Session) -> Step {
    let step = traced(view, step, session);
    match &session.task {
        Task::Deposit(handover) => step.and(deposit::unresolved(session.id, handover)),
        Task::Pickup(handover) => step
            .and(pickup::interrupted(session.id, handover))
            .and(ended(session.id, SessionEnd::Left)),
        Task::Recall(handover) => step.and(recall::interrupted(session.id, handover)),
        Task::Inspection(opening) => inspection::not_known(step, session, opening),
        Task::Idle => step,
    }
}

fn traced(view: &impl View, step: Step, session: &Session) -> Step {
    match session.parcel() {
        Some(parcel) => step.traced(view, parcel),
        None => step,
    }
}

fn at_lock(view: &impl View, lock: LockPosition) -> Option<Compartment> {
    view.compartments().into_iter().find(|held| held.spec.lock == lock)
}

fn busy_with<'s>(
    session: Option<&'s Session>,
    held: &Compartment,
) -> Option<(&'s Session, &'s Opening)> {
    let session = session?;
    let opening = session.opening()?;
    (opening.compartment == held.spec.no).then_some((session, opening))
}
