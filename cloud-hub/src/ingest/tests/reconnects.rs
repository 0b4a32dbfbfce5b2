//! Banks that come again, say again what they said, and heard of decisions late.

use locker_core::bank::PickupEnd;
use locker_core::downlink::{GrantPosition, GrantRefusal, GrantRefused};
use locker_core::fact::Fact;
use locker_core::ids::ParcelId;
use locker_core::parcel::RecallReason;
use locker_proto::message::Birth;
use tempfile::tempdir;

use super::fixture::{Did, NOW, World, bank_id, carrier, open_store, request};
use super::{booked, count, kinds, state};
use crate::ingest::Count;
use crate::mqtt::{DownTopic, UpTopic};
use crate::parcels::{ParcelChange, change_parcel};
use crate::store::{EventKind, HubParcelState};

/// Records in one batch.
const BATCH: u64 = 256;

#[tokio::test]
async fn r04_a_month_that_comes_again_is_no_news_and_holds_no_telemetry_up() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    let mut journal = booked(&store).await;
    journal.deposit(1, 1);
    for _ in 0..1_000 {
        journal.pick_up(1, 1, PickupEnd::NotTaken);
    }
    let batches: Vec<_> = (6..=journal.head())
        .step_by(usize::try_from(BATCH).unwrap())
        .map(|first| journal.batch(first, journal.head().min(first + BATCH - 1)))
        .collect();
    let mut world = World::start(&store).await;
    for round in 1..=3 {
        world.birth(&journal).await;
        // As many as a session may have outstanding.
        for some in batches.chunks(4) {
            for (token, batch) in (1..).zip(some) {
                world.facts(batch.clone(), token).await;
                world.say(UpTopic::Telemetry, Vec::new(), None).await;
            }
            for token in (1..).take(some.len()) {
                world.acknowledged(token).await;
            }
        }
        world.disconnect().await;
        let said = round * u64::try_from(batches.len()).unwrap();
        assert_eq!(world.counters.get(Count::Telemetry), said);
        assert_eq!(world.counters.get(Count::Facts), journal.head() - 5);
    }
    assert_eq!(world.counters.get(Count::Duplicates), 2 * u64::try_from(batches.len()).unwrap());
    let events = store.events_after(0, None, 10_000).await.unwrap();
    let kinds: Vec<EventKind> = events.iter().map(|event| event.kind).collect();
    assert_eq!(count(&kinds, EventKind::ParcelStored), 1);
    assert_eq!(count(&kinds, EventKind::ParcelPickupAborted), 1_000);
    assert_eq!(store.due_notices(crate::ingest::now(), 10).await.unwrap().len(), 1);
    world.stop().await;
}

#[tokio::test]
async fn r05_a_bank_that_introduces_itself_again_is_no_news() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    let mut journal = booked(&store).await;
    let mut world = World::start(&store).await;
    world.birth(&journal).await;
    journal.deposit(1, 1);
    world.facts(journal.batch(6, journal.head()), 1).await;
    world.acknowledged(1).await;
    world.disconnect().await;
    let before = store.events_after(0, None, 1_000).await.unwrap();
    let rows = store.rows_written();
    let held = GrantPosition { epoch: store.epoch(), gseq: 1 };
    for _ in 0..5 {
        // The whole of what it knows, each time.
        let birth = Birth { grants: held, ..journal.birth() };
        assert_eq!(world.birth_with(birth).await.committed_seq, journal.head());
        world.facts(journal.batch(1, journal.head()), 2).await;
        loop {
            match world.next().await {
                Did::Acknowledged(2) => break,
                Did::Sent { topic, .. } => assert_ne!(topic, DownTopic::Grants, "nothing again"),
                other @ (Did::Acknowledged(_) | Did::Ended { .. }) => panic!("{other:?}"),
            }
        }
        world.disconnect().await;
    }
    assert_eq!(store.events_after(0, None, 1_000).await.unwrap(), before);
    let wrote = store.rows_written();
    for table in ["facts", "events", "notices", "parcels", "grants", "bank_entities"] {
        assert_eq!(wrote.get(table), rows.get(table), "{table}");
    }
    world.stop().await;
}

#[tokio::test]
async fn r10_a_recipient_who_was_first_has_the_parcel_although_it_was_called_back() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    let mut journal = booked(&store).await;
    let mut world = World::start(&store).await;
    world.birth(&journal).await;
    journal.deposit(1, 1);
    world.facts(journal.batch(6, journal.head()), 1).await;
    world.acknowledged(1).await;
    world.disconnect().await;
    // The bank is dark: its recipient is at the open door when the sender calls the parcel back.
    let recall = ParcelChange::Recall { reason: RecallReason::Sender };
    change_parcel(&store, &carrier(), "p1", recall, request("recall"), NOW).await.unwrap();
    assert_eq!(state(&store, 1).await, HubParcelState::RecallRequested);
    let known = journal.head();
    journal.pick_up(1, 1, PickupEnd::Collected { presumed: false });
    let position = GrantPosition { epoch: store.epoch(), gseq: 2 };
    let (parcel, reason) = (Some(ParcelId([1; 16])), GrantRefusal::TooLate);
    journal.append(Fact::GrantRefused(GrantRefused { position, parcel, reason }));
    world.birth(&journal).await;
    world.facts(journal.batch(known + 1, journal.head()), 2).await;
    world.acknowledged(2).await;
    assert_eq!(state(&store, 1).await, HubParcelState::Collected);
    let kinds = kinds(&store).await;
    assert_eq!(count(&kinds, EventKind::ParcelCollected), 1);
    assert_eq!(count(&kinds, EventKind::ParcelRecalled), 0);
    let bank = store.bank(&bank_id()).await.unwrap().unwrap();
    assert_eq!(bank.stopped_reason, None);
    world.stop().await;
}
