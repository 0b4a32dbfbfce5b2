//! sled is lost, damaged, too old, too new, or not ours at all: the journal makes it again.

use std::panic::{AssertUnwindSafe, catch_unwind};

use locker_core::journal::Change;

use super::*;

fn world() -> [Fact; 4] {
    [layout(1), booked(1, 1), booked(2, 1), cancelled(2, 2)]
}

fn rebuilt(store: &mut Store) -> String {
    let (ledger, opened) = store.open();
    same(ledger.view(), &folded(&ledger));
    opened.rebuilt.expect("sled was made again")
}

#[test]
fn sled_that_is_gone_is_made_again_from_the_journal() {
    let mut store = Store::with(&world());
    fs::remove_dir_all(store.path("sled")).unwrap();
    let (ledger, opened) = store.open();
    assert_eq!(opened.replayed, 6, "the two records of the start and the world");
    same(ledger.view(), &folded(&ledger));
}

#[test]
fn p_i_a_sled_that_lost_its_last_writes_is_brought_up_to_the_journal() {
    let mut store = Store::with(&world()[..2]);
    copy(&store.path("sled"), &store.path("copy"));
    let (mut ledger, _) = store.open();
    commit_each(&mut ledger, &world()[2..]);
    drop(ledger);
    fs::remove_dir_all(store.path("sled")).unwrap();
    fs::rename(store.path("copy"), store.path("sled")).unwrap();
    let (ledger, opened) = store.open();
    assert_eq!((opened.replayed, opened.rebuilt), (3, None));
    same(ledger.view(), &folded(&ledger));
}

#[test]
fn a_sled_ahead_of_an_older_copy_of_the_journal_is_not_believed() {
    let mut store = Store::with(&world()[..2]);
    copy(&store.path("journal"), &store.path("copy"));
    let (mut ledger, _) = store.open();
    commit_each(&mut ledger, &world()[2..]);
    drop(ledger);
    fs::remove_dir_all(store.path("journal")).unwrap();
    fs::rename(store.path("copy"), store.path("journal")).unwrap();
    assert_eq!(rebuilt(&mut store), "sled is ahead of the journal");
}

#[test]
fn a_sled_of_another_stream_is_not_believed() {
    let mut store = Store::with(&world());
    let mut other = Store::of(StreamId([8; 16]));
    drop(other.open());
    fs::remove_dir_all(store.path("sled")).unwrap();
    copy(&other.path("sled"), &store.path("sled"));
    assert_eq!(rebuilt(&mut store), "sled is of another stream");
}

#[test]
fn a_sled_of_another_history_of_the_same_stream_is_not_believed() {
    let mut store = Store::with(&world());
    let other = Store::with(&[layout(1), booked(3, 1)]);
    fs::remove_dir_all(store.path("sled")).unwrap();
    copy(&other.path("sled"), &store.path("sled"));
    assert_eq!(rebuilt(&mut store), "sled disagrees with the journal");
}

#[test]
fn f02_a_sled_of_another_format_or_other_rules_is_made_again() {
    for (at, value, said) in [
        (1, 9, "store format 9"),
        // As the first agents wrote it.
        (1, 2, "store format 2"),
        (5, 1, "fold version 1"),
        (5, 99, "fold version 99"),
    ] {
        let mut store = Store::with(&world());
        {
            sled_let_go(&store.path("sled"));
            let db = sled::open(store.path("sled")).unwrap();
            let mut place = db.get("a").unwrap().unwrap().to_vec();
            place[at] = value;
            db.insert("a", place).unwrap();
            db.flush().unwrap();
        }
        let why = rebuilt(&mut store);
        assert!(why.contains(said), "{why}");
    }
}

/// sled may answer damage with an error or with a panic; in the agent a panic ends the process,
/// and its hook calls [`doubt`] first.
#[test]
fn garbage_in_the_files_of_sled_costs_at_most_one_start() {
    for seed in 1..=16_u8 {
        let mut store = Store::with(&world());
        sled_let_go(&store.path("sled"));
        for entry in walk(&store.path("sled")) {
            let mut bytes = fs::read(&entry).unwrap();
            bytes.resize(bytes.len().max(64), 0);
            let mut noise = u32::from(seed);
            // All of it, or a byte here and there.
            let each = if seed % 2 == 0 { 1 } else { 7 * usize::from(seed) };
            for byte in bytes.iter_mut().step_by(each) {
                noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                *byte = noise.to_be_bytes()[0];
            }
            fs::write(&entry, bytes).unwrap();
        }
        let opened = catch_unwind(AssertUnwindSafe(|| store.try_open().map(drop)));
        if !matches!(opened, Ok(Ok(()))) {
            assert!(!matches!(opened, Ok(Err(_))) || is_in_doubt(store.dir.path()), "{opened:?}");
            doubt(store.dir.path());
            assert!(rebuilt(&mut store).contains("in doubt"));
        }
        let (ledger, opened) = store.open();
        assert_eq!(opened.rebuilt, None);
        same(ledger.view(), &folded(&ledger));
    }
}

fn walk(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

#[test]
fn a_parcel_that_sled_cannot_read_is_noticed_at_a_start_which_heals_it() {
    let mut store = Store::with(&world());
    {
        sled_let_go(&store.path("sled"));
        let db = sled::open(store.path("sled")).unwrap();
        db.insert([&b"p"[..], &parcel_id(1).0].concat(), &[0xFF, 0xFF]).unwrap();
        db.flush().unwrap();
    }
    // A start reads all parcels, and notices.
    assert!(rebuilt(&mut store).contains("a parcel in sled cannot be read"));
}

#[test]
fn a_read_that_failed_is_final_even_if_nothing_was_to_be_committed() {
    let mut store = Store::with(&world());
    let (mut ledger, _) = store.open();
    ledger.fold.spoil(&[&b"p"[..], &parcel_id(1).0].concat());
    assert!(ledger.view().parcel(parcel_id(1)).is_none());
    let error = ledger.check_reads().unwrap_err();
    assert!(matches!(error, CommitError::Fold { .. }) && error.is_final());

    assert!(ledger.view().parcel(parcel_id(1)).is_none());
    let head = ledger.head();
    assert!(ledger.commit(&[booked(3, 1)], None, stamp(9)).unwrap_err().is_final());
    assert_eq!(ledger.head(), head, "nothing is decided on what could not be read");
    drop(ledger);
    assert!(rebuilt(&mut store).contains("in doubt"));
}

#[test]
fn two_stores_that_were_moved_aside_are_kept() {
    let mut store = Store::with(&world());
    for _ in 0..4 {
        doubt(store.dir.path());
        rebuilt(&mut store);
    }
    assert_eq!(names(store.dir.path()), ["journal", "sled", "sled.broken-1", "sled.broken-2"]);
}

/// Commits bookings until a snapshot is due, writes it, and gives its seq.
pub(super) fn snapshot(ledger: &mut Ledger) -> u64 {
    let mut n = 0;
    while !ledger.snapshot_if_due().unwrap() {
        let facts: Vec<Fact> = (0..256).map(|i| booked(n + i, 1)).collect();
        n += 256;
        ledger.commit(&facts, None, stamp(9)).unwrap();
    }
    ledger.head().0
}

fn parcels_of(ledger: &Ledger) -> Vec<Change> {
    let mut all = ledger.fold.export().unwrap();
    all.retain(|change| matches!(change, Change::Parcel(_)));
    all
}

pub(super) fn commit_a_run(ledger: &mut Ledger) {
    let facts: Vec<Fact> = (0..256).map(|n| booked(n, 2)).collect();
    ledger.commit(&facts, None, stamp(9)).unwrap();
}

/// A ledger with two snapshots, where they are, and a run of records behind them.
fn with_two_snapshots() -> (Store, Ledger, [u64; 2]) {
    let mut store = Store::new();
    let (mut ledger, _) = store.open();
    let seqs = [(); 2].map(|()| snapshot(&mut ledger));
    commit_a_run(&mut ledger);
    (store, ledger, seqs)
}

#[test]
fn a_snapshot_stands_in_for_records_that_are_pruned() {
    let mut store = Store::new();
    let (mut ledger, _) = store.open();
    ledger.prune(u64::MAX).unwrap();
    assert_eq!(ledger.history.journal.oldest_seq(), 1, "nothing is pruned without a snapshot");
    let older = snapshot(&mut ledger);
    assert!(!ledger.snapshot_if_due().unwrap(), "the next one is due later");
    ledger.prune(u64::MAX).unwrap();
    assert_eq!(ledger.history.journal.oldest_seq(), 1, "the only one may turn out bad");
    let newest = snapshot(&mut ledger);
    commit_a_run(&mut ledger);
    ledger.prune(older / 2).unwrap();
    assert!((2..=older / 2 + 1).contains(&ledger.history.journal.oldest_seq()));
    ledger.prune(u64::MAX).unwrap();
    let oldest = ledger.history.journal.oldest_seq();
    assert!((older / 2..=older + 1).contains(&oldest), "what two do not cover stays");
    let before = parcels_of(&ledger);
    drop(ledger);

    fs::remove_dir_all(store.path("sled")).unwrap();
    let (ledger, opened) = store.open();
    assert_eq!(opened.rebuilt.as_deref(), Some("sled is empty"));
    assert_eq!(opened.replayed, 256);
    assert_eq!(parcels_of(&ledger), before);
    assert_eq!((ledger.covered.newest, ledger.covered.upto()), (newest, older));
    drop(ledger);

    // Without it the state cannot be told, and trying again and again loses nothing more.
    fs::remove_dir_all(store.path("snapshot")).unwrap();
    doubt(store.dir.path());
    for _ in 0..3 {
        let error = store.try_open().map(drop).unwrap_err();
        let OpenLedgerError::Rebuild(error) = error else { panic!("{error}") };
        assert!(matches!(error, RebuildError::NoSnapshot { .. }), "{error}");
    }
    fs::remove_file(store.path(IN_DOUBT)).unwrap();
    assert_eq!(store.open().1.rebuilt, None);
}

#[test]
fn p_i_without_sled_and_with_the_newest_snapshot_damaged_a_bank_starts_from_the_older_one() {
    let (mut store, mut ledger, [older, newest]) = with_two_snapshots();
    ledger.prune(u64::MAX).unwrap();
    assert!(ledger.history.journal.oldest_seq() > 1);
    let (before, head) = (parcels_of(&ledger), ledger.head().0);
    drop(ledger);
    sled_let_go(&store.path("sled"));
    fs::remove_dir_all(store.path("sled")).unwrap();
    let file = store.path("snapshot").join(format!("snap-{newest:020}.bin"));
    let mut bytes = fs::read(&file).unwrap();
    bytes[200] ^= 1;
    fs::write(file, bytes).unwrap();

    let (mut ledger, opened) = store.open();
    assert_eq!(opened.replayed, head - older);
    assert_eq!(parcels_of(&ledger), before);
    // And nothing goes that it needs until there are two again.
    assert_eq!((ledger.covered.newest, ledger.covered.upto()), (older, 0));
    assert!(ledger.snapshot_if_due().unwrap());
    assert_eq!(ledger.covered.upto(), older);
}

/// Spoils a record of the segment that has the record `seq`, which is not the last one.
fn spoil_segment_of(store: &Store, seq: u64) {
    let first_of = |path: &PathBuf| {
        let name = path.file_stem().unwrap().to_str().unwrap();
        name.strip_prefix("seg-").map(|seq| seq.parse::<u64>().unwrap())
    };
    let mut segments: Vec<_> = walk(&store.path("journal"));
    segments.retain(|path| first_of(path).is_some_and(|first| first <= seq));
    segments.sort();
    let path = segments.pop().unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes[100] ^= 0xff;
    fs::write(path, bytes).unwrap();
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn p_f_a_start_that_cannot_make_the_state_leaves_sled_and_snapshots_where_they_are() {
    let (mut store, mut ledger, [_, newest]) = with_two_snapshots();
    for _ in 0..3 {
        commit_a_run(&mut ledger);
    }
    let before = parcels_of(&ledger);
    drop(ledger);
    let there = names(&store.path("snapshot"));
    assert_eq!(there.len(), 2);
    // What stands behind either of them cannot be read.
    spoil_segment_of(&store, newest + 300);
    doubt(store.dir.path());
    for _ in 0..3 {
        let error = store.try_open().map(drop).unwrap_err();
        assert!(matches!(error, OpenLedgerError::Rebuild(RebuildError::Read(_))), "{error}");
        assert_eq!(names(&store.path("snapshot")), there);
        assert_eq!(names(store.dir.path()), ["journal", "sled", IN_DOUBT, "snapshot"]);
    }
    fs::remove_file(store.path(IN_DOUBT)).unwrap();
    let (ledger, opened) = store.open();
    assert_eq!((opened.rebuilt, parcels_of(&ledger)), (None, before));
}

#[test]
fn p_f_an_order_to_begin_anew_finds_the_state_that_only_sled_had() {
    let (mut store, mut ledger, _) = with_two_snapshots();
    ledger.prune(u64::MAX).unwrap();
    let parcels = ledger.view().parcels().len();
    fs::remove_dir_all(store.path("snapshot")).unwrap();
    ledger.begin_new_stream(StreamBreak::Forked, None).unwrap();
    drop(ledger);
    store.stream = StreamId([77; 16]);
    let (ledger, found) = store.open();
    assert_eq!(found.healed, Some(Healed::Succeeded { parent: STREAM, common: None }));
    assert_eq!(ledger.view().parcels().len(), parcels);
}

#[test]
fn snapshots_of_another_history_cover_nothing_and_push_out_nothing() {
    let mut store = Store::new();
    let (mut ledger, _) = store.open();
    snapshot(&mut ledger);
    drop(ledger);
    // The journal is begun anew; sled and snapshots are left over.
    fs::remove_dir_all(store.path("journal")).unwrap();
    store.stream = StreamId([8; 16]);
    let (mut ledger, opened) = store.open();
    assert_eq!(opened.rebuilt.as_deref(), Some("sled is of another stream"));
    assert!(store.path("snapshot.other").exists());
    assert_eq!(ledger.covered.newest, 0);
    commit_a_run(&mut ledger);
    ledger.prune(u64::MAX).unwrap();
    assert_eq!(ledger.history.journal.oldest_seq(), 1);
    same(ledger.view(), &folded(&ledger));
}

/// Lets sled's own files grow, with what is no part of the state.
fn overgrow(store: &Store) {
    sled_let_go(&store.path("sled"));
    let db = sled::open(store.path("sled")).unwrap();
    let mebibyte = vec![7; 1 << 20];
    for n in 0..=u8::try_from(sled_files::SLED_MAX_BYTES >> 20).unwrap() {
        db.insert([b'?', n], &mebibyte[..]).unwrap();
    }
    db.flush().unwrap();
}

fn bytes_of_sled(store: &Store) -> u64 {
    walk(&store.path("sled")).iter().map(|path| fs::metadata(path).unwrap().len()).sum()
}

#[test]
fn a_sled_that_has_grown_is_made_again_at_a_start_from_a_snapshot_and_never_without_one() {
    let (mut store, mut ledger, _) = with_two_snapshots();
    ledger.prune(u64::MAX).unwrap();
    let before = parcels_of(&ledger);
    drop(ledger);
    overgrow(&store);
    assert!(bytes_of_sled(&store) > sled_files::SLED_MAX_BYTES);

    let (snapshots, away) = (store.path("snapshot"), store.path("away"));
    fs::rename(&snapshots, &away).unwrap();
    assert_eq!(store.open().1.rebuilt, None, "it is all that is left of the state");
    sled_let_go(&store.path("sled"));
    assert!(bytes_of_sled(&store) > sled_files::SLED_MAX_BYTES);

    fs::rename(&away, &snapshots).unwrap();
    // A start that was cut short had only moved it.
    fs::rename(store.path("sled"), store.path("sled.grown")).unwrap();
    let (ledger, opened) = store.open();
    assert_eq!(opened.rebuilt.as_deref(), Some("sled has grown"));
    assert_eq!(parcels_of(&ledger), before);
    drop(ledger);
    sled_let_go(&store.path("sled"));
    assert!(bytes_of_sled(&store) < sled_files::SLED_MAX_BYTES / 4, "{}", bytes_of_sled(&store));
    assert_eq!(names(store.dir.path()), ["journal", "sled", "snapshot"], "nothing to look at");
    assert_eq!(store.open().1.rebuilt, None);
}

#[test]
fn a_sled_that_has_grown_stays_if_what_stands_in_for_it_cannot_be_folded_on() {
    let (mut store, mut ledger, [_, newest]) = with_two_snapshots();
    for _ in 0..6 {
        commit_a_run(&mut ledger);
    }
    let before = parcels_of(&ledger);
    drop(ledger);
    overgrow(&store);
    spoil_segment_of(&store, newest + 700);
    for _ in 0..2 {
        let (ledger, opened) = store.open();
        assert_eq!((opened.rebuilt, parcels_of(&ledger)), (None, before.clone()));
        drop(ledger);
        sled_let_go(&store.path("sled"));
        assert!(bytes_of_sled(&store) > sled_files::SLED_MAX_BYTES);
    }
}
