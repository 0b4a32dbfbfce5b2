//! How enums of the core are spelled in the store and on the interfaces. Never changed.

use locker_core::bank::LockdownReason;
use locker_core::compartment::QuarantineReason;
use locker_core::parcel::RecallReason;

pub(crate) const fn quarantine_reason(reason: QuarantineReason) -> &'static str {
    match reason {
        QuarantineReason::DepositUnresolved => "DEPOSIT_UNRESOLVED",
        QuarantineReason::OpenedByNobody => "OPENED_BY_NOBODY",
        QuarantineReason::DoorLeftOpen => "DOOR_LEFT_OPEN",
        QuarantineReason::Interrupted => "INTERRUPTED",
        QuarantineReason::LockFailed => "LOCK_FAILED",
        QuarantineReason::FoundOccupied => "FOUND_OCCUPIED",
        QuarantineReason::FoundEmpty => "FOUND_EMPTY",
        QuarantineReason::WrongParcel => "WRONG_PARCEL",
        QuarantineReason::WrongDoor => "WRONG_DOOR",
        QuarantineReason::InspectionUnfinished => "INSPECTION_UNFINISHED",
        QuarantineReason::HistoryLost => "HISTORY_LOST",
    }
}

pub(crate) const fn lockdown_reason(reason: LockdownReason) -> &'static str {
    match reason {
        LockdownReason::TooManyOpenings => "TOO_MANY_OPENINGS",
        LockdownReason::Ordered => "ORDERED",
        LockdownReason::Staff => "STAFF",
    }
}

const RECALL_REASONS: [RecallReason; 4] =
    [RecallReason::Expired, RecallReason::Sender, RecallReason::Safety, RecallReason::Refused];

pub(crate) const fn recall_reason(reason: RecallReason) -> &'static str {
    match reason {
        RecallReason::Expired => "EXPIRED",
        RecallReason::Sender => "SENDER",
        RecallReason::Safety => "SAFETY",
        RecallReason::Refused => "REFUSED",
    }
}

pub(super) fn parse_recall_reason(text: &str) -> Option<RecallReason> {
    RECALL_REASONS.into_iter().find(|reason| recall_reason(*reason) == text)
}
