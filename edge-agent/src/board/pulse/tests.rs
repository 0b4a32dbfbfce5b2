//! The outcome of a pulse as a function of the readings after it.

use proptest::prelude::*;

use super::*;

fn watch(before: Option<Hook>, written: Instant) -> Watch {
    Watch::new(1, 0.try_into().unwrap(), 0.try_into().unwrap(), written, before)
}

fn outcome(before: Option<Hook>, readings: &[(u64, Hook)]) -> Option<PulseOutcome> {
    let written = Instant::now();
    let mut watch = watch(before, written);
    let timing = BusTiming::default();
    readings
        .iter()
        .find_map(|(at, hook)| watch.read(*hook, written + Duration::from_millis(*at), &timing))
}

use Hook::{Closed, Open};

#[test]
fn closed_before_and_open_twice_inside_the_window_is_opened() {
    let readings = [(60, Closed), (160, Open), (210, Open)];
    assert_eq!(outcome(Some(Closed), &readings), Some(PulseOutcome::Opened { after_ms: 160 }));
}

#[test]
fn one_open_reading_proves_nothing() {
    let readings = [(60, Open), (110, Closed), (160, Open), (210, Closed)];
    assert_eq!(outcome(Some(Closed), &readings), None);
}

#[test]
fn closed_twice_after_the_window_is_not_opened() {
    let closed = [(60, Closed), (1_990, Closed), (2_010, Closed)];
    assert_eq!(outcome(Some(Closed), &closed), None, "one reading after the window does not do");
    let readings = [(60, Closed), (2_010, Closed), (2_060, Closed)];
    assert_eq!(outcome(Some(Closed), &readings), Some(PulseOutcome::NotOpened));
    assert_eq!(outcome(None, &readings), Some(PulseOutcome::NotOpened));
}

#[test]
fn an_opening_after_the_window_is_not_claimed() {
    let readings = [(60, Closed), (2_010, Open), (2_060, Open)];
    assert_eq!(
        outcome(Some(Closed), &readings),
        Some(PulseOutcome::Unknown(UnknownReason::OpenedLate))
    );
}

#[test]
fn an_opening_confirmed_after_the_window_but_seen_inside_it_counts() {
    let readings = [(60, Closed), (1_990, Open), (2_040, Open)];
    assert_eq!(outcome(Some(Closed), &readings), Some(PulseOutcome::Opened { after_ms: 1_990 }));
}

#[test]
fn without_a_reading_before_an_open_door_is_not_claimed() {
    let readings = [(60, Open), (110, Open)];
    assert_eq!(
        outcome(None, &readings),
        Some(PulseOutcome::Unknown(UnknownReason::NoReadingBefore))
    );
}

proptest! {
    /// Whatever the readings: Opened needs closed before the pulse and an open reading in the window.
    #[test]
    fn opened_is_never_claimed_without_cause(
        before in proptest::option::of(any::<bool>()),
        readings in proptest::collection::vec((1..400_u64, any::<bool>()), 0..40),
    ) {
        let hook = |open: bool| if open { Open } else { Closed };
        let mut at = 0;
        let readings: Vec<_> =
            readings.into_iter().map(|(step, open)| { at += step; (at, hook(open)) }).collect();
        if let Some(PulseOutcome::Opened { after_ms }) = outcome(before.map(hook), &readings) {
            prop_assert_eq!(before, Some(false));
            prop_assert!(after_ms <= BusTiming::default().confirm_window_ms);
            prop_assert!(readings.contains(&(after_ms, Open)));
        }
    }
}
