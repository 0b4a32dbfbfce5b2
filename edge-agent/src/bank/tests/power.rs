//! On battery: nothing is brought, everything can be fetched, and it is recorded once.

use locker_core::bank::{PowerChanged, PowerSource};

use super::*;

async fn runs_on(world: &World, source: PowerSource) {
    world.events.send(Event::Power(source)).await.unwrap();
    world.settle().await;
}

fn changes(world: &World) -> Vec<PowerSource> {
    let change = |fact| {
        if let Fact::PowerChanged(PowerChanged { source }) = fact { Some(source) } else { None }
    };
    world.facts().into_iter().filter_map(change).collect()
}

#[tokio::test(start_paused = true)]
async fn p_k_on_battery_deposits_are_refused_and_pickups_go_on_until_the_mains_are_back() {
    let mut world = World::ready().await;
    world.stored(1).await;
    runs_on(&world, PowerSource::Mains).await;
    assert_eq!(changes(&world), [], "as it was");
    for _ in 0..2 {
        runs_on(&world, PowerSource::Battery).await;
    }
    assert!(world.state.borrow().on_battery, "the screen says so");
    world.courier_with(2).await;
    assert_eq!(world.scan("PKG2").await, Err(Refusal::OnBattery));
    world.scan(&code(1)).await.unwrap();
    world.through_the_door(Ask::Taken).await.unwrap();
    assert!(matches!(world.parcel(1).state, ParcelState::Collected { .. }));

    // A restart on battery is still on battery, and no news.
    let world = world.killed_and_started_again().await;
    world.hear().await;
    world.doors_known().await;
    assert!(world.state.borrow().on_battery);
    runs_on(&world, PowerSource::Battery).await;
    world.scan(&world::badge()).await.unwrap();
    assert_eq!(world.scan("PKG2").await, Err(Refusal::OnBattery));
    runs_on(&world, PowerSource::Mains).await;
    assert!(!world.state.borrow().on_battery);
    world.scan("PKG2").await.unwrap();
    assert_eq!(changes(&world), [PowerSource::Battery, PowerSource::Mains]);
}

#[tokio::test(start_paused = true)]
async fn p_k_on_a_full_disk_the_change_waits_for_room() {
    let world = World::ready().await;
    world.disk.set_room(Some(0));
    runs_on(&world, PowerSource::Battery).await;
    world.disk.set_room(None);
    world.until("it is recorded", |state| state.on_battery).await;
    assert_eq!(changes(&world), [PowerSource::Battery]);
}
