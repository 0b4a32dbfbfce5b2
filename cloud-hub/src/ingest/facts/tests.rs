//! Tests of what facts mean, over a real store.

use locker_core::bank::{BoardChanged, PowerChanged, PowerSource};
use locker_core::bank::{BookingLapsed, CommandAnswer, CommandAnswered, DoorMoved, Finding};
use locker_core::bank::{InspectionSettled, InspectionStarted, KeepLapsed, LockdownBegan};
use locker_core::bank::{KeypadReset, LockdownLiftAsked, LockdownReason, OpenerKind, OpeningClass};
use locker_core::clock::TimeQuality;
use locker_core::code::slot::{Sealed, Slot, SlotId};
use locker_core::code::tag::Tag;
use locker_core::compartment::DoorReading;
use locker_core::downlink::{Booking, CompartmentReserved};
use locker_core::ids::{CommandId, CredentialId, HubEpoch, SessionId, Version};
use locker_core::journal::{Record, fold};
use locker_core::parcel::Terms;
use locker_core::units::{Grams, UnixMillis};
use locker_core::uplink::inlet::Cursor;
use locker_proto::record::{decode_record, encode_record};
use tempfile::tempdir;

use super::*;
use crate::ingest::batch::{Accepted, fold_batch};
use crate::ingest::tests::fixture::{
    Journal, NOW, add_bank, add_parcel, bank_id, book, carrier, commit_more, cube, open_store,
    trace,
};
use crate::store::{HubParcelState, Store};

const EDGES: &[u32] = &[300, 300];

/// Parcels 1 and 2, booked at the bank, which has heard of it.
async fn two_booked(store: &Store) -> Journal {
    add_bank(store, EDGES).await;
    let mut journal = Journal::commissioned(EDGES);
    commit_more(store, &journal, 0).await;
    let known = journal.head();
    for no in [1, 2] {
        add_parcel(store, no, 200).await;
        book(store, no).await;
    }
    let after = locker_core::downlink::GrantPosition { epoch: store.epoch(), gseq: 0 };
    let grants = store.downlink(&bank_id(), after, 9).await.unwrap().unwrap().grants;
    for (gseq, grant) in (1..).zip(grants) {
        journal.accept(store.epoch(), gseq, grant);
    }
    commit_more(store, &journal, known).await;
    journal
}

fn uid(no: u8) -> ParcelId {
    ParcelId([no; 16])
}

async fn state(store: &Store, no: u8) -> HubParcelState {
    store.parcel_by_uid(uid(no)).await.unwrap().unwrap().state
}

/// Kinds and details of what happened after `journal` was committed up to `known`.
async fn told(store: &Store, journal: &Journal, known: u64) -> Vec<(EventKind, String)> {
    let position = store.last_event().await.unwrap();
    commit_more(store, journal, known).await;
    let events = store.events_after(position, None, 100).await.unwrap();
    events.into_iter().map(|event| (event.kind, event.detail)).collect()
}

fn inspect(journal: &mut Journal, no: u16, finding: Finding) {
    let (session, compartment) = (SessionId([5; 16]), CompartmentNo(no));
    journal.append(Fact::InspectionStarted(InspectionStarted { session, compartment }));
    journal.append(Fact::InspectionSettled(InspectionSettled { session, compartment, finding }));
}

#[tokio::test]
async fn k08_two_wrong_parcels_name_each_other_and_staff_put_them_right() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    let mut journal = two_booked(&store).await;
    journal.deposit(1, 1);
    journal.deposit(2, 2);
    journal.pick_up(1, 1, PickupEnd::WrongParcel);
    commit_more(&store, &journal, 7).await;
    assert_eq!(state(&store, 1).await, HubParcelState::Disputed);
    let known = journal.head();
    journal.pick_up(2, 2, PickupEnd::WrongParcel);
    let told_of = told(&store, &journal, known).await;
    let disputed: Vec<_> =
        told_of.iter().filter(|(kind, _)| *kind == EventKind::ParcelDisputed).collect();
    assert_eq!(disputed[0].1, "WRONG_PARCEL, see carriers/acme/parcels/p1");
    assert_eq!(disputed[1].1, "WRONG_PARCEL, see carriers/acme/parcels/p2");
    let known = journal.head();
    inspect(&mut journal, 1, Finding::Holds(uid(2)));
    inspect(&mut journal, 2, Finding::Holds(uid(1)));
    let told_of = told(&store, &journal, known).await;
    for (no, compartment) in [(1, 2), (2, 1)] {
        let row = store.parcel_by_uid(uid(no)).await.unwrap().unwrap();
        let place = (row.state, row.compartment);
        // The first find leaves the other one missing until it is found as well.
        assert_eq!(place, (HubParcelState::Stored, Some(CompartmentNo(compartment))));
    }
    let released = (EventKind::CompartmentReleased, "WRONG_PARCEL".to_owned());
    assert_eq!(told_of.iter().filter(|what| **what == released).count(), 2);
    let named = "FOUND_BY_STAFF, see carriers/acme/parcels/p1";
    assert!(told_of.iter().any(|(_, detail)| detail == named), "{told_of:?}");
}

#[tokio::test]
async fn k07_an_empty_compartment_is_disputed_and_staff_say_that_the_parcel_is_missing() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    let mut journal = two_booked(&store).await;
    journal.deposit(1, 1);
    journal.pick_up(1, 1, PickupEnd::FoundEmpty);
    let told_of = told(&store, &journal, 7).await;
    let disputed = (EventKind::ParcelDisputed, "FOUND_EMPTY".to_owned());
    assert!(told_of.contains(&disputed), "{told_of:?}");
    let known = journal.head();
    inspect(&mut journal, 1, Finding::Empty);
    let told_of = told(&store, &journal, known).await;
    assert_eq!(told_of[0], (EventKind::ParcelDisputed, "MISSING".to_owned()));
    assert_eq!(told_of[1], (EventKind::CompartmentReleased, "FOUND_EMPTY".to_owned()));
    assert_eq!(state(&store, 1).await, HubParcelState::Missing);
    // It lay behind something: it waits again, and nobody asks it back.
    let known = journal.head();
    inspect(&mut journal, 2, Finding::Holds(uid(1)));
    let told_of = told(&store, &journal, known).await;
    let stored = (EventKind::ParcelStored, "FOUND_BY_STAFF".to_owned());
    assert!(told_of.contains(&stored), "{told_of:?}");
    let row = store.parcel_by_uid(uid(1)).await.unwrap().unwrap();
    assert_eq!((row.state, row.recall), (HubParcelState::Stored, None));
    let at_bank = store.load_bank(&bank_id()).await.unwrap().unwrap().view;
    let known = View::parcel(&at_bank, uid(1)).unwrap();
    assert_eq!((known.state.compartment(), known.recall), (row.compartment, None));
}

#[tokio::test]
async fn k07_a_missing_parcels_digits_stay_its_own_until_the_bank_forgets_them() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    let mut journal = two_booked(&store).await;
    let slot = Slot {
        id: SlotId([7; 16]),
        tag: Tag::from_bytes([8; 16]),
        sealed: Sealed::try_from(vec![1, 2]).unwrap(),
    };
    journal.accept(store.epoch(), 3, Grant::Slots(vec![slot.clone()]));
    journal.deposit_with_code(1, 1, &slot);
    journal.pick_up(1, 1, PickupEnd::FoundEmpty);
    inspect(&mut journal, 1, Finding::Empty);
    commit_more(&store, &journal, 7).await;
    assert_eq!(state(&store, 1).await, HubParcelState::Missing);
    let sealed = Sealed::try_from(vec![1, 2]).unwrap();
    let code = store.code_of(uid(1)).await.unwrap();
    assert_eq!(code, Some((bank_id(), slot.id, sealed)));
}

#[tokio::test]
async fn what_lapses_and_what_is_reserved_shows_on_the_parcel() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    let mut journal = two_booked(&store).await;
    let (parcel, compartment) = (uid(2), CompartmentNo(2));
    journal.append(Fact::CompartmentReserved(CompartmentReserved { parcel, compartment }));
    journal.append(Fact::BookingLapsed(BookingLapsed { parcel: uid(2) }));
    journal.deposit(1, 1);
    journal.append(Fact::KeepLapsed(KeepLapsed { parcel: uid(1) }));
    let kinds: Vec<_> = told(&store, &journal, 7).await.into_iter().map(|told| told.0).collect();
    use EventKind as K;
    let wanted = [
        K::CompartmentReserved,
        K::ParcelBookingExpired,
        K::ParcelDepositing,
        K::ParcelStored,
        K::ParcelExpired,
    ];
    assert_eq!(kinds, wanted);
    assert_eq!(state(&store, 1).await, HubParcelState::Expired);
    assert_eq!(state(&store, 2).await, HubParcelState::BookingExpired);
}

#[tokio::test]
async fn h12_alarms_say_their_class_and_a_lockdown_its_reason() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    let mut journal = two_booked(&store).await;
    let (compartment, reading) = (CompartmentNo(1), DoorReading::Open);
    for class in [OpeningClass::Forced, OpeningClass::Sympathetic, OpeningClass::Late] {
        let class = Some(class);
        journal.append(Fact::DoorMoved(DoorMoved { compartment, reading, cause: None, class }));
    }
    journal.append(Fact::Alarm(Alarm::TooManyOpenings(OpenerKind::Courier)));
    journal.append(Fact::Alarm(Alarm::BoardPower { board: 0 }));
    let reason = LockdownReason::Ordered;
    journal.append(Fact::LockdownBegan(LockdownBegan { reason }));
    let (command, answer) = (CommandId([6; 16]), CommandAnswer::Done);
    journal.append(Fact::CommandAnswered(CommandAnswered { command, answer }));
    let told_of = told(&store, &journal, 7).await;
    let alarms: Vec<_> = told_of.iter().filter(|(kind, _)| *kind == EventKind::BankAlarm).collect();
    let classes: Vec<_> = alarms.iter().map(|(_, detail)| detail.as_str()).collect();
    let wanted =
        ["FORCED", "SYMPATHETIC", "LATE", "TOO_MANY_OPENINGS, COURIER", "BOARD_POWER, board 0"];
    assert_eq!(classes, wanted);
    assert!(told_of.contains(&(EventKind::BankLockdownBegan, "ORDERED".to_owned())));
    assert!(store.bank(&bank_id()).await.unwrap().unwrap().lockdown.is_some());
    let answer = store.command_answer(&bank_id(), command).await.unwrap();
    assert_eq!(answer.as_deref(), Some("DONE"));
    assert_eq!(store.command_answer(&bank_id(), CommandId([7; 16])).await.unwrap(), None);
}

#[tokio::test]
async fn a_forced_door_is_told_of_the_parcel_behind_it_and_of_no_other() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    let mut journal = two_booked(&store).await;
    journal.deposit(1, 1);
    commit_more(&store, &journal, 7).await;
    let known = journal.head();
    let reading = DoorReading::Open;
    for (no, class) in
        [(1, OpeningClass::Sympathetic), (1, OpeningClass::Forced), (2, OpeningClass::Forced)]
    {
        let (compartment, class) = (CompartmentNo(no), Some(class));
        journal.append(Fact::DoorMoved(DoorMoved { compartment, reading, cause: None, class }));
    }
    let position = store.last_event().await.unwrap();
    commit_more(&store, &journal, known).await;
    let events = store.events_after(position, Some(&"acme".parse().unwrap()), 9).await.unwrap();
    let [event] = &events[..] else { panic!("{events:?}") };
    assert_eq!(event.kind, EventKind::ParcelDoorForced);
    assert_eq!(event.compartment, Some(CompartmentNo(1)));
    let parcel = event.parcel.as_ref().unwrap();
    assert_eq!((parcel.uid, parcel.state), (uid(1), HubParcelState::Stored));
    let all = store.events_after(position, None, 9).await.unwrap();
    let alarms = all.iter().filter(|event| event.kind == EventKind::BankAlarm).count();
    assert_eq!(alarms, 3, "{all:?}");
}

#[tokio::test]
async fn whoever_wants_a_lockdown_lifted_or_a_keypad_opened_is_named() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    let mut journal = two_booked(&store).await;
    let badge = CredentialId([6; 16]);
    journal.append(Fact::Alarm(Alarm::KeypadClosed));
    journal.append(Fact::KeypadReset(KeypadReset { badge }));
    let reason = LockdownReason::Staff;
    journal.append(Fact::LockdownBegan(LockdownBegan { reason }));
    journal.append(Fact::LockdownLiftAsked(LockdownLiftAsked { badge }));
    let wanted = [
        (EventKind::BankAlarm, "KEYPAD_CLOSED".to_owned()),
        (EventKind::BankKeypadReset, format!("badge {badge}")),
        (EventKind::BankLockdownBegan, "STAFF".to_owned()),
        (EventKind::BankLockdownLiftAsked, format!("badge {badge}")),
    ];
    assert_eq!(told(&store, &journal, 7).await, wanted);
}

#[tokio::test]
async fn p_k_p_d_operators_hear_what_a_bank_runs_on_and_that_it_starts_again_and_again() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    let mut journal = two_booked(&store).await;
    journal.append(Fact::PowerChanged(PowerChanged { source: PowerSource::Battery }));
    journal.append(Fact::Alarm(Alarm::Restarting));
    journal.append(Fact::PowerChanged(PowerChanged { source: PowerSource::Mains }));
    let wanted = [
        (EventKind::BankPowerChanged, "BATTERY".to_owned()),
        (EventKind::BankAlarm, "RESTARTING".to_owned()),
        (EventKind::BankPowerChanged, "MAINS".to_owned()),
    ];
    assert_eq!(told(&store, &journal, 7).await, wanted);
}

#[tokio::test]
async fn t05_events_stand_in_the_order_of_seq_with_the_banks_time_and_the_hubs() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    let mut journal = two_booked(&store).await;
    let position = store.last_event().await.unwrap();
    // A clock that fell back to 1970, ran ahead by years, and was put right.
    let stamps = [NOW.plus_ms(50), UnixMillis(5_000), NOW.plus_ms(400_000_000_000), NOW];
    for (n, at) in (0..).zip(stamps) {
        let fact = Fact::BoardChanged(BoardChanged { board: n, online: true });
        let quality = TimeQuality::Unknown;
        let record = Record { at, quality, ..journal.record(fact) };
        journal.append_bytes(encode_record(&record));
    }
    commit_more(&store, &journal, 7).await;
    let events = store.events_after(position, None, 9).await.unwrap();
    let order: Vec<&str> = events.iter().map(|event| event.detail.as_str()).collect();
    assert_eq!(order, ["board 0", "board 1", "board 2", "board 3"]);
    let occurred: Vec<UnixMillis> = events.iter().map(|event| event.occurred_at).collect();
    assert_eq!(occurred, stamps, "as the bank said, right or wrong");
    assert!(events.iter().all(|event| event.recorded_at == NOW), "and when the hub had it");
}

fn booking() -> Booking {
    Booking {
        parcel: uid(1),
        version: Version(1),
        carrier: carrier(),
        barcode: "BC1".parse().unwrap(),
        size: cube(200),
        weight: Grams(1),
        credential: CredentialId([1; 16]),
        trace: Some(trace()),
        terms: Terms::default(),
    }
}

/// Folds the journal's records behind `known`.
fn fold_behind(view: &mut MemoryView, journal: &Journal, known: usize) {
    for bytes in &journal.records[known..] {
        let changes = fold(view, &decode_record(bytes).unwrap());
        view.apply(changes);
    }
}

#[test]
fn an_inspection_that_finds_nothing_belongs_to_the_trace_of_what_should_be_there() {
    let mut journal = Journal::commissioned(EDGES);
    let mut view = MemoryView::default();
    let (session, compartment) = (SessionId([5; 16]), CompartmentNo(1));
    let finding = Finding::Empty;
    let settled = Fact::InspectionSettled(InspectionSettled { session, compartment, finding });
    fold_behind(&mut view, &journal, 0);
    assert_eq!(trace_of_inspected(&view, &settled), None, "nothing should be there");
    let known = journal.records.len();
    journal.accept(HubEpoch(1), 1, Grant::Book(booking()));
    journal.deposit(1, 1);
    fold_behind(&mut view, &journal, known);
    assert_eq!(trace_of_inspected(&view, &settled), Some(trace()));
    let other = Fact::InspectionStarted(InspectionStarted { session, compartment });
    assert_eq!(trace_of_inspected(&view, &other), None);
}

#[test]
fn a_record_of_an_inspection_without_a_trace_of_its_own_is_stamped_all_the_same() {
    let mut journal = Journal::commissioned(EDGES);
    journal.accept(HubEpoch(1), 1, Grant::Book(booking()));
    journal.deposit(1, 1);
    let mut view = MemoryView::default();
    fold_behind(&mut view, &journal, 0);
    let known = journal.head();
    let hash_at = |journal: &Journal, seq: u64| journal.hashes[usize::try_from(seq).unwrap()];
    let before =
        Cursor { stream: journal.stream, committed: known, hash: hash_at(&journal, known) };
    let (session, compartment) = (SessionId([5; 16]), CompartmentNo(1));
    let finding = Finding::Empty;
    let settled = Fact::InspectionSettled(InspectionSettled { session, compartment, finding });
    let untraced = Record { trace: None, ..journal.record(settled) };
    journal.append_bytes(encode_record(&untraced));
    let head = journal.head();
    let next = Cursor { committed: head, hash: hash_at(&journal, head), ..before };
    let (bank, batch) = (bank_id(), journal.batch(head, head));
    let accepted = Accepted {
        bank: &bank,
        batch,
        skip: 0,
        before,
        next,
        incomplete: false,
        device_keys: &[],
        now: NOW,
    };
    let stamps = fold_batch(&mut view, accepted).unwrap().news.stamps;
    let [stamp] = &stamps[..] else { panic!("{stamps:?}") };
    assert_eq!((stamp.kind, &stamp.trace), ("inspection_settled", &trace()));
}
