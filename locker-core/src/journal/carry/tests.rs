//! Two branches of one history, and what a new stream makes of them.

use super::*;
use crate::code::budget::Budget;
use crate::code::slot::{Sealed, Slot, SlotId};
use crate::code::tag::Tag;
use crate::compartment::{CompartmentSpec, Evidence, LockPosition};
use crate::credential::Holder;
use crate::governor::Governor;
use crate::ids::{CredentialId, IntentId, ParcelId, SessionId, Version};
use crate::journal::{HeldSlot, MemoryView};
use crate::parcel::Terms;
use crate::units::{Dimensions, Grams, UnixMillis};

const AT: UnixMillis = UnixMillis(7);

fn id(n: u8) -> ParcelId {
    ParcelId([n; 16])
}

fn spec(no: u16) -> CompartmentSpec {
    let inside = Dimensions { length_mm: 1, width_mm: 1, height_mm: 1 };
    let lock = LockPosition { board: 0, lock: 0 };
    CompartmentSpec { no: CompartmentNo(no), inside, lock }
}

fn occupied(no: u16, parcel: u8) -> Change {
    Change::Compartment(Compartment {
        allocation: Allocation::Occupied { parcel: id(parcel) },
        door: Door::Closed,
        content: Content::Full(Evidence::Attested),
        ..Compartment::commissioned(spec(no))
    })
}

fn free(no: u16) -> Change {
    let door = Door::Closed;
    Change::Compartment(Compartment { door, ..Compartment::commissioned(spec(no)) })
}

fn parcel(n: u8, state: ParcelState) -> Change {
    Change::Parcel(Parcel {
        id: id(n),
        carrier: "acme".parse().unwrap(),
        barcode: format!("P{n}").parse().unwrap(),
        size: Dimensions { length_mm: 1, width_mm: 1, height_mm: 1 },
        weight: Grams(1),
        version: Version(1),
        credential: CredentialId([n; 16]),
        trace: None,
        terms: Terms::default(),
        recall: None,
        misfit_mm3: 0,
        state,
    })
}

fn stored(n: u8, no: u16) -> Change {
    parcel(n, ParcelState::Stored { compartment: CompartmentNo(no), since: AT })
}

fn code(n: u8, state: CredentialState) -> Change {
    Change::Credential(Credential {
        id: CredentialId([n; 16]),
        parcel: id(n),
        version: Version(1),
        holder: Holder::Recipient,
        state,
    })
}

fn view(changes: Vec<Change>) -> MemoryView {
    let mut view = MemoryView::default();
    view.apply(changes);
    view
}

fn after(base: &MemoryView, own: &MemoryView, in_doubt: &InDoubt) -> MemoryView {
    view(carried(base, own, in_doubt))
}

fn these(numbers: &[u16]) -> InDoubt {
    InDoubt::These(numbers.iter().copied().map(CompartmentNo).collect())
}

fn lost(view: &MemoryView, no: u16) -> Option<Option<ParcelId>> {
    let held = view.compartment(CompartmentNo(no)).unwrap();
    match held.allocation {
        Allocation::Quarantined { reason: QuarantineReason::HistoryLost, parcel } => {
            assert_eq!((held.content, held.door), (Content::Unknown, Door::Unknown));
            Some(parcel)
        }
        Allocation::Free
        | Allocation::Reserved { .. }
        | Allocation::Depositing { .. }
        | Allocation::Occupied { .. }
        | Allocation::Collecting { .. }
        | Allocation::Recalling { .. }
        | Allocation::Quarantined { .. } => None,
    }
}

#[test]
fn p_j_only_what_either_branch_touched_is_in_doubt() {
    use CredentialState::{Active, Consumed};
    // Parcel 1 lies in 1 all the time. Parcel 2 was stored in 2 before; the bank handed it over. The hub knows of parcel 3
    // in 3, and the bank lost that.
    let common = vec![occupied(1, 1), stored(1, 1), code(1, Active), stored(2, 2), code(2, Active)];
    let mut base = view(common.clone());
    base.apply(vec![occupied(2, 2), occupied(3, 3), stored(3, 3), code(3, Active)]);
    let mut own = view(common);
    own.apply(vec![free(2), free(3), parcel(2, ParcelState::Collected { at: AT })]);
    own.apply(vec![code(2, Consumed), parcel(3, ParcelState::Booked)]);
    let meta = |intent| Meta { last_intent: IntentId(intent), boot_count: 3, ..Meta::default() };
    base.apply(vec![Change::Meta(meta(8))]);
    own.apply(vec![Change::Meta(meta(9))]);

    let after = after(&base, &own, &these(&[2, 3]));
    assert_eq!(after.compartment(CompartmentNo(1)), base.compartment(CompartmentNo(1)));
    assert_eq!(lost(&after, 2), Some(Some(id(2))));
    assert_eq!(lost(&after, 3), Some(Some(id(3))));
    assert_eq!(after.parcel(id(1)), base.parcel(id(1)));
    assert_eq!(after.parcel(id(2)).unwrap().state, ParcelState::Collected { at: AT });
    let unresolved = ParcelState::Unresolved { compartment: CompartmentNo(3) };
    assert_eq!(after.parcel(id(3)).unwrap().state, unresolved);
    let states = [1, 2, 3].map(|n| after.credential(CredentialId([n; 16])).unwrap().state);
    assert_eq!(states, [Active, Consumed, Active]);
    assert_eq!((after.meta().last_intent, after.meta().boot_count), (IntentId(9), 0));
}

#[test]
fn p_j_whoever_was_at_a_door_where_a_branch_ends_leaves_it_in_doubt() {
    let session = SessionId([1; 16]);
    let collecting = Compartment {
        allocation: Allocation::Collecting { session, parcel: id(1) },
        ..Compartment::commissioned(spec(1))
    };
    let pulsed = Compartment { pulse: Some(IntentId(4)), ..Compartment::commissioned(spec(2)) };
    let base = view(vec![free(1), Change::Compartment(pulsed), free(3)]);
    let own = view(vec![Change::Compartment(collecting), free(2), free(3)]);
    let after = after(&base, &own, &these(&[]));
    assert_eq!(lost(&after, 1), Some(Some(id(1))));
    assert_eq!(lost(&after, 2), Some(None));
    assert_eq!(lost(&after, 3), None);
    assert_eq!(after.session(), None);
}

#[test]
fn p_j_without_a_common_past_every_compartment_is_in_doubt() {
    let own = view(vec![occupied(1, 1), stored(1, 1), free(2)]);
    let after = after(&own, &own, &InDoubt::All);
    assert_eq!((lost(&after, 1), lost(&after, 2)), (Some(Some(id(1))), Some(None)));
    let unresolved = ParcelState::Unresolved { compartment: CompartmentNo(1) };
    assert_eq!(after.parcel(id(1)).unwrap().state, unresolved);
}

#[test]
fn p_f_where_history_is_lost_no_code_counts_as_free() {
    let slot = |n: u8, parcel| {
        let sealed = Sealed::try_from(vec![n; 4]).unwrap();
        let slot = Slot { id: SlotId([n; 16]), tag: Tag::from_bytes([n; 16]), sealed };
        Change::Slot(HeldSlot { slot, parcel })
    };
    let own = view(vec![slot(1, Some(id(1))), slot(2, None)]);
    let held = |in_doubt| {
        let slots = after(&own, &own, &in_doubt).slots();
        slots.into_iter().map(|held| held.slot.id.0[0]).collect::<Vec<_>>()
    };
    assert_eq!(held(these(&[])), [1, 2]);
    // It may have been given to somebody in what is lost.
    assert_eq!(held(InDoubt::All), [1]);
}

#[test]
fn p_j_a_door_that_only_the_bank_found_open_is_in_doubt() {
    let base = view(vec![free(1), free(2)]);
    let reason = QuarantineReason::OpenedByNobody;
    let found_open = Change::Compartment(Compartment {
        allocation: Allocation::Quarantined { reason, parcel: None },
        door: Door::ForcedOpen,
        content: Content::Unknown,
        ..Compartment::commissioned(spec(1))
    });
    let own = view(vec![found_open, free(2)]);
    let after = after(&base, &own, &these(&[]));
    assert_eq!((lost(&after, 1), lost(&after, 2)), (Some(None), None));
}

#[test]
fn p_j_a_new_stream_gives_nobody_a_fresh_ration() {
    let opened = |at| Governor { recipient: vec![UnixMillis(at)], ..Governor::default() };
    let guessed = |wrong| Budget { wrong, wrong_alone: wrong, ..Budget::default() };
    let base = view(vec![Change::Governor(opened(5)), Change::Budget(guessed(70))]);
    let own = view(vec![Change::Governor(opened(9)), Change::Budget(guessed(80))]);
    let after = after(&base, &own, &these(&[]));
    assert_eq!(after.governor().recipient, [UnixMillis(5), UnixMillis(9)]);
    assert_eq!(after.budget().wrong, 150);
    let alone = self::after(&own, &own, &InDoubt::All);
    assert_eq!((alone.governor(), alone.budget()), (opened(9), guessed(80)));
}
