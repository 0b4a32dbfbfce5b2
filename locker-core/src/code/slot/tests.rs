//! Codes that are far enough apart, and found without a hint.

use proptest::prelude::*;
use zeroize::Zeroizing;

use super::*;
use crate::code::tag::TagKeys;

const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

fn digits(number: u32) -> Digits {
    Digits::from_number(number).unwrap()
}

/// Draws that come one after the other; then zeros for ever.
fn draws(numbers: &[u32]) -> impl FnMut() -> u32 + use<'_> {
    let mut numbers = numbers.iter();
    move || numbers.next().copied().unwrap_or(0)
}

/// Numbers as good as random ones (SplitMix64).
fn scattered(seed: u64) -> impl FnMut() -> u32 {
    let mut state = seed;
    move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        u32::try_from((mixed ^ (mixed >> 31)) >> 32).unwrap()
    }
}

#[test]
fn c07_a_live_code_is_never_given_out_again() {
    let live = [digits(123_456)];
    let none = RecentlyUsed::default();
    assert_eq!(mint(&live, &none, draws(&[123_456, 654_321])), Some(digits(654_321)));
}

#[test]
fn c07_a_code_one_slip_away_from_a_live_one_is_never_given_out() {
    let live = [digits(123_456)];
    let none = RecentlyUsed::default();
    for near in [123_457, 123_056, 923_456] {
        assert_eq!(mint(&live, &none, draws(&[near, 123_465])), Some(digits(123_465)));
    }
}

#[test]
fn c07_another_bank_may_have_the_same_code() {
    let none = RecentlyUsed::default();
    let first = mint(&[], &none, draws(&[42]));
    assert_eq!(mint(&[], &none, draws(&[42])), first, "codes of other banks are no argument");
}

#[test]
fn c07_a_code_is_not_used_again_for_thirty_days() {
    let retired = [(digits(42), NOW)];
    let before = NOW.plus_ms(REUSE_AFTER_MS - 1);
    let recent = RecentlyUsed::new(retired, before);
    assert_eq!(mint(&[], &recent, draws(&[42, 7])), Some(digits(7)));
    let mut recent = recent;
    recent.forget_old(before.plus_ms(1));
    assert_eq!(mint(&[], &recent, draws(&[42, 7])), Some(digits(42)));
    assert!(!RecentlyUsed::new(retired, before.plus_ms(1)).contains(&digits(42)));
}

#[test]
fn c07_a_clock_that_was_set_back_keeps_codes_from_being_used_again() {
    let recent = RecentlyUsed::new([(digits(42), NOW.plus_ms(1)), (digits(42), NOW)], NOW);
    assert!(recent.contains(&digits(42)));
}

#[test]
fn exhaustion_is_an_answer_and_not_a_loop() {
    let none = RecentlyUsed::default();
    let mut drawn = 0;
    let stuck = || {
        drawn += 1;
        42
    };
    assert_eq!(mint(&[digits(42)], &none, stuck), None);
    assert_eq!(drawn, DRAWS_MAX);

    let full: Vec<Digits> = (0..1_000).map(digits).collect();
    assert_eq!(mint(&full, &none, || unreachable!("a full bank draws nothing")), None);

    let all = (0..=u32::try_from(RECENT_MAX).unwrap()).map(|number| (digits(number), NOW));
    assert_eq!(mint(&[], &RecentlyUsed::new(all, NOW), || 999_999), None);
}

#[test]
fn draws_do_not_favour_low_numbers() {
    assert_eq!(DRAW_BELOW % CODES, 0);
    assert_eq!(u32::MAX / CODES, DRAW_BELOW / CODES, "hardly any draw is wasted");
    let none = RecentlyUsed::default();
    assert_eq!(mint(&[], &none, draws(&[DRAW_BELOW, u32::MAX, 5])), Some(digits(5)));
    assert_eq!(mint(&[], &none, draws(&[DRAW_BELOW - 1])), Some(digits(CODES - 1)));
}

#[test]
fn a_bank_can_be_filled_with_codes_that_lie_apart() {
    let mut random = scattered(1);
    let recent = RecentlyUsed::new((0..50_000).map(|number| (digits(number * 19), NOW)), NOW);
    let mut live: Vec<Digits> = Vec::new();
    for _ in 0..SLOTS_MAX {
        let fresh = mint(&live, &recent, &mut random).expect("one draw in ten fails");
        assert!(!recent.contains(&fresh));
        assert!(live.iter().all(|other| fresh.distance(other) >= DISTANCE_MIN));
        live.push(fresh);
    }
    assert_eq!(mint(&live, &recent, random), None);
}

#[test]
fn c05_a_typed_code_is_compared_with_every_slot() {
    let keys = TagKeys::new([1; 16], Zeroizing::new([2; 32]));
    let id = |number| SlotId([number; 16]);
    let tags: Vec<Tag> = (0..3).map(|number| keys.tag(digits(number * 11))).collect();
    let live = || (0..3).map(id).zip(&tags);
    for (number, tag) in (0..3).zip(&tags) {
        let mut seen = 0;
        assert_eq!(find(tag, live().inspect(|_| seen += 1)), Some(id(number)));
        assert_eq!(seen, 3, "also after the one that fits");
    }
    assert_eq!(find(&keys.tag(digits(1)), live()), None);
    assert_eq!(find(&tags[0], []), None);
}

#[test]
fn sealed_digits_have_a_limit_and_do_not_print() {
    assert!(Sealed::try_from(vec![1; SEALED_MAX_BYTES]).is_ok());
    assert_eq!(Sealed::try_from(vec![1; 65]), Err(SealedError { bytes: 65 }));
    assert_eq!(Sealed::try_from(vec![]), Err(SealedError { bytes: 0 }));
    assert_eq!(format!("{:?}", Sealed::try_from(vec![77; 35]).unwrap()), "Sealed(35 bytes)");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn c07_whatever_is_drawn_live_codes_lie_apart(seed: u64, wanted in 0..200_usize) {
        let mut random = scattered(seed);
        let mut live: Vec<Digits> = Vec::new();
        for _ in 0..wanted {
            live.extend(mint(&live, &RecentlyUsed::default(), &mut random));
        }
        prop_assert_eq!(live.len(), wanted);
        for (place, one) in live.iter().enumerate() {
            prop_assert!(live[..place].iter().all(|other| one.distance(other) >= DISTANCE_MIN));
        }
    }
}
