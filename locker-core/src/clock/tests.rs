//! The interval holds the true time, and doubt falls to the harmless side.

use proptest::prelude::*;

use super::*;

const HOUR_MS: u64 = 3_600_000;
/// A day on which the tests' hub is right.
const NOON: u64 = 1_800_000_000_000;

#[test]
fn t02_before_any_signed_time_only_the_floor_is_known() {
    let clock = BankClock::new(UnixMillis(NOON));
    let known = clock.interval(5);
    assert_eq!(known, ClockInterval { earliest: UnixMillis(NOON), latest: None });
    let (at, quality) = clock.stamp(5, UnixMillis(0));
    assert_eq!((at, quality), (UnixMillis(NOON), TimeQuality::Unknown), "the system says 1970");
    let (at, _) = clock.stamp(5, UnixMillis(NOON + 9));
    assert_eq!(at, UnixMillis(NOON + 9));
}

#[test]
fn t01_doubt_about_the_time_never_harms() {
    let clock = |earliest, latest: Option<u64>| ClockInterval {
        earliest: UnixMillis(earliest),
        latest: latest.map(UnixMillis),
    };
    let deadline = UnixMillis(100);
    for (clock, surely, maybe) in [
        (clock(0, Some(99)), false, false),
        (clock(0, Some(100)), false, false),
        (clock(0, Some(101)), false, true),
        (clock(100, Some(200)), false, true),
        (clock(101, Some(200)), true, true),
        (clock(0, None), false, true),
        (clock(101, None), true, true),
    ] {
        assert_eq!(clock.surely_past(deadline), surely, "{clock:?}");
        assert_eq!(clock.maybe_past(deadline), maybe, "{clock:?}");
    }
}

#[test]
fn t01_the_interval_is_as_wide_as_the_round_trip_and_grows_with_drift() {
    let mut clock = BankClock::new(UnixMillis(0));
    clock.hear(UnixMillis(NOON), 1_000, 1_200).unwrap();
    let width = |at: u64| {
        let known = clock.interval(at);
        known.latest.unwrap().since_ms(known.earliest)
    };
    assert_eq!(width(1_200), 200 + 1, "a millisecond for rounding; the floor is as good below");
    let day_ms = 24 * HOUR_MS;
    assert_eq!(width(1_200 + day_ms), 200 + 2 + 2 * day_ms / 10_000, "100 ppm each way");
    let minutes_ms = 600_000;
    assert_eq!(width(1_200 + minutes_ms), 200 + 2 + 2 * 60, "short of a full million, too");
    let (at, quality) = clock.stamp(1_200, UnixMillis(0));
    assert_eq!(at, UnixMillis(NOON + 101));
    assert_eq!(quality, TimeQuality::Bounded { within_ms: 101 });
}

#[test]
fn an_answer_that_took_too_long_is_not_used() {
    let mut clock = BankClock::new(UnixMillis(0));
    let round_trip_ms = ROUND_TRIP_MAX_MS + 1;
    let said = clock.hear(UnixMillis(NOON), 0, round_trip_ms);
    assert_eq!(said, Err(SignedTimeError::TooSlow { round_trip_ms }));
    assert_eq!(clock.interval(round_trip_ms).latest, None);
    clock.hear(UnixMillis(NOON), 0, ROUND_TRIP_MAX_MS).unwrap();
}

#[test]
fn t03_a_step_of_more_than_an_hour_needs_a_second_answer() {
    let mut clock = BankClock::new(UnixMillis(0));
    clock.hear(UnixMillis(NOON), 0, 10).unwrap();
    clock.hear(UnixMillis(NOON + HOUR_MS), 10, 20).expect("an hour is no step");
    let far = UnixMillis(NOON + 10 * HOUR_MS);
    let said = clock.hear(far, 20, 30);
    assert!(matches!(said, Err(SignedTimeError::NeedsSecond { .. })), "{said:?}");
    assert!(clock.interval(30).latest.unwrap() < far);
    assert!(clock.floor() < far, "one answer alone does not raise the floor");
    // A second one that says something else again is a new first one.
    let further = far.plus_ms(5 * HOUR_MS);
    assert!(clock.hear(further, 30, 40).is_err());
    clock.hear(further.plus_ms(10), 40, 50).unwrap();
    assert_eq!(clock.floor(), further.plus_ms(10));
    assert!(clock.interval(50).earliest >= further.plus_ms(10));
}

#[test]
fn t03_an_answer_in_between_makes_the_first_one_void() {
    let mut clock = BankClock::new(UnixMillis(0));
    clock.hear(UnixMillis(NOON), 0, 10).unwrap();
    let far = UnixMillis(NOON + 10 * HOUR_MS);
    assert!(clock.hear(far, 20, 30).is_err());
    clock.hear(UnixMillis(NOON + 30), 30, 40).unwrap();
    assert!(clock.hear(far, 40, 50).is_err());
}

#[test]
fn t03_time_does_not_go_back_below_the_floor() {
    let mut clock = BankClock::new(UnixMillis(NOON));
    let said = clock.hear(UnixMillis(NOON - HOUR_MS - 1), 0, 10);
    assert_eq!(said, Err(SignedTimeError::BelowFloor { behind_ms: HOUR_MS + 1 }));
    clock.hear(UnixMillis(NOON - HOUR_MS), 0, 10).expect("a hub may correct its clock a little");
    assert_eq!(clock.floor(), UnixMillis(NOON));
    let known = clock.interval(10);
    assert_eq!(known.earliest, UnixMillis(NOON));
    assert!(known.latest.unwrap() >= known.earliest, "an interval is never inside out");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// A hub that is right, a crystal within its tolerance, any delays: the truth stays inside.
    #[test]
    fn t01_the_true_time_is_inside(
        ppm in -100_i64..=100,
        answers in prop::collection::vec((0..400_000_000_u64, 0..29_000_u64, 0..=100_u64), 1..8),
        later in 0..2_000_000_000_u64,
    ) {
        let truth = |monotonic: u64| {
            let drift = i128::from(monotonic) * i128::from(ppm) / 1_000_000;
            UnixMillis(u64::try_from(i128::from(NOON + monotonic) + drift).unwrap())
        };
        let mut clock = BankClock::new(UnixMillis(NOON - 5));
        let mut now = 0;
        for (wait, trip, share) in answers {
            let asked = now + wait;
            let signed = truth(asked + trip * share / 100);
            now = asked + trip;
            prop_assert_eq!(clock.hear(signed, asked, now), Ok(()));
        }
        for at in [now, now + later / 1_000, now + later] {
            let known = clock.interval(at);
            // The tests' own rounding is a millisecond; so is that of the round trip's drift.
            prop_assert!(known.earliest <= truth(at).plus_ms(1));
            prop_assert!(known.latest.unwrap().plus_ms(4) >= truth(at));
        }
    }

    #[test]
    fn no_clock_is_inside_out_or_breaks(
        floor: u64,
        answers in prop::collection::vec((any::<u64>(), any::<u64>(), 0..60_000_u64), 0..8),
        at: u64,
    ) {
        let mut clock = BankClock::new(UnixMillis(floor));
        for (signed, asked, trip) in answers {
            let before = clock.floor();
            let _ = clock.hear(UnixMillis(signed), asked, asked.saturating_add(trip));
            prop_assert!(clock.floor() >= before);
        }
        let known = clock.interval(at);
        prop_assert!(known.latest.is_none_or(|latest| latest >= known.earliest));
        prop_assert!(known.earliest >= clock.floor());
        let _ = clock.stamp(at, UnixMillis(at));
    }
}
