//! A key set counts for its root's signature, and for nothing else.

use ed25519_dalek::{Signer, SigningKey};
use locker_core::credential::KeySet;
use locker_proto::key_set::{OpenKeySetError, RootKey, SignedKeySet};
use locker_proto::message::Config;
use locker_proto::signed::{key_set_in, sign};
use locker_proto::topics::DownTopic;
use locker_proto::wire::bank::v1 as wire;
use locker_proto::{FieldProblem, Malformed, encode_key_set};
use prost::Message;

use crate::{later, samples};

fn root() -> RootKey {
    RootKey(later::root().verifying_key().to_bytes())
}

fn other() -> SigningKey {
    SigningKey::from_bytes(&[8; 32])
}

fn form() -> wire::SignedKeySet {
    wire::SignedKeySet::decode(&later::signed_key_set().encode()[..]).unwrap()
}

fn opened(form: &wire::SignedKeySet) -> Result<(), OpenKeySetError> {
    let set = SignedKeySet::decode(&form.encode_to_vec())?;
    set.open(&[root()]).map(|keys| assert_eq!(keys, later::key_set()))
}

#[test]
fn a_key_set_opens_with_its_root_among_those_pinned() {
    let set = later::signed_key_set();
    let other = RootKey(other().verifying_key().to_bytes());
    assert_eq!(set.open(&[other, root()]), Ok(later::key_set()));
    assert_eq!(set.open(&[other]), Err(OpenKeySetError::UnknownRoot { root: root() }));
    assert_eq!(set.open(&[]), Err(OpenKeySetError::UnknownRoot { root: root() }));
}

#[test]
fn c10_what_a_set_says_of_its_root_is_neither_signed_nor_believed() {
    let signed = SignedKeySet::sign(&later::root(), &later::held_key_set());
    assert_eq!(signed, later::signed_key_set());
    assert_eq!((signed.open(&[root()]), signed.root()), (Ok(later::key_set()), root()));

    // A thief signs that it is ours.
    let claims_ours = encode_key_set(&KeySet { root: Some(root()), ..later::key_set() });
    let signed = [&b"postern-key-set-v1\0"[..], &claims_ours].concat();
    let thief = RootKey(other().verifying_key().to_bytes());
    let forged = wire::SignedKeySet {
        signature: other().sign(&signed).to_bytes().to_vec(),
        root_key: thief.0.to_vec(),
        key_set: claims_ours,
    };
    let forged = SignedKeySet::decode(&forged.encode_to_vec()).unwrap();
    assert_eq!(forged.open(&[thief]), Ok(later::key_set()));
}

#[test]
fn no_changed_bit_of_a_signed_key_set_opens() {
    let signed = later::signed_key_set().encode();
    for bit in 0..signed.len() * 8 {
        let mut changed = signed.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let opened = SignedKeySet::decode(&changed).map(|set| set.open(&[root()]));
        assert!(!matches!(opened, Ok(Ok(_))), "bit {bit}");
    }
}

#[test]
fn a_signature_for_something_else_opens_no_key_set() {
    let bytes = encode_key_set(&later::key_set());
    let signed_as = |context: &[u8]| wire::SignedKeySet {
        signature: later::root().sign(&[context, &bytes].concat()).to_bytes().to_vec(),
        ..form()
    };
    assert_eq!(opened(&signed_as(b"postern-key-set-v1\0")), Ok(()));
    for context in
        [&b""[..], b"postern-key-set-v1", b"postern-key-set-v2\0", b"postern-down-config-v1\0"]
    {
        assert_eq!(opened(&signed_as(context)), Err(OpenKeySetError::Altered));
    }
    // Signed by another key in the root's name.
    let signature = SignedKeySet::sign(&other(), &later::key_set()).encode();
    let signature = wire::SignedKeySet::decode(&signature[..]).unwrap().signature;
    assert_eq!(opened(&wire::SignedKeySet { signature, ..form() }), Err(OpenKeySetError::Altered));
}

#[test]
fn what_is_wrong_with_a_signed_key_set_is_told() {
    let field =
        |field, problem| Err(OpenKeySetError::Malformed(Malformed::Field { field, problem }));
    let empty = wire::SignedKeySet { key_set: vec![], ..form() };
    assert_eq!(opened(&empty), field("SignedKeySet.key_set", FieldProblem::Missing));
    let short = wire::SignedKeySet { root_key: vec![1; 31], ..form() };
    let problem = FieldProblem::Length { bytes: 31, want_bytes: 32 };
    assert_eq!(opened(&short), field("SignedKeySet.root_key", problem));
    let unsigned = wire::SignedKeySet { signature: vec![], ..form() };
    assert_eq!(opened(&unsigned), field("SignedKeySet.signature", FieldProblem::Missing));
    // The root signed what is no key set.
    let bytes = [0xff; 3];
    let signature = later::root().sign(&[b"postern-key-set-v1\0", &bytes[..]].concat());
    let garbage = wire::SignedKeySet {
        key_set: bytes.to_vec(),
        signature: signature.to_bytes().to_vec(),
        ..form()
    };
    let refused = opened(&garbage);
    assert!(matches!(refused, Err(OpenKeySetError::Malformed(Malformed::NotProtobuf(_)))));
    // y = 1, x = 0 would verify anything unless verification is strict.
    let mut point = [0; 32];
    point[0] = 1;
    let weak = wire::SignedKeySet {
        root_key: point.to_vec(),
        signature: [&point[..], &[0; 32]].concat(),
        ..form()
    };
    let weak = SignedKeySet::decode(&weak.encode_to_vec()).unwrap();
    assert_eq!(weak.open(&[RootKey(point)]), Err(OpenKeySetError::Altered));
    let mut no_point = [0; 32];
    no_point[0] = 2;
    let unusable = wire::SignedKeySet { root_key: no_point.to_vec(), ..form() };
    let unusable = SignedKeySet::decode(&unusable.encode_to_vec()).unwrap();
    let root = RootKey(no_point);
    assert_eq!(unusable.open(&[root]), Err(OpenKeySetError::UnusableRoot { root }));
}

#[test]
fn an_envelope_that_nobody_can_check_gives_out_a_key_set_and_nothing_else() {
    let wrapped = |payload: &[u8]| sign(&other(), 77, DownTopic::Config, &samples::bank(), payload);
    let [mode, quota, key_set, _] = later::configs();
    assert_eq!(key_set_in(&wrapped(&key_set.encode())), Some(later::signed_key_set()));
    for document in [mode, quota, samples::config_layout()] {
        assert_eq!(key_set_in(&wrapped(&Config::encode(&document))), None);
    }
    assert_eq!(key_set_in(&wrapped(b"anything")), None);
    assert_eq!(key_set_in(&[0xff; 9]), None);
}

#[test]
fn a_root_prints_as_hex() {
    assert_eq!(RootKey([0x0a; 32]).to_string(), "0a".repeat(32));
    assert_eq!(format!("{:?}", RootKey([0xb0; 32])), format!("RootKey({})", "b0".repeat(32)));
}
