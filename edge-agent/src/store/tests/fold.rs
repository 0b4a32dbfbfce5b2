//! sled tells the same as memory, whatever the facts.

use locker_core::ids::BootId;
use locker_core::journal::CHAIN_START;
use proptest::prelude::*;

use super::facts::any_fact;
use super::*;
use crate::store::fold::SledFold;

fn record(seq: u64, at: u64, fact: Fact) -> Record {
    Record {
        stream: STREAM,
        seq,
        boot: BootId([1; 16]),
        at: UnixMillis(at),
        quality: TimeQuality::Unknown,
        previous: CHAIN_START,
        trace: None,
        detached: None,
        fact,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn sled_and_memory_fold_any_facts_alike(
        steps in prop::collection::vec(
            (prop::collection::vec(any_fact(), 1..5), prop_oneof![9 => 0..1_000_u64, 1 => Just(3_000_000_000)]),
            1..40,
        ),
    ) {
        let dir = TempDir::new().unwrap();
        let mut sled = SledFold::open(dir.path()).unwrap();
        let mut memory = MemoryView::default();
        let (mut seq, mut at) = (0, 0);
        for (facts, later) in steps {
            at += later;
            let mut overlay = Overlay::new(&sled);
            for fact in facts {
                seq += 1;
                let record = record(seq, at, fact);
                let changes = fold_record(&memory, &record);
                memory.apply(changes);
                let changes = fold_record(&overlay, &record);
                overlay.push(changes);
            }
            let changes = overlay.into_changes();
            sled.apply(changes, Applied { stream: STREAM, seq, hash: CHAIN_START }).unwrap();
            same(&sled, &memory);
        }
        // What an export makes from nothing, in memory and in sled.
        let mut imported = MemoryView::default();
        imported.apply(sled.export().unwrap());
        prop_assert_eq!(&imported, &memory);
        let again = TempDir::new().unwrap();
        let mut restored = SledFold::open(again.path()).unwrap();
        let applied = Applied { stream: STREAM, seq, hash: CHAIN_START };
        restored.apply(memory.export(), applied).unwrap();
        same(&restored, &memory);
        // And what a restart reads.
        drop(sled);
        sled_let_go(dir.path());
        let reopened = SledFold::open(dir.path()).unwrap();
        prop_assert_eq!(reopened.applied(), Some(applied));
        same(&reopened, &memory);
        prop_assert!(reopened.take_fault().is_none());
    }
}
