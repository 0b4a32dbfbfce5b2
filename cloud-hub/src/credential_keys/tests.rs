//! Tests of the keys, and keys for the tests of others.

use std::fs;

use locker_core::clock::ClockInterval;
use locker_core::credential::verify;

use super::*;

/// A command key and one credential key of kid 1, the same in every run.
pub(crate) fn test_keys() -> HubKeys {
    keys_with(&[(1, 7)])
}

/// Credential keys by kid and seed.
pub(crate) fn keys_with(credential: &[(u8, u8)]) -> HubKeys {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, seed: u8| {
        let path = directory.path().join(name);
        fs::write(&path, format!("# seed\n{}\n", format!("{seed:02x}").repeat(32))).unwrap();
        path
    };
    let command = write("command.key", 1);
    let files: Vec<_> = credential
        .iter()
        .map(|&(kid, seed)| (kid, write(&format!("credential-{kid}.key"), seed)))
        .collect();
    let files: Vec<(u8, &Path)> = files.iter().map(|(kid, path)| (*kid, path.as_path())).collect();
    HubKeys::load(&command, &files).unwrap()
}

fn bank() -> BankId {
    "bank-1".parse().unwrap()
}

#[test]
fn a_code_is_signed_with_the_newest_key_that_the_bank_holds() {
    let keys = keys_with(&[(2, 9), (1, 7)]);
    let held = keys_with(&[(1, 7)]).key_set(Generation(3));
    let expires = UnixMillis(2_000_000_000_000);
    let text = keys.sign_pickup(&bank(), &held, CredentialId([4; 16]), expires).unwrap();
    let clock = ClockInterval { earliest: UnixMillis(1), latest: None };
    let token = verify(&text, &bank(), &held.keys, clock).unwrap();
    assert_eq!(token.claims().credential, CredentialId([4; 16]));
}

#[test]
fn no_code_is_signed_with_a_key_that_the_bank_does_not_hold() {
    let keys = keys_with(&[(1, 7)]);
    // The same id, another key.
    let held = keys_with(&[(1, 8)]).key_set(Generation(1));
    let expires = UnixMillis(2_000_000_000_000);
    let refused = keys.sign_pickup(&bank(), &held, CredentialId([4; 16]), expires);
    assert!(matches!(refused, Err(SignTokenError::NoCommonKey)));
}

#[test]
fn two_keys_with_one_id_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.key");
    fs::write(&path, "11".repeat(32)).unwrap();
    let refused = HubKeys::load(&path, &[(1, &path), (1, &path)]);
    assert!(matches!(refused, Err(LoadKeysError::Unsound)));
    assert!(matches!(HubKeys::load(&path, &[]), Err(LoadKeysError::Unsound)));
}

#[test]
fn keys_are_never_printed() {
    assert_eq!(format!("{:?}", test_keys()), "HubKeys { credential: [1], .. }");
}
