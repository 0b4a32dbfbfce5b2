//! Phone digits: read, compared, and kept to ourselves.

use zeroize::Zeroizing;

use super::*;

/// SHA-256 of the domain, 32 and 16 bytes of 1, and `0142`, as coreutils compute it.
const FROZEN: [u8; 8] = [0x35, 0xa6, 0xb4, 0x51, 0x37, 0x68, 0x93, 0x8c];

fn keys(byte: u8) -> TagKeys {
    TagKeys::new([byte; 16], Zeroizing::new([byte; 32]))
}

fn suffix(text: &str) -> SuffixTag {
    PhoneSuffix::typed(text).unwrap().tag(&keys(1))
}

#[test]
fn a_phone_number_ends_in_its_last_four_digits_in_any_notation() {
    let typed = PhoneSuffix::typed("0 142").unwrap();
    assert_eq!(PhoneSuffix::of_number("+358 40 555 0142"), Some(typed));
    assert_eq!(PhoneSuffix::of_number("(040) 5550-142"), Some(typed));
    assert_eq!(PhoneSuffix::of_number("142"), None);
    assert_eq!(PhoneSuffix::typed("14x2"), Err(DigitsError::NotADigit { place: 2 }));
    assert_eq!(PhoneSuffix::typed("01422"), Err(DigitsError::Length { digits: 5 }));
}

#[test]
fn c04_a_code_that_asks_for_phone_digits_does_not_open_without_them() {
    assert!(fits(Some(suffix("0142")), Some(suffix("0142"))));
    assert!(!fits(Some(suffix("0142")), Some(suffix("0143"))));
    assert!(!fits(Some(suffix("0142")), None));
    assert!(fits(None, None));
    assert!(!fits(None, Some(suffix("0142"))), "or the whole budget could be spent on it");
}

#[test]
fn c11_phone_digits_are_kept_as_a_keyed_hash() {
    let typed = PhoneSuffix::typed("0142").unwrap();
    assert_ne!(typed.tag(&keys(1)), typed.tag(&keys(2)));
    assert_eq!(typed.tag(&keys(1)).0, FROZEN, "banks hold it");
    assert_eq!(format!("{typed:?} {:?}", typed.tag(&keys(1))), "PhoneSuffix(..) SuffixTag(..)");
}
