//! An update changes the rules of folding: a bank folds anew if it can, and goes on with what it has if not.

use locker_core::journal::seal::{self, StateCheck};
use locker_core::journal::{FOLD_VERSION, FoldedBy};
use locker_core::parcel::Parcel;
use locker_proto::entity::{Snapshot, decode_snapshot, encode_snapshot};

use super::attest::{holds, test_key};
use super::lost::{commit_a_run, snapshot};
use super::*;

const OLDER: u32 = FOLD_VERSION - 1;

/// The bank as an agent left it that folds by `rules`.
fn left_by(store: &Store, rules: u32) {
    let (disk, dir) = (Disk, store.dir.path());
    for found in journal::load_snapshots_on(&disk, dir).unwrap().snapshots {
        let content = decode_snapshot(&found.bytes).unwrap();
        let bytes = encode_snapshot(&Snapshot { fold_version: rules, ..content }).unwrap();
        journal::write_snapshot_on(&disk, dir, found.seq, &found.chain_hash, &bytes).unwrap();
    }
    sled_let_go(&store.path("sled"));
    let db = sled::open(store.path("sled")).unwrap();
    let mut place = db.get("a").unwrap().unwrap().to_vec();
    place[2..6].copy_from_slice(&rules.to_be_bytes());
    db.insert("a", place).unwrap();
    db.flush().unwrap();
}

/// A bank that has a snapshot and records behind it, and all below the snapshot pruned or not.
fn bank_of(rules: u32, pruned: bool) -> (Store, Vec<Parcel>) {
    let mut store = Store::with(&[layout(1)]);
    let (mut ledger, _) = store.open();
    for _ in 0..2 {
        snapshot(&mut ledger);
    }
    commit_a_run(&mut ledger);
    if pruned {
        ledger.prune(u64::MAX).unwrap();
        assert!(ledger.history.journal.oldest_seq() > 1);
    }
    let parcels = ledger.view().parcels();
    drop(ledger);
    left_by(&store, rules);
    (store, parcels)
}

#[test]
fn f02_an_update_to_other_rules_folds_all_anew_where_all_records_are_there() {
    let (mut store, _) = bank_of(OLDER, false);
    let (mut ledger, opened) = store.open();
    assert!(opened.rebuilt.unwrap().contains(&format!("fold version {OLDER}")));
    assert_eq!(opened.replayed, ledger.head().0 - 1, "from the first record");
    assert_eq!(ledger.fold.folded_by(), FoldedBy::THESE);
    same(ledger.view(), &folded(&ledger));
    // What older rules exported lets no record go.
    ledger.prune(u64::MAX).unwrap();
    assert_eq!(ledger.history.journal.oldest_seq(), 1);
    for _ in 0..2 {
        snapshot(&mut ledger);
    }
    ledger.prune(u64::MAX).unwrap();
    assert!(ledger.history.journal.oldest_seq() > 1);
}

#[test]
fn f02_an_update_to_other_rules_starts_a_bank_whose_first_records_are_pruned() {
    let (mut store, parcels) = bank_of(OLDER, true);
    let (mut ledger, opened) = store.open();
    assert!(opened.rebuilt.unwrap().contains(&format!("fold version {OLDER}")));
    assert_eq!(ledger.view().parcels(), parcels);
    let mixed = FoldedBy::from_number(OLDER).and_these();
    assert_eq!(ledger.fold.folded_by(), mixed);
    commit_each(&mut ledger, &[booked(1, 3)]);

    // Whoever folds all of it by these rules may come to another state: the seal is no word against either.
    let key = test_key(1);
    let public = key.public();
    ledger.attest(Box::new(key), None, stamp(2)).unwrap();
    let sealed = ledger.seal().unwrap();
    commit_each(&mut ledger, &[sealed]);
    let stored = ledger.reader().read(ledger.head().0, 1, usize::MAX).unwrap();
    let record = decode_record(&stored[0].record).unwrap();
    let Fact::Sealed(sealed) = &record.fact else { panic!("{record:?}") };
    let verify = |message: &[u8], signature: &[u8; 64]| holds(&public, message, signature);
    let checked = seal::check(&record, sealed, Some((FOLD_VERSION, [0; 32])), verify);
    assert_eq!(checked, Ok(StateCheck::NotCompared));

    // It is a bank like any other from here on, and remembers.
    assert!(ledger.snapshot_if_due().unwrap(), "by these rules, and at once");
    snapshot(&mut ledger);
    commit_a_run(&mut ledger);
    ledger.prune(u64::MAX).unwrap();
    let parcels = ledger.view().parcels();
    drop(ledger);
    for lost in [false, true] {
        if lost {
            sled_let_go(&store.path("sled"));
            fs::remove_dir_all(store.path("sled")).unwrap();
        }
        let (ledger, opened) = store.open();
        assert_eq!(opened.rebuilt.is_some(), lost);
        assert_eq!((ledger.view().parcels(), ledger.fold.folded_by()), (parcels.clone(), mixed));
    }
}

#[test]
fn f02_a_bank_that_is_updated_and_told_to_begin_a_new_stream_does_so() {
    let (mut store, parcels) = bank_of(OLDER, true);
    {
        let home = Home { medium: &(Arc::new(Disk) as _), dir: store.dir.path(), limits: LIMITS };
        let order = successor::Order { reason: StreamBreak::Forked, common: None };
        successor::write_order(&home, STREAM, order).unwrap();
    }
    store.stream = StreamId([77; 16]);
    let (ledger, found) = store.open();
    assert_eq!(found.healed, Some(Healed::Succeeded { parent: STREAM, common: None }));
    assert_eq!(ledger.view().parcels().len(), parcels.len());
    // What begins with a state that is written out is folded by these rules alone.
    assert_eq!(ledger.fold.folded_by(), FoldedBy::THESE);
    same(ledger.view(), &folded(&ledger));
}

#[test]
fn f02_an_agent_that_is_too_old_for_the_state_says_so_and_changes_nothing() {
    let (mut store, _) = bank_of(FOLD_VERSION + 1, true);
    for _ in 0..2 {
        let error = store.try_open().map(drop).unwrap_err();
        let said = in_words(&error);
        assert!(said.contains("install the newer agent again"), "{said}");
        assert!(!store.path("sled.broken-1").exists());
    }
}
