//! Derived keys: frozen, and apart from each other.

use locker_core::code::digits::Digits;

use super::*;

fn tag(master: u8, bank: &str, generation: u64) -> [u8; 16] {
    let keys = CodeMaster::new(Secret::from([master; 32]))
        .tag_keys(&bank.parse().unwrap(), Generation(generation));
    *keys.tag(Digits::from_number(42).unwrap()).as_bytes()
}

/// Made with HKDF and Argon2 of other implementations (Python's `hmac`, argon2-cffi).
#[test]
fn a_bank_gets_the_keys_that_the_first_version_gave_it() {
    assert_eq!(tag(7, "acme-7", 1), FROZEN);
}

const FROZEN: [u8; 16] = [
    0x37, 0xbc, 0x06, 0x9d, 0x0a, 0x83, 0x44, 0x89, 0xff, 0x86, 0x72, 0x40, 0xbe, 0x11, 0x6d, 0x54,
];

#[test]
fn c11_banks_and_generations_have_nothing_in_common() {
    let known = tag(7, "a", 1);
    assert_eq!(tag(7, "a", 1), known);
    for other in [tag(8, "a", 1), tag(7, "b", 1), tag(7, "a", 2)] {
        assert_ne!(other, known);
    }
}

#[test]
fn the_master_secret_never_prints_itself() {
    assert_eq!(format!("{:?}", CodeMaster::new(Secret::from([7; 32]))), "CodeMaster(Secret(..))");
}
