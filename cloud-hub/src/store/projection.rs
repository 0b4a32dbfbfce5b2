//! What a bank's facts make of a parcel in the hub. Pure.
//!
//! The bank says what happened, the hub says what was entitled: a parcel that the hub cancelled and
//! a courier deposited nevertheless is inside, and is asked back.

use locker_core::ids::{CompartmentNo, Version};
use locker_core::parcel::RecallReason;
use locker_core::units::UnixMillis;

use super::notice_rows::NoticeKind;
use super::rows::{EventKind, HubParcelState as State, ParcelRow};

/// A deposit that the hub hears of later than this is promised its time from then on, and the bank
/// is told so, in milliseconds.
const LATE_MS: u64 = 15 * 60_000;

/// What a fact says of its parcel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ParcelStep {
    /// The bank keeps a compartment for it.
    Reserved,
    DepositStarted(CompartmentNo),
    /// The deposit ended with the parcel in the courier's hands.
    DepositReturned,
    /// As before, and no larger compartment was free.
    DidNotFit,
    DepositUnresolved(CompartmentNo),
    DepositConfirmed(CompartmentNo),
    PickupStarted(CompartmentNo),
    /// The pickup ended with the parcel inside.
    PickupReturned(CompartmentNo),
    /// Its recipient does not want it and left it inside.
    Refused(CompartmentNo),
    /// Somebody did not find it where it should be.
    Disputed(CompartmentNo),
    Collected,
    RecallStarted(CompartmentNo),
    /// The recall ended with the parcel inside, as far as is known.
    RecallReturned(CompartmentNo),
    /// A courier or staff took it out.
    Recalled,
    /// The bank did not take the booking over.
    BookingRefused,
    /// It was not brought in time.
    BookingLapsed,
    /// It has stayed as long as it may.
    KeepLapsed,
    /// It may stay until then.
    Kept(UnixMillis),
    /// Staff looked and found it.
    Found(CompartmentNo),
    /// Staff looked and it was not there.
    Missing,
    /// The bank has taken the hub's decision of this version over.
    TookOver(Version),
    /// Its door came open although nobody was let in.
    DoorForced(CompartmentNo),
}

/// When a fact happened, and what it promises.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// By the bank's clock.
    pub(super) at: UnixMillis,
    /// From when a promise made by it counts.
    pub(super) promised_from: UnixMillis,
    /// How long a parcel may stay whose booking does not say.
    pub(super) retention_ms: u64,
    /// By the hub's clock.
    pub(super) now: UnixMillis,
}

/// What the bank must be told because of a fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tell {
    /// It expects a parcel again that the hub has cancelled.
    Cancel,
    /// A parcel is inside that the hub has cancelled or asked back.
    Recall(RecallReason),
    /// A parcel may stay longer than the bank thinks.
    Keep(UnixMillis),
}

/// What follows from a step besides the parcel's new state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Consequences {
    /// The parcel changed, and this event says so.
    pub(super) event: Option<EventKind>,
    /// The recipient can be told.
    pub(super) notice: Option<NoticeKind>,
    pub(super) tell: Option<Tell>,
    /// The bank acts on this version: the recipient can be told of it.
    pub(super) holds: Option<Version>,
}

/// A new state of a parcel.
struct Turn {
    state: State,
    compartment: Option<CompartmentNo>,
    consequences: Consequences,
}

const NOTHING: Consequences = Consequences { event: None, notice: None, tell: None, holds: None };

impl Turn {
    const fn new(state: State, compartment: Option<CompartmentNo>, event: EventKind) -> Self {
        let consequences = Consequences { event: Some(event), ..NOTHING };
        Self { state, compartment, consequences }
    }

    fn told(mut self, tell: Option<Tell>) -> Self {
        self.consequences.tell = tell;
        self
    }

    fn noticed(mut self, kind: NoticeKind) -> Self {
        self.consequences.notice = Some(kind);
        self
    }
}

/// Applies a step. Where the hub knows better, or both know the same, nothing changes.
pub(super) fn apply(parcel: &mut ParcelRow, step: ParcelStep, times: Times) -> Consequences {
    let returned = matches!(step, ParcelStep::DepositReturned | ParcelStep::DidNotFit);
    if returned && parcel.state == State::Cancelled {
        return Consequences { tell: Some(Tell::Cancel), ..NOTHING };
    }
    if let ParcelStep::TookOver(version) = step {
        return Consequences { holds: Some(version), ..NOTHING };
    }
    let Some(turn) = turn(parcel, step, times) else { return NOTHING };
    parcel.state = turn.state;
    parcel.compartment = turn.compartment;
    parcel.updated_at = times.now;
    turn.consequences
}

fn turn(parcel: &mut ParcelRow, step: ParcelStep, times: Times) -> Option<Turn> {
    use EventKind as Kind;
    let from = parcel.state;
    let to = |state, event| Some(Turn::new(state, None, event));
    match step {
        ParcelStep::Reserved if expected(from) => to(State::Booked, Kind::CompartmentReserved),
        ParcelStep::BookingRefused if expected(from) => {
            parcel.bank = None;
            parcel.credential = None;
            to(State::Announced, Kind::ParcelBookingRefused)
        }
        ParcelStep::BookingLapsed if expected(from) => {
            to(State::BookingExpired, Kind::ParcelBookingExpired)
        }
        ParcelStep::DepositStarted(no) if may_be_brought(from) => {
            Some(Turn::new(State::Depositing, Some(no), Kind::ParcelDepositing))
        }
        ParcelStep::DepositReturned if matches!(from, State::Depositing | State::Unresolved) => {
            to(State::Booked, Kind::ParcelDepositAborted)
        }
        ParcelStep::DidNotFit if from == State::Depositing => {
            to(State::Booked, Kind::ParcelDidNotFit)
        }
        ParcelStep::DepositUnresolved(no) if may_be_brought(from) || from == State::Cancelled => {
            Some(Turn::new(State::Unresolved, Some(no), Kind::ParcelUnresolved))
        }
        ParcelStep::DepositConfirmed(no) => deposited(parcel, no, times),
        ParcelStep::Collected if !matches!(from, State::Announced | State::Collected) => {
            to(State::Collected, Kind::ParcelCollected)
        }
        ParcelStep::Recalled
            if !matches!(from, State::Announced | State::Collected | State::Recalled) =>
        {
            to(State::Recalled, Kind::ParcelRecalled)
        }
        ParcelStep::Found(no) => found(parcel, no, times),
        ParcelStep::Missing if inside(from) => to(State::Missing, Kind::ParcelDisputed),
        ParcelStep::PickupStarted(_)
        | ParcelStep::PickupReturned(_)
        | ParcelStep::Refused(_)
        | ParcelStep::Disputed(_)
        | ParcelStep::RecallStarted(_)
        | ParcelStep::RecallReturned(_)
        | ParcelStep::KeepLapsed
        | ParcelStep::Kept(_)
        | ParcelStep::DoorForced(_) => turn_inside(parcel, step, times),
        ParcelStep::Reserved
        | ParcelStep::BookingRefused
        | ParcelStep::BookingLapsed
        | ParcelStep::DepositStarted(_)
        | ParcelStep::DepositReturned
        | ParcelStep::DidNotFit
        | ParcelStep::DepositUnresolved(_)
        | ParcelStep::Collected
        | ParcelStep::Recalled
        | ParcelStep::Missing
        | ParcelStep::TookOver(_) => None,
    }
}

/// What happens to a parcel while it is inside.
fn turn_inside(parcel: &mut ParcelRow, step: ParcelStep, times: Times) -> Option<Turn> {
    use EventKind as Kind;
    let from = parcel.state;
    let waits = matches!(from, State::Stored | State::RecallRequested | State::Expired);
    match step {
        // Whoever was let in before the bank heard of the recall goes on.
        ParcelStep::PickupStarted(no) if waits => {
            Some(Turn::new(State::Collecting, Some(no), Kind::ParcelCollecting))
        }
        ParcelStep::PickupReturned(no) if from == State::Collecting => {
            let turn = Turn::new(waiting(parcel), Some(no), Kind::ParcelPickupAborted);
            let asked_back = parcel.recall.filter(|reason| *reason != RecallReason::Expired);
            Some(turn.told(asked_back.map(Tell::Recall)))
        }
        ParcelStep::Refused(no) if waits || from == State::Collecting => {
            parcel.recall = Some(RecallReason::Refused);
            Some(Turn::new(State::RecallRequested, Some(no), Kind::ParcelRefused))
        }
        ParcelStep::Disputed(no) if inside(from) => {
            Some(Turn::new(State::Disputed, Some(no), Kind::ParcelDisputed))
        }
        ParcelStep::RecallStarted(no) if waits => {
            Some(Turn::new(State::Recalling, Some(no), Kind::ParcelRecalling))
        }
        ParcelStep::RecallReturned(no) if from == State::Recalling => {
            Some(Turn::new(waiting(parcel), Some(no), Kind::ParcelRecallAborted))
        }
        ParcelStep::KeepLapsed if from == State::Stored => {
            parcel.recall = Some(RecallReason::Expired);
            let turn = Turn::new(State::Expired, parcel.compartment, Kind::ParcelExpired);
            // An extension is on its way to the bank: its recipient is told of that, once it holds.
            let extended = parcel.expires_at.is_some_and(|until| until > times.at.max(times.now));
            Some(if extended { turn } else { turn.noticed(NoticeKind::ParcelExpired) })
        }
        // It had lapsed at the bank before the hub's extension came there.
        ParcelStep::Kept(until) if from == State::Expired && parcel.expires_at == Some(until) => {
            parcel.recall = None;
            Some(Turn::new(State::Stored, parcel.compartment, Kind::ParcelExtended))
        }
        // Whoever forced it, nobody has looked inside since: it is where it was until somebody does.
        ParcelStep::DoorForced(no) if inside(from) && parcel.compartment == Some(no) => {
            Some(Turn::new(from, Some(no), Kind::ParcelDoorForced))
        }
        ParcelStep::Reserved
        | ParcelStep::DepositStarted(_)
        | ParcelStep::DepositReturned
        | ParcelStep::DidNotFit
        | ParcelStep::DepositUnresolved(_)
        | ParcelStep::DepositConfirmed(_)
        | ParcelStep::PickupStarted(_)
        | ParcelStep::PickupReturned(_)
        | ParcelStep::Refused(_)
        | ParcelStep::Disputed(_)
        | ParcelStep::Collected
        | ParcelStep::RecallStarted(_)
        | ParcelStep::RecallReturned(_)
        | ParcelStep::Recalled
        | ParcelStep::BookingRefused
        | ParcelStep::BookingLapsed
        | ParcelStep::KeepLapsed
        | ParcelStep::Kept(_)
        | ParcelStep::Found(_)
        | ParcelStep::Missing
        | ParcelStep::TookOver(_)
        | ParcelStep::DoorForced(_) => None,
    }
}

fn deposited(parcel: &mut ParcelRow, no: CompartmentNo, times: Times) -> Option<Turn> {
    if parcel.state == State::Cancelled {
        let reason = RecallReason::Sender;
        parcel.recall = Some(reason);
        let turn = Turn::new(State::RecallRequested, Some(no), EventKind::ParcelRecallRequested);
        return Some(turn.told(Some(Tell::Recall(reason))));
    }
    if !may_be_brought(parcel.state) {
        return None;
    }
    let tell = promise(parcel, times);
    let turn = Turn::new(State::Stored, Some(no), EventKind::ParcelStored);
    Some(turn.noticed(NoticeKind::ParcelStored).told(tell))
}

/// Until when a parcel may stay that was put in just now. What comes late promises as much as what
/// comes at once, because nobody knew of it before; then the bank must be told.
fn promise(parcel: &mut ParcelRow, times: Times) -> Option<Tell> {
    let Times { at, promised_from, retention_ms, .. } = times;
    let keep_ms = parcel.terms.keep_ms.unwrap_or(retention_ms);
    let late = at.0.abs_diff(promised_from.0) > LATE_MS;
    let until = if late { promised_from } else { at }.plus_ms(keep_ms);
    parcel.expires_at = Some(until);
    late.then_some(Tell::Keep(until))
}

/// Staff found it, perhaps where it was never put, perhaps after it was thought to be gone. A missing
/// one waits as before: its bank has kept its code.
fn found(parcel: &mut ParcelRow, no: CompartmentNo, times: Times) -> Option<Turn> {
    let unwanted = match parcel.state {
        State::Announced => return None,
        State::Cancelled | State::Collected | State::Recalled => true,
        State::Booked
        | State::BookingPending
        | State::BookingExpired
        | State::Depositing
        | State::Stored
        | State::Collecting
        | State::Unresolved
        | State::RecallRequested
        | State::Expired
        | State::Recalling
        | State::Disputed
        | State::Missing => false,
    };
    if unwanted {
        parcel.recall = Some(RecallReason::Sender);
    }
    let known = parcel.compartment == Some(no) && parcel.state == waiting(parcel);
    if known {
        return None;
    }
    let tell = if parcel.expires_at.is_none() { promise(parcel, times) } else { None };
    let turn = |state, event| Turn::new(state, Some(no), event).told(tell);
    let state = waiting(parcel);
    Some(match parcel.recall {
        None => turn(state, EventKind::ParcelStored).noticed(NoticeKind::ParcelStored),
        Some(RecallReason::Expired) => turn(state, EventKind::ParcelExpired),
        Some(RecallReason::Sender | RecallReason::Safety | RecallReason::Refused) => {
            turn(state, EventKind::ParcelRecallRequested)
        }
    })
}

/// The state of a parcel that nobody is busy with.
const fn waiting(parcel: &ParcelRow) -> State {
    match parcel.recall {
        None => State::Stored,
        Some(RecallReason::Expired) => State::Expired,
        Some(RecallReason::Sender | RecallReason::Safety | RecallReason::Refused) => {
            State::RecallRequested
        }
    }
}

const fn expected(state: State) -> bool {
    matches!(state, State::Booked | State::BookingPending)
}

const fn may_be_brought(state: State) -> bool {
    expected(state) || matches!(state, State::BookingExpired | State::Depositing)
}

/// Whether a parcel is inside, or was thought to be.
const fn inside(state: State) -> bool {
    matches!(
        state,
        State::Depositing
            | State::Stored
            | State::Collecting
            | State::Unresolved
            | State::RecallRequested
            | State::Expired
            | State::Recalling
            | State::Disputed
    )
}

#[cfg(test)]
mod tests;
