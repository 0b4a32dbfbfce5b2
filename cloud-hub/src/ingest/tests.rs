//! Tests of ingest over a real store, with sessions that are channels.

mod clones;
mod crashes;
pub(crate) mod fixture;
mod forgotten;
mod keys;
mod late;
mod reconnects;
mod restored;
mod streams;
mod unread;

use locker_core::bank::{AbortedContent, CommandAnswer, CommandAnswered, DepositAborted};
use locker_core::bank::{DepositMisfit, LockdownBegan, LockdownReason, PickupEnd};
use locker_core::bank::{Finding, InspectionSettled, InspectionStarted};
use locker_core::compartment::QuarantineReason;
use locker_core::downlink::{
    ConfigDocument, ConfigKind, ConfigRefusal, ConfigRefused, Grant, GrantPosition, GrantRefusal,
    GrantRefused,
};
use locker_core::fact::Fact;
use locker_core::ids::{BankId, CommandId, CompartmentNo, Generation, HubEpoch};
use locker_core::ids::{ParcelId, SessionId};
use locker_core::journal::{CHAIN_START, MemoryView};
use locker_core::refusal::Refusal;
use locker_core::uplink::inlet::Cursor;
use locker_proto::message::{Command, CommandKind, Config, Document, Grants};
use tempfile::tempdir;

use super::Count;
use super::batch::{Accepted, fold_batch};
use crate::banks::{LockDownError, lock_down, set_layout, set_mode, set_quota};
use crate::mqtt::{DownTopic, UpTopic};
use crate::parcels::{CancelError, cancel_parcel};
use crate::store::{EventKind, HubParcelState, StopReason, Store, StoreLimits};
use fixture::{
    Did, Journal, NOW, World, add_bank, add_parcel, bank_id, book, carrier, open_store,
    open_store_with, request, specs,
};

const EDGES: &[u32] = &[300, 300];

async fn kinds(store: &Store) -> Vec<EventKind> {
    store.events_after(0, None, 1_000).await.unwrap().iter().map(|event| event.kind).collect()
}

async fn state(store: &Store, no: u8) -> HubParcelState {
    store.parcel_by_uid(ParcelId([no; 16])).await.unwrap().unwrap().state
}

fn count(kinds: &[EventKind], wanted: EventKind) -> usize {
    kinds.iter().filter(|kind| **kind == wanted).count()
}

/// A store with a bank, a booked parcel 1 and a journal in which the bank took the booking over.
async fn booked(store: &Store) -> Journal {
    add_bank(store, EDGES).await;
    let mut journal = Journal::commissioned(EDGES);
    fixture::commit(store, &journal).await;
    add_parcel(store, 1, 200).await;
    book(store, 1).await;
    let grant = store
        .downlink(&bank_id(), GrantPosition { epoch: store.epoch(), gseq: 0 }, 64)
        .await
        .unwrap()
        .unwrap()
        .grants
        .remove(0);
    journal.accept(store.epoch(), 1, grant);
    journal
}

#[tokio::test]
async fn a_parcel_goes_through_and_its_recipient_is_told_once() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    let mut journal = booked(&store).await;
    let mut world = World::start(&store).await;
    let ack = world.birth(&journal).await;
    assert_eq!(ack.committed_seq, 5);
    assert!(world.presence.is_connected(&bank_id()));
    journal.deposit(1, 2);
    world.facts(journal.batch(6, journal.head()), 1).await;
    world.acknowledged(1).await;
    let parcel = store.parcel(&carrier(), "p1").await.unwrap().unwrap();
    assert_eq!(
        (parcel.state, parcel.compartment),
        (HubParcelState::Stored, Some(CompartmentNo(2)))
    );
    let retention_ms = 7 * 24 * 3_600 * 1_000;
    // From the later of the bank's time and the hub's.
    assert!(parcel.expires_at >= Some(NOW.plus_ms(journal.head() + retention_ms)));
    let notices = store.due_notices(super::now(), 10).await.unwrap();
    assert_eq!(notices.len(), 1);
    assert_eq!(notices[0].bank.keys_held.generation.0, 1);
    journal.pick_up(1, 2, PickupEnd::NotTaken);
    journal.pick_up(1, 2, PickupEnd::Collected { presumed: false });
    let head = journal.head();
    world.facts(journal.batch(9, head), 2).await;
    world.acknowledged(2).await;
    assert_eq!(world.ack_of(head).await.committed_hash, *journal.hashes.last().unwrap());
    use EventKind as K;
    let parcels: Vec<EventKind> = kinds(&store).await.split_off(6);
    let expected = [
        K::ParcelDepositing,
        K::ParcelStored,
        K::ParcelCollecting,
        K::ParcelPickupAborted,
        K::ParcelCollecting,
        K::ParcelCollected,
    ];
    assert_eq!(parcels, expected);
    assert!(store.due_notices(super::now(), 10).await.unwrap().is_empty());
    let stamp = world.stamps.recv().await.unwrap();
    assert_eq!((stamp.kind, stamp.seq), ("grant_accepted", 6));
    world.stop().await;
}

#[tokio::test]
async fn r01_duplicates_and_a_restart_commit_exactly_once() {
    let directory = tempdir().unwrap();
    let mut journal = {
        let store = open_store(directory.path()).await;
        let mut journal = booked(&store).await;
        let mut world = World::start(&store).await;
        world.birth(&journal).await;
        journal.deposit(1, 1);
        let all = journal.batch(6, journal.head());
        world.facts(all.clone(), 1).await;
        // Repeated while the first is on its way, and again once it is committed.
        world.facts(all.clone(), 2).await;
        // The session puts the answers in order.
        world.acknowledged(2).await;
        world.ack_of(journal.head()).await;
        // A repeat that goes on where nothing was known.
        journal.pick_up(1, 1, PickupEnd::NotOpened);
        world.facts(journal.batch(4, journal.head()), 3).await;
        world.acknowledged(3).await;
        world.kill().await;
        store.close().await;
        journal
    };
    let store = open_store(directory.path()).await;
    let before = kinds(&store).await;
    let mut world = World::start(&store).await;
    let ack = world.birth(&journal).await;
    assert_eq!(ack.committed_seq, journal.head());
    world.facts(journal.batch(1, journal.head()), 1).await;
    world.acknowledged(1).await;
    assert_eq!(world.counters.get(Count::Duplicates), 1);
    assert_eq!(kinds(&store).await, before);
    journal.pick_up(1, 1, PickupEnd::Collected { presumed: true });
    world.facts(journal.batch(journal.head() - 1, journal.head()), 2).await;
    world.acknowledged(2).await;
    assert_eq!(state(&store, 1).await, HubParcelState::Collected);
    assert_eq!(store.due_notices(super::now(), 10).await.unwrap().len(), 1);
    world.stop().await;
}

#[tokio::test]
async fn killed_between_commit_and_ack_the_hub_repeats_neither_events_nor_notices() {
    let directory = tempdir().unwrap();
    let mut journal = {
        let store = open_store(directory.path()).await;
        let mut journal = booked(&store).await;
        let mut world = World::start(&store).await;
        world.birth(&journal).await;
        let mut committed = store.committed_events();
        committed.borrow_and_update();
        journal.deposit(1, 1);
        world.facts(journal.batch(6, journal.head()), 1).await;
        // Committed; whether the PUBACK got out nobody looks.
        committed.changed().await.unwrap();
        world.kill().await;
        store.close().await;
        journal
    };
    let store = open_store(directory.path()).await;
    let mut world = World::start(&store).await;
    world.birth(&journal).await;
    world.facts(journal.batch(6, journal.head()), 1).await;
    world.acknowledged(1).await;
    journal.pick_up(1, 1, PickupEnd::Collected { presumed: false });
    world.facts(journal.batch(6, journal.head()), 2).await;
    world.acknowledged(2).await;
    let kinds = kinds(&store).await;
    for once in [EventKind::ParcelStored, EventKind::ParcelCollected, EventKind::ParcelDepositing] {
        assert_eq!(count(&kinds, once), 1, "{once:?}");
    }
    assert_eq!(store.due_notices(super::now(), 10).await.unwrap().len(), 1);
    world.stop().await;
}

#[tokio::test]
async fn r02_a_batch_that_skips_is_answered_with_the_watermark_and_ends_the_session() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    let journal = booked(&store).await;
    let mut world = World::start(&store).await;
    world.birth(&journal).await;
    let mut longer = journal.clone();
    longer.deposit(1, 1);
    world.facts(longer.batch(7, 8), 1).await;
    assert_eq!(world.ack().await.committed_seq, 5);
    assert_eq!(world.ended().await, "batch skips records");
    assert_eq!(world.counters.get(Count::Gaps), 1);
    world.stop().await;
}

#[tokio::test]
async fn a_batch_that_breaks_the_chain_stops_the_bank() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    let journal = booked(&store).await;
    let mut world = World::start(&store).await;
    world.birth(&journal).await;
    let mut batch = journal.batch(6, 6);
    batch.previous = locker_core::journal::ChainHash([0xee; 32]);
    world.facts(batch, 1).await;
    world.acknowledged(1).await;
    let bank = store.bank(&bank_id()).await.unwrap().unwrap();
    assert_eq!((bank.stopped_reason, bank.committed_seq), (Some(StopReason::Fork), 5));
    assert_eq!(count(&kinds(&store).await, EventKind::BankStopped), 1);
    // No facts after that, and no ack at the next birth.
    world.facts(journal.batch(6, 6), 2).await;
    assert_eq!(world.ended().await, "facts before an accepted birth");
    world.disconnect().await;
    world.connect().await;
    world.say(UpTopic::Birth, journal.birth().encode(), Some(3)).await;
    world.acknowledged(3).await;
    world.facts(journal.batch(6, 6), 4).await;
    loop {
        match world.next().await {
            Did::Sent { topic, .. } => panic!("a stopped bank was told something on {topic:?}"),
            Did::Ended { .. } => break,
            Did::Acknowledged(_) => {}
        }
    }
    world.stop().await;
}

#[tokio::test]
async fn births_that_do_not_continue_what_is_known_stop_the_bank() {
    let journal = Journal::commissioned(EDGES);
    let mut behind = journal.birth();
    behind.head_seq = 2;
    let mut fork = journal.birth();
    fork.head_hash = locker_core::journal::ChainHash([1; 32]);
    let table = [(behind, StopReason::Behind), (fork, StopReason::Fork)];
    for (birth, reason) in table {
        let directory = tempdir().unwrap();
        let store = open_store(directory.path()).await;
        add_bank(&store, EDGES).await;
        fixture::commit(&store, &journal).await;
        let mut world = World::start(&store).await;
        let mut committed = store.committed_events();
        committed.borrow_and_update();
        world.connect().await;
        world.say(UpTopic::Birth, birth.encode(), Some(1)).await;
        world.acknowledged(1).await;
        committed.changed().await.unwrap();
        let bank = store.bank(&bank_id()).await.unwrap().unwrap();
        assert_eq!(bank.stopped_reason, Some(reason));
        let event = store.events_after(0, None, 100).await.unwrap().pop().unwrap();
        assert_eq!(event.kind, EventKind::BankStopped);
        assert!(event.detail.starts_with(reason.as_str()), "{}", event.detail);
        world.stop().await;
    }
}

#[tokio::test]
async fn a_message_that_cannot_be_read_is_kept_and_never_moves_the_watermark() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    let journal = booked(&store).await;
    let mut world = World::start(&store).await;
    // On each topic; a lossy one has nothing to acknowledge.
    world.connect().await;
    world.say(UpTopic::Birth, b"\xff\xff".to_vec(), Some(1)).await;
    world.acknowledged(1).await;
    world.disconnect().await;
    world.birth(&journal).await;
    world.say(UpTopic::Telemetry, b"\xff\xff".to_vec(), None).await;
    world.say(UpTopic::Presence, b"\xff\xff".to_vec(), None).await;
    world.say(UpTopic::Facts, b"\xff\xff".to_vec(), Some(2)).await;
    world.acknowledged(2).await;
    assert_eq!(world.counters.get(Count::Unreadable), 4);
    // The bank goes on afterwards, from the same watermark.
    world.facts(journal.batch(6, 6), 3).await;
    world.acknowledged(3).await;
    assert_eq!(world.ack_of(6).await.committed_seq, 6);
    world.stop().await;
}

#[tokio::test]
async fn three_unreadable_messages_at_one_watermark_stop_the_bank() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    let journal = booked(&store).await;
    let mut world = World::start(&store).await;
    for attempt in 1..=3 {
        let ack = world.birth(&journal).await;
        assert_eq!(ack.committed_seq, 5);
        // Fits the chain, but its record says that it stands elsewhere.
        let mut record = journal.record(Fact::SessionEnded(locker_core::bank::SessionEnded {
            session: SessionId([1; 16]),
            end: locker_core::session::SessionEnd::Left,
        }));
        record.seq = 99;
        let mut batch = journal.batch(6, 6);
        batch.records = vec![locker_proto::record::encode_record(&record)];
        world.facts(batch, attempt).await;
        world.acknowledged(attempt).await;
        world.disconnect().await;
    }
    let bank = store.bank(&bank_id()).await.unwrap().unwrap();
    assert_eq!((bank.stopped_reason, bank.committed_seq), (Some(StopReason::Unreadable), 5));
    assert_eq!(count(&kinds(&store).await, EventKind::BankStopped), 1);
    world.stop().await;
}

#[tokio::test]
async fn a_fact_of_a_newer_agent_is_stored_and_the_bank_marked_incomplete() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    let mut journal = booked(&store).await;
    let mut world = World::start(&store).await;
    world.birth(&journal).await;
    // Field 99 of a record, which is none of ours: a fact that this hub does not know.
    let known = journal.record(Fact::Booted(locker_core::journal::Booted {
        boot: locker_core::ids::BootId([1; 16]),
        boot_count: 2,
        agent_version: String::new(),
    }));
    let mut form = <locker_proto::wire::journal::v1::Record as prost::Message>::decode(
        locker_proto::record::encode_record(&known).as_slice(),
    )
    .unwrap();
    form.fact = None;
    let mut bytes = prost::Message::encode_to_vec(&form);
    bytes.extend([0x9a, 0x06, 0x00]);
    journal.append_bytes(bytes.clone());
    journal.deposit(1, 1);
    world.facts(journal.batch(6, journal.head()), 1).await;
    world.acknowledged(1).await;
    let bank = store.bank(&bank_id()).await.unwrap().unwrap();
    assert!(bank.incomplete);
    assert_eq!(bank.committed_seq, journal.head());
    assert_eq!(count(&kinds(&store).await, EventKind::BankIncomplete), 1);
    assert_eq!(state(&store, 1).await, HubParcelState::Stored);
    assert_eq!(world.counters.get(Count::UnreadRecords), 1);
    world.stop().await;
}

#[tokio::test]
async fn facts_before_a_birth_and_banks_that_nobody_knows_end_the_session() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    let mut world = World::start(&store).await;
    let journal = Journal::commissioned(EDGES);
    world.connect().await;
    world.facts(journal.batch(1, 1), 1).await;
    assert_eq!(world.ended().await, "facts before an accepted birth");
    world.disconnect().await;
    world.connect().await;
    world.say(UpTopic::Birth, journal.birth().encode(), Some(2)).await;
    assert_eq!(world.ended().await, "bank is not known");
    assert_eq!(world.counters.get(Count::UnknownBanks), 1);
    assert!(!world.presence.is_connected(&bank_id()));
    world.stop().await;
}

#[tokio::test]
async fn a_birth_is_answered_with_what_the_bank_lacks_and_later_grants_follow() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    let journal = booked(&store).await;
    add_parcel(&store, 2, 100).await;
    let mut world = World::start(&store).await;
    world.birth(&journal).await;
    // Before the ack, which could not be checked without it.
    assert_eq!(world.told_sets, [1]);
    let layout = Config::decode(&world.heard(DownTopic::Config).await).unwrap();
    assert_eq!(layout.nonce, Some(journal.birth().nonce));
    assert!(matches!(layout.document, Document::Layout(layout) if layout.generation.0 == 1));
    let grants = Grants::decode(&world.heard(DownTopic::Grants).await).unwrap();
    assert_eq!((grants.first.gseq, grants.grants.len()), (1, 1));
    book(&store, 2).await;
    let grants = Grants::decode(&world.heard(DownTopic::Grants).await).unwrap();
    assert_eq!(grants.first, GrantPosition { epoch: store.epoch(), gseq: 2 });
    // A new session gets only what it does not have.
    world.disconnect().await;
    let mut birth = journal.birth();
    birth.grants = GrantPosition { epoch: store.epoch(), gseq: 1 };
    (birth.layout.0, birth.key_set.0) = (1, 1);
    world.birth_with(birth).await;
    let grants = Grants::decode(&world.heard(DownTopic::Grants).await).unwrap();
    assert_eq!((grants.first.gseq, grants.grants.len()), (2, 1));
    assert_eq!(world.told_sets, [1]);
    world.stop().await;
}

#[tokio::test]
async fn r09_a_deposit_of_a_cancelled_parcel_becomes_a_recall_and_nobody_is_told() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    let mut journal = booked(&store).await;
    cancel_parcel(&store, &carrier(), "p1", request("cancel"), NOW).await.unwrap();
    let mut world = World::start(&store).await;
    world.birth(&journal).await;
    journal.deposit(1, 1);
    let position = GrantPosition { epoch: store.epoch(), gseq: 2 };
    let reason = GrantRefusal::TooLate;
    let parcel = Some(ParcelId([1; 16]));
    journal.append(Fact::GrantRefused(GrantRefused { position, parcel, reason }));
    world.facts(journal.batch(6, journal.head()), 1).await;
    world.acknowledged(1).await;
    assert_eq!(state(&store, 1).await, HubParcelState::RecallRequested);
    let kinds = kinds(&store).await;
    assert_eq!(count(&kinds, EventKind::ParcelRecallRequested), 1);
    assert_eq!(count(&kinds, EventKind::ParcelStored), 0);
    assert!(store.due_notices(super::now(), 10).await.unwrap().is_empty());
    world.stop().await;
}

#[tokio::test]
async fn r09_a_cancellation_that_comes_after_the_courier_is_refused() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    let mut journal = booked(&store).await;
    let mut world = World::start(&store).await;
    world.birth(&journal).await;
    journal.start_deposit(1, 1);
    world.facts(journal.batch(6, journal.head()), 1).await;
    world.acknowledged(1).await;
    let late = cancel_parcel(&store, &carrier(), "p1", request("cancel"), NOW).await;
    assert!(matches!(late, Err(CancelError::Refused(Refusal::CancellationTooLate))));
    assert_eq!(state(&store, 1).await, HubParcelState::Depositing);
    world.stop().await;
}

#[tokio::test]
async fn a_bank_with_another_banks_stream_takes_no_events_away() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    let journal = booked(&store).await;
    let other: BankId = "bank-2".parse().unwrap();
    fixture::commit_as(&store, &other, &journal).await;
    let mut world = World::start(&store).await;
    world.birth(&journal).await;
    world.facts(journal.batch(6, 6), 1).await;
    world.acknowledged(1).await;
    assert_eq!(count(&kinds(&store).await, EventKind::BankStarted), 2);
    world.stop().await;
}

#[tokio::test]
async fn a_cancelled_parcel_that_the_bank_expects_again_is_cancelled_again() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    let mut journal = booked(&store).await;
    cancel_parcel(&store, &carrier(), "p1", request("cancel"), NOW).await.unwrap();
    let mut world = World::start(&store).await;
    world.birth(&journal).await;
    let grants = Grants::decode(&world.heard(DownTopic::Grants).await).unwrap();
    assert_eq!(grants.grants.len(), 2);
    journal.start_deposit(1, 1);
    let (session, parcel, compartment) = (SessionId([3; 16]), ParcelId([1; 16]), CompartmentNo(1));
    journal.append(Fact::DepositMisfit(DepositMisfit {
        session,
        parcel,
        compartment,
        gave_up: false,
    }));
    world.facts(journal.batch(6, journal.head()), 1).await;
    let grants = Grants::decode(&world.heard(DownTopic::Grants).await).unwrap();
    let again = grants.grants.first().unwrap();
    assert!(matches!(again, Grant::Cancel { parcel, version }
        if *parcel == ParcelId([1; 16]) && version.0 == 4));
    assert_eq!(state(&store, 1).await, HubParcelState::Cancelled);
    world.stop().await;
}

#[tokio::test]
async fn an_unresolved_deposit_shows_the_parcel_and_its_compartment() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    let mut journal = booked(&store).await;
    let mut world = World::start(&store).await;
    world.birth(&journal).await;
    journal.start_deposit(1, 1);
    journal.append(Fact::DepositAborted(DepositAborted {
        session: SessionId([3; 16]),
        parcel: ParcelId([1; 16]),
        compartment: CompartmentNo(1),
        content: AbortedContent::Unknown(QuarantineReason::DepositUnresolved),
        lock_failed: false,
    }));
    world.facts(journal.batch(6, journal.head()), 1).await;
    world.acknowledged(1).await;
    assert_eq!(state(&store, 1).await, HubParcelState::Unresolved);
    let events = store.events_after(0, None, 100).await.unwrap();
    let last = events.last().unwrap();
    assert_eq!(last.kind, EventKind::CompartmentQuarantined);
    assert_eq!(
        (last.compartment, last.detail.as_str()),
        (Some(CompartmentNo(1)), "DEPOSIT_UNRESOLVED")
    );
    assert_eq!(last.event_id, format!("bank-1:{}:8:1", journal.stream));
    // Staff looks and finds nothing: its courier has it, and may bring it again.
    let (session, compartment) = (SessionId([5; 16]), CompartmentNo(1));
    let finding = Finding::Empty;
    journal.append(Fact::InspectionStarted(InspectionStarted { session, compartment }));
    journal.append(Fact::InspectionSettled(InspectionSettled { session, compartment, finding }));
    let known = journal.head();
    journal.start_deposit(1, 1);
    world.facts(journal.batch(9, known), 2).await;
    world.acknowledged(2).await;
    assert_eq!(state(&store, 1).await, HubParcelState::Booked);
    let events = store.events_after(last.position, None, 100).await.unwrap();
    let told: Vec<_> = events.iter().map(|event| (event.kind, event.detail.as_str())).collect();
    assert!(told.contains(&(EventKind::ParcelDepositAborted, "FOUND_EMPTY")), "{told:?}");
    world.facts(journal.batch(known + 1, journal.head()), 3).await;
    world.acknowledged(3).await;
    assert_eq!(state(&store, 1).await, HubParcelState::Depositing);
    world.stop().await;
}

#[tokio::test]
async fn four_batches_may_be_outstanding_and_commit_in_order() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    let mut journal = booked(&store).await;
    let mut world = World::start(&store).await;
    world.birth(&journal).await;
    journal.deposit(1, 1);
    journal.pick_up(1, 1, PickupEnd::Collected { presumed: false });
    for (token, seq) in (1..).zip(6..=journal.head()) {
        world.facts(journal.batch(seq, seq), token).await;
    }
    for token in 1..=5 {
        world.acknowledged(token).await;
    }
    assert_eq!(state(&store, 1).await, HubParcelState::Collected);
    assert_eq!(store.bank(&bank_id()).await.unwrap().unwrap().committed_seq, journal.head());
    world.stop().await;
}

#[tokio::test]
async fn a_batch_that_is_not_committed_ends_the_session_and_the_next_one_goes_on() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    let mut journal = booked(&store).await;
    let mut world = World::start(&store).await;
    world.birth(&journal).await;
    // Somebody else commits the same records: memory is wrong now, and the store right.
    let elsewhere = World::start(&store).await;
    let mut other = elsewhere;
    other.birth(&journal).await;
    other.facts(journal.batch(6, 6), 1).await;
    other.acknowledged(1).await;
    world.facts(journal.batch(6, 6), 1).await;
    assert_eq!(world.ended().await, "batch not committed");
    world.disconnect().await;
    let ack = world.birth(&journal).await;
    assert_eq!(ack.committed_seq, 6);
    journal.deposit(1, 1);
    world.facts(journal.batch(6, journal.head()), 2).await;
    world.acknowledged(2).await;
    assert_eq!(state(&store, 1).await, HubParcelState::Stored);
    other.stop().await;
    world.stop().await;
}

#[tokio::test]
async fn a_birth_that_claims_grants_never_given_stops_the_bank() {
    for claimed in [2, u64::MAX] {
        let directory = tempdir().unwrap();
        let store = open_store(directory.path()).await;
        let journal = booked(&store).await;
        let mut world = World::start(&store).await;
        let mut committed = store.committed_events();
        committed.borrow_and_update();
        let mut birth = journal.birth();
        birth.grants = GrantPosition { epoch: store.epoch(), gseq: claimed };
        world.birth_with(birth).await;
        committed.changed().await.unwrap();
        let bank = store.bank(&bank_id()).await.unwrap().unwrap();
        assert_eq!(bank.stopped_reason, Some(StopReason::UnknownGrants));
        world.facts(journal.batch(6, 6), 1).await;
        assert_eq!(world.ended().await, "facts before an accepted birth");
        world.stop().await;
    }
}

#[tokio::test]
async fn unreadable_messages_and_a_batch_get_through_a_queue_of_one() {
    let directory = tempdir().unwrap();
    let limits = StoreLimits {
        queued_jobs: 1,
        group_jobs: 1,
        group_wait: std::time::Duration::from_millis(1),
        ..StoreLimits::default()
    };
    let store = open_store_with(directory.path(), limits).await;
    let journal = booked(&store).await;
    let mut world = World::start(&store).await;
    world.birth(&journal).await;
    world.say(UpTopic::Telemetry, b"\xff\xff".to_vec(), None).await;
    world.say(UpTopic::Facts, b"\xff\xff".to_vec(), Some(1)).await;
    world.say(UpTopic::Facts, b"\xff\xff".to_vec(), Some(2)).await;
    world.facts(journal.batch(6, 6), 3).await;
    let mut waiting = std::collections::BTreeSet::from([1, 2, 3]);
    while !waiting.is_empty() {
        if let Did::Acknowledged(token) = world.next().await {
            waiting.remove(&token);
        }
    }
    assert_eq!(store.bank(&bank_id()).await.unwrap().unwrap().committed_seq, 6);
    world.stop().await;
}

#[test]
fn a_deposit_that_is_heard_of_late_promises_as_long_as_any_other() {
    let mut journal = Journal::commissioned(EDGES);
    journal.deposit(1, 1);
    let before = Cursor { stream: journal.stream, committed: 0, hash: CHAIN_START };
    let hash = *journal.hashes.last().unwrap();
    let next = Cursor { committed: journal.head(), hash, ..before };
    let in_time = NOW.plus_ms(journal.head());
    let late = NOW.plus_ms(30 * 24 * 3_600 * 1_000);
    for (now, expected) in [(NOW, in_time), (late, late)] {
        let (bank, batch) = (&bank_id(), journal.batch(1, journal.head()));
        let accepted = Accepted {
            bank,
            batch,
            skip: 0,
            before,
            next,
            incomplete: false,
            device_keys: &[],
            now,
        };
        let outcome = fold_batch(&mut MemoryView::default(), accepted).unwrap();
        let deposited = outcome.write.effects.last().unwrap();
        assert_eq!((deposited.at, deposited.promised_from), (in_time, expected));
    }
}

#[tokio::test]
async fn a_layout_that_was_refused_is_offered_again_once_a_compartment_is_free() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    let mut journal = booked(&store).await;
    set_layout(&store, &bank_id(), specs(&[300]), request("layout"), NOW).await.unwrap();
    let mut world = World::start(&store).await;
    let mut birth = journal.birth();
    (birth.layout.0, birth.key_set.0) = (1, 1);
    world.birth_with(birth).await;
    let generation =
        async |world: &mut World| match Config::decode(&world.heard(DownTopic::Config).await)
            .unwrap()
            .document
        {
            Document::Layout(layout) => layout.generation.0,
            Document::KeySet(_) => panic!("the bank holds the keys"),
            Document::Mode(_) | Document::Quota(_) | Document::CourierCodes(_) => {
                panic!("nobody set one")
            }
        };
    assert_eq!(generation(&mut world).await, 2);
    journal.deposit(1, 2);
    journal.append(Fact::ConfigRefused(ConfigRefused {
        kind: ConfigKind::Layout,
        epoch: HubEpoch(0),
        generation: Generation(2),
        reason: ConfigRefusal::CompartmentInUse,
    }));
    world.facts(journal.batch(6, journal.head()), 1).await;
    world.acknowledged(1).await;
    let first = journal.head() + 1;
    journal.pick_up(1, 2, PickupEnd::Collected { presumed: false });
    world.facts(journal.batch(first, journal.head()), 2).await;
    loop {
        match world.next().await {
            Did::Sent { topic, .. } => assert_ne!(topic, DownTopic::Config, "offered too early"),
            Did::Acknowledged(2) => break,
            other @ (Did::Acknowledged(_) | Did::Ended { .. }) => panic!("{other:?}"),
        }
    }
    assert_eq!(generation(&mut world).await, 2);
    world.stop().await;
}

#[test]
fn what_a_bank_says_of_itself_is_shown_short_and_without_escapes() {
    assert_eq!(super::facts::printable("1.2\u{1b}[2J\u{202e}x"), "1.2?[2J?x");
    assert_eq!(super::facts::printable(&"x".repeat(1_000)).len(), 64);
}

#[tokio::test]
async fn modes_and_quotas_are_sent_once_to_a_bank_that_holds_older_ones() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    let mut journal = booked(&store).await;
    set_mode(&store, &bank_id(), true, request("mode"), NOW).await.unwrap();
    let mut world = World::start(&store).await;
    let mut birth = journal.birth();
    (birth.layout, birth.key_set) = (Generation(1), Generation(1));
    world.birth_with(birth.clone()).await;
    let config = Config::decode(&world.heard(DownTopic::Config).await).unwrap();
    let Document::Mode(mode) = config.document else { panic!("{config:?}") };
    assert!(mode.maintenance);
    let ceded = vec![(specs(EDGES)[0].inside, 1)];
    set_quota(&store, &bank_id(), ceded, request("quota"), NOW).await.unwrap();
    let config = Config::decode(&world.heard(DownTopic::Config).await).unwrap();
    let Document::Quota(quota) = config.document else { panic!("{config:?}") };
    journal.append(Fact::ConfigAccepted(ConfigDocument::Mode(mode).into()));
    journal.append(Fact::ConfigAccepted(ConfigDocument::Quota(quota).into()));
    world.facts(journal.batch(6, journal.head()), 1).await;
    world.acknowledged(1).await;
    world.disconnect().await;
    birth.head_seq = journal.head();
    birth.head_hash = *journal.hashes.last().unwrap();
    birth.connection_count = journal.birth().connection_count;
    world.birth_with(birth).await;
    // Grants come after documents: there were none.
    loop {
        match world.next().await {
            Did::Sent { topic: DownTopic::Grants, .. } => break,
            Did::Sent { topic: DownTopic::Config, .. } => panic!("sent again"),
            Did::Sent { .. } | Did::Acknowledged(_) | Did::Ended { .. } => {}
        }
    }
    let bank = store.bank(&bank_id()).await.unwrap().unwrap();
    assert!(bank.mode_held.maintenance && bank.quota_held.generation == Generation(1));
    world.stop().await;
}

#[tokio::test]
async fn c12_an_order_is_for_this_connection_and_is_answered_by_a_record() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    let mut journal = booked(&store).await;
    let mut world = World::start(&store).await;
    let call = |no: u8| {
        let (store, orders) = (store.clone(), world.orders.clone());
        async move {
            let fresh = CommandId([no; 16]);
            lock_down(&store, &orders, &bank_id(), fresh, request("order"), NOW).await
        }
    };
    let (away, ordered, again) = (call(1), call(2), call(3));
    assert!(matches!(away.await, Err(LockDownError::NotConnected)));
    world.birth(&journal).await;
    let ordered = tokio::spawn(ordered);
    let command = Command::decode(&world.heard(DownTopic::Command).await).unwrap();
    assert_eq!(command.kind, Some(CommandKind::LockDown));
    assert_eq!((command.nonce, command.bank), (journal.birth().nonce, bank_id()));
    assert_eq!(command.not_after, NOW.plus_ms(60_000));
    assert_eq!(command.id, CommandId([1; 16]), "the repeat is the first one's order");
    let reason = LockdownReason::Ordered;
    journal.append(Fact::LockdownBegan(LockdownBegan { reason }));
    let (command, answer) = (command.id, CommandAnswer::Done);
    journal.append(Fact::CommandAnswered(CommandAnswered { command, answer }));
    world.facts(journal.batch(6, journal.head()), 1).await;
    assert!(ordered.await.unwrap().unwrap().lockdown.is_some());
    // What was answered is not ordered again.
    assert!(again.await.is_ok());
    world.stop().await;
}
