//! Tables: what the hub makes of a birth and of a batch. In the tables a stream's records are the
//! letters of a word, so `abcd` is a journal of four records.

use proptest::prelude::*;

use super::*;
use crate::journal::CHAIN_START;

#[test]
fn a_birth_is_compared_with_what_the_hub_has() {
    use BirthVerdict::{Behind, Fork, GoOn, Successor, Unrelated};
    let hub = Some(cursor("abc"));
    let same = |journal: &str| birth(1, None, journal);
    for (known, birth, verdict) in [
        (None, same(""), GoOn),
        (None, same("abc"), GoOn),
        (None, birth(1, Some(9), "abc"), GoOn),
        (Some(cursor("")), same(""), GoOn),
        (Some(cursor("")), same("abc"), GoOn),
        (hub, same("abc"), GoOn),
        (hub, same("abcd"), GoOn),
        (hub, same("xyz"), Fork),
        (hub, same("ab"), Behind),
        (hub, same("xy"), Behind),
        (hub, same(""), Behind),
        // Whether a longer journal is another one, the first batch tells.
        (hub, same("xyzw"), GoOn),
        (hub, birth(2, Some(1), "a"), Successor),
        (hub, birth(2, None, "abc"), Unrelated),
        (hub, birth(2, Some(9), "abc"), Unrelated),
        (hub, birth(1, Some(9), "abc"), GoOn),
    ] {
        assert_eq!(on_birth(known, birth), verdict, "{known:?} {birth:?}");
    }
}

#[test]
fn r01_r02_a_batch_is_compared_with_the_watermark() {
    let commit = |skip, all: &str| BatchVerdict::Commit { skip, next: cursor(all) };
    let fork = |seq| BatchVerdict::Fork { seq };
    for (hub, journal, first, last, verdict) in [
        ("", "abc", 1, 3, commit(0, "abc")),
        ("ab", "abcd", 3, 4, commit(0, "abcd")),
        // Overlap: only what is new is stored.
        ("ab", "abcd", 1, 4, commit(2, "abcd")),
        ("ab", "abcd", 2, 3, commit(1, "abc")),
        // Duplicates, wherever they end.
        ("abc", "abc", 1, 3, BatchVerdict::Duplicate),
        ("abc", "abc", 3, 3, BatchVerdict::Duplicate),
        ("abc", "abc", 1, 2, BatchVerdict::Duplicate),
        ("abc", "abc", 1, 1, BatchVerdict::Duplicate),
        // Gaps.
        ("", "abc", 2, 3, BatchVerdict::Gap { want: 1 }),
        ("ab", "abcd", 4, 4, BatchVerdict::Gap { want: 3 }),
        // Another history: from the start, up to the watermark, or grown on it.
        ("abc", "xyzw", 4, 4, fork(3)),
        ("abc", "xyzw", 1, 4, fork(3)),
        ("abc", "abxd", 3, 4, fork(3)),
        ("abc", "xyz", 1, 3, fork(3)),
        ("abc", "abx", 3, 3, fork(3)),
        // Below the watermark it cannot be told from a duplicate and has as little effect.
        ("abc", "axc", 1, 2, BatchVerdict::Duplicate),
    ] {
        let records = words(journal);
        let batch = batch(&records, journal, first, last);
        let said = on_batch(cursor(hub), batch);
        assert_eq!(said, Ok(verdict), "hub {hub:?}, journal {journal:?} from {first} to {last}");
    }
}

#[test]
fn a_batch_that_lies_about_its_beginning_is_another_history() {
    let records = words("cd");
    let lying = Batch { stream: stream(1), first_seq: 3, previous: CHAIN_START, records: &records };
    assert_eq!(on_batch(cursor("ab"), lying), Ok(BatchVerdict::Fork { seq: 2 }));
}

#[test]
fn a_batch_has_limits() {
    let of = |records: &[Vec<u8>], first_seq, number| {
        let batch = Batch { stream: stream(number), first_seq, previous: CHAIN_START, records };
        on_batch(cursor(""), batch)
    };
    let sized = |records: usize, bytes: usize| vec![vec![0; bytes]; records];
    assert!(of(&sized(BATCH_MAX_RECORDS, 1), 1, 1).is_ok());
    assert!(of(&sized(2, RECORD_MAX_BYTES), 1, 1).is_ok());
    let records = BATCH_MAX_RECORDS + 1;
    for (said, error) in [
        (of(&sized(records, 1), 1, 1), BatchError::TooManyRecords { records }),
        (of(&sized(0, 0), 1, 1), BatchError::Empty),
        (
            of(&sized(1, RECORD_MAX_BYTES + 1), 1, 1),
            BatchError::RecordTooLarge { bytes: RECORD_MAX_BYTES + 1 },
        ),
        (
            of(&sized(5, BATCH_MAX_BYTES / 4), 1, 1),
            BatchError::TooManyBytes { bytes: BATCH_MAX_BYTES / 4 * 5 },
        ),
        (of(&sized(1, 1), 1, 2), BatchError::OtherStream),
        (of(&sized(1, 1), 0, 1), BatchError::SeqOutOfRange { first_seq: 0 }),
        (of(&sized(1, 1), u64::MAX, 1), BatchError::SeqOutOfRange { first_seq: u64::MAX }),
    ] {
        assert_eq!(said, Err(error));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever part of whatever journal arrives, the hub holds a piece of the true one, and it
    /// only grows.
    #[test]
    fn the_watermark_moves_only_along_the_true_journal(
        true_journal in "[a-c]{0,12}",
        parts in prop::collection::vec(("[a-c]{0,12}", any::<bool>(), 0..14_usize, 0..14_usize), 0..20),
    ) {
        let mut held = String::new();
        for (other, honest, first, len) in parts {
            let journal = if honest { &true_journal } else { &other };
            let first = first.min(journal.len()).max(1);
            let last = (first + len).min(journal.len());
            if last < first {
                continue;
            }
            let records = words(journal);
            let verdict = on_batch(cursor(&held), batch(&records, journal, first, last)).unwrap();
            if let BatchVerdict::Commit { skip, next } = verdict {
                // The chain vouches for all before the batch: what is taken continues what is held.
                prop_assert_eq!(&journal[..held.len()], &held);
                prop_assert_eq!(first + skip, held.len() + 1);
                held = journal[..last].to_owned();
                prop_assert_eq!(next, cursor(&held));
            } else if honest && true_journal.starts_with(&held) {
                let beyond = first > held.len() + 1;
                let known = last <= held.len();
                prop_assert!(beyond || known);
                let forked = matches!(verdict, BatchVerdict::Fork { .. });
                prop_assert!(!forked);
            }
        }
    }
}

fn words(journal: &str) -> Vec<Vec<u8>> {
    journal.bytes().map(|letter| vec![letter]).collect()
}

fn hash(journal: &str) -> ChainHash {
    words(journal).iter().fold(CHAIN_START, |hash, record| next_hash(hash, record))
}

fn batch<'a>(records: &'a [Vec<u8>], journal: &str, first: usize, last: usize) -> Batch<'a> {
    Batch {
        stream: stream(1),
        first_seq: first as u64,
        previous: hash(&journal[..first - 1]),
        records: &records[first - 1..last],
    }
}

fn cursor(journal: &str) -> Cursor {
    Cursor { stream: stream(1), committed: journal.len() as u64, hash: hash(journal) }
}

fn birth(number: u8, parent: Option<u8>, journal: &str) -> Birth {
    Birth {
        stream: stream(number),
        parent: parent.map(stream),
        oldest: 1,
        head: journal.len() as u64,
        head_hash: hash(journal),
    }
}

const fn stream(number: u8) -> StreamId {
    StreamId([number; 16])
}
