//! A hub that was restored from an older backup while its banks went on.

use locker_core::bank::PickupEnd;
use locker_core::downlink::{Grant, GrantPosition};
use locker_core::ids::{CredentialId, ParcelId, Version};
use locker_core::parcel::RecallReason;
use locker_proto::message::{Birth, Grants};
use tempfile::tempdir;

use super::fixture::{
    Did, Journal, NOW, World, add_bank, add_parcel, backed_up, bank_id, book, carrier, commit,
    open_store, order, request, restored,
};
use super::{count, kinds, state};
use crate::mqtt::DownTopic;
use crate::parcels::{BookError, BookingOrder, ParcelChange, book_compartment, change_parcel};
use crate::store::{AlarmFilter, AlarmKind, EventKind, HubParcelState, ParcelRow, Store};

const EDGES: &[u32] = &[300, 300, 300, 300, 300, 300];

async fn change(store: &Store, no: u8, change: ParcelChange) -> ParcelRow {
    let (name, id) = (format!("p{no}"), format!("change {no} {change:?}"));
    change_parcel(store, &carrier(), &name, change, request(&id), NOW).await.unwrap()
}

async fn parcel(store: &Store, no: u8) -> ParcelRow {
    store.parcel_by_uid(ParcelId([no; 16])).await.unwrap().unwrap()
}

/// Takes over what the bank hears, from number `first` of the hub's log, until it has `count` more.
async fn accepted(world: &mut World, journal: &mut Journal, mut last: GrantPosition, count: u64) {
    let until = last.gseq + count;
    while last.gseq < until {
        let Grants { first, grants, .. } = heard(world).await;
        assert_eq!(first.gseq, last.gseq + 1);
        for grant in grants {
            last.gseq += 1;
            journal.accept(last.epoch, last.gseq, grant);
        }
    }
}

async fn heard(world: &mut World) -> Grants {
    Grants::decode(&world.heard(DownTopic::Grants).await).unwrap()
}

/// What the bank is told in this session up to the answer to a batch that says nothing new.
async fn told(world: &mut World, journal: &Journal, last: u64) -> Vec<DownTopic> {
    world.facts(journal.batch(1, last), 77).await;
    let mut told = Vec::new();
    loop {
        match world.next().await {
            Did::Sent { topic, .. } => told.push(topic),
            Did::Acknowledged(77) => return told,
            other @ (Did::Acknowledged(_) | Did::Ended { .. }) => panic!("{other:?}"),
        }
    }
}

/// A bank with parcels 1 and 4 inside and parcel 2 announced, a backup of then, and what happened
/// in the hour after it: 1 is collected, 2 booked and brought, 3 announced, booked and brought, and 4
/// has a new code. Gives the watermark in the backup, and what the bank holds of the log.
async fn an_hour_lost(directory: &std::path::Path, store: &Store) -> (Journal, u64, GrantPosition) {
    add_bank(store, EDGES).await;
    let mut journal = Journal::commissioned(EDGES);
    commit(store, &journal).await;
    for no in [1, 2, 4] {
        add_parcel(store, no, 200).await;
    }
    book(store, 1).await;
    book(store, 4).await;
    let mut world = World::start(store).await;
    let log = GrantPosition { epoch: store.epoch(), gseq: 0 };
    world.birth_with(Birth { grants: log, ..journal.birth() }).await;
    accepted(&mut world, &mut journal, log, 2).await;
    journal.deposit(1, 1);
    journal.deposit(4, 2);
    let backed = journal.head();
    world.facts(journal.batch(6, backed), 1).await;
    world.acknowledged(1).await;
    let backup = backed_up(directory).await;
    assert_eq!(backup.watermarks[0].committed, backed);
    store.note_safe(backup.watermarks).await.unwrap();

    book(store, 2).await;
    add_parcel(store, 3, 200).await;
    book(store, 3).await;
    change(store, 4, ParcelChange::Reissue { fresh: CredentialId([44; 16]) }).await;
    accepted(&mut world, &mut journal, GrantPosition { gseq: 2, ..log }, 3).await;
    journal.pick_up(1, 1, PickupEnd::Collected { presumed: false });
    journal.deposit(2, 3);
    journal.deposit(3, 4);
    world.facts(journal.batch(backed + 1, journal.head()), 2).await;
    world.acknowledged(2).await;
    let ack = world.ack_of(journal.head()).await;
    assert_eq!(ack.safe_seq, backed, "the bank keeps what no backup holds");
    world.stop().await;
    (journal, backed, GrantPosition { gseq: 5, ..log })
}

#[tokio::test]
async fn r06_a_hub_restored_from_an_older_backup_learns_from_its_banks_what_it_lost() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    let (journal, backed, held) = an_hour_lost(directory.path(), &store).await;
    let store = restored(directory.path(), store).await;
    assert_eq!(store.banks_catching_up().await.unwrap(), 1);
    assert_eq!(state(&store, 1).await, HubParcelState::Stored);
    // Decided before the bank is there again.
    let until = NOW.plus_ms(9 * 24 * 3_600_000);
    change(&store, 4, ParcelChange::Extend { until }).await;
    add_parcel(&store, 5, 200).await;
    book(&store, 5).await;
    // What was ceded may be given away already.
    add_parcel(&store, 6, 200).await;
    let hard = BookingOrder { hard: true, ..order(6) };
    let refused = book_compartment(&store, &carrier(), "p6", hard, request("hard"), NOW).await;
    assert!(matches!(refused, Err(BookError::BankNotConnected)), "{refused:?}");

    let mut world = World::start(&store).await;
    let ack = world.birth_with(Birth { grants: held, ..journal.birth() }).await;
    assert_eq!((ack.committed_seq, ack.safe_seq), (backed, 0));
    assert_eq!(ack.epoch, store.epoch());
    assert!(!told(&mut world, &journal, backed).await.contains(&DownTopic::Grants));
    assert!(store.code_pools(None, 10, NOW).await.unwrap().is_empty(), "no slots for it either");
    world.facts(journal.batch(backed + 1, journal.head()), 1).await;
    let Grants { first, grants, .. } = heard(&mut world).await;
    assert_eq!(first, GrantPosition { epoch: store.epoch(), gseq: 1 });
    let about: Vec<_> = grants.iter().filter_map(Grant::about).collect();
    // The bank has version 3 of the fourth parcel, of which the hub had known nothing.
    assert_eq!(about, [(ParcelId([5; 16]), Version(2)), (ParcelId([4; 16]), Version(4))]);
    assert!(matches!(grants[1], Grant::Keep { until: told, .. } if told == until));
    assert_eq!(store.code_pools(None, 10, NOW).await.unwrap().len(), 1);
    assert_eq!(store.banks_catching_up().await.unwrap(), 0);

    assert_eq!(state(&store, 1).await, HubParcelState::Collected);
    let second = parcel(&store, 2).await;
    assert_eq!((second.state, second.bank), (HubParcelState::Stored, Some(bank_id())));
    assert_eq!(second.credential, Some(CredentialId([2; 16])));
    let fourth = parcel(&store, 4).await;
    assert_eq!((fourth.credential, fourth.version), (Some(CredentialId([44; 16])), Version(4)));
    assert_eq!(fourth.terms.keep_until, Some(until));
    let letters = store.due_notices(crate::ingest::now(), 10).await.unwrap();
    assert_eq!(letters.iter().filter(|letter| letter.parcel.uid == ParcelId([2; 16])).count(), 1);
    let alarm = store.alarms(&AlarmFilter::default(), 10).await.unwrap().remove(0);
    assert_eq!(alarm.kind, AlarmKind::UnknownParcels);
    assert!(alarm.detail.contains(&ParcelId([3; 16]).to_string()), "{}", alarm.detail);
    let kinds = kinds(&store).await;
    // Twice: the first and the fourth were in the backup, the second was taken over.
    assert_eq!(count(&kinds, EventKind::ParcelStored), 3);
    assert_eq!(count(&kinds, EventKind::ParcelCollected), 1);
    world.stop().await;
}

#[tokio::test]
async fn r06_what_was_decided_between_two_restores_reaches_the_bank_once_it_is_there() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    let (journal, backed, held) = an_hour_lost(directory.path(), &store).await;
    let store = restored(directory.path(), store).await;
    let first = store.epoch();
    change(&store, 4, ParcelChange::Recall { reason: RecallReason::Sender }).await;
    backed_up(directory.path()).await;
    let store = restored(directory.path(), store).await;
    assert!(store.epoch() > first);
    add_parcel(&store, 5, 200).await;
    book(&store, 5).await;
    let mut world = World::start(&store).await;
    world.birth_with(Birth { grants: held, ..journal.birth() }).await;
    world.facts(journal.batch(backed + 1, journal.head()), 1).await;
    let Grants { first, grants, .. } = heard(&mut world).await;
    assert_eq!(first, GrantPosition { epoch: store.epoch(), gseq: 1 });
    let [Grant::Book(booking), Grant::Recall { parcel, version, .. }] = &grants[..] else {
        panic!("{grants:?}")
    };
    assert_eq!((booking.parcel, *parcel), (ParcelId([5; 16]), ParcelId([4; 16])));
    assert_eq!(*version, Version(4));
    world.stop().await;
}

#[tokio::test]
async fn r06_a_bank_that_was_dark_all_the_time_is_told_what_it_has_not_heard_before_what_is_new() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    add_bank(&store, EDGES).await;
    let journal = Journal::commissioned(EDGES);
    commit(&store, &journal).await;
    for no in [1, 2, 3] {
        add_parcel(&store, no, 200).await;
    }
    book(&store, 1).await;
    book(&store, 2).await;
    let held = GrantPosition { epoch: store.epoch(), gseq: 0 };
    backed_up(directory.path()).await;
    let store = restored(directory.path(), store).await;
    book(&store, 3).await;
    let mut world = World::start(&store).await;
    world.birth_with(Birth { grants: held, ..journal.birth() }).await;
    let Grants { first, grants, .. } = heard(&mut world).await;
    assert_eq!(first, GrantPosition { epoch: store.epoch(), gseq: 1 });
    let about: Vec<_> = grants.iter().filter_map(Grant::about).map(|(id, _)| id.0[0]).collect();
    assert_eq!(about, [1, 2, 3]);
    world.stop().await;
}
