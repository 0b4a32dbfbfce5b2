//! What version 1 wrote, byte for byte: still written so, and still read as what it was. A line of `v1.rs` is never
//! changed; what is new gets lines of its own.

use std::fmt::Debug;

use locker_proto::message::{
    Ack, Batch, Birth, Command, Config, DecodeMessageError, Grants, Nonce,
};
use locker_proto::message::{Presence, Restore, Telemetry};
use locker_proto::record::{decode_record, encode_record};
use locker_proto::signed::{CommandKey, open, sign};
use locker_proto::topics::{DownTopic, UpTopic, down_filter};
use locker_proto::{
    decode_courier_codes, decode_grant, decode_key_set, decode_layout, decode_mode, decode_quota,
};
use locker_proto::{
    encode_courier_codes, encode_grant, encode_key_set, encode_layout, encode_mode, encode_quota,
    entity,
};

use crate::signed::{KID, key};
use crate::{later, samples, v1};

#[test]
fn a_record_of_each_fact_is_as_version_1_wrote_it() {
    let mut frozen = Frozen::of(v1::FACTS);
    let first = samples::facts();
    let first = first.into_iter().map(|fact| (samples::field_of(&fact).to_owned(), fact));
    for (name, fact) in first.chain(later::facts()) {
        let record = samples::record(fact);
        // All begin alike; the fact comes last because its field numbers are the highest.
        let encode = |record: &_| {
            let bytes = encode_record(record);
            let head = unhex(v1::RECORD_HEAD);
            bytes.strip_prefix(&head[..]).expect("the head is as version 1 wrote it").to_vec()
        };
        let decode = |fact: &[u8]| decode_record(&[&unhex(v1::RECORD_HEAD), fact].concat());
        frozen.same(&name, &record, encode, decode);
    }
    frozen.finish();
}

#[test]
fn entities_are_as_version_1_wrote_them() {
    use entity::*;
    let mut frozen = Frozen::of(v1::ENTITIES);
    frozen.same("meta", &samples::meta(), encode_meta, decode_meta);
    frozen.same("compartment", &samples::compartment(), encode_compartment, decode_compartment);
    frozen.same("parcel", &samples::parcel(), encode_parcel, decode_parcel);
    frozen.same("credential", &samples::credential(), encode_credential, decode_credential);
    frozen.same("session", &Some(samples::session()), encode_session, decode_session);
    let encode = |snapshot: &_| encode_snapshot(snapshot).unwrap();
    frozen.same("snapshot", &samples::snapshot(), encode, decode_snapshot);
    frozen.same("grant", &samples::cancellation(), encode_grant, decode_grant);
    frozen.same("layout", &samples::layout(), encode_layout, decode_layout);
    frozen.same("key_set", &samples::key_set(), encode_key_set, decode_key_set);
    for (name, meta) in later::metas() {
        frozen.same(&name, &meta, encode_meta, decode_meta);
    }
    for (name, held) in later::compartments() {
        frozen.same(&name, &held, encode_compartment, decode_compartment);
    }
    for (name, parcel) in later::parcels() {
        frozen.same(&name, &parcel, encode_parcel, decode_parcel);
    }
    let superseded = later::credential();
    frozen.same("credential: delegate", &superseded, encode_credential, decode_credential);
    for (name, session) in later::sessions() {
        frozen.same(&name, &Some(session), encode_session, decode_session);
    }
    frozen.same("governor", &later::governor(), encode_governor, decode_governor);
    frozen.same("snapshot: later", &later::snapshot(), encode, decode_snapshot);
    for (name, held) in ["slot", "slot: bound"].into_iter().zip(later::held_slots()) {
        frozen.same(name, &held, encode_slot, decode_slot);
    }
    frozen.same("budget", &later::budget(), encode_budget, decode_budget);
    frozen.same("budget: undated", &later::undated_budget(), encode_budget, decode_budget);
    frozen.same("snapshot: codes", &later::snapshot_with_codes(), encode, decode_snapshot);
    frozen.same("mode", &later::mode(), encode_mode, decode_mode);
    frozen.same("quota", &later::quota(), encode_quota, decode_quota);
    frozen.same("key_set: command", &later::key_set(), encode_key_set, decode_key_set);
    let couriers = later::courier_codes();
    frozen.same("courier_codes", &couriers, encode_courier_codes, decode_courier_codes);
    frozen.same("meta: epochs", &later::meta_with_epochs(), encode_meta, decode_meta);
    let collected = later::meta_after_a_pickup();
    frozen.same("meta: after a pickup", &collected, encode_meta, decode_meta);
    frozen.same("key_set: root", &later::held_key_set(), encode_key_set, decode_key_set);
    frozen.same("meta: root", &later::meta_with_a_root(), encode_meta, decode_meta);
    frozen.same("meta: on battery", &later::meta_on_battery(), encode_meta, decode_meta);
    let sealed = later::meta_of_a_sealed_stream();
    frozen.same("meta: sealed", &sealed, encode_meta, decode_meta);
    for (name, session) in later::sessions_with_an_alarm() {
        frozen.same(name, &Some(session), encode_session, decode_session);
    }
    let couriers = later::snapshot_with_courier_codes();
    frozen.same("snapshot: courier codes", &couriers, encode, decode_snapshot);
    frozen.finish();
}

#[test]
fn messages_are_as_version_1_wrote_them() {
    let mut frozen = Frozen::of(v1::MESSAGES);
    frozen.same("birth", &samples::birth(), Birth::encode, Birth::decode);
    frozen.same("batch", &samples::batch(), |batch| batch.clone().encode(), Batch::decode);
    frozen.same("telemetry", &samples::telemetry(), Telemetry::encode, Telemetry::decode);
    frozen.same("presence", &samples::presence(), Presence::encode, Presence::decode);
    let all = samples::telemetry_of_all_sensors();
    frozen.same("telemetry_of_all_sensors", &all, Telemetry::encode, Telemetry::decode);
    let connected = samples::presence_of_a_connection();
    frozen.same("presence_of_a_connection", &connected, Presence::encode, Presence::decode);
    frozen.same("ack", &samples::ack(), Ack::encode, Ack::decode);
    frozen.same("grants", &samples::grants(), Grants::encode, Grants::decode);
    frozen.same("config_layout", &samples::config_layout(), Config::encode, Config::decode);
    let [mode, quota, key_set, couriers] = later::configs();
    let answer = Config { nonce: Some(Nonce([0x4e; 16])), ..mode.clone() };
    frozen.same("config_mode", &mode, Config::encode, Config::decode);
    frozen.same("config_mode: of a birth", &answer, Config::encode, Config::decode);
    frozen.same("config_quota", &quota, Config::encode, Config::decode);
    frozen.same("config_signed_key_set", &key_set, Config::encode, Config::decode);
    frozen.same("config_courier_codes", &couriers, Config::encode, Config::decode);
    frozen.same("birth: told more", &later::birth(), Birth::encode, Birth::decode);
    frozen.same("command", &later::command(), Command::encode, Command::decode);
    let laddered = later::birth_with_a_ladder();
    frozen.same("birth: with a ladder", &laddered, Birth::encode, Birth::decode);
    for (name, restore) in later::restores() {
        frozen.same(name, &restore, |restore| restore.clone().encode(), Restore::decode);
    }
    frozen.finish();
}

#[test]
fn signed_messages_are_as_version_1_wrote_them() {
    let bank = samples::bank();
    let keys = [CommandKey { kid: KID, public: key().verifying_key().to_bytes() }];
    let mut frozen = Frozen::of(v1::SIGNED);
    for topic in DownTopic::ALL {
        let encode = |payload: &Vec<u8>| sign(&key(), KID, topic, &bank, payload);
        let decode = |signed: &[u8]| open(signed, topic, &bank, &keys);
        frozen.same(topic.as_str(), &b"payload".to_vec(), encode, decode);
    }
    frozen.finish();
}

#[test]
fn a_key_set_that_only_a_command_key_signed_is_refused_now() {
    let refused = Config::decode(&unhex(v1::CONFIG_KEY_SET));
    assert_eq!(refused, Err(DecodeMessageError::UnsignedKeySet));
}

#[test]
fn topics_are_as_version_1_spelled_them() {
    let bank = samples::bank();
    let up = UpTopic::ALL.map(|topic| topic.of(&bank));
    let down = DownTopic::ALL.map(|topic| topic.of(&bank));
    let filter = [down_filter(&bank)];
    assert_eq!([&up[..], &down[..], &filter[..]].concat(), v1::TOPICS);
}

/// A table of `v1.rs` while it is held against what is written today.
struct Frozen {
    table: &'static [(&'static str, &'static str)],
    seen: usize,
    missing: String,
}

impl Frozen {
    fn of(table: &'static [(&'static str, &'static str)]) -> Self {
        Self { table, seen: 0, missing: String::new() }
    }

    fn same<T: PartialEq + Debug, E: PartialEq + Debug>(
        &mut self,
        name: &str,
        value: &T,
        encode: impl Fn(&T) -> Vec<u8>,
        decode: impl Fn(&[u8]) -> Result<T, E>,
    ) {
        let written = hex(&encode(value));
        let Some((_, frozen)) = self.table.iter().find(|(known, _)| *known == name) else {
            self.missing += &format!("(\"{name}\", \"{written}\"),\n");
            return;
        };
        self.seen += 1;
        assert_eq!(written, *frozen, "{name}");
        assert_eq!(decode(&unhex(frozen)).as_ref(), Ok(value), "{name}");
    }

    fn finish(self) {
        assert!(self.missing.is_empty(), "not in v1.rs yet:\n{}", self.missing);
        assert_eq!(self.seen, self.table.len(), "v1.rs holds what nobody asked for");
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(digits).collect()
}
