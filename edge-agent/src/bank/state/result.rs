//! How the last handover, recall or inspection ended, for the screen.

use locker_core::bank::{AbortedContent, Finding, PickupEnd, RecallEnd};
use locker_core::fact::Fact;
use serde::{Deserialize, Serialize};

use super::number;

/// How a handover ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum PanelResult {
    Stored {
        compartment: u16,
    },
    /// `gave_up`: no larger compartment was free, the courier takes it away again.
    DidNotFit {
        compartment: u16,
        gave_up: bool,
    },
    DepositAborted {
        compartment: u16,
        untouched: bool,
    },
    /// The courier keeps the parcel.
    TookBack {
        compartment: u16,
    },
    /// Something unknown is inside; staff must look.
    FoundOccupied {
        compartment: u16,
    },
    Collected {
        compartment: u16,
    },
    NotTaken {
        compartment: u16,
    },
    NotOpened {
        compartment: u16,
    },
    Unclear {
        compartment: u16,
    },
    /// The recipient does not want it.
    Refused {
        compartment: u16,
    },
    FoundEmpty {
        compartment: u16,
    },
    WrongParcel {
        compartment: u16,
    },
    /// Taken out by a courier or staff.
    Removed {
        compartment: u16,
    },
    /// Staff said what they found.
    Inspected {
        compartment: u16,
        finding: PanelFinding,
    },
}

/// What staff found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PanelFinding {
    Empty,
    Holds,
    TakenOut,
    HandedOver,
    Unfinished,
}

/// `recipient`: that is who was at the screen.
pub(super) fn result_of(fact: &Fact, recipient: bool) -> Option<PanelResult> {
    Some(match fact {
        Fact::DepositConfirmed(confirmed) => {
            PanelResult::Stored { compartment: number(confirmed.compartment) }
        }
        Fact::DepositMisfit(misfit) => PanelResult::DidNotFit {
            compartment: number(misfit.compartment),
            gave_up: misfit.gave_up,
        },
        Fact::DepositAborted(aborted) => of_aborted(number(aborted.compartment), aborted.content),
        Fact::PickupSettled(settled) => of_pickup(number(settled.compartment), settled.end),
        Fact::RecallSettled(settled) => of_recall(number(settled.compartment), settled.end),
        Fact::InspectionSettled(settled) => {
            of_inspection(number(settled.compartment), settled.finding, recipient)
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
        | Fact::BoardChanged(_)
        | Fact::RecallStarted(_)
        | Fact::InspectionStarted(_)
        | Fact::BookingLapsed(_)
        | Fact::KeepLapsed(_)
        | Fact::CompartmentReserved(_)
        | Fact::Alarm(_)
        | Fact::LockdownBegan(_)
        | Fact::LockdownLiftAsked(_)
        | Fact::LockdownLifted(_)
        | Fact::BoardReset(_)
        | Fact::PowerChanged(_)
        | Fact::CodeTyped(_)
        | Fact::KeypadReset(_)
        | Fact::SlotBound(_)
        | Fact::Sealed(_)
        | Fact::KeyChanged(_)
        | Fact::StateCarried(_)
        | Fact::CommandAnswered(_) => return None,
    })
}

const fn of_aborted(compartment: u16, content: AbortedContent) -> PanelResult {
    match content {
        AbortedContent::Untouched => PanelResult::DepositAborted { compartment, untouched: true },
        AbortedContent::Unknown(_) => PanelResult::DepositAborted { compartment, untouched: false },
        AbortedContent::TakenBack => PanelResult::TookBack { compartment },
        AbortedContent::Foreign => PanelResult::FoundOccupied { compartment },
    }
}

const fn of_pickup(compartment: u16, end: PickupEnd) -> PanelResult {
    match end {
        PickupEnd::Collected { .. } | PickupEnd::CollectedDoorOpen => {
            PanelResult::Collected { compartment }
        }
        PickupEnd::NotTaken => PanelResult::NotTaken { compartment },
        PickupEnd::NotOpened => PanelResult::NotOpened { compartment },
        PickupEnd::Interrupted | PickupEnd::Unconfirmed => PanelResult::Unclear { compartment },
        PickupEnd::Refused => PanelResult::Refused { compartment },
        PickupEnd::FoundEmpty => PanelResult::FoundEmpty { compartment },
        PickupEnd::WrongParcel => PanelResult::WrongParcel { compartment },
    }
}

const fn of_recall(compartment: u16, end: RecallEnd) -> PanelResult {
    match end {
        RecallEnd::Removed => PanelResult::Removed { compartment },
        RecallEnd::FoundEmpty => PanelResult::FoundEmpty { compartment },
        RecallEnd::NotTaken => PanelResult::NotTaken { compartment },
        RecallEnd::NotOpened => PanelResult::NotOpened { compartment },
        RecallEnd::Interrupted => PanelResult::Unclear { compartment },
    }
}

const fn of_inspection(compartment: u16, finding: Finding, recipient: bool) -> PanelResult {
    let finding = match finding {
        Finding::NotOpened => return PanelResult::NotOpened { compartment },
        Finding::Empty if recipient => return PanelResult::Collected { compartment },
        Finding::Unfinished if recipient => return PanelResult::Unclear { compartment },
        Finding::Empty => PanelFinding::Empty,
        Finding::Holds(_) => PanelFinding::Holds,
        Finding::TakenOut(_) => PanelFinding::TakenOut,
        Finding::HandedOver(_) => PanelFinding::HandedOver,
        Finding::Unfinished => PanelFinding::Unfinished,
    };
    PanelResult::Inspected { compartment, finding }
}
