//! Tests of the decisions about parcels.

use locker_core::downlink::{
    CREDENTIALS_PER_PARCEL_MAX, CompartmentReserved, ConfigDocument, Grant, GrantPosition, Quota,
};
use locker_core::fact::Fact;
use locker_core::ids::{CompartmentNo, Generation, Version};
use locker_core::parcel::RecallReason;
use tempfile::tempdir;

use super::room::has_room;
use super::*;
use crate::ingest::tests::fixture::{
    Journal, NOW, add_bank, add_parcel, bank_id, book, carrier, commit, commit_more, cube,
    new_parcel, open_store, order, request,
};
use crate::store::NoticeKind;

async fn with_bank(store: &Store, edges_mm: &[u32]) {
    add_bank(store, edges_mm).await;
    commit(store, &Journal::commissioned(edges_mm)).await;
}

async fn try_book(store: &Store, no: u8) -> Result<ParcelRow, BookError> {
    let (name, request) = (format!("p{no}"), request(&format!("try {no}")));
    book_compartment(store, &carrier(), &name, order(no), request, NOW).await
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

/// Parcel 1 inside compartment 1, a notice of it sent.
async fn with_stored(store: &Store) -> ParcelRow {
    with_bank(store, &[300, 300]).await;
    add_parcel(store, 1, 200).await;
    let booked = book(store, 1).await;
    let mut journal = Journal::commissioned(&[300, 300]);
    let known = journal.head();
    journal.deposit(1, 1);
    commit_more(store, &journal, known).await;
    store.parcel_by_uid(booked.uid).await.unwrap().unwrap()
}

async fn change(store: &Store, change: ParcelChange) -> Result<ParcelRow, ChangeParcelError> {
    let call = request(&format!("{change:?}"));
    change_parcel(store, &carrier(), "p1", change, call, NOW).await
}

async fn last_grant(store: &Store) -> Grant {
    let log = store.downlink(&bank_id(), position(store, 0), 64).await.unwrap().unwrap();
    log.grants.last().unwrap().clone()
}

/// The bank of [`with_stored`] takes the last grant over.
async fn hear_last(store: &Store) {
    let mut journal = Journal::commissioned(&[300, 300]);
    journal.deposit(1, 1);
    let known = journal.head();
    journal.accept(store.epoch(), 9, last_grant(store).await);
    commit_more(store, &journal, known).await;
}

async fn hard(store: &Store, no: u8, connected: bool) -> Result<ParcelRow, BookError> {
    let order = BookingOrder { hard: true, connected, ..order(no) };
    let call = request(&format!("hard {no}"));
    book_compartment(store, &carrier(), &format!("p{no}"), order, call, NOW).await
}

#[tokio::test]
async fn a_hard_booking_is_pending_until_the_bank_has_reserved() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    with_bank(&store, &[300]).await;
    add_parcel(&store, 1, 200).await;
    add_parcel(&store, 2, 200).await;
    let pending = hard(&store, 1, true).await.unwrap();
    assert_eq!(pending.state, HubParcelState::BookingPending);
    // It counts already.
    assert_eq!(refused(try_book(&store, 2).await), Refusal::NoFreeCompartment);
    let mut journal = Journal::commissioned(&[300]);
    let known = journal.head();
    journal.accept(store.epoch(), 1, last_grant(&store).await);
    let (parcel, compartment) = (pending.uid, CompartmentNo(1));
    journal.append(Fact::CompartmentReserved(CompartmentReserved { parcel, compartment }));
    commit_more(&store, &journal, known).await;
    let row = store.parcel_by_uid(pending.uid).await.unwrap().unwrap();
    assert_eq!(row.state, HubParcelState::Booked);
    assert_eq!(refused(try_book(&store, 2).await), Refusal::NoFreeCompartment);
    // The repeat is answered as the first was.
    assert_eq!(hard(&store, 1, true).await.unwrap(), pending);
}

#[tokio::test]
async fn r08_a_bank_that_is_not_connected_is_booked_hard_only_within_what_it_keeps_back() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    with_bank(&store, &[300, 300, 300]).await;
    for no in 1..=4 {
        add_parcel(&store, no, 200).await;
    }
    assert!(matches!(hard(&store, 1, false).await, Err(BookError::BankNotConnected)));
    let mut journal = Journal::commissioned(&[300, 300, 300]);
    let known = journal.head();
    let quota = Quota { generation: Generation(1), ceded: vec![(cube(300), 2)] };
    journal.append(Fact::ConfigAccepted(ConfigDocument::Quota(quota).into()));
    commit_more(&store, &journal, known).await;
    assert_eq!(hard(&store, 1, false).await.unwrap().state, HubParcelState::Booked);
    // One is not kept back; the next one would be taken from a promise.
    try_book(&store, 2).await.unwrap();
    assert_eq!(refused(try_book(&store, 3).await), Refusal::NoFreeCompartment);
    hard(&store, 3, false).await.unwrap();
    assert_eq!(refused(hard(&store, 4, false).await), Refusal::NoFreeCompartment);
}

#[tokio::test]
async fn d16_parcels_of_one_recipient_at_one_bank_are_a_group() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    with_bank(&store, &[300, 300, 300]).await;
    add_parcel(&store, 1, 200).await;
    add_parcel(&store, 2, 200).await;
    let other = NewParcel {
        email: "else@example.org".parse().unwrap(),
        phone: Some("+4915112340042".parse().unwrap()),
        ..new_parcel(3, 200)
    };
    create_parcel(&store, other, request("create 3"), NOW).await.unwrap();
    let [first, second, third] =
        [book(&store, 1).await, book(&store, 2).await, book(&store, 3).await];
    assert!(first.terms.group.is_some());
    assert_eq!(first.terms.group, second.terms.group);
    assert_ne!(first.terms.group, third.terms.group);
    assert!(!format!("{third:?}").contains("1511"));
}

#[tokio::test]
async fn a_parcel_may_stay_longer_and_its_recipient_gets_another_letter() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    let stored = with_stored(&store).await;
    let until = stored.expires_at.unwrap().plus_ms(5_000);
    let kept = change(&store, ParcelChange::Extend { until }).await.unwrap();
    assert_eq!((kept.expires_at, kept.version.0), (Some(until), stored.version.0 + 1));
    let (parcel, version) = (kept.uid, kept.version);
    assert_eq!(last_grant(&store).await, Grant::Keep { parcel, version, until });
    assert_eq!(change(&store, ParcelChange::Extend { until }).await.unwrap(), kept);
    hear_last(&store).await;
    let kinds: Vec<_> =
        store.due_notices(NOW, 9).await.unwrap().iter().map(|notice| notice.kind).collect();
    assert_eq!(kinds, [NoticeKind::ParcelStored, NoticeKind::ParcelExtended]);
}

#[tokio::test]
async fn c03_a_new_code_replaces_all_others_and_is_sent() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    let stored = with_stored(&store).await;
    let until = NOW.plus_ms(60_000);
    let delegate = CredentialId([8; 16]);
    let call = request("delegate");
    let made = delegate_pickup(&store, &carrier(), "p1", until, delegate, call, NOW).await.unwrap();
    assert_eq!((made.credential, made.until), (delegate, until));
    let fresh = CredentialId([9; 16]);
    let row = change(&store, ParcelChange::Reissue { fresh }).await.unwrap();
    assert_eq!(row.credential, Some(fresh));
    let (parcel, version, credential) = (row.uid, Version(stored.version.0 + 2), fresh);
    assert_eq!(last_grant(&store).await, Grant::Reissue { parcel, version, credential });
    let gone = change(&store, ParcelChange::Revoke { delegate }).await;
    assert!(matches!(gone, Err(ChangeParcelError::DelegateUnknown)));
    hear_last(&store).await;
    // Its digits may come with the next batch.
    let notices = store.due_notices(NOW.plus_ms(2_000), 9).await.unwrap();
    assert_eq!(notices.last().unwrap().kind, NoticeKind::CodeReissued);
}

#[tokio::test]
async fn k15_a_delegate_gets_a_code_no_longer_than_the_parcel_and_it_can_be_taken_back() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    let stored = with_stored(&store).await;
    let ask = async |no: u8| {
        let (until, fresh) = (UnixMillis(u64::MAX / 2), CredentialId([no; 16]));
        let call = request(&format!("delegate {no}"));
        delegate_pickup(&store, &carrier(), "p1", until, fresh, call, NOW).await
    };
    let made = ask(100).await.unwrap();
    assert_eq!(Some(made.until), stored.expires_at);
    let again = ask(100).await.unwrap();
    assert_eq!(again, made);
    for no in 102..100 + u8::try_from(CREDENTIALS_PER_PARCEL_MAX).unwrap() {
        ask(no).await.unwrap();
    }
    assert!(matches!(ask(200).await, Err(ChangeParcelError::TooManyCodes)));
    let delegate = made.credential;
    let row = change(&store, ParcelChange::Revoke { delegate }).await.unwrap();
    let (parcel, version, credential) = (row.uid, row.version, delegate);
    assert_eq!(last_grant(&store).await, Grant::Revoke { parcel, version, credential });
}

#[tokio::test]
async fn c03_codes_of_earlier_bookings_count_like_those_of_this_one() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    with_bank(&store, &[300]).await;
    add_parcel(&store, 1, 200).await;
    book(&store, 1).await;
    let mut journal = Journal::commissioned(&[300]);
    let known = journal.head();
    let Grant::Book(mut booking) = last_grant(&store).await else { panic!() };
    // It has been there again and again, each time with a code of its own.
    for no in 0..u8::try_from(CREDENTIALS_PER_PARCEL_MAX).unwrap() - 2 {
        booking.credential = CredentialId([100 + no; 16]);
        journal.accept(store.epoch(), u64::from(no) + 1, Grant::Book(booking.clone()));
        booking.version = Version(booking.version.0 + 1);
    }
    booking.credential = CredentialId([1; 16]);
    journal.accept(store.epoch(), 20, Grant::Book(booking));
    journal.deposit(1, 1);
    commit_more(&store, &journal, known).await;
    change(&store, ParcelChange::Reissue { fresh: CredentialId([8; 16]) }).await.unwrap();
    let refused = change(&store, ParcelChange::Reissue { fresh: CredentialId([9; 16]) }).await;
    assert!(matches!(refused, Err(ChangeParcelError::TooManyCodes)));
}

#[tokio::test]
async fn a_recall_turns_the_recipient_away_and_ends_with_the_parcel_outside() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    with_stored(&store).await;
    let reason = RecallReason::Safety;
    let row = change(&store, ParcelChange::Recall { reason }).await.unwrap();
    assert_eq!((row.state, row.recall), (HubParcelState::RecallRequested, Some(reason)));
    let (parcel, version) = (row.uid, row.version);
    assert_eq!(last_grant(&store).await, Grant::Recall { parcel, version, reason });
    let late = change(&store, ParcelChange::Reissue { fresh: CredentialId([9; 16]) }).await;
    assert!(matches!(late, Err(ChangeParcelError::Refused(Refusal::ParcelRecalled))));
    assert_eq!(refused(try_book(&store, 1).await), Refusal::ParcelCancelled);
}

#[tokio::test]
async fn what_is_not_inside_cannot_be_extended_recalled_or_delegated() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    let until = NOW.plus_ms(1);
    let missing = change(&store, ParcelChange::Extend { until }).await;
    assert!(matches!(missing, Err(ChangeParcelError::NotFound)));
    with_bank(&store, &[300]).await;
    add_parcel(&store, 1, 200).await;
    book(&store, 1).await;
    for what in [
        ParcelChange::Extend { until },
        ParcelChange::Recall { reason: RecallReason::Sender },
        ParcelChange::Reissue { fresh: CredentialId([9; 16]) },
        ParcelChange::Revoke { delegate: CredentialId([9; 16]) },
    ] {
        let refused = change(&store, what).await;
        assert!(matches!(refused, Err(ChangeParcelError::Refused(Refusal::NotDeposited))));
    }
}
