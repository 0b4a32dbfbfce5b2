//! What ends by itself, and when the bank may believe that it has.

use locker_core::ids::CarrierId;
use locker_core::parcel::{RecallReason, Terms};

use super::*;

fn limited(n: u8, terms: Terms) -> Grant {
    Grant::Book(locker_core::downlink::Booking { terms, ..booking(n) })
}

/// Lets paused time go on, and everything that is due in it happen.
async fn pass(seconds: u64) {
    let mut ticks = tokio::time::interval(Duration::from_secs(seconds));
    ticks.tick().await;
    ticks.tick().await;
}

#[tokio::test(start_paused = true)]
async fn d13_a_parcel_that_is_not_brought_in_time_lapses_and_is_taken_late_if_there_is_room() {
    let mut world = World::ready().await;
    let terms = Terms { hard: true, book_until: Some(NOW.plus_ms(60_000)), ..Terms::default() };
    world.grant(limited(1, terms)).await;
    assert!(matches!(world.compartment(1).allocation, Allocation::Reserved { .. }));
    pass(120).await;
    world.settle().await;
    assert!(matches!(world.parcel(1).state, ParcelState::BookingExpired { .. }));
    assert_eq!(world.compartment(1).allocation, Allocation::Free);
    world.scan(&world::badge()).await.unwrap();
    world.scan("PKG1").await.unwrap();
    world.through_the_door(DEPOSITED).await.unwrap();
    assert!(matches!(world.parcel(1).state, ParcelState::Stored { .. }));
}

#[tokio::test(start_paused = true)]
async fn x01_a_parcel_that_stayed_too_long_is_kept_from_its_recipient_and_listed_for_its_carrier() {
    let mut world = World::ready().await;
    let terms = Terms { keep_ms: Some(600_000), ..Terms::default() };
    world.grant(limited(1, terms)).await;
    world.scan(&world::badge()).await.unwrap();
    world.scan("PKG1").await.unwrap();
    world.through_the_door(DEPOSITED).await.unwrap();
    world.ask(Ask::Finish).await.unwrap();
    pass(500).await;
    world.settle().await;
    assert_eq!(world.parcel(1).recall, None);
    pass(200).await;
    world.settle().await;
    assert_eq!(world.parcel(1).recall, Some(RecallReason::Expired));
    assert_eq!(world.scan(&code(1)).await, Err(Refusal::ParcelExpired));
    world.scan(&world::badge()).await.unwrap();
    assert_eq!(world.recalls().await.unwrap(), ["PKG1"]);
}

#[tokio::test(start_paused = true)]
async fn t02_without_signed_time_nothing_lapses_and_with_it_at_once() {
    let mut world = World::ready().await;
    let terms = Terms { book_until: Some(NOW.plus_ms(60_000)), ..Terms::default() };
    world.grant(limited(1, terms)).await;
    let world = world.killed_and_started_again().await;
    pass(3_600).await;
    world.settle().await;
    assert_eq!(world.parcel(1).state, ParcelState::Booked, "the promise is the person's");
    world.hear().await;
    world.settle().await;
    assert!(matches!(world.parcel(1).state, ParcelState::BookingExpired { .. }));
}

#[tokio::test(start_paused = true)]
async fn looking_for_what_has_lapsed_costs_the_disk_nothing_if_nothing_has() {
    let mut world = World::ready().await;
    world.stored(1).await;
    world.disk.take_diary();
    pass(3_600).await;
    world.settle().await;
    assert_eq!(world.disk.take_diary(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn more_lapses_than_one_step_holds_all_come() {
    let mut world = World::ready().await;
    let terms = Terms { book_until: Some(NOW.plus_ms(60_000)), ..Terms::default() };
    for n in 1..=100 {
        world.grant(limited(n, terms)).await;
    }
    pass(120).await;
    world.settle().await;
    let lapsed = |fact: &&Fact| matches!(fact, Fact::BookingLapsed(_));
    assert_eq!(world.facts().iter().filter(lapsed).count(), 100);
}

#[tokio::test(start_paused = true)]
async fn p_g_on_a_full_disk_a_lapse_waits_and_the_bank_goes_on() {
    let mut world = World::ready().await;
    let terms = Terms { book_until: Some(NOW.plus_ms(60_000)), ..Terms::default() };
    world.grant(limited(1, terms)).await;
    world.disk.set_room(Some(0));
    pass(120).await;
    world.settle().await;
    assert_eq!(world.parcel(1).state, ParcelState::Booked);
    world.disk.set_room(None);
    pass(60).await;
    world.settle().await;
    assert!(matches!(world.parcel(1).state, ParcelState::BookingExpired { .. }));
    let acme: CarrierId = "acme".parse().unwrap();
    assert_eq!(world.parcel(1).carrier, acme);
}
