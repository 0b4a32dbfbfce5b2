//! What the file's key signs holds against its public half, and is the key that TLS shows.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};

use super::*;
use crate::link::tests::pki::Pki;

#[test]
fn the_key_in_the_file_signs_and_is_the_one_that_tls_shows() {
    let pki = Pki::new();
    let key = DeviceKey::load(&pki.path("bank.key")).unwrap();
    assert_eq!(key.key(), pki.bank().device_key);
    let signature = key.sign(b"a message").unwrap();
    let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key.pair.public_key().as_ref());
    public.verify(b"a message", &signature).unwrap();
    public.verify(b"another", &signature).unwrap_err();
}

#[test]
fn a_file_without_a_key_of_that_kind_is_named() {
    let pki = Pki::new();
    let missing = DeviceKey::load(&pki.path("nothing.key")).unwrap_err();
    assert!(matches!(missing, DeviceKeyError::Read { .. }));
    let certificate = DeviceKey::load(&pki.path("bank.pem")).unwrap_err();
    assert!(certificate.to_string().contains("bank.pem"));
    assert_eq!(format!("{:?}", DeviceKey::load(&pki.path("hub.key")).unwrap()), "DeviceKey");
}
