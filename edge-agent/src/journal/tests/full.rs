//! A full disk is load, a failed sync is the end.

use std::{error::Error, io::ErrorKind};

use super::*;
use crate::journal::{EraseError, PruneError, SpaceError};

const DIR: &str = "/journal";

fn on(disk: &FaultyDisk, limits: Limits) -> Journal {
    Journal::create_on(Arc::new(disk.clone()), Path::new(DIR), STREAM, limits).unwrap()
}

fn reopen(disk: &FaultyDisk, limits: Limits) -> (Journal, Recovery) {
    Journal::open_on(Arc::new(disk.clone()), Path::new(DIR), limits, Verify::All).unwrap()
}

#[test]
fn without_space_nothing_of_a_call_stays_and_the_journal_goes_on() {
    let disk = FaultyDisk::default();
    let mut journal = on(&disk, ONE_SEGMENT);
    fill(&mut journal, 1, 3);
    let path = Path::new(DIR).join(segment_name(1));
    let before = disk.bytes(&path);
    for kind in [ErrorKind::StorageFull, ErrorKind::QuotaExceeded] {
        disk.fail_write_in(1, kind);
        let err = journal.append(&[plain(b"no"), plain(b"room")]).unwrap_err();
        assert!(matches!(err, AppendError::OutOfSpace { .. }), "{err:?}");
        assert_eq!(err.source().unwrap().to_string(), format!("cannot write {}", path.display()));
        assert_eq!(disk.bytes(&path), before);
        assert_eq!(journal.head_seq(), 3);
    }
    fill(&mut journal, 4, 6);
    drop(journal);
    disk.cut_power(|| false);
    assert_eq!(reopen(&disk, ONE_SEGMENT).0.head_hash(), hash_of((1..=6).map(record)));
}

#[test]
fn the_ballast_lets_pickups_go_on_and_comes_back() {
    let disk = FaultyDisk::default();
    let mut journal = on(&disk, SMALL);
    disk.set_capacity(Some(disk.used_bytes() + 2000));
    let mut seq = 0;
    let err = loop {
        match journal.append(&[plain(&record(seq + 1))]) {
            Ok(appended) => seq = appended.last_seq,
            Err(err) => break err,
        }
    };
    assert!(matches!(err, AppendError::OutOfSpace { .. }), "{err:?}");
    assert!(journal.space().unwrap().free_bytes < 100);
    assert!(journal.space().unwrap().ballast);
    assert!(journal.restore_ballast().unwrap());

    assert!(journal.release_ballast().unwrap());
    assert!(!journal.release_ballast().unwrap());
    assert!(!journal.space().unwrap().ballast);
    fill(&mut journal, seq + 1, seq + 40);
    assert!(!journal.restore_ballast().unwrap(), "there is not room enough");
    drop(journal);
    let (mut journal, recovery) = reopen(&disk, SMALL);
    assert!(!recovery.ballast);
    assert_eq!(recovery.head_seq, seq + 40);

    journal.prune(u64::MAX).unwrap();
    disk.set_capacity(Some(disk.used_bytes() + 5000));
    assert!(journal.restore_ballast().unwrap());
    assert!(journal.space().unwrap().ballast);
}

#[test]
fn without_space_for_a_new_segment_none_is_left_behind() {
    let disk = FaultyDisk::default();
    let mut journal = on(&disk, SMALL);
    fill(&mut journal, 1, 10);
    disk.fail_write_in(1, ErrorKind::StorageFull);
    let err = journal.append(&[plain(&[1; 500])]).unwrap_err();
    assert!(matches!(err, AppendError::OutOfSpace { .. }), "{err:?}");
    // The current segment still takes what fits, and no name comes back after a power cut.
    fill(&mut journal, 11, 12);
    drop(journal);
    // The header's bytes and the name arrive, a removal that was not synced does not.
    let mut tosses = 0;
    disk.cut_power(|| {
        tosses += 1;
        tosses < 3
    });
    let (mut journal, recovery) = reopen(&disk, SMALL);
    assert_eq!((recovery.head_seq, recovery.removed_segment), (12, None));
    journal.append(&[plain(&[1; 500])]).unwrap();
}

#[test]
fn a_failed_sync_is_final() {
    let disk = FaultyDisk::default();
    let mut journal = on(&disk, SMALL);
    fill(&mut journal, 1, 3);
    let reader = journal.reader();
    disk.fail_sync_in(1);
    let err = journal.append(&[plain(b"lost")]).unwrap_err();
    assert!(matches!(err, AppendError::Disk { .. }), "{err:?}");
    assert!(matches!(journal.append(&[plain(b"next")]), Err(AppendError::Failed)));
    assert!(matches!(journal.erase_detached(1), Err(EraseError::Failed)));
    assert!(matches!(journal.prune(1), Err(PruneError::Failed)));
    assert!(matches!(journal.release_ballast(), Err(SpaceError::Failed)));
    assert!(matches!(journal.restore_ballast(), Err(SpaceError::Failed)));
    assert!(matches!(journal.read(1, 1, 100), Err(ReadError::Failed)));
    assert!(matches!(reader.hash_at(1), Err(ReadError::Failed)));
    assert_eq!(reader.head_seq(), 3);
    drop(journal);

    // The cache still shows the record; the device does not have it, and that is what counts.
    let (journal, recovery) = reopen(&disk, SMALL);
    assert_eq!(recovery.head_seq, 3);
    assert_eq!(read_all(&journal).len(), 3);
}

#[test]
fn a_write_that_fails_otherwise_is_final_too() {
    let disk = FaultyDisk::default();
    let mut journal = on(&disk, SMALL);
    fill(&mut journal, 1, 3);
    disk.fail_write_in(1, ErrorKind::Other);
    assert!(matches!(journal.append(&[plain(b"lost")]), Err(AppendError::Disk { .. })));
    assert!(matches!(journal.append(&[plain(b"next")]), Err(AppendError::Failed)));
    drop(journal);
    let (_, recovery) = reopen(&disk, SMALL);
    assert_eq!(recovery.head_seq, 3);
    assert!(recovery.torn_bytes > 0);
}

#[test]
fn a_failed_sync_of_a_new_segment_is_final() {
    for failing in [1, 2] {
        let disk = FaultyDisk::default();
        let mut journal = on(&disk, SMALL);
        fill(&mut journal, 1, 3);
        disk.fail_sync_in(failing);
        assert!(matches!(journal.append(&[plain(&[1; 600])]), Err(AppendError::Disk { .. })));
        assert!(matches!(journal.append(&[plain(b"next")]), Err(AppendError::Failed)));
        drop(journal);
        assert_eq!(reopen(&disk, SMALL).0.head_seq(), 3);
    }
}

#[test]
fn a_failed_sync_while_erasing_or_pruning_is_final() {
    for failing in [1, 2] {
        let disk = FaultyDisk::default();
        let mut journal = on(&disk, SMALL);
        journal.append(&[Entry { record: b"r", detached: Some(b"part") }]).unwrap();
        disk.fail_sync_in(failing);
        assert!(matches!(journal.erase_detached(1), Err(EraseError::Disk { .. })));
        assert!(matches!(journal.append(&[plain(b"next")]), Err(AppendError::Failed)));
        drop(journal);
        disk.cut_power(|| false);
        let (mut journal, _) = reopen(&disk, SMALL);
        journal.erase_detached(1).unwrap();
        assert_eq!(journal.read(1, 1, 100).unwrap()[0].detached, Detached::Erased);
    }
    let disk = FaultyDisk::default();
    let mut journal = on(&disk, SMALL);
    fill(&mut journal, 1, 60);
    disk.fail_sync_in(1);
    assert!(matches!(journal.prune(30), Err(PruneError::Disk(_))));
    assert!(matches!(journal.prune(30), Err(PruneError::Failed)));
}

#[test]
fn a_journal_is_not_created_without_space_for_its_ballast() {
    let disk = FaultyDisk::default();
    disk.set_capacity(Some(3000));
    let created =
        |limits| Journal::create_on(Arc::new(disk.clone()), Path::new(DIR), STREAM, limits);
    assert!(matches!(created(SMALL), Err(CreateError::OutOfSpace { .. })));
    assert_eq!(disk.used_bytes(), 0);
    created(Limits { ballast_bytes: 2000, ..SMALL }).unwrap();
}

#[test]
fn the_ballast_takes_real_blocks_of_the_machines_disk() {
    use std::os::unix::fs::MetadataExt;
    let limits = Limits { ballast_bytes: 1 << 20, ..ONE_SEGMENT };
    let dir = TempDir::new().unwrap();
    let mut journal = Journal::create(dir.path(), STREAM, limits).unwrap();
    let ballast = fs::metadata(dir.path().join("ballast")).unwrap();
    assert_eq!(ballast.len(), 1 << 20);
    assert!(ballast.blocks() * 512 >= 1 << 20);
    assert!(journal.space().unwrap().free_bytes > 0);
    assert!(journal.release_ballast().unwrap());
    assert!(!dir.path().join("ballast").exists());
    // Half a ballast is none, and is made whole.
    fs::write(dir.path().join("ballast"), [0; 512]).unwrap();
    assert!(!journal.space().unwrap().ballast);
    assert!(journal.restore_ballast().unwrap());
    assert_eq!(fs::metadata(dir.path().join("ballast")).unwrap().len(), 1 << 20);
}
