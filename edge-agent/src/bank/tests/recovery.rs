//! The process dies between a pulse and its outcome: what the next start makes of it.

use super::*;

/// Lets the unlock frame go out, but not its outcome come back.
async fn pulsed(world: &World, pulses: u64) {
    while world.sim.pulses() < pulses {
        tokio::time::advance(Duration::from_millis(1)).await;
    }
    assert_eq!(world.outcomes().len() as u64, pulses - 1);
}

#[tokio::test(start_paused = true)]
async fn p_a_a_deposit_cut_between_pulse_and_outcome_is_quarantined() {
    let mut world = World::ready().await;
    world.courier_with(1).await;
    world.scan("PKG1").await.unwrap();
    pulsed(&world, 1).await;

    let mut world = world.killed_and_started_again().await;
    assert_eq!(world.outcomes(), [PulseOutcome::Recovered]);
    assert!(world.state.borrow().session.is_none());
    let reason = QuarantineReason::Interrupted;
    assert!(matches!(
        world.compartment(1).allocation,
        Allocation::Quarantined { reason: found, .. } if found == reason
    ));
    assert_eq!(world.parcel(1).state, ParcelState::Unresolved { compartment: CompartmentNo(1) });
    let unknown = AbortedContent::Unknown(reason);
    assert!(world.facts().iter().any(|fact| {
        matches!(fact, Fact::DepositAborted(aborted) if aborted.content == unknown)
    }));
    // The pulse is not given again, and the next parcel goes elsewhere.
    world.hear().await;
    world.doors_known().await;
    world.courier_with(2).await;
    world.scan("PKG2").await.unwrap();
    assert_eq!(world.until_phase(PanelPhase::Open).await, 2);
    assert_eq!((world.sim.pulses(), world.intents()), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn p_a_a_pickup_cut_between_pulse_and_outcome_leaves_its_code_good() {
    let mut world = World::ready().await;
    let no = world.stored(1).await;
    world.scan(&code(1)).await.unwrap();
    pulsed(&world, 2).await;

    let world = world.killed_and_started_again().await;
    assert_eq!(world.outcomes().last(), Some(&PulseOutcome::Recovered));
    assert!(world.facts().iter().any(|fact| {
        matches!(fact, Fact::PickupSettled(settled) if settled.end == PickupEnd::Interrupted)
    }));
    assert!(matches!(world.compartment(no).allocation, Allocation::Quarantined { .. }));
    world.sim.command(&format!("close {}", no - 1)).unwrap();
    world.doors_known().await;
    world.scan(&code(1)).await.unwrap();
    world.until_phase(PanelPhase::Open).await;
    world.close(no).await;
    world.ask(Ask::Taken).await.unwrap();
    assert_eq!((world.sim.pulses(), world.intents()), (3, 3));
    assert!(matches!(world.parcel(1).state, ParcelState::Collected { .. }));
}

#[tokio::test(start_paused = true)]
async fn p_c_a_power_cut_with_the_door_open_is_overdue_at_the_start_and_no_event() {
    let mut world = World::ready().await;
    let no = world.stored(1).await;
    world.scan(&code(1)).await.unwrap();
    world.until_phase(PanelPhase::Open).await;
    let before = world.facts().len();

    let world = world.killed_and_started_again().await;
    world.hear().await;
    world.doors_known().await;
    let new: Vec<_> = world.facts().split_off(before);
    let overdue = Fact::Alarm(Alarm::DoorOpenTooLong(CompartmentNo(no)));
    assert_eq!(new.iter().filter(|fact| **fact == overdue).count(), 1, "{new:?}");
    assert!(!new.iter().any(|fact| matches!(fact, Fact::DoorMoved(_))), "{new:?}");
    let held = world.compartment(no);
    assert!(held.door == Door::Open && held.open_too_long, "{held:?}");
    assert!(matches!(held.allocation, Allocation::Quarantined { .. }), "{held:?}");
    // Once it is shut, the code is as good as before, and the next long opening raises an alarm again.
    world.sim.command(&format!("close {}", no - 1)).unwrap();
    world.until_journal("it is shut", |view| !view.compartments()[0].open_too_long).await;
    world.scan(&code(1)).await.unwrap();
    world.until_phase(PanelPhase::Open).await;
    let too_long = |state: &PanelState| {
        state.session.as_ref().is_some_and(|session| session.door_open_too_long)
    };
    world.until("open too long", too_long).await;
    assert_eq!(world.facts().iter().filter(|fact| **fact == overdue).count(), 2);
}

#[tokio::test(start_paused = true)]
async fn p_e_a_start_reads_the_doors_as_a_baseline_and_invents_no_event() {
    let mut world = World::ready().await;
    world.stored(1).await;
    let before = world.facts().len();
    let world = world.killed_and_started_again().await;
    world.doors_known().await;
    let new: Vec<_> = world.facts().split_off(before);
    assert!(matches!(&new[..], [Fact::Booted(_), Fact::DoorsRead(_)]), "{new:?}");
    assert_eq!(world.compartment(1).door, Door::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_the_outcome_of_a_pulse_that_is_out() {
    let mut world = World::ready().await;
    world.courier_with(1).await;
    world.scan("PKG1").await.unwrap();
    pulsed(&world, 1).await;
    world.stopped().await.unwrap();
    assert!(matches!(world.outcomes()[..], [PulseOutcome::Opened { .. }]));
}

#[tokio::test(start_paused = true)]
async fn a_stop_waits_no_longer_than_it_says() {
    let mut world = World::ready().await;
    world.courier_with(1).await;
    world.sim.command("jam 0 on").unwrap();
    world.scan("PKG1").await.unwrap();
    pulsed(&world, 1).await;
    world.sim.command("mute on").unwrap();
    let before = Instant::now();
    let (reply, answer) = oneshot::channel();
    world.events.send(Event::Stop).await.unwrap();
    let ask = Ask::Cancel;
    world.events.send(Event::Ask { ask, asked_at: before, reply }).await.unwrap();
    world.stopped().await.unwrap();
    assert!(answer.await.is_err());
    assert!(before.elapsed() <= Duration::from_millis(STOP_WAIT_MS + 1));
}
