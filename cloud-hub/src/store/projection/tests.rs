//! Tests of what facts make of parcels.

use locker_core::ids::{ParcelId, Version};
use locker_core::parcel::Terms;
use locker_core::units::{Dimensions, Grams};

use super::*;

const NO: CompartmentNo = CompartmentNo(4);
const NOW: UnixMillis = UnixMillis(5_000);
const RETENTION_MS: u64 = 4_000;
const TIMES: Times = Times { at: NOW, promised_from: NOW, retention_ms: RETENTION_MS, now: NOW };

fn parcel(state: State) -> ParcelRow {
    ParcelRow {
        uid: ParcelId([1; 16]),
        carrier: "acme".parse().unwrap(),
        name: "p".to_owned(),
        barcode: "B".parse().unwrap(),
        size: Dimensions { length_mm: 1, width_mm: 1, height_mm: 1 },
        weight: Grams(1),
        email: "a@b".parse().unwrap(),
        display_name: "".parse().unwrap(),
        phone: None,
        state,
        recall: None,
        terms: Terms::default(),
        bank: Some("bank-1".parse().unwrap()),
        compartment: None,
        version: Version(2),
        credential: None,
        trace: None,
        created_at: UnixMillis(1),
        updated_at: UnixMillis(2),
        expires_at: None,
    }
}

fn after(from: State, step: ParcelStep) -> (State, Consequences) {
    let mut parcel = parcel(from);
    let consequences = apply(&mut parcel, step, TIMES);
    (parcel.state, consequences)
}

#[test]
fn a_parcel_goes_its_usual_way() {
    use EventKind as K;
    use State as S;
    let table = [
        (S::Booked, ParcelStep::DepositStarted(NO), S::Depositing, K::ParcelDepositing),
        (S::Depositing, ParcelStep::DepositReturned, S::Booked, K::ParcelDepositAborted),
        (S::Depositing, ParcelStep::DepositUnresolved(NO), S::Unresolved, K::ParcelUnresolved),
        (S::Depositing, ParcelStep::DepositConfirmed(NO), S::Stored, K::ParcelStored),
        (S::Stored, ParcelStep::PickupStarted(NO), S::Collecting, K::ParcelCollecting),
        (S::Collecting, ParcelStep::PickupReturned(NO), S::Stored, K::ParcelPickupAborted),
        (S::Collecting, ParcelStep::Collected, S::Collected, K::ParcelCollected),
        (S::Booked, ParcelStep::BookingRefused, S::Announced, K::ParcelBookingRefused),
        (S::BookingPending, ParcelStep::BookingRefused, S::Announced, K::ParcelBookingRefused),
        (S::BookingPending, ParcelStep::Reserved, S::Booked, K::CompartmentReserved),
        (S::Booked, ParcelStep::BookingLapsed, S::BookingExpired, K::ParcelBookingExpired),
        (S::BookingExpired, ParcelStep::DepositStarted(NO), S::Depositing, K::ParcelDepositing),
        (S::Depositing, ParcelStep::DidNotFit, S::Booked, K::ParcelDidNotFit),
        (S::Stored, ParcelStep::KeepLapsed, S::Expired, K::ParcelExpired),
        (S::Collecting, ParcelStep::Refused(NO), S::RecallRequested, K::ParcelRefused),
        (S::Collecting, ParcelStep::Disputed(NO), S::Disputed, K::ParcelDisputed),
        (S::RecallRequested, ParcelStep::RecallStarted(NO), S::Recalling, K::ParcelRecalling),
        (S::Recalling, ParcelStep::Disputed(NO), S::Disputed, K::ParcelDisputed),
        (S::Recalling, ParcelStep::Recalled, S::Recalled, K::ParcelRecalled),
        (S::Disputed, ParcelStep::Missing, S::Missing, K::ParcelDisputed),
    ];
    for (from, step, to, event) in table {
        let (state, consequences) = after(from, step);
        assert_eq!((state, consequences.event), (to, Some(event)), "{from:?} {step:?}");
        let noticed = consequences.notice == Some(NoticeKind::ParcelStored);
        assert_eq!(noticed, event == K::ParcelStored);
    }
}

#[test]
fn a_stored_parcel_has_a_place_and_an_end_and_a_collected_one_no_place() {
    let mut parcel = parcel(State::Depositing);
    apply(&mut parcel, ParcelStep::DepositConfirmed(NO), TIMES);
    assert_eq!(
        (parcel.compartment, parcel.expires_at),
        (Some(NO), Some(NOW.plus_ms(RETENTION_MS)))
    );
    assert_eq!(parcel.updated_at, NOW);
    apply(&mut parcel, ParcelStep::PickupStarted(NO), TIMES);
    apply(&mut parcel, ParcelStep::Collected, TIMES);
    assert_eq!(parcel.compartment, None);
}

#[test]
fn d14_a_cancelled_parcel_that_is_deposited_is_asked_back_without_a_notice() {
    let (state, consequences) = after(State::Cancelled, ParcelStep::DepositConfirmed(NO));
    assert_eq!(state, State::RecallRequested);
    assert_eq!(consequences.notice, None);
    assert_eq!(consequences.tell, Some(Tell::Recall(RecallReason::Sender)));
}

#[test]
fn a_cancelled_parcel_in_the_couriers_hands_stays_cancelled_and_the_bank_is_told_again() {
    let (state, consequences) = after(State::Cancelled, ParcelStep::DepositReturned);
    assert_eq!(state, State::Cancelled);
    assert_eq!(consequences, Consequences { tell: Some(Tell::Cancel), ..Consequences::default() });
}

#[test]
fn what_is_settled_stays_settled() {
    let steps = [
        ParcelStep::DepositStarted(NO),
        ParcelStep::DepositReturned,
        ParcelStep::DepositUnresolved(NO),
        ParcelStep::DepositConfirmed(NO),
        ParcelStep::PickupStarted(NO),
        ParcelStep::PickupReturned(NO),
        ParcelStep::Collected,
        ParcelStep::BookingRefused,
        ParcelStep::Reserved,
        ParcelStep::DidNotFit,
        ParcelStep::Refused(NO),
        ParcelStep::Disputed(NO),
        ParcelStep::RecallStarted(NO),
        ParcelStep::RecallReturned(NO),
        ParcelStep::Recalled,
        ParcelStep::BookingLapsed,
        ParcelStep::KeepLapsed,
        ParcelStep::Kept(NOW),
        ParcelStep::Missing,
    ];
    for step in steps {
        let (state, consequences) = after(State::Collected, step);
        assert_eq!((state, consequences), (State::Collected, Consequences::default()));
    }
}

#[test]
fn k11_whoever_collects_before_a_recall_is_heard_of_has_the_parcel_and_else_the_bank_is_told_again()
{
    let mut row = parcel(State::RecallRequested);
    row.recall = Some(RecallReason::Sender);
    apply(&mut row, ParcelStep::PickupStarted(NO), TIMES);
    assert_eq!(row.state, State::Collecting);
    let mut returned = row.clone();
    let after = apply(&mut returned, ParcelStep::PickupReturned(NO), TIMES);
    assert_eq!(returned.state, State::RecallRequested);
    assert_eq!(after.tell, Some(Tell::Recall(RecallReason::Sender)));
    let after = apply(&mut row, ParcelStep::Collected, TIMES);
    assert_eq!((row.state, after.tell), (State::Collected, None));
}

#[test]
fn a_recall_that_comes_to_nothing_leaves_the_parcel_as_it_was() {
    for (recall, state) in
        [(RecallReason::Expired, State::Expired), (RecallReason::Safety, State::RecallRequested)]
    {
        let mut row = parcel(State::Recalling);
        row.recall = Some(recall);
        apply(&mut row, ParcelStep::RecallReturned(NO), TIMES);
        assert_eq!(row.state, state);
    }
}

#[test]
fn x02_an_extension_that_comes_after_the_bank_let_the_time_lapse_counts() {
    let mut row = parcel(State::Stored);
    row.expires_at = Some(UnixMillis(9_999));
    apply(&mut row, ParcelStep::KeepLapsed, TIMES);
    assert_eq!((row.state, row.recall), (State::Expired, Some(RecallReason::Expired)));
    // Another extension than the hub's latest says nothing.
    apply(&mut row, ParcelStep::Kept(UnixMillis(9_998)), TIMES);
    assert_eq!(row.state, State::Expired);
    apply(&mut row, ParcelStep::Kept(UnixMillis(9_999)), TIMES);
    assert_eq!((row.state, row.recall), (State::Stored, None));
}

#[test]
fn what_is_heard_of_late_is_promised_from_then_on_and_the_bank_is_told() {
    let heard = NOW.plus_ms(LATE_MS + 1);
    let mut row = parcel(State::Depositing);
    row.terms.keep_ms = Some(50);
    let times = Times { promised_from: heard, now: heard, ..TIMES };
    let after = apply(&mut row, ParcelStep::DepositConfirmed(NO), times);
    assert_eq!(row.expires_at, Some(heard.plus_ms(50)));
    assert_eq!(after.tell, Some(Tell::Keep(heard.plus_ms(50))));
    let times = Times { promised_from: NOW.plus_ms(LATE_MS), ..TIMES };
    let mut row = parcel(State::Depositing);
    let after = apply(&mut row, ParcelStep::DepositConfirmed(NO), times);
    assert_eq!((row.expires_at, after.tell), (Some(NOW.plus_ms(RETENTION_MS)), None));
}

#[test]
fn what_staff_find_is_inside_and_asked_back_if_it_should_be_gone() {
    let (state, after_found) = after(State::Unresolved, ParcelStep::Found(NO));
    assert_eq!((state, after_found.notice), (State::Stored, Some(NoticeKind::ParcelStored)));
    for gone in [State::Collected, State::Cancelled, State::Recalled] {
        let (state, after_found) = after(gone, ParcelStep::Found(NO));
        assert_eq!((state, after_found.notice), (State::RecallRequested, None), "{gone:?}");
    }
}

#[test]
fn k07_a_missing_parcel_that_is_found_waits_as_it_did_before() {
    let table = [
        (None, State::Stored, Some(NoticeKind::ParcelStored)),
        (Some(RecallReason::Expired), State::Expired, None),
        (Some(RecallReason::Refused), State::RecallRequested, None),
    ];
    for (recall, state, notice) in table {
        let mut row = ParcelRow { recall, ..parcel(State::Missing) };
        let after = apply(&mut row, ParcelStep::Found(NO), TIMES);
        assert_eq!((row.state, row.compartment, row.recall), (state, Some(NO), recall));
        assert_eq!((after.notice, after.tell), (notice, None));
    }
}

#[test]
fn a_forced_door_changes_nothing_but_is_told() {
    for state in State::ALL {
        let mut parcel = ParcelRow { compartment: Some(NO), ..parcel(state) };
        let told = apply(&mut parcel, ParcelStep::DoorForced(NO), TIMES).event;
        assert_eq!(told, inside(state).then_some(EventKind::ParcelDoorForced), "{state:?}");
        assert_eq!((parcel.state, parcel.compartment), (state, Some(NO)));
        let elsewhere = ParcelStep::DoorForced(CompartmentNo(5));
        assert_eq!(apply(&mut parcel, elsewhere, TIMES), Consequences::default());
    }
}

#[test]
fn what_the_bank_took_over_lets_the_notice_go_and_changes_nothing() {
    for state in State::ALL {
        let before = parcel(state);
        let mut after = before.clone();
        let told = apply(&mut after, ParcelStep::TookOver(Version(2)), TIMES);
        assert_eq!(told, Consequences { holds: Some(Version(2)), ..Consequences::default() });
        assert_eq!(after, before);
    }
}
