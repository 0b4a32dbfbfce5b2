//! Banks that come late beside one that is live, and what becomes of what waits when something ends.
//!
//! The hub takes 64 records at a time, and the next ones once those are committed.

use locker_core::bank::DoorsRead;
use locker_core::compartment::DoorReading;
use locker_core::fact::Fact;
use locker_core::ids::{BankId, CompartmentNo};
use locker_proto::message::Ack;
use locker_proto::signed;
use tempfile::tempdir;

use super::EDGES;
use super::fixture::{
    self, Did, Hung, Journal, World, add_bank_as, bank_id, open_store, open_store_with,
};
use crate::ingest::Count;
use crate::mqtt::DownTopic;
use crate::store::tests::Room;
use crate::store::{Store, StoreLimits};

/// Records that every journal begins with, all committed.
const FIRST: u64 = 5;
const SLICE: u64 = 64;
/// The other bank's session.
const OTHERS: u64 = 100;

fn other() -> BankId {
    "bank-2".parse().unwrap()
}

/// A journal that the hub has the beginning of.
async fn begun(store: &Store, bank: BankId) -> Journal {
    add_bank_as(store, bank.clone(), EDGES).await;
    let journal = Journal::commissioned(EDGES);
    fixture::commit_as(store, &bank, &journal).await;
    journal
}

fn write(journal: &mut Journal, records: u64) {
    for _ in 0..records {
        let readings = vec![(CompartmentNo(1), DoorReading::Closed)];
        journal.append(Fact::DoorsRead(DoorsRead { readings }));
    }
}

async fn committed(store: &Store, bank: &BankId) -> u64 {
    store.bank(bank).await.unwrap().unwrap().committed_seq
}

/// The next acknowledgements.
async fn acknowledged(world: &mut World, count: usize) -> Vec<u32> {
    let mut tokens = Vec::new();
    while tokens.len() < count {
        match world.next().await {
            Did::Acknowledged(token) => tokens.push(token),
            Did::Sent { .. } => {}
            Did::Ended { reason, .. } => panic!("ended: {reason}"),
        }
    }
    tokens
}

#[tokio::test]
async fn a_live_fact_goes_before_all_that_waits() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    let (mut late, mut live) = (begun(&store, bank_id()).await, begun(&store, other()).await);
    let mut world = World::start_narrow(&store).await;
    world.birth(&late).await;
    world.join(&other(), OTHERS, &live).await;
    let hung = Hung::begin(&store).await;
    write(&mut late, 4 * SLICE);
    world.facts(late.batch(FIRST + 1, FIRST + 2 * SLICE), 1).await;
    world.facts(late.batch(FIRST + 2 * SLICE + 1, late.head()), 2).await;
    world.all_heard().await;
    write(&mut live, 1);
    world.facts_of(&other(), OTHERS, live.batch(live.head(), live.head()), 3).await;
    world.all_heard().await;
    hung.let_go().await;
    assert_eq!(acknowledged(&mut world, 3).await, [3, 1, 2]);
    assert_eq!(world.counters.get(Count::Waited), 2);
    world.stop().await;
}

#[tokio::test]
async fn what_a_late_bank_says_is_taken_in_its_order_and_all_of_it_once() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    let mut journal = begun(&store, bank_id()).await;
    let mut world = World::start_narrow(&store).await;
    world.birth(&journal).await;
    // The last one is as small as one of a live bank.
    let mut first = FIRST + 1;
    for (token, records) in (1..).zip([4 * SLICE, 2 * SLICE + 7, SLICE, 1]) {
        write(&mut journal, records);
        world.facts(journal.batch(first, journal.head()), token).await;
        first = journal.head() + 1;
    }
    let (mut tokens, mut told) = (Vec::new(), FIRST);
    while told < journal.head() {
        match world.next().await {
            Did::Acknowledged(token) => tokens.push(token),
            Did::Sent { topic: DownTopic::Ack, payload, .. } => {
                let ack = opened(&world, &payload);
                assert!(ack.committed_seq >= told);
                told = ack.committed_seq;
                let place = usize::try_from(told).unwrap();
                assert_eq!(ack.committed_hash, journal.hashes[place]);
            }
            Did::Sent { .. } => {}
            Did::Ended { reason, .. } => panic!("ended: {reason}"),
        }
    }
    assert_eq!(tokens, [1, 2, 3, 4]);
    assert_eq!(world.counters.get(Count::Facts), journal.head() - FIRST);
    assert_eq!(world.counters.get(Count::Batches), 4);
    assert_eq!(store.rows_written()["facts"], journal.head());
    world.stop().await;
}

fn opened(world: &World, payload: &[u8]) -> Ack {
    let topic = DownTopic::Ack;
    let keys = &world.held.command;
    Ack::decode(&signed::open(payload, topic, &bank_id(), keys).unwrap()).unwrap()
}

#[tokio::test]
async fn banks_that_come_late_take_turns() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    let mut journals = [begun(&store, bank_id()).await, begun(&store, other()).await];
    let mut world = World::start_narrow(&store).await;
    world.birth(&journals[0]).await;
    world.join(&other(), OTHERS, &journals[1]).await;
    let hung = Hung::begin(&store).await;
    for journal in &mut journals {
        write(journal, 4 * SLICE);
    }
    let batches = |journal: &Journal| {
        let middle = FIRST + 2 * SLICE;
        [journal.batch(FIRST + 1, middle), journal.batch(middle + 1, journal.head())]
    };
    for (token, batch) in (11..).zip(batches(&journals[0])) {
        world.facts(batch, token).await;
    }
    for (token, batch) in (21..).zip(batches(&journals[1])) {
        world.facts_of(&other(), OTHERS, batch, token).await;
    }
    world.all_heard().await;
    hung.let_go().await;
    assert_eq!(acknowledged(&mut world, 4).await, [11, 21, 12, 22]);
    assert_eq!(world.counters.get(Count::Waited), 4);
    world.stop().await;
}

#[tokio::test]
async fn what_waits_when_a_session_ends_comes_again_in_the_next_one() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    let mut journal = begun(&store, bank_id()).await;
    let mut world = World::start_narrow(&store).await;
    world.birth(&journal).await;
    let hung = Hung::begin(&store).await;
    write(&mut journal, 4 * SLICE);
    world.facts(journal.batch(FIRST + 1, FIRST + 3 * SLICE), 1).await;
    world.facts(journal.batch(FIRST + 3 * SLICE + 1, journal.head()), 2).await;
    world.all_heard().await;
    world.disconnect().await;
    world.connect().await;
    world.all_heard().await;
    hung.let_go().await;
    world.say(crate::mqtt::UpTopic::Birth, journal.birth().encode(), Some(3)).await;
    // Neither 1 nor 2: what was under way is committed, and no more of it.
    assert_eq!(acknowledged(&mut world, 1).await, [3]);
    let known = world.ack().await.committed_seq;
    assert_eq!(known, FIRST + SLICE);
    world.facts(journal.batch(known + 1, journal.head()), 4).await;
    assert_eq!(acknowledged(&mut world, 1).await, [4]);
    assert_eq!(world.counters.get(Count::Facts), journal.head() - FIRST);
    world.stop().await;
}

#[tokio::test]
async fn what_waits_behind_a_slice_that_is_not_committed_comes_again() {
    let directory = tempdir().unwrap();
    let limits = StoreLimits { group_jobs: 1, ..StoreLimits::default() };
    let store = open_store_with(directory.path(), limits).await;
    let mut journal = begun(&store, bank_id()).await;
    let mut world = World::start_narrow(&store).await;
    world.birth(&journal).await;
    let hung = Hung::begin(&store).await;
    write(&mut journal, 4 * SLICE);
    world.facts(journal.batch(FIRST + 1, FIRST + 3 * SLICE), 1).await;
    world.facts(journal.batch(FIRST + 3 * SLICE + 1, journal.head()), 2).await;
    world.all_heard().await;
    // The disk is full after the first slice.
    let (filled, ()) = tokio::join!(store.decide(Room(Some(1))), hung.let_go());
    filled.unwrap();
    assert_eq!(world.ended().await, "batch not committed");
    assert_eq!(committed(&store, &bank_id()).await, FIRST + SLICE);
    world.all_heard().await;
    world.nothing_sent();
    world.disconnect().await;
    store.decide(Room(None)).await.unwrap();
    let known = world.birth(&journal).await.committed_seq;
    assert_eq!(known, FIRST + SLICE);
    world.facts(journal.batch(known + 1, journal.head()), 3).await;
    assert_eq!(acknowledged(&mut world, 1).await, [3]);
    assert_eq!(world.counters.get(Count::Facts), journal.head() - FIRST);
    assert_eq!(world.counters.get(Count::EarlyFacts), 0);
    world.stop().await;
}

#[tokio::test]
async fn a_record_in_the_middle_that_says_it_is_another_one_costs_only_what_follows_it() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    let mut journal = begun(&store, bank_id()).await;
    let mut world = World::start_narrow(&store).await;
    world.birth(&journal).await;
    write(&mut journal, SLICE + 1);
    let mut record = journal.record(Fact::DoorsRead(DoorsRead { readings: Vec::new() }));
    record.seq = 99_999;
    journal.append_bytes(locker_proto::record::encode_record(&record));
    write(&mut journal, SLICE);
    world.facts(journal.batch(FIRST + 1, journal.head()), 1).await;
    // With the message that is kept.
    world.acknowledged(1).await;
    assert_eq!(world.counters.get(Count::Unreadable), 1);
    assert_eq!(committed(&store, &bank_id()).await, FIRST + SLICE);
    world.stop().await;
}

#[tokio::test]
async fn ingest_stops_without_what_waits() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    let mut journal = begun(&store, bank_id()).await;
    let mut world = World::start_narrow(&store).await;
    world.birth(&journal).await;
    let hung = Hung::begin(&store).await;
    write(&mut journal, 4 * SLICE);
    world.facts(journal.batch(FIRST + 1, journal.head()), 1).await;
    world.all_heard().await;
    tokio::join!(world.stop(), hung.let_go());
    assert_eq!(committed(&store, &bank_id()).await, FIRST + SLICE);
}
