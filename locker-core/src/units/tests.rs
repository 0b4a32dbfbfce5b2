//! Sizes and points in time at their edges.

use proptest::prelude::*;

use super::*;

#[test]
fn a_parcel_may_be_turned_and_may_touch_the_walls() {
    let room = size(100, 200, 300);
    assert!(size(300, 100, 200).fits_into(room));
    assert!(size(1, 1, 300).fits_into(room));
    assert!(!size(1, 1, 301).fits_into(room));
    assert!(!size(101, 101, 101).fits_into(room), "less volume, and yet too thick");
}

#[test]
fn a_size_without_depth_is_not_solid() {
    assert!(size(1, 1, 1).is_solid());
    assert!(!size(1, 0, 1).is_solid());
    assert_eq!(size(u32::MAX, u32::MAX, u32::MAX).volume_mm3(), u128::from(u32::MAX).pow(3));
}

#[test]
fn time_ends_where_it_ends() {
    assert_eq!(UnixMillis(u64::MAX).plus_ms(1), UnixMillis(u64::MAX));
    assert_eq!(UnixMillis(1).minus_ms(2), UnixMillis(0));
    assert_eq!(UnixMillis(1).since_ms(UnixMillis(2)), 0);
    assert_eq!(UnixMillis(5).since_ms(UnixMillis(2)), 3);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_fits_one_way_round_fits_every_way_round(
        a in 0..9_u32, b in 0..9_u32, c in 0..9_u32, x in 0..9_u32, y in 0..9_u32, z in 0..9_u32,
    ) {
        let turns = [(a, b, c), (a, c, b), (b, a, c), (b, c, a), (c, a, b), (c, b, a)];
        let any = turns.iter().any(|&(a, b, c)| a <= x && b <= y && c <= z);
        for (a, b, c) in turns {
            prop_assert_eq!(size(a, b, c).fits_into(size(x, y, z)), any);
        }
    }
}

const fn size(length_mm: u32, width_mm: u32, height_mm: u32) -> Dimensions {
    Dimensions { length_mm, width_mm, height_mm }
}
