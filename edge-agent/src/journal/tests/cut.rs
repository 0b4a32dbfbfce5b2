//! Cutting back: whatever is cut, a beginning of what was there is left, and at whatever step the power goes.

use proptest::prelude::*;

use super::{crash::coin, *};
use crate::journal::Medium;

const DIR: &str = "/journal";
const ASIDE: &str = "/cut";

/// A journal of calls of these many records.
fn made_of(disk: &FaultyDisk, calls: &[usize]) -> Journal {
    let medium = Arc::new(disk.clone());
    let mut journal = Journal::create_on(medium, Path::new(DIR), STREAM, SMALL).unwrap();
    for count in calls {
        let first = journal.head_seq() + 1;
        let records: Vec<_> = (first..first + *count as u64).map(record).collect();
        let entries: Vec<_> = records.iter().map(|record| plain(record)).collect();
        journal.append(&entries).unwrap();
    }
    journal
}

fn reopen(disk: &FaultyDisk) -> Journal {
    let medium = Arc::new(disk.clone());
    Journal::open_on(medium, Path::new(DIR), SMALL, Verify::All).unwrap().0
}

fn holds(journal: &Journal, head: u64) {
    assert_eq!(journal.head_seq(), head);
    assert_eq!(journal.head_hash(), hash_of((1..=head).map(record)));
    let all = read_all(journal);
    assert_eq!(all.len() as u64, head);
    assert!(all.iter().all(|stored| stored.record == record(stored.seq)));
}

#[test]
fn a_journal_can_be_cut_at_every_record_and_goes_on_from_there() {
    let calls = [1, 3, 2, 5, 1, 1, 40, 2, 3];
    let head = calls.iter().sum::<usize>() as u64;
    for above in 0..=head {
        let disk = FaultyDisk::default();
        let mut journal = made_of(&disk, &calls);
        journal.cut(above, Path::new(ASIDE)).unwrap();
        holds(&journal, above);
        fill(&mut journal, above + 1, above + 90);
        holds(&journal, above + 90);
        drop(journal);
        disk.cut_power(|| false);
        holds(&reopen(&disk), above + 90);
    }
}

#[test]
fn what_is_cut_off_is_kept_twice_and_no_more() {
    let disk = FaultyDisk::default();
    let mut journal = made_of(&disk, &[6]);
    for above in [5, 5, 4, 3] {
        journal.cut(above, Path::new(ASIDE)).unwrap();
    }
    let names = Medium::list(&disk, Path::new(ASIDE)).unwrap();
    let kept = ["cut-00000000000000000002.log", "cut-00000000000000000003.log"];
    assert_eq!(names, kept, "nothing was cut the second time");
    let bytes = disk.bytes(&Path::new(ASIDE).join(kept[1]));
    let header = Header::decode(&bytes).unwrap();
    assert_eq!((header.stream_id, header.first_seq), (STREAM, 4));
    assert!(matches!(journal.cut(9, Path::new(ASIDE)), Err(CutError::Read(_))));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn p_f_a_cut_that_is_cut_short_leaves_a_beginning_and_can_be_made_again(
        calls in proptest::collection::vec(1..12usize, 1..30),
        above in any::<proptest::sample::Index>(),
        sync in 1..12u64,
        power in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let head = calls.iter().sum::<usize>() as u64;
        let above = above.index(head as usize + 1) as u64;
        let disk = FaultyDisk::default();
        let mut journal = made_of(&disk, &calls);
        disk.fail_sync_in(sync);
        let first = journal.cut(above, Path::new(ASIDE));
        drop(journal);
        if power {
            disk.cut_power(coin(seed));
        }
        disk.forgive();
        let mut journal = reopen(&disk);
        let left = journal.head_seq();
        prop_assert!(left <= head);
        holds(&journal, left);
        if first.is_ok() {
            prop_assert_eq!(left, above);
        }
        journal.cut(above.min(left), Path::new(ASIDE)).unwrap();
        holds(&journal, above.min(left));
    }
}
