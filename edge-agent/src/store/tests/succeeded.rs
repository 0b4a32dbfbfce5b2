//! New streams: of two histories, and at the hub's order.

use locker_core::bank::DoorMoved;
use locker_core::compartment::{Allocation, Content, DoorReading, QuarantineReason};
use locker_core::ids::CompartmentNo;
use locker_core::journal::Parent;

use super::restored::{Told, old_copy};
use super::*;

pub(super) const FRESH: StreamId = StreamId([77; 16]);

fn opened(no: u16) -> Fact {
    Fact::DoorMoved(DoorMoved {
        compartment: CompartmentNo(no),
        reading: DoorReading::Open,
        cause: None,
        class: None,
    })
}

pub(super) fn in_doubt(view: &impl View) -> Vec<u16> {
    let lost = |held: &locker_core::compartment::Compartment| match held.allocation {
        Allocation::Quarantined { reason: QuarantineReason::HistoryLost, .. } => {
            assert_eq!(held.content, Content::Unknown);
            true
        }
        Allocation::Free
        | Allocation::Reserved { .. }
        | Allocation::Depositing { .. }
        | Allocation::Occupied { .. }
        | Allocation::Collecting { .. }
        | Allocation::Recalling { .. }
        | Allocation::Quarantined { .. } => false,
    };
    view.compartments().into_iter().filter(lost).map(|held| held.spec.no.0).collect()
}

/// The stream begins as a successor of that parent, and the old one lies beside it.
pub(super) fn goes_on(store: &Store, ledger: &Ledger, parent: Parent) {
    assert_eq!(ledger.stream(), FRESH);
    let first = decode_record(&Told::of(ledger).0[0]).unwrap();
    let Fact::StreamOpened(begun) = first.fact else { panic!("{first:?}") };
    assert_eq!((begun.parent, begun.device_key), (Some(parent), [1; 32]));
    let meta = ledger.view().meta();
    assert_eq!((meta.parent, meta.boot_count), (Some(parent), 1));
    same(ledger.view(), &folded(ledger));
    assert!(store.path("journal.broken-1").exists());
    assert!(!store.path("next").exists() && !store.path("begin-anew").exists());
}

/// Bank and hub have records of their own above the fifth, `ours` and `theirs`; the hub's are all here.
fn forked(ours: &[Fact], theirs: &[Fact]) -> (Store, Told) {
    let (mut store, told) = old_copy(&[layout(1), booked(1, 1)], theirs);
    let (mut ledger, _) = store.open();
    commit_each(&mut ledger, ours);
    assert_eq!(ledger.take_back(told.run(4, told.0.len() as u64)).unwrap(), Taken::Complete);
    drop(ledger);
    store.stream = FRESH;
    (store, told)
}

#[test]
fn p_j_two_histories_make_a_new_stream_with_what_either_touched_in_doubt() {
    let (mut store, told) = forked(&[opened(1)], &[booked(2, 1), opened(2)]);
    let (ledger, found) = store.open();
    assert_eq!(found.healed, Some(Healed::Succeeded { parent: STREAM, common: Some(4) }));
    let common = Some(Place { seq: 4, hash: told.hash_at(4) });
    let parent = Parent { stream: STREAM, common, reason: Some(StreamBreak::Forked) };
    goes_on(&store, &ledger, parent);
    assert_eq!(in_doubt(ledger.view()), [1, 2]);
    // Of the hub's branch the decisions, too.
    assert_eq!(ledger.view().parcels().len(), 2);
    assert!(!ledger.is_restoring());
    drop(ledger);
    let (_, found) = store.open();
    assert_eq!((found.healed, found.stream, found.boot_count), (None, FRESH, 2));
}

#[test]
fn p_j_a_change_of_streams_that_is_cut_short_is_finished_by_the_next_start() {
    let (mut store, told) = forked(&[opened(1)], &[opened(2)]);
    drop(store.open());
    sled_let_go(&store.path("sled"));
    let common = Some(Place { seq: 4, hash: told.hash_at(4) });
    let parent = Parent { stream: STREAM, common, reason: Some(StreamBreak::Forked) };
    let first_records = |store: &Store| {
        let name = "seg-00000000000000000001.log";
        fs::read(store.path("journal").join(name)).unwrap()
    };
    let whole = first_records(&store);
    // Written, and neither of the two has changed its name; then only the old one has.
    for renamed in [false, true] {
        fs::rename(store.path("journal"), store.path("next")).unwrap();
        fs::write(store.path("next").join("ready"), b"").unwrap();
        if !renamed {
            fs::rename(store.path("journal.broken-1"), store.path("journal")).unwrap();
        }
        let (ledger, found) = store.open();
        assert_eq!((found.stream, found.healed), (FRESH, None));
        assert!(first_records(&store).starts_with(&whole[..60]));
        let meta = ledger.view().meta();
        assert_eq!(meta.parent, Some(parent));
        drop(ledger);
        sled_let_go(&store.path("sled"));
    }
    // Cut short before it was whole: nothing of it counts.
    fs::create_dir_all(store.path("next")).unwrap();
    fs::write(store.path("next").join("seg-00000000000000000001.log"), b"half").unwrap();
    assert_eq!(store.open().1.stream, FRESH);
}

#[test]
fn p_j_the_hub_can_order_a_new_stream_and_every_compartment_is_in_doubt() {
    let mut store = Store::with(&[layout(1), booked(1, 1)]);
    let (ledger, _) = store.open();
    let common = Some(Place { seq: 2, hash: Told::of(&ledger).hash_at(2) });
    ledger.begin_new_stream(StreamBreak::Forked, common).unwrap();
    drop(ledger);
    store.stream = FRESH;
    let (ledger, found) = store.open();
    assert_eq!(found.healed, Some(Healed::Succeeded { parent: STREAM, common: Some(2) }));
    goes_on(&store, &ledger, Parent { stream: STREAM, common, reason: Some(StreamBreak::Forked) });
    assert_eq!(in_doubt(ledger.view()), [1, 2, 3]);
    assert_eq!(ledger.view().parcels().len(), 1);
}
