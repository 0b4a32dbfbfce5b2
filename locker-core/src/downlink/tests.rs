//! Positions, epochs and generations: what a bank takes as new. What a grant does to a parcel is
//! told by the scripts in `bank::tests`.

use super::*;
use crate::clock::TimeQuality;
use crate::code::keypad_code::CourierCodes;
use crate::compartment::{CompartmentSpec, Layout, LockPosition};
use crate::credential::{CommandKey, CredentialKey, KeySet, RootKey};
use crate::ids::{BootId, Generation, StreamId};
use crate::journal::{CHAIN_START, MemoryView, Record, fold};

const ROOT: RootKey = RootKey([1; 32]);

#[test]
fn a_later_epoch_wins_over_any_number() {
    let mut view = MemoryView::default();
    let fact = the_one(apply_grant(&view, at(1, 50), &book(1)));
    take(&mut view, fact);
    assert_eq!(apply_grant(&view, at(1, 50), &book(2)), []);
    assert_eq!(apply_grant(&view, at(1, 49), &book(2)), []);
    assert_eq!(apply_grant(&view, at(0, 99), &book(2)), []);
    let fact = the_one(apply_grant(&view, at(2, 1), &book(2)));
    take(&mut view, fact);
    assert_eq!(view.meta().grants, at(2, 1));
    assert_eq!(apply_grant(&view, at(1, 51), &book(3)), [], "an epoch that is over");
}

#[test]
fn r11_a_refused_grant_is_answered_and_counts_as_answered() {
    let mut view = MemoryView::default();
    let cancel = Grant::Cancel { parcel: ParcelId([9; 16]), version: Version(1) };
    let fact = the_one(apply_grant(&view, at(1, 1), &cancel));
    let reason = GrantRefusal::UnknownParcel;
    let parcel = ParcelId([9; 16]);
    assert_eq!(
        fact,
        Fact::GrantRefused(GrantRefused { position: at(1, 1), parcel: Some(parcel), reason })
    );
    take(&mut view, fact);
    assert_eq!(apply_grant(&view, at(1, 1), &cancel), []);
}

#[test]
fn a_document_is_taken_once_and_never_an_older_one() {
    let mut view = MemoryView::default();
    let first = apply_layout(&view, HubEpoch(1), &layout(3)).unwrap();
    take(&mut view, first);
    assert_eq!(apply_layout(&view, HubEpoch(1), &layout(3)), None);
    assert_eq!(apply_layout(&view, HubEpoch(1), &layout(2)), None);
    assert!(matches!(apply_layout(&view, HubEpoch(1), &layout(4)), Some(Fact::ConfigAccepted(_))));

    let first = apply_key_set(&view, &keys(2, 1), &[ROOT]).unwrap();
    take(&mut view, first);
    assert_eq!(apply_key_set(&view, &keys(2, 1), &[ROOT]), None);
    assert_eq!(apply_key_set(&view, &keys(1, 2), &[ROOT]), None);
    for unsound in [0, 5] {
        let said = apply_key_set(&view, &keys(3, unsound), &[ROOT]);
        assert!(matches!(said, Some(Fact::ConfigRefused(_))), "{said:?}");
    }
    let next = apply_key_set(&view, &keys(3, 4), &[ROOT]).unwrap();
    take(&mut view, next);
    assert_eq!(view.meta().keys, keys(3, 4));
}

#[test]
fn c10_the_set_of_a_root_that_is_believed_no_more_gives_way_to_any_of_one_that_is() {
    let (stolen, ours) = (RootKey([6; 32]), RootKey([7; 32]));
    let by = |root, generation| KeySet { root, ..keys(generation, 1) };
    let mut view = MemoryView::default();
    let fact = apply_key_set(&view, &by(Some(stolen), u64::MAX), &[stolen]).unwrap();
    take(&mut view, fact);
    assert!(
        view.meta().keys.is_signed_by(&[ours, stolen]) && !view.meta().keys.is_signed_by(&[ours])
    );

    // While both are believed the number counts; afterwards it does not, and the thief is not heard.
    assert_eq!(apply_key_set(&view, &by(Some(ours), 2), &[stolen, ours]), None);
    assert_eq!(apply_key_set(&view, &by(Some(stolen), u64::MAX), &[ours]), None);
    assert_eq!(apply_key_set(&view, &by(None, u64::MAX), &[ours]), None);
    let fact = apply_key_set(&view, &by(Some(ours), 2), &[ours]).unwrap();
    take(&mut view, fact);
    assert_eq!(view.meta().keys, by(Some(ours), 2));
    assert_eq!(apply_key_set(&view, &by(Some(ours), 2), &[ours]), None);
    assert_eq!(apply_key_set(&view, &by(Some(ours), 1), &[ours]), None);

    // Taken over before roots were recorded: whose it is, nobody knows.
    let old = Fact::ConfigAccepted(ConfigDocument::KeySet(by(None, 9)).into());
    take(&mut view, old);
    assert!(matches!(
        apply_key_set(&view, &by(Some(ours), 2), &[ours]),
        Some(Fact::ConfigAccepted(_))
    ));
}

#[test]
fn a_bank_tells_the_lowest_epoch_of_what_it_holds() {
    let mut view = MemoryView::default();
    assert_eq!(config_epoch(&view), HubEpoch(0), "nothing held");
    let fact = apply_layout(&view, HubEpoch(3), &layout(1)).unwrap();
    take(&mut view, fact);
    assert_eq!(config_epoch(&view), HubEpoch(3));
    let codes = CourierCodes { generation: Generation(1), codes: Vec::new() };
    let fact = apply_courier_codes(&view, HubEpoch(2), &codes).unwrap();
    take(&mut view, fact);
    let fact = apply_key_set(&view, &keys(1, 1), &[ROOT]).unwrap();
    take(&mut view, fact);
    assert_eq!(config_epoch(&view), HubEpoch(2), "the keys have none");
    // Taken over before documents came in epochs.
    take(&mut view, Fact::ConfigAccepted(ConfigDocument::Mode(mode(4)).into()));
    assert_eq!(config_epoch(&view), HubEpoch(0));
    assert_eq!(apply_mode(&view, HubEpoch(0), mode(4)), None);
    let fact = apply_mode(&view, HubEpoch(3), mode(1)).unwrap();
    take(&mut view, fact);
    assert_eq!((config_epoch(&view), view.meta().mode), (HubEpoch(2), mode(1)));
}

fn the_one(facts: Vec<Fact>) -> Fact {
    let [fact] = facts.try_into().unwrap();
    fact
}

fn take(view: &mut MemoryView, fact: Fact) {
    let record = Record {
        stream: StreamId([1; 16]),
        seq: 1,
        boot: BootId([1; 16]),
        at: UnixMillis(0),
        quality: TimeQuality::Unknown,
        previous: CHAIN_START,
        trace: None,
        detached: None,
        fact,
    };
    let changes = fold(view, &record);
    view.apply(changes);
}

const fn at(epoch: u64, gseq: u64) -> GrantPosition {
    GrantPosition { epoch: HubEpoch(epoch), gseq }
}

fn book(n: u8) -> Grant {
    Grant::Book(Booking {
        parcel: ParcelId([n; 16]),
        version: Version(1),
        carrier: "acme".parse().unwrap(),
        barcode: format!("PKG{n}").parse().unwrap(),
        size: Dimensions { length_mm: 1, width_mm: 1, height_mm: 1 },
        weight: Grams(1),
        credential: CredentialId([n; 16]),
        trace: None,
        terms: Terms::default(),
    })
}

fn layout(generation: u64) -> Layout {
    let inside = Dimensions { length_mm: 1, width_mm: 1, height_mm: 1 };
    let lock = LockPosition { board: 0, lock: 0 };
    let spec = CompartmentSpec { no: CompartmentNo(1), inside, lock };
    Layout { generation: Generation(generation), compartments: vec![spec] }
}

const fn mode(generation: u64) -> Mode {
    Mode { generation: Generation(generation), maintenance: false }
}

fn keys(generation: u64, count: u8) -> KeySet {
    let keys = (0..count).map(|kid| CredentialKey { kid, public: [kid; 32] }).collect();
    let command = vec![CommandKey { kid: 1, public: [9; 32] }];
    KeySet { generation: Generation(generation), keys, command, root: Some(ROOT) }
}
