//! The allowance of each kind of opener.

use proptest::prelude::*;

use super::{Governor, GovernorLimits, REMEMBERED_MAX, TRIPS_MAX, Verdict};
use crate::bank::OpenerKind;
use crate::units::UnixMillis;

const LIMITS: fn() -> GovernorLimits = GovernorLimits::default;

fn judge(governor: &Governor, kind: OpenerKind, at: u64) -> Verdict {
    governor.judge(&LIMITS(), kind, UnixMillis(at))
}

#[test]
fn the_eleventh_recipient_within_a_minute_waits_and_is_let_in_a_minute_after_the_first() {
    let mut governor = Governor::default();
    for n in 0..10 {
        assert_eq!(judge(&governor, OpenerKind::Recipient, 1_000 + n), Verdict::Allowed);
        governor.opened(OpenerKind::Recipient, UnixMillis(1_000 + n));
    }
    let tripped = Verdict::Tripped { lock_down: false };
    assert_eq!(judge(&governor, OpenerKind::Recipient, 2_000), tripped);
    assert_eq!(judge(&governor, OpenerKind::Courier, 2_000), Verdict::Allowed, "kinds are apart");
    assert_eq!(judge(&governor, OpenerKind::Recipient, 61_000), Verdict::Allowed);
}

#[test]
fn c10_a_remote_trip_locks_down_at_once_and_the_third_of_any_kind_within_an_hour() {
    let mut governor = Governor::default();
    for at in [0, 1] {
        governor.opened(OpenerKind::Remote, UnixMillis(at));
    }
    assert_eq!(judge(&governor, OpenerKind::Remote, 10), Verdict::Tripped { lock_down: true });
    for at in 0..12 {
        governor.opened(OpenerKind::Courier, UnixMillis(200_000 + at));
    }
    governor.tripped(UnixMillis(0));
    governor.tripped(UnixMillis(100_000));
    assert_eq!(
        judge(&governor, OpenerKind::Courier, 200_100),
        Verdict::Tripped { lock_down: true }
    );
    governor.tripped(UnixMillis(200_100));
    assert_eq!(judge(&governor, OpenerKind::Courier, 200_200), Verdict::Refused, "the same trip");
    assert_eq!(governor.trips.len(), TRIPS_MAX);
}

#[test]
fn a_clock_that_was_years_ahead_shuts_nobody_out() {
    let mut governor = Governor::default();
    for n in 0..64 {
        governor.opened(OpenerKind::Recipient, UnixMillis(4_000_000_000_000 + n));
    }
    assert_eq!(judge(&governor, OpenerKind::Recipient, 1_800_000_000_000), Verdict::Allowed);
}

#[test]
fn p_j_openings_of_two_branches_count_together_and_their_common_past_once() {
    let mut past = Governor::default();
    // Two at one moment are two.
    for at in [1_000, 2_000, 2_000] {
        past.opened(OpenerKind::Courier, UnixMillis(at));
    }
    let (mut own, mut known) = (past.clone(), past.clone());
    for n in 0..4 {
        own.opened(OpenerKind::Courier, UnixMillis(3_000 + n));
        known.opened(OpenerKind::Courier, UnixMillis(4_000 + n));
    }
    known.tripped(UnixMillis(4_100));
    let merged = own.merged(&known);
    assert_eq!(merged, known.merged(&own));
    assert_eq!(merged.courier.len(), 3 + 4 + 4);
    assert!(merged.courier.is_sorted());
    assert_eq!(merged.trips, [UnixMillis(4_100)]);
    assert_eq!(judge(&merged, OpenerKind::Courier, 5_000), Verdict::Allowed);
    known.opened(OpenerKind::Courier, UnixMillis(4_900));
    let full = own.merged(&known);
    assert_eq!(judge(&full, OpenerKind::Courier, 5_000), Verdict::Refused, "of the same trip");
    assert_eq!(past.merged(&past), past);

    for n in 0..60 {
        own.opened(OpenerKind::Recipient, UnixMillis(10_000 + n));
        known.opened(OpenerKind::Recipient, UnixMillis(20_000 + n));
    }
    let merged = own.merged(&known).recipient;
    assert_eq!((merged.len(), merged[REMEMBERED_MAX - 1]), (REMEMBERED_MAX, UnixMillis(20_059)));
}

proptest! {
    #[test]
    fn no_span_holds_more_openings_than_its_limit(gaps in prop::collection::vec(0_u64..20_000, 1..300)) {
        let mut governor = Governor::default();
        let (mut now, mut opened) = (1_000_000_u64, Vec::new());
        for gap in gaps {
            now += gap;
            if judge(&governor, OpenerKind::Recipient, now) == Verdict::Allowed {
                governor.opened(OpenerKind::Recipient, UnixMillis(now));
                opened.push(now);
            }
        }
        for limit in LIMITS().recipient {
            for (at, first) in opened.iter().enumerate() {
                let within = opened[at..].iter().filter(|then| **then - first < limit.within_ms);
                prop_assert!(within.count() <= usize::from(limit.openings));
            }
        }
    }
}
