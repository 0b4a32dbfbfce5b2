//! Snapshots are whole or not there, and two are kept.

use std::io::ErrorKind;

use super::*;
use crate::journal::{
    Skipped, SnapshotError, load_snapshots, load_snapshots_on, move_snapshot_aside_on,
    write_snapshot, write_snapshot_on,
};

fn path(dir: &TempDir, seq: u64) -> PathBuf {
    dir.path().join(format!("snapshot/snap-{seq:020}.bin"))
}

fn seqs(dir: &TempDir) -> Vec<u64> {
    load_snapshots(dir.path()).unwrap().snapshots.iter().map(|snapshot| snapshot.seq).collect()
}

#[test]
fn the_two_newest_snapshots_are_kept_and_read_newest_first() {
    let dir = TempDir::new().unwrap();
    assert_eq!(seqs(&dir), Vec::<u64>::new());
    for seq in [5, 9, 12] {
        write_snapshot(dir.path(), seq, &[seq as u8; 32], format!("fold {seq}").as_bytes())
            .unwrap();
    }
    let found = load_snapshots(dir.path()).unwrap();
    assert!(found.skipped.is_empty());
    assert_eq!(found.snapshots.len(), 2);
    let newest = &found.snapshots[0];
    assert_eq!((newest.seq, newest.chain_hash, &*newest.bytes), (12, [12; 32], &b"fold 12"[..]));
    assert_eq!(seqs(&dir), [12, 9]);
    assert!(!path(&dir, 5).exists());
    write_snapshot(dir.path(), 12, &[1; 32], b"again").unwrap();
    assert_eq!(seqs(&dir), [12, 9]);
}

#[test]
fn snapshot_bytes_are_frozen() {
    let dir = TempDir::new().unwrap();
    write_snapshot(dir.path(), 0x0102, &[0xab; 32], b"fold").unwrap();
    assert_eq!(hex(&fs::read(path(&dir, 0x0102)).unwrap()), GOLDEN_SNAPSHOT);
}

const GOLDEN_SNAPSHOT: &str = "5053545301000201000000000000abababababababababababababababababababababab\
     abababababababababab0400000000000000b0d733e6666f6c64";

#[test]
fn a_snapshot_with_any_bit_flipped_or_cut_is_skipped_and_reported() {
    let dir = TempDir::new().unwrap();
    write_snapshot(dir.path(), 1, &[1; 32], b"older").unwrap();
    write_snapshot(dir.path(), 2, &[2; 32], b"newer").unwrap();
    let whole = fs::read(path(&dir, 2)).unwrap();
    let check = |bytes: &[u8]| {
        fs::write(path(&dir, 2), bytes).unwrap();
        let found = load_snapshots(dir.path()).unwrap();
        assert_eq!(found.snapshots.len(), 1);
        assert_eq!(found.snapshots[0].bytes, b"older");
        assert_eq!(found.skipped.len(), 1);
    };
    for bit in 0..whole.len() * 8 {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        check(&flipped);
    }
    for len in 0..whole.len() {
        check(&whole[..len]);
    }
    check(&[&whole[..], b"x"].concat());

    // A bad one does not push the good one out.
    write_snapshot(dir.path(), 3, &[3; 32], b"newest").unwrap();
    assert_eq!(seqs(&dir), [3, 1]);
}

#[test]
fn a_snapshot_of_a_newer_format_is_skipped_by_name() {
    let dir = TempDir::new().unwrap();
    write_snapshot(dir.path(), 2, &[2; 32], b"newer").unwrap();
    let mut bytes = fs::read(path(&dir, 2)).unwrap();
    bytes[4] = 2;
    fs::write(path(&dir, 2), bytes).unwrap();
    let found = load_snapshots(dir.path()).unwrap();
    assert!(matches!(found.skipped[..], [Skipped::NewerFormat { found: 2, known: 1, .. }]));
}

#[test]
fn without_space_or_sync_the_older_snapshots_stay() {
    let disk = FaultyDisk::default();
    let dir = Path::new("/journal");
    write_snapshot_on(&disk, dir, 1, &[1; 32], b"one").unwrap();
    write_snapshot_on(&disk, dir, 2, &[2; 32], b"two").unwrap();
    let write = || write_snapshot_on(&disk, dir, 3, &[3; 32], b"three");
    disk.fail_write_in(2, ErrorKind::StorageFull);
    assert!(matches!(write(), Err(SnapshotError::OutOfSpace { .. })));
    disk.fail_sync_in(2);
    assert!(matches!(write(), Err(SnapshotError::Disk(_))));
    let seqs = || -> Vec<u64> {
        let found = load_snapshots_on(&disk, dir).unwrap();
        found.snapshots.iter().map(|snapshot| snapshot.seq).collect()
    };
    assert_eq!(seqs(), [2, 1]);
    write().unwrap();
    assert_eq!(seqs(), [3, 2]);
    disk.cut_power(|| false);
    // The removal of the oldest was not durable; nothing depends on it.
    assert_eq!(seqs(), [3, 2, 1]);
}

#[test]
fn a_snapshot_of_another_history_goes_alone_wherever_the_power_goes() {
    let dir = Path::new("/journal");
    // Synced are the new folder's name, the snapshot's new one, and that its old one is gone.
    for (sync, arrives) in
        [(1, false), (1, true), (2, false), (2, true), (3, false), (3, true), (4, false)]
    {
        let disk = FaultyDisk::default();
        write_snapshot_on(&disk, dir, 1, &[1; 32], b"ours").unwrap();
        write_snapshot_on(&disk, dir, 2, &[2; 32], b"of another history").unwrap();
        disk.fail_sync_in(sync);
        assert_eq!(move_snapshot_aside_on(&disk, dir, 2).is_ok(), sync == 4);
        disk.forgive();
        disk.cut_power(|| arrives);
        let seqs: Vec<u64> = {
            let found = load_snapshots_on(&disk, dir).unwrap();
            found.snapshots.iter().map(|snapshot| snapshot.seq).collect()
        };
        let moved = sync > 2 || (sync == 2 && arrives);
        assert_eq!(seqs, if moved { vec![1] } else { vec![2, 1] }, "sync {sync}, {arrives}");
    }
}
