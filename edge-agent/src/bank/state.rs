//! What a screen shows: who is there, which door, and what is asked of them. Made from committed
//! state only.

use locker_core::bank::{AbortedContent, PickupEnd};
use locker_core::fact::Fact;
use locker_core::ids::{BankId, CompartmentNo};
use locker_core::journal::View;
use locker_core::policy::PULSES_PER_OPENING;
use locker_core::session::{Actor, Handover, Phase, Session, Task};
use serde::{Deserialize, Serialize};

/// The screen's state. `revision` grows with every change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PanelState {
    pub bank: String,
    pub revision: u64,
    pub hub_connected: bool,
    pub deposits_open: bool,
    pub session: Option<PanelSession>,
    /// How the last handover ended.
    pub last_result: Option<PanelResult>,
}

/// Who is at the screen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PanelSession {
    pub id: String,
    pub role: PanelRole,
    pub task: PanelTask,
}

/// What they may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PanelRole {
    Courier,
    Recipient,
}

/// What they are busy with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum PanelTask {
    Idle,
    Deposit { compartment: u16, phase: PanelPhase, barcode: String },
    Pickup { compartment: u16, phase: PanelPhase },
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

/// How a handover ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum PanelResult {
    Stored { compartment: u16 },
    DidNotFit { compartment: u16 },
    DepositAborted { compartment: u16, untouched: bool },
    Collected { compartment: u16 },
    NotTaken { compartment: u16 },
    NotOpened { compartment: u16 },
    Unclear { compartment: u16 },
}

impl PanelState {
    pub(super) fn begin(bank: &BankId, view: &impl View) -> Self {
        let bank = bank.to_string();
        let session = view.session().map(|session| show(&session, view));
        let (hub_connected, deposits_open, last_result) = (false, true, None);
        Self { bank, revision: 0, hub_connected, deposits_open, session, last_result }
    }

    pub(super) fn follow(&mut self, view: &impl View, facts: &[Fact]) {
        self.revision += 1;
        self.session = view.session().map(|session| show(&session, view));
        if let Some(result) = facts.iter().rev().find_map(result_of) {
            self.last_result = Some(result);
        } else if facts.iter().any(|fact| matches!(fact, Fact::SessionStarted(_))) {
            self.last_result = None;
        }
    }
}

fn show(session: &Session, view: &impl View) -> PanelSession {
    let role = match session.actor {
        Actor::Courier { .. } => PanelRole::Courier,
        Actor::Recipient { .. } => PanelRole::Recipient,
    };
    let task = match &session.task {
        Task::Idle => PanelTask::Idle,
        Task::Deposit(handover) => PanelTask::Deposit {
            compartment: handover.compartment.0,
            phase: phase(handover),
            barcode: view
                .parcel(handover.parcel)
                .map_or_else(String::new, |parcel| parcel.barcode.to_string()),
        },
        Task::Pickup(handover) => {
            PanelTask::Pickup { compartment: handover.compartment.0, phase: phase(handover) }
        }
    };
    PanelSession { id: session.id.to_string(), role, task }
}

const fn phase(handover: &Handover) -> PanelPhase {
    match handover.phase {
        Phase::Opening => PanelPhase::Opening,
        Phase::Stuck if handover.pulses < PULSES_PER_OPENING => PanelPhase::Stuck,
        Phase::Stuck => PanelPhase::StuckForGood,
        Phase::Open => PanelPhase::Open,
        Phase::Shut => PanelPhase::Shut,
    }
}

fn result_of(fact: &Fact) -> Option<PanelResult> {
    Some(match fact {
        Fact::DepositConfirmed(confirmed) => {
            PanelResult::Stored { compartment: number(confirmed.compartment) }
        }
        Fact::DepositMisfit(misfit) => {
            PanelResult::DidNotFit { compartment: number(misfit.compartment) }
        }
        Fact::DepositAborted(aborted) => PanelResult::DepositAborted {
            compartment: number(aborted.compartment),
            untouched: aborted.content == AbortedContent::Untouched,
        },
        Fact::PickupSettled(settled) => {
            let compartment = number(settled.compartment);
            match settled.end {
                PickupEnd::Collected { .. } | PickupEnd::CollectedDoorOpen => {
                    PanelResult::Collected { compartment }
                }
                PickupEnd::NotTaken => PanelResult::NotTaken { compartment },
                PickupEnd::NotOpened => PanelResult::NotOpened { compartment },
                PickupEnd::Interrupted => PanelResult::Unclear { compartment },
            }
        }
        Fact::StreamOpened(_)
        | Fact::Booted(_)
        | Fact::GrantAccepted(_)
        | Fact::GrantRefused(_)
        | Fact::ConfigAccepted(_)
        | Fact::ConfigRefused(_)
        | Fact::SessionStarted(_)
        | Fact::SessionEnded(_)
        | Fact::DepositStarted(_)
        | Fact::PickupStarted(_)
        | Fact::PulseIntended(_)
        | Fact::PulseSettled(_)
        | Fact::DoorMoved(_)
        | Fact::DoorsRead(_)
        | Fact::BoardChanged(_) => return None,
    })
}

const fn number(compartment: CompartmentNo) -> u16 {
    compartment.0
}
