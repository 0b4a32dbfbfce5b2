//! What a screen shows: who is there, which door, and what is asked of them. Made from committed
//! state only.

mod result;

use locker_core::bank::others;
use locker_core::compartment::{Allocation, Compartment, QuarantineReason};
use locker_core::fact::Fact;
use locker_core::ids::{BankId, CompartmentNo, CredentialId, ParcelId};
use locker_core::journal::View;
use locker_core::parcel::{ParcelState, RecallReason};
use locker_core::policy::PULSES_PER_OPENING;
use locker_core::session::{Actor, Opening, Phase, Session, Task};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use result::result_of;
pub use result::{PanelFinding, PanelResult};

/// The screen's state. `revision` grows with every change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PanelState {
    pub bank: String,
    pub revision: u64,
    pub hub_connected: bool,
    /// The disk has room for deposits.
    pub deposits_open: bool,
    /// The operator takes no deposits at the moment; pickups go on.
    pub maintenance: bool,
    /// The mains are gone: no deposits; pickups go on.
    #[serde(default)]
    pub on_battery: bool,
    /// No door is opened for so many milliseconds still, because the agent has started again and
    /// again; 0 if doors are opened.
    #[serde(default)]
    pub calm_ms: u64,
    /// The hub gives records back that the disk has lost, or a new journal is about to begin: until that is done, in
    /// minutes, only staff may open doors.
    #[serde(default)]
    pub being_prepared: bool,
    /// When doors are opened again; for `calm_ms`.
    #[serde(skip)]
    pub(crate) calm_until: Option<Instant>,
    /// Only staff may open doors.
    pub lockdown: Option<PanelLockdown>,
    /// Whether six digits open anything at the moment. Scanned codes do in any case.
    pub keypad: PanelKeypad,
    /// How long the keypad waits still, in milliseconds; 0 if it does not.
    pub wait_ms: u64,
    /// When the keypad stops waiting; for `wait_ms`.
    #[serde(skip)]
    pub(crate) keypad_until: Option<Instant>,
    pub session: Option<PanelSession>,
    /// How the last handover ended.
    pub last_result: Option<PanelResult>,
}

/// What the keypad is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PanelKeypad {
    Open,
    /// A wrong code was typed a moment ago.
    Wait,
    /// Too many wrong codes today; staff can open it again.
    Closed,
    /// This bank takes no digits.
    Absent,
}

/// A lockdown under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PanelLockdown {
    /// One member of staff has asked for its end; a second one must, too.
    pub lift_asked: bool,
}

/// Who is at the screen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PanelSession {
    pub id: String,
    pub role: PanelRole,
    pub task: PanelTask,
    /// Parcels that the same code opens after the one under way.
    pub more: usize,
    /// Another door moved: "deposited" must name the compartment.
    pub confirm_number: bool,
    /// The door has been open for so long that an alarm was raised.
    pub door_open_too_long: bool,
}

/// What they may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PanelRole {
    Courier,
    Recipient,
    Staff,
}

/// What they are busy with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum PanelTask {
    Idle,
    Deposit {
        compartment: u16,
        phase: PanelPhase,
        barcode: String,
    },
    Pickup {
        compartment: u16,
        phase: PanelPhase,
    },
    /// A parcel that must not stay is taken out.
    Recall {
        compartment: u16,
        phase: PanelPhase,
        barcode: String,
    },
    /// Staff looks into a compartment.
    Inspection {
        compartment: u16,
        phase: PanelPhase,
        /// The parcel that is thought to be inside.
        expected: Option<PanelLabel>,
        /// Why nobody knows what is inside, if that is so.
        quarantine: Option<PanelQuarantine>,
    },
}

impl PanelTask {
    /// The compartment of the opening under way, and how far it is.
    #[must_use]
    pub const fn opening(&self) -> Option<(u16, PanelPhase)> {
        match self {
            Self::Idle => None,
            Self::Deposit { compartment, phase, .. }
            | Self::Pickup { compartment, phase }
            | Self::Recall { compartment, phase, .. }
            | Self::Inspection { compartment, phase, .. } => Some((*compartment, *phase)),
        }
    }
}

/// What a parcel is called on its label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PanelLabel {
    pub carrier: String,
    pub barcode: String,
}

/// How far the door is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PanelPhase {
    /// The lock is being opened.
    Opening,
    /// It did not open: push the door, then try again.
    Stuck,
    /// It did not open, and may not be tried again.
    StuckForGood,
    Open,
    /// Shut again: what happened?
    Shut,
}

/// Why a compartment is quarantined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PanelQuarantine {
    DepositUnresolved,
    OpenedByNobody,
    DoorLeftOpen,
    Interrupted,
    LockFailed,
    FoundOccupied,
    FoundEmpty,
    WrongParcel,
    WrongDoor,
    InspectionUnfinished,
    HistoryLost,
}

/// A parcel that must leave, for whoever may take it out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PanelRecall {
    pub carrier: String,
    pub barcode: String,
    pub compartment: u16,
    pub reason: PanelRecallReason,
}

/// Why a parcel must leave, the most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PanelRecallReason {
    Safety,
    Sender,
    Refused,
    Expired,
}

impl PanelState {
    pub(super) fn begin(bank: &BankId, view: &impl View) -> Self {
        let mut state = Self {
            bank: bank.to_string(),
            revision: 0,
            hub_connected: false,
            deposits_open: true,
            maintenance: false,
            on_battery: false,
            calm_ms: 0,
            being_prepared: false,
            calm_until: None,
            lockdown: None,
            keypad: PanelKeypad::Absent,
            wait_ms: 0,
            keypad_until: None,
            session: None,
            last_result: None,
        };
        state.look(view);
        state
    }

    pub(super) fn follow(&mut self, view: &impl View, facts: &[Fact]) {
        self.revision += 1;
        let recipient =
            self.session.as_ref().is_some_and(|session| session.role == PanelRole::Recipient);
        self.look(view);
        if let Some(result) = facts.iter().rev().find_map(|fact| result_of(fact, recipient)) {
            self.last_result = Some(result);
        } else if facts.iter().any(|fact| matches!(fact, Fact::SessionStarted(_))) {
            self.last_result = None;
        }
    }

    /// As a screen shows it at `now`, which may be later than the last change.
    pub(crate) fn at(&self, now: Instant) -> Self {
        let left_ms = |until: Option<Instant>| {
            let left = until.map(|until| until.saturating_duration_since(now));
            left.map_or(0, |left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX))
        };
        let (wait_ms, calm_ms) = (left_ms(self.keypad_until), left_ms(self.calm_until));
        Self { wait_ms, calm_ms, ..self.clone() }
    }

    fn look(&mut self, view: &impl View) {
        let meta = view.meta();
        self.maintenance = meta.mode.maintenance;
        self.on_battery = meta.on_battery;
        let lift_asked =
            |asked: Option<CredentialId>| PanelLockdown { lift_asked: asked.is_some() };
        self.lockdown = meta.lockdown.map(|lockdown| lift_asked(lockdown.lift_asked_by));
        self.session = view.session().map(|session| show(&session, view));
    }
}

fn show(session: &Session, view: &impl View) -> PanelSession {
    let (role, more) = match session.actor {
        Actor::Courier { .. } => (PanelRole::Courier, 0),
        Actor::Recipient { credential } => (PanelRole::Recipient, others(view, credential).len()),
        Actor::Staff { .. } => (PanelRole::Staff, 0),
    };
    let opening = session.opening();
    let held = opening.and_then(|opening| view.compartment(opening.compartment));
    PanelSession {
        id: session.id.to_string(),
        role,
        task: task(session, view),
        more,
        confirm_number: matches!(session.task, Task::Deposit(_))
            && opening.is_some_and(|opening| opening.other_door),
        door_open_too_long: held.is_some_and(|held| held.open_too_long),
    }
}

fn task(session: &Session, view: &impl View) -> PanelTask {
    let barcode = |parcel| label(view, parcel).map_or_else(String::new, |label| label.barcode);
    match &session.task {
        Task::Idle => PanelTask::Idle,
        Task::Deposit(handover) => PanelTask::Deposit {
            compartment: number(handover.opening.compartment),
            phase: phase(&handover.opening),
            barcode: barcode(handover.parcel),
        },
        Task::Pickup(handover) => PanelTask::Pickup {
            compartment: number(handover.opening.compartment),
            phase: phase(&handover.opening),
        },
        Task::Recall(handover) => PanelTask::Recall {
            compartment: number(handover.opening.compartment),
            phase: phase(&handover.opening),
            barcode: barcode(handover.parcel),
        },
        // Once more for something forgotten: the same screen as the first time.
        Task::Inspection(opening) if matches!(session.actor, Actor::Recipient { .. }) => {
            PanelTask::Pickup { compartment: number(opening.compartment), phase: phase(opening) }
        }
        Task::Inspection(opening) => {
            let held = view.compartment(opening.compartment);
            PanelTask::Inspection {
                compartment: number(opening.compartment),
                phase: phase(opening),
                expected: held.and_then(inside).and_then(|parcel| label(view, parcel)),
                quarantine: held.and_then(|held| quarantine(held.allocation)),
            }
        }
    }
}

/// What must leave this bank and can be taken out by whoever is at the screen now; none if it is
/// nobody who may.
pub(super) fn recalls(view: &impl View) -> Option<Vec<PanelRecall>> {
    let carrier = match view.session()?.actor {
        Actor::Courier { carrier, .. } => Some(carrier),
        Actor::Staff { .. } => None,
        Actor::Recipient { .. } => return None,
    };
    let mut all: Vec<PanelRecall> = view
        .parcels()
        .into_iter()
        .filter(|parcel| carrier.as_ref().is_none_or(|carrier| parcel.carrier == *carrier))
        .filter_map(|parcel| {
            // One that is being fetched or taken out at this moment is nobody else's task.
            let ParcelState::Stored { compartment, .. } = parcel.state else { return None };
            let reason = match parcel.recall? {
                RecallReason::Expired => PanelRecallReason::Expired,
                RecallReason::Sender => PanelRecallReason::Sender,
                RecallReason::Safety => PanelRecallReason::Safety,
                RecallReason::Refused => PanelRecallReason::Refused,
            };
            let (carrier, barcode) = (parcel.carrier.to_string(), parcel.barcode.to_string());
            Some(PanelRecall { carrier, barcode, compartment: number(compartment), reason })
        })
        .collect();
    all.sort_by_key(|recall| (recall.reason, recall.compartment));
    Some(all)
}

fn label(view: &impl View, parcel: ParcelId) -> Option<PanelLabel> {
    let parcel = view.parcel(parcel)?;
    let (carrier, barcode) = (parcel.carrier.to_string(), parcel.barcode.to_string());
    Some(PanelLabel { carrier, barcode })
}

/// The parcel that may be inside; one that a compartment is only kept for is not.
const fn inside(held: Compartment) -> Option<ParcelId> {
    if let Allocation::Reserved { .. } = held.allocation { None } else { held.parcel() }
}

const fn phase(opening: &Opening) -> PanelPhase {
    match opening.phase {
        Phase::Opening => PanelPhase::Opening,
        Phase::Stuck if opening.pulses < PULSES_PER_OPENING => PanelPhase::Stuck,
        Phase::Stuck => PanelPhase::StuckForGood,
        Phase::Open => PanelPhase::Open,
        Phase::Shut => PanelPhase::Shut,
    }
}

const fn quarantine(allocation: Allocation) -> Option<PanelQuarantine> {
    let Allocation::Quarantined { reason, .. } = allocation else { return None };
    Some(match reason {
        QuarantineReason::DepositUnresolved => PanelQuarantine::DepositUnresolved,
        QuarantineReason::OpenedByNobody => PanelQuarantine::OpenedByNobody,
        QuarantineReason::DoorLeftOpen => PanelQuarantine::DoorLeftOpen,
        QuarantineReason::Interrupted => PanelQuarantine::Interrupted,
        QuarantineReason::LockFailed => PanelQuarantine::LockFailed,
        QuarantineReason::FoundOccupied => PanelQuarantine::FoundOccupied,
        QuarantineReason::FoundEmpty => PanelQuarantine::FoundEmpty,
        QuarantineReason::WrongParcel => PanelQuarantine::WrongParcel,
        QuarantineReason::WrongDoor => PanelQuarantine::WrongDoor,
        QuarantineReason::InspectionUnfinished => PanelQuarantine::InspectionUnfinished,
        QuarantineReason::HistoryLost => PanelQuarantine::HistoryLost,
    })
}

const fn number(compartment: CompartmentNo) -> u16 {
    compartment.0
}
