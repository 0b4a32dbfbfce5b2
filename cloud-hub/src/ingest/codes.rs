//! What a bank's records say of its six-digit codes.

use locker_core::bank::{BoundCode, DepositConfirmed, SlotBound};
use locker_core::clock::TimeQuality;
use locker_core::code::keypad_code::DAY_MS;
use locker_core::downlink::{ConfigDocument, GrantRefused};
use locker_core::fact::Fact;
use locker_core::journal::{Change, HeldSlot, Record};
use locker_core::parcel::ParcelState;

use super::facts::grant_refusal;
use crate::store::{CodeStep, IngestWrite};

/// Notes what a record, which changes this at its bank, says of codes. Gives how many grants of
/// slots it refuses.
pub(super) fn note(write: &mut IngestWrite, record: &Record, changes: &[Change]) -> u64 {
    let now = write.now;
    let codes = &mut write.codes;
    codes.steps.extend(changes.iter().filter_map(step));
    if let Fact::DepositConfirmed(confirmed) = &record.fact {
        let at = match record.quality {
            TimeQuality::Unknown => now,
            TimeQuality::Bounded { .. } => record.at.min(now),
        };
        codes.deposit_days.push(at.0 / DAY_MS);
        // Also if its slot is not among what is known of the bank.
        codes.steps.extend(bound(confirmed));
    }
    if let Fact::SlotBound(SlotBound { parcel, code: BoundCode { slot, sealed } }) = &record.fact {
        let (slot, sealed, parcel) = (*slot, sealed.clone(), *parcel);
        codes.steps.push(CodeStep::Bound { slot, sealed, parcel });
    }
    if let Fact::ConfigAccepted(accepted) = &record.fact {
        codes.layout_changed |= matches!(accepted.document, ConfigDocument::Layout(_));
    }
    // Only slots are about no parcel.
    if let &Fact::GrantRefused(GrantRefused { position, parcel: None, reason }) = &record.fact {
        codes.steps.push(CodeStep::Refused { position, reason: grant_refusal(reason) });
        return 1;
    }
    0
}

fn bound(confirmed: &DepositConfirmed) -> Option<CodeStep> {
    let BoundCode { slot, sealed } = confirmed.code.clone()?;
    Some(CodeStep::Bound { slot, sealed, parcel: confirmed.parcel })
}

fn step(change: &Change) -> Option<CodeStep> {
    match change {
        Change::Slot(HeldSlot { slot, parcel }) => {
            let (slot, sealed) = (slot.id, slot.sealed.clone());
            Some(match *parcel {
                None => CodeStep::Held { slot, sealed },
                Some(parcel) => CodeStep::Bound { slot, sealed, parcel },
            })
        }
        Change::SlotForgotten(slot) => Some(CodeStep::Retired(*slot)),
        Change::Parcel(parcel) => has_left(parcel.state).then_some(CodeStep::Settled(parcel.id)),
        Change::ParcelForgotten(parcel) => Some(CodeStep::Settled(parcel.id)),
        Change::Meta(_)
        | Change::Compartment(_)
        | Change::CompartmentRemoved(_)
        | Change::Credential(_)
        | Change::Session(_)
        | Change::Governor(_)
        | Change::Budget(_)
        | Change::CourierCodes(_) => None,
    }
}

/// Whether a parcel that was inside is so no more. A missing one may be found again, and its bank
/// keeps its code until it needs the room.
const fn has_left(state: ParcelState) -> bool {
    match state {
        ParcelState::Collected { .. } | ParcelState::Recalled { .. } => true,
        ParcelState::Booked
        | ParcelState::Depositing { .. }
        | ParcelState::Stored { .. }
        | ParcelState::Collecting { .. }
        | ParcelState::Recalling { .. }
        | ParcelState::Cancelled { .. }
        | ParcelState::Unresolved { .. }
        | ParcelState::BookingExpired { .. }
        | ParcelState::Missing { .. } => false,
    }
}
