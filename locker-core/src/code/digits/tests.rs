//! What people type, and what stays secret.

use proptest::prelude::*;

use super::*;

fn digits(text: &str) -> Digits {
    normalise(text).unwrap()
}

#[test]
fn c08_leading_zeros_are_kept() {
    assert_eq!(digits("000042").reveal(), b"000042");
    assert_eq!(digits("000042"), Digits::from_number(42).unwrap());
    assert_eq!(normalise("42"), Err(DigitsError::Length { digits: 2 }), "no zeros are invented");
}

#[test]
fn c08_spaces_hyphens_and_what_a_paste_brings_are_removed() {
    let pasted = [
        "123 456",
        " 123-456\r\n",
        "123\u{a0}456",
        "123\u{202f}456",
        "1 2 3 4 5 6",
        "123\u{2013}456",
        "\u{feff}123\u{200b}456",
        "\u{2068}123456\u{2069}",
        "\u{202a}123\u{ad}456\u{202c}",
    ];
    for text in pasted {
        assert_eq!(digits(text).reveal(), b"123456", "{text:?}");
    }
}

#[test]
fn c08_digits_of_every_script_are_read() {
    let scripts = [
        "\u{660}\u{661}\u{662}\u{663}\u{664}\u{665}", // Arabic-Indic
        "\u{6f0}\u{6f1}\u{6f2}\u{6f3}\u{6f4}\u{6f5}", // Persian, Urdu
        "\u{966}\u{967}\u{968}\u{969}\u{96a}\u{96b}", // Devanagari
        "\u{9e6}\u{9e7}\u{9e8}\u{9e9}\u{9ea}\u{9eb}", // Bengali
        "\u{e50}\u{e51}\u{e52}\u{e53}\u{e54}\u{e55}", // Thai
        "\u{ff10}\u{ff11}\u{ff12}\u{ff13}\u{ff14}\u{ff15}", // full width
        "\u{1d7ce}\u{1d7cf}\u{1d7d0}\u{1d7d1}\u{1d7d2}\u{1d7d3}", // bold
        "0\u{661}2\u{969}4\u{ff15}",
    ];
    for text in scripts {
        assert_eq!(digits(text).reveal(), b"012345", "{text:?}");
    }
    for zero in ZEROS {
        for (value, expected) in (0..10).zip(b'0'..) {
            let character = char::from_u32(zero + value).unwrap();
            assert!(character.is_numeric(), "U+{:04X}", zero + value);
            assert_eq!(digit_of(character), Some(expected));
        }
    }
    assert!(ZEROS.is_sorted_by(|one, next| one + 10 <= *next), "blocks do not overlap");
}

#[test]
fn c08_letters_that_look_like_digits_are_read_and_others_refused() {
    assert_eq!(digits("OoIl23").reveal(), b"001123");
    assert_eq!(normalise("12B456"), Err(DigitsError::NotADigit { place: 2 }));
    assert_eq!(normalise("12345\u{bd}"), Err(DigitsError::NotADigit { place: 5 }), "one half");
    assert_eq!(normalise("12345\u{b2}"), Err(DigitsError::NotADigit { place: 5 }), "superscript");
    assert_eq!(normalise("123.456"), Err(DigitsError::NotADigit { place: 3 }));
    assert_eq!(normalise("+23456"), Err(DigitsError::NotADigit { place: 0 }));
}

#[test]
fn c08_a_wrong_length_says_how_long_it_was() {
    assert_eq!(normalise(""), Err(DigitsError::Length { digits: 0 }));
    assert_eq!(normalise(" - "), Err(DigitsError::Length { digits: 0 }));
    assert_eq!(normalise("1234567"), Err(DigitsError::Length { digits: 7 }));
    assert_eq!(normalise(&" ".repeat(INPUT_MAX_BYTES + 1)), Err(DigitsError::TooLong));
}

#[test]
fn digits_never_print_themselves() {
    let code = digits("314159");
    assert!(!format!("{code:?} {:?}", normalise("31415x")).contains('4'));
}

#[test]
fn numbers_reach_from_all_zeros_to_all_nines() {
    assert_eq!(Digits::from_number(0).unwrap().reveal(), b"000000");
    assert_eq!(Digits::from_number(CODES - 1).unwrap().reveal(), b"999999");
    assert_eq!(Digits::from_number(CODES), None);
    assert_eq!(Digits::from_number(u32::MAX), None);
}

#[test]
fn stored_digits_are_exactly_six_ascii_digits() {
    assert_eq!(Digits::try_from(&b"012345"[..]), Ok(digits("012345")));
    assert_eq!(Digits::try_from(&b"01234"[..]), Err(DigitsError::Length { digits: 5 }));
    assert_eq!(Digits::try_from(&b"01 345"[..]), Err(DigitsError::NotADigit { place: 2 }));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_number_reads_back(number in 0..CODES) {
        let code = Digits::from_number(number).unwrap();
        prop_assert_eq!(normalise(&format!("{number:06}")), Ok(code));
        prop_assert_eq!(Digits::try_from(&code.reveal()[..]), Ok(code));
    }

    #[test]
    fn any_text_is_read_or_refused(text in ".*") {
        fuzz_digits(text.as_bytes());
        if let Ok(code) = normalise(&text) {
            prop_assert!(code.reveal().iter().all(u8::is_ascii_digit));
        }
    }

    #[test]
    fn distance_is_how_many_places_differ(one in 0..CODES, place in 0..6_u32, step in 1..10_u32) {
        let factor = 10_u32.pow(place);
        let digit = one / factor % 10;
        let other = one - digit * factor + (digit + step) % 10 * factor;
        let (one, other) = (Digits::from_number(one).unwrap(), Digits::from_number(other).unwrap());
        prop_assert_eq!((one.distance(&other), other.distance(&one), one.distance(&one)), (1, 1, 0));
    }
}
