//! Many boards on one line, of both families, at the pace of the line.

use super::rig::{Rig, config_of};
use super::*;
use crate::board::fake::Fake;
use crate::board::{Echo, Profile};

/// How long polls are counted.
const COUNTED_S: u64 = 20;
const BOTH: [Profile; 2] = [Profile::Cu48, Profile::Cu16];

/// Polls of each board in a second, over some time.
async fn rates(rig: &mut Rig, boards: &[u8]) -> Vec<u64> {
    rig.fake.state().polls.clear();
    rig.during(Duration::from_secs(COUNTED_S)).await;
    let state = rig.fake.state();
    boards.iter().map(|board| state.polls.get(board).copied().unwrap_or(0) / COUNTED_S).collect()
}

#[tokio::test(start_paused = true)]
async fn h07_up_to_ten_boards_are_each_polled_four_times_a_second() {
    for profile in BOTH {
        for count in [1, 8, 10] {
            let boards: Vec<u8> = (0..count).collect();
            let mut rig = Rig::ready(profile, &boards).await;
            let rates = rates(&mut rig, &boards).await;
            assert!(rates.iter().all(|rate| (4..=5).contains(rate)), "{profile:?}: {rates:?}");
            let gap = rig.bus.counters().longest_reading_gap_ms;
            assert!((200..=250).contains(&gap), "{profile:?} with {count} boards: {gap} ms");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn h06_a_silent_board_costs_its_neighbours_nothing() {
    for profile in BOTH {
        let boards: Vec<u8> = (0..8).collect();
        let mut rig = Rig::ready(profile, &boards).await;
        rig.fake.state().silent.insert(3);
        let others = [0, 1, 2, 4, 5, 6, 7];
        let at_first = rates(&mut rig, &others).await;
        let later = rates(&mut rig, &others).await;
        assert!(at_first.iter().chain(&later).all(|rate| *rate >= 4), "{at_first:?} {later:?}");
        let polls = rig.fake.state().polls[&3];
        assert!((3..=6).contains(&polls), "offline, it is asked every 5 s: {polls}");
        assert!(matches!(rig.pulse((4, 1)).await.0, PulseOutcome::Opened { .. }));
    }
}

#[tokio::test(start_paused = true)]
async fn a_lock_opens_on_each_of_ten_boards_and_on_no_other() {
    for profile in BOTH {
        let boards: Vec<u8> = (0..10).collect();
        let mut rig = Rig::ready(profile, &boards).await;
        for board in boards {
            assert!(matches!(rig.pulse((board, 7)).await.0, PulseOutcome::Opened { .. }));
            assert_eq!(rig.fake.state().pulses.last(), Some(&(board, 7)));
        }
        assert_eq!(rig.fake.state().pulses.len(), 10);
    }
}

#[tokio::test(start_paused = true)]
async fn an_unlock_goes_before_the_polls_of_ten_boards() {
    for profile in BOTH {
        let boards: Vec<u8> = (0..10).collect();
        let mut rig = Rig::ready(profile, &boards).await;
        for at in [(9, 0), (0, 1), (5, 2)] {
            let asked = Instant::now();
            rig.request(at);
            rig.until(|event| matches!(event, BusEvent::PulseWritten { .. })).await;
            // One poll may be in flight: its line time, the board's turnaround, a tick of the clock.
            assert!(asked.elapsed() <= Duration::from_millis(14), "{:?}", asked.elapsed());
            rig.during(Duration::from_secs(3)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_the_family_has_not_is_never_sent() {
    let fake = Fake::new(Profile::Cu16, [0, 1]);
    let mut config = config_of(Profile::Cu16, &[0, 1], Echo::Off);
    let sixteenth = LockConfig { index: lock_index(16), polarity: Polarity::OneIsLocked };
    config.boards[0].locks.push(sixteenth);
    let error = config.check().unwrap_err().to_string();
    assert!(error.contains("lock 16 of board 0 is not below 16"), "{error}");
    let rig = Rig::start(fake, config);
    let (board, lock) = (board_addr(0), lock_index(16));
    let request = UnlockRequest { intent: 1, board, lock, issued_at: Instant::now() };
    assert_eq!(rig.bus.try_unlock(request), Err(UnlockRefused::UnknownLock { board: 0, lock: 16 }));
}

#[tokio::test(start_paused = true)]
async fn infrared_sensors_tell_what_is_inside() {
    let fake = Fake::new(Profile::Cu16, [0]);
    fake.state().objects.insert(0, 0b100);
    let mut rig = Rig::start(fake, config_of(Profile::Cu16, &[0], Echo::Off));
    let objects = |event: &BusEvent| matches!(event, BusEvent::Objects { .. });
    let told = |holding: &[u8]| BusEvent::Objects {
        board: board_addr(0),
        holding: holding.iter().copied().map(lock_index).collect(),
    };
    assert_eq!(rig.until(objects).await.last(), Some(&told(&[2])));
    // Locks 0 and 2; the tenth is not configured.
    rig.fake.state().objects.insert(0, 0b10_0000_0101);
    assert_eq!(rig.until(objects).await.last(), Some(&told(&[0, 2])));
    assert!(!rig.during(Duration::from_secs(5)).await.iter().any(objects), "told once");
}

#[tokio::test(start_paused = true)]
async fn a_cu48_tells_no_objects() {
    let mut rig = Rig::ready(Profile::Cu48, &[0]).await;
    let seen = rig.during(Duration::from_secs(5)).await;
    assert!(seen.is_empty(), "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn h07_a_gap_in_which_a_visit_goes_unseen_is_an_alarm() {
    let mut rig = Rig::ready(Profile::Cu48, &[0]).await;
    rig.fake.state().silent.insert(0);
    sleep(Duration::from_secs(2)).await;
    rig.fake.state().silent.clear();
    let seen = rig.until(|event| matches!(event, BusEvent::SlowPoll { .. })).await;
    let Some(BusEvent::SlowPoll { gap_ms, .. }) = seen.last() else { panic!("{seen:?}") };
    assert!((2_000..2_600).contains(gap_ms), "{gap_ms}");
    assert!((2_000..2_600).contains(&rig.bus.counters().longest_reading_gap_ms));
    let more = rig.during(Duration::from_secs(30)).await;
    assert!(!more.iter().any(|event| matches!(event, BusEvent::SlowPoll { .. })), "{more:?}");
}

#[tokio::test(start_paused = true)]
async fn h01_every_sensor_that_moves_for_one_pulse_is_told() {
    let mut rig = Rig::ready(Profile::Cu48, &[0, 4]).await;
    rig.fake.state().wiring.insert((0, 3), vec![(0, 3), (4, 3)]);
    rig.request((0, 3));
    let seen = rig.during(Duration::from_secs(2)).await;
    assert_eq!(opened(&seen), [(0, 3), (4, 3)], "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn h12_a_door_that_pops_open_with_another_is_told_beside_the_outcome() {
    for profile in BOTH {
        let mut rig = Rig::ready(profile, &[0]).await;
        rig.fake.state().wiring.insert((0, 3), vec![(0, 3), (0, 4)]);
        let intent = rig.request((0, 3));
        let seen = rig.during(Duration::from_secs(2)).await;
        assert_eq!(opened(&seen), [(0, 3), (0, 4)], "{seen:?}");
        let settled = |event: &&BusEvent| matches!(event, BusEvent::Settled { intent: of, outcome: PulseOutcome::Opened { .. } } if *of == intent);
        assert_eq!(seen.iter().filter(settled).count(), 1, "{seen:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn h08_a_door_forced_open_is_told_without_a_pulse() {
    for profile in BOTH {
        let mut rig = Rig::ready(profile, &[0, 1]).await;
        rig.fake.toggle((1, 6));
        let seen = rig.during(Duration::from_secs(2)).await;
        assert_eq!(opened(&seen), [(1, 6)], "{seen:?}");
        assert_eq!(seen.len(), 1, "{seen:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn h03_a_contact_that_bounces_shuts_its_door_once() {
    let mut rig = Rig::ready(Profile::Cu16, &[0]).await;
    rig.fake.toggle((0, 2));
    rig.until(door(DoorReading::Open)).await;
    for _ in 0..6 {
        rig.fake.toggle((0, 2));
        sleep(Duration::from_millis(130)).await;
    }
    rig.fake.toggle((0, 2));
    let seen = rig.during(Duration::from_secs(3)).await;
    let shut = seen.iter().filter(|event| door(DoorReading::Closed)(event)).count();
    assert_eq!((shut, seen.len()), (1, 1), "{seen:?}");
}

/// The doors that were told to open, by board and lock.
fn opened(events: &[BusEvent]) -> Vec<(u8, u8)> {
    let door = |event: &BusEvent| {
        let BusEvent::Door { board, lock, reading: DoorReading::Open, .. } = event else {
            return None;
        };
        Some((board.get(), lock.get()))
    };
    let mut opened: Vec<_> = events.iter().filter_map(door).collect();
    opened.sort_unstable();
    opened
}
