//! Write, act, answer: no frame goes out whose intent is not on the disk.

use super::*;
use crate::store::CommitError;

#[tokio::test(start_paused = true)]
async fn no_unlock_frame_goes_out_before_its_intent_is_durable() {
    let mut world = World::ready().await;
    world.stored(1).await;
    world.disk.take_diary();
    world.scan(&code(1)).await.unwrap();
    world.until_phase(PanelPhase::Open).await;
    let diary = world.disk.take_diary();
    let unlock = diary.iter().position(|entry| entry == "unlock").expect("a frame");
    assert_eq!(diary.iter().filter(|entry| *entry == "unlock").count(), 1);
    let steps = ["sync begins", "sync"];
    assert_eq!(diary[..unlock], steps, "the step of the intent is one call and one sync");
    let intended = world.facts().into_iter().rev().find_map(|fact| {
        if let Fact::PulseIntended(intended) = fact { Some(intended) } else { None }
    });
    assert_eq!(intended.unwrap().compartment, CompartmentNo(1));
    assert_eq!(world.frames.lock().unwrap().last().unwrap()[2], 0, "lock 0 is compartment 1");
}

/// With a thread to spare for the bus, and a sync that does not come back.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn while_the_intent_is_not_durable_the_bus_has_nothing_to_send() {
    let mut world = World::ready().await;
    world.stored(1).await;
    world.disk.take_diary();
    world.disk.hold_syncs(true);
    let (reply, answer) = oneshot::channel();
    let ask = Ask::Scan(code(1));
    world.events.send(Event::Ask { ask, asked_at: Instant::now(), reply }).await.unwrap();
    while !world.disk.diary().contains(&"sync begins".to_owned()) {
        tokio::task::yield_now().await;
    }
    // Time enough for a frame: the line is free several times in it.
    let frame = async {
        while !world.disk.diary().contains(&"unlock".to_owned()) {
            tokio::task::yield_now().await;
        }
    };
    let early = tokio::time::timeout(Duration::from_millis(400), frame).await.is_ok();
    world.disk.hold_syncs(false);
    assert!(!early, "{:?}", world.disk.diary());
    answer.await.unwrap().unwrap();
    world.until_phase(PanelPhase::Open).await;
    assert_eq!(world.disk.take_diary()[..3], ["sync begins", "sync", "unlock"]);
}

#[tokio::test(start_paused = true)]
async fn p_i_a_disk_that_fails_keeps_the_door_shut_and_ends_the_bank() {
    let mut world = World::ready().await;
    world.stored(1).await;
    world.disk.take_diary();
    world.disk.fail_syncs();
    let (reply, answer) = oneshot::channel();
    let ask = Ask::Scan(code(1));
    world.events.send(Event::Ask { ask, asked_at: Instant::now(), reply }).await.unwrap();
    let ended = world.ended().await;
    assert!(matches!(ended, BankError::Commit(CommitError::Journal { .. })), "{ended:?}");
    assert!(answer.await.is_err(), "nobody is told that a door opens");
    tokio::time::advance(Duration::from_secs(5)).await;
    assert!(!world.disk.take_diary().contains(&"unlock".to_owned()));
    assert_eq!(world.sim.pulses(), 1);
}

#[tokio::test(start_paused = true)]
async fn p_g_a_full_disk_stops_deposits_and_lets_pickups_go_on() {
    let mut world = World::ready().await;
    world.stored(1).await;
    world.courier_with(2).await;
    world.disk.set_room(Some(0));
    assert_eq!(world.scan("PKG2").await, Err(Refusal::StorageUnsafe));
    assert_eq!(world.sim.pulses(), 1);
    assert!(!world.state.borrow().deposits_open);
    assert_eq!(world.scan("PKG2").await, Err(Refusal::BankNotAccepting));
    world.ask(Ask::Finish).await.unwrap();

    world.scan(&code(1)).await.unwrap();
    let no = world.until_phase(PanelPhase::Open).await;
    world.close(no).await;
    world.ask(Ask::Taken).await.unwrap();
    assert_eq!(world.sim.pulses(), 2);

    world.disk.set_room(None);
    world.until("room again", |state| state.deposits_open).await;
    world.scan(&world::badge()).await.unwrap();
    world.scan("PKG2").await.unwrap();
    world.until_phase(PanelPhase::Open).await;
}

#[tokio::test(start_paused = true)]
async fn p_g_when_the_disk_fills_during_a_deposit_the_jam_is_recorded_and_no_other_door_opens() {
    let mut world = World::ready().await;
    world.sim.command("jam 0 on").unwrap();
    world.courier_with(1).await;
    world.scan("PKG1").await.unwrap();
    world.until_phase(PanelPhase::Stuck).await;
    world.ask(Ask::TryAgain).await.unwrap();
    world.disk.set_room(Some(0));
    world.until("given up", |state| state.last_result.is_some()).await;
    assert_eq!(world.compartment(1).health, Health::OpenFailed);
    assert_eq!(world.sim.pulses(), 2);
    assert_eq!(world.parcel(1).state, ParcelState::Booked);
    assert!(world.stopped().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn p_g_on_a_full_disk_the_hubs_decisions_wait_and_leave_the_reserve_alone() {
    let mut world = World::ready().await;
    world.disk.set_room(Some(0));
    let held = world.introduction().await.grants;
    world.grants(1, held.gseq + 1, vec![Grant::Book(booking(1))]).await;
    world.config(Document::Layout(layout(2))).await;
    let introduction = world.introduction().await;
    assert_eq!(introduction.grants, held, "not answered, so the hub will send it again");
    assert_eq!(introduction.layout, Generation(1));
    world.disk.set_room(None);
    world.until("room again", |state| state.deposits_open).await;
    world.grants(1, held.gseq + 1, vec![Grant::Book(booking(1))]).await;
    assert_eq!(world.introduction().await.grants.gseq, held.gseq + 1);
    assert!(matches!(world.parcel(1).state, ParcelState::Booked));
    world.courier_with(2).await;
}
