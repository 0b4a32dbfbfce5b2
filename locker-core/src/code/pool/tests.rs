//! Pools for quiet, busy and new banks.

use super::*;
use crate::code::slot::SLOTS_MAX;

#[test]
fn the_pool_lasts_for_the_dark_days_of_a_busy_bank() {
    // 19 of 20 days have at most 30 deposits; the 20th is the sale.
    let mut days = vec![30; 38];
    days.extend([90, 90]);
    assert_eq!(size(&days, 40, 3), 90);
    // One more such day, and it is no longer the exception.
    days.push(90);
    assert_eq!(size(&days, 40, 3), 270);
}

#[test]
fn a_new_bank_may_fill_up_every_day() {
    assert_eq!(size(&[], 40, 3), 120);
    assert_eq!(size(&[1; 13], 40, 3), 120);
    assert_eq!(size(&[50; 13], 40, 3), 150, "unless its days are busier than that");
    assert_eq!(size(&[5; 14], 40, 3), 15);
}

#[test]
fn the_pool_has_a_floor_and_a_cap() {
    assert_eq!(size(&[0; 60], 40, 3), POOL_MIN);
    assert_eq!(size(&[30; 60], 40, 0), POOL_MIN);
    assert_eq!(size(&[u16::MAX; 60], 40, u8::MAX), POOL_MAX);
}

#[test]
fn days_of_long_ago_do_not_count() {
    let mut days = vec![200; 100];
    days.extend([4; HISTORY_MAX_DAYS]);
    assert_eq!(size(&days, 40, 3), 12);
}

#[test]
fn only_what_is_missing_and_has_room_is_minted() {
    assert_eq!(missing(120, 100, 40), 20);
    assert_eq!(missing(120, 130, 40), 0);
    assert_eq!(missing(120, 0, SLOTS_MAX - 5), 5);
    assert_eq!(missing(120, 0, SLOTS_MAX + 5), 0);
}
