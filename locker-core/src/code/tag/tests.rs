//! Tags: frozen, keyed, silent.

use super::*;

fn keys(salt: u8, pepper: u8) -> TagKeys {
    TagKeys::new([salt; SALT_BYTES], Zeroizing::new([pepper; PEPPER_BYTES]))
}

fn digits(number: u32) -> Digits {
    Digits::from_number(number).unwrap()
}

/// Made with the reference implementation in C (argon2-cffi 25.1, `argon2id_ctx`).
#[test]
fn a_tag_is_as_the_first_version_made_it() {
    let salt = std::array::from_fn(|place| u8::try_from(place).unwrap());
    let pepper = std::array::from_fn(|place| 0xff - u8::try_from(place).unwrap());
    let keys = TagKeys::new(salt, Zeroizing::new(pepper));
    assert_eq!(
        *keys.tag(digits(12_345)).as_bytes(),
        [
            0x7e, 0x10, 0xe6, 0x1d, 0x68, 0x7f, 0xf7, 0x6f, 0x19, 0xb8, 0xe9, 0x98, 0x7b, 0x73,
            0xe1, 0x40,
        ]
    );
}

#[test]
fn c11_the_same_digits_have_another_tag_with_another_salt_or_pepper() {
    let tag = keys(1, 1).tag(digits(7));
    assert!(bool::from(tag.ct_eq(&keys(1, 1).tag(digits(7)))));
    for other in [keys(2, 1).tag(digits(7)), keys(1, 2).tag(digits(7)), keys(1, 1).tag(digits(8))] {
        assert!(!bool::from(tag.ct_eq(&other)));
    }
}

#[test]
fn c11_neither_keys_nor_tags_print_themselves() {
    let keys = keys(0x5a, 0xa5);
    assert_eq!(format!("{keys:?} {:?}", keys.tag(digits(1))), "TagKeys(..) Tag(..)");
}

#[test]
fn c11_a_fingerprint_tells_keys_apart() {
    let fingerprint = keys(1, 1).fingerprint();
    assert_eq!(fingerprint, keys(1, 1).fingerprint());
    assert_ne!(fingerprint, keys(2, 1).fingerprint());
    assert_ne!(fingerprint, keys(1, 2).fingerprint());
    // SHA-256 of `postern-tag-keys-v1`, 16 bytes 01 and 32 bytes 01, cut: banks and hubs of all
    // versions must agree.
    assert_eq!(fingerprint, [0x75, 0xbc, 0x2e, 0x76, 0x19, 0x77, 0x35, 0xb8]);
}
