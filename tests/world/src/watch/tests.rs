use edge_agent::journal::Medium;
use locker_core::bank::{
    DepositConfirmed, DoorMoved, PickupStarted, PulseIntended, SessionStarted,
};
use locker_core::compartment::{Allocation, Compartment};
use locker_core::downlink::{Grant, GrantAccepted, GrantPosition};
use locker_core::ids::{IntentId, Version};
use locker_core::journal::{CHAIN_START, Change};
use locker_core::session::CourierProof;

use super::*;
use crate::cast;

const NO: CompartmentNo = CompartmentNo(1);

fn feed(watch: &mut Watch, fact: &Fact) {
    watch.fact(fact, &MemoryView::default(), UnixMillis(1_000), (CHAIN_START, &[]));
}

fn intended(intent: u64) -> Fact {
    let (intent, session) = (IntentId(intent), cast::session(0, 1));
    Fact::PulseIntended(PulseIntended { intent, session, compartment: NO, parcel: None })
}

const fn pulse(intent: u64) -> Pulse {
    Pulse { intent: IntentId(intent), compartment: NO, lock: cast::lock(0) }
}

fn broken(watch: &Watch) -> Option<Invariant> {
    watch.broken.as_ref().map(|broken| broken.invariant)
}

#[test]
fn a_pulse_needs_an_intent_of_its_own() {
    let mut watch = Watch::default();
    feed(&mut watch, &intended(1));
    watch.pulse(pulse(1), &Disk::default());
    assert_eq!(broken(&watch), None);
    watch.pulse(pulse(1), &Disk::default());
    assert_eq!(broken(&watch), Some(Invariant::OwnDurableIntent));
}

#[test]
fn a_pulse_before_the_journal_is_durable_is_seen() {
    let disk = Disk::default();
    disk.make_dir(&journal_dir()).unwrap();
    let file = disk.create(&journal_dir().join("seg-1.log")).unwrap();
    file.write_all_at(b"an intent", 0).unwrap();
    let mut watch = Watch::default();
    feed(&mut watch, &intended(1));
    watch.pulse(pulse(1), &disk);
    assert_eq!(broken(&watch), Some(Invariant::OwnDurableIntent));
}

#[test]
fn a_third_pulse_of_an_opening_is_seen() {
    let mut watch = Watch::default();
    for intent in 1..=3 {
        assert_eq!(broken(&watch), None);
        feed(&mut watch, &intended(intent));
    }
    assert_eq!(broken(&watch), Some(Invariant::OwnDurableIntent));
}

#[test]
fn a_withdrawn_code_that_opens_is_seen() {
    let (parcel, credential) = (cast::parcel(0, 1), cast::code(0, 1, 0));
    let position = GrantPosition::default();
    let mut watch = Watch::default();
    for grant in [
        Grant::Reissue { parcel, version: Version(1), credential },
        Grant::Revoke { parcel, version: Version(2), credential },
    ] {
        feed(&mut watch, &Fact::GrantAccepted(GrantAccepted { position, grant }));
    }
    assert_eq!(broken(&watch), None);
    let session = cast::session(0, 1);
    let started = PickupStarted { session, parcel, compartment: NO, credential };
    feed(&mut watch, &Fact::PickupStarted(started));
    assert_eq!(broken(&watch), Some(Invariant::DeadCodeOpensNothing));
}

#[test]
fn a_compartment_that_is_free_after_an_opening_is_seen() {
    let mut view = MemoryView::default();
    let spec = cast::layout(1, 0).compartments[0];
    view.apply(vec![Change::Compartment(Compartment::commissioned(spec))]);
    let mut watch = Watch::default();
    watch.state(&view);
    assert_eq!(broken(&watch), None);
    let moved = DoorMoved { compartment: NO, reading: DoorReading::Open, cause: None, class: None };
    feed(&mut watch, &Fact::DoorMoved(moved));
    watch.state(&view);
    assert_eq!(broken(&watch), Some(Invariant::FreeWithEvidence));
}

#[test]
fn more_openings_than_the_governor_allows_are_seen() {
    let mut watch = Watch::default();
    let proof = CourierProof::Badge(cast::courier_badge(0));
    let actor = Actor::Courier { carrier: cast::carrier(0), proof };
    let session = cast::session(0, 1);
    feed(&mut watch, &Fact::SessionStarted(SessionStarted { session, actor }));
    for intent in 1..=13_u16 {
        assert_ne!(broken(&watch), Some(Invariant::WithinGovernor));
        // Each in a compartment of its own: only their number is too much.
        let (no, session) = (CompartmentNo(intent), cast::session(0, 1));
        let intent = IntentId(u64::from(intent));
        let intended = PulseIntended { intent, session, compartment: no, parcel: None };
        feed(&mut watch, &Fact::PulseIntended(intended));
    }
    assert_eq!(broken(&watch), Some(Invariant::WithinGovernor));
}

#[test]
fn a_parcel_that_the_bank_has_forgotten_is_seen() {
    let (session, parcel) = (cast::session(0, 1), cast::parcel(0, 1));
    let confirmed =
        DepositConfirmed { session, parcel, compartment: NO, presumed: false, code: None };
    let mut watch = Watch::default();
    feed(&mut watch, &Fact::DepositConfirmed(confirmed));
    watch.state(&MemoryView::default());
    assert_eq!(broken(&watch), Some(Invariant::OneParcelACompartment));
}

#[test]
fn a_compartment_of_a_parcel_that_nobody_knows_is_seen() {
    let parcel = cast::parcel(0, 1);
    for allocation in [Allocation::Occupied { parcel }, Allocation::Reserved { parcel }] {
        let spec = cast::layout(1, 0).compartments[0];
        let held = Compartment { allocation, ..Compartment::commissioned(spec) };
        let mut view = MemoryView::default();
        view.apply(vec![Change::Compartment(held)]);
        let mut watch = Watch::default();
        watch.state(&view);
        assert_eq!(broken(&watch), Some(Invariant::OneParcelACompartment));
    }
}
