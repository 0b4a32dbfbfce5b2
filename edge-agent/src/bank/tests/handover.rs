//! Couriers bring parcels and recipients take them, with everything that doors and people do.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_parcel_goes_in_and_out_with_one_pulse_each() {
    let mut world = World::ready().await;
    world.courier_with(1).await;
    world.scan("PKG1").await.unwrap();
    let no = world.until_phase(PanelPhase::Open).await;
    assert_eq!(no, 1, "the smallest that fits");
    assert_eq!(world.ask(DEPOSITED).await, Err(Refusal::DoorOpen));
    world.close(no).await;
    world.ask(DEPOSITED).await.unwrap();
    assert_eq!(world.state.borrow().last_result, Some(PanelResult::Stored { compartment: 1 }));
    world.ask(Ask::Finish).await.unwrap();
    assert!(world.state.borrow().session.is_none());

    world.scan(&code(1)).await.unwrap();
    world.until_phase(PanelPhase::Open).await;
    world.close(no).await;
    world.ask(Ask::Taken).await.unwrap();
    let state = world.state.borrow().clone();
    assert_eq!(state.last_result, Some(PanelResult::Collected { compartment: 1 }));
    assert!(state.session.is_none());
    tokio::time::sleep(GRACE).await;
    assert_eq!(world.scan(&code(1)).await, Err(Refusal::CodeUsed));
    assert_eq!((world.sim.pulses(), world.intents()), (2, 2));
    assert!(matches!(
        world.outcomes()[..],
        [PulseOutcome::Opened { .. }, PulseOutcome::Opened { .. }]
    ));
    assert_eq!(world.compartment(1).allocation, Allocation::Free);
    assert!(world.stopped().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn d04_a_parcel_that_does_not_fit_gets_the_next_larger_compartment() {
    let mut world = World::ready().await;
    world.courier_with(1).await;
    world.scan("PKG1").await.unwrap();
    let no = world.until_phase(PanelPhase::Open).await;
    world.close(no).await;
    world.ask(Ask::DoesNotFit).await.unwrap();
    let misfit = PanelResult::DidNotFit { compartment: 1, gave_up: false };
    assert_eq!(world.state.borrow().last_result, Some(misfit));
    assert_eq!(world.until_phase(PanelPhase::Open).await, 2);
    world.close(2).await;
    world.ask(DEPOSITED).await.unwrap();
    assert_eq!(world.compartment(1).allocation, Allocation::Free);
    assert!(matches!(world.parcel(1).state, ParcelState::Stored { .. }));
}

#[tokio::test(start_paused = true)]
async fn d02_a_door_that_jams_twice_gives_way_to_another_compartment() {
    let mut world = World::ready().await;
    world.sim.command("jam 0 on").unwrap();
    world.courier_with(1).await;
    world.scan("PKG1").await.unwrap();
    assert_eq!(world.until_phase(PanelPhase::Stuck).await, 1);
    assert_eq!(world.sim.pulses(), 1, "the second pulse is the person's to ask for");
    world.ask(Ask::TryAgain).await.unwrap();
    assert_eq!(world.until_phase(PanelPhase::Open).await, 2);
    assert_eq!(world.compartment(1).health, Health::OpenFailed);
    assert_eq!(world.compartment(1).allocation, Allocation::Free);
    assert_eq!((world.sim.pulses(), world.intents()), (3, 3));
}

#[tokio::test(start_paused = true)]
async fn k01_a_code_stays_good_when_its_door_does_not_open() {
    let mut world = World::ready().await;
    let no = world.stored(1).await;
    world.sim.command("jam 0 on").unwrap();
    world.scan(&code(1)).await.unwrap();
    world.until_phase(PanelPhase::Stuck).await;
    world.ask(Ask::TryAgain).await.unwrap();
    world.until("given up", |state| state.session.is_none()).await;
    assert_eq!(world.state.borrow().last_result, Some(PanelResult::NotOpened { compartment: no }));
    world.sim.command("jam 0 off").unwrap();
    world.scan(&code(1)).await.unwrap();
    world.until_phase(PanelPhase::Open).await;
}

#[tokio::test(start_paused = true)]
async fn h06_a_silent_board_gets_no_pulse_and_then_says_so_at_once() {
    let mut world = World::ready().await;
    world.stored(1).await;
    let before = world.sim.pulses();
    world.sim.command("mute on").unwrap();
    tokio::time::advance(Duration::from_millis(2_500)).await;
    world.scan(&code(1)).await.unwrap();
    world.until_phase(PanelPhase::Stuck).await;
    assert_eq!(world.outcomes().last(), Some(&PulseOutcome::NotSent));
    world.until("left", |state| state.session.is_none()).await;
    world
        .until_journal("offline", |view| {
            view.compartments().iter().all(|held| held.health == Health::Unreachable)
        })
        .await;
    assert_eq!(world.scan(&code(1)).await, Err(Refusal::LockUnreachable));
    assert_eq!(world.sim.pulses(), before);

    world.sim.command("mute off").unwrap();
    world.doors_known().await;
    world.scan(&code(1)).await.unwrap();
    world.until_phase(PanelPhase::Open).await;
}

#[tokio::test(start_paused = true)]
async fn h05_after_an_outcome_that_nobody_could_read_there_is_no_pulse_before_a_good_reading() {
    let mut world = World::ready().await;
    let no = world.stored(1).await;
    let before = world.sim.pulses();
    world.scan(&code(1)).await.unwrap();
    while world.sim.pulses() == before {
        tokio::time::advance(Duration::from_millis(1)).await;
    }
    world.sim.command("garbage on").unwrap();
    world.until("given up", |state| state.session.is_none()).await;
    assert_eq!(world.outcomes().last(), Some(&PulseOutcome::Unknown));
    // The code is good still, but nothing is sent to a board that says nothing of its doors.
    for _ in 0..3 {
        let _ = world.scan(&code(1)).await;
        tokio::time::advance(Duration::from_secs(10)).await;
        world.settle().await;
        assert_eq!(world.sim.pulses(), before + 1);
    }
    assert_ne!(world.compartment(no).health, Health::Ok);

    world.sim.command("garbage off").unwrap();
    world.doors_known().await;
    world.until("nobody waits", |state| state.session.is_none()).await;
    assert!(world.compartment(no).door.is_open(), "it did open");
    world.scan(&code(1)).await.unwrap();
    world.until_phase(PanelPhase::Open).await;
}

#[tokio::test(start_paused = true)]
async fn a_board_without_a_bus_is_not_pulsed() {
    let mut world = World::ready().await;
    world.stored(1).await;
    // The hub believes in a second board, which this agent's configuration does not name.
    let mut wrong = layout(2);
    wrong.compartments[1].lock = LockPosition { board: 7, lock: 0 };
    world.config(Document::Layout(wrong)).await;
    world.grant(Grant::Book(booking(2))).await;
    world.scan(&world::badge()).await.unwrap();
    world.scan("PKG2").await.unwrap();
    assert_eq!(world.until_phase(PanelPhase::Open).await, 3, "its door was never read");
}

#[tokio::test(start_paused = true)]
async fn d08_a_courier_who_does_nothing_is_signed_out() {
    let mut world = World::ready().await;
    world.courier_with(1).await;
    let before = Instant::now();
    world.until("signed out", |state| state.session.is_none()).await;
    let idle_ms = SessionPolicy::default().idle_ms;
    let waited = before.elapsed();
    assert!(waited >= Duration::from_millis(idle_ms));
    assert!(waited < Duration::from_millis(idle_ms + 1_000), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn d08_a_courier_who_leaves_after_shutting_the_door_has_deposited() {
    let mut world = World::ready().await;
    world.courier_with(1).await;
    world.scan("PKG1").await.unwrap();
    let no = world.until_phase(PanelPhase::Open).await;
    world.close(no).await;
    world.until("settled", |state| state.session.is_none()).await;
    assert_eq!(world.state.borrow().last_result, Some(PanelResult::Stored { compartment: no }));
}

#[tokio::test(start_paused = true)]
async fn d01_a_door_left_open_ends_the_session_and_quarantines() {
    let mut world = World::ready().await;
    world.courier_with(1).await;
    world.scan("PKG1").await.unwrap();
    let no = world.until_phase(PanelPhase::Open).await;
    world.until("given up", |state| state.session.is_none()).await;
    let aborted = PanelResult::DepositAborted { compartment: no, untouched: false };
    assert_eq!(world.state.borrow().last_result, Some(aborted));
    let reason = QuarantineReason::DoorLeftOpen;
    assert!(matches!(
        world.compartment(no).allocation,
        Allocation::Quarantined { reason: found, .. } if found == reason
    ));
    assert!(matches!(world.parcel(1).state, ParcelState::Unresolved { .. }));
}

#[tokio::test(start_paused = true)]
async fn t03_a_clock_that_jumps_neither_ends_nor_prolongs_a_session() {
    for forward in [true, false] {
        let mut world = World::ready().await;
        world.courier_with(1).await;
        let began = Instant::now();
        // Half an hour is not enough to ask for a second answer.
        let jump_ms = 1_800_000;
        let signed = if forward { NOW.plus_ms(jump_ms) } else { NOW.minus_ms(jump_ms) };
        let (asked_at, heard_at) = (began, Instant::now());
        world.events.send(Event::Heard { signed, asked_at, heard_at }).await.unwrap();
        world.settle().await;
        assert!(world.state.borrow().session.is_some());
        world.until("signed out", |state| state.session.is_none()).await;
        let waited = began.elapsed();
        assert!(waited >= Duration::from_secs(119), "{waited:?}");
        assert!(waited <= Duration::from_secs(122), "{waited:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn h08_a_door_opened_by_nobody_is_quarantined() {
    let world = World::ready().await;
    world.sim.command("open 2").unwrap();
    world
        .until_journal("forced", |view| {
            view.compartment(CompartmentNo(3)).unwrap().door == Door::ForcedOpen
        })
        .await;
    assert!(matches!(world.compartment(3).allocation, Allocation::Quarantined { .. }));
}

#[tokio::test(start_paused = true)]
async fn the_screen_sees_each_change_with_a_higher_revision() {
    let mut world = World::ready().await;
    let before = world.state.borrow().revision;
    world.courier_with(1).await;
    let state = world.state.borrow().clone();
    assert!(state.revision > before);
    world.events.send(Event::Linked(true)).await.unwrap();
    world.settle().await;
    assert!(world.state.borrow().hub_connected);
    let mut watched = world.state.clone();
    watched.mark_unchanged();
    let quiet = tokio::time::timeout(Duration::from_secs(30), watched.changed()).await;
    assert!(quiet.is_err(), "looking at the disk is no change");
}

#[tokio::test(start_paused = true)]
async fn k05_something_forgotten_is_fetched_with_the_code_that_was_used() {
    let mut world = World::ready().await;
    let no = world.stored(1).await;
    world.scan(&code(1)).await.unwrap();
    world.through_the_door(Ask::Taken).await.unwrap();
    tokio::time::sleep(GRACE / 2).await;
    world.scan(&code(1)).await.unwrap();
    assert_eq!(world.until_phase(PanelPhase::Open).await, no);
    let shown = world.state.borrow().session.clone().unwrap();
    assert_eq!(shown.role, PanelRole::Recipient);
    assert_eq!(shown.task, PanelTask::Pickup { compartment: no, phase: PanelPhase::Open });
    world.close(no).await;
    world.ask(Ask::Taken).await.unwrap();
    let state = world.state.borrow().clone();
    assert_eq!(state.last_result, Some(PanelResult::Collected { compartment: no }));
    assert!(state.session.is_none());
    assert_eq!(world.compartment(no).allocation, Allocation::Free);
    assert!(matches!(world.parcel(1).state, ParcelState::Collected { .. }));
    assert_eq!((world.sim.pulses(), world.intents()), (3, 3));
    // Whoever leaves the door open leaves a compartment that staff must look into.
    world.scan(&code(1)).await.unwrap();
    world.until_phase(PanelPhase::Open).await;
    world.until_journal("given up", |view| view.session().is_none()).await;
    let left = world.compartment(no).allocation;
    assert!(matches!(left, Allocation::Quarantined { .. }), "{left:?}");
    assert_eq!(world.state.borrow().last_result, Some(PanelResult::Unclear { compartment: no }));
}
