//! Which readings become events.

use super::*;

const STABLE: Duration = Duration::from_millis(500);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn track_from(hook: Hook, start: Instant) -> DoorTrack {
    let mut track = DoorTrack::default();
    track.read(hook, start);
    track.read(hook, start);
    track.adopt();
    track
}

#[test]
fn an_opening_is_believed_after_two_equal_readings() {
    let start = Instant::now();
    let mut track = track_from(Hook::Closed, start);
    track.read(Hook::Open, start + ms(100));
    assert_eq!(track.edge(start + ms(100), STABLE), None);
    track.read(Hook::Open, start + ms(150));
    assert_eq!(track.edge(start + ms(150), STABLE), Some((DoorReading::Open, start + ms(100))));
    track.read(Hook::Open, start + ms(200));
    assert_eq!(track.edge(start + ms(200), STABLE), None, "told once");
}

#[test]
fn one_false_reading_is_no_event() {
    let start = Instant::now();
    let mut track = track_from(Hook::Closed, start);
    for (at, hook) in
        [(1, Hook::Open), (2, Hook::Closed), (3, Hook::Open), (4, Hook::Closed), (5, Hook::Closed)]
    {
        track.read(hook, start + ms(at));
        assert_eq!(track.edge(start + ms(at), STABLE), None);
    }
}

#[test]
fn a_door_is_closed_only_after_it_stayed_so() {
    let start = Instant::now();
    let mut track = track_from(Hook::Open, start);
    for at in [100, 300, 500] {
        track.read(Hook::Closed, start + ms(at));
        assert_eq!(track.edge(start + ms(at), STABLE), None);
    }
    track.read(Hook::Open, start + ms(550));
    for at in [600, 800, 1_000] {
        track.read(Hook::Closed, start + ms(at));
        assert_eq!(track.edge(start + ms(at), STABLE), None, "the bounce begins the wait anew");
    }
    track.read(Hook::Closed, start + ms(1_100));
    assert_eq!(track.edge(start + ms(1_100), STABLE), Some((DoorReading::Closed, start + ms(600))));
}

#[test]
fn polarity_turns_the_bit_round() {
    assert_eq!(Hook::from_bit(true, Polarity::OneIsLocked), Hook::Closed);
    assert_eq!(Hook::from_bit(true, Polarity::ZeroIsLocked), Hook::Open);
}
