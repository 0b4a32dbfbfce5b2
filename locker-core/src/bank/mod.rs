//! What a bank does when somebody asks for something or a sensor reports.
//!
//! [`command`] may refuse; [`observe`] cannot: a reading is a fact. Both give a [`Step`]. The caller
//! makes its facts durable, then gives its pulse to the lock, then answers. A crash in between
//! leaves a pulse without an outcome, which [`recover`] settles at the next start as unknown.

mod deposit;
mod door;
mod facts;
mod grace;
mod inspection;
mod keypad;
mod lapse;
mod lockdown;
mod pickup;
mod power;
mod recall;

pub(crate) use deposit::{Claim, choose, unused_code};
pub use facts::{
    AbortedContent, Alarm, BoardChanged, BoardReset, BookingLapsed, BoundCode, CodeTyped,
    CommandAnswer, CommandAnswered, DepositAborted, DepositConfirmed, DepositMisfit,
    DepositStarted, DoorMoved, DoorsRead, Finding, InspectionSettled, InspectionStarted,
    KeepLapsed, KeypadReset, LockdownBegan, LockdownLiftAsked, LockdownLifted, LockdownReason,
    OpenerKind, OpeningClass, PickupEnd, PickupSettled, PickupStarted, PowerChanged, PowerSource,
    PulseIntended, PulseOutcome, PulseSettled, RecallEnd, RecallSettled, RecallStarted,
    SessionEnded, SessionStarted, SlotBound,
};
pub use keypad::{Typed, may_type};
pub use pickup::others;

use crate::clock::ClockInterval;
use crate::compartment::{CompartmentSpec, DoorReading, LockPosition};
use crate::credential::{Action, VerifiedToken};
use crate::fact::Fact;
use crate::governor::Verdict;
use crate::ids::TraceParent;
use crate::ids::{Barcode, CarrierId, CompartmentNo, CredentialId, IntentId, ParcelId, SessionId};
use crate::journal::View;
use crate::policy::SessionPolicy;
use crate::refusal::Refusal;
use crate::session::{Actor, CourierProof, Session, SessionEnd, Task};
use crate::units::UnixMillis;

/// What a person at the screen asks for.
#[derive(Clone, Debug)]
pub enum Command {
    /// Six digits were typed, and the phone's last four if any: see [`may_type`]. A recipient's open
    /// their parcel's compartment, a courier's sign him in.
    Type(Typed),
    /// A token was scanned: a courier signs in, or a recipient wants their parcel.
    Present(VerifiedToken),
    /// A signed-in courier scanned a parcel's label.
    ScanParcel(Barcode),
    /// The person pushed the door and wants another try.
    TryAgain,
    /// "The parcel is inside", and in which compartment if the person was asked to say.
    ConfirmDeposited { compartment: Option<CompartmentNo> },
    /// "I shut it empty and keep the parcel."
    TookBack,
    /// "There is something inside already."
    FoundOccupied,
    /// "The door cannot be shut."
    DoorWillNotShut,
    /// "It does not fit; I have taken it out again."
    DoesNotFit,
    /// "I have it."
    ConfirmTaken,
    /// "I did not take it."
    NotTaken,
    /// "I do not want it; it is inside again."
    RefuseParcel,
    /// "There is nothing inside."
    FoundEmpty,
    /// "It is somebody else's; it is inside again."
    WrongParcel,
    /// "Open it once more."
    Reopen,
    /// The next parcel for the same person.
    OpenNext,
    /// A courier or staff wants to take out the parcel with this label, which was asked back. The
    /// carrier is asked of staff, who may take out anybody's.
    Recall { carrier: Option<CarrierId>, barcode: Barcode },
    /// "I took it out", and the label that was read off it.
    Removed(Barcode),
    /// Staff looks into a compartment.
    Inspect(CompartmentNo),
    /// What staff found there.
    Found(StaffFinding),
    /// Staff puts a stopped board back into service.
    ResetBoard(u8),
    /// Staff opens the keypad again after too many wrong codes.
    ResetKeypad,
    /// Staff locks the bank down.
    LockDown,
    /// Staff wants the lockdown lifted; the second person who says so lifts it.
    LiftLockdown,
    /// Give up the opening under way.
    Cancel,
    /// Sign out.
    Finish,
}

/// What staff say they found, with labels as they read them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StaffFinding {
    /// Nothing is inside.
    Empty,
    /// This parcel is inside and stays.
    Holds { carrier: CarrierId, barcode: Barcode },
    /// This parcel was inside; staff took it out.
    TakenOut { carrier: CarrierId, barcode: Barcode },
    /// This parcel was inside; staff gave it to its recipient, whose papers they saw.
    HandedOver { carrier: CarrierId, barcode: Barcode },
}

/// What the board or a timer reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observation {
    PulseSettled {
        intent: IntentId,
        lock: LockPosition,
        outcome: PulseOutcome,
    },
    Door {
        lock: LockPosition,
        reading: DoorReading,
    },
    /// All doors of a board, when it came (back) on line: a baseline, not events.
    Baseline {
        board: u8,
        readings: Vec<(u8, DoorReading)>,
    },
    Board {
        board: u8,
        online: bool,
    },
    /// [`deadline`] has come.
    DeadlinePassed,
    /// A sensor that does not move with its door.
    SensorDoubt {
        lock: LockPosition,
    },
    /// A board that answers but opens nothing.
    BoardPower {
        board: u8,
    },
    /// What the bank runs on.
    Power(PowerSource),
}

/// What a step needs to be told.
#[derive(Clone, Copy, Debug)]
pub struct Moment<'a> {
    pub now: UnixMillis,
    pub clock: ClockInterval,
    /// A random id, used if the step begins a session.
    pub fresh_session: SessionId,
    pub policy: &'a SessionPolicy,
    /// Whether deposits are taken at all: no when the disk is nearly full.
    pub deposits_open: bool,
}

/// A granted transition that has not been made. Make `facts` durable in this order, then act.
#[must_use = "a step that is not committed has not happened"]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    pub facts: Vec<Fact>,
    pub pulse: Option<Pulse>,
    /// The trace of the parcel it is about.
    pub trace: Option<TraceParent>,
    /// What the person is told instead of "done", after the facts are durable: a refusal that
    /// leaves traces.
    pub refusal: Option<Refusal>,
}

/// One opening to be given to a lock, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pulse {
    pub intent: IntentId,
    pub compartment: CompartmentNo,
    pub lock: LockPosition,
}

impl Step {
    fn of(facts: impl IntoIterator<Item = Fact>) -> Self {
        Self { facts: facts.into_iter().collect(), ..Self::default() }
    }

    /// Adds the intent of a pulse and the pulse itself: the only place where pulses are made.
    fn open(
        mut self,
        view: &impl View,
        session: SessionId,
        spec: CompartmentSpec,
        parcel: Option<ParcelId>,
    ) -> Self {
        let intent = IntentId(view.meta().last_intent.0 + 1);
        let compartment = spec.no;
        self.facts.push(Fact::PulseIntended(PulseIntended {
            intent,
            session,
            compartment,
            parcel,
        }));
        self.pulse = Some(Pulse { intent, compartment, lock: spec.lock });
        match parcel {
            Some(parcel) => self.traced(view, parcel),
            None => self,
        }
    }

    fn traced(mut self, view: &impl View, parcel: ParcelId) -> Self {
        self.trace = view.parcel(parcel).and_then(|known| known.trace);
        self
    }

    fn and(mut self, fact: Fact) -> Self {
        self.facts.push(fact);
        self
    }
}

/// Does what a person asks for.
///
/// # Errors
///
/// A [`Refusal`] that the screen can show; nothing has changed then.
pub fn command(view: &impl View, command: Command, at: Moment<'_>) -> Result<Step, Refusal> {
    match command {
        Command::Present(token) => present(view, &token, at),
        Command::Type(typed) => keypad::typed(view, &typed, at),
        Command::ResetKeypad => keypad::reset(view),
        Command::ScanParcel(barcode) => deposit::scan(view, &barcode, at),
        Command::TryAgain => door::try_again(view, at),
        Command::Reopen => door::reopen(view, at),
        Command::ConfirmDeposited { compartment } => deposit::confirm(view, compartment),
        Command::DoesNotFit => deposit::does_not_fit(view, at),
        Command::TookBack => deposit::took_back(view),
        Command::FoundOccupied => deposit::found_occupied(view, at),
        Command::DoorWillNotShut => deposit::will_not_shut(view),
        Command::ConfirmTaken => said(view, true, pickup::taken),
        Command::NotTaken => not_taken(view),
        Command::RefuseParcel => said(view, false, pickup::refuse),
        Command::FoundEmpty => found_empty(view),
        Command::WrongParcel => said(view, false, pickup::wrong_parcel),
        Command::OpenNext => pickup::open_next(view, at),
        Command::Recall { carrier, barcode } => recall::start(view, carrier, &barcode, at),
        Command::Removed(barcode) => recall::removed(view, &barcode),
        Command::Inspect(compartment) => inspection::start(view, compartment, at),
        Command::Found(finding) => inspection::found(view, &finding),
        Command::ResetBoard(board) => lockdown::reset_board(view, board),
        Command::LockDown => lockdown::begin(view),
        Command::LiftLockdown => lockdown::lift(view),
        Command::Cancel => cancel(view, at),
        Command::Finish => finish(view),
    }
}

/// Takes in what a sensor or a timer reports; a report that changes nothing gives no facts.
pub fn observe(view: &impl View, observation: Observation, at: Moment<'_>) -> Step {
    match observation {
        Observation::PulseSettled { intent, lock, outcome } => {
            door::settled(view, intent, lock, outcome, at)
        }
        Observation::Door { lock, reading } => door::moved(view, lock, reading, at),
        Observation::Baseline { board, readings } => door::baseline(view, board, &readings),
        Observation::Board { board, online } => door::board(view, board, online),
        Observation::DeadlinePassed => deadline_passed(view, at),
        Observation::SensorDoubt { lock } => door::sensor_doubt(view, lock),
        Observation::BoardPower { board } => door::board_power(view, board),
        Observation::Power(source) => power::observed(view, source),
    }
}

/// What has lapsed meanwhile: bookings that were not brought, parcels that stayed too long. To be
/// asked for now and then, with the clock as it is known.
pub fn lapsed(view: &impl View, clock: ClockInterval) -> Step {
    lapse::lapsed(view, clock)
}

/// When [`Observation::DeadlinePassed`] is due, if anything is waiting.
#[must_use]
pub fn deadline(view: &impl View, policy: &SessionPolicy) -> Option<UnixMillis> {
    let session = view.session()?;
    let due = session.deadline(policy);
    let alert = door::alert_due(view, &session, policy);
    match (due, alert) {
        (Some(due), Some(alert)) => Some(due.min(alert)),
        (due, alert) => due.or(alert),
    }
}

/// What must be settled at a start, before anything else: every pulse without an outcome may or may
/// not have opened its door, and whoever was at the screen is gone.
pub fn recover(view: &impl View) -> Step {
    let mut step = Step::default();
    for held in view.compartments() {
        if let Some(intent) = held.pulse {
            let outcome = PulseOutcome::Recovered;
            let compartment = held.spec.no;
            let settled = PulseSettled { intent, compartment, outcome };
            step.facts.push(Fact::PulseSettled(settled));
        }
    }
    let Some(session) = view.session() else { return step };
    step = match &session.task {
        Task::Idle => step,
        Task::Deposit(handover) => step.and(deposit::interrupted(session.id, handover)),
        Task::Pickup(handover) => step.and(pickup::interrupted(session.id, handover)),
        Task::Recall(handover) => step.and(recall::interrupted(session.id, handover)),
        Task::Inspection(opening) => step.and(inspection::unfinished(session.id, opening)),
    };
    if let Some(parcel) = session.parcel() {
        step = step.traced(view, parcel);
    }
    step.and(ended(session.id, SessionEnd::Interrupted))
}

fn present(view: &impl View, token: &VerifiedToken, at: Moment<'_>) -> Result<Step, Refusal> {
    let claims = token.claims();
    let mut facts = make_way(view).map_err(|session| busy(view, &session, token))?;
    let session = at.fresh_session;
    match &claims.action {
        Action::Courier { carrier } => {
            let proof = CourierProof::Badge(claims.credential);
            let actor = Actor::Courier { carrier: carrier.clone(), proof };
            facts.push(Fact::SessionStarted(SessionStarted { session, actor }));
            Ok(Step::of(facts))
        }
        Action::Staff => {
            let actor = Actor::Staff { badge: claims.credential };
            facts.push(Fact::SessionStarted(SessionStarted { session, actor }));
            Ok(Step::of(facts))
        }
        Action::Pickup => pickup::start(view, claims.credential, facts, at),
    }
}

/// Whoever is between two parcels makes way for the next person, who has shown a valid code.
fn make_way(view: &impl View) -> Result<Vec<Fact>, Box<Session>> {
    match view.session() {
        None => Ok(Vec::new()),
        Some(session) if session.task == Task::Idle => {
            Ok(vec![ended(session.id, SessionEnd::Left)])
        }
        Some(session) => Err(Box::new(session)),
    }
}

/// Why the next person must wait; who holds a code for the parcel that is being handled is told so.
fn busy(view: &impl View, session: &Session, token: &VerifiedToken) -> Refusal {
    let claims = token.claims();
    let theirs = match claims.action {
        Action::Pickup => view.credential(claims.credential).map(|held| held.parcel),
        Action::Courier { .. } | Action::Staff => None,
    };
    match &session.task {
        Task::Pickup(handover) if Some(handover.parcel) == theirs => Refusal::PickupInProgress,
        Task::Recall(handover) if Some(handover.parcel) == theirs => Refusal::RecallInProgress,
        Task::Idle | Task::Deposit(_) | Task::Pickup(_) | Task::Recall(_) | Task::Inspection(_) => {
            Refusal::SessionBusy
        }
    }
}

/// What a recipient says: of their parcel, or once it was taken of what is left inside.
fn said<V: View>(
    view: &V,
    empty: bool,
    of_parcel: fn(&V) -> Result<Step, Refusal>,
) -> Result<Step, Refusal> {
    let session = view.session().ok_or(Refusal::NoSession)?;
    match &session.task {
        Task::Inspection(opening) if grace::looks(&session) => {
            grace::said(&session, opening, empty)
        }
        Task::Idle | Task::Deposit(_) | Task::Pickup(_) | Task::Recall(_) | Task::Inspection(_) => {
            of_parcel(view)
        }
    }
}

/// "It is still inside."
fn not_taken(view: &impl View) -> Result<Step, Refusal> {
    let session = view.session().ok_or(Refusal::NoSession)?;
    match session.task {
        Task::Recall(_) => recall::not_taken(view),
        Task::Pickup(_) | Task::Inspection(_) => said(view, false, pickup::not_taken),
        Task::Idle | Task::Deposit(_) => Err(Refusal::NotNow),
    }
}

/// "There is nothing inside."
fn found_empty(view: &impl View) -> Result<Step, Refusal> {
    let session = view.session().ok_or(Refusal::NoSession)?;
    match session.task {
        Task::Recall(_) => recall::found_empty(view),
        Task::Pickup(_) | Task::Inspection(_) => said(view, true, pickup::found_empty),
        Task::Idle | Task::Deposit(_) => Err(Refusal::NotNow),
    }
}

fn cancel(view: &impl View, at: Moment<'_>) -> Result<Step, Refusal> {
    let session = view.session().ok_or(Refusal::NoSession)?;
    match &session.task {
        Task::Idle => Err(Refusal::NotNow),
        Task::Deposit(handover) => deposit::cancel(view, session.id, handover, at.policy),
        Task::Pickup(handover) => pickup::cancel(view, session.id, handover),
        Task::Recall(handover) => recall::cancel(view, session.id, handover),
        Task::Inspection(opening) => inspection::cancel(&session, opening),
    }
}

fn finish(view: &impl View) -> Result<Step, Refusal> {
    let session = view.session().ok_or(Refusal::NoSession)?;
    match session.task {
        Task::Idle => Ok(Step::of([ended(session.id, SessionEnd::Finished)])),
        Task::Deposit(_) | Task::Pickup(_) | Task::Recall(_) | Task::Inspection(_) => {
            Err(Refusal::NotNow)
        }
    }
}

fn deadline_passed(view: &impl View, at: Moment<'_>) -> Step {
    let Some(session) = view.session() else { return Step::default() };
    if session.deadline(at.policy).is_none_or(|due| at.now < due) {
        return door::open_too_long(view, &session, at);
    }
    let step = match &session.task {
        Task::Idle => Step::default(),
        Task::Deposit(handover) => deposit::left(view, session.id, handover, at.policy),
        Task::Pickup(handover) => pickup::left(view, session.id, handover, at.policy),
        Task::Recall(handover) => recall::left(view, session.id, handover),
        Task::Inspection(opening) if grace::looks(&session) => {
            Step::of([grace::left(&session, opening)])
        }
        Task::Inspection(opening) => Step::of([inspection::unfinished(session.id, opening)]),
    };
    step.and(ended(session.id, SessionEnd::Left))
}

const fn ended(session: SessionId, end: SessionEnd) -> Fact {
    Fact::SessionEnded(SessionEnded { session, end })
}

/// The courier at the screen and his session.
fn courier(view: &impl View) -> Result<(Session, CarrierId), Refusal> {
    let session = view.session().ok_or(Refusal::NoSession)?;
    match session.actor.clone() {
        Actor::Courier { carrier, .. } => Ok((session, carrier)),
        Actor::Recipient { .. } | Actor::Staff { .. } => Err(Refusal::NotNow),
    }
}

/// The member of staff at the screen.
fn staff(view: &impl View) -> Result<(Session, CredentialId), Refusal> {
    let session = view.session().ok_or(Refusal::NoSession)?;
    match session.actor {
        Actor::Staff { badge } => Ok((session, badge)),
        Actor::Courier { .. } | Actor::Recipient { .. } => Err(Refusal::StaffOnly),
    }
}

/// Whether the person at the screen may have another door opened: the bank is not locked down for
/// them, and not too many were opened lately. `Ok(Some(step))` is a refusal that leaves traces.
fn gate(view: &impl View, kind: OpenerKind, at: Moment<'_>) -> Result<Option<Step>, Refusal> {
    if view.meta().lockdown.is_some() && kind != OpenerKind::Staff {
        return Err(Refusal::LockedDown);
    }
    let lock_down = match view.governor().judge(&at.policy.governor, kind, at.now) {
        Verdict::Allowed => return Ok(None),
        Verdict::Refused => return Err(Refusal::TooManyOpenings),
        Verdict::Tripped { lock_down } => lock_down,
    };
    let mut step = Step::of([Fact::Alarm(Alarm::TooManyOpenings(kind))]);
    if lock_down && view.meta().lockdown.is_none() {
        let reason = LockdownReason::TooManyOpenings;
        step.facts.push(Fact::LockdownBegan(LockdownBegan { reason }));
    }
    step.refusal = Some(Refusal::TooManyOpenings);
    Ok(Some(step))
}

/// The gate for whoever is at the screen already.
fn gate_for(view: &impl View, session: &Session, at: Moment<'_>) -> Result<Option<Step>, Refusal> {
    let kind = OpenerKind::of(&session.actor);
    gate(view, kind, at)
}

#[cfg(test)]
mod tests;
