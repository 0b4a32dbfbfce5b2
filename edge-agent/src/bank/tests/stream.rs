//! What the loop does while the hub gives records back, and when it seals.

use locker_core::bank::BoardChanged;
use locker_core::clock::TimeQuality;
use locker_core::ids::{BootId, IntentId};
use locker_core::journal::{ChainHash, Place, Record, Sealed, StreamBreak, next_hash};
use locker_proto::message::{Nonce, RestoreKind};
use locker_proto::record::encode_record;

use super::world::{badge, staff};
use super::*;
use crate::journal::{Damage, ReadError};

/// The whole journal, and two records that the bank has lost since it told the hub.
fn told(world: &World) -> (Vec<Vec<u8>>, Vec<ChainHash>) {
    let stored = world.reader.read(1, usize::MAX, usize::MAX).unwrap();
    let mut records: Vec<_> = stored.into_iter().map(|stored| stored.record).collect();
    let mut hashes = vec![ChainHash([0; 32])];
    for record in &records {
        hashes.push(next_hash(hashes[hashes.len() - 1], record));
    }
    for _ in 0..2 {
        let previous = hashes[hashes.len() - 1];
        let record = Record {
            stream: StreamId([7; 16]),
            seq: records.len() as u64 + 1,
            boot: BootId([1; 16]),
            at: NOW,
            quality: TimeQuality::Unknown,
            previous,
            trace: None,
            detached: None,
            fact: Fact::BoardChanged(BoardChanged { board: 9, online: true }),
        };
        let bytes = encode_record(&record);
        hashes.push(next_hash(previous, &bytes));
        records.push(bytes);
    }
    (records, hashes)
}

/// The records `first..=last` of what the hub was told.
fn run(told: &(Vec<Vec<u8>>, Vec<ChainHash>), first: usize, last: usize) -> Event {
    let (records, hashes) = told;
    let seq = records.len() as u64;
    Event::Restore(Restore {
        stream: StreamId([7; 16]),
        nonce: Nonce([0; 16]),
        kind: RestoreKind::Run {
            first_seq: first as u64,
            previous: hashes[first - 1],
            records: records[first - 1..last].to_vec(),
            until: Place { seq, hash: hashes[records.len()] },
        },
    })
}

/// The hub's order to begin a new stream.
fn new_stream() -> Event {
    Event::Restore(Restore {
        stream: StreamId([7; 16]),
        nonce: Nonce([0; 16]),
        kind: RestoreKind::NewStream { reason: StreamBreak::Forked, common: None },
    })
}

#[tokio::test(start_paused = true)]
async fn p_j_while_records_are_given_back_only_staff_open_doors_and_then_the_agent_starts_again() {
    let mut world = World::ready().await;
    let no = world.stored(1).await;
    let told = told(&world);
    let last = told.0.len();
    world.events.send(run(&told, last - 1, last - 1)).await.unwrap();
    world.settle().await;
    let facts = world.facts().len();
    assert!(world.state.borrow().being_prepared, "the screen says why");
    assert_eq!(world.scan(&code(1)).await, Err(Refusal::BeingPrepared));
    assert_eq!(world.scan(&badge()).await, Err(Refusal::BeingPrepared));
    assert_eq!(world.key_in("123456", None).await, Err(Refusal::BeingPrepared));
    assert_eq!(
        (world.facts().len(), world.intents()),
        (facts, 1),
        "refused, and nothing is recorded"
    );
    // Also after a start without a network.
    let mut world = world.killed_and_started_again().await;
    assert!(world.state.borrow().being_prepared);
    world.hear().await;
    assert_eq!(world.scan(&code(1)).await, Err(Refusal::BeingPrepared));

    world.events.send(run(&told, last, last)).await.unwrap();
    assert!(matches!(world.ended().await, BankError::StartAgain));
    let world = world.started_again().await;
    let now = world.reader.read(1, usize::MAX, usize::MAX).unwrap();
    assert!(now.iter().map(|stored| &stored.record).zip(&told.0).all(|(one, other)| one == other));
    assert!(now.len() > last, "its start is said again");
    world.hear().await;
    world.doors_known().await;
    assert!(!world.state.borrow().being_prepared);
    world.scan(&code(1)).await.unwrap();
    assert_eq!(world.until_phase(PanelPhase::Open).await, no);
}

#[tokio::test(start_paused = true)]
async fn p_j_staff_may_open_doors_meanwhile_and_are_not_interrupted() {
    let mut world = World::ready().await;
    let no = world.stored(1).await;
    let told = told(&world);
    let last = told.0.len();
    world.events.send(run(&told, last - 1, last - 1)).await.unwrap();
    world.scan(&staff(100)).await.unwrap();
    world.ask(Ask::Inspect(CompartmentNo(no))).await.unwrap();
    world.until_phase(PanelPhase::Open).await;
    world.events.send(run(&told, last, last)).await.unwrap();
    world.settle().await;
    world.close(no).await;
    world.ask(Ask::Found(locker_core::bank::StaffFinding::Empty)).await.unwrap();
    world.ask(Ask::Finish).await.unwrap();
    assert!(matches!(world.ended().await, BankError::StartAgain));
    // What staff did is on one branch only: the next start begins a stream in which it is in doubt.
    assert!(world.dir_path().join("incoming").join("until").exists());
}

#[tokio::test(start_paused = true)]
async fn r06_a_hub_that_goes_on_with_the_journal_ends_what_another_began_to_give_back() {
    let mut world = World::ready().await;
    world.stored(1).await;
    let told = told(&world);
    world.events.send(run(&told, told.0.len() - 1, told.0.len() - 1)).await.unwrap();
    world.settle().await;
    assert_eq!(world.scan(&code(1)).await, Err(Refusal::BeingPrepared));
    // It was restored from a backup, and lacks what this bank has instead.
    world.events.send(Event::Linked(true)).await.unwrap();
    world.settle().await;
    assert!(!world.state.borrow().being_prepared);
    world.scan(&code(1)).await.unwrap();
    let world = world.killed_and_started_again().await;
    assert!(!world.dir_path().join("incoming").join("until").exists());
}

#[tokio::test(start_paused = true)]
async fn p_j_a_new_stream_that_the_hub_orders_is_begun_at_the_next_start() {
    let mut world = World::ready().await;
    world.events.send(new_stream()).await.unwrap();
    assert!(matches!(world.ended().await, BankError::StartAgain));
}

/// Only staff may open doors, until the hub goes on with this journal; then the code of parcel 1 opens door `no` as before.
async fn is_for_staff_until_linked(world: &World, no: u16) {
    world.settle().await;
    assert!(world.state.borrow().being_prepared, "the screen says why");
    assert_eq!(world.scan(&code(1)).await, Err(Refusal::BeingPrepared));
    assert_eq!(world.scan(&badge()).await, Err(Refusal::BeingPrepared));
    world.scan(&staff(100)).await.unwrap();
    world.ask(Ask::Inspect(CompartmentNo(3))).await.unwrap();
    assert_eq!(world.until_phase(PanelPhase::Open).await, 3);
    world.close(3).await;
    world.ask(Ask::Found(locker_core::bank::StaffFinding::Empty)).await.unwrap();
    world.ask(Ask::Finish).await.unwrap();
    world.events.send(Event::Linked(false)).await.unwrap();
    world.settle().await;
    assert_eq!(world.scan(&code(1)).await, Err(Refusal::BeingPrepared));
    world.events.send(Event::Linked(true)).await.unwrap();
    world.settle().await;
    assert!(!world.state.borrow().being_prepared);
    world.scan(&code(1)).await.unwrap();
    assert_eq!(world.until_phase(PanelPhase::Open).await, no);
}

#[tokio::test(start_paused = true)]
async fn p_j_records_that_this_agent_cannot_read_leave_doors_to_staff_until_the_hub_links() {
    let mut world = World::ready().await;
    let no = world.stored(1).await;
    let (mut records, hashes) = told(&world);
    let last = records.len();
    records[last - 2] = b"\xff of a newer agent".to_vec();
    world.events.send(run(&(records, hashes), last - 1, last)).await.unwrap();
    is_for_staff_until_linked(&world, no).await;
    assert!(!world.dir_path().join("incoming").join("until").exists(), "nothing was kept");
}

#[tokio::test(start_paused = true)]
async fn p_j_records_and_orders_that_find_no_room_leave_doors_to_staff_until_the_hub_links() {
    for order in [false, true] {
        let mut world = World::ready().await;
        let no = world.stored(1).await;
        let told = told(&world);
        let last = told.0.len();
        let given = if order { new_stream() } else { run(&told, last - 1, last) };
        world.disk.set_room(Some(0));
        world.events.send(given).await.unwrap();
        world.settle().await;
        world.disk.set_room(None);
        is_for_staff_until_linked(&world, no).await;
    }
}

fn damage() -> Event {
    let segment = "journal/seg-00000000000000000001.log".into();
    Event::Damaged(ReadError::Damaged { segment, offset: 4_711, seq: 77, damage: Damage::Record })
}

#[tokio::test(start_paused = true)]
async fn p_f_damage_where_the_hub_needs_it_ends_the_agent_once_nobody_is_at_the_screen() {
    let mut world = World::ready().await;
    let note = world.dir_path().join("journal.suspect");
    // Without the note the next start would come up as if nothing were wrong.
    world.disk.set_room(Some(0));
    world.events.send(damage()).await.unwrap();
    world.settle().await;
    assert!(!note.exists());
    world.disk.set_room(None);

    world.courier_with(1).await;
    world.scan("PKG1").await.unwrap();
    let no = world.until_phase(PanelPhase::Open).await;
    world.events.send(damage()).await.unwrap();
    world.settle().await;
    assert!(std::fs::read_to_string(&note).unwrap().contains("damaged at byte 4711, seq 77"));
    world.close(no).await;
    world.ask(DEPOSITED).await.unwrap();
    world.ask(Ask::Finish).await.unwrap();
    let BankError::Damaged(damage) = world.ended().await else { panic!("another end") };
    assert!(damage.to_string().ends_with("is damaged at byte 4711, seq 77"), "{damage}");
    // The next start reads it through; nothing is wrong with this one.
    let world = world.started_again().await;
    assert!(!note.exists());
    assert!(matches!(world.parcel(1).state, ParcelState::Stored { .. }));
}

fn seals(world: &World) -> Vec<Sealed> {
    let sealed = |fact| if let Fact::Sealed(sealed) = fact { Some(sealed) } else { None };
    world.facts().into_iter().filter_map(sealed).collect()
}

#[tokio::test(start_paused = true)]
async fn records_are_sealed_before_each_introduction_and_within_a_minute_of_quiet() {
    let world = World::ready_to_seal().await;
    world.introduction().await;
    let before = seals(&world);
    let head = world.reader.head_seq();
    assert_eq!(before.last().unwrap().upto, head - 1);
    world.introduction().await;
    assert_eq!(seals(&world).len(), before.len(), "there is nothing new to seal");

    let first = GrantPosition { epoch: HubEpoch(1), gseq: 1 };
    let grants = Grants { first, grants: vec![Grant::Book(booking(1))], at: NOW };
    world.events.send(Event::Grants(grants)).await.unwrap();
    world.until_journal("parcel 1 is booked", |view| !view.parcels().is_empty()).await;
    tokio::time::sleep(Duration::from_secs(58)).await;
    assert_eq!(seals(&world).len(), before.len());
    tokio::time::sleep(Duration::from_secs(3)).await;
    let after = seals(&world);
    assert_eq!(after.len(), before.len() + 1);
    assert_eq!(after.last().unwrap().upto, world.reader.head_seq() - 1);
    // And then the disk is left alone.
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(seals(&world).len(), after.len());
    assert_eq!(world.view().meta().last_intent, IntentId(0));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sealed_while_somebody_is_at_the_screen() {
    let mut world = World::ready_to_seal().await;
    world.introduction().await;
    let before = seals(&world).len();
    world.courier_with(1).await;
    world.scan("PKG1").await.unwrap();
    let no = world.until_phase(PanelPhase::Open).await;
    world.introduction().await;
    // Its own records have been sealed with the booking's introduction at the latest, before the courier came.
    let meanwhile = seals(&world).len();
    assert!(meanwhile <= before + 1);
    world.close(no).await;
    world.ask(DEPOSITED).await.unwrap();
    assert_eq!(seals(&world).len(), meanwhile);
    world.ask(Ask::Finish).await.unwrap();
    world.introduction().await;
    assert_eq!(seals(&world).len(), meanwhile + 1);
}
