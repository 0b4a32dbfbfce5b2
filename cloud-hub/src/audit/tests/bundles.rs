//! Evidence files: what they prove, and that nothing in them can be changed unseen.

use locker_core::bank::{
    DepositConfirmed, DepositStarted, DoorMoved, DoorsRead, PickupEnd, PickupSettled,
    PickupStarted, PulseIntended, PulseOutcome, PulseSettled,
};
use locker_core::compartment::DoorReading;
use locker_core::fact::Fact;
use locker_core::ids::{CompartmentNo, CredentialId, IntentId, ParcelId, SessionId};
use locker_core::journal::detached_commitment;
use proptest::prelude::*;

use super::super::bundle::{Bundle, BundleError, DetachedPart, MAGIC, Run, VERSION, fuzz_bundle};
use super::super::evidence::{CheckedRun, check};
use super::super::*;
use super::bank::{Device, Journal, NOW, bank_id};
use crate::tls::fixture::Fixture;

const PARCEL: ParcelId = ParcelId([7; 16]);
const SALT: [u8; 16] = [3; 16];
const PART: &[u8] = b"signed by the hub";

/// A parcel that was brought and fetched, a seal, and a record after it.
fn story(device: &Device) -> Journal {
    let mut journal = Journal::opened(1, device, None);
    let (session, compartment) = (SessionId([3; 16]), CompartmentNo(4));
    let (parcel, intent) = (PARCEL, IntentId(1));
    let tried = Vec::new();
    // The second part of it stands beside the journal.
    let started = DepositStarted { session, parcel, compartment, tried };
    journal.append_with(Fact::DepositStarted(started), Some(detached_commitment(&SALT, PART)));
    let parcel_meant = Some(parcel);
    journal.append(Fact::PulseIntended(PulseIntended {
        intent,
        session,
        compartment,
        parcel: parcel_meant,
    }));
    let outcome = PulseOutcome::Opened { after_ms: 40 };
    journal.append(Fact::PulseSettled(PulseSettled { intent, compartment, outcome }));
    let (reading, cause) = (DoorReading::Closed, Some(intent));
    journal.append(Fact::DoorMoved(DoorMoved { compartment, reading, cause, class: None }));
    let (presumed, code) = (false, None);
    let confirmed = DepositConfirmed { session, parcel, compartment, presumed, code };
    journal.append(Fact::DepositConfirmed(confirmed));
    journal.append(Fact::DoorsRead(DoorsRead { readings: Vec::new() }));
    let credential = CredentialId([2; 16]);
    journal.append(Fact::PickupStarted(PickupStarted { session, parcel, compartment, credential }));
    let (end, lock_failed) = (PickupEnd::Collected { presumed: false }, false);
    let settled = PickupSettled { session, parcel, compartment, end, lock_failed };
    journal.append(Fact::PickupSettled(settled));
    journal.seal(device, |_| {});
    journal
}

/// Records 3 to the last, which is the seal.
fn bundle(journal: &Journal, device: &Device) -> Bundle {
    let part = PART.to_vec();
    let run = Run {
        bank: bank_id(),
        stream: journal.stream,
        first_seq: 3,
        previous: journal.hashes[2],
        keys: vec![device.key()],
        records: journal.records[2..].to_vec(),
        detached: vec![DetachedPart { seq: 3, salt: SALT, part }],
    };
    let name = "carriers/acme/parcels/p-1".to_owned();
    Bundle { name, parcel: PARCEL, certificates: Vec::new(), runs: vec![run] }
}

fn only(mut runs: Vec<CheckedRun>) -> CheckedRun {
    assert_eq!(runs.len(), 1);
    runs.remove(0)
}

#[test]
fn a_file_tells_the_parcels_story_and_the_seal_stands_for_all_of_it() {
    let device = Device::new();
    let file = bundle(&story(&device), &device).encode().unwrap();
    let run = only(check(&Bundle::decode(&file).unwrap()));
    assert_eq!(run.report.findings, []);
    assert_eq!((run.report.sealed_upto(), run.detached), (10, 1));
    assert_eq!(run.report.sealed.unwrap().key, device.key().hash);
    let told: Vec<&str> = run.story.iter().map(|told| told.what.as_str()).collect();
    assert_eq!(
        told,
        [
            "a courier began to deposit it, door 4",
            "the lock of door 4 is about to be opened for it",
            "door 4 opened after 40 ms",
            "door 4 was shut",
            "it is inside and door 4 is shut",
            "a code for it was accepted, door 4",
            "its pickup at door 4 ended: collected, and the door is shut",
        ]
    );
    assert!(run.story.iter().all(|told| told.is_sealed));
}

#[test]
fn what_no_seal_stands_for_is_not_proved() {
    let device = Device::new();
    let mut bundle = bundle(&story(&device), &device);
    bundle.runs[0].records.pop();
    let run = only(check(&bundle));
    assert_eq!(run.report.findings, [Finding::NotSealed { seq: 10 }]);
    assert!(run.story.iter().all(|told| !told.is_sealed));
}

#[test]
fn a_file_about_another_parcel_proves_nothing() {
    let device = Device::new();
    let mut bundle = bundle(&story(&device), &device);
    bundle.parcel = ParcelId([8; 16]);
    let run = only(check(&bundle));
    assert_eq!(run.report.findings, [Finding::NothingAbout]);
}

#[test]
fn erasing_a_detached_part_leaves_chain_seals_and_bundle_valid() {
    let device = Device::new();
    let journal = story(&device);
    let mut erased = bundle(&journal, &device);
    erased.runs[0].detached.clear();
    let erased = Bundle::decode(&erased.encode().unwrap()).unwrap();
    let run = only(check(&erased));
    assert_eq!((run.report.findings.len(), run.detached), (0, 0));
    assert_eq!(run.report.sealed_upto(), 10);

    let (bank, keys) = (bank_id(), [device.key()]);
    let wanted = std::collections::BTreeSet::new();
    let mut whole = StreamCheck::new(&bank, journal.stream, Start::BEGINNING, &keys, wanted);
    for record in &journal.records {
        whole.record(record);
    }
    let report = whole.end();
    assert_eq!((report.findings.len(), report.sealed_upto(), report.compared), (0, 10, 1));

    // What stands there instead is not taken for it.
    let mut other = bundle(&journal, &device);
    other.runs[0].detached[0].part = b"somebody's".to_vec();
    assert_eq!(only(check(&other)).report.findings, [Finding::Detached { seq: 3 }]);
}

#[test]
fn a_key_is_the_banks_by_its_certificate_and_not_by_another() {
    let pki = Fixture::new();
    let ders = |path: &std::path::Path| {
        let text = std::fs::read(path).unwrap();
        let pems = x509_parser::pem::Pem::iter_from_buffer(&text);
        pems.map(|pem| pem.unwrap().contents).collect::<Vec<_>>()
    };
    let authorities = ders(&pki.pki.authority());
    let issued = pki.issued("banks/bank-1");
    let device = Device::of_pem(&std::fs::read(&issued.key).unwrap());
    let (own, other) = (ders(&issued.certificate), ders(&pki.issued("banks/bank-2").certificate));
    let (bank, key, at) = (bank_id(), device.key().hash, crate::wall_clock::now());
    assert_eq!(anchor(&authorities, &own, &bank, &key, at), Ok(()));
    let nobody = Err(AnchorError::NoCertificate { bank: bank.clone() });
    assert_eq!(anchor(&authorities, &other, &bank, &key, at), nobody);
    let bank_2 = "bank-2".parse().unwrap();
    assert!(anchor(&authorities, &own, &bank_2, &key, at).is_err());
    let foreign = ders(&Fixture::new().pki.authority());
    let strange = anchor(&foreign, &own, &bank, &key, at).unwrap_err();
    assert!(matches!(strange, AnchorError::NotIssued { .. }), "{strange}");
    let early = anchor(&authorities, &own, &bank, &key, locker_core::units::UnixMillis(0));
    assert!(matches!(early, Err(AnchorError::NotIssued { .. })), "{early:?}");
}

#[test]
fn what_is_no_evidence_file_is_refused_with_its_reason() {
    let device = Device::new();
    let file = bundle(&story(&device), &device).encode().unwrap();
    assert_eq!(Bundle::decode(b""), Err(BundleError::NotEvidence));
    assert_eq!(Bundle::decode(b"POSTERN-EVIDENC"), Err(BundleError::NotEvidence));
    assert_eq!(Bundle::decode(MAGIC), Err(BundleError::Length));
    let mut newer = file.clone();
    newer[MAGIC.len() + 1] = 2;
    assert_eq!(Bundle::decode(&newer), Err(BundleError::Newer { found: 2 }));
    for cut in 0..file.len() {
        assert!(Bundle::decode(&file[..cut]).is_err(), "{cut}");
    }
    let longer = [&file[..], &[0]].concat();
    assert_eq!(Bundle::decode(&longer), Err(BundleError::Damaged));
    let mut long_name = bundle(&story(&device), &device);
    long_name.name = "x".repeat(300);
    assert_eq!(long_name.encode(), Err(BundleError::TooMuch { what: "name", max: 256 }));
}

/// The form is frozen: these bytes must be read the same for ever.
#[test]
fn the_form_of_a_file_is_frozen() {
    let spki = "3059301306072a8648ce3d020106082a8648ce3d03010703420004\
                6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296\
                4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5";
    let spki: Vec<u8> = (0..spki.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&spki[at..at + 2], 16).unwrap())
        .collect();
    let key = crate::tls::DeviceKey::of_spki(&spki).unwrap();
    let run = Run {
        bank: bank_id(),
        stream: StreamId([0x11; 16]),
        first_seq: 258,
        previous: locker_core::journal::ChainHash([0x22; 32]),
        keys: vec![key],
        records: vec![b"one".to_vec(), b"two!".to_vec()],
        detached: vec![DetachedPart { seq: 259, salt: [0x33; 16], part: b"part".to_vec() }],
    };
    let bundle = Bundle {
        name: "carriers/acme/parcels/p-1".to_owned(),
        parcel: ParcelId([0x44; 16]),
        certificates: vec![b"cert".to_vec()],
        runs: vec![run],
    };
    let golden: Vec<u8> = [
        &b"POSTERN-EVIDENCE\x00\x01\x00\x19carriers/acme/parcels/p-1"[..],
        &[0x44; 16],
        b"\x00\x01\x00\x04cert\x00\x01\x00\x06bank-1",
        &[0x11; 16],
        b"\x00\x00\x00\x00\x00\x00\x01\x02",
        &[0x22; 32],
        b"\x00\x01",
        &spki,
        b"\x00\x00\x00\x02\x00\x03one\x00\x04two!\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01\x03",
        &[0x33; 16],
        b"\x00\x04part",
    ]
    .concat();
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &golden);
    let golden = [&golden, digest.as_ref()].concat();
    assert_eq!(VERSION, 1);
    assert_eq!(bundle.encode().unwrap(), golden);
    assert_eq!(Bundle::decode(&golden), Ok(bundle));
}

/// A file that a bank's key sealed once, kept as it was: it must hold for ever.
#[test]
fn a_file_of_the_first_version_still_holds() {
    let bundle = Bundle::decode(include_bytes!("evidence-v1.bin")).unwrap();
    let run = only(check(&bundle));
    assert_eq!((run.report.findings.len(), run.report.seals, run.story.len()), (0, 1, 7));
    assert_eq!((run.report.sealed_upto(), run.detached, bundle.parcel), (10, 1, PARCEL));
    assert!(run.story[0].at >= NOW);
}

/// The hash at the end as it must be.
fn hashed_anew(mut file: Vec<u8>) -> Vec<u8> {
    let written = file.len() - 32;
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &file[..written]);
    file[written..].copy_from_slice(digest.as_ref());
    file
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_flipped_bit_of_a_file_is_found(at in 0usize..1 << 20, bit in 0u8..8) {
        let device = Device::new();
        let mut file = bundle(&story(&device), &device).encode().unwrap();
        let place = at % file.len();
        file[place] ^= 1 << bit;
        prop_assert!(Bundle::decode(&file).is_err(), "byte {place}");
    }

    /// Also by somebody who knows how the hash at the end is made. Only what the seal's own record says beside the seal,
    /// such as its time, is signed by nobody, and so nothing is told by it.
    #[test]
    fn no_bit_of_a_record_can_be_changed_on_purpose(at in 0usize..1 << 20, bit in 0u8..8) {
        let device = Device::new();
        let mut changed = bundle(&story(&device), &device);
        let before = only(check(&changed));
        let which = at % changed.runs[0].records.len();
        let is_seal = which + 1 == changed.runs[0].records.len();
        let record = &mut changed.runs[0].records[which];
        let place = at / 16 % record.len();
        record[place] ^= 1 << bit;
        let file = hashed_anew(changed.encode().unwrap());
        let after = only(check(&Bundle::decode(&file).unwrap()));
        if !is_seal || !after.report.findings.is_empty() {
            prop_assert!(!after.report.findings.is_empty(), "record {which} byte {place}");
        } else {
            prop_assert_eq!(&after.story, &before.story);
            prop_assert_eq!(after.report.sealed, before.report.sealed);
        }
    }

    #[test]
    fn arbitrary_and_damaged_files_do_no_harm(
        bytes in prop::collection::vec(any::<u8>(), 0..600),
        at in 0usize..1 << 20,
        cut in 0usize..1 << 20,
        value: u8,
    ) {
        fuzz_bundle(&bytes);
        fuzz_bundle(&[&MAGIC[..], &VERSION.to_be_bytes(), &bytes].concat());
        let device = Device::new();
        let mut file = bundle(&story(&device), &device).encode().unwrap();
        file.truncate(file.len() - 32);
        let place = at % file.len();
        file[place] = value;
        fuzz_bundle(&file);
        fuzz_bundle(&file[..cut % file.len()]);
    }
}
