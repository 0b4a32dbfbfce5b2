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
    let mut names: Vec<_> = fs::read_dir(store.dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["journal", "sled", "sled.broken-1", "sled.broken-2"]);
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

#[test]
fn a_snapshot_stands_in_for_records_that_are_pruned() {
    let mut store = Store::new();
    let (mut ledger, _) = store.open();
    ledger.prune(u64::MAX).unwrap();
    assert_eq!(ledger.history.journal.oldest_seq(), 1, "nothing is pruned without a snapshot");
    let seq = snapshot(&mut ledger);
    assert!(!ledger.snapshot_if_due().unwrap(), "the next one is due later");
    commit_a_run(&mut ledger);
    ledger.prune(seq / 2).unwrap();
    assert!((2..=seq / 2 + 1).contains(&ledger.history.journal.oldest_seq()));
    ledger.prune(u64::MAX).unwrap();
    assert!(ledger.history.journal.oldest_seq() <= seq + 1, "what no snapshot covers stays");
    let before = parcels_of(&ledger);
    drop(ledger);

    fs::remove_dir_all(store.path("sled")).unwrap();
    let (ledger, opened) = store.open();
    assert_eq!(opened.rebuilt.as_deref(), Some("sled is empty"));
    assert_eq!(opened.replayed, 256);
    assert_eq!(parcels_of(&ledger), before);
    assert_eq!(ledger.snapshot_seq, seq);
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
    assert_eq!(ledger.snapshot_seq, 0);
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
    for n in 0..=u8::try_from(rebuild::SLED_MAX_BYTES >> 20).unwrap() {
        db.insert([b'?', n], &mebibyte[..]).unwrap();
    }
    db.flush().unwrap();
}

fn bytes_of_sled(store: &Store) -> u64 {
    walk(&store.path("sled")).iter().map(|path| fs::metadata(path).unwrap().len()).sum()
}

#[test]
fn a_sled_that_has_grown_is_made_again_at_a_start_from_a_snapshot_and_never_without_one() {
    let mut store = Store::new();
    let (mut ledger, _) = store.open();
    snapshot(&mut ledger);
    commit_a_run(&mut ledger);
    ledger.prune(u64::MAX).unwrap();
    let before = parcels_of(&ledger);
    drop(ledger);
    overgrow(&store);
    assert!(bytes_of_sled(&store) > rebuild::SLED_MAX_BYTES);

    let (snapshots, away) = (store.path("snapshot"), store.path("away"));
    fs::rename(&snapshots, &away).unwrap();
    assert_eq!(store.open().1.rebuilt, None, "it is all that is left of the state");
    sled_let_go(&store.path("sled"));
    assert!(bytes_of_sled(&store) > rebuild::SLED_MAX_BYTES);

    fs::rename(&away, &snapshots).unwrap();
    let (ledger, opened) = store.open();
    assert_eq!(opened.rebuilt.as_deref(), Some("sled is empty"));
    assert_eq!(parcels_of(&ledger), before);
    drop(ledger);
    sled_let_go(&store.path("sled"));
    assert!(bytes_of_sled(&store) < rebuild::SLED_MAX_BYTES / 4, "{}", bytes_of_sled(&store));
    assert!(!store.path("sled.broken-1").exists(), "there is nothing to look at in it");
    assert_eq!(store.open().1.rebuilt, None);
}
