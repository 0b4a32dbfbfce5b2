//! Adapters that give back what they are sent.

use super::rig::{Rig, config_of};
use super::*;
use crate::board::fake::Fake;
use crate::board::{Echo, Profile};

const BOTH: [Profile; 2] = [Profile::Cu48, Profile::Cu16];

fn echoing(profile: Profile, boards: &[u8]) -> Fake {
    let fake = Fake::new(profile, boards.iter().copied());
    fake.state().echo = Some(0);
    fake
}

#[tokio::test(start_paused = true)]
async fn an_echo_is_stripped_and_doors_open() {
    for profile in BOTH {
        for echo in [Echo::On, Echo::Probe] {
            let config = config_of(profile, &[0, 1], echo);
            let mut rig = Rig::ready_with(echoing(profile, &[0, 1]), config).await;
            rig.open_and_shut((1, 3)).await;
            let counters = rig.bus.counters();
            assert_eq!((counters.echo, counters.noise_bytes, counters.timeouts), (0, 0, 0));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_line_without_echo_is_found_by_the_probe() {
    for profile in BOTH {
        let fake = Fake::new(profile, [0]);
        let mut rig = Rig::ready_with(fake, config_of(profile, &[0], Echo::Probe)).await;
        rig.open_and_shut((0, 3)).await;
        assert_eq!(rig.fake.state().polls[&9], 1, "address 9 is empty, and is asked once");
        assert_eq!(rig.bus.counters().echo, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn an_echo_that_is_wrong_or_missing_is_a_bus_fault_and_no_reading() {
    for (spoiled, restored) in [(Some(1), Some(0)), (None, Some(0))] {
        let config = config_of(Profile::Cu48, &[0], Echo::On);
        let mut rig = Rig::ready_with(echoing(Profile::Cu48, &[0]), config).await;
        rig.fake.state().echo = spoiled;
        let seen = rig.until(|event| matches!(event, BusEvent::Board { state: Suspect, .. })).await;
        let fault =
            |event: &BusEvent| matches!(event, BusEvent::BusError { kind: ErrorKind::Echo, .. });
        assert!(seen.iter().any(fault), "{seen:?}");
        rig.until(|event| matches!(event, BusEvent::Board { state: Offline, .. })).await;
        let refused = PulseOutcome::NotSent(NotSentReason::BoardSilent);
        assert_eq!(rig.pulse((0, 1)).await.0, refused);
        rig.fake.state().echo = restored;
        rig.until(|event| matches!(event, BusEvent::Baseline { .. })).await;
        rig.open_and_shut((0, 1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_echo_where_none_was_said_to_be_is_no_reading() {
    for profile in BOTH {
        let config = config_of(profile, &[0], Echo::Off);
        let mut rig = Rig::start(echoing(profile, &[0]), config);
        rig.until(|event| matches!(event, BusEvent::Board { state: Offline, .. })).await;
        assert_eq!(rig.bus.counters().replies, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_board_where_none_should_be_leaves_the_echo_unclear_and_no_pulse_is_sent() {
    let fake = Fake::new(Profile::Cu48, [0, 9]);
    let mut rig = Rig::start(fake, config_of(Profile::Cu48, &[0], Echo::Probe));
    let down = |event: &BusEvent| matches!(event, BusEvent::Port { state: PortLink::Down { reason } } if reason.contains("without a board answers"));
    rig.until(down).await;
    assert_eq!(rig.pulse((0, 1)).await.0, PulseOutcome::NotSent(NotSentReason::PortDown));
    assert!(rig.fake.state().pulses.is_empty());
}

#[test]
fn ten_boards_leave_no_address_to_probe() {
    let boards: Vec<u8> = (0..10).collect();
    let error = config_of(Profile::Cu48, &boards, Echo::Probe).check().unwrap_err();
    assert!(error.to_string().contains("an address without a board"));
    config_of(Profile::Cu48, &boards, Echo::On).check().unwrap();
}
