//! Parcels that must leave without their recipient, and those who meet over them.

use locker_core::ids::{CredentialId, ParcelId, Version};
use locker_core::parcel::RecallReason;

use super::world::{badge, claims, signed, staff};
use super::*;

fn recalled(n: u8, version: u32, reason: RecallReason) -> Grant {
    Grant::Recall { parcel: ParcelId([n; 16]), version: Version(version), reason }
}

fn recall(n: u8) -> Ask {
    Ask::Recall { carrier: None, barcode: format!("PKG{n}").parse().unwrap() }
}

fn removed(n: u8) -> Ask {
    Ask::Removed(format!("PKG{n}").parse().unwrap())
}

/// Parcels 1 and 2 are inside and asked back.
async fn two_asked_back() -> World {
    let mut world = World::ready().await;
    world.stored(1).await;
    world.stored(2).await;
    world.grant(recalled(1, 2, RecallReason::Sender)).await;
    world.grant(recalled(2, 2, RecallReason::Safety)).await;
    world
}

#[tokio::test(start_paused = true)]
async fn a_courier_takes_out_what_was_asked_back_one_by_one() {
    let world = two_asked_back().await;
    assert_eq!(world.recalls().await, Err(Refusal::NoSession));
    world.scan(&badge()).await.unwrap();
    assert_eq!(world.recalls().await.unwrap(), ["PKG2", "PKG1"], "danger first");
    world.ask(recall(1)).await.unwrap();
    assert_eq!(world.recalls().await.unwrap(), ["PKG2"], "the other is under way");
    let shown = world.state.borrow().session.clone().unwrap().task;
    assert!(matches!(shown, PanelTask::Recall { barcode, .. } if barcode == "PKG1"));
    world.through_the_door(removed(1)).await.unwrap();
    assert_eq!(world.state.borrow().last_result, Some(PanelResult::Removed { compartment: 1 }));
    assert_eq!(world.compartment(1).allocation, Allocation::Free);
    assert!(matches!(world.parcel(1).state, ParcelState::Recalled { .. }));
    assert_eq!(world.scan(&code(1)).await, Err(Refusal::CodeRevoked));
}

#[tokio::test(start_paused = true)]
async fn x03_another_label_than_the_parcels_own_does_not_empty_the_compartment() {
    let world = two_asked_back().await;
    world.scan(&badge()).await.unwrap();
    world.ask(recall(1)).await.unwrap();
    assert_eq!(world.through_the_door(removed(2)).await, Err(Refusal::BarcodeMismatch));
    world.ask(Ask::NotTaken).await.unwrap();
    assert!(matches!(world.parcel(1).state, ParcelState::Stored { .. }));
    assert!(matches!(world.compartment(1).allocation, Allocation::Occupied { .. }));
}

#[tokio::test(start_paused = true)]
async fn x04_a_recall_that_finds_nothing_is_no_recall() {
    let world = two_asked_back().await;
    world.scan(&badge()).await.unwrap();
    world.ask(recall(1)).await.unwrap();
    world.through_the_door(Ask::FoundEmpty).await.unwrap();
    assert_eq!(world.state.borrow().last_result, Some(PanelResult::FoundEmpty { compartment: 1 }));
    assert!(matches!(world.parcel(1).state, ParcelState::Unresolved { .. }));
    assert!(matches!(world.compartment(1).allocation, Allocation::Quarantined { .. }));
}

#[tokio::test(start_paused = true)]
async fn k11_a_recipient_who_was_first_has_it_and_the_courier_is_told() {
    let mut world = World::ready().await;
    world.stored(1).await;
    world.scan(&code(1)).await.unwrap();
    world.grant(recalled(1, 2, RecallReason::Sender)).await;
    world.through_the_door(Ask::Taken).await.unwrap();
    world.scan(&badge()).await.unwrap();
    assert!(world.recalls().await.unwrap().is_empty());
    assert_eq!(world.ask(recall(1)).await, Err(Refusal::AlreadyCollected));
    assert_eq!(world.sim.pulses(), 2);
}

#[tokio::test(start_paused = true)]
async fn k12_a_recipient_who_comes_while_the_parcel_is_taken_out_is_told_so() {
    let world = two_asked_back().await;
    world.scan(&badge()).await.unwrap();
    world.ask(recall(1)).await.unwrap();
    assert_eq!(world.scan(&code(1)).await, Err(Refusal::RecallInProgress));
    assert_eq!(world.scan(&code(2)).await, Err(Refusal::SessionBusy));
    world.through_the_door(removed(1)).await.unwrap();
    world.ask(Ask::Finish).await.unwrap();
    assert_eq!(world.scan(&code(2)).await, Err(Refusal::ParcelRecalled));
}

#[tokio::test(start_paused = true)]
async fn c09_a_courier_sees_and_takes_only_what_is_of_his_carrier_and_asked_back() {
    let mut world = two_asked_back().await;
    world.stored(3).await;
    let other = Action::Courier { carrier: "other".parse().unwrap() };
    world.scan(&signed(&Claims { action: other, ..claims(201) })).await.unwrap();
    assert!(world.recalls().await.unwrap().is_empty());
    assert_eq!(world.ask(recall(1)).await, Err(Refusal::BarcodeUnknown));
    world.scan(&badge()).await.unwrap();
    assert_eq!(world.ask(recall(3)).await, Err(Refusal::NotRecalled));
    world.scan(&staff(1)).await.unwrap();
    assert_eq!(world.recalls().await.unwrap().len(), 2, "staff see all");
    assert_eq!(world.ask(recall(1)).await, Err(Refusal::BarcodeUnknown), "of which carrier?");
    let (carrier, barcode) = ("acme".parse().unwrap(), "PKG1".parse().unwrap());
    world.ask(Ask::Recall { carrier: Some(carrier), barcode }).await.unwrap();
    world.through_the_door(removed(1)).await.unwrap();
    world.ask(Ask::Finish).await.unwrap();
    world.scan(&code(3)).await.unwrap();
    assert_eq!(world.recalls().await, Err(Refusal::NotNow), "not for a recipient");
}

#[tokio::test(start_paused = true)]
async fn k04_a_parcel_that_its_recipient_does_not_want_is_asked_back() {
    let mut world = World::ready().await;
    let no = world.stored(1).await;
    world.scan(&code(1)).await.unwrap();
    world.through_the_door(Ask::RefuseParcel).await.unwrap();
    assert_eq!(world.state.borrow().last_result, Some(PanelResult::Refused { compartment: no }));
    assert_eq!(world.scan(&code(1)).await, Err(Refusal::ParcelRecalled));
    world.scan(&badge()).await.unwrap();
    assert_eq!(world.recalls().await.unwrap(), ["PKG1"]);
}

#[tokio::test(start_paused = true)]
async fn k15_of_a_recipient_and_a_delegate_the_first_has_it() {
    let mut world = World::ready().await;
    world.stored(1).await;
    let (parcel, credential) = (ParcelId([1; 16]), CredentialId([90; 16]));
    let until = NOW.plus_ms(3_600_000);
    world.grant(Grant::Delegate { parcel, version: Version(2), credential, until }).await;
    world.scan(&code(90)).await.unwrap();
    assert_eq!(world.scan(&code(1)).await, Err(Refusal::PickupInProgress));
    world.through_the_door(Ask::Taken).await.unwrap();
    assert_eq!(world.scan(&code(1)).await, Err(Refusal::CodeUsed));
    tokio::time::sleep(GRACE).await;
    assert_eq!(world.scan(&code(90)).await, Err(Refusal::CodeUsed));
}

#[tokio::test(start_paused = true)]
async fn c03_a_new_code_opens_at_once_and_the_old_one_nothing_any_more() {
    let mut world = World::ready().await;
    world.stored(1).await;
    let (parcel, credential) = (ParcelId([1; 16]), CredentialId([90; 16]));
    world.grant(Grant::Reissue { parcel, version: Version(2), credential }).await;
    assert_eq!(world.scan(&code(1)).await, Err(Refusal::CodeRevoked));
    world.scan(&code(90)).await.unwrap();
    world.through_the_door(Ask::Taken).await.unwrap();
}
