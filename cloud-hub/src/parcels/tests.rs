//! Tests of the decisions about parcels.

use locker_core::downlink::{Grant, GrantPosition};
use locker_core::ids::Version;
use tempfile::tempdir;

use super::room::has_room;
use super::*;
use crate::ingest::tests::fixture::{
    Journal, NOW, add_bank, add_parcel, bank_id, book, carrier, commit, cube, new_parcel,
    open_store, request,
};

async fn with_bank(store: &Store, edges_mm: &[u32]) {
    add_bank(store, edges_mm).await;
    commit(store, &Journal::commissioned(edges_mm)).await;
}

async fn try_book(store: &Store, no: u8) -> Result<ParcelRow, BookError> {
    let (name, request) = (format!("p{no}"), request(&format!("try {no}")));
    book_compartment(store, &carrier(), &name, &bank_id(), request, CredentialId([no; 16]), NOW)
        .await
}

fn refused(result: Result<ParcelRow, BookError>) -> Refusal {
    match result {
        Err(BookError::Refused(refusal)) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn a_repeated_call_answers_as_the_first_did() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    with_bank(&store, &[300]).await;
    let first = add_parcel(&store, 1, 200).await;
    let booked = book(&store, 1).await;
    assert_eq!((booked.state, booked.version), (HubParcelState::Booked, Version(2)));
    // The parcel has moved on; the repeat still shows what the first call made.
    let fresh_uid = NewParcel { uid: ParcelId([9; 16]), trace: None, ..new_parcel(1, 200) };
    let again = create_parcel(&store, fresh_uid, request("create 1"), NOW.plus_ms(5)).await;
    assert_eq!(again.unwrap(), first);
    assert_eq!(book(&store, 1).await, booked);
    let events = store.parcel_events(first.uid).await.unwrap();
    assert_eq!(events.len(), 2);
    let log = store.downlink(&bank_id(), position(&store, 0), 10).await.unwrap().unwrap();
    assert_eq!(log.grants.len(), 1);
}

fn position(store: &Store, gseq: u64) -> GrantPosition {
    GrantPosition { epoch: store.epoch(), gseq }
}

#[tokio::test]
async fn a_request_id_used_for_something_else_is_refused() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    add_parcel(&store, 1, 200).await;
    let other = create_parcel(&store, new_parcel(1, 201), request("create 1"), NOW).await;
    assert!(matches!(other, Err(CreateParcelError::RequestIdReused)));
    let other = cancel_parcel(&store, &carrier(), "p1", request("create 1"), NOW).await;
    assert!(matches!(other, Err(CancelError::RequestIdReused)));
    let name = create_parcel(&store, new_parcel(1, 200), request("new"), NOW).await;
    assert!(matches!(name, Err(CreateParcelError::Exists)));
    // Another caller's id is another id.
    let key =
        RequestKey { principal: "urn:postern:carrier:other".to_owned(), ..request("create 1") };
    let new = NewParcel {
        uid: ParcelId([2; 16]),
        carrier: "other".parse().unwrap(),
        ..new_parcel(1, 200)
    };
    create_parcel(&store, new, key, NOW).await.unwrap();
}

#[tokio::test]
async fn a_repeat_is_recognised_for_a_day() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    add_parcel(&store, 1, 200).await;
    let day_ms = 24 * 3_600 * 1_000;
    let later = NOW.plus_ms(day_ms + 1);
    let new = NewParcel { name: "late".to_owned(), ..new_parcel(2, 200) };
    create_parcel(&store, new, request("late"), later).await.unwrap();
    // The first one's id is forgotten, and its parcel is what stands in the way now.
    let again = create_parcel(&store, new_parcel(1, 200), request("create 1"), later).await;
    assert!(matches!(again, Err(CreateParcelError::Exists)));
}

#[tokio::test]
async fn booking_puts_a_grant_into_the_banks_log() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    with_bank(&store, &[300]).await;
    add_parcel(&store, 1, 200).await;
    let wakes = store.wakes();
    let _ = wakes.next().await;
    let booked = book(&store, 1).await;
    assert_eq!(wakes.next().await.into_iter().collect::<Vec<_>>(), [bank_id()]);
    let log = store.downlink(&bank_id(), position(&store, 0), 10).await.unwrap().unwrap();
    let Grant::Book(booking) = &log.grants[0] else { panic!("{:?}", log.grants) };
    assert_eq!(booking.version, booked.version);
    assert_eq!(Some(booking.credential), booked.credential);
    assert_eq!(booking.trace, booked.trace);
    let cancelled = cancel_parcel(&store, &carrier(), "p1", request("cancel"), NOW).await.unwrap();
    let log = store.downlink(&bank_id(), position(&store, 1), 10).await.unwrap().unwrap();
    let (parcel, version) = (booked.uid, cancelled.version);
    assert_eq!(log.grants, [Grant::Cancel { parcel, version }]);
    assert_eq!(version, Version(3));
}

#[tokio::test]
async fn a_bank_is_not_promised_to_more_parcels_than_fit() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    with_bank(&store, &[200, 400]).await;
    for (no, edge_mm) in [(1, 500), (2, 150), (3, 350), (4, 150)] {
        add_parcel(&store, no, edge_mm).await;
    }
    assert_eq!(refused(try_book(&store, 1).await), Refusal::ParcelTooLarge);
    try_book(&store, 2).await.unwrap();
    // The small one can make way for it.
    try_book(&store, 3).await.unwrap();
    assert_eq!(refused(try_book(&store, 4).await), Refusal::NoFreeCompartment);
    cancel_parcel(&store, &carrier(), "p2", request("cancel"), NOW).await.unwrap();
    try_book(&store, 4).await.unwrap();
}

#[tokio::test]
async fn a_parcel_that_is_inside_takes_its_compartment_and_no_second_one() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    add_bank(&store, &[300, 300]).await;
    add_parcel(&store, 1, 200).await;
    let mut journal = Journal::commissioned(&[300, 300]);
    journal.deposit(1, 1);
    commit(&store, &journal).await;
    add_parcel(&store, 2, 200).await;
    add_parcel(&store, 3, 200).await;
    try_book(&store, 2).await.unwrap();
    assert_eq!(refused(try_book(&store, 3).await), Refusal::NoFreeCompartment);
}

#[tokio::test]
async fn what_cannot_be_booked_or_cancelled_says_why() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    assert!(matches!(try_book(&store, 1).await, Err(BookError::NotFound)));
    add_parcel(&store, 1, 200).await;
    assert_eq!(refused(try_book(&store, 1).await), Refusal::BankUnknown);
    add_bank(&store, &[300]).await;
    assert_eq!(refused(try_book(&store, 1).await), Refusal::BankNotAccepting);
    commit(&store, &Journal::commissioned(&[300])).await;
    book(&store, 1).await;
    let twice = try_book(&store, 1).await;
    assert!(matches!(twice, Err(BookError::WrongState(HubParcelState::Booked))));
    cancel_parcel(&store, &carrier(), "p1", request("cancel"), NOW).await.unwrap();
    assert_eq!(refused(try_book(&store, 1).await), Refusal::ParcelCancelled);
    let again = cancel_parcel(&store, &carrier(), "p1", request("again"), NOW).await;
    assert!(matches!(again, Err(CancelError::Refused(Refusal::ParcelCancelled))));
    let missing = cancel_parcel(&store, &carrier(), "none", request("none"), NOW).await;
    assert!(matches!(missing, Err(CancelError::NotFound)));
}

#[test]
fn room_is_a_matching_and_not_a_count() {
    let [small, medium, large] = [cube(100), cube(200), cube(300)];
    assert!(has_room(&[small, medium, large], &[small, large, medium]));
    assert!(!has_room(&[small, medium, large], &[large, large]));
    assert!(!has_room(&[small, large], &[medium, large]));
    assert!(has_room(&[], &[]));
    // The first two took the large rooms by need only as long as nobody else needs them.
    assert!(has_room(&[large, large, small], &[small, large, large]));
}
