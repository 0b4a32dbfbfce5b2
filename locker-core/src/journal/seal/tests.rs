//! When seals are due, what they are checked for, and the frozen bytes that are signed and hashed.

use super::*;
use crate::clock::TimeQuality;
use crate::compartment::{CompartmentSpec, LockPosition};
use crate::credential::{Credential, CredentialState, Holder};
use crate::fact::Fact;
use crate::ids::{BootId, CompartmentNo, CredentialId, ParcelId, SessionId, Version};
use crate::journal::{CHAIN_START, Change, MemoryView};
use crate::parcel::{Parcel, ParcelState, Terms};
use crate::units::{Dimensions, Grams, UnixMillis};

const STREAM: StreamId = StreamId([0x44; 16]);
const PARCEL: ParcelId = ParcelId([0x11; 16]);
const SESSION: SessionId = SessionId([0x22; 16]);
const CREDENTIAL: CredentialId = CredentialId([0x33; 16]);

#[test]
fn a_seal_is_due_after_256_records_or_a_minute_and_never_for_itself() {
    for (head, sealed, waited_ms, due) in [
        (0, 0, 0, false),
        (1, 0, 59_999, false),
        (1, 0, 60_000, true),
        (255, 0, 0, false),
        (256, 0, 0, true),
        (300, 300, 3_600_000, false),
        (301, 300, 0, false),
        (556, 300, 0, true),
    ] {
        assert_eq!(is_due(head, sealed, waited_ms), due, "{head} {sealed} {waited_ms}");
    }
    assert!(is_due_at_connect(301, 300));
    assert!(!is_due_at_connect(300, 300));
}

#[test]
fn a_seal_is_checked_for_its_place_its_chain_its_signature_and_the_state() {
    let good = sealed();
    let signed = good.signed_bytes(STREAM);
    let verify = |message: &[u8], signature: &[u8; 64]| message == signed && *signature == [7; 64];
    let checked = |seq, sealed: &Sealed, state| {
        let record = Record { seq, fact: Fact::Sealed(*sealed), ..record() };
        check(&record, sealed, state, verify)
    };
    let ours = Some((5, [9; 32]));
    assert_eq!(checked(12, &good, ours), Ok(StateCheck::Same));
    assert_eq!(checked(12, &good, None), Ok(StateCheck::NotCompared));
    assert_eq!(checked(12, &good, Some((4, [8; 32]))), Ok(StateCheck::NotCompared));
    assert_eq!(checked(12, &good, Some((5, [8; 32]))), Err(SealError::State { seq: 12 }));
    assert_eq!(checked(13, &good, ours), Err(SealError::Place { seq: 13, upto: 11 }));
    let last = Sealed { upto: u64::MAX, ..good };
    assert_eq!(checked(0, &last, ours), Err(SealError::Place { seq: 0, upto: u64::MAX }));
    let other = Sealed { hash: CHAIN_START, ..good };
    assert_eq!(checked(12, &other, ours), Err(SealError::Chain { seq: 12 }));
    let signature = SealError::Signature { seq: 12 };
    for altered in [
        Sealed { signature: [8; 64], ..good },
        Sealed { projection: [8; 32], ..good },
        Sealed { fold_version: 6, ..good },
    ] {
        assert_eq!(checked(12, &altered, ours), Err(signature));
    }
    let elsewhere = Record { stream: StreamId([0x45; 16]), ..record() };
    assert_eq!(check(&elsewhere, &good, ours, verify), Err(signature));
}

#[test]
fn the_signed_bytes_are_frozen() {
    let text = [
        "706f737465726e2d7365616c2d763100",
        "44444444444444444444444444444444",
        "000000000000000b",
        "7777777777777777777777777777777777777777777777777777777777777777",
        "00000005",
        "0909090909090909090909090909090909090909090909090909090909090909",
    ];
    assert_eq!(hex(&sealed().signed_bytes(STREAM)), text.concat());
}

#[test]
fn a_projection_is_frozen_and_tells_every_facet_apart() {
    let frozen = "1391e34ad7fdefa623dbeadbac3dd142b8812d100cc8ec858fdc9faa2381e4aa";
    let base = view(compartment());
    assert_eq!(hex(&projection(&base)), frozen);
    let mut seen = vec![projection(&MemoryView::default()), projection(&base)];
    let mut differs = |view: &MemoryView| {
        let next = projection(view);
        assert!(!seen.contains(&next), "{view:?}");
        seen.push(next);
    };
    let held = compartment();
    let parcel = PARCEL;
    for allocation in [
        Allocation::Free,
        Allocation::Reserved { parcel },
        Allocation::Depositing { session: SESSION, parcel },
        Allocation::Collecting { session: SESSION, parcel },
        Allocation::Recalling { session: SESSION, parcel },
        Allocation::Occupied { parcel: ParcelId([0x12; 16]) },
        Allocation::Quarantined { reason: QuarantineReason::Interrupted, parcel: None },
        Allocation::Quarantined { reason: QuarantineReason::HistoryLost, parcel: Some(parcel) },
    ] {
        differs(&view(Compartment { allocation, ..held }));
    }
    for door in [Door::Unknown, Door::Open, Door::ForcedOpen] {
        differs(&view(Compartment { door, ..held }));
    }
    for content in [
        Content::Unknown,
        Content::Empty(Evidence::Attested),
        Content::Full(Evidence::DoorCycle),
        Content::Full(Evidence::Inspected),
    ] {
        differs(&view(Compartment { content, ..held }));
    }
    for health in [Health::OpenFailed, Health::Unreachable, Health::Stopped] {
        differs(&view(Compartment { health, ..held }));
    }
    let no = CompartmentNo(301);
    differs(&view(Compartment { spec: CompartmentSpec { no, ..held.spec }, ..held }));
    let mut newer = base.clone();
    newer.apply(vec![Change::Credential(Credential { version: Version(4), ..credential() })]);
    differs(&newer);
    let mut changed = base.clone();
    changed.apply(vec![Change::Parcel(Parcel { version: Version(5), ..known() })]);
    differs(&changed);
    // What is not of the four facets, the parcel or its code makes no difference.
    let again = Compartment { pulsed_at: Some(UnixMillis(1)), sensor_doubt: true, ..held };
    assert_eq!(projection(&view(again)), projection(&base));
}

fn sealed() -> Sealed {
    Sealed {
        upto: 11,
        hash: ChainHash([0x77; 32]),
        fold_version: 5,
        projection: [9; 32],
        signature: [7; 64],
    }
}

fn record() -> Record {
    Record {
        stream: STREAM,
        seq: 12,
        boot: BootId([1; 16]),
        at: UnixMillis(1),
        quality: TimeQuality::Unknown,
        previous: ChainHash([0x77; 32]),
        trace: None,
        detached: None,
        fact: Fact::Sealed(sealed()),
    }
}

fn view(held: Compartment) -> MemoryView {
    let mut view = MemoryView::default();
    let credential = Change::Credential(credential());
    view.apply(vec![Change::Compartment(held), Change::Parcel(known()), credential]);
    view
}

fn compartment() -> Compartment {
    let inside = Dimensions { length_mm: 400, width_mm: 300, height_mm: 200 };
    let lock = LockPosition { board: 2, lock: 47 };
    Compartment {
        allocation: Allocation::Occupied { parcel: PARCEL },
        door: Door::Closed,
        content: Content::Full(Evidence::Attested),
        ..Compartment::commissioned(CompartmentSpec { no: CompartmentNo(300), inside, lock })
    }
}

fn known() -> Parcel {
    Parcel {
        id: PARCEL,
        carrier: "acme".parse().unwrap(),
        barcode: "JD0146/0001".parse().unwrap(),
        size: Dimensions { length_mm: 1, width_mm: 1, height_mm: 1 },
        weight: Grams(1),
        version: Version(2),
        credential: CREDENTIAL,
        trace: None,
        terms: Terms::default(),
        recall: None,
        misfit_mm3: 0,
        state: ParcelState::Booked,
    }
}

fn credential() -> Credential {
    Credential {
        id: CREDENTIAL,
        parcel: PARCEL,
        version: Version(3),
        holder: Holder::Recipient,
        state: CredentialState::Active,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
