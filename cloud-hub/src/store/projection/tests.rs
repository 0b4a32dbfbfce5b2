//! Tests of what facts make of parcels.

use locker_core::ids::{ParcelId, Version};
use locker_core::units::{Dimensions, Grams};

use super::*;

const NO: CompartmentNo = CompartmentNo(4);
const NOW: UnixMillis = UnixMillis(5_000);
const EXPIRES: UnixMillis = UnixMillis(9_000);

fn parcel(state: HubParcelState) -> ParcelRow {
    ParcelRow {
        uid: ParcelId([1; 16]),
        carrier: "acme".parse().unwrap(),
        name: "p".to_owned(),
        barcode: "B".parse().unwrap(),
        size: Dimensions { length_mm: 1, width_mm: 1, height_mm: 1 },
        weight: Grams(1),
        email: "a@b".parse().unwrap(),
        display_name: "".parse().unwrap(),
        state,
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

fn after(from: HubParcelState, step: ParcelStep) -> (HubParcelState, Consequences) {
    let mut parcel = parcel(from);
    let consequences = apply(&mut parcel, step, EXPIRES, NOW);
    (parcel.state, consequences)
}

#[test]
fn a_parcel_goes_its_usual_way() {
    use EventKind as K;
    use HubParcelState as S;
    let table = [
        (S::Booked, ParcelStep::DepositStarted(NO), S::Depositing, K::ParcelDepositing),
        (S::Depositing, ParcelStep::DepositReturned, S::Booked, K::ParcelDepositAborted),
        (S::Depositing, ParcelStep::DepositUnresolved(NO), S::Unresolved, K::ParcelUnresolved),
        (S::Depositing, ParcelStep::DepositConfirmed(NO), S::Stored, K::ParcelStored),
        (S::Stored, ParcelStep::PickupStarted(NO), S::Collecting, K::ParcelCollecting),
        (S::Collecting, ParcelStep::PickupReturned(NO), S::Stored, K::ParcelPickupAborted),
        (S::Collecting, ParcelStep::Collected, S::Collected, K::ParcelCollected),
        (S::Booked, ParcelStep::BookingRefused, S::Announced, K::ParcelBookingRefused),
    ];
    for (from, step, to, event) in table {
        let (state, consequences) = after(from, step);
        assert_eq!((state, consequences.event), (to, Some(event)), "{from:?} {step:?}");
        assert_eq!(consequences.notice, event == K::ParcelStored);
    }
}

#[test]
fn a_stored_parcel_has_a_place_and_an_end_and_a_collected_one_no_place() {
    let mut parcel = parcel(HubParcelState::Depositing);
    apply(&mut parcel, ParcelStep::DepositConfirmed(NO), EXPIRES, NOW);
    assert_eq!((parcel.compartment, parcel.expires_at), (Some(NO), Some(EXPIRES)));
    assert_eq!(parcel.updated_at, NOW);
    apply(&mut parcel, ParcelStep::PickupStarted(NO), EXPIRES, NOW);
    apply(&mut parcel, ParcelStep::Collected, EXPIRES, NOW);
    assert_eq!(parcel.compartment, None);
}

#[test]
fn d14_a_cancelled_parcel_that_is_deposited_is_asked_back_without_a_notice() {
    let (state, consequences) = after(HubParcelState::Cancelled, ParcelStep::DepositConfirmed(NO));
    assert_eq!(state, HubParcelState::RecallRequested);
    assert!(!consequences.notice);
}

#[test]
fn a_cancelled_parcel_in_the_couriers_hands_stays_cancelled_and_the_bank_is_told_again() {
    let (state, consequences) = after(HubParcelState::Cancelled, ParcelStep::DepositReturned);
    assert_eq!(state, HubParcelState::Cancelled);
    assert_eq!(consequences, Consequences { cancel_again: true, ..Consequences::default() });
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
    ];
    for step in steps {
        let (state, consequences) = after(HubParcelState::Collected, step);
        assert_eq!((state, consequences), (HubParcelState::Collected, Consequences::default()));
    }
}
