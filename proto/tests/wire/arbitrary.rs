//! Bytes that nobody wrote, and bytes that were hurt on the way: nothing panics, nothing is read as two things.

use locker_proto::entity::{encode_budget, encode_meta, encode_slot, encode_snapshot};
use locker_proto::fuzz::{fuzz_message, fuzz_record};
use locker_proto::message::Config;
use locker_proto::record::encode_record;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::{later, samples};

/// Everything we have bytes of.
fn corpus() -> Vec<Vec<u8>> {
    // Of values that differ in one number only, one is enough here.
    let mut later: Vec<_> = later::facts().into_iter().map(|(_, fact)| fact).collect();
    later.dedup_by_key(|fact| samples::field_of(fact));
    let facts = samples::facts().into_iter().chain(later);
    let mut all: Vec<_> = facts.map(|fact| encode_record(&samples::record(fact))).collect();
    all.push(samples::config_layout().encode());
    all.extend(later::configs().iter().map(Config::encode));
    all.push(later::signed_key_set().encode());
    // In a snapshot an entity is hurt together with its frame; here alone.
    all.extend(later::held_slots().iter().map(encode_slot));
    all.extend([later::budget(), later::undated_budget()].iter().map(encode_budget));
    all.extend([
        encode_snapshot(&samples::snapshot()).unwrap(),
        samples::birth().encode(),
        samples::batch().encode(),
        samples::telemetry().encode(),
        samples::presence().encode(),
        samples::telemetry_of_all_sensors().encode(),
        samples::presence_of_a_connection().encode(),
        samples::ack().encode(),
        samples::grants().encode(),
        encode_snapshot(&later::snapshot()).unwrap(),
        encode_snapshot(&later::snapshot_with_codes()).unwrap(),
        later::command().encode(),
        later::birth().encode(),
        encode_meta(&later::meta_with_epochs()),
        encode_meta(&later::meta_after_a_pickup()),
        encode_snapshot(&later::snapshot_with_courier_codes()).unwrap(),
    ]);
    all
}

#[test]
fn every_prefix_and_every_flipped_bit_of_what_we_write_is_read_without_a_panic() {
    for bytes in corpus() {
        for end in 0..=bytes.len() {
            fuzz_record(&bytes[..end]);
            fuzz_message(&bytes[..end]);
        }
        for bit in 0..bytes.len() * 8 {
            let mut hurt = bytes.clone();
            hurt[bit / 8] ^= 1 << (bit % 8);
            fuzz_record(&hurt);
            fuzz_message(&hurt);
        }
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_read_without_a_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..512),
    ) {
        fuzz_record(&bytes);
        fuzz_message(&bytes);
    }

    #[test]
    fn two_forms_cut_together_are_read_without_a_panic(
        (first, second) in any::<(Index, Index)>(),
        (cut, start) in any::<(Index, Index)>(),
    ) {
        let corpus = corpus();
        let (first, second) = (first.get(&corpus), second.get(&corpus));
        let (cut, start) = (cut.index(first.len()), start.index(second.len()));
        let bytes = [&first[..cut], &second[start..]].concat();
        fuzz_record(&bytes);
        fuzz_message(&bytes);
    }
}
