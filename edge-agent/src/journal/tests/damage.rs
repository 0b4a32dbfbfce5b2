//! Torn tails are cut off, damage is refused, and neither is taken for the other.

use proptest::prelude::*;

use super::*;
use crate::journal::{Damage, fuzz_segment};

fn write(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).unwrap();
}

fn first_segment(dir: &TempDir) -> PathBuf {
    dir.path().join(segment_name(1))
}

/// Opening fails; answers seq and damage, and nothing was changed.
fn refused(dir: &Path) -> (u64, Damage) {
    let before: Vec<_> = segments(dir).iter().map(|path| fs::read(path).unwrap()).collect();
    let found = match Journal::open(dir, ONE_SEGMENT, Verify::All) {
        Err(OpenError::Damaged { seq, damage, .. }) => (seq, damage),
        other => panic!("{other:?}"),
    };
    let after: Vec<_> = segments(dir).iter().map(|path| fs::read(path).unwrap()).collect();
    assert!(before == after, "a refused journal was changed");
    found
}

#[test]
fn a_tail_torn_at_any_byte_is_cut_off_and_the_journal_goes_on() {
    let dir = made(ONE_SEGMENT, 5);
    let path = first_segment(&dir);
    let keep = fs::read(&path).unwrap().len();
    {
        let (mut journal, _) = open(dir.path(), ONE_SEGMENT);
        let entry = Entry { record: b"the last", detached: Some(b"and its detached part") };
        journal.append(&[entry]).unwrap();
    }
    let whole = fs::read(&path).unwrap();
    for len in keep..whole.len() {
        write(&path, &whole[..len]);
        let (mut journal, recovery) = open(dir.path(), ONE_SEGMENT);
        assert_eq!((recovery.head_seq, recovery.torn_bytes), (5, (len - keep) as u64));
        assert_eq!(fs::metadata(&path).unwrap().len(), keep as u64);
        journal.append(&[plain(b"instead")]).unwrap();
        drop(journal);
        let (journal, recovery) = open(dir.path(), ONE_SEGMENT);
        assert_eq!((journal.head_seq(), recovery.torn_bytes), (6, 0));
    }
}

#[test]
fn a_call_of_many_entries_torn_at_any_byte_goes_as_a_whole() {
    let dir = made(ONE_SEGMENT, 5);
    let path = first_segment(&dir);
    let keep = fs::read(&path).unwrap().len();
    open(dir.path(), ONE_SEGMENT).0.append(&[plain(b"a"), plain(b"bb"), plain(b"ccc")]).unwrap();
    let whole = fs::read(&path).unwrap();
    for len in keep..whole.len() {
        write(&path, &whole[..len]);
        assert_eq!(open(dir.path(), ONE_SEGMENT).0.head_seq(), 5, "cut at {len}");
    }
    for at in keep..whole.len() {
        // A hole, with the rest of the call behind it: sectors arrive in any order.
        let mut torn = whole.clone();
        torn[at] ^= 0x10;
        write(&path, &torn);
        let (journal, recovery) = open(dir.path(), ONE_SEGMENT);
        assert_eq!((journal.head_seq(), recovery.torn_bytes), (5, (whole.len() - keep) as u64));
    }
    write(&path, &[&whole[..keep], &[0; 4096]].concat());
    assert_eq!(open(dir.path(), ONE_SEGMENT).1.torn_bytes, 4096);
}

#[test]
fn any_flipped_bit_before_the_last_call_is_damage_at_its_place() {
    let dir = made(ONE_SEGMENT, 2);
    let path = first_segment(&dir);
    {
        let (mut journal, _) = open(dir.path(), ONE_SEGMENT);
        journal.append(&[Entry { record: b"x", detached: Some(b"part") }]).unwrap();
        fill(&mut journal, 4, 5);
    }
    let whole = fs::read(&path).unwrap();
    let frames = frames(&whole);
    for (index, (at, len)) in frames[..4].iter().enumerate() {
        for bit in 0..len * 8 {
            let mut flipped = whole.clone();
            flipped[at + bit / 8] ^= 1 << (bit % 8);
            write(&path, &flipped);
            let (seq, damage) = refused(dir.path());
            assert_eq!(seq, index as u64 + 1, "bit {bit}");
            assert!(matches!(damage, Damage::Head | Damage::Record | Damage::Detached));
        }
    }
    for bit in 0..HEADER_BYTES * 8 {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        write(&path, &flipped);
        match Journal::open(dir.path(), ONE_SEGMENT, Verify::All) {
            Err(OpenError::Damaged { seq: 1, damage: Damage::Header, .. }) => {}
            Err(OpenError::NewerFormat { .. }) => assert!((4..6).contains(&(bit / 8))),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn frames_taken_out_or_exchanged_are_damage() {
    let dir = made(ONE_SEGMENT, 5);
    let path = first_segment(&dir);
    let whole = fs::read(&path).unwrap();
    let frames = frames(&whole);
    let (second, third) = (frames[1], frames[2]);
    let gone = [&whole[..second.0], &whole[third.0..]].concat();
    write(&path, &gone);
    assert_eq!(refused(dir.path()), (2, Damage::Order));
    let mut swapped = whole.clone();
    swapped[second.0..third.0 + third.1].rotate_left(second.1);
    write(&path, &swapped);
    assert_eq!(refused(dir.path()), (2, Damage::Order));
}

#[test]
fn a_frame_inside_a_torn_record_is_not_taken_for_a_later_one() {
    let dir = made(ONE_SEGMENT, 3);
    let path = first_segment(&dir);
    let keep = fs::read(&path).unwrap().len();
    let mut inner = Vec::new();
    put_frame(&mut inner, 5, 0, &plain(b"planted"));
    inner.extend_from_slice(&[0; 30]);
    open(dir.path(), ONE_SEGMENT).0.append(&[plain(&inner)]).unwrap();
    let mut torn = fs::read(&path).unwrap();
    *torn.last_mut().unwrap() = 1;
    write(&path, &torn);
    let (journal, recovery) = open(dir.path(), ONE_SEGMENT);
    assert_eq!((journal.head_seq(), recovery.torn_bytes), (3, (torn.len() - keep) as u64));
}

#[test]
fn an_older_segment_has_no_torn_tail() {
    let dir = made(SMALL, 60);
    let path = &segments(dir.path())[1];
    let whole = fs::read(path).unwrap();
    for len in [whole.len() - 1, whole.len() - 20, HEADER_BYTES + 3, 10, 0] {
        write(path, &whole[..len]);
        refused(dir.path());
    }
    write(path, &[&whole[..], b"more"].concat());
    refused(dir.path());
    let frames = frames(&whole);
    write(path, &whole[..frames.last().unwrap().0]);
    assert_eq!(refused(dir.path()).1, Damage::Missing);
    write(path, &whole);
    open(dir.path(), SMALL);
}

#[test]
fn a_missing_foreign_or_exchanged_segment_is_damage() {
    let dir = made(SMALL, 60);
    let files = segments(dir.path());
    let whole = fs::read(&files[1]).unwrap();
    fs::remove_file(&files[1]).unwrap();
    assert_eq!(refused(dir.path()).1, Damage::Missing);

    let header = Header::decode(&whole).unwrap();
    let with = |header: Header| [&header.encode(), &whole[HEADER_BYTES..]].concat();
    write(&files[1], &with(Header { stream_id: [8; 16], ..header.clone() }));
    assert_eq!(refused(dir.path()).1, Damage::Stream);
    write(&files[1], &with(Header { prev_hash: [8; 32], ..header.clone() }));
    assert_eq!(refused(dir.path()).1, Damage::Chain);
    fs::copy(&files[2], &files[1]).unwrap();
    assert_eq!(refused(dir.path()).1, Damage::Header);
    write(&files[1], &whole);
    open(dir.path(), SMALL);
}

#[test]
fn with_tail_verification_older_damage_is_found_when_read() {
    let dir = made(SMALL, 60);
    let path = &segments(dir.path())[1];
    let mut bytes = fs::read(path).unwrap();
    bytes[HEADER_BYTES + HEAD_BYTES] ^= 1;
    write(path, &bytes);
    let (journal, _) = Journal::open(dir.path(), SMALL, Verify::Tail).unwrap();
    let start = Header::decode(&bytes).unwrap().first_seq;
    assert!(matches!(
        journal.read(start, 1, 100),
        Err(ReadError::Damaged { seq, damage: Damage::Record, .. }) if seq == start
    ));
    assert_eq!(journal.read(1, 1, 100).unwrap()[0].record, record(1));
}

#[test]
fn damage_under_an_open_journal_is_an_error_to_its_reader() {
    let dir = made(ONE_SEGMENT, 5);
    let path = first_segment(&dir);
    let (journal, _) = open(dir.path(), ONE_SEGMENT);
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    write(&path, &bytes);
    assert_eq!(journal.read(1, 4, 1000).unwrap().len(), 4);
    assert!(matches!(journal.read(5, 1, 1000), Err(ReadError::Damaged { seq: 5, .. })));
}

#[test]
fn a_segment_without_a_whole_header_is_removed() {
    let dir = made(SMALL, 60);
    let (_, before) = open(dir.path(), SMALL);
    let next = dir.path().join(segment_name(61));
    let header = Header { stream_id: STREAM, first_seq: 61, prev_hash: before.head_hash }.encode();
    for len in 0..HEADER_BYTES {
        write(&next, &header[..len]);
        let (journal, recovery) = open(dir.path(), SMALL);
        assert_eq!((journal.head_seq(), recovery.removed_segment), (60, Some(next.clone())));
        assert!(!next.exists());
    }
    // With a whole header it is simply the current one.
    write(&next, &header);
    let (mut journal, recovery) = open(dir.path(), SMALL);
    assert_eq!((journal.head_seq(), recovery.removed_segment), (60, None));
    fill(&mut journal, 61, 62);
    drop(journal);
    // And with records behind a bad header it is damage.
    let mut bytes = fs::read(&next).unwrap();
    bytes[3] ^= 1;
    write(&next, &bytes);
    assert_eq!(refused(dir.path()), (61, Damage::Header));
}

#[test]
fn a_torn_header_that_hides_a_gap_is_damage() {
    let dir = made(SMALL, 60);
    write(&dir.path().join(segment_name(63)), b"PSTJ");
    assert_eq!(refused(dir.path()), (61, Damage::Missing));
}

#[test]
fn a_crash_inside_create_leaves_nothing_in_the_way() {
    let dir = TempDir::new().unwrap();
    write(&first_segment(&dir), b"PSTJ\x01\0");
    assert!(matches!(
        Journal::open(dir.path(), SMALL, Verify::All),
        Err(OpenError::NotCreated { .. })
    ));
    fill(&mut Journal::create(dir.path(), STREAM, SMALL).unwrap(), 1, 3);
    assert_eq!(open(dir.path(), SMALL).0.head_seq(), 3);
}

#[test]
fn a_newer_format_is_refused_with_instructions_and_nothing_is_touched() {
    let dir = made(SMALL, 60);
    let files = segments(dir.path());
    // Something to repair, which must wait.
    let torn = [&fs::read(&files[3]).unwrap()[..], b"torn"].concat();
    write(&files[3], &torn);
    let mut newer = fs::read(&files[1]).unwrap();
    newer[4] = 2;
    write(&files[1], &newer);
    let err = Journal::open(dir.path(), SMALL, Verify::All).unwrap_err();
    assert!(matches!(err, OpenError::NewerFormat { found: 2, known: 1, .. }));
    assert!(err.to_string().contains("install that agent or a later one"), "{err}");
    assert_eq!(fs::read(&files[1]).unwrap(), newer);
    assert_eq!(fs::read(&files[3]).unwrap(), torn);
    assert!(matches!(Journal::create(dir.path(), STREAM, SMALL), Err(CreateError::Exists { .. })));
}

#[test]
fn an_interrupted_erasure_is_finished() {
    let dir = TempDir::new().unwrap();
    {
        let mut journal = Journal::create(dir.path(), STREAM, SMALL).unwrap();
        journal.append(&[Entry { record: b"r", detached: Some(b"the part") }]).unwrap();
        fill(&mut journal, 2, 3);
    }
    let path = first_segment(&dir);
    let mut bytes = fs::read(&path).unwrap();
    bytes[HEADER_BYTES + 11] = 0xe5;
    bytes[HEADER_BYTES + HEAD_BYTES + 1] = 0;
    write(&path, &bytes);
    let (journal, recovery) = open(dir.path(), SMALL);
    assert_eq!(recovery.finished_erasures, 1);
    assert_eq!(journal.read(1, 1, 100).unwrap()[0].detached, Detached::Erased);
    assert!(!fs::read(&path).unwrap().windows(4).any(|window| window == b"part"));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_are_parsed_without_panic(
        noise in proptest::collection::vec(any::<u8>(), 0..300),
        calls in proptest::collection::vec(1..5u8, 0..8),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
    ) {
        fuzz_segment(&noise);
        let header = Header { stream_id: STREAM, first_seq: 65_530, prev_hash: [1; 32] };
        fuzz_segment(&[&header.encode()[..], &noise].concat());
        let (mut bytes, mut seq) = (header.encode().to_vec(), header.first_seq);
        for count in calls {
            for left in (0..count).rev() {
                put_frame(&mut bytes, seq, left, &Entry { record: b"record", detached: Some(b"d") });
            }
            seq += u64::from(count);
        }
        bytes.extend_from_slice(&noise);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let cut = cut.index(bytes.len() + 1);
        fuzz_segment(&bytes[..cut]);
    }
}
