//! Whatever the disk forgets, what was acknowledged stays and nothing is half there.

use std::io::ErrorKind;

use proptest::prelude::*;

use super::{
    model::{Model, Op, borrowed, erase, op},
    *,
};

const DIR: &str = "/journal";

#[derive(Clone, Copy, Debug)]
enum Fault {
    Write(u64),
    Full(u64),
    Sync(u64),
}

#[derive(Clone, Copy, Debug)]
enum End {
    /// The process is killed; the page cache lives on.
    Kill,
    PowerCut,
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        (1..4u64).prop_map(Fault::Write),
        (1..4u64).prop_map(Fault::Full),
        (1..5u64).prop_map(Fault::Sync),
    ]
}

/// Some work, a fault, the sizes of the call it may hit, how it ends, and the seed of the coin.
type Round = (Vec<Op>, Fault, Vec<(usize, Option<usize>)>, End, u64);

fn round() -> impl Strategy<Value = Round> {
    let entry = (1..900usize, proptest::option::of(1..300usize));
    let last = proptest::collection::vec(entry, 1..6);
    let end = prop_oneof![Just(End::Kill), Just(End::PowerCut)];
    (proptest::collection::vec(op(), 0..12), fault(), last, end, any::<u64>())
}

/// A coin that is the same for the same seed.
pub(crate) fn coin(mut seed: u64) -> impl FnMut() -> bool {
    move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        seed >> 63 == 1
    }
}

fn reopen(disk: &FaultyDisk) -> Journal {
    let medium = Arc::new(disk.clone());
    Journal::open_on(medium, Path::new(DIR), SMALL, Verify::All).unwrap().0
}

#[test]
fn what_opening_shows_after_a_kill_is_durable() {
    let disk = FaultyDisk::default();
    let medium = Arc::new(disk.clone());
    let mut journal = Journal::create_on(medium, Path::new(DIR), STREAM, SMALL).unwrap();
    fill(&mut journal, 1, 3);
    disk.die_at_next_sync();
    assert!(journal.append(&[plain(b"in the page cache")]).is_err());
    drop(journal);
    disk.forgive();
    assert_eq!(reopen(&disk).head_seq(), 4);
    // The hub may have been told by now.
    disk.cut_power(|| false);
    assert_eq!(reopen(&disk).head_seq(), 4);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn acknowledged_calls_survive_and_others_are_whole_or_gone(
        rounds in proptest::collection::vec(round(), 1..5)
    ) {
        let disk = FaultyDisk::default();
        let medium = Arc::new(disk.clone());
        let mut journal = Journal::create_on(medium, Path::new(DIR), STREAM, SMALL).unwrap();
        let mut model = Model::default();
        for (ops, fault, last, end, seed) in rounds {
            for op in ops {
                match op {
                    Op::Append(sizes) => {
                        let entries = model.entries(&sizes);
                        journal.append(&borrowed(&entries)).unwrap();
                        model.records.extend(entries);
                    }
                    Op::Erase(which) => erase(&mut journal, &mut model, &which),
                    Op::Prune(upto) => {
                        journal.prune(upto.index(model.records.len() + 1) as u64).unwrap();
                    }
                    Op::Reopen(_) => {
                        drop(journal);
                        journal = reopen(&disk);
                    }
                }
            }
            match fault {
                Fault::Write(n) => disk.fail_write_in(n, ErrorKind::Other),
                Fault::Full(n) => disk.fail_write_in(n, ErrorKind::StorageFull),
                Fault::Sync(n) => disk.fail_sync_in(n),
            }
            let entries = model.entries(&last);
            let mut with = model.clone();
            with.records.extend(entries.clone());
            let answer = journal.append(&borrowed(&entries));
            drop(journal);
            match end {
                End::Kill => {}
                End::PowerCut => disk.cut_power(coin(seed)),
            }
            disk.forgive();
            journal = reopen(&disk);
            let whole = journal.head_seq() == with.records.len() as u64;
            prop_assert!(whole || answer.is_err(), "an acknowledged call is gone");
            if whole {
                let full = matches!(answer, Err(AppendError::OutOfSpace { .. }));
                prop_assert!(!full, "a call refused for space is there");
                model = with;
            }
            model.check(&journal);

            // What opening showed is durable: the hub may have been told of it by now.
            drop(journal);
            disk.cut_power(coin(!seed));
            journal = reopen(&disk);
            model.check(&journal);
        }
    }

    #[test]
    fn a_power_cut_inside_a_call_leaves_all_or_nothing(
        calls in proptest::collection::vec(1..4usize, 0..10),
        last in proptest::collection::vec((1..900usize, proptest::option::of(1..300usize)), 1..8),
        seed in any::<u64>(),
    ) {
        let disk = FaultyDisk::default();
        let medium = Arc::new(disk.clone());
        let mut journal = Journal::create_on(medium, Path::new(DIR), STREAM, ONE_SEGMENT).unwrap();
        let mut model = Model::default();
        for count in calls {
            let entries = model.entries(&vec![(30, Some(10)); count]);
            journal.append(&borrowed(&entries)).unwrap();
            model.records.extend(entries);
        }
        let entries = model.entries(&last);
        disk.die_at_next_sync();
        prop_assert!(journal.append(&borrowed(&entries)).is_err());
        drop(journal);
        disk.cut_power(coin(seed));
        journal = reopen(&disk);
        if journal.head_seq() > model.records.len() as u64 {
            model.records.extend(entries);
        }
        model.check(&journal);
    }
}
