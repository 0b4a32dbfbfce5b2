//! Targets for fuzzing: any bytes in, no panic, and what was understood is understood the same way again. Tests feed
//! them arbitrary bytes; a coverage-guided fuzzer can be put in front as it is.

use std::fmt::Debug;

use locker_core::code::digits::fuzz_digits;
use locker_core::ids::BankId;

use crate::key_set::SignedKeySet;
use crate::message::{Ack, Batch, Birth, Command, Config, Grants, Presence, Restore, Telemetry};
use crate::record::{decode_record, encode_record};
use crate::signed::{CommandKey, key_set_in, open};
use crate::topics::{DownTopic, UpTopic};
use crate::{document, entity, grant};

/// Longest input we look at, in bytes: far enough below the limits that what is understood also fits when it is written in
/// its canonical form, which can be a little longer.
const INPUT_MAX_BYTES: usize = 16 * 1024;

/// Reads bytes as a record and as everything that is kept in stores.
pub fn fuzz_record(bytes: &[u8]) {
    again(bytes, decode_record, encode_record);
    again(bytes, entity::decode_meta, entity::encode_meta);
    again(bytes, entity::decode_compartment, entity::encode_compartment);
    again(bytes, entity::decode_parcel, entity::encode_parcel);
    again(bytes, entity::decode_credential, entity::encode_credential);
    again(bytes, entity::decode_session, entity::encode_session);
    again(bytes, grant::decode_grant, grant::encode_grant);
    again(bytes, entity::decode_governor, entity::encode_governor);
    again(bytes, entity::decode_slot, entity::encode_slot);
    again(bytes, entity::decode_budget, entity::encode_budget);
    again(bytes, document::decode_layout, document::encode_layout);
    again(bytes, document::decode_key_set, document::encode_key_set);
    again(bytes, document::decode_mode, document::encode_mode);
    again(bytes, document::decode_quota, document::encode_quota);
    again(bytes, document::decode_courier_codes, document::encode_courier_codes);
    again(bytes, entity::decode_snapshot, |snapshot| {
        entity::encode_snapshot(snapshot).expect("a decoded snapshot removes nothing")
    });
}

/// Reads bytes as every message that travels, as a topic, and as digits that somebody typed.
pub fn fuzz_message(bytes: &[u8]) {
    again(bytes, Birth::decode, Birth::encode);
    again(bytes, Batch::decode, |batch| batch.clone().encode());
    again(bytes, Telemetry::decode, Telemetry::encode);
    again(bytes, Presence::decode, Presence::encode);
    again(bytes, Ack::decode, Ack::encode);
    again(bytes, Grants::decode, Grants::encode);
    again(bytes, Config::decode, Config::encode);
    again(bytes, Command::decode, Command::encode);
    again(bytes, Restore::decode, |restore| restore.clone().encode());
    again(bytes, SignedKeySet::decode, SignedKeySet::encode);
    if let Ok(text) = str::from_utf8(bytes) {
        let up = UpTopic::parse(text).map(|(bank, kind)| kind.of(&bank));
        let down = DownTopic::parse(text).map(|(bank, kind)| kind.of(&bank));
        for parsed in [up, down].into_iter().flatten() {
            assert_eq!(parsed, text, "a topic has one spelling");
        }
    }
    fuzz_signed(bytes);
    fuzz_digits(bytes);
}

/// No bytes open without the key; the public key is a point whose secret nobody here has.
fn fuzz_signed(bytes: &[u8]) {
    let bank: BankId = "fuzz".parse().expect("a name");
    let keys = [CommandKey { kid: 1, public: [0x58; 32] }];
    for topic in DownTopic::ALL {
        let _ = open(bytes, topic, &bank, &keys);
    }
    let set = SignedKeySet::decode(bytes).ok();
    for set in set.into_iter().chain(key_set_in(bytes)) {
        let _ = set.open(&[set.root()]);
    }
}

fn again<T: PartialEq + Debug, E: PartialEq + Debug>(
    bytes: &[u8],
    decode: impl Fn(&[u8]) -> Result<T, E>,
    encode: impl Fn(&T) -> Vec<u8>,
) {
    if let Ok(value) = decode(bytes)
        && bytes.len() <= INPUT_MAX_BYTES
    {
        let encoded = encode(&value);
        assert_eq!(decode(&encoded), Ok(value), "read again, it is another");
    }
}
