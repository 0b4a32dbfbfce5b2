//! The names and numbers under which the hub keeps facts, and how it spells their enums.

use locker_core::bank::{Alarm, CommandAnswer, OpenerKind, OpeningClass, PowerSource};
use locker_core::downlink::ConfigDocument;
use locker_core::fact::Fact;
use locker_core::ids::{CompartmentNo, SessionId};

/// The number in table `facts` and the name in traces: those of the record's protobuf field.
pub(in crate::ingest) const fn kind(fact: &Fact) -> (u16, &'static str) {
    match fact {
        Fact::StreamOpened(_) => (16, "stream_opened"),
        Fact::Booted(_) => (17, "booted"),
        Fact::GrantAccepted(_) => (18, "grant_accepted"),
        Fact::GrantRefused(_) => (19, "grant_refused"),
        Fact::ConfigAccepted(accepted) => config_accepted(&accepted.document),
        Fact::ConfigRefused(_) => (22, "config_refused"),
        Fact::SessionStarted(_) => (23, "session_started"),
        Fact::SessionEnded(_) => (24, "session_ended"),
        Fact::DepositStarted(_) => (25, "deposit_started"),
        Fact::DepositMisfit(_) => (26, "deposit_misfit"),
        Fact::DepositAborted(_) => (27, "deposit_aborted"),
        Fact::DepositConfirmed(_) => (28, "deposit_confirmed"),
        Fact::PickupStarted(_) => (29, "pickup_started"),
        Fact::PickupSettled(_) => (30, "pickup_settled"),
        Fact::PulseIntended(_) => (31, "pulse_intended"),
        Fact::PulseSettled(_) => (32, "pulse_settled"),
        Fact::DoorMoved(_) => (33, "door_moved"),
        Fact::DoorsRead(_) => (34, "doors_read"),
        Fact::BoardChanged(_) => (35, "board_changed"),
        Fact::CompartmentReserved(_) => (38, "compartment_reserved"),
        Fact::RecallStarted(_) => (39, "recall_started"),
        Fact::RecallSettled(_) => (40, "recall_settled"),
        Fact::InspectionStarted(_) => (41, "inspection_started"),
        Fact::InspectionSettled(_) => (42, "inspection_settled"),
        Fact::BookingLapsed(_) => (43, "booking_lapsed"),
        Fact::KeepLapsed(_) => (44, "keep_lapsed"),
        Fact::Alarm(_) => (45, "alarm"),
        Fact::LockdownBegan(_) => (46, "lockdown_began"),
        Fact::LockdownLiftAsked(_) => (47, "lockdown_lift_asked"),
        Fact::LockdownLifted(_) => (48, "lockdown_lifted"),
        Fact::BoardReset(_) => (49, "board_reset"),
        Fact::PowerChanged(_) => (60, "power_changed"),
        Fact::CommandAnswered(_) => (50, "command_answered"),
        Fact::CodeTyped(_) => (51, "code_typed"),
        Fact::KeypadReset(_) => (52, "keypad_reset"),
        Fact::SlotBound(_) => (54, "slot_bound"),
        Fact::Sealed(_) => (55, "sealed"),
        Fact::KeyChanged(_) => (56, "key_changed"),
        Fact::StateCarried(_) => (57, "state_carried"),
    }
}

/// Under the numbers that they have without an epoch.
const fn config_accepted(document: &ConfigDocument) -> (u16, &'static str) {
    match document {
        ConfigDocument::Layout(_) => (20, "layout_accepted"),
        ConfigDocument::KeySet(_) => (21, "key_set_accepted"),
        ConfigDocument::Mode(_) => (36, "mode_accepted"),
        ConfigDocument::Quota(_) => (37, "quota_accepted"),
        ConfigDocument::CourierCodes(_) => (53, "courier_codes_accepted"),
    }
}

/// The compartment and the session that a fact names.
pub(in crate::ingest) const fn place(fact: &Fact) -> (Option<CompartmentNo>, Option<SessionId>) {
    match fact {
        Fact::StreamOpened(_)
        | Fact::Booted(_)
        | Fact::GrantAccepted(_)
        | Fact::GrantRefused(_)
        | Fact::ConfigAccepted(_)
        | Fact::ConfigRefused(_)
        | Fact::DoorsRead(_)
        | Fact::BoardChanged(_)
        | Fact::BookingLapsed(_)
        | Fact::KeepLapsed(_)
        | Fact::LockdownBegan(_)
        | Fact::LockdownLiftAsked(_)
        | Fact::LockdownLifted(_)
        | Fact::BoardReset(_)
        | Fact::PowerChanged(_)
        | Fact::CommandAnswered(_)
        | Fact::CodeTyped(_)
        | Fact::KeypadReset(_)
        | Fact::SlotBound(_)
        | Fact::Sealed(_)
        | Fact::KeyChanged(_)
        | Fact::StateCarried(_) => (None, None),
        Fact::SessionStarted(started) => (None, Some(started.session)),
        Fact::SessionEnded(ended) => (None, Some(ended.session)),
        Fact::DepositStarted(started) => (Some(started.compartment), Some(started.session)),
        Fact::DepositMisfit(misfit) => (Some(misfit.compartment), Some(misfit.session)),
        Fact::DepositAborted(aborted) => (Some(aborted.compartment), Some(aborted.session)),
        Fact::DepositConfirmed(confirmed) => (Some(confirmed.compartment), Some(confirmed.session)),
        Fact::PickupStarted(started) => (Some(started.compartment), Some(started.session)),
        Fact::PickupSettled(settled) => (Some(settled.compartment), Some(settled.session)),
        Fact::RecallStarted(started) => (Some(started.compartment), Some(started.session)),
        Fact::RecallSettled(settled) => (Some(settled.compartment), Some(settled.session)),
        Fact::InspectionStarted(started) => (Some(started.compartment), Some(started.session)),
        Fact::InspectionSettled(settled) => (Some(settled.compartment), Some(settled.session)),
        Fact::PulseIntended(intended) => (Some(intended.compartment), Some(intended.session)),
        Fact::PulseSettled(settled) => (Some(settled.compartment), None),
        Fact::DoorMoved(moved) => (Some(moved.compartment), None),
        Fact::CompartmentReserved(reserved) => (Some(reserved.compartment), None),
        Fact::Alarm(Alarm::DoorOpenTooLong(no) | Alarm::SensorDoubt(no)) => (Some(*no), None),
        Fact::Alarm(
            Alarm::BoardPower { .. }
            | Alarm::AddressClash { .. }
            | Alarm::TooManyOpenings(_)
            | Alarm::KeypadClosed
            | Alarm::Restarting,
        ) => (None, None),
    }
}

pub(super) const fn opening_class(class: OpeningClass) -> &'static str {
    match class {
        OpeningClass::Forced => "FORCED",
        OpeningClass::Sympathetic => "SYMPATHETIC",
        OpeningClass::Late => "LATE",
        OpeningClass::CableFault => "CABLE_FAULT",
        OpeningClass::AddressClash => "ADDRESS_CLASH",
    }
}

pub(super) const fn opener_kind(kind: OpenerKind) -> &'static str {
    match kind {
        OpenerKind::Courier => "COURIER",
        OpenerKind::Recipient => "RECIPIENT",
        OpenerKind::Staff => "STAFF",
        OpenerKind::Remote => "REMOTE",
    }
}

pub(super) const fn power_source(source: PowerSource) -> &'static str {
    match source {
        PowerSource::Mains => "MAINS",
        PowerSource::Battery => "BATTERY",
    }
}

pub(super) const fn command_answer(answer: CommandAnswer) -> &'static str {
    match answer {
        CommandAnswer::Done => "DONE",
        CommandAnswer::Expired => "EXPIRED",
        CommandAnswer::OtherConnection => "OTHER_CONNECTION",
        CommandAnswer::NotUnderstood => "NOT_UNDERSTOOD",
    }
}
