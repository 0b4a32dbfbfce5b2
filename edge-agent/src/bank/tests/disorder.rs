//! What people do that they were not asked to, and what doors do that they should not.

use locker_core::governor::{GovernorLimits, Limit};
use locker_core::ids::GroupId;
use locker_core::parcel::Terms;

use super::world::{badge, staff};
use super::*;

fn alarms(world: &World) -> Vec<Alarm> {
    let alarm = |fact| if let Fact::Alarm(alarm) = fact { Some(alarm) } else { None };
    world.facts().into_iter().filter_map(alarm).collect()
}

fn session(world: &World) -> PanelSession {
    world.state.borrow().session.clone().expect("somebody is there")
}

/// Parcel 1 is offered a compartment whose door is open.
async fn depositing() -> World {
    let mut world = World::ready().await;
    world.courier_with(1).await;
    world.scan("PKG1").await.unwrap();
    assert_eq!(world.until_phase(PanelPhase::Open).await, 1);
    world
}

#[tokio::test(start_paused = true)]
async fn d01_a_door_that_stays_open_raises_an_alarm_and_only_a_fault_ends_the_deposit() {
    let world = depositing().await;
    assert!(!session(&world).door_open_too_long);
    let open_too_long =
        |state: &PanelState| state.session.as_ref().is_some_and(|shown| shown.door_open_too_long);
    world.until("the alarm", open_too_long).await;
    assert_eq!(alarms(&world), [Alarm::DoorOpenTooLong(CompartmentNo(1))]);
    assert_eq!(world.ask(DEPOSITED).await, Err(Refusal::DoorOpen));
    assert_eq!(world.ask(Ask::Finish).await, Err(Refusal::NotNow));
    world.ask(Ask::DoorWillNotShut).await.unwrap();
    assert!(matches!(world.parcel(1).state, ParcelState::Unresolved { .. }));
    let reason = QuarantineReason::DoorLeftOpen;
    let quarantined = Allocation::Quarantined { reason, parcel: Some(world.parcel(1).id) };
    assert_eq!(world.compartment(1).allocation, quarantined);
    assert_eq!(world.scan(&code(1)).await, Err(Refusal::NotDeposited));
}

#[tokio::test(start_paused = true)]
async fn d05_a_compartment_found_occupied_is_quarantined_and_another_opens() {
    let world = depositing().await;
    world.through_the_door(Ask::FoundOccupied).await.unwrap();
    let found = PanelResult::FoundOccupied { compartment: 1 };
    assert_eq!(world.state.borrow().last_result, Some(found));
    assert_eq!(world.until_phase(PanelPhase::Open).await, 2);
    let reason = QuarantineReason::FoundOccupied;
    let quarantined = Allocation::Quarantined { reason, parcel: None };
    assert_eq!(world.compartment(1).allocation, quarantined);
    world.through_the_door(DEPOSITED).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn d06_if_another_door_moved_the_courier_must_name_the_one_he_used() {
    for named in [1, 3] {
        let world = depositing().await;
        world.sim.command("open 2").unwrap();
        let asks = |state: &PanelState| {
            state.session.as_ref().is_some_and(|session| session.confirm_number)
        };
        world.until("the number is asked for", asks).await;
        assert_eq!(world.through_the_door(DEPOSITED).await, Err(Refusal::ConfirmNumber));
        let says = |no| Ask::Deposited { compartment: Some(CompartmentNo(no)) };
        assert_eq!(world.ask(says(99)).await, Err(Refusal::CompartmentUnknown), "a slip");
        world.ask(says(named)).await.unwrap();
        let stored = matches!(world.parcel(1).state, ParcelState::Stored { .. });
        assert_eq!(stored, named == 1);
        if named == 3 {
            for no in [1, 3] {
                let allocation = world.compartment(no).allocation;
                assert!(matches!(allocation, Allocation::Quarantined { .. }), "{no}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn d09_a_courier_who_keeps_the_parcel_leaves_an_empty_compartment() {
    let world = depositing().await;
    world.through_the_door(Ask::TookBack).await.unwrap();
    assert_eq!(world.state.borrow().last_result, Some(PanelResult::TookBack { compartment: 1 }));
    assert_eq!(world.compartment(1).allocation, Allocation::Free);
    assert_eq!(world.parcel(1).state, ParcelState::Booked);
    world.scan("PKG1").await.unwrap();
    assert_eq!(world.until_phase(PanelPhase::Open).await, 1);
}

#[tokio::test(start_paused = true)]
async fn d11_the_same_label_again_is_refused() {
    let mut world = World::ready().await;
    world.stored(1).await;
    world.scan(&badge()).await.unwrap();
    assert_eq!(world.scan("PKG1").await, Err(Refusal::AlreadyDeposited));
}

#[tokio::test(start_paused = true)]
async fn d04_a_parcel_too_large_for_every_compartment_is_taken_away_again() {
    let world = depositing().await;
    for no in [1, 2, 3] {
        assert_eq!(world.until_phase(PanelPhase::Open).await, no);
        world.through_the_door(Ask::DoesNotFit).await.unwrap();
    }
    let gave_up = PanelResult::DidNotFit { compartment: 3, gave_up: true };
    assert_eq!(world.state.borrow().last_result, Some(gave_up));
    assert!(world.view().compartments().iter().all(|held| held.allocation == Allocation::Free));
    assert_eq!(world.scan("PKG1").await, Err(Refusal::ParcelTooLarge));
}

#[tokio::test(start_paused = true)]
async fn d16_one_code_opens_all_parcels_of_a_person_one_after_the_other() {
    let mut world = World::ready().await;
    let group = Some(GroupId([5; 16]));
    for n in [1, 2, 3] {
        let terms = Terms { group: group.filter(|_| n != 3), ..Terms::default() };
        world.grant(Grant::Book(locker_core::downlink::Booking { terms, ..booking(n) })).await;
        world.scan(&badge()).await.unwrap();
        world.scan(&format!("PKG{n}")).await.unwrap();
        world.through_the_door(DEPOSITED).await.unwrap();
        world.ask(Ask::Finish).await.unwrap();
    }
    world.scan(&code(1)).await.unwrap();
    assert_eq!(session(&world).more, 1);
    assert_eq!(world.ask(Ask::OpenNext).await, Err(Refusal::NotNow));
    world.through_the_door(Ask::Taken).await.unwrap();
    assert_eq!((session(&world).more, session(&world).task), (1, PanelTask::Idle));
    world.ask(Ask::OpenNext).await.unwrap();
    assert_eq!(session(&world).more, 0);
    world.through_the_door(Ask::Taken).await.unwrap();
    assert!(world.state.borrow().session.is_none());
    assert!(matches!(world.parcel(2).state, ParcelState::Collected { .. }));
    assert!(matches!(world.parcel(3).state, ParcelState::Stored { .. }), "somebody else's");
}

#[tokio::test(start_paused = true)]
async fn k02_a_door_that_jams_and_is_pushed_shut_has_given_nothing_away() {
    let mut world = World::ready().await;
    let no = world.stored(1).await;
    let policy = SessionPolicy { jam_ms: 10_000, ..SessionPolicy::default() };
    let mut jammed = World::ready_with(policy).await;
    jammed.stored(1).await;
    for world in [&world, &jammed] {
        world.scan(&code(1)).await.unwrap();
        world.until_phase(PanelPhase::Open).await;
        // Longer than the one's limit, shorter than the other's.
        tokio::time::sleep(Duration::from_secs(3)).await;
        world.close(no).await;
        world.until("gone", |state| state.session.is_none()).await;
    }
    assert!(matches!(world.parcel(1).state, ParcelState::Collected { .. }));
    assert!(matches!(jammed.parcel(1).state, ParcelState::Stored { .. }));
    jammed.scan(&code(1)).await.unwrap();
    jammed.until_phase(PanelPhase::Open).await;
}

#[tokio::test(start_paused = true)]
async fn k03_a_parcel_that_is_left_inside_can_be_fetched_later() {
    let mut world = World::ready().await;
    let no = world.stored(1).await;
    world.scan(&code(1)).await.unwrap();
    world.through_the_door(Ask::NotTaken).await.unwrap();
    assert_eq!(world.state.borrow().last_result, Some(PanelResult::NotTaken { compartment: no }));
    world.scan(&code(1)).await.unwrap();
    world.through_the_door(Ask::Taken).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn k05_what_was_forgotten_is_fetched_with_a_pulse_of_its_own() {
    let mut world = World::ready().await;
    let no = world.stored(1).await;
    world.scan(&code(1)).await.unwrap();
    assert_eq!(world.ask(Ask::Reopen).await, Err(Refusal::NotNow));
    world.through_the_door(Ask::Reopen).await.unwrap();
    assert_eq!(world.until_phase(PanelPhase::Open).await, no);
    assert_eq!(world.ask(Ask::Reopen).await, Err(Refusal::DoorOpen));
    world.through_the_door(Ask::Taken).await.unwrap();
    assert_eq!((world.sim.pulses(), world.intents()), (3, 3));
}

#[tokio::test(start_paused = true)]
async fn k07_k08_what_a_recipient_finds_wrong_is_for_staff_to_look_at() {
    for (said, result) in [
        (Ask::FoundEmpty, PanelResult::FoundEmpty { compartment: 1 }),
        (Ask::WrongParcel, PanelResult::WrongParcel { compartment: 1 }),
    ] {
        let mut world = World::ready().await;
        world.stored(1).await;
        world.scan(&code(1)).await.unwrap();
        world.through_the_door(said).await.unwrap();
        assert_eq!(world.state.borrow().last_result, Some(result));
        assert!(matches!(world.compartment(1).allocation, Allocation::Quarantined { .. }));
        assert_eq!(world.scan(&code(1)).await, Err(Refusal::ParcelUnresolved));
    }
}

/// Says so in doubt and once only.
async fn until_doubted(world: &World, no: u16) {
    world
        .until_journal("the sensor is doubted", |view| {
            view.compartment(CompartmentNo(no)).is_some_and(|held| held.sensor_doubt)
        })
        .await;
    let doubts = alarms(world).into_iter().filter(|alarm| matches!(alarm, Alarm::SensorDoubt(_)));
    assert_eq!(doubts.collect::<Vec<_>>(), [Alarm::SensorDoubt(CompartmentNo(no))]);
}

#[tokio::test(start_paused = true)]
async fn h02_a_sensor_that_never_sees_its_door_open_is_doubted_on_the_word_of_those_who_did() {
    let mut world = World::ready().await;
    let no = world.stored(1).await;
    world.sim.command(&format!("hook {} closed", no - 1)).unwrap();
    for visit in 1..=4 {
        world.scan(&code(1)).await.unwrap();
        assert_eq!(world.until_phase(PanelPhase::Stuck).await, no, "still pulsed");
        // Saying it twice is one word.
        for _ in 0..2 {
            assert_eq!(world.ask(Ask::Taken).await, Err(Refusal::NotNow));
        }
        assert_eq!(world.compartment(no).sensor_doubt, visit > 3, "{visit}");
        if visit == 3 {
            until_doubted(&world, no).await;
        }
        world.ask(Ask::Cancel).await.unwrap();
        world.sim.command(&format!("close {}", no - 1)).unwrap();
    }
    until_doubted(&world, no).await;
}

#[tokio::test(start_paused = true)]
async fn h02_a_sensor_that_reads_open_for_ever_is_doubted_and_its_door_still_opened() {
    let mut world = World::ready().await;
    let no = world.stored(1).await;
    world.sim.command(&format!("hook {} open", no - 1)).unwrap();
    world
        .until_journal("it reads open", |view| {
            view.compartment(CompartmentNo(no)).is_some_and(|held| held.door.is_open())
        })
        .await;
    world.scan(&staff(1)).await.unwrap();
    for visit in 1..=3 {
        let pulses = world.sim.pulses();
        world.ask(Ask::Inspect(CompartmentNo(no))).await.unwrap();
        world.until_phase(PanelPhase::Open).await;
        let outcomes = world.outcomes();
        assert_eq!(outcomes.last(), Some(&PulseOutcome::AlreadyOpen), "{visit}");
        assert_eq!(world.sim.pulses(), pulses + 1);
        let found = Ask::Found(locker_core::bank::StaffFinding::Empty);
        assert_eq!(world.ask(found).await, Err(Refusal::DoorOpen));
        if visit == 3 {
            until_doubted(&world, no).await;
        }
        // Nobody can say it is shut, so the visit ends by itself.
        world.until("gone", |state| state.session.is_none()).await;
        world.hear().await;
        world.scan(&staff(1)).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn h02_a_sensor_that_moves_is_believed() {
    let mut world = World::ready().await;
    world.stored(1).await;
    for _ in 0..4 {
        world.scan(&code(1)).await.unwrap();
        world.until_phase(PanelPhase::Open).await;
        assert_eq!(world.ask(Ask::Taken).await, Err(Refusal::DoorOpen));
        world.through_the_door(Ask::NotTaken).await.unwrap();
    }
    assert_eq!(alarms(&world), []);
}

#[tokio::test(start_paused = true)]
async fn a_board_whose_pulses_do_nothing_is_stopped_until_staff_put_it_back() {
    let world = World::ready().await;
    let inspect = |no| Ask::Inspect(CompartmentNo(no));
    world.scan(&staff(1)).await.unwrap();
    for no in 1..=3 {
        world.sim.command(&format!("jam {} on", no - 1)).unwrap();
        world.ask(inspect(no)).await.unwrap();
        world.until_phase(PanelPhase::Stuck).await;
        if no < 3 {
            world.ask(Ask::Cancel).await.unwrap();
        }
    }
    world
        .until_journal("the board is stopped", |view| {
            view.compartments().iter().all(|held| held.health == Health::Stopped)
        })
        .await;
    assert_eq!(alarms(&world), [Alarm::BoardPower { board: 0 }]);
    assert_eq!(world.ask(Ask::TryAgain).await, Err(Refusal::LockUnreachable));
    world.ask(Ask::Cancel).await.unwrap();
    assert_eq!(world.ask(inspect(1)).await, Err(Refusal::LockUnreachable));
    assert_eq!(world.sim.pulses(), 3);
    // A fuse is changed, for which the board is switched off.
    for lock in 0..3 {
        world.sim.command(&format!("jam {lock} off")).unwrap();
    }
    world.sim.command("mute on").unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    world.sim.command("mute off").unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(world.ask(inspect(1)).await, Err(Refusal::LockUnreachable), "only staff know");
    world.ask(Ask::ResetBoard(0)).await.unwrap();
    world.ask(inspect(1)).await.unwrap();
    assert_eq!(world.until_phase(PanelPhase::Open).await, 1);
}

#[tokio::test(start_paused = true)]
async fn h01_two_doors_that_answer_to_one_pulse_stop_the_board_until_staff_put_it_back() {
    let mut world = World::ready_on_two_boards().await;
    world.stored(1).await;
    assert_eq!(world.sim.command("clash 1 0 both").unwrap(), "ok");
    world.scan(&code(1)).await.unwrap();
    let clash = Alarm::AddressClash { board: 1 };
    let stopped = |view: &locker_core::journal::MemoryView| {
        view.compartments()
            .iter()
            .all(|held| (held.health == Health::Stopped) == (held.spec.lock.board == 1))
    };
    world.until_journal("the board is stopped", stopped).await;
    assert_eq!(alarms(&world), [clash]);
    // What the other door gave away is not known; what was asked for goes on.
    let reason = QuarantineReason::OpenedByNobody;
    let quarantined = Allocation::Quarantined { reason, parcel: None };
    assert_eq!(world.compartment(4).allocation, quarantined);
    world.until_phase(PanelPhase::Open).await;
    world.sim.command("close *").unwrap();
    world.until_phase(PanelPhase::Shut).await;
    world.ask(Ask::Taken).await.unwrap();

    world.scan(&staff(1)).await.unwrap();
    let inspect = || Ask::Inspect(CompartmentNo(4));
    assert_eq!(world.ask(inspect()).await, Err(Refusal::LockUnreachable));
    world.sim.command("clash 1 off").unwrap();
    world.ask(Ask::ResetBoard(1)).await.unwrap();
    world.ask(inspect()).await.unwrap();
    assert_eq!(world.until_phase(PanelPhase::Open).await, 4);
    let empty = Ask::Found(locker_core::bank::StaffFinding::Empty);
    world.sim.command("close *").unwrap();
    world.until_phase(PanelPhase::Shut).await;
    world.ask(empty).await.unwrap();
    assert_eq!(world.compartment(4).allocation, Allocation::Free);
}

#[tokio::test(start_paused = true)]
async fn h12_a_neighbour_that_pops_open_with_a_pulse_is_quarantined_and_the_board_goes_on() {
    let mut world = World::ready().await;
    let no = world.stored(1).await;
    world.sim.command(&format!("sympathetic {} {no}", no - 1)).unwrap();
    world.scan(&code(1)).await.unwrap();
    let popped = |fact: &Fact| {
        let Fact::DoorMoved(moved) = fact else { return false };
        moved.class == Some(locker_core::bank::OpeningClass::Sympathetic)
    };
    let beside = CompartmentNo(no + 1);
    world
        .until_journal("the neighbour is quarantined", |view| {
            let held = view.compartment(beside).unwrap();
            matches!(held.allocation, Allocation::Quarantined { .. })
        })
        .await;
    assert!(world.facts().iter().any(popped));
    assert_eq!(alarms(&world), []);
    world.through_the_door(Ask::Taken).await.unwrap();
}

/// One pickup a minute.
fn slow() -> SessionPolicy {
    let limit = |openings| Limit { openings, within_ms: 60_000 };
    let recipient = [limit(1), limit(64)];
    let governor = GovernorLimits { recipient, ..GovernorLimits::default() };
    SessionPolicy { governor, ..SessionPolicy::default() }
}

#[tokio::test(start_paused = true)]
async fn c10_too_many_openings_are_refused_with_an_alarm_and_the_third_time_only_staff_may_open() {
    let mut world = World::ready_with(slow()).await;
    world.stored(1).await;
    for trip in 1..=3 {
        world.scan(&code(1)).await.unwrap();
        world.through_the_door(Ask::NotTaken).await.unwrap();
        let pulses = world.sim.pulses();
        // The refusal is told when its trace is durable; pressing again leaves no other.
        assert_eq!(world.scan(&code(1)).await, Err(Refusal::TooManyOpenings));
        assert_eq!(alarms(&world).len(), trip);
        let again = world.scan(&code(1)).await.unwrap_err();
        let wanted = if trip == 3 { Refusal::LockedDown } else { Refusal::TooManyOpenings };
        assert_eq!(again, wanted);
        assert_eq!((alarms(&world).len(), world.sim.pulses()), (trip, pulses));
        assert!(world.state.borrow().session.is_none());
        tokio::time::sleep(Duration::from_secs(61)).await;
    }
    // It holds over a restart, for everybody but staff.
    let world = world.killed_and_started_again().await;
    world.hear().await;
    world.doors_known().await;
    let lockdown = world.state.borrow().lockdown.clone();
    assert_eq!(lockdown, Some(PanelLockdown { lift_asked: false }));
    assert_eq!(world.scan(&code(1)).await, Err(Refusal::LockedDown));
    world.scan(&badge()).await.unwrap();
    assert_eq!(world.ask(Ask::LiftLockdown).await, Err(Refusal::StaffOnly));
    world.scan(&staff(1)).await.unwrap();
    world.ask(Ask::Inspect(CompartmentNo(2))).await.unwrap();
    world.until_phase(PanelPhase::Open).await;
}

#[tokio::test(start_paused = true)]
async fn c10_a_restart_gives_no_fresh_allowance() {
    let mut world = World::ready_with(slow()).await;
    world.stored(1).await;
    world.scan(&code(1)).await.unwrap();
    world.through_the_door(Ask::NotTaken).await.unwrap();
    let world = world.killed_and_started_again().await;
    world.hear().await;
    world.doors_known().await;
    assert_eq!(world.scan(&code(1)).await, Err(Refusal::TooManyOpenings));
}
