//! What staff do at the screen: look into compartments, lock the bank down, put a board back.

use locker_core::bank::StaffFinding;
use locker_core::downlink::{Mode, Quota};
use locker_core::units::Dimensions;

use super::world::{badge, staff};
use super::*;

/// Parcel 1 in compartment 1, of which nobody knows any more whether it is there.
async fn quarantined() -> World {
    let mut world = World::ready().await;
    world.stored(1).await;
    world.scan(&code(1)).await.unwrap();
    world.through_the_door(Ask::FoundEmpty).await.unwrap();
    world
}

#[tokio::test(start_paused = true)]
async fn a_quarantine_ends_with_a_look_of_staff_and_nothing_else() {
    let world = quarantined().await;
    world.scan(&badge()).await.unwrap();
    assert_eq!(world.ask(Ask::Inspect(CompartmentNo(1))).await, Err(Refusal::StaffOnly));
    world.scan(&staff(1)).await.unwrap();
    assert_eq!(world.ask(Ask::Inspect(CompartmentNo(9))).await, Err(Refusal::CompartmentUnknown));
    assert_eq!(world.ask(Ask::Found(StaffFinding::Empty)).await, Err(Refusal::NotNow));
    world.ask(Ask::Inspect(CompartmentNo(1))).await.unwrap();
    let session = world.state.borrow().session.clone().unwrap();
    assert_eq!(session.role, PanelRole::Staff);
    let PanelTask::Inspection { expected, quarantine, .. } = session.task else { panic!() };
    let label = PanelLabel { carrier: "acme".to_owned(), barcode: "PKG1".to_owned() };
    assert_eq!((expected, quarantine), (Some(label), Some(PanelQuarantine::FoundEmpty)));
    world.until_phase(PanelPhase::Open).await;
    assert_eq!(world.ask(Ask::Found(StaffFinding::Empty)).await, Err(Refusal::DoorOpen));
    world.through_the_door(Ask::Found(StaffFinding::Empty)).await.unwrap();
    let finding = PanelFinding::Empty;
    let inspected = PanelResult::Inspected { compartment: 1, finding };
    assert_eq!(world.state.borrow().last_result, Some(inspected));
    assert_eq!(world.compartment(1).allocation, Allocation::Free);
    assert!(matches!(world.parcel(1).state, ParcelState::Missing { .. }));
    world.ask(Ask::Finish).await.unwrap();
    assert_eq!(world.scan(&code(1)).await, Err(Refusal::ParcelMissing));
}

#[tokio::test(start_paused = true)]
async fn what_staff_find_is_what_the_bank_believes() {
    let holds = |carrier: &str, barcode: &str| {
        let (carrier, barcode) = (carrier.parse().unwrap(), barcode.parse().unwrap());
        Ask::Found(StaffFinding::Holds { carrier, barcode })
    };
    let world = quarantined().await;
    world.scan(&staff(1)).await.unwrap();
    world.ask(Ask::Inspect(CompartmentNo(1))).await.unwrap();
    let unknown = world.through_the_door(holds("acme", "PKG77")).await;
    assert_eq!(unknown, Err(Refusal::BarcodeUnknown));
    assert_eq!(world.ask(holds("other", "PKG1")).await, Err(Refusal::BarcodeUnknown));
    world.ask(holds("acme", "PKG1")).await.unwrap();
    world.ask(Ask::Finish).await.unwrap();
    world.scan(&code(1)).await.unwrap();
    world.through_the_door(Ask::Taken).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn k12_staff_hand_a_parcel_over_by_themselves() {
    let mut world = World::ready().await;
    world.stored(1).await;
    world.scan(&staff(1)).await.unwrap();
    world.ask(Ask::Inspect(CompartmentNo(1))).await.unwrap();
    let (carrier, barcode) = ("acme".parse().unwrap(), "PKG1".parse().unwrap());
    let handed = Ask::Found(StaffFinding::HandedOver { carrier, barcode });
    world.through_the_door(handed).await.unwrap();
    assert!(matches!(world.parcel(1).state, ParcelState::Collected { .. }));
    assert_eq!(world.compartment(1).allocation, Allocation::Free);
}

#[tokio::test(start_paused = true)]
async fn staff_who_walk_away_leave_a_compartment_that_nobody_is_offered() {
    let world = World::ready().await;
    world.scan(&staff(1)).await.unwrap();
    world.ask(Ask::Inspect(CompartmentNo(1))).await.unwrap();
    let no = world.until_phase(PanelPhase::Open).await;
    world.close(no).await;
    world.until("gone", |state| state.session.is_none()).await;
    let reason = QuarantineReason::InspectionUnfinished;
    let quarantined = Allocation::Quarantined { reason, parcel: None };
    assert_eq!(world.compartment(1).allocation, quarantined);
}

#[tokio::test(start_paused = true)]
async fn c10_a_lockdown_is_lifted_by_two_different_people() {
    let mut world = World::ready().await;
    world.stored(1).await;
    world.scan(&badge()).await.unwrap();
    assert_eq!(world.ask(Ask::LockDown).await, Err(Refusal::StaffOnly));
    world.scan(&staff(1)).await.unwrap();
    assert_eq!(world.ask(Ask::LiftLockdown).await, Err(Refusal::NotNow));
    world.ask(Ask::LockDown).await.unwrap();
    assert_eq!(world.ask(Ask::LockDown).await, Err(Refusal::LockedDown));
    world.ask(Ask::LiftLockdown).await.unwrap();
    assert_eq!(world.state.borrow().lockdown, Some(PanelLockdown { lift_asked: true }));
    assert_eq!(world.ask(Ask::LiftLockdown).await, Err(Refusal::SecondPerson));
    world.ask(Ask::Finish).await.unwrap();
    assert_eq!(world.scan(&code(1)).await, Err(Refusal::LockedDown));
    world.scan(&staff(2)).await.unwrap();
    world.ask(Ask::LiftLockdown).await.unwrap();
    assert_eq!(world.state.borrow().lockdown, None);
    world.ask(Ask::Finish).await.unwrap();
    world.scan(&code(1)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_board_that_was_stopped_opens_nothing_until_staff_put_it_back() {
    let mut world = World::ready().await;
    world.stored(1).await;
    let facts = [Fact::Alarm(Alarm::AddressClash { board: 0 })];
    let mut view = world.view();
    assert!(view.compartments().iter().all(|held| held.health == Health::Ok));
    // The bus cannot tell of this yet, so the rule is shown on the state, and the way back at the
    // screen on a board that works.
    let record = locker_core::journal::Record {
        stream: StreamId([7; 16]),
        seq: 1,
        boot: BootId([1; 16]),
        at: NOW,
        quality: locker_core::clock::TimeQuality::Unknown,
        previous: locker_core::journal::CHAIN_START,
        trace: None,
        detached: None,
        fact: facts[0].clone(),
    };
    let changes = locker_core::journal::fold(&view, &record);
    view.apply(changes);
    assert!(view.compartments().iter().all(|held| held.health == Health::Stopped));
    assert_eq!(world.ask(Ask::ResetBoard(0)).await, Err(Refusal::NoSession));
    world.scan(&badge()).await.unwrap();
    assert_eq!(world.ask(Ask::ResetBoard(0)).await, Err(Refusal::StaffOnly));
    world.scan(&staff(1)).await.unwrap();
    assert_eq!(world.ask(Ask::ResetBoard(0)).await, Err(Refusal::NotNow), "it is not stopped");
}

#[tokio::test(start_paused = true)]
async fn in_maintenance_nothing_is_taken_in_and_what_is_inside_goes_out() {
    let mut world = World::ready().await;
    world.stored(1).await;
    let generation = Generation(1);
    world.config(Document::Mode(Mode { generation, maintenance: true })).await;
    assert!(world.state.borrow().maintenance);
    world.courier_with(2).await;
    assert_eq!(world.scan("PKG2").await, Err(Refusal::BankNotAccepting));
    world.ask(Ask::Finish).await.unwrap();
    world.scan(&code(1)).await.unwrap();
    world.through_the_door(Ask::Taken).await.unwrap();
    let generation = Generation(2);
    world.config(Document::Mode(Mode { generation, maintenance: false })).await;
    assert!(!world.state.borrow().maintenance);
    world.scan(&badge()).await.unwrap();
    world.scan("PKG2").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn r08_what_is_ceded_to_the_hub_is_not_given_to_who_stands_at_the_door() {
    let mut world = World::ready().await;
    let inside = |edge_mm| Dimensions { length_mm: edge_mm, width_mm: edge_mm, height_mm: edge_mm };
    let ceded = vec![(inside(100), 1), (inside(200), 1)];
    world.config(Document::Quota(Quota { generation: Generation(1), ceded })).await;
    world.courier_with(1).await;
    world.scan("PKG1").await.unwrap();
    assert_eq!(world.until_phase(PanelPhase::Open).await, 3);
    let twice = vec![(inside(100), 1), (inside(100), 2)];
    world.config(Document::Quota(Quota { generation: Generation(2), ceded: twice })).await;
    assert_eq!(world.view().meta().quota.generation, Generation(1), "unsound, so refused");
}
