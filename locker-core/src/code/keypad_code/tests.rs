//! Couriers' codes: a day, a carrier, no doubt.

use super::*;
use crate::code::slot::{Sealed, SlotId};
use crate::code::tag::Tag;

const START: UnixMillis = UnixMillis(1_800_000_000_000);

fn code(valid: Validity) -> KeypadCode {
    let slot = Slot {
        id: SlotId([1; 16]),
        tag: Tag::from_bytes([2; 16]),
        sealed: Sealed::try_from(vec![3; 35]).unwrap(),
    };
    KeypadCode { slot, carrier: "acme".parse().unwrap(), valid }
}

fn clock(earliest: UnixMillis, latest: UnixMillis) -> ClockInterval {
    ClockInterval { earliest, latest: Some(latest) }
}

#[test]
fn c09_a_couriers_code_is_good_for_its_day_and_its_carrier() {
    let [first, second]: [Validity; 2] = days(START, 2).try_into().unwrap();
    let (first, second) = (code(first), code(second));
    let acme: CarrierId = "acme".parse().unwrap();
    let at = |ms| clock(START.plus_ms(ms), START.plus_ms(ms));
    assert_eq!(first.signs_in(at(0)), Some(&acme));
    assert_eq!(first.signs_in(at(DAY_MS + OVERLAP_MS - 1)), Some(&acme));
    assert_eq!(first.signs_in(at(DAY_MS + OVERLAP_MS)), None, "a leaked code is over");
    assert_eq!(second.signs_in(at(DAY_MS - 1)), None, "nor is the next one good yet");
    assert!(first.is_sound() && second.is_sound());
    assert!(!first.is_over(at(DAY_MS)) && first.is_over(at(2 * DAY_MS)));
}

#[test]
fn c09_a_couriers_code_opens_nothing_while_the_time_is_in_doubt() {
    let code = code(days(START, 1)[0]);
    let (before, after) = (START.minus_ms(1), START.plus_ms(DAY_MS + OVERLAP_MS));
    assert_eq!(code.signs_in(clock(before, START.plus_ms(1))), None);
    assert_eq!(code.signs_in(clock(START, after)), None);
    let unknown = ClockInterval { earliest: START.plus_ms(1), latest: None };
    assert_eq!(code.signs_in(unknown), None);
}

#[test]
fn c09_at_midnight_a_doubt_of_half_an_hour_leaves_one_code() {
    let codes: Vec<KeypadCode> = days(START, 3).into_iter().map(code).collect();
    for minutes in 0..3 * 24 * 60 - 60 {
        let at = START.plus_ms(60_000 * minutes);
        let clock = clock(at, at.plus_ms(OVERLAP_MS / 2));
        assert!(codes.iter().any(|code| code.signs_in(clock).is_some()), "at minute {minutes}");
    }
}

#[test]
fn c09_a_code_without_end_is_not_sound() {
    let mut long = code(days(START, 1)[0]);
    long.valid.until = long.valid.until.plus_ms(1);
    assert!(!long.is_sound());
    long.valid.until = long.valid.from;
    assert!(!long.is_sound());
    assert_eq!(days(START, u8::MAX).len(), usize::from(DAYS_MAX));
}

#[test]
fn c09_a_list_of_codes_names_each_slot_once_and_has_a_limit() {
    let of = |count: u8| CourierCodes {
        generation: Generation(1),
        codes: (0..count)
            .map(|n| {
                let one = code(days(START, 1)[0]);
                KeypadCode { slot: Slot { id: SlotId([n; 16]), ..one.slot }, ..one }
            })
            .collect(),
    };
    let most = u8::try_from(COURIER_CODES_MAX).unwrap();
    assert!(of(0).is_sound() && of(most).is_sound());
    assert!(!of(most + 1).is_sound());
    let mut twice = of(2);
    twice.codes[1].slot.id = twice.codes[0].slot.id;
    assert!(!twice.is_sound());
}
