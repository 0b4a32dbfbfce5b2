//! Logs begin anew with what still counts and only with that, over a real store and ingest.

use std::collections::BTreeSet;
use std::time::Duration;

use locker_core::bank::PickupEnd;
use locker_core::downlink::GRANTS_PER_BATCH_MAX;
use locker_core::ids::{CredentialId, Generation, ParcelId};
use locker_core::units::Dimensions;
use locker_proto::message::{Birth, Config, Document, Grants};
use sea_orm::{ConnectionTrait, Statement};
use tempfile::tempdir;
use tokio::time::interval;

use super::*;
use crate::alarms::clear_alarm;
use crate::banks::{set_mode, set_quota};
use crate::codes::key_file::Secret;
use crate::ingest::tests::fixture::{
    Did, Journal, NOW, World, add_bank, add_parcel, backed_up, bank_id, book, carrier, commit,
    new_parcel, open_store, order, request, restored,
};
use crate::mqtt::DownTopic;
use crate::parcels::{book_compartment, cancel_parcel, create_parcel};
use crate::store::{AlarmFilter, HubParcelState, StopReason, Store};

const EDGES: &[u32] = &[300, 300, 300, 300];

/// Grants one after the other.
struct Granted(Vec<Grant>);

impl Decision for Granted {
    type Answer = ();

    async fn decide(&self, tx: &mut Tx) -> Result<(), WriteError> {
        for grant in &self.0 {
            tx.grant(&bank_id(), grant, NOW).await?;
        }
        Ok(())
    }
}

/// Marks parcels as booked, without room and without a grant.
struct Booked(Vec<ParcelId>);

impl Decision for Booked {
    type Answer = ();

    async fn decide(&self, tx: &mut Tx) -> Result<(), WriteError> {
        for uid in &self.0 {
            let row = queries::parcel_by_uid(tx.connection(), *uid).await?.unwrap();
            let bank = Some(bank_id());
            let (state, credential) = (HubParcelState::Booked, Some(CredentialId(uid.0)));
            tx.save_parcel(&ParcelRow { state, bank, credential, ..row }).await?;
        }
        Ok(())
    }
}

struct KeypadCouriers;

impl Decision for KeypadCouriers {
    type Answer = ();

    async fn decide(&self, tx: &mut Tx) -> Result<(), WriteError> {
        tx.set_keypad_couriers(&bank_id(), &[carrier()], NOW).await?;
        Ok(())
    }
}

async fn count(store: &Store, sql: &str) -> i64 {
    let statement = Statement::from_string(store.readers.get_database_backend(), sql);
    let row = store.readers.query_one_raw(statement).await.unwrap().unwrap();
    row.try_get_by_index(0).unwrap()
}

/// A bank that is commissioned and connected, and its journal.
async fn commissioned(store: &Store) -> (World, Journal) {
    add_bank(store, EDGES).await;
    let journal = Journal::commissioned(EDGES);
    commit(store, &journal).await;
    (World::start(store).await, journal)
}

async fn heard(world: &mut World) -> Grants {
    Grants::decode(&world.heard(DownTopic::Grants).await).unwrap()
}

/// All that is booked in messages up to the `last` grant of a log.
async fn booked_until(world: &mut World, mut next: GrantPosition, last: u64) -> Vec<ParcelId> {
    let mut booked = Vec::new();
    while next.gseq <= last {
        let Grants { first, grants, .. } = heard(world).await;
        assert_eq!(first, next);
        assert!(grants.len() <= GRANTS_PER_BATCH_MAX);
        next.gseq += grants.len() as u64;
        booked.extend(grants.iter().filter_map(|grant| match grant {
            Grant::Book(booking) => Some(booking.parcel),
            Grant::Cancel { .. }
            | Grant::Keep { .. }
            | Grant::Recall { .. }
            | Grant::Reissue { .. }
            | Grant::Delegate { .. }
            | Grant::Revoke { .. }
            | Grant::Slots(_) => None,
        }));
    }
    booked
}

/// The bank connects with an empty journal, and a person looks inside.
async fn reimaged(store: &Store, world: &mut World) -> Journal {
    let new = Journal::new(2);
    world.birth(&new).await;
    let alarm = store.alarms(&AlarmFilter::default(), 1).await.unwrap().remove(0);
    let cleared = clear_alarm(store, alarm.id, "looked".to_owned(), request("clear"), NOW);
    cleared.await.unwrap();
    assert_eq!(world.ended().await, "a person has decided about the bank");
    world.disconnect().await;
    new
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

#[tokio::test]
async fn p_j_a_reimaged_bank_hears_only_what_still_counts() {
    let directory = tempdir().unwrap();
    let master = Arc::new(CodeMaster::new(Secret::from([1; 32])));
    let store = open_store(directory.path()).await.with_code_master(Arc::clone(&master));
    let (mut world, mut journal) = commissioned(&store).await;
    let history = |no: u32| {
        let mut parcel = ParcelId([0xee; 16]);
        parcel.0[..4].copy_from_slice(&no.to_be_bytes());
        Grant::Cancel { parcel, version: Version(1) }
    };
    store.decide(Granted((0..1_000).map(history).collect())).await.unwrap();
    // One was collected, one is inside, one is expected, one will be cancelled.
    for no in 1..=4 {
        let phone = (no == 3).then(|| "+491700004711".parse().unwrap());
        let parcel = crate::parcels::NewParcel { phone, ..new_parcel(no, 200) };
        create_parcel(&store, parcel, request(&format!("c{no}")), NOW).await.unwrap();
        book(&store, no).await;
    }
    let mut birth = journal.birth();
    birth.grants = GrantPosition { epoch: store.epoch(), gseq: 1_000 };
    world.birth_with(birth).await;
    let first_epoch = store.epoch();
    for (gseq, grant) in (1_001..).zip(heard(&mut world).await.grants) {
        journal.accept(first_epoch, gseq, grant);
    }
    journal.deposit(1, 1);
    journal.pick_up(1, 1, PickupEnd::Collected { presumed: false });
    journal.deposit(2, 2);
    world.facts(journal.batch(6, journal.head()), 1).await;
    world.acknowledged(1).await;
    world.disconnect().await;

    let new = Journal::new(2);
    world.birth(&new).await;
    // Decided while somebody looks inside: it comes behind the bookings.
    cancel_parcel(&store, &carrier(), "p4", request("cancel"), NOW).await.unwrap();
    let alarm = store.alarms(&AlarmFilter::default(), 1).await.unwrap().remove(0);
    let cleared = clear_alarm(&store, alarm.id, "looked".to_owned(), request("clear"), NOW);
    cleared.await.unwrap();
    assert_eq!(world.ended().await, "a person has decided about the bank");
    world.disconnect().await;
    world.birth(&new).await;
    let Grants { first, grants, .. } = heard(&mut world).await;
    assert_eq!(first, GrantPosition { epoch: HubEpoch(first_epoch.0 + 1), gseq: 1 });
    let [Grant::Book(third), Grant::Book(fourth), Grant::Cancel { parcel, .. }] = &grants[..]
    else {
        panic!("{grants:?}")
    };
    let ids = [third.parcel, fourth.parcel, *parcel];
    assert_eq!(ids, [ParcelId([3; 16]), ParcelId([4; 16]), ParcelId([4; 16])]);
    let keys = master.tag_keys(&bank_id(), Generation(1));
    let suffix = PhoneSuffix::typed("4711").unwrap().tag(&keys);
    assert_eq!((third.terms.suffix, fourth.terms.suffix), (Some(suffix), None));
    assert_eq!(third.credential, CredentialId([3; 16]));
    // What nobody is sent any more goes.
    let mut tick = interval(Duration::from_millis(2));
    while count(&store, "SELECT COUNT(*) FROM grants").await > 3 {
        tick.tick().await;
    }
    world.stop().await;
}

#[tokio::test]
async fn a_run_that_was_cut_goes_on_without_a_gap_or_a_double() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    let (mut world, journal) = commissioned(&store).await;
    let count = u8::try_from(2 * GRANTS_PER_BATCH_MAX + 10).unwrap();
    let all: BTreeSet<ParcelId> = (1..=count).map(|no| ParcelId([no; 16])).collect();
    for no in 1..=count {
        add_parcel(&store, no, 200).await;
    }
    store.decide(Booked(all.iter().copied().collect())).await.unwrap();
    world.birth(&journal).await;
    world.disconnect().await;
    let new = reimaged(&store, &mut world).await;

    world.birth(&new).await;
    let Grants { first, grants, .. } = heard(&mut world).await;
    assert_eq!((first.gseq, grants.len()), (1, GRANTS_PER_BATCH_MAX));
    world.disconnect().await;
    // Of that message it has kept a part.
    let kept = 40;
    let birth = Birth { grants: GrantPosition { gseq: kept, ..first }, ..new.birth() };
    world.birth_with(birth).await;
    let next = GrantPosition { gseq: kept + 1, ..first };
    let rest = booked_until(&mut world, next, u64::from(count)).await;
    let before = grants.iter().take(40).filter_map(|grant| grant.about().map(|(id, _)| id));
    let heard: Vec<ParcelId> = before.chain(rest).collect();
    assert_eq!(heard.len(), usize::from(count), "no double");
    assert_eq!(heard.into_iter().collect::<BTreeSet<_>>(), all, "no gap");
    world.stop().await;
}

#[tokio::test]
async fn after_a_restore_a_bank_hears_only_what_it_has_not_and_once_its_facts_are_there() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    let (mut world, mut journal) = commissioned(&store).await;
    let old = store.epoch();
    add_parcel(&store, 1, 200).await;
    book(&store, 1).await;
    world.birth(&journal).await;
    journal.accept(old, 1, heard(&mut world).await.grants.remove(0));
    journal.deposit(1, 1);
    world.disconnect().await;
    world.stop().await;
    add_parcel(&store, 2, 200).await;
    book(&store, 2).await;
    backed_up(directory.path()).await;

    let store = restored(directory.path(), store).await;
    let mut world = World::start(&store).await;
    let held = GrantPosition { epoch: old, gseq: 1 };
    world.birth_with(Birth { grants: held, ..journal.birth() }).await;
    // Until it is known what the bank has done, it is told only documents.
    world.heard(DownTopic::Config).await;
    assert!(!told(&mut world, &journal, 5).await.contains(&DownTopic::Grants));
    world.facts(journal.batch(6, journal.head()), 1).await;
    let Grants { first, grants, .. } = heard(&mut world).await;
    assert_eq!(first, GrantPosition { epoch: store.epoch(), gseq: 1 });
    let [Grant::Book(booking)] = &grants[..] else { panic!("{grants:?}") };
    assert_eq!(booking.parcel, ParcelId([2; 16]));
    // What comes later follows.
    cancel_parcel(&store, &carrier(), "p2", request("cancel"), NOW).await.unwrap();
    assert_eq!(heard(&mut world).await.first, GrantPosition { gseq: 2, ..first });
    world.stop().await;
}

#[tokio::test]
async fn a_bank_that_knows_more_than_the_restored_hub_hears_what_it_does_not_hold() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    let (mut world, mut journal) = commissioned(&store).await;
    let old = store.epoch();
    for no in 1..=3 {
        add_parcel(&store, no, 200).await;
        book(&store, no).await;
    }
    world.birth(&journal).await;
    let granted = heard(&mut world).await.grants;
    world.stop().await;
    // The first is held, the second was taken back by a decision that the hub has lost.
    journal.accept(old, 1, granted[0].clone());
    journal.accept(old, 2, granted[1].clone());
    let parcel = ParcelId([2; 16]);
    journal.accept(old, 9, Grant::Cancel { parcel, version: Version(7) });
    backed_up(directory.path()).await;

    let store = restored(directory.path(), store).await;
    let mut world = World::start(&store).await;
    let held = GrantPosition { epoch: old, gseq: 9 };
    world.birth_with(Birth { grants: held, ..journal.birth() }).await;
    world.facts(journal.batch(6, journal.head()), 1).await;
    let Grants { first, grants, .. } = heard(&mut world).await;
    assert_eq!(first, GrantPosition { epoch: store.epoch(), gseq: 1 });
    let about: Vec<_> = grants.iter().filter_map(Grant::about).collect();
    assert_eq!(about, [(ParcelId([3; 16]), Version(2))]);
    let row = store.parcel_by_uid(parcel).await.unwrap().unwrap();
    assert_eq!((row.state, row.version), (HubParcelState::Cancelled, Version(7)));
    world.stop().await;
}

#[tokio::test]
async fn a_bank_of_a_later_hub_is_told_nothing_and_stopped() {
    let of_grants = |birth: &mut Birth, epoch| birth.grants = GrantPosition { epoch, gseq: 0 };
    let of_documents = |birth: &mut Birth, epoch| {
        (birth.config_epoch, birth.mode) = (epoch, Some(Generation(0)));
    };
    let claims: [fn(&mut Birth, HubEpoch); 2] = [of_grants, of_documents];
    for claim in claims {
        let directory = tempdir().unwrap();
        let store = open_store(directory.path()).await;
        let (mut world, journal) = commissioned(&store).await;
        add_parcel(&store, 1, 200).await;
        book(&store, 1).await;
        let mut committed = store.committed_events();
        committed.borrow_and_update();
        let mut birth = journal.birth();
        claim(&mut birth, HubEpoch(store.epoch().0 + 1));
        world.connect().await;
        world.say(crate::mqtt::UpTopic::Birth, birth.encode(), Some(1)).await;
        committed.changed().await.unwrap();
        let bank = store.bank(&bank_id()).await.unwrap().unwrap();
        assert_eq!(bank.stopped_reason, Some(StopReason::UnknownGrants));
        world.facts(journal.batch(1, 5), 2).await;
        loop {
            match world.next().await {
                Did::Sent { topic, .. } => assert_eq!(topic, DownTopic::Ack),
                Did::Acknowledged(_) => {}
                Did::Ended { reason, .. } => {
                    assert_eq!(reason, "facts before an accepted birth");
                    break;
                }
            }
        }
        world.stop().await;
    }
}

/// What a bank says that holds these generations.
fn holding(journal: &Journal, epoch: HubEpoch, mode: u64, codes: Option<u64>) -> Birth {
    Birth {
        layout: Generation(1),
        key_set: Generation(1),
        mode: Some(Generation(mode)),
        quota: Some(Generation(0)),
        courier_codes: codes.map(Generation),
        config_epoch: epoch,
        ..journal.birth()
    }
}

/// The documents that a birth is answered with; a grant comes behind them.
async fn documents(world: &mut World, birth: Birth) -> Vec<Document> {
    world.birth_with(birth).await;
    let mut documents = Vec::new();
    loop {
        match world.next().await {
            Did::Sent { topic: DownTopic::Config, payload, .. } => {
                let topic = DownTopic::Config;
                let keys = &world.held.command;
                let opened = locker_proto::signed::open(&payload, topic, &bank_id(), keys);
                documents.push(Config::decode(&opened.unwrap()).unwrap().document);
            }
            Did::Sent { topic: DownTopic::Grants, .. } => break,
            Did::Sent { .. } | Did::Acknowledged(_) => {}
            other @ Did::Ended { .. } => panic!("{other:?}"),
        }
    }
    world.disconnect().await;
    documents
}

#[tokio::test]
async fn a_bank_hears_documents_by_what_it_says_that_it_holds() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    let (mut world, journal) = commissioned(&store).await;
    add_parcel(&store, 1, 200).await;
    book_compartment(&store, &carrier(), "p1", order(1), request("b"), NOW).await.unwrap();
    set_mode(&store, &bank_id(), true, request("mode"), NOW).await.unwrap();
    store.decide(KeypadCouriers).await.unwrap();
    let ours = store.epoch();
    // All that there are, in the hub's epoch: nothing, although nothing of it is folded.
    let all = documents(&mut world, holding(&journal, ours, 1, Some(1))).await;
    assert!(all.is_empty(), "{all:?}");
    let older = documents(&mut world, holding(&journal, ours, 0, Some(0))).await;
    assert!(matches!(older[..], [Document::Mode(_), Document::CourierCodes(_)]), "{older:?}");
    // An agent that is too old for couriers' codes is never sent any.
    let old = documents(&mut world, holding(&journal, ours, 0, None)).await;
    assert!(matches!(old[..], [Document::Mode(_)]), "{old:?}");
    // Of an earlier epoch, whatever the generations; but no quota, of which there never was one.
    let other = holding(&journal, HubEpoch(ours.0 - 1), 9, Some(9));
    let other = documents(&mut world, other).await;
    let [Document::Layout(_), Document::Mode(_), Document::CourierCodes(_)] = other[..] else {
        panic!("{other:?}")
    };
    // Also one that takes back what another hub has set.
    let mut other = holding(&journal, HubEpoch(ours.0 - 1), 9, None);
    other.quota = Some(Generation(4));
    let other = documents(&mut world, other).await;
    assert!(matches!(&other[2], Document::Quota(quota) if quota.generation == Generation(0)));
    let ceded = vec![(Dimensions { length_mm: 300, width_mm: 300, height_mm: 300 }, 1)];
    set_quota(&store, &bank_id(), ceded, request("quota"), NOW).await.unwrap();
    let newer = documents(&mut world, holding(&journal, ours, 1, None)).await;
    assert!(matches!(newer[..], [Document::Quota(_)]), "{newer:?}");
    world.stop().await;
}
