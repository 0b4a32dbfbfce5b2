//! Records of a newer agent, which the hub could not read when they came and can read after its own update.

use locker_core::code::slot::{Sealed, Slot, SlotId};
use locker_core::code::tag::Tag;
use locker_core::journal::View as _;

use super::fixture::*;
use super::*;
use crate::ingest::refold;
use crate::store::ParcelRow;
use crate::store::tests::Meddle;

/// No version writes such a record.
const NEVER_READ: &[u8] = &[0xff];

/// Commits what is behind record `known` as a hub does that cannot read those of `unread`.
async fn told_an_older_hub(store: &Store, journal: &Journal, known: u64, unread: &[u64]) {
    let bank = bank_id();
    let loaded = store.load_bank(&bank).await.unwrap().unwrap();
    let mut view = loaded.view;
    let at = |seq: u64| usize::try_from(seq).unwrap();
    let before =
        Cursor { stream: journal.stream, committed: known, hash: journal.hashes[at(known)] };
    let next =
        Cursor { committed: journal.head(), hash: *journal.hashes.last().unwrap(), ..before };
    let mut batch = journal.batch(known + 1, journal.head());
    for seq in unread {
        batch.records[at(seq - known - 1)] = NEVER_READ.to_vec();
    }
    let accepted = Accepted {
        bank: &bank,
        batch,
        skip: 0,
        before,
        next,
        incomplete: loaded.incomplete,
        device_keys: &[],
        now: NOW,
    };
    let mut write = fold_batch(&mut view, accepted).unwrap().write;
    for fact in &mut write.facts {
        fact.bytes.clone_from(&journal.records[at(fact.seq - 1)]);
    }
    store.ingest(write).await.unwrap().await.unwrap().unwrap();
}

async fn parcel(store: &Store) -> ParcelRow {
    store.parcel_by_uid(ParcelId([1; 16])).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_deposit_that_an_older_hub_could_not_read_is_told_after_its_update_and_once() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    let mut journal = booked(&store).await;
    let (tag, sealed) = (Tag::from_bytes([8; 16]), Sealed::try_from(vec![1, 2]).unwrap());
    let slot = Slot { id: SlotId([7; 16]), tag, sealed };
    journal.accept(store.epoch(), 2, Grant::Slots(vec![slot.clone()]));
    journal.deposit_with_code(1, 1, &slot);
    let deposit = journal.head();
    journal.append_bytes(NEVER_READ.to_vec());
    told_an_older_hub(&store, &journal, 5, &[deposit]).await;
    assert_eq!(state(&store, 1).await, HubParcelState::Depositing);
    assert_eq!(store.due_notices(NOW.plus_ms(1), 10).await.unwrap().len(), 0);

    let mut world = World::start(&store).await;
    assert_eq!(world.birth(&journal).await.committed_seq, journal.head());
    let row = parcel(&store).await;
    assert_eq!((row.state, row.compartment), (HubParcelState::Stored, Some(CompartmentNo(1))));
    let notices = store.due_notices(NOW.plus_ms(1), 10).await.unwrap();
    assert_eq!(notices.len(), 1);
    let code = store.code_of(ParcelId([1; 16])).await.unwrap();
    assert_eq!(code, Some((bank_id(), slot.id, slot.sealed.clone())));
    let told = kinds(&store).await;
    assert_eq!(count(&told, EventKind::ParcelStored), 1);
    let loaded = store.load_bank(&bank_id()).await.unwrap().unwrap();
    assert!(loaded.incomplete, "one record is still of a newer agent");
    assert_eq!(loaded.view.slots().len(), 1);
    world.disconnect().await;

    // What was read by now is not read once more at each connection: that would take all from the first record on.
    store.decide(Meddle("DELETE FROM bank_entities WHERE kind = 7")).await.unwrap();
    world.birth(&journal).await;
    let loaded = store.load_bank(&bank_id()).await.unwrap().unwrap();
    assert_eq!(loaded.view.slots().len(), 0, "it was folded again");
    assert_eq!(kinds(&store).await, told);
    world.stop().await;
}

#[tokio::test]
async fn whichever_records_came_unread_a_parcel_ends_as_if_none_had() {
    // Brought; a pickup that came to nothing; the one that did not.
    for (head, ends) in [
        (8, HubParcelState::Stored),
        (9, HubParcelState::Collecting),
        (10, HubParcelState::Stored),
        (12, HubParcelState::Collected),
    ] {
        let about: Vec<u64> = (7..=head).collect();
        for chosen in 1..1_u32 << about.len() {
            let unread: Vec<u64> =
                about.iter().copied().filter(|seq| (chosen >> (seq - 7)) & 1 == 1).collect();
            let directory = tempdir().unwrap();
            let store = open_store(directory.path()).await;
            let mut journal = booked(&store).await;
            journal.deposit(1, 2);
            journal.pick_up(1, 2, PickupEnd::NotTaken);
            journal.pick_up(1, 2, PickupEnd::Collected { presumed: false });
            let kept = usize::try_from(head).unwrap();
            journal.records.truncate(kept);
            journal.hashes.truncate(kept + 1);
            told_an_older_hub(&store, &journal, 5, &unread).await;
            let loaded = refold::load(&store, &bank_id()).await.unwrap().unwrap();
            assert!(!loaded.incomplete);
            let row = parcel(&store).await;
            assert_eq!(row.state, ends, "{unread:?} of {head}");
            let inside = ends != HubParcelState::Collected;
            assert_eq!(row.compartment, inside.then_some(CompartmentNo(2)), "{unread:?} of {head}");
            // Nothing is told of a deposit whose parcel is gone.
            let notices = store.due_notices(NOW.plus_ms(1), 10).await.unwrap().len();
            let told = count(&kinds(&store).await, EventKind::ParcelStored);
            assert_eq!((notices <= 1, told <= 1), (true, true), "{unread:?} of {head}");
            assert!(!inside || (notices, told) == (1, 1), "{unread:?} of {head}");
            store.close().await;
        }
    }
}

#[tokio::test]
async fn a_refused_booking_that_came_unread_takes_nothing_from_a_later_one() {
    for again in [false, true] {
        let directory = tempdir().unwrap();
        let store = open_store(directory.path()).await;
        let with_booking = booked(&store).await;
        let mut journal = Journal::commissioned(EDGES);
        let position = GrantPosition { epoch: store.epoch(), gseq: 1 };
        let (parcel_id, reason) = (Some(ParcelId([1; 16])), GrantRefusal::NoRoom);
        journal.append(Fact::GrantRefused(GrantRefused { position, parcel: parcel_id, reason }));
        if again {
            let booking = locker_proto::record::decode_record(&with_booking.records[5]).unwrap();
            journal.append(booking.fact);
        }
        told_an_older_hub(&store, &journal, 5, &[6]).await;
        refold::load(&store, &bank_id()).await.unwrap().unwrap();
        let row = parcel(&store).await;
        let expected = if again {
            (HubParcelState::Booked, Some(bank_id()))
        } else {
            (HubParcelState::Announced, None)
        };
        assert_eq!((row.state, row.bank), expected);
        let told = count(&kinds(&store).await, EventKind::ParcelBookingRefused);
        assert_eq!(told, usize::from(!again));
    }
}
