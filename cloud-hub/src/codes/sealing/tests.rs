//! Sealed digits open for their slot and bank, and for nobody else.

use super::*;

const SLOT: SlotId = SlotId([5; 16]);

fn bank(name: &str) -> BankId {
    name.parse().unwrap()
}

fn digits() -> Digits {
    Digits::from_number(42).unwrap()
}

fn keys(ids: &[u8]) -> SealingKeys {
    let secrets: Vec<_> = ids.iter().map(|id| (*id, Secret::from([*id; 32]))).collect();
    SealingKeys::new(&secrets).unwrap()
}

#[test]
fn sealed_digits_open_for_their_slot_and_bank_only() {
    let keys = keys(&[1]);
    let sealed = keys.seal(&bank("a"), SLOT, digits()).unwrap();
    assert_eq!(sealed.as_bytes().len(), SEALED_BYTES);
    assert_eq!(keys.open(&bank("a"), SLOT, &sealed), Ok(digits()));
    let altered = Err(OpenSealedError::Altered);
    assert_eq!(keys.open(&bank("b"), SLOT, &sealed), altered);
    assert_eq!(keys.open(&bank("a"), SlotId([6; 16]), &sealed), altered);
}

#[test]
fn the_same_digits_are_sealed_differently_each_time() {
    let keys = keys(&[1]);
    let seal = || keys.seal(&bank("a"), SLOT, digits()).unwrap();
    assert_ne!(seal(), seal());
}

#[test]
fn no_byte_of_sealed_digits_can_be_changed_or_lost() {
    let keys = keys(&[1]);
    let sealed = keys.seal(&bank("a"), SLOT, digits()).unwrap();
    for place in 0..SEALED_BYTES {
        let mut bytes = sealed.as_bytes().to_vec();
        bytes[place] ^= 1;
        let changed = Sealed::try_from(bytes).unwrap();
        assert!(keys.open(&bank("a"), SLOT, &changed).is_err(), "byte {place}");
        if let Ok(cut) = Sealed::try_from(sealed.as_bytes()[..place].to_vec()) {
            assert_eq!(keys.open(&bank("a"), SLOT, &cut), Err(OpenSealedError::Malformed));
        }
    }
}

#[test]
fn a_new_key_seals_and_the_old_one_still_opens() {
    let old = keys(&[1]).seal(&bank("a"), SLOT, digits()).unwrap();
    let rolled = keys(&[2, 1]);
    let new = rolled.seal(&bank("a"), SLOT, digits()).unwrap();
    assert_eq!(new.as_bytes()[0], 2);
    assert_eq!(rolled.open(&bank("a"), SLOT, &old), Ok(digits()));
    let gone = Err(OpenSealedError::UnknownKey { id: 1 });
    assert_eq!(keys(&[2]).open(&bank("a"), SLOT, &old), gone);
}

/// Made with the same keys in another implementation of AES-GCM (Python's `cryptography`).
#[test]
fn digits_sealed_by_the_first_version_still_open() {
    let sealed = Sealed::try_from(FROZEN.to_vec()).unwrap();
    assert_eq!(keys(&[1]).open(&bank("acme-7"), SLOT, &sealed), Ok(digits()));
}

const FROZEN: [u8; SEALED_BYTES] = [
    0x01, 0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b, 0x8b, 0x96, 0xa5,
    0x16, 0x14, 0xcc, 0xe2, 0x26, 0x8e, 0x62, 0xc6, 0x3c, 0x5a, 0x33, 0x26, 0xc8, 0x5f, 0xf8, 0x22,
    0x3e, 0x6f, 0x31,
];

#[test]
fn sealing_keys_must_be_told_apart() {
    let secret = |id| (id, Secret::from([id; 32]));
    for unsound in [vec![], vec![secret(1), secret(1)], (0..9).map(secret).collect()] {
        assert!(matches!(SealingKeys::new(&unsound), Err(SealingKeysError::Unsound)));
    }
}

#[test]
fn sealing_keys_never_print_themselves() {
    let shown = format!("{:?}", keys(&[0xab]));
    assert!(!shown.contains("171, 171") && !shown.to_lowercase().contains("abab"), "{shown}");
}
