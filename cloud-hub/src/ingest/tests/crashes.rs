//! The hub dies at every point between hearing of something and having told everybody, and its disk
//! is full.
//!
//! A hub that is killed leaves its files as they are at that moment: each test goes on from a copy of
//! them, taken while nothing is written.

use std::path::Path;

use locker_core::bank::PickupEnd;
use tempfile::{TempDir, tempdir};

use super::fixture::{Hung, Journal, World, bank_id, open_store};
use super::{booked, count, kinds, state};
use crate::store::tests::Room;
use crate::store::{EventKind, HubParcelState, NoticeOutcome, NoticeRow};

/// What a hub leaves that dies now.
fn left_behind(directory: &Path) -> TempDir {
    let copy = tempdir().unwrap();
    for name in ["hub.db", "hub.db-wal"] {
        // One that was closed has no log.
        if directory.join(name).exists() {
            std::fs::copy(directory.join(name), copy.path().join(name)).unwrap();
        }
    }
    copy
}

/// From what a hub left behind to the end of parcel 1's story; the bank believes only the ack of
/// its birth.
async fn goes_on(left: &TempDir, journal: &Journal) -> Vec<(u64, EventKind, String)> {
    let store = open_store(left.path()).await;
    let mut world = World::start(&store).await;
    let ack = world.birth(journal).await;
    let known = usize::try_from(ack.committed_seq).unwrap();
    assert_eq!(ack.committed_hash, journal.hashes[known], "the watermark names what is there");
    if ack.committed_seq < journal.head() {
        world.facts(journal.batch(ack.committed_seq + 1, journal.head()), 1).await;
        world.acknowledged(1).await;
    }
    assert_eq!(state(&store, 1).await, HubParcelState::Collected);
    let row = store.bank(&bank_id()).await.unwrap().unwrap();
    assert_eq!(row.committed_seq, journal.head());
    world.stop().await;
    let events = store.events_after(0, None, 1_000).await.unwrap();
    store.close().await;
    let of_facts = |id: &str| if id.starts_with("bank-1:") { id.to_owned() } else { String::new() };
    events.iter().map(|event| (event.position, event.kind, of_facts(&event.event_id))).collect()
}

#[tokio::test]
async fn a_hub_that_dies_between_any_two_steps_loses_and_doubles_nothing() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    let mut journal = booked(&store).await;
    let mut world = World::start(&store).await;
    world.birth(&journal).await;
    let mut left = Vec::new();
    let mut points = Vec::new();
    let mut dies = |point: &'static str| {
        left.push(left_behind(directory.path()));
        points.push(point);
    };

    journal.deposit(1, 1);
    let mut told = 5;
    for round in 0..2 {
        if round == 1 {
            journal.pick_up(1, 1, PickupEnd::Collected { presumed: false });
        }
        dies("before it hears of a batch");
        let hung = Hung::begin(&store).await;
        world.facts(journal.batch(told + 1, journal.head()), 1).await;
        // Said after the batch: when this is counted, the batch is at the store.
        world.all_heard().await;
        dies("after it has received a batch and before the commit");
        let mut committed = store.committed_events();
        committed.borrow_and_update();
        hung.let_go().await;
        committed.changed().await.unwrap();
        dies("after the commit and before PUBACK and ack");
        world.acknowledged(1).await;
        dies("after the PUBACK and before the ack");
        world.ack_of(journal.head()).await;
        dies("after the ack and before anybody has read the event");
        told = journal.head();
    }
    world.stop().await;
    store.close().await;
    dies("never");

    let never = goes_on(&left.pop().unwrap(), &journal).await;
    let positions: Vec<u64> = never.iter().map(|(position, ..)| *position).collect();
    assert_eq!(positions, (1..=positions.len() as u64).collect::<Vec<_>>(), "no event is skipped");
    for (left, point) in left.iter().zip(points) {
        assert_eq!(goes_on(left, &journal).await, never, "{point}");
    }
}

#[tokio::test]
async fn a_hub_that_dies_with_a_letter_in_its_hands_sends_at_most_one_more_with_the_same_name() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    let mut journal = booked(&store).await;
    let mut world = World::start(&store).await;
    world.birth(&journal).await;
    journal.deposit(1, 1);
    world.facts(journal.batch(6, journal.head()), 1).await;
    world.acknowledged(1).await;
    let before = left_behind(directory.path());
    let now = crate::ingest::now();
    let claimed = store.due_notices(now, 10).await.unwrap().remove(0);
    // The relay has taken it, and nobody has noted that.
    let between = left_behind(directory.path());
    store.settle_notice(claimed.id, NoticeOutcome::Sent).await.unwrap();
    let after = left_behind(directory.path());
    world.stop().await;
    for (left, letters) in [(before, 1), (between, 1), (after, 0)] {
        let store = open_store(left.path()).await;
        let due = store.due_notices(now, 10).await.unwrap();
        assert_eq!(due.len(), letters);
        for notice in due {
            // What a letter is named after, by which a mailbox knows that it has it.
            let named = |row: &NoticeRow| (row.parcel.uid, row.version, row.kind);
            assert_eq!(named(&notice), named(&claimed));
            store.settle_notice(notice.id, NoticeOutcome::Sent).await.unwrap();
        }
        store.close().await;
        let store = open_store(left.path()).await;
        assert!(store.due_notices(now, 10).await.unwrap().is_empty());
        store.close().await;
    }
}

#[tokio::test]
async fn on_a_full_disk_nothing_is_half_written_and_all_goes_on_once_there_is_room() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    let mut journal = booked(&store).await;
    let mut world = World::start(&store).await;
    let committed = world.birth(&journal).await.committed_seq;
    let before = kinds(&store).await;
    store.decide(Room(Some(1))).await.unwrap();
    journal.deposit(1, 1);
    for _ in 0..100 {
        journal.pick_up(1, 1, PickupEnd::NotTaken);
    }
    for _ in 0..3 {
        world.facts(journal.batch(committed + 1, journal.head()), 1).await;
        assert_eq!(world.ended().await, "batch not committed");
        world.disconnect().await;
        let row = store.bank(&bank_id()).await.unwrap().unwrap();
        assert_eq!(row.committed_seq, committed);
        assert_eq!(kinds(&store).await, before);
        assert_eq!(state(&store, 1).await, HubParcelState::Booked);
        // What fits is still done: the bank hears that the hub is there, and how far it is.
        assert_eq!(world.birth(&journal).await.committed_seq, committed);
    }
    store.decide(Room(None)).await.unwrap();
    world.facts(journal.batch(committed + 1, journal.head()), 2).await;
    world.acknowledged(2).await;
    assert_eq!(state(&store, 1).await, HubParcelState::Stored);
    assert_eq!(count(&kinds(&store).await, EventKind::ParcelStored), 1);
    assert_eq!(count(&kinds(&store).await, EventKind::ParcelPickupAborted), 100);
    world.stop().await;
}
