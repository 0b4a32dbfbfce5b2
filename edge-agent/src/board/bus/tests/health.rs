//! What a bus finds out about its boards from what their pulses do.

use super::rig::Rig;
use super::*;
use crate::board::{BoardPower, Profile};

fn power(state: BoardPower) -> BusEvent {
    BusEvent::BoardPower { board: board_addr(0), state }
}

fn doubt(lock: u8) -> BusEvent {
    BusEvent::SensorDoubt { board: board_addr(0), lock: lock_index(lock) }
}

/// A board whose pulses do nothing.
async fn without_fuse(profile: Profile) -> Rig {
    let rig = Rig::ready(profile, &[0, 1]).await;
    rig.fake.state().wiring.extend((0..8).map(|lock| ((0, lock), Vec::new())));
    rig
}

#[tokio::test(start_paused = true)]
async fn three_doors_in_a_row_that_do_not_open_are_a_board_without_power() {
    for profile in [Profile::Cu48, Profile::Cu16] {
        let mut rig = without_fuse(profile).await;
        for lock in [1, 1, 2] {
            assert_eq!(rig.pulse((0, lock)).await.0, PulseOutcome::NotOpened);
        }
        assert_eq!(rig.pulse((0, 3)).await.0, PulseOutcome::NotOpened);
        rig.until(|event| *event == power(BoardPower::Missing)).await;
        let refused = PulseOutcome::NotSent(NotSentReason::NoPower);
        assert_eq!(rig.pulse((0, 4)).await.0, refused, "no more pulses");
        assert_eq!(rig.fake.state().pulses.len(), 4);
        assert!(
            matches!(rig.pulse((1, 1)).await.0, PulseOutcome::Opened { .. }),
            "the others go on"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_board_that_was_switched_off_and_on_gets_pulses_again() {
    let mut rig = without_fuse(Profile::Cu48).await;
    for lock in 1..=3 {
        rig.pulse((0, lock)).await;
    }
    rig.until(|event| *event == power(BoardPower::Missing)).await;
    rig.fake.state().silent.insert(0);
    rig.until(|event| matches!(event, BusEvent::Board { state: Suspect, .. })).await;
    rig.fake.state().wiring.clear();
    rig.fake.state().silent.clear();
    rig.until(|event| *event == power(BoardPower::Back)).await;
    assert!(matches!(rig.pulse((0, 4)).await.0, PulseOutcome::Opened { .. }));
}

#[tokio::test(start_paused = true)]
async fn doors_that_jam_between_doors_that_open_are_no_power_fault() {
    let mut rig = without_fuse(Profile::Cu48).await;
    rig.fake.state().wiring.remove(&(0, 7));
    for lock in [1, 2] {
        assert_eq!(rig.pulse((0, lock)).await.0, PulseOutcome::NotOpened);
    }
    rig.open_and_shut((0, 7)).await;
    for lock in [3, 4] {
        let (outcome, seen) = rig.pulse((0, lock)).await;
        assert_eq!(outcome, PulseOutcome::NotOpened);
        assert!(!seen.contains(&power(BoardPower::Missing)), "{seen:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn h02_a_sensor_stuck_shut_is_doubted_after_three_openings_that_people_confirm() {
    let mut rig = without_fuse(Profile::Cu48).await;
    for round in 1..=4 {
        let (outcome, seen) = rig.pulse((0, 5)).await;
        assert_eq!(outcome, PulseOutcome::NotOpened, "still pulsed");
        assert!(!seen.contains(&doubt(5)));
        rig.bus.note_confirmed_opening(board_addr(0), lock_index(5));
        let seen = rig.during(Duration::from_secs(2)).await;
        assert_eq!(seen.contains(&doubt(5)), round == 3, "told once, in round {round}: {seen:?}");
    }
    assert_eq!(rig.fake.state().pulses.len(), 4);
}

#[tokio::test(start_paused = true)]
async fn h02_a_sensor_stuck_open_is_doubted_and_its_lock_still_pulsed() {
    let mut rig = without_fuse(Profile::Cu48).await;
    rig.fake.toggle((0, 5));
    rig.until(door(DoorReading::Open)).await;
    for _ in 0..2 {
        let (outcome, _) = rig.pulse((0, 5)).await;
        assert_eq!(outcome, PulseOutcome::AlreadyOpen);
        rig.bus.note_confirmed_opening(board_addr(0), lock_index(5));
        rig.during(Duration::from_secs(2)).await;
    }
    // The word may come before the outcome.
    rig.request((0, 5));
    rig.until(|event| matches!(event, BusEvent::PulseWritten { .. })).await;
    rig.bus.note_confirmed_opening(board_addr(0), lock_index(5));
    rig.until(|event| *event == doubt(5)).await;
    assert_eq!(rig.pulse((0, 5)).await.0, PulseOutcome::AlreadyOpen);
}

#[tokio::test(start_paused = true)]
async fn h02_parcels_that_come_and_go_through_a_shut_door_are_evidence() {
    let mut rig = without_fuse(Profile::Cu16).await;
    let mut seen = Vec::new();
    for round in 0..3 {
        assert_eq!(rig.pulse((0, 5)).await.0, PulseOutcome::NotOpened);
        let holding = if round % 2 == 0 { 0b10_0000 } else { 0 };
        rig.fake.state().objects.insert(0, holding);
        seen = rig.during(Duration::from_secs(2)).await;
        assert_eq!(seen.contains(&doubt(5)), round == 2, "{seen:?}");
    }
    assert!(seen.contains(&doubt(5)));
}

#[tokio::test(start_paused = true)]
async fn h02_a_sensor_that_moves_is_not_doubted() {
    let mut rig = Rig::ready(Profile::Cu48, &[0]).await;
    for _ in 0..5 {
        rig.open_and_shut((0, 5)).await;
        rig.bus.note_confirmed_opening(board_addr(0), lock_index(5));
        let seen = rig.during(Duration::from_secs(2)).await;
        assert!(!seen.contains(&doubt(5)));
    }
}

#[tokio::test(start_paused = true)]
async fn h02_openings_that_people_confirm_are_no_power_fault() {
    let mut rig = without_fuse(Profile::Cu48).await;
    for lock in 1..=6 {
        assert_eq!(rig.pulse((0, lock)).await.0, PulseOutcome::NotOpened);
        rig.bus.note_confirmed_opening(board_addr(0), lock_index(lock));
        let seen = rig.during(Duration::from_secs(2)).await;
        assert!(!seen.contains(&power(BoardPower::Missing)), "{seen:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_board_that_a_pulse_pulls_down_begins_with_a_new_baseline() {
    let mut rig = Rig::ready(Profile::Cu48, &[0]).await;
    rig.request((0, 1));
    rig.until(|event| matches!(event, BusEvent::PulseWritten { .. })).await;
    rig.fake.state().silent.insert(0);
    sleep(Duration::from_millis(400)).await;
    // While it starts, it reads another door open that is not.
    rig.fake.toggle((0, 2));
    rig.fake.state().silent.clear();
    let seen = rig.until(|event| matches!(event, BusEvent::Baseline { .. })).await;
    assert!(!tells_of_doors(&seen), "no edges before the baseline: {seen:?}");
    assert_eq!(rig.bus.counters().supply_dips, 1);
}

#[tokio::test(start_paused = true)]
async fn a_reply_of_zeros_is_a_reset_and_opens_no_door() {
    for profile in [Profile::Cu48, Profile::Cu16] {
        let mut rig = Rig::ready(profile, &[0]).await;
        // Not all of the board, which is another fault.
        rig.fake.toggle((0, 7));
        rig.until(door(DoorReading::Open)).await;
        rig.fake.state().zero_replies = 1;
        let seen = rig.until(|event| matches!(event, BusEvent::Baseline { .. })).await;
        assert!(!tells_of_doors(&seen), "{seen:?}");
        let Some(BusEvent::Baseline { readings, .. }) = seen.last() else { panic!("{seen:?}") };
        let open = readings.iter().filter(|(_, reading)| *reading == DoorReading::Open);
        assert_eq!(open.count(), 1, "{readings:?}");
        assert_eq!(rig.bus.counters().supply_dips, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn zeros_that_stay_are_believed_as_a_baseline() {
    let mut rig = Rig::ready(Profile::Cu48, &[0]).await;
    rig.fake.toggle((0, 7));
    rig.until(door(DoorReading::Open)).await;
    rig.fake.state().hooks.insert(0, 0);
    let seen = rig.until(|event| matches!(event, BusEvent::Baseline { .. })).await;
    let Some(BusEvent::Baseline { readings, .. }) = seen.last() else { panic!("{seen:?}") };
    assert!(readings.iter().all(|(_, reading)| *reading == DoorReading::Open));
}
