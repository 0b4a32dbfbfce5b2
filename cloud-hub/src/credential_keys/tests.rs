//! Tests of the keys, and keys for the tests of others.

use std::fs;

use locker_core::clock::ClockInterval;
use locker_core::credential::verify;
use locker_core::ids::Generation;

use super::*;

/// A command key and a credential key of kid 1 in a set of generation 1, the same in every run.
pub(crate) fn test_keys() -> HubKeys {
    keys_of(1, &[(1, 1)], &[(1, 7)])
}

/// Keys by kid and seed, all that the set names.
pub(crate) fn keys_of(generation: u64, command: &[(u8, u8)], credential: &[(u8, u8)]) -> HubKeys {
    let set = key_set(generation, command, credential);
    loaded(set, command, credential).unwrap()
}

/// Keys of another set than theirs alone.
pub(crate) fn loaded(
    set: KeySet,
    command: &[(u8, u8)],
    credential: &[(u8, u8)],
) -> Result<HubKeys, LoadKeysError> {
    let directory = tempfile::tempdir().unwrap();
    let write = |kind: &str, (kid, seed): (u8, u8)| {
        let path = directory.path().join(format!("{kind}-{kid}.key"));
        fs::write(&path, format!("# seed\n{}\n", format!("{seed:02x}").repeat(32))).unwrap();
        (kid, path)
    };
    let command: Vec<_> = command.iter().map(|key| write("command", *key)).collect();
    let credential: Vec<_> = credential.iter().map(|key| write("credential", *key)).collect();
    let path = directory.path().join("key-set.signed");
    KeySetFile::sign(&test_root(), set).replace(&path).unwrap();
    let command: Vec<_> = command.iter().map(|(kid, path)| (*kid, path.as_path())).collect();
    let credential: Vec<_> = credential.iter().map(|(kid, path)| (*kid, path.as_path())).collect();
    HubKeys::load(&path, &command, &credential)
}

/// Who signs the key sets of tests.
pub(crate) fn test_root() -> SigningSeed {
    seed(99)
}

/// The set that names these keys.
pub(crate) fn key_set(generation: u64, command: &[(u8, u8)], credential: &[(u8, u8)]) -> KeySet {
    let command = command.iter();
    let command =
        command.map(|&(kid, byte)| CommandKey { kid, public: public(&seed(byte)) }).collect();
    let keys = credential.iter();
    let keys =
        keys.map(|&(kid, byte)| CredentialKey { kid, public: public(&seed(byte)) }).collect();
    KeySet { generation: Generation(generation), keys, command, root: None }
}

fn seed(byte: u8) -> SigningSeed {
    SigningSeed::of([byte; 32])
}

fn bank() -> BankId {
    "bank-1".parse().unwrap()
}

#[test]
fn a_code_is_signed_with_the_newest_key_that_the_bank_holds() {
    let keys = keys_of(2, &[(1, 1)], &[(2, 9), (1, 7)]);
    let held = test_keys().key_set().clone();
    let expires = UnixMillis(2_000_000_000_000);
    let text = keys.sign_pickup(&bank(), &held, CredentialId([4; 16]), expires).unwrap();
    let clock = ClockInterval { earliest: UnixMillis(1), latest: None };
    let token = verify(&text, &bank(), &held.keys, clock).unwrap();
    assert_eq!(token.claims().credential, CredentialId([4; 16]));
}

#[test]
fn no_code_is_signed_with_a_key_that_the_bank_does_not_hold() {
    let keys = test_keys();
    // The same id, another key.
    let held = key_set(1, &[(1, 1)], &[(1, 8)]);
    let expires = UnixMillis(2_000_000_000_000);
    let refused = keys.sign_pickup(&bank(), &held, CredentialId([4; 16]), expires);
    assert!(matches!(refused, Err(SignTokenError::NoCommonKey)));
}

#[test]
fn what_goes_down_is_signed_with_the_newest_command_key_that_the_bank_holds() {
    let keys = keys_of(2, &[(2, 2), (1, 1)], &[(1, 7)]);
    for (held, kid) in [
        (keys.key_set().clone(), Some(2)),
        (test_keys().key_set().clone(), Some(1)),
        (key_set(9, &[(3, 3), (1, 1)], &[(1, 7)]), Some(1)),
        (key_set(9, &[(2, 3), (3, 2)], &[(1, 7)]), None),
        (KeySet::default(), None),
    ] {
        let signer = keys.command_signer(&held);
        let told = signer.map(|signer| {
            let message = keys.sign_down(signer, DownTopic::Ack, &bank(), b"ack");
            signed::open(&message, DownTopic::Ack, &bank(), &held.command).unwrap();
            keys.command[signer.0].0
        });
        assert_eq!(told, kid, "{held:?}");
    }
}

#[test]
fn keys_that_the_set_does_not_name_are_refused_with_what_to_do() {
    let set = || key_set(3, &[(1, 1)], &[(1, 7)]);
    let refusal = |command: &[(u8, u8)], credential: &[(u8, u8)]| {
        loaded(set(), command, credential).unwrap_err().to_string()
    };
    let said = refusal(&[(2, 2), (1, 1)], &[(1, 7)]);
    for part in ["command-2.key", "command key 2", "generation 3", "[1]", "pki command-key 2"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    // The right id with another key, and the right key under another id.
    assert!(refusal(&[(1, 1)], &[(1, 8)]).contains("credential-1.key is not credential key 1"));
    assert!(refusal(&[(1, 1)], &[(2, 7)]).contains("credential-2.key is not credential key 2"));
    assert_eq!(refusal(&[], &[(1, 7)]), "there must be one to 4 command keys");
    assert_eq!(refusal(&[(1, 1)], &[]), "there must be one to 4 credential keys");
    assert_eq!(refusal(&[(1, 1), (1, 1)], &[(1, 7)]), "command key 1 is there twice");
    // A hub need not have all the secrets.
    let more = key_set(3, &[(2, 2), (1, 1)], &[(2, 8), (1, 7)]);
    loaded(more, &[(1, 1)], &[(1, 7)]).unwrap();
}

#[test]
fn keys_are_never_printed() {
    assert_eq!(
        format!("{:?}", test_keys()),
        "HubKeys { generation: 1, command: [1], credential: [1], .. }"
    );
}
