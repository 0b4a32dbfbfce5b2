//! What the journal promises, on the machine's disk and on one that fails.

#![expect(clippy::cast_possible_truncation, reason = "sizes in these tests are small")]

pub(crate) mod crash;
mod cut;
mod damage;
pub(crate) mod faulty;
mod full;
mod model;
mod snapshots;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use tempfile::TempDir;

use self::faulty::FaultyDisk;
use super::{
    AppendError, CALL_MAX_ENTRIES, CreateError, CutError, DETACHED_MAX_BYTES, Detached, Entry,
    Erasure, GENESIS_HASH, Journal, Limits, OpenError, RECORD_MAX_BYTES, ReadError, Recovery,
    Stored, Verify, chain_hash,
    format::{HEAD_BYTES, HEADER_BYTES, Header, put_frame, segment_name},
};

const STREAM: [u8; 16] = [7; 16];
const SMALL: Limits = Limits { segment_bytes: 600, call_bytes: 1 << 20, ballast_bytes: 4096 };
const ONE_SEGMENT: Limits = Limits { segment_bytes: 4 << 20, ..SMALL };

fn plain(record: &[u8]) -> Entry<'_> {
    Entry { record, detached: None }
}

fn record(seq: u64) -> Vec<u8> {
    format!("record {seq}").into_bytes()
}

/// Appends records `from..=to`, one a call.
fn fill(journal: &mut Journal, from: u64, to: u64) {
    for seq in from..=to {
        let appended = journal.append(&[plain(&record(seq))]).unwrap();
        assert_eq!((appended.first_seq, appended.last_seq), (seq, seq));
    }
}

/// A journal in a fresh directory with records `1..=count`, closed again.
fn made(limits: Limits, count: u64) -> TempDir {
    let dir = TempDir::new().unwrap();
    fill(&mut Journal::create(dir.path(), STREAM, limits).unwrap(), 1, count);
    dir
}

fn open(dir: &Path, limits: Limits) -> (Journal, Recovery) {
    Journal::open(dir, limits, Verify::All).unwrap()
}

fn read_all(journal: &Journal) -> Vec<Stored> {
    journal.read(journal.oldest_seq(), usize::MAX, usize::MAX).unwrap()
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|ext| ext == "log")).collect();
    paths.sort();
    paths
}

fn hash_of(records: impl IntoIterator<Item = Vec<u8>>) -> [u8; 32] {
    records.into_iter().fold(GENESIS_HASH, |hash, record| chain_hash(&hash, &record))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn header_bytes_are_frozen() {
    let header = Header { stream_id: STREAM, first_seq: 0x0102, prev_hash: [0xab; 32] };
    assert_eq!(hex(&header.encode()), GOLDEN_HEADER);
    assert_eq!(Header::decode(&header.encode()), Ok(header));
}

#[test]
fn frame_bytes_are_frozen() {
    let mut bytes = Vec::new();
    put_frame(
        &mut bytes,
        0x0001_0203,
        5,
        &Entry { record: b"record", detached: Some(b"salt+part") },
    );
    put_frame(&mut bytes, 1, 0, &plain(b"r"));
    assert_eq!(hex(&bytes), GOLDEN_FRAMES);
}

#[test]
fn a_whole_segment_file_is_frozen() {
    let dir = TempDir::new().unwrap();
    let mut journal = Journal::create(dir.path(), STREAM, SMALL).unwrap();
    journal.append(&[plain(b"one"), Entry { record: b"two", detached: Some(b"x") }]).unwrap();
    let bytes = fs::read(dir.path().join("seg-00000000000000000001.log")).unwrap();
    assert_eq!(hex(&bytes), GOLDEN_SEGMENT);
}

const GOLDEN_HEADER: &str = "5053544a0100070707070707070707070707070707070201000000000000abababababab\
     abababababababababababababababababababababababababab51a3fa41";
const GOLDEN_FRAMES: &str = "06000302d4ac9679090005002bf6e5499e8b496c7265636f726473616c742b7061727401\
     000100ab77dec20000000000000000e8f0811b72";
const GOLDEN_SEGMENT: &str = "5053544a0100070707070707070707070707070707070100000000000000000000000000\
     000000000000000000000000000000000000000000000000000068cfccad03000100e9b2\
     942a00000100000000006048c78b6f6e6503000100a3b3d85201000000935f3ca9eb6a20\
     f774776f78";

#[test]
fn what_was_appended_is_there_after_reopening() {
    let dir = TempDir::new().unwrap();
    let mut journal = Journal::create(dir.path(), STREAM, ONE_SEGMENT).unwrap();
    assert_eq!((journal.oldest_seq(), journal.head_seq()), (1, 0));
    assert_eq!(journal.head_hash(), GENESIS_HASH);
    let first = journal.append(&[plain(b"a"), plain(b"b")]).unwrap();
    assert_eq!((first.first_seq, first.last_seq), (1, 2));
    assert_eq!(first.head_hash, hash_of([b"a".to_vec(), b"b".to_vec()]));
    let second = journal.append(&[Entry { record: b"c", detached: Some(b"salt, name") }]).unwrap();
    drop(journal);

    let (journal, recovery) = open(dir.path(), ONE_SEGMENT);
    assert_eq!(journal.stream_id(), STREAM);
    assert_eq!((journal.head_seq(), journal.head_hash()), (3, second.head_hash));
    assert_eq!(recovery.verified_records, 3);
    assert_eq!((recovery.torn_bytes, recovery.removed_segment), (0, None));
    assert!(recovery.ballast);
    let stored = read_all(&journal);
    assert_eq!(stored.iter().map(|s| s.seq).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(stored[1].detached, Detached::None);
    assert_eq!(stored[2].record, b"c");
    assert_eq!(stored[2].detached, Detached::Some(b"salt, name".to_vec()));
}

#[test]
fn a_call_is_one_write_and_one_sync() {
    let disk = FaultyDisk::default();
    let medium = Arc::new(disk.clone());
    let mut journal =
        Journal::create_on(medium, Path::new("/j"), STREAM, Limits::default()).unwrap();
    let before = disk.counts();
    journal.append(&[plain(b"a"), plain(b"b"), plain(b"c")]).unwrap();
    assert_eq!(disk.counts(), (before.0 + 1, before.1 + 1));
}

#[test]
fn segments_roll_and_continue_each_other() {
    let dir = made(SMALL, 100);
    let files = segments(dir.path());
    assert!(files.len() > 3, "{files:?}");
    assert!(files.iter().all(|path| fs::metadata(path).unwrap().len() <= 600));
    let (mut journal, recovery) = open(dir.path(), SMALL);
    assert_eq!(recovery.verified_records, 100);
    fill(&mut journal, 101, 150);
    let stored = read_all(&journal);
    assert_eq!(stored.len(), 150);
    assert!(stored.iter().all(|s| s.record == record(s.seq)));
    for seq in 0..=150 {
        assert_eq!(journal.hash_at(seq).unwrap(), hash_of((1..=seq).map(record)), "seq {seq}");
    }
    assert!(matches!(journal.hash_at(151), Err(ReadError::BeyondHead { head: 150 })));
}

#[test]
fn a_call_larger_than_a_segment_gets_one_to_itself() {
    let dir = made(SMALL, 3);
    let (mut journal, _) = open(dir.path(), SMALL);
    journal.append(&[plain(&[1; 2000])]).unwrap();
    journal.append(&[plain(b"after")]).unwrap();
    drop(journal);
    assert_eq!(segments(dir.path()).len(), 3);
    assert_eq!(open(dir.path(), SMALL).0.head_seq(), 5);
}

#[test]
fn records_are_found_by_mark_far_into_a_segment() {
    let dir = made(ONE_SEGMENT, 300);
    for (journal, _) in [open(dir.path(), ONE_SEGMENT)] {
        for from in [1, 63, 64, 65, 66, 128, 129, 299, 300] {
            let stored = journal.read(from, 2, usize::MAX).unwrap();
            assert_eq!(stored[0].seq, from);
            assert_eq!(stored[0].record, record(from));
            assert_eq!(stored.len() as u64, 2.min(301 - from));
            assert_eq!(journal.hash_at(from).unwrap(), hash_of((1..=from).map(record)));
        }
    }
}

#[test]
fn reading_keeps_to_its_limits_but_makes_progress() {
    let dir = made(SMALL, 50);
    let (journal, _) = open(dir.path(), SMALL);
    assert_eq!(journal.read(5, 7, usize::MAX).unwrap().len(), 7);
    assert_eq!(journal.read(5, 0, usize::MAX).unwrap().len(), 0);
    assert_eq!(journal.read(10, usize::MAX, 27).unwrap().len(), 3);
    assert_eq!(journal.read(10, usize::MAX, 1).unwrap().len(), 1);
    assert_eq!(journal.read(51, 10, 1000).unwrap(), []);
    assert!(matches!(journal.read(52, 10, 1000), Err(ReadError::BeyondHead { head: 50 })));
    assert!(matches!(journal.read(0, 10, 1000), Err(ReadError::Pruned { oldest: 1 })));
}

#[test]
fn limits_are_checked_before_anything_is_written() {
    let dir = made(ONE_SEGMENT, 1);
    let (mut journal, _) = open(dir.path(), Limits { call_bytes: 100_000, ..ONE_SEGMENT });
    let (most, over) = (vec![0; RECORD_MAX_BYTES], vec![0; RECORD_MAX_BYTES + 1]);
    let mut refused = |entries: &[Entry<'_>]| journal.append(entries).unwrap_err();
    assert!(matches!(refused(&[]), AppendError::NoEntries));
    assert!(matches!(
        refused(&vec![plain(b"x"); CALL_MAX_ENTRIES + 1]),
        AppendError::TooManyEntries { count: 257, max: 256 }
    ));
    assert!(matches!(refused(&[plain(b"x"), plain(b"")]), AppendError::EmptyRecord { index: 1 }));
    assert!(matches!(
        refused(&[plain(b"x"), plain(&over)]),
        AppendError::RecordTooLarge { index: 1, bytes: 32_769, max: 32_768 }
    ));
    assert!(matches!(
        refused(&[Entry { record: b"x", detached: Some(b"") }]),
        AppendError::EmptyDetached { index: 0 }
    ));
    assert!(matches!(
        refused(&[Entry { record: b"x", detached: Some(&over) }]),
        AppendError::DetachedTooLarge { index: 0, bytes: 32_769, max: 32_768 }
    ));
    assert!(matches!(
        refused(&[plain(&most); 4]),
        AppendError::CallTooLarge { bytes: 131_152, max: 100_000 }
    ));
    assert_eq!(journal.head_seq(), 1);

    let largest = Entry { record: &most, detached: Some(&vec![1; DETACHED_MAX_BYTES]) };
    journal.append(&[largest]).unwrap();
    journal.append(&vec![plain(b"x"); CALL_MAX_ENTRIES]).unwrap();
    drop(journal);
    let (journal, _) = open(dir.path(), ONE_SEGMENT);
    assert_eq!(journal.head_seq(), 258);
    assert_eq!(journal.read(2, 1, usize::MAX).unwrap()[0].record, most);
}

#[test]
fn a_second_process_finds_the_journal_locked() {
    let dir = made(SMALL, 3);
    let (journal, _) = open(dir.path(), SMALL);
    assert!(matches!(Journal::open(dir.path(), SMALL, Verify::All), Err(OpenError::Locked { .. })));
    assert!(matches!(Journal::create(dir.path(), STREAM, SMALL), Err(CreateError::Locked { .. })));
    drop(journal);
    open(dir.path(), SMALL);
}

#[test]
fn a_journal_is_not_created_over_another() {
    let dir = made(SMALL, 3);
    assert!(matches!(Journal::create(dir.path(), STREAM, SMALL), Err(CreateError::Exists { .. })));
    assert_eq!(open(dir.path(), SMALL).0.head_seq(), 3);
}

#[test]
fn a_directory_without_a_journal_is_told_apart() {
    let dir = TempDir::new().unwrap();
    let missing = dir.path().join("not/there");
    for dir in [dir.path(), &missing] {
        assert!(matches!(
            Journal::open(dir, SMALL, Verify::All),
            Err(OpenError::NotCreated { .. })
        ));
    }
    assert!(!missing.exists());
    fill(&mut Journal::create(&missing, STREAM, SMALL).unwrap(), 1, 2);
}

#[test]
fn erasing_a_detached_part_leaves_records_and_chain() {
    let dir = TempDir::new().unwrap();
    let mut journal = Journal::create(dir.path(), STREAM, SMALL).unwrap();
    let name = b"salt Jane Doe, 5 Elm Street";
    fill(&mut journal, 1, 20);
    journal.append(&[plain(b"x"), Entry { record: b"y", detached: Some(name) }]).unwrap();
    fill(&mut journal, 23, 60);
    let head = journal.head_hash();
    let holds_name = || {
        segments(dir.path())
            .iter()
            .any(|path| fs::read(path).unwrap().windows(8).any(|window| window == b"Jane Doe"))
    };
    assert!(holds_name());

    assert_eq!(journal.erase_detached(22).unwrap(), Erasure::Erased);
    assert_eq!(journal.erase_detached(22).unwrap(), Erasure::AlreadyErased);
    assert_eq!(journal.erase_detached(21).unwrap(), Erasure::NothingDetached);
    assert!(journal.erase_detached(61).is_err());
    assert!(!holds_name());
    for _ in 0..2 {
        assert_eq!(journal.read(22, 1, 100).unwrap()[0].detached, Detached::Erased);
        assert_eq!(journal.read(22, 1, 100).unwrap()[0].record, b"y");
        assert_eq!(journal.hash_at(60).unwrap(), head);
        drop(journal);
        let recovery;
        (journal, recovery) = open(dir.path(), SMALL);
        assert_eq!((recovery.head_hash, recovery.finished_erasures), (head, 0));
    }
}

#[test]
fn pruning_removes_whole_segments_below_the_current() {
    let dir = made(SMALL, 100);
    let (mut journal, _) = open(dir.path(), SMALL);
    let starts: Vec<u64> = segments(dir.path())
        .iter()
        .map(|path| Header::decode(&fs::read(path).unwrap()).unwrap().first_seq)
        .collect();

    assert_eq!(journal.prune(starts[1] - 2).unwrap().removed_segments, 0);
    let pruned = journal.prune(starts[2] - 1).unwrap();
    assert_eq!((pruned.removed_segments, pruned.oldest_seq), (2, starts[2]));
    assert_eq!(journal.oldest_seq(), starts[2]);
    assert!(matches!(
        journal.read(starts[2] - 1, 1, 100),
        Err(ReadError::Pruned { oldest }) if oldest == starts[2]
    ));
    assert_eq!(journal.hash_at(starts[2] - 1).unwrap(), hash_of((1..starts[2]).map(record)));
    assert!(journal.hash_at(starts[2] - 2).is_err());

    let pruned = journal.prune(u64::MAX).unwrap();
    assert_eq!(pruned.oldest_seq, *starts.last().unwrap());
    assert_eq!(segments(dir.path()).len(), 1);
    fill(&mut journal, 101, 130);
    drop(journal);
    let (journal, recovery) = open(dir.path(), SMALL);
    assert_eq!(recovery.oldest_seq, *starts.last().unwrap());
    assert_eq!(journal.head_hash(), hash_of((1..=130).map(record)));
}

#[test]
fn readers_on_other_threads_follow_the_appender() {
    let dir = made(SMALL, 1);
    let (mut journal, _) = open(dir.path(), SMALL);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let reader = journal.reader();
            scope.spawn(move || {
                let mut next = 1;
                while next <= 400 {
                    let head = reader.head_seq();
                    match reader.read(next, 50, 10_000) {
                        Ok(stored) => {
                            assert!(stored.len() as u64 >= 50.min(head + 1 - next));
                            for s in stored {
                                assert_eq!((s.seq, s.record), (next, record(next)));
                                next += 1;
                            }
                        }
                        Err(ReadError::Pruned { oldest }) => next = oldest,
                        Err(err) => panic!("{err}"),
                    }
                }
            });
        }
        for seq in 2..=400 {
            let record = record(seq);
            journal.append(&[Entry { record: &record, detached: Some(b"detached") }]).unwrap();
            match seq % 50 {
                0 => drop(journal.prune(seq.saturating_sub(60)).unwrap()),
                7 => drop(journal.erase_detached(seq - 1).unwrap()),
                _ => {}
            }
        }
    });
}

#[test]
fn with_tail_verification_older_segments_are_read_when_asked_for() {
    let dir = made(SMALL, 100);
    let (mut journal, recovery) = Journal::open(dir.path(), SMALL, Verify::Tail).unwrap();
    assert!(recovery.verified_records < 30);
    assert_eq!(recovery.head_hash, hash_of((1..=100).map(record)));
    assert_eq!(journal.hash_at(17).unwrap(), hash_of((1..=17).map(record)));
    fill(&mut journal, 101, 120);
    assert_eq!(read_all(&journal).len(), 120);
}

#[test]
fn debug_output_shows_no_contents() {
    let dir = TempDir::new().unwrap();
    let mut journal = Journal::create(dir.path(), STREAM, SMALL).unwrap();
    journal.append(&[Entry { record: b"AAAA", detached: Some(b"BBBB") }]).unwrap();
    let shown = format!("{:?} {journal:?}", read_all(&journal));
    assert!(shown.contains("Some(4 bytes)") && !shown.contains("65") && !shown.contains("66"));
}

/// Place and length of each frame of a segment file of one-entry calls.
fn frames(bytes: &[u8]) -> Vec<(usize, usize)> {
    let mut at = HEADER_BYTES;
    let mut found = Vec::new();
    while at < bytes.len() {
        let len = |at: usize| usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
        let frame = HEAD_BYTES + len(at) + len(at + 8);
        found.push((at, frame));
        at += frame;
    }
    found
}
