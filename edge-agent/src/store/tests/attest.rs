//! What the device key signs: seals that hold, and a change of keys that the old key vouches for.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair,
    UnparsedPublicKey,
};
use locker_core::journal::seal::{self, StateCheck};
use locker_core::journal::{FOLD_VERSION, KeyChanged};

use super::*;

pub(super) struct TestKey(EcdsaKeyPair, [u8; 32]);

pub(super) fn test_key(id: u8) -> TestKey {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    TestKey(pair, [id; 32])
}

impl TestKey {
    pub(super) fn public(&self) -> Vec<u8> {
        self.0.public_key().as_ref().to_vec()
    }
}

impl Signer for TestKey {
    fn key(&self) -> [u8; 32] {
        self.1
    }

    fn sign(&self, message: &[u8]) -> Option<[u8; 64]> {
        let random = aws_lc_rs::rand::SystemRandom::new();
        self.0.sign(&random, message).ok()?.as_ref().try_into().ok()
    }
}

pub(super) fn holds(public: &[u8], message: &[u8], signature: &[u8; 64]) -> bool {
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, public).verify(message, signature).is_ok()
}

fn last(ledger: &Ledger) -> Record {
    let stored = ledger.reader().read(ledger.head().0, 1, usize::MAX).unwrap();
    decode_record(&stored[0].record).unwrap()
}

#[test]
fn a_seal_holds_for_all_before_it_and_for_the_state_there() {
    let mut store = Store::with(&[layout(1), booked(1, 1)]);
    let (mut ledger, _) = store.open();
    assert_eq!((ledger.seal(), ledger.unsealed()), (None, None), "nothing to sign with");
    let key = test_key(1);
    let public = key.public();
    assert!(!ledger.attest(Box::new(key), None, stamp(2)).unwrap(), "the stream names this key");
    assert_eq!(ledger.unsealed(), Some(5));
    let theirs = folded(&ledger);
    let sealed = ledger.seal().unwrap();
    commit_each(&mut ledger, &[sealed]);
    let record = last(&ledger);
    let Fact::Sealed(sealed) = &record.fact else { panic!("{record:?}") };
    let state = Some((FOLD_VERSION, seal::projection(&theirs)));
    let verify = |message: &[u8], signature: &[u8; 64]| holds(&public, message, signature);
    assert_eq!(seal::check(&record, sealed, state, verify), Ok(StateCheck::Same));
    assert_eq!((ledger.view().meta().sealed, ledger.unsealed(), ledger.seal()), (6, None, None));
    commit_each(&mut ledger, &[booked(2, 1)]);
    assert_eq!(ledger.unsealed(), Some(1));
    same(ledger.view(), &folded(&ledger));
}

#[test]
fn a_key_that_is_another_one_is_recorded_once_and_the_old_one_vouches_for_it() {
    let mut store = Store::with(&[layout(1)]);
    let (mut ledger, _) = store.open();
    let old = test_key(1);
    let changed = ledger.attest(Box::new(test_key(2)), Some(&old), stamp(2)).unwrap();
    assert!(changed);
    let record = last(&ledger);
    let Fact::KeyChanged(fact) = record.fact else { panic!("{record:?}") };
    assert_eq!((fact.old, fact.new), (Some([1; 32]), [2; 32]));
    let message = fact.signed_bytes(STREAM, record.seq);
    assert!(holds(&old.public(), &message, &fact.signature.unwrap()));
    assert!(!ledger.attest(Box::new(test_key(2)), None, stamp(2)).unwrap());
    // The third: the second is gone, and one that the stream does not name vouches for nothing.
    assert!(ledger.attest(Box::new(test_key(3)), Some(&old), stamp(2)).unwrap());
    let unsigned = KeyChanged { old: Some([2; 32]), new: [3; 32], signature: None };
    assert_eq!(last(&ledger).fact, Fact::KeyChanged(unsigned));
    assert_eq!(ledger.view().meta().device_key, Some([3; 32]));
}
