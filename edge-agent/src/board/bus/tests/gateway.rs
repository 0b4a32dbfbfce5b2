//! What a gateway over TCP may do to a pulse: nothing that opens a door after the person has gone.

use super::rig::{Rig, config_of};
use super::*;
use crate::board::fake::Fake;
use crate::board::{Echo, Jitter, Profile};

fn behind_a_gateway(boards: &[u8]) -> (Fake, BusConfig) {
    let fake = Fake::new(Profile::Cu48, boards.iter().copied()).delivering_late();
    (fake, config_of(Profile::Cu48, boards, Echo::Off))
}

fn down(words: &'static str) -> impl Fn(&BusEvent) -> bool {
    move |event| matches!(event, BusEvent::Port { state: PortLink::Down { reason } } if reason.contains(words))
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_does_not_prove_that_a_pulse_arrived_is_aborted() {
    let (fake, config) = behind_a_gateway(&[0, 1]);
    let mut rig = Rig::ready_with(fake, config).await;
    let intent = rig.request((0, 1));
    rig.until(|event| matches!(event, BusEvent::PulseWritten { .. })).await;
    let written = Instant::now();
    rig.fake.state().silent.extend([0, 1]);
    let seen = rig.until(down("must not be delivered later")).await;
    assert!(written.elapsed() <= Duration::from_millis(800), "{:?}", written.elapsed());
    drop(seen);
    let outcome = PulseOutcome::Unknown(UnknownReason::PortLost);
    rig.until(|event| *event == BusEvent::Settled { intent, outcome }).await;
    rig.fake.state().silent.clear();
    rig.until(|event| matches!(event, BusEvent::Baseline { .. })).await;
    assert!(matches!(rig.pulse((1, 2)).await.0, PulseOutcome::Opened { .. }));
    assert_eq!(rig.fake.state().pulses, [(0, 1), (1, 2)], "nothing is sent twice");
}

#[tokio::test(start_paused = true)]
async fn a_neighbour_that_answers_proves_that_the_pulse_arrived() {
    let (fake, config) = behind_a_gateway(&[0, 1]);
    let mut rig = Rig::ready_with(fake, config).await;
    rig.request((0, 1));
    rig.until(|event| matches!(event, BusEvent::PulseWritten { .. })).await;
    rig.fake.state().silent.insert(0);
    let seen = rig.during(Duration::from_secs(20)).await;
    assert!(!seen.iter().any(|event| matches!(event, BusEvent::Port { .. })), "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_accepts_and_says_nothing_is_dialled_again_for_ever() {
    let (fake, mut config) = behind_a_gateway(&[0]);
    config.backoff.jitter = Jitter::new(|bound_ms| bound_ms);
    fake.state().silent.insert(0);
    let mut rig = Rig::start(fake, config);
    for _ in 0..5 {
        rig.until(down("no board has answered through the gateway")).await;
        let refused = rig.pulse((0, 1)).await.0;
        assert!(matches!(refused, PulseOutcome::NotSent(_)), "{refused:?}");
    }
    assert!(rig.bus.counters().ports_opened >= 5);
    rig.fake.state().silent.clear();
    rig.until(|event| matches!(event, BusEvent::Baseline { .. })).await;
    assert!(matches!(rig.pulse((0, 1)).await.0, PulseOutcome::Opened { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_serial_line_where_nobody_answers_stays_open() {
    let fake = Fake::new(Profile::Cu48, [0]);
    fake.state().silent.insert(0);
    let mut rig = Rig::start(fake, config_of(Profile::Cu48, &[0], Echo::Off));
    rig.during(Duration::from_secs(60)).await;
    assert_eq!(rig.bus.counters().ports_opened, 1);
}

#[tokio::test(start_paused = true)]
async fn no_pulse_goes_out_on_a_connection_that_has_not_answered() {
    let (fake, config) = behind_a_gateway(&[0]);
    let mut rig = Rig::ready_with(fake, config).await;
    rig.fake.state().silent.insert(0);
    // The connection lives, and it answered a moment ago, but not within the time that counts.
    rig.during(Duration::from_millis(2_200)).await;
    let refused = PulseOutcome::NotSent(NotSentReason::BoardSilent);
    assert_eq!(rig.pulse((0, 1)).await.0, refused);
    assert!(rig.fake.state().pulses.is_empty());
}
