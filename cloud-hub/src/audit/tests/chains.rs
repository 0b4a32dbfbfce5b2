//! What a whole stream shows, and what cannot be hidden in one.

use std::collections::BTreeSet;

use locker_core::bank::DoorsRead;
use locker_core::fact::Fact;
use locker_core::ids::StreamId;
use locker_core::journal::seal::SealError;
use locker_core::journal::{KeyChanged, Parent, Place, StreamBreak};
use proptest::prelude::*;

use super::super::*;
use super::bank::{Device, Journal, bank_id};
use crate::tls::DeviceKey;

fn checked(journal: &Journal, keys: &[DeviceKey]) -> StreamReport {
    checked_for(journal, keys, BTreeSet::new())
}

fn checked_for(journal: &Journal, keys: &[DeviceKey], wanted: BTreeSet<u64>) -> StreamReport {
    let bank = bank_id();
    let mut check = StreamCheck::new(&bank, journal.stream, Start::BEGINNING, keys, wanted);
    for record in &journal.records {
        check.record(record);
    }
    check.end_at(Place { seq: journal.head(), hash: journal.hash() })
}

fn nothing_much() -> Fact {
    Fact::DoorsRead(DoorsRead { readings: Vec::new() })
}

/// Three facts, a seal, one fact more.
fn sealed_once(device: &Device) -> Journal {
    let mut journal = Journal::opened(1, device, None);
    journal.append(nothing_much());
    journal.seal(device, |_| {});
    journal.append(nothing_much());
    journal
}

#[test]
fn a_sound_stream_is_sealed_up_to_its_last_seal_and_the_rest_is_said_to_be_unsealed() {
    let device = Device::new();
    let report = checked(&sealed_once(&device), &[device.key()]);
    assert_eq!(report.findings, []);
    assert_eq!((report.head.seq, report.sealed_upto(), report.unsealed()), (5, 3, 1));
    assert_eq!((report.seals, report.compared), (1, 1));
    assert_eq!(report.opened.unwrap().bank, bank_id());
}

#[test]
fn what_is_not_sealed_at_all_yet_is_no_finding() {
    let device = Device::new();
    let journal = Journal::opened(1, &device, None);
    let report = checked(&journal, &[device.key()]);
    assert_eq!((report.findings.len(), report.sealed, report.unsealed()), (0, None, 2));
}

#[test]
fn a_record_that_was_dropped_put_in_or_held_back_is_found() {
    let device = Device::new();
    let keys = [device.key()];
    let mut dropped = sealed_once(&device);
    dropped.records.remove(2);
    let report = checked(&dropped, &keys);
    assert!(report.findings.contains(&Finding::Sequence { expected: 3, says: 4 }), "{report:?}");
    assert_eq!(report.sealed, None);

    let mut put_in = sealed_once(&device);
    let again = put_in.records[2].clone();
    put_in.records.insert(2, again);
    assert!(!checked(&put_in, &keys).findings.is_empty());

    let mut held_back = sealed_once(&device);
    held_back.records.pop();
    let promised = Place { seq: 5, hash: held_back.hash() };
    let bank = bank_id();
    let mut check =
        StreamCheck::new(&bank, held_back.stream, Start::BEGINNING, &keys, BTreeSet::new());
    for record in &held_back.records {
        check.record(record);
    }
    let report = check.end_at(promised);
    assert_eq!(report.findings, [Finding::Short { committed: 5, came: 4 }]);
}

#[test]
fn a_seal_by_another_key_or_for_another_state_is_a_finding_and_seals_nothing() {
    let (device, thief) = (Device::new(), Device::new());
    let mut journal = Journal::opened(1, &device, None);
    journal.seal(&thief, |_| {});
    journal.seal(&device, |sealed| sealed.projection = [9; 32]);
    let report = checked(&journal, &[device.key(), thief.key()]);
    let expected = [SealError::Signature { seq: 3 }, SealError::State { seq: 4 }];
    assert_eq!(report.findings, expected.map(Finding::Seal));
    assert_eq!(report.sealed, None);
    // By other rules, the signature counts and the state is not compared.
    journal.seal(&device, |sealed| (sealed.fold_version, sealed.projection) = (99, [1; 32]));
    let report = checked(&journal, &[device.key(), thief.key()]);
    assert_eq!((report.seals, report.compared, report.sealed_upto()), (1, 0, 4));
}

#[test]
fn a_stream_of_another_bank_or_with_an_unknown_key_is_a_finding() {
    let device = Device::new();
    let report = checked(&sealed_once(&device), &[]);
    assert_eq!(report.findings, [Finding::UnknownKey { key: device.key().hash }]);
    assert_eq!(report.sealed, None);

    let journal = sealed_once(&device);
    let (other, keys) = ("bank-2".parse().unwrap(), [device.key()]);
    let mut check =
        StreamCheck::new(&other, journal.stream, Start::BEGINNING, &keys, BTreeSet::new());
    for record in &journal.records {
        check.record(record);
    }
    assert_eq!(check.end().findings, [Finding::OtherBank { says: bank_id() }]);
}

#[test]
fn a_changed_device_key_holds_only_if_the_key_before_it_signed() {
    let (old, new, thief) = (Device::new(), Device::new(), Device::new());
    let keys = [old.key(), new.key(), thief.key()];
    for (signer, finding) in [
        (Some(&old), None),
        (Some(&thief), Some(Finding::KeyChangeForged { seq: 3 })),
        (None, Some(Finding::KeyChangedUnsigned { seq: 3 })),
    ] {
        let mut journal = Journal::opened(1, &old, None);
        let (before, after) = (Some(old.key().hash), new.key().hash);
        let mut changed = KeyChanged { old: before, new: after, signature: None };
        let message = changed.signed_bytes(journal.stream, 3);
        changed.signature = signer.map(|signer| signer.sign(&message));
        journal.append(Fact::KeyChanged(changed));
        journal.seal(&new, |_| {});
        let report = checked(&journal, &keys);
        assert_eq!(report.findings, Vec::from_iter(finding));
        assert_eq!(report.sealed.map(|seal| seal.key), Some(new.key().hash));
        // The old one counts no more.
        journal.seal(&old, |_| {});
        let report = checked(&journal, &keys);
        let last = report.findings.last();
        assert_eq!(last, Some(&Finding::Seal(SealError::Signature { seq: 5 })));
    }
}

#[test]
fn a_stream_must_go_on_from_a_place_that_its_parent_has() {
    let device = Device::new();
    let keys = [device.key()];
    let parent = sealed_once(&device);
    let place = |hash| Place { seq: 4, hash };
    for (stream, hash, finding) in [
        (parent.stream, parent.hashes[4], None),
        (
            parent.stream,
            parent.hashes[3],
            Some(Finding::ParentPlace { parent: parent.stream, seq: 4 }),
        ),
        (
            StreamId([9; 16]),
            parent.hashes[4],
            Some(Finding::ParentUnknown { parent: StreamId([9; 16]) }),
        ),
    ] {
        let (common, reason) = (Some(place(hash)), Some(StreamBreak::Forked));
        let child = Journal::opened(2, &device, Some(Parent { stream, common, reason }));
        let mut reports =
            [checked_for(&parent, &keys, BTreeSet::from([4])), checked(&child, &keys)];
        check_parents(&mut reports);
        assert_eq!(reports[1].findings, Vec::from_iter(finding));
        assert_eq!(reports[0].findings, []);
    }
}

#[test]
fn findings_are_bounded_and_the_others_counted() {
    let device = Device::new();
    let mut journal = Journal::opened(1, &device, None);
    for _ in 0..FINDINGS_MAX + 3 {
        journal.seal(&device, |sealed| sealed.projection = [9; 32]);
    }
    let report = checked(&journal, &[device.key()]);
    assert_eq!((report.findings.len(), report.more_findings), (FINDINGS_MAX, 3));
}

#[test]
fn a_streams_id_is_thirty_two_hex_digits() {
    let id = StreamId([0xa5; 16]);
    assert_eq!(stream_id(&id.to_string()), Some(id));
    for text in ["", "a5", &"g".repeat(32), &"+1".repeat(16), &"é".repeat(16)] {
        assert_eq!(stream_id(text), None, "{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_flipped_bit_of_a_sealed_record_is_found(at in 0usize..10_000, bit in 0u8..8) {
        let device = Device::new();
        let mut journal = sealed_once(&device);
        let which = at % 4;
        let record = &mut journal.records[which];
        let place = at / 4 % record.len();
        record[place] ^= 1 << bit;
        let report = checked(&journal, &[device.key()]);
        prop_assert!(!report.findings.is_empty(), "record {} byte {place}", which + 1);
    }
}
