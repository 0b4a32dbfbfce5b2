//! Only the hub's command key opens anything, and only for the topic and the bank it was signed for.

use ed25519_dalek::SigningKey;
use locker_core::ids::BankId;
use locker_proto::signed::{CommandKey, OpenError, open, sign};
use locker_proto::topics::DownTopic;
use locker_proto::wire::bank::v1 as wire;
use locker_proto::{FieldProblem, Malformed};
use prost::Message;

use crate::samples;

pub(crate) const KID: u8 = 200;
const PAYLOAD: &[u8] = b"anything";

pub(crate) fn key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

fn keys() -> [CommandKey; 2] {
    let other = SigningKey::from_bytes(&[8; 32]);
    [(KID - 1, other), (KID, key())]
        .map(|(kid, key)| CommandKey { kid, public: key.verifying_key().to_bytes() })
}

fn signed() -> Vec<u8> {
    sign(&key(), KID, DownTopic::Grants, &samples::bank(), PAYLOAD)
}

#[test]
fn a_signed_message_opens_for_its_topic_and_bank_only() {
    let bank = samples::bank();
    let other: BankId = "berlin-08".parse().unwrap();
    for topic in DownTopic::ALL {
        let opened = open(&signed(), topic, &bank, &keys());
        let wanted =
            if topic == DownTopic::Grants { Ok(PAYLOAD.to_vec()) } else { Err(OpenError::Altered) };
        assert_eq!(opened, wanted, "{topic:?}");
        assert_eq!(open(&signed(), topic, &other, &keys()), Err(OpenError::Altered));
    }
}

#[test]
fn no_changed_bit_opens() {
    let signed = signed();
    for bit in 0..signed.len() * 8 {
        let mut changed = signed.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let opened = open(&changed, DownTopic::Grants, &samples::bank(), &keys());
        assert!(opened.is_err(), "bit {bit}");
    }
}

#[test]
fn each_reason_not_to_open_is_told() {
    let form = wire::Signed::decode(&signed()[..]).unwrap();
    let reason = |form: &wire::Signed, keys: &[CommandKey]| {
        open(&form.encode_to_vec(), DownTopic::Grants, &samples::bank(), keys).unwrap_err()
    };
    let field = |field, problem| OpenError::Malformed(Malformed::Field { field, problem });

    assert_eq!(reason(&form, &[]), OpenError::UnknownKey { kid: KID });
    let unusable = [CommandKey { kid: KID, public: NOT_A_POINT }];
    assert_eq!(reason(&form, &unusable), OpenError::UnusableKey { kid: KID });
    let wrong_key = [CommandKey { kid: KID, ..keys()[0] }];
    assert_eq!(reason(&form, &wrong_key), OpenError::Altered);
    // The neutral point verifies anything unless verification is strict.
    let weak = [CommandKey { kid: KID, public: NEUTRAL_POINT }];
    let forged =
        wire::Signed { signature: [&NEUTRAL_POINT[..], &[0; 32]].concat(), ..form.clone() };
    assert_eq!(reason(&forged, &weak), OpenError::Altered);

    let short = wire::Signed { signature: vec![1; 63], ..form.clone() };
    let problem = FieldProblem::Length { bytes: 63, want_bytes: 64 };
    assert_eq!(reason(&short, &keys()), field("Signed.signature", problem));
    let unsigned = wire::Signed { signature: vec![], ..form.clone() };
    assert_eq!(reason(&unsigned, &keys()), field("Signed.signature", FieldProblem::Missing));
    let wide = wire::Signed { kid: 256, ..form };
    let problem = FieldProblem::Range { value: 256, min: 0, max: 255 };
    assert_eq!(reason(&wide, &keys()), field("Signed.kid", problem));
    let garbage = open(&[0xff; 9], DownTopic::Grants, &samples::bank(), &keys());
    assert!(matches!(garbage, Err(OpenError::Malformed(Malformed::NotProtobuf(_)))));
}

/// y = 2 is the y of no point on Curve25519.
const NOT_A_POINT: [u8; 32] = {
    let mut y = [0; 32];
    y[0] = 2;
    y
};

/// y = 1, x = 0.
const NEUTRAL_POINT: [u8; 32] = {
    let mut y = [0; 32];
    y[0] = 1;
    y
};
