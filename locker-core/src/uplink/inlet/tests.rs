//! Tables: what the hub makes of a birth and of a batch. In the tables a stream's records are the
//! letters of a word, so `abcd` is a journal of four records.

use proptest::prelude::*;

use super::*;
use crate::journal::stream::ladder;

#[test]
fn a_birth_is_compared_with_what_the_hub_has() {
    use BirthVerdict::GoOn;
    let restore = |from| BirthVerdict::Restore { from };
    let hub = "abcdefgh";
    for (known, journal, verdict) in [
        (None, "", GoOn),
        (None, "abc", GoOn),
        (Some(""), "", GoOn),
        (Some(""), "abc", GoOn),
        (Some(hub), "abcdefgh", GoOn),
        (Some(hub), "abcdefghi", GoOn),
        (Some(hub), "abcdefghijklmn", GoOn),
        // Behind: an old copy, or flash that lied.
        (Some(hub), "abcdefg", restore(8)),
        (Some(hub), "abc", restore(4)),
        (Some(hub), "", restore(1)),
        // Behind, and it has begun to write again. The last rung in common is at or below the last record in common.
        (Some(hub), "abcdeX", restore(6)),
        (Some(hub), "abcdeXY", restore(6)),
        (Some(hub), "abcdeXYZ", restore(5)),
        (Some(hub), "abcdXYZW", restore(5)),
        (Some(hub), "abcdefgXYZ", restore(7)),
        // Nothing but the beginning in common.
        (Some(hub), "XYZ", restore(1)),
        (Some(hub), "XYZXYZXY", restore(1)),
        // No rung shows it: the first batch will.
        (Some(hub), "abcdefgX+++++++", GoOn),
    ] {
        let cursor = known.map(cursor);
        let said = on_birth(cursor, birth(1, None, journal), past(known, journal, 1, 1));
        assert_eq!(said, verdict, "{known:?} {journal:?}");
    }
}

#[test]
fn a_birth_of_a_stream_that_cannot_be_given_back_is_a_fork() {
    let fork = |last_common| BirthVerdict::Fork { last_common };
    let hub = "abcdefgh";
    for (journal, oldest, held_from, verdict) in [
        // The bank has pruned all that they may have in common.
        ("abcdeXYZ", 7, 1, fork(None)),
        ("abX", 3, 1, BirthVerdict::Restore { from: 3 }),
        // The hub has.
        ("abcdX", 1, 6, fork(Some(4))),
        ("abcdeX", 1, 6, BirthVerdict::Restore { from: 6 }),
    ] {
        let past = past(Some(hub), journal, oldest, held_from);
        let birth = Birth { oldest, ..birth(1, None, journal) };
        assert_eq!(on_birth(Some(cursor(hub)), birth, past), verdict, "{journal:?}");
    }
    // An agent that says no ladder, and only its head tells.
    let none = Past { held_from: 1, ..Past::default() };
    let cursor = Some(cursor(hub));
    assert_eq!(on_birth(cursor, birth(1, None, "XYZXYZXY"), none), fork(None));
    assert_eq!(on_birth(cursor, birth(1, None, "abc"), none), fork(None));
}

#[test]
fn p_j_a_new_stream_is_compared_with_the_one_it_goes_on_from() {
    use BirthVerdict::Unrelated;
    let hub = cursor("abcd");
    let parent = |number, common: Option<&str>, reason| {
        let common = common.map(|past| Place { seq: past.len() as u64, hash: hash(past) });
        Some(Parent { stream: stream(number), common, reason })
    };
    let successor = |behind| BirthVerdict::Successor { behind };
    let (forked, damaged) = (Some(StreamBreak::Forked), Some(StreamBreak::Damaged));
    for (parent, verdict) in [
        (None, Unrelated),
        (parent(9, Some("abcd"), forked), Unrelated),
        // It was sent the hub's branch before it began the new stream.
        (parent(1, Some("ab"), forked), successor(false)),
        (parent(1, None, forked), successor(true)),
        (parent(1, Some("abcd"), damaged), successor(false)),
        (parent(1, Some("abcdef"), damaged), successor(false)),
        (parent(1, Some("abc"), damaged), successor(true)),
        (parent(1, None, damaged), successor(true)),
        (parent(1, Some("abc"), Some(StreamBreak::Replaced)), successor(true)),
        (parent(1, None, None), successor(true)),
    ] {
        let birth = birth(2, parent, "x");
        assert_eq!(on_birth(Some(hub), birth, Past::default()), verdict, "{birth:?}");
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

fn birth(number: u8, parent: Option<Parent>, journal: &str) -> Birth {
    Birth {
        stream: stream(number),
        parent,
        oldest: 1,
        head: journal.len() as u64,
        head_hash: hash(journal),
    }
}

/// What the ladder of `journal`, of which the bank still has `oldest` and later, tells a hub that has `known`.
fn past(known: Option<&str>, journal: &str, oldest: u64, held_from: u64) -> Past {
    let Some(known) = known else { return Past::default() };
    let place =
        |of: &str, seq: u64| Place { seq, hash: hash(&of[..usize::try_from(seq).unwrap()]) };
    let seqs = ladder(oldest, journal.len() as u64, None);
    let rungs: Vec<Place> = seqs.into_iter().map(|seq| place(journal, seq)).collect();
    let cursor = cursor(known);
    let ours: Vec<Place> =
        Past::asks(cursor, &rungs).into_iter().map(|seq| place(known, seq)).collect();
    Past::compare(cursor, &rungs, &ours, held_from)
}

const fn stream(number: u8) -> StreamId {
    StreamId([number; 16])
}
