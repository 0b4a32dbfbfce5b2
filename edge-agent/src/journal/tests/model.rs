//! Random appends, erasures, prunings and reopenings equal a list in memory.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
pub(super) enum Op {
    /// Record and detached sizes of each entry.
    Append(Vec<(usize, Option<usize>)>),
    Erase(prop::sample::Index),
    Prune(prop::sample::Index),
    Reopen(bool),
}

pub(super) fn op() -> impl Strategy<Value = Op> {
    let entry = (1..80usize, proptest::option::of(1..60usize));
    prop_oneof![
        6 => proptest::collection::vec(entry, 1..6).prop_map(Op::Append),
        1 => any::<prop::sample::Index>().prop_map(Op::Erase),
        1 => any::<prop::sample::Index>().prop_map(Op::Prune),
        1 => any::<bool>().prop_map(Op::Reopen),
    ]
}

/// The list in memory: the record at index 0 has seq 1.
#[derive(Clone, Debug, Default)]
pub(super) struct Model {
    pub(super) records: Vec<(Vec<u8>, Detached)>,
}

impl Model {
    /// Entries of these sizes, all different.
    pub(super) fn entries(&self, sizes: &[(usize, Option<usize>)]) -> Vec<(Vec<u8>, Detached)> {
        let first = self.records.len();
        let bytes = |seq: usize, len: usize| (0..len).map(|i| (seq * 7 + i) as u8).collect();
        sizes
            .iter()
            .enumerate()
            .map(|(i, &(record, detached))| {
                let detached = detached
                    .map_or(Detached::None, |len| Detached::Some(bytes(first + i + 3, len)));
                (bytes(first + i, record), detached)
            })
            .collect()
    }

    pub(super) fn check(&self, journal: &Journal) {
        assert_eq!(journal.head_seq(), self.records.len() as u64);
        let oldest = journal.oldest_seq();
        let stored = read_all(journal);
        let kept = &self.records[(oldest - 1) as usize..];
        assert_eq!(stored.len(), kept.len());
        for (index, (stored, (record, detached))) in stored.iter().zip(kept).enumerate() {
            assert_eq!(stored.seq, oldest + index as u64);
            assert_eq!(&stored.record, record);
            assert_eq!(&stored.detached, detached);
        }
        let records = || self.records.iter().map(|(record, _)| record.clone());
        assert_eq!(journal.head_hash(), hash_of(records()));
        for seq in oldest - 1..=journal.head_seq() {
            assert_eq!(journal.hash_at(seq).unwrap(), hash_of(records().take(seq as usize)));
        }
    }
}

pub(super) fn borrowed(entries: &[(Vec<u8>, Detached)]) -> Vec<Entry<'_>> {
    entries
        .iter()
        .map(|(record, detached)| Entry {
            record,
            detached: match detached {
                Detached::Some(bytes) => Some(bytes),
                Detached::None | Detached::Erased => None,
            },
        })
        .collect()
}

/// Erases in both, if there is anything.
pub(super) fn erase(journal: &mut Journal, model: &mut Model, which: &prop::sample::Index) {
    let oldest = journal.oldest_seq();
    let Some(count) = (journal.head_seq() + 1).checked_sub(oldest).filter(|count| *count > 0)
    else {
        return;
    };
    let seq = oldest + which.index(count as usize) as u64;
    let detached = &mut model.records[(seq - 1) as usize].1;
    let expected = match detached {
        Detached::None => Erasure::NothingDetached,
        Detached::Erased => Erasure::AlreadyErased,
        Detached::Some(_) => Erasure::Erased,
    };
    if expected == Erasure::Erased {
        *detached = Detached::Erased;
    }
    assert_eq!(journal.erase_detached(seq).unwrap(), expected);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_journal_equals_its_model(ops in proptest::collection::vec(op(), 1..40)) {
        let medium = Arc::new(FaultyDisk::default());
        let dir = Path::new("/journal");
        let mut journal = Journal::create_on(medium.clone(), dir, STREAM, SMALL).unwrap();
        let mut model = Model::default();
        for op in ops {
            match op {
                Op::Append(sizes) => {
                    let entries = model.entries(&sizes);
                    let appended = journal.append(&borrowed(&entries)).unwrap();
                    model.records.extend(entries);
                    prop_assert_eq!(appended.last_seq, model.records.len() as u64);
                }
                Op::Erase(which) => erase(&mut journal, &mut model, &which),
                Op::Prune(upto) => {
                    let upto = upto.index(model.records.len() + 1) as u64;
                    let pruned = journal.prune(upto).unwrap();
                    prop_assert!(pruned.oldest_seq <= upto + 1 || pruned.removed_segments == 0);
                }
                Op::Reopen(all) => {
                    let oldest = journal.oldest_seq();
                    drop(journal);
                    let verify = if all { Verify::All } else { Verify::Tail };
                    let recovery;
                    (journal, recovery) =
                        Journal::open_on(medium.clone(), dir, SMALL, verify).unwrap();
                    prop_assert_eq!(recovery.oldest_seq, oldest);
                    prop_assert_eq!(recovery.torn_bytes, 0);
                }
            }
        }
        model.check(&journal);
    }
}
