//! Records that the hub gives back: taken in, put in place at the next start, and never half.

use std::sync::Arc;

use locker_core::bank::BoardChanged;
use locker_core::ids::SessionId;
use locker_core::journal::{CHAIN_START, next_hash};
use proptest::prelude::*;

use super::*;
use crate::journal::tests::crash::coin;
use crate::journal::tests::faulty::FaultyDisk;
use crate::journal::{Journal, Verify};
use crate::store::incoming::{Incoming, take_back};
use crate::store::restore::{Settled, settle};

/// What a hub holds of a stream: its records.
#[derive(Clone, Debug)]
pub(super) struct Told(pub(super) Vec<Vec<u8>>);

impl Told {
    pub(super) fn of(ledger: &Ledger) -> Self {
        let all = ledger.reader().read(1, usize::MAX, usize::MAX).unwrap();
        Self(all.into_iter().map(|stored| stored.record).collect())
    }

    pub(super) fn hash_at(&self, seq: u64) -> ChainHash {
        let records = &self.0[..usize::try_from(seq).unwrap()];
        records.iter().fold(CHAIN_START, |hash, record| next_hash(hash, record))
    }

    pub(super) fn until(&self) -> Place {
        let seq = self.0.len() as u64;
        Place { seq, hash: self.hash_at(seq) }
    }

    /// Its records `first..=last`.
    pub(super) fn run(&self, first: u64, last: u64) -> Run<'_> {
        let places = usize::try_from(first - 1).unwrap()..usize::try_from(last).unwrap();
        Run {
            first_seq: first,
            previous: self.hash_at(first - 1),
            records: &self.0[places],
            until: self.until(),
        }
    }

    fn given_to(&self, ledger: &mut Ledger, from: u64) {
        let taken = ledger.take_back(self.run(from, self.0.len() as u64)).unwrap();
        assert_eq!(taken, Taken::Complete);
    }
}

/// A store that the hub was told `lost` of, too, and that is an old copy of its disk again.
pub(super) fn old_copy(kept: &[Fact], lost: &[Fact]) -> (Store, Told) {
    let mut store = Store::new();
    let (mut ledger, _) = store.open();
    commit_each(&mut ledger, kept);
    let head = ledger.head().0;
    drop(ledger);
    sled_let_go(&store.path("sled"));
    for name in ["journal", "sled"] {
        copy(&store.path(name), &store.path(&format!("{name}.copy")));
    }
    let (mut ledger, _) = store.open();
    commit_each(&mut ledger, lost);
    let told = Told::of(&ledger);
    assert!(told.0.len() as u64 > head + lost.len() as u64);
    drop(ledger);
    sled_let_go(&store.path("sled"));
    for name in ["journal", "sled"] {
        fs::remove_dir_all(store.path(name)).unwrap();
        fs::rename(store.path(&format!("{name}.copy")), store.path(name)).unwrap();
    }
    (store, told)
}

#[test]
fn p_j_an_old_copy_is_given_its_records_back_and_says_its_start_again() {
    let (mut store, told) = old_copy(&[layout(1), booked(1, 1)], &[booked(2, 1), booked(3, 1)]);
    let (mut ledger, _) = store.open();
    assert!(!ledger.is_restoring());
    let upto = told.0.len() as u64;
    // Its own start stands where the hub has another record.
    assert_eq!(ledger.head().0, 5);
    assert_ne!(ledger.head().1, told.hash_at(5));
    // The last rung in common is below the last record in common.
    assert_eq!(ledger.take_back(told.run(3, 4)).unwrap(), Taken::More);
    assert!(ledger.is_restoring());
    drop(ledger);

    // Not before all is here, and what came is kept.
    let (mut ledger, opened) = store.open();
    assert!(ledger.is_restoring() && opened.healed.is_none());
    assert_eq!(ledger.take_back(told.run(3, 5)).unwrap(), Taken::More);
    assert_eq!(ledger.take_back(told.run(6, upto)).unwrap(), Taken::Complete);
    assert_eq!(ledger.take_back(told.run(3, upto)).unwrap(), Taken::Complete, "said twice");
    drop(ledger);

    let (ledger, opened) = store.open();
    assert_eq!(opened.healed, Some(Healed::Restored { common: 4, upto }));
    assert!(!ledger.is_restoring());
    let now = Told::of(&ledger);
    assert_eq!(now.0[..told.0.len()], told.0);
    assert_eq!(now.0.len(), told.0.len() + 1, "its start, again");
    let Fact::Booted(Booted { boot_count, .. }) = decode_record(&now.0[told.0.len()]).unwrap().fact
    else {
        panic!("a start")
    };
    assert_eq!(
        boot_count, 4,
        "above the starts that the hub was told of, those that were cut off, too"
    );
    assert_eq!(ledger.view().parcels().len(), 3);
    same(ledger.view(), &folded(&ledger));
    assert_eq!(fs::read_dir(store.path("cut")).unwrap().count(), 1, "what was cut off is kept");
    drop(ledger);
    let (_, opened) = store.open();
    assert_eq!((opened.healed, opened.rebuilt), (None, None));
}

#[test]
fn p_j_a_copy_that_is_only_behind_needs_no_cut() {
    let (mut store, told) = old_copy(&[layout(1)], &[booked(2, 1)]);
    let (mut ledger, _) = store.open();
    // As if the hub had heard of this very start, and the records after it were lost.
    let mut told = told;
    told.0.truncate(3);
    told.0.extend(Told::of(&ledger).0.into_iter().skip(3));
    assert_eq!(ledger.head().0, told.0.len() as u64);
    told.given_to(&mut ledger, 2);
    drop(ledger);
    let (_, opened) = store.open();
    let upto = told.0.len() as u64;
    assert_eq!(opened.healed, Some(Healed::Restored { common: upto, upto }));
}

#[test]
fn what_does_not_continue_the_journal_is_not_kept() {
    let (mut store, told) = old_copy(&[layout(1), booked(1, 1)], &[booked(2, 1)]);
    let (mut ledger, _) = store.open();
    let upto = told.0.len() as u64;
    let refused = |ledger: &mut Ledger, run: Run<'_>| ledger.take_back(run).unwrap_err();
    // Behind a record that differs, above the head, and from nowhere.
    let error = refused(&mut ledger, told.run(6, upto));
    assert!(matches!(error, TakeBackError::Foreign), "{error:?}");
    let far = Run { first_seq: 40, ..told.run(upto, upto) };
    assert!(matches!(refused(&mut ledger, far), TakeBackError::Misplaced { seq: 40 }));
    let nowhere = Run { first_seq: 0, ..told.run(1, 2) };
    assert!(matches!(refused(&mut ledger, nowhere), TakeBackError::Foreign));
    let mut altered = told.clone();
    altered.0[2][0] ^= 1;
    let error = refused(&mut ledger, Run { previous: told.hash_at(1), ..altered.run(2, 3) });
    assert!(matches!(error, TakeBackError::Record { seq: 3, .. }), "{error:?}");
    let mut moved = told.clone();
    moved.0.swap(2, 3);
    let error = refused(&mut ledger, moved.run(3, 4));
    assert!(matches!(error, TakeBackError::Misplaced { seq: 3 }), "{error:?}");
    let until = Place { hash: CHAIN_START, ..told.until() };
    let error = refused(&mut ledger, Run { until, ..told.run(3, upto) });
    assert!(matches!(error, TakeBackError::OtherEnd), "{error:?}");
    assert!(!ledger.is_restoring());
}

#[test]
fn p_g_records_that_find_no_room_are_put_in_place_later() {
    let lost: Vec<Fact> = (1..40).map(|version| booked(2, version)).collect();
    let (mut store, told) = old_copy(&[layout(1), booked(1, 1)], &lost);
    let (mut ledger, _) = store.open();
    told.given_to(&mut ledger, 3);
    drop(ledger);
    store.disk.set_room(Some(600));
    let (ledger, opened) = store.open();
    assert!(opened.healed.is_none() && ledger.is_restoring(), "it goes on for staff");
    drop(ledger);
    store.disk.set_room(None);
    let (ledger, opened) = store.open();
    assert!(opened.healed.is_some() && !ledger.is_restoring());
    assert_eq!(Told::of(&ledger).0[..told.0.len()], told.0);
}

const STORE: &str = "/store";

/// Records that a bank may write, the `n`th of which says `n` in its own words.
fn chain(count: u64, changed_from: u64) -> Told {
    let mut told = Told(Vec::new());
    for seq in 1..=count {
        let online = seq < changed_from;
        let record = Record {
            stream: STREAM,
            seq,
            boot: BootId([1; 16]),
            at: UnixMillis(seq),
            quality: TimeQuality::Unknown,
            previous: told.hash_at(seq - 1),
            trace: None,
            detached: None,
            fact: Fact::BoardChanged(BoardChanged { board: 0, online }),
        };
        told.0.push(encode_record(&record));
    }
    told
}

fn keeper() -> Keeper {
    Keeper {
        bank: bank(),
        device_key: [1; 32],
        boot: BootId([9; 16]),
        fresh_stream: StreamId(SessionId([3; 16]).0),
        agent_version: "1.2.3".to_owned(),
    }
}

const SMALL: Limits = Limits { segment_bytes: 2_000, call_bytes: 1 << 20, ballast_bytes: 0 };

fn start(disk: &FaultyDisk) -> Result<Settled, String> {
    let medium: Arc<dyn Medium> = Arc::new(disk.clone());
    let dir = Path::new(STORE);
    let journal = dir.join(JOURNAL);
    let opened = Journal::open_on(Arc::clone(&medium), &journal, SMALL, Verify::All);
    let (journal, _) = opened.map_err(|error| error.to_string())?;
    let home = Home { medium: &medium, dir, limits: SMALL };
    settle(&home, journal, &keeper(), stamp(1)).map_err(|error| in_words(&error))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    /// Wherever it is cut short, by a sync that fails or by the power, the journal is a beginning of what it was or of
    /// what it is to become, and the next start goes on.
    #[test]
    fn p_f_p_j_a_restore_that_is_cut_short_goes_on_at_the_next_start(
        common in 1..20_u64,
        own in 0..12_u64,
        hubs in 1..40_u64,
        faults in prop::collection::vec((1..20_u64, any::<bool>(), any::<u64>()), 0..6),
    ) {
        let mine = chain(common + own, common + 1);
        let told = chain(common + hubs, u64::MAX);
        let disk = FaultyDisk::default();
        let medium: Arc<dyn Medium> = Arc::new(disk.clone());
        let dir = Path::new(STORE);
        let mut journal = Journal::create_on(Arc::clone(&medium), &dir.join(JOURNAL), STREAM.0, SMALL).unwrap();
        for record in &mine.0 {
            journal.append(&[Entry { record, detached: None }]).unwrap();
        }
        let reader = journal.reader();
        drop(journal);
        let mut faults = faults.into_iter();
        let mut fault = || {
            let fault = faults.next();
            if let Some((sync, _, _)) = fault {
                disk.fail_sync_in(sync);
            }
            move |disk: &FaultyDisk| {
                disk.forgive();
                if let Some((_, true, seed)) = fault {
                    disk.cut_power(coin(seed));
                }
            }
        };
        // Half of the hub's records, then the rest; whatever fails is sent again.
        let half = common + hubs.div_ceil(2);
        let mut ends = vec![half, common + hubs];
        let mut sent = 0;
        while let Some(last) = ends.first().copied() {
            sent += 1;
            prop_assert!(sent < 20, "it is taken, at last");
            let over = fault();
            let mut incoming: Option<Incoming> =
                Incoming::open(&medium, dir, SMALL).unwrap_or_default();
            let home = (&medium, dir, SMALL);
            let taken = take_back(&mut incoming, &reader, home, told.run(common, last));
            drop(incoming);
            over(&disk);
            if taken.is_ok() {
                ends.remove(0);
            }
        }
        let mut starts = 0;
        let settled = loop {
            starts += 1;
            prop_assert!(starts < 20, "it goes on, each time");
            let over = fault();
            let started = start(&disk);
            if let Ok(settled) = &started {
                let now = Told::read(&settled.journal);
                prop_assert!(mine.0.starts_with(&now.0) || told.0.starts_with(&now.0));
            }
            // A start that got no further than to clear up leaves nothing to be told of.
            let done = started.is_ok_and(|settled| settled.incoming.is_none());
            over(&disk);
            if done {
                break start(&disk).unwrap();
            }
        };
        prop_assert!(settled.incoming.is_none());
        prop_assert_eq!(Told::read(&settled.journal).0, told.0);
    }
}

impl Told {
    fn read(journal: &Journal) -> Self {
        let all = journal.read(1, usize::MAX, usize::MAX).unwrap();
        Self(all.into_iter().map(|stored| stored.record).collect())
    }
}
