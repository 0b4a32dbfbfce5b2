//! What each kind of fact is called in the store, and what it means outside its bank.

use locker_core::bank::{AbortedContent, PickupEnd};
use locker_core::compartment::{Allocation, QuarantineReason};
use locker_core::downlink::{
    ConfigAccepted, ConfigKind, ConfigRefusal, ConfigRefused, GrantRefusal,
};
use locker_core::fact::Fact;
use locker_core::ids::{CompartmentNo, ParcelId, SessionId};
use locker_core::journal::{Change, MemoryView, View};

use crate::store::{EventKind, Meaning, ParcelStep};

/// Most characters that operators are shown of what a bank says of itself.
const FREE_TEXT_MAX_CHARS: usize = 64;

/// The number in table `facts` and the name in traces: those of the record's protobuf field.
pub(super) const fn kind(fact: &Fact) -> (u16, &'static str) {
    match fact {
        Fact::StreamOpened(_) => (16, "stream_opened"),
        Fact::Booted(_) => (17, "booted"),
        Fact::GrantAccepted(_) => (18, "grant_accepted"),
        Fact::GrantRefused(_) => (19, "grant_refused"),
        Fact::ConfigAccepted(ConfigAccepted::Layout(_)) => (20, "layout_accepted"),
        Fact::ConfigAccepted(ConfigAccepted::KeySet(_)) => (21, "key_set_accepted"),
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
    }
}

/// The compartment and the session that a fact names.
pub(super) const fn place(fact: &Fact) -> (Option<CompartmentNo>, Option<SessionId>) {
    match fact {
        Fact::StreamOpened(_)
        | Fact::Booted(_)
        | Fact::GrantAccepted(_)
        | Fact::GrantRefused(_)
        | Fact::ConfigAccepted(_)
        | Fact::ConfigRefused(_)
        | Fact::DoorsRead(_)
        | Fact::BoardChanged(_) => (None, None),
        Fact::SessionStarted(started) => (None, Some(started.session)),
        Fact::SessionEnded(ended) => (None, Some(ended.session)),
        Fact::DepositStarted(started) => (Some(started.compartment), Some(started.session)),
        Fact::DepositMisfit(misfit) => (Some(misfit.compartment), Some(misfit.session)),
        Fact::DepositAborted(aborted) => (Some(aborted.compartment), Some(aborted.session)),
        Fact::DepositConfirmed(confirmed) => (Some(confirmed.compartment), Some(confirmed.session)),
        Fact::PickupStarted(started) => (Some(started.compartment), Some(started.session)),
        Fact::PickupSettled(settled) => (Some(settled.compartment), Some(settled.session)),
        Fact::PulseIntended(intended) => (Some(intended.compartment), Some(intended.session)),
        Fact::PulseSettled(settled) => (Some(settled.compartment), None),
        Fact::DoorMoved(moved) => (Some(moved.compartment), None),
    }
}

/// What a fact means for parcels and for whoever watches the fleet.
pub(super) fn meaning(fact: &Fact) -> Option<Meaning> {
    let parcel = |uid: ParcelId, step| Some(Meaning::Parcel { uid, step });
    let bank = |kind, detail| Some(Meaning::Bank { kind, detail });
    match fact {
        Fact::StreamOpened(_)
        | Fact::GrantAccepted(_)
        | Fact::ConfigAccepted(ConfigAccepted::KeySet(_))
        | Fact::SessionStarted(_)
        | Fact::SessionEnded(_)
        | Fact::PulseIntended(_)
        | Fact::PulseSettled(_)
        | Fact::DoorMoved(_)
        | Fact::DoorsRead(_) => None,
        Fact::Booted(booted) => {
            let agent = printable(&booted.agent_version);
            let detail = format!("start {}, agent {agent}", booted.boot_count);
            bank(EventKind::BankStarted, detail)
        }
        Fact::GrantRefused(refused) => match refused.reason {
            GrantRefusal::BarcodeTaken => parcel(refused.parcel, ParcelStep::BookingRefused),
            // The bank knows as much or more, and its facts say what.
            GrantRefusal::Stale | GrantRefusal::TooLate | GrantRefusal::UnknownParcel => None,
        },
        Fact::ConfigAccepted(ConfigAccepted::Layout(layout)) => {
            let detail = format!("generation {}", layout.generation.0);
            bank(EventKind::BankLayoutAccepted, detail)
        }
        Fact::ConfigRefused(refused) => {
            let (kind, reason) = (config_kind(refused.kind), config_refusal(refused.reason));
            let detail = format!("{kind} generation {}: {reason}", refused.generation.0);
            bank(EventKind::BankConfigRefused, detail)
        }
        Fact::DepositStarted(started) => {
            parcel(started.parcel, ParcelStep::DepositStarted(started.compartment))
        }
        Fact::DepositMisfit(misfit) => parcel(misfit.parcel, ParcelStep::DepositReturned),
        Fact::DepositAborted(aborted) => match aborted.content {
            AbortedContent::Untouched => parcel(aborted.parcel, ParcelStep::DepositReturned),
            AbortedContent::Unknown(_) => {
                parcel(aborted.parcel, ParcelStep::DepositUnresolved(aborted.compartment))
            }
        },
        Fact::DepositConfirmed(confirmed) => {
            parcel(confirmed.parcel, ParcelStep::DepositConfirmed(confirmed.compartment))
        }
        Fact::PickupStarted(started) => {
            parcel(started.parcel, ParcelStep::PickupStarted(started.compartment))
        }
        Fact::PickupSettled(settled) => match settled.end {
            PickupEnd::Collected { .. } | PickupEnd::CollectedDoorOpen => {
                parcel(settled.parcel, ParcelStep::Collected)
            }
            PickupEnd::NotTaken | PickupEnd::NotOpened | PickupEnd::Interrupted => {
                parcel(settled.parcel, ParcelStep::PickupReturned(settled.compartment))
            }
        },
        Fact::BoardChanged(changed) => {
            let kind = if changed.online {
                EventKind::BankBoardOnline
            } else {
                EventKind::BankBoardOffline
            };
            bank(kind, format!("board {}", changed.board))
        }
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

/// Compartments that `changes` put in quarantine, with the reason.
pub(super) fn quarantined(
    view: &MemoryView,
    changes: &[Change],
) -> Vec<(CompartmentNo, &'static str)> {
    let reason = |allocation| match allocation {
        Allocation::Quarantined { reason, .. } => Some(reason),
        Allocation::Free
        | Allocation::Depositing { .. }
        | Allocation::Occupied { .. }
        | Allocation::Collecting { .. } => None,
    };
    let entered = |change: &Change| {
        let Change::Compartment(held) = change else { return None };
        let before = view.compartment(held.spec.no).and_then(|held| reason(held.allocation));
        let now = reason(held.allocation).filter(|_| before.is_none())?;
        Some((held.spec.no, quarantine_reason(now)))
    };
    changes.iter().filter_map(entered).collect()
}

const fn quarantine_reason(reason: QuarantineReason) -> &'static str {
    match reason {
        QuarantineReason::DepositUnresolved => "DEPOSIT_UNRESOLVED",
        QuarantineReason::OpenedByNobody => "OPENED_BY_NOBODY",
        QuarantineReason::DoorLeftOpen => "DOOR_LEFT_OPEN",
        QuarantineReason::Interrupted => "INTERRUPTED",
        QuarantineReason::LockFailed => "LOCK_FAILED",
    }
}

const fn config_kind(kind: ConfigKind) -> &'static str {
    match kind {
        ConfigKind::Layout => "layout",
        ConfigKind::KeySet => "key set",
    }
}

const fn config_refusal(reason: ConfigRefusal) -> &'static str {
    match reason {
        ConfigRefusal::Unsound => "UNSOUND",
        ConfigRefusal::CompartmentInUse => "COMPARTMENT_IN_USE",
    }
}
