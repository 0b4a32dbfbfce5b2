//! What each kind of fact is called in the store, and what it means outside its bank.

mod names;

pub(super) use names::{kind, place};

use locker_core::bank::{AbortedContent, Alarm, DepositAborted, DepositMisfit, OpeningClass};
use locker_core::bank::{PickupEnd, RecallEnd};
use locker_core::compartment::{Allocation, QuarantineReason};
use locker_core::downlink::{
    ConfigDocument, ConfigKind, ConfigRefusal, ConfigRefused, Grant, GrantAccepted, GrantRefusal,
    GrantRefused,
};
use locker_core::fact::Fact;
use locker_core::ids::{CompartmentNo, CredentialId, Generation, ParcelId, TraceParent};
use locker_core::journal::{Change, MemoryView, View};
use locker_core::parcel::ParcelState;

use crate::store::{EventKind, Meaning, ParcelStep, lockdown_reason, quarantine_reason};

/// Most characters that operators are shown of what a bank says of itself.
const FREE_TEXT_MAX_CHARS: usize = 64;

/// What a fact means for parcels and for whoever watches the fleet. `view` is the bank before it,
/// `changes` what it changes there.
pub(super) fn meanings(view: &MemoryView, fact: &Fact, changes: &[Change]) -> Vec<Meaning> {
    if let Fact::PickupSettled(settled) = fact
        && settled.end == PickupEnd::WrongParcel
    {
        return wrong_parcel(view, settled.parcel, settled.compartment);
    }
    if let Fact::InspectionSettled(settled) = fact {
        return inspected(view, settled.compartment, changes);
    }
    let one = of_parcel(fact).or_else(|| of_bank(fact));
    // A refusal first: a booking that was refused leaves its parcel at no bank.
    let meanings = refused_decision(fact).into_iter().chain(one);
    meanings.chain(took_over_decision(fact)).chain(forced_upon(view, fact)).collect()
}

/// The recipient is told of such a decision, once it holds at the bank.
fn took_over_decision(fact: &Fact) -> Option<Meaning> {
    let Fact::GrantAccepted(accepted) = fact else { return None };
    match accepted.grant {
        Grant::Keep { parcel, version, .. } | Grant::Reissue { parcel, version, .. } => {
            Some(step(parcel, ParcelStep::TookOver(version), ""))
        }
        Grant::Book(_)
        | Grant::Cancel { .. }
        | Grant::Recall { .. }
        | Grant::Delegate { .. }
        | Grant::Revoke { .. }
        | Grant::Slots(_) => None,
    }
}

/// What the hub noted when it made such a decision does not hold.
fn refused_decision(fact: &Fact) -> Option<Meaning> {
    let &Fact::GrantRefused(GrantRefused { position, parcel, reason }) = fact else { return None };
    Some(Meaning::Refused { uid: parcel?, position, reason: grant_refusal(reason) })
}

/// What a forced door means for the parcel behind it, besides the bank's alarm.
fn forced_upon(view: &MemoryView, fact: &Fact) -> Option<Meaning> {
    let Fact::DoorMoved(moved) = fact else { return None };
    let forced = moved.class == Some(OpeningClass::Forced);
    let parcel = view.compartment(moved.compartment).filter(|_| forced)?.parcel()?;
    Some(step(parcel, ParcelStep::DoorForced(moved.compartment), ""))
}

/// The trace of the parcel that staff looked for: a record that names none has no trace of its own.
pub(super) fn trace_of_inspected(view: &MemoryView, fact: &Fact) -> Option<TraceParent> {
    let Fact::InspectionSettled(settled) = fact else { return None };
    view.parcel(view.compartment(settled.compartment)?.parcel()?)?.trace
}

fn step(uid: ParcelId, step: ParcelStep, detail: &str) -> Meaning {
    Meaning::Parcel { uid, step, detail: detail.to_owned(), other: None }
}

/// What it means for the one parcel that it is about, if it is about one.
fn of_parcel(fact: &Fact) -> Option<Meaning> {
    let meaning = match fact {
        Fact::GrantRefused(refused) => return grant_refused(*refused),
        Fact::GrantAccepted(GrantAccepted { grant: Grant::Keep { parcel, until, .. }, .. }) => {
            step(*parcel, ParcelStep::Kept(*until), "")
        }
        Fact::CompartmentReserved(reserved) => step(reserved.parcel, ParcelStep::Reserved, ""),
        Fact::DepositStarted(started) => {
            step(started.parcel, ParcelStep::DepositStarted(started.compartment), "")
        }
        Fact::DepositMisfit(misfit) => misfit_meaning(*misfit),
        Fact::DepositAborted(aborted) => aborted_meaning(*aborted),
        Fact::DepositConfirmed(confirmed) => {
            let detail = if confirmed.presumed { "PRESUMED" } else { "" };
            step(confirmed.parcel, ParcelStep::DepositConfirmed(confirmed.compartment), detail)
        }
        Fact::PickupStarted(started) => {
            step(started.parcel, ParcelStep::PickupStarted(started.compartment), "")
        }
        Fact::PickupSettled(settled) => {
            let (next, detail) = picked_up(settled.end, settled.compartment);
            step(settled.parcel, next, detail)
        }
        Fact::RecallStarted(started) => {
            step(started.parcel, ParcelStep::RecallStarted(started.compartment), "")
        }
        Fact::RecallSettled(settled) => {
            let (next, detail) = recalled(settled.end, settled.compartment);
            step(settled.parcel, next, detail)
        }
        Fact::BookingLapsed(lapsed) => step(lapsed.parcel, ParcelStep::BookingLapsed, ""),
        Fact::KeepLapsed(lapsed) => step(lapsed.parcel, ParcelStep::KeepLapsed, ""),
        Fact::StreamOpened(_)
        | Fact::Booted(_)
        | Fact::GrantAccepted(_)
        | Fact::ConfigAccepted(_)
        | Fact::ConfigRefused(_)
        | Fact::SessionStarted(_)
        | Fact::SessionEnded(_)
        | Fact::PulseIntended(_)
        | Fact::PulseSettled(_)
        | Fact::DoorMoved(_)
        | Fact::DoorsRead(_)
        | Fact::BoardChanged(_)
        | Fact::InspectionStarted(_)
        | Fact::InspectionSettled(_)
        | Fact::Alarm(_)
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
        | Fact::StateCarried(_) => return None,
    };
    Some(meaning)
}

fn aborted_meaning(aborted: DepositAborted) -> Meaning {
    let returned = |detail| step(aborted.parcel, ParcelStep::DepositReturned, detail);
    match aborted.content {
        AbortedContent::Untouched => returned("UNTOUCHED"),
        AbortedContent::TakenBack => returned("TAKEN_BACK"),
        AbortedContent::Foreign => returned("FOUND_OCCUPIED"),
        AbortedContent::Unknown(reason) => {
            let unresolved = ParcelStep::DepositUnresolved(aborted.compartment);
            step(aborted.parcel, unresolved, quarantine_reason(reason))
        }
    }
}

fn grant_refused(refused: GrantRefused) -> Option<Meaning> {
    match refused.reason {
        GrantRefusal::BarcodeTaken
        | GrantRefusal::NoRoom
        | GrantRefusal::CredentialTaken
        | GrantRefusal::TooMany => {
            let reason = grant_refusal(refused.reason);
            Some(step(refused.parcel?, ParcelStep::BookingRefused, reason))
        }
        // The bank knows as much or more of a booking, and its facts say what.
        GrantRefusal::Stale
        | GrantRefusal::TooLate
        | GrantRefusal::UnknownParcel
        | GrantRefusal::NotInside => None,
    }
}

fn misfit_meaning(misfit: DepositMisfit) -> Meaning {
    if misfit.gave_up {
        step(misfit.parcel, ParcelStep::DidNotFit, "NO_LARGER_COMPARTMENT_FREE")
    } else {
        step(misfit.parcel, ParcelStep::DepositReturned, "DID_NOT_FIT")
    }
}

const fn picked_up(end: PickupEnd, no: CompartmentNo) -> (ParcelStep, &'static str) {
    match end {
        PickupEnd::Collected { presumed: false } => (ParcelStep::Collected, ""),
        PickupEnd::Collected { presumed: true } => (ParcelStep::Collected, "PRESUMED"),
        PickupEnd::CollectedDoorOpen => (ParcelStep::Collected, "DOOR_LEFT_OPEN"),
        PickupEnd::NotTaken => (ParcelStep::PickupReturned(no), "NOT_TAKEN"),
        PickupEnd::NotOpened => (ParcelStep::PickupReturned(no), "NOT_OPENED"),
        PickupEnd::Interrupted => (ParcelStep::PickupReturned(no), "INTERRUPTED"),
        PickupEnd::Unconfirmed => (ParcelStep::PickupReturned(no), "UNCONFIRMED"),
        PickupEnd::Refused => (ParcelStep::Refused(no), ""),
        PickupEnd::FoundEmpty => (ParcelStep::Disputed(no), "FOUND_EMPTY"),
        PickupEnd::WrongParcel => (ParcelStep::Disputed(no), WRONG_PARCEL),
    }
}

const fn recalled(end: RecallEnd, no: CompartmentNo) -> (ParcelStep, &'static str) {
    match end {
        RecallEnd::Removed => (ParcelStep::Recalled, ""),
        RecallEnd::FoundEmpty => (ParcelStep::Disputed(no), "FOUND_EMPTY"),
        RecallEnd::NotTaken => (ParcelStep::RecallReturned(no), "NOT_TAKEN"),
        RecallEnd::NotOpened => (ParcelStep::RecallReturned(no), "NOT_OPENED"),
        RecallEnd::Interrupted => (ParcelStep::RecallReturned(no), "INTERRUPTED"),
    }
}

const WRONG_PARCEL: &str = "WRONG_PARCEL";

/// Two recipients who both found somebody else's parcel probably found each other's: each event
/// names the other parcel, if there is just one that it can be.
fn wrong_parcel(view: &MemoryView, uid: ParcelId, no: CompartmentNo) -> Vec<Meaning> {
    let reported = |held: &locker_core::compartment::Compartment| match held.allocation {
        Allocation::Quarantined { reason: QuarantineReason::WrongParcel, parcel: Some(other) } => {
            Some((other, held.spec.no)).filter(|_| other != uid)
        }
        Allocation::Quarantined { .. }
        | Allocation::Free
        | Allocation::Reserved { .. }
        | Allocation::Depositing { .. }
        | Allocation::Occupied { .. }
        | Allocation::Collecting { .. }
        | Allocation::Recalling { .. } => None,
    };
    let others: Vec<_> = view.compartments().iter().filter_map(reported).collect();
    let disputed = |uid, no, other| {
        let (step, detail) = (ParcelStep::Disputed(no), WRONG_PARCEL.to_owned());
        Meaning::Parcel { uid, step, detail, other }
    };
    match others[..] {
        [(other, other_no)] => {
            vec![disputed(uid, no, Some(other)), disputed(other, other_no, Some(uid))]
        }
        _ => vec![disputed(uid, no, None)],
    }
}

/// What staff found changes whatever parcel was, or was thought to be, inside.
fn inspected(view: &MemoryView, no: CompartmentNo, changes: &[Change]) -> Vec<Meaning> {
    let expected = view.compartment(no).and_then(|held| held.parcel());
    let meaning = |change: &Change| {
        let Change::Parcel(parcel) = change else { return None };
        let before = view.parcel(parcel.id).map(|known| known.state);
        let (step, detail) = match parcel.state {
            ParcelState::Stored { compartment, .. } => {
                (ParcelStep::Found(compartment), "FOUND_BY_STAFF")
            }
            ParcelState::Collected { .. } => (ParcelStep::Collected, "HANDED_OVER_BY_STAFF"),
            ParcelState::Recalled { .. } => (ParcelStep::Recalled, "TAKEN_OUT_BY_STAFF"),
            ParcelState::Missing { .. } => (ParcelStep::Missing, "MISSING"),
            // Nobody knew whether it had been put in, and it was not: its courier may bring it.
            ParcelState::Booked
                if matches!(
                    before,
                    Some(ParcelState::Unresolved { .. } | ParcelState::Depositing { .. })
                ) =>
            {
                (ParcelStep::DepositReturned, "FOUND_EMPTY")
            }
            ParcelState::Booked
            | ParcelState::Depositing { .. }
            | ParcelState::Collecting { .. }
            | ParcelState::Recalling { .. }
            | ParcelState::Cancelled { .. }
            | ParcelState::Unresolved { .. }
            | ParcelState::BookingExpired { .. } => return None,
        };
        // Another one than was thought to be inside: each event names the other.
        let found = before.is_some_and(|before| before.compartment() != Some(no));
        let gone = step == ParcelStep::Missing;
        let other =
            if found && !gone { expected.filter(|other| *other != parcel.id) } else { None };
        let other = if gone { surprise(view, changes, no, parcel.id) } else { other };
        Some(Meaning::Parcel { uid: parcel.id, step, detail: detail.to_owned(), other })
    };
    changes.iter().filter_map(meaning).collect()
}

/// The parcel that staff found in the place of `missing`.
fn surprise(
    view: &MemoryView,
    changes: &[Change],
    no: CompartmentNo,
    missing: ParcelId,
) -> Option<ParcelId> {
    changes.iter().find_map(|change| {
        let Change::Parcel(parcel) = change else { return None };
        let before = view.parcel(parcel.id)?.state.compartment();
        (parcel.id != missing && before != Some(no)).then_some(parcel.id)
    })
}

/// What it means for whoever watches the fleet.
fn of_bank(fact: &Fact) -> Option<Meaning> {
    let bank = |kind, detail| Some(Meaning::Bank { kind, detail });
    let alarm = |class: String| bank(EventKind::BankAlarm, class);
    let by = |kind, badge: CredentialId| bank(kind, format!("badge {badge}"));
    match fact {
        Fact::Booted(booted) => {
            let agent = printable(&booted.agent_version);
            let detail = format!("start {}, agent {agent}", booted.boot_count);
            bank(EventKind::BankStarted, detail)
        }
        Fact::ConfigAccepted(accepted) => {
            let (kind, generation) = taken_over(&accepted.document)?;
            bank(kind, format!("generation {}", generation.0))
        }
        Fact::ConfigRefused(refused) => bank(EventKind::BankConfigRefused, refused_text(*refused)),
        Fact::BoardChanged(changed) => {
            let kinds = [EventKind::BankBoardOffline, EventKind::BankBoardOnline];
            bank(kinds[usize::from(changed.online)], format!("board {}", changed.board))
        }
        Fact::DoorMoved(moved) => alarm(names::opening_class(moved.class?).to_owned()),
        Fact::Alarm(raised) => alarm(alarm_class(*raised)),
        Fact::LockdownBegan(began) => {
            bank(EventKind::BankLockdownBegan, lockdown_reason(began.reason).to_owned())
        }
        Fact::LockdownLiftAsked(asked) => by(EventKind::BankLockdownLiftAsked, asked.badge),
        Fact::KeypadReset(reset) => by(EventKind::BankKeypadReset, reset.badge),
        Fact::LockdownLifted(lifted) => bank(
            EventKind::BankLockdownLifted,
            format!("badges {} and {}", lifted.first, lifted.second),
        ),
        Fact::BoardReset(reset) => {
            let detail = format!("board {}, badge {}", reset.board, reset.badge);
            bank(EventKind::BankBoardReset, detail)
        }
        Fact::PowerChanged(changed) => {
            bank(EventKind::BankPowerChanged, names::power_source(changed.source).to_owned())
        }
        Fact::CommandAnswered(answered) => {
            let answer = names::command_answer(answered.answer);
            bank(EventKind::BankCommandAnswered, format!("{} {answer}", answered.command))
        }
        Fact::StreamOpened(_)
        | Fact::GrantAccepted(_)
        | Fact::GrantRefused(_)
        | Fact::SessionStarted(_)
        | Fact::SessionEnded(_)
        | Fact::DepositStarted(_)
        | Fact::DepositMisfit(_)
        | Fact::DepositAborted(_)
        | Fact::DepositConfirmed(_)
        | Fact::PickupStarted(_)
        | Fact::PickupSettled(_)
        | Fact::PulseIntended(_)
        | Fact::PulseSettled(_)
        | Fact::DoorsRead(_)
        | Fact::RecallStarted(_)
        | Fact::RecallSettled(_)
        | Fact::InspectionStarted(_)
        | Fact::InspectionSettled(_)
        | Fact::BookingLapsed(_)
        | Fact::KeepLapsed(_)
        | Fact::CompartmentReserved(_)
        | Fact::CodeTyped(_)
        | Fact::SlotBound(_)
        | Fact::Sealed(_)
        | Fact::KeyChanged(_)
        | Fact::StateCarried(_) => None,
    }
}

fn refused_text(refused: ConfigRefused) -> String {
    let (kind, reason) = (config_kind(refused.kind), config_refusal(refused.reason));
    format!("{kind} generation {}: {reason}", refused.generation.0)
}

const fn taken_over(accepted: &ConfigDocument) -> Option<(EventKind, Generation)> {
    match accepted {
        ConfigDocument::Layout(layout) => Some((EventKind::BankLayoutAccepted, layout.generation)),
        ConfigDocument::Mode(mode) => Some((EventKind::BankModeAccepted, mode.generation)),
        ConfigDocument::Quota(quota) => Some((EventKind::BankQuotaAccepted, quota.generation)),
        // Made by no operator, as the key set is.
        ConfigDocument::KeySet(_) | ConfigDocument::CourierCodes(_) => None,
    }
}

fn alarm_class(alarm: Alarm) -> String {
    match alarm {
        Alarm::DoorOpenTooLong(_) => "DOOR_OPEN_TOO_LONG".to_owned(),
        Alarm::SensorDoubt(_) => "SENSOR_DOUBT".to_owned(),
        Alarm::BoardPower { board } => format!("BOARD_POWER, board {board}"),
        Alarm::AddressClash { board } => format!("ADDRESS_CLASH, board {board}"),
        Alarm::TooManyOpenings(kind) => {
            format!("TOO_MANY_OPENINGS, {}", names::opener_kind(kind))
        }
        Alarm::KeypadClosed => "KEYPAD_CLOSED".to_owned(),
        Alarm::Restarting => "RESTARTING".to_owned(),
    }
}

/// A bank's own words, short and without anything that a terminal would obey.
pub(super) fn printable(text: &str) -> String {
    let shown = |c: char| if c.is_ascii_graphic() || c == ' ' { c } else { '?' };
    text.chars().take(FREE_TEXT_MAX_CHARS).map(shown).collect()
}

/// Whether a layout was refused that may be taken over later.
pub(super) const fn refuses_layout(fact: &Fact) -> bool {
    matches!(
        fact,
        Fact::ConfigRefused(ConfigRefused {
            kind: ConfigKind::Layout,
            reason: ConfigRefusal::CompartmentInUse,
            ..
        })
    )
}

/// Whether `changes` free a compartment.
pub(super) fn frees(view: &MemoryView, changes: &[Change]) -> bool {
    let is_free = |allocation| allocation == Allocation::Free;
    changes.iter().any(|change| {
        let Change::Compartment(held) = change else { return false };
        let before = view.compartment(held.spec.no);
        is_free(held.allocation) && before.is_some_and(|before| !is_free(before.allocation))
    })
}

/// Compartments that `changes` put in quarantine or release from it, each with what is to be said.
pub(super) fn quarantines(
    view: &MemoryView,
    changes: &[Change],
) -> Vec<(CompartmentNo, EventKind, &'static str)> {
    let turned = |change: &Change| {
        let Change::Compartment(held) = change else { return None };
        let no = held.spec.no;
        let before = view.compartment(no).and_then(|held| quarantine(held.allocation));
        match (before, quarantine(held.allocation)) {
            (None, Some(now)) => {
                Some((no, EventKind::CompartmentQuarantined, quarantine_reason(now)))
            }
            (Some(before), None) => {
                Some((no, EventKind::CompartmentReleased, quarantine_reason(before)))
            }
            (None, None) | (Some(_), Some(_)) => None,
        }
    };
    changes.iter().filter_map(turned).collect()
}

const fn quarantine(allocation: Allocation) -> Option<QuarantineReason> {
    match allocation {
        Allocation::Quarantined { reason, .. } => Some(reason),
        Allocation::Free
        | Allocation::Reserved { .. }
        | Allocation::Depositing { .. }
        | Allocation::Occupied { .. }
        | Allocation::Collecting { .. }
        | Allocation::Recalling { .. } => None,
    }
}

pub(super) const fn grant_refusal(reason: GrantRefusal) -> &'static str {
    match reason {
        GrantRefusal::Stale => "STALE",
        GrantRefusal::TooLate => "TOO_LATE",
        GrantRefusal::UnknownParcel => "UNKNOWN_PARCEL",
        GrantRefusal::BarcodeTaken => "BARCODE_TAKEN",
        GrantRefusal::NoRoom => "NO_ROOM",
        GrantRefusal::CredentialTaken => "CREDENTIAL_TAKEN",
        GrantRefusal::NotInside => "NOT_INSIDE",
        GrantRefusal::TooMany => "TOO_MANY",
    }
}

const fn config_kind(kind: ConfigKind) -> &'static str {
    match kind {
        ConfigKind::Layout => "layout",
        ConfigKind::KeySet => "key set",
        ConfigKind::Mode => "mode",
        ConfigKind::Quota => "quota",
        ConfigKind::CourierCodes => "couriers' codes",
    }
}

const fn config_refusal(reason: ConfigRefusal) -> &'static str {
    match reason {
        ConfigRefusal::Unsound => "UNSOUND",
        ConfigRefusal::CompartmentInUse => "COMPARTMENT_IN_USE",
    }
}

#[cfg(test)]
mod tests;
