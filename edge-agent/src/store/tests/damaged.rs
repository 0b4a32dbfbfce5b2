//! A journal that is damaged in its middle: what a new stream begins with, after a person's decision.

use locker_core::bank::{
    DepositConfirmed, DepositStarted, PickupEnd, PickupSettled, PickupStarted,
};
use locker_core::credential::CredentialState;
use locker_core::ids::{CompartmentNo, CredentialId, SessionId};
use locker_core::journal::Parent;

use super::facts::code;
use super::lost::{commit_a_run, snapshot};
use super::restored::Told;
use super::succeeded::{FRESH, goes_on, in_doubt};
use super::*;

/// A parcel that [`snapshot`] does not book.
const FAR: u16 = 5_000;
const SESSION: SessionId = SessionId([3; 16]);
const NO: CompartmentNo = CompartmentNo(1);

fn brought(n: u16) -> [Fact; 2] {
    let (session, parcel, compartment) = (SESSION, parcel_id(n), NO);
    let tried = Vec::new();
    let confirmed = DepositConfirmed { session, parcel, compartment, presumed: false, code: None };
    [
        Fact::DepositStarted(DepositStarted { session, parcel, compartment, tried }),
        Fact::DepositConfirmed(confirmed),
    ]
}

fn fetched(n: u16) -> [Fact; 2] {
    let (session, parcel, compartment) = (SESSION, parcel_id(n), NO);
    let (credential, lock_failed) = (code(n), false);
    let end = PickupEnd::Collected { presumed: false };
    [
        Fact::PickupStarted(PickupStarted { session, parcel, compartment, credential }),
        Fact::PickupSettled(PickupSettled { session, parcel, compartment, end, lock_failed }),
    ]
}

/// A bank in which a parcel was brought.
fn bank_with(n: u16) -> Store {
    let [started, confirmed] = brought(n);
    Store::with(&[layout(1), booked(n, 1), started, confirmed])
}

/// Changes a byte of record `seq`, wherever it stands.
fn damage(store: &Store, told: &Told, seq: usize) -> PathBuf {
    let record = &told.0[seq - 1];
    for entry in fs::read_dir(store.path("journal")).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = fs::read(&path).unwrap();
        let found = bytes.windows(record.len()).position(|window| window == &record[..]);
        if let Some(at) = found {
            bytes[at + 10] ^= 0xff;
            fs::write(&path, bytes).unwrap();
            return path;
        }
    }
    panic!("record {seq} is nowhere");
}

fn without_sled(store: &Store) {
    sled_let_go(&store.path("sled"));
    fs::remove_dir_all(store.path("sled")).unwrap();
}

fn anew(store: &Store) -> Result<Parent, BeginAnewError> {
    sled_let_go(&store.path("sled"));
    let keeper = Keeper {
        bank: bank(),
        device_key: [1; 32],
        boot: BootId([9; 16]),
        fresh_stream: FRESH,
        agent_version: "1.2.3".to_owned(),
    };
    begin_anew(store.dir.path(), LIMITS, &keeper, stamp(9))
}

/// The bank after the decision: it goes on from `common`, with all in doubt.
fn begun(store: &mut Store, told: &Told, common: u64) -> Ledger {
    let parent = anew(store).unwrap();
    let common = (common > 0).then(|| Place { seq: common, hash: told.hash_at(common) });
    let reason = Some(StreamBreak::Damaged);
    assert_eq!(parent, Parent { stream: STREAM, common, reason });
    let (ledger, found) = store.open();
    assert_eq!((found.stream, found.healed), (FRESH, None));
    goes_on(store, &ledger, parent);
    assert_eq!(in_doubt(ledger.view()), [1, 2, 3]);
    ledger
}

fn state_of(ledger: &Ledger, credential: CredentialId) -> Option<CredentialState> {
    ledger.view().credential(credential).map(|held| held.state)
}

#[test]
fn p_f_a_damaged_middle_stops_the_bank_until_a_person_begins_anew() {
    let mut store = Store::with(&[layout(1), booked(1, 1), booked(2, 1)]);
    let (ledger, _) = store.open();
    let told = Told::of(&ledger);
    drop(ledger);
    assert!(matches!(anew(&store), Err(BeginAnewError::NotDamaged { .. })));
    // Others that were acknowledged stand behind it.
    let segment = damage(&store, &told, 4);
    let bytes = fs::read(&segment).unwrap();
    let error = store.try_open().map(drop).unwrap_err();
    assert!(in_words(&error).contains("is damaged"), "{}", in_words(&error));
    assert_eq!(fs::read(&segment).unwrap(), bytes, "nothing was changed");

    let ledger = begun(&mut store, &told, 3);
    // sled knew more than the journal could still tell.
    assert_eq!(ledger.view().parcels().len(), 2);
    let aside = store.path("journal.broken-1").join(segment.file_name().unwrap());
    assert_eq!(fs::read(aside).unwrap(), bytes, "the damaged one is kept");
}

#[test]
fn p_f_without_anything_left_of_the_state_no_stream_is_begun() {
    let mut store = Store::with(&[layout(1), booked(1, 1), booked(2, 1)]);
    let told = Told::of(&store.open().0);
    without_sled(&store);
    damage(&store, &told, 1);
    let error = anew(&store).unwrap_err();
    assert!(in_words(&error).contains("nothing is left"), "{}", in_words(&error));
    assert!(!store.path("journal.broken-1").exists());
}

#[test]
fn p_f_without_sled_or_snapshot_the_records_before_the_damage_count() {
    let mut store = bank_with(1);
    let (mut ledger, _) = store.open();
    commit_each(&mut ledger, &fetched(1));
    let used = ledger.head().0;
    commit_each(&mut ledger, &[booked(2, 1), booked(3, 1)]);
    let told = Told::of(&ledger);
    drop(ledger);
    without_sled(&store);
    damage(&store, &told, 10);
    let ledger = begun(&mut store, &told, used);
    assert_eq!(state_of(&ledger, code(1)), Some(CredentialState::Consumed));
    assert_eq!(ledger.view().parcels().len(), 1, "what was damaged is lost");
}

#[test]
fn p_f_a_stream_that_is_damaged_before_it_had_taken_all_over_is_not_gone_on_from() {
    let mut store = bank_with(1);
    let (mut ledger, _) = store.open();
    commit_each(&mut ledger, &[booked(2, 1), booked(3, 1)]);
    let told = Told::of(&ledger);
    drop(ledger);
    damage(&store, &told, 8);
    let ledger = begun(&mut store, &told, 7);
    let told = Told::of(&ledger);
    drop(ledger);
    without_sled(&store);
    // What it took over; its own first record can be read, and says nothing of the state.
    damage(&store, &told, 2);
    assert!(matches!(anew(&store), Err(BeginAnewError::NothingLeft { .. })));
}

/// A bank that has a snapshot, then `behind`, then a run of records, and no sled.
fn snapshot_and(store: &mut Store, behind: &[Fact], prune: bool) -> (u64, Told) {
    let (mut ledger, _) = store.open();
    let mut seq = snapshot(&mut ledger);
    if prune {
        // The older one is what records are pruned up to.
        seq = snapshot(&mut ledger);
    }
    commit_each(&mut ledger, behind);
    for _ in 0..4 {
        commit_a_run(&mut ledger);
    }
    let told = Told::of(&ledger);
    if prune {
        ledger.prune(u64::MAX).unwrap();
        assert!(ledger.history.journal.oldest_seq() > 1);
    }
    drop(ledger);
    without_sled(store);
    (seq, told)
}

#[test]
fn p_f_a_code_used_up_between_snapshot_and_damage_stays_used_up() {
    for prune in [false, true] {
        let mut store = bank_with(FAR);
        let (seq, told) = snapshot_and(&mut store, &fetched(FAR), prune);
        let used = usize::try_from(seq).unwrap() + 2;
        // The first of the run behind.
        damage(&store, &told, used + 1);
        let ledger = begun(&mut store, &told, seq + 2);
        assert_eq!(state_of(&ledger, code(FAR)), Some(CredentialState::Consumed));
    }
}

#[test]
fn p_f_a_snapshot_above_the_damage_counts_with_the_records_behind_it() {
    let mut store = bank_with(FAR);
    let (_, told) = snapshot_and(&mut store, &fetched(FAR), false);
    damage(&store, &told, 3);
    let error = store.try_open().map(drop).unwrap_err();
    assert!(in_words(&error).contains("is damaged"), "{}", in_words(&error));
    without_sled(&store);
    let ledger = begun(&mut store, &told, 2);
    assert_eq!(state_of(&ledger, code(FAR)), Some(CredentialState::Consumed));
}

#[test]
fn p_f_a_snapshot_whose_place_in_the_journal_is_damaged_is_kept_and_counts() {
    for prune in [false, true] {
        let mut store = bank_with(FAR);
        let (mut ledger, _) = store.open();
        commit_each(&mut ledger, &fetched(FAR));
        for _ in 0..15 {
            commit_a_run(&mut ledger);
        }
        // Few at a time, so that the snapshot's place is inside a segment.
        let few: Vec<Fact> = (0..16).map(|n| booked(n, 3)).collect();
        while !ledger.snapshot_if_due().unwrap() {
            ledger.commit(&few, None, stamp(9)).unwrap();
        }
        let seq = usize::try_from(ledger.head().0).unwrap();
        ledger.commit(&few, None, stamp(9)).unwrap();
        commit_a_run(&mut ledger);
        let told = Told::of(&ledger);
        if prune {
            ledger.prune(u64::MAX).unwrap();
        }
        drop(ledger);
        without_sled(&store);
        damage(&store, &told, seq - 20);
        let error = store.try_open().map(drop).unwrap_err();
        let OpenLedgerError::Rebuild(RebuildError::Read(error)) = error else { panic!("{error}") };
        assert!(matches!(error, journal::ReadError::Damaged { .. }), "{error}");
        assert!(!store.path("snapshot.other").exists(), "it is of this history");
        let parent = anew(&store).unwrap();
        assert_eq!(parent.common.map(|common| common.seq), Some(seq as u64 - 21));
        let (ledger, _) = store.open();
        assert_eq!(state_of(&ledger, code(FAR)), Some(CredentialState::Consumed));
    }
}

#[test]
fn p_f_a_sled_that_lags_is_brought_on_up_to_the_damage() {
    let mut store = bank_with(1);
    sled_let_go(&store.path("sled"));
    copy(&store.path("sled"), &store.path("copy"));
    let (mut ledger, _) = store.open();
    commit_each(&mut ledger, &fetched(1));
    let used = ledger.head().0;
    commit_each(&mut ledger, &[booked(2, 1), booked(3, 1)]);
    let told = Told::of(&ledger);
    drop(ledger);
    without_sled(&store);
    fs::rename(store.path("copy"), store.path("sled")).unwrap();
    damage(&store, &told, 10);
    let ledger = begun(&mut store, &told, used);
    assert_eq!(state_of(&ledger, code(1)), Some(CredentialState::Consumed));
}

#[test]
fn p_f_a_sled_that_is_not_believed_is_not_gone_on_from() {
    for is_doubted in [false, true] {
        let mut store = Store::with(&[layout(1), booked(1, 1), booked(2, 1), booked(3, 1)]);
        let (ledger, _) = store.open();
        let told = Told::of(&ledger);
        drop(ledger);
        if is_doubted {
            doubt(store.dir.path());
        } else {
            // It has another record at a place that can be read.
            let other = Store::with(&[layout(2)]);
            sled_let_go(&other.path("sled"));
            without_sled(&store);
            copy(&other.path("sled"), &store.path("sled"));
        }
        damage(&store, &told, 5);
        let ledger = begun(&mut store, &told, 4);
        assert_eq!(ledger.view().parcels().len(), 1, "as far as the journal tells");
    }
}
