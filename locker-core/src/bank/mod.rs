//! What a bank does when somebody asks for something or a sensor reports.
//!
//! [`command`] may refuse; [`observe`] cannot: a reading is a fact. Both give a [`Step`]. The caller
//! makes its facts durable, then gives its pulse to the lock, then answers. A crash in between
//! leaves a pulse without an outcome, which [`recover`] settles at the next start as unknown.

mod deposit;
mod door;
mod facts;
mod pickup;

pub use facts::{
    AbortedContent, BoardChanged, DepositAborted, DepositConfirmed, DepositMisfit, DepositStarted,
    DoorMoved, DoorsRead, PickupEnd, PickupSettled, PickupStarted, PulseIntended, PulseOutcome,
    PulseSettled, SessionEnded, SessionStarted,
};

use crate::clock::ClockInterval;
use crate::compartment::{CompartmentSpec, DoorReading, LockPosition};
use crate::credential::{Action, VerifiedToken};
use crate::fact::Fact;
use crate::ids::{Barcode, CompartmentNo, IntentId, ParcelId, SessionId, TraceParent};
use crate::journal::View;
use crate::policy::SessionPolicy;
use crate::refusal::Refusal;
use crate::session::{Actor, Session, SessionEnd, Task};
use crate::units::UnixMillis;

/// What a person at the screen asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// A token was scanned: a courier signs in, or a recipient wants their parcel.
    Present(VerifiedToken),
    /// A signed-in courier scanned a parcel's label.
    ScanParcel(Barcode),
    /// The person pushed the door and wants another try.
    TryAgain,
    /// "The parcel is inside."
    ConfirmDeposited,
    /// "It does not fit; I have taken it out again."
    DoesNotFit,
    /// "I have it."
    ConfirmTaken,
    /// "I did not take it."
    NotTaken,
    /// Give up the opening under way.
    Cancel,
    /// Sign out.
    Finish,
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
        parcel: ParcelId,
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
        self.traced(view, parcel)
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
        Command::ScanParcel(barcode) => deposit::scan(view, &barcode, at),
        Command::TryAgain => door::try_again(view),
        Command::ConfirmDeposited => deposit::confirm(view),
        Command::DoesNotFit => deposit::does_not_fit(view, at),
        Command::ConfirmTaken => pickup::taken(view),
        Command::NotTaken => pickup::not_taken(view),
        Command::Cancel => cancel(view),
        Command::Finish => finish(view),
    }
}

/// Takes in what a sensor or a timer reports; a report that changes nothing gives no facts.
pub fn observe(view: &impl View, observation: Observation, at: Moment<'_>) -> Step {
    match observation {
        Observation::PulseSettled { intent, lock, outcome } => {
            door::settled(view, intent, lock, outcome, at)
        }
        Observation::Door { lock, reading } => door::moved(view, lock, reading),
        Observation::Baseline { board, readings } => door::baseline(view, board, &readings),
        Observation::Board { board, online } => door::board(view, board, online),
        Observation::DeadlinePassed => deadline_passed(view, at),
    }
}

/// When [`Observation::DeadlinePassed`] is due, if anything is waiting.
#[must_use]
pub fn deadline(view: &impl View, policy: &SessionPolicy) -> Option<UnixMillis> {
    view.session()?.deadline(policy)
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
    match &session.task {
        Task::Idle => {}
        Task::Deposit(handover) => {
            step = step.and(deposit::interrupted(session.id, handover));
            step = step.traced(view, handover.parcel);
        }
        Task::Pickup(handover) => {
            step = step.and(pickup::interrupted(session.id, handover));
            step = step.traced(view, handover.parcel);
        }
    }
    step.and(ended(session.id, SessionEnd::Interrupted))
}

fn present(view: &impl View, token: &VerifiedToken, at: Moment<'_>) -> Result<Step, Refusal> {
    let claims = token.claims();
    let mut facts = Vec::new();
    if let Some(session) = view.session() {
        // An idle courier makes way: the next person has shown a valid code.
        if session.task != Task::Idle {
            return Err(Refusal::SessionBusy);
        }
        facts.push(ended(session.id, SessionEnd::Left));
    }
    let session = at.fresh_session;
    match &claims.action {
        Action::Courier { carrier } => {
            let badge = claims.credential;
            let actor = Actor::Courier { carrier: carrier.clone(), badge };
            facts.push(Fact::SessionStarted(SessionStarted { session, actor }));
            Ok(Step::of(facts))
        }
        Action::Pickup => pickup::start(view, claims.credential, session, facts),
    }
}

fn cancel(view: &impl View) -> Result<Step, Refusal> {
    let session = view.session().ok_or(Refusal::NoSession)?;
    match &session.task {
        Task::Idle => Err(Refusal::NotNow),
        Task::Deposit(handover) => deposit::cancel(view, session.id, handover),
        Task::Pickup(handover) => pickup::cancel(view, session.id, handover),
    }
}

fn finish(view: &impl View) -> Result<Step, Refusal> {
    let session = view.session().ok_or(Refusal::NoSession)?;
    match session.task {
        Task::Idle => Ok(Step::of([ended(session.id, SessionEnd::Finished)])),
        Task::Deposit(_) | Task::Pickup(_) => Err(Refusal::NotNow),
    }
}

fn deadline_passed(view: &impl View, at: Moment<'_>) -> Step {
    let Some(session) = view.session() else { return Step::default() };
    if session.deadline(at.policy).is_none_or(|due| at.now < due) {
        return Step::default();
    }
    let step = match &session.task {
        Task::Idle => Step::default(),
        Task::Deposit(handover) => deposit::left(view, session.id, handover, at.policy),
        Task::Pickup(handover) => pickup::left(view, session.id, handover),
    };
    step.and(ended(session.id, SessionEnd::Left))
}

const fn ended(session: SessionId, end: SessionEnd) -> Fact {
    Fact::SessionEnded(SessionEnded { session, end })
}

/// The courier at the screen and his session.
fn courier(view: &impl View) -> Result<(Session, crate::ids::CarrierId), Refusal> {
    let session = view.session().ok_or(Refusal::NoSession)?;
    match session.actor.clone() {
        Actor::Courier { carrier, .. } => Ok((session, carrier)),
        Actor::Recipient { .. } => Err(Refusal::NotNow),
    }
}

#[cfg(test)]
mod tests;
