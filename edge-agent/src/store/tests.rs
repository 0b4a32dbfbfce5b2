//! What the ledger promises: the journal is the truth, sled may be lost in any way.

mod attest;
mod damaged;
pub(crate) mod disk;
mod facts;
mod fold;
mod full;
mod lost;
mod older_rules;
mod restored;
mod succeeded;
mod suspect;

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use locker_core::clock::TimeQuality;
use locker_core::compartment::CompartmentSpec;
use locker_core::fact::Fact;
use locker_core::ids::{BankId, BootId, StreamId};
use locker_core::journal::{MemoryView, View};
use locker_core::units::UnixMillis;
use locker_proto::record::decode_record;
use rustix::fs::FlockOperation;
use tempfile::TempDir;

use self::disk::TestDisk;
use self::facts::{booked, cancelled, layout, parcel_id};
use super::*;

const LIMITS: Limits = Limits { segment_bytes: 64 << 10, call_bytes: 1 << 20, ballast_bytes: 4096 };
const STREAM: StreamId = StreamId([7; 16]);

/// A folder with a ledger, open or not.
pub(super) struct Store {
    dir: TempDir,
    disk: TestDisk,
    stream: StreamId,
    boots: u8,
}

impl Store {
    fn new() -> Self {
        Self::of(STREAM)
    }

    fn of(stream: StreamId) -> Self {
        let (dir, disk) = (TempDir::new().unwrap(), TestDisk::default());
        Self { dir, disk, stream, boots: 0 }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn try_open(&mut self) -> Result<(Ledger, Opened), OpenLedgerError> {
        sled_let_go(&self.path("sled"));
        self.try_open_now()
    }

    fn try_open_now(&mut self) -> Result<(Ledger, Opened), OpenLedgerError> {
        self.boots += 1;
        let keeper = Keeper {
            bank: bank(),
            device_key: [1; 32],
            boot: BootId([self.boots; 16]),
            fresh_stream: self.stream,
            agent_version: "1.2.3".to_owned(),
        };
        let medium = Arc::new(self.disk.clone());
        Ledger::open_on(medium, self.dir.path(), LIMITS, &keeper, stamp(self.boots))
    }

    fn open(&mut self) -> (Ledger, Opened) {
        self.try_open().unwrap()
    }

    /// Opens, commits each of `facts` by itself, and closes.
    fn with(facts: &[Fact]) -> Self {
        let mut store = Self::new();
        let (mut ledger, _) = store.open();
        commit_each(&mut ledger, facts);
        store
    }
}

fn bank() -> BankId {
    "lobby-1".parse().unwrap()
}

fn stamp(n: u8) -> Stamp {
    Stamp { at: UnixMillis(1_000 * u64::from(n)), quality: TimeQuality::Unknown }
}

fn commit_each(ledger: &mut Ledger, facts: &[Fact]) {
    for fact in facts {
        ledger.commit(std::slice::from_ref(fact), None, stamp(9)).unwrap();
    }
}

/// Waits until sled's own threads have let go of a store that was dropped in this process. In the
/// agent that is another process.
pub(crate) fn sled_let_go(dir: &Path) {
    let Ok(file) = fs::File::open(dir.join("db")) else { return };
    while rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        std::thread::yield_now();
    }
}

/// What the journal alone adds up to.
fn folded(ledger: &Ledger) -> MemoryView {
    let mut view = MemoryView::default();
    for stored in ledger.reader().read(1, usize::MAX, usize::MAX).unwrap() {
        let record = decode_record(&stored.record).unwrap();
        let changes = fold_record(&view, &record);
        view.apply(changes);
    }
    view
}

/// Every question that a view answers, answered alike.
fn same(found: &impl View, wanted: &impl View) {
    assert_eq!(found.meta(), wanted.meta());
    assert_eq!(found.compartments(), wanted.compartments());
    assert_eq!(found.session(), wanted.session());
    assert_eq!(found.governor(), wanted.governor());
    assert_eq!(found.slots(), wanted.slots());
    assert_eq!(found.budget(), wanted.budget());
    assert_eq!(found.parcels(), wanted.parcels());
    assert_eq!(found.courier_codes(), wanted.courier_codes());
    for (before, max) in [(UnixMillis(u64::MAX), usize::MAX), (UnixMillis(5), 2)] {
        let settled = wanted.settled_before(before, max, Some(parcel_id(0)));
        assert_eq!(found.settled_before(before, max, Some(parcel_id(0))), settled);
    }
    for n in 0..facts::PARCELS {
        assert_eq!(found.parcel(parcel_id(n)), wanted.parcel(parcel_id(n)));
        assert_eq!(found.credential(facts::code(n)), wanted.credential(facts::code(n)));
        let barcode = facts::barcode(n);
        for carrier in facts::carriers() {
            let newest = wanted.parcel_by_barcode(&carrier, &barcode);
            assert_eq!(found.parcel_by_barcode(&carrier, &barcode), newest, "{n}");
        }
        let held = wanted.credentials_of(parcel_id(n));
        assert_eq!(found.credentials_of(parcel_id(n)), held, "{n}");
    }
    for CompartmentSpec { no, .. } in facts::specs() {
        assert_eq!(found.compartment(no), wanted.compartment(no));
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn in_words(error: &dyn Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words = format!("{words}: {error}");
        cause = error.source();
    }
    words
}

#[test]
fn a_new_ledger_begins_its_stream_and_a_reopened_one_goes_on() {
    let mut store = Store::new();
    let (mut ledger, opened) = store.open();
    assert!(opened.new_stream && opened.rebuilt.is_none());
    assert_eq!((opened.stream, opened.boot_count, ledger.head().0), (STREAM, 1, 2));
    commit_each(&mut ledger, &[layout(1), booked(1, 1)]);
    let (before, head) = (folded(&ledger), ledger.head());
    drop(ledger);

    let (ledger, opened) = store.open();
    assert!(!opened.new_stream && opened.rebuilt.is_none());
    assert_eq!((opened.boot_count, opened.replayed, opened.torn_bytes), (2, 0, 0));
    assert_eq!(ledger.head().0, head.0 + 1);
    assert_eq!(ledger.view().parcels(), before.parcels());
    same(ledger.view(), &folded(&ledger));
}

#[test]
fn the_facts_of_a_step_see_each_other() {
    let mut store = Store::new();
    let (mut ledger, _) = store.open();
    let step = [layout(1), booked(1, 1), cancelled(1, 2), booked(1, 3)];
    ledger.commit(&step, None, stamp(9)).unwrap();
    same(ledger.view(), &folded(&ledger));
    assert_eq!(ledger.view().parcel(parcel_id(1)).unwrap().version.0, 3);
}

#[test]
fn p_f_a_step_cut_short_by_a_power_cut_is_gone_whole() {
    let mut store = Store::new();
    let (mut ledger, _) = store.open();
    commit_each(&mut ledger, &[layout(1), booked(1, 1)]);
    let segment = store.path("journal").join("seg-00000000000000000001.log");
    ledger.commit(&[booked(2, 1), booked(3, 1)], None, stamp(9)).unwrap();
    drop(ledger);
    let len = fs::metadata(&segment).unwrap().len();
    fs::OpenOptions::new().write(true).open(&segment).unwrap().set_len(len - 3).unwrap();

    let (ledger, opened) = store.open();
    assert!(opened.torn_bytes > 0);
    // sled had taken it over, and must not be believed against the journal.
    assert_eq!(opened.rebuilt.as_deref(), Some("sled is ahead of the journal"));
    assert_eq!(ledger.view().parcels().len(), 1);
    same(ledger.view(), &folded(&ledger));
}

#[test]
fn p_h_a_second_agent_on_the_same_folder_is_told_so() {
    let mut store = Store::new();
    let held = store.open();
    let error = store.try_open_now().map(drop).unwrap_err();
    let OpenLedgerError::Journal { source, .. } = &error else { panic!("{error:?}") };
    assert!(matches!(source, journal::OpenError::Locked { .. }));
    assert!(in_words(&error).contains("in use by another process"), "{}", in_words(&error));
    drop(held);
    store.open();
}

#[test]
fn f02_a_journal_of_a_newer_agent_is_refused_with_instructions() {
    let mut store = Store::with(&[layout(1)]);
    let segment = store.path("journal").join("seg-00000000000000000001.log");
    let before = fs::read(&segment).unwrap();
    let mut bytes = before.clone();
    bytes[4..6].copy_from_slice(&9_u16.to_le_bytes());
    fs::write(&segment, &bytes).unwrap();
    let words = in_words(&store.try_open().map(drop).unwrap_err());
    assert!(words.contains("install that agent or a later one"), "{words}");
    assert_eq!(fs::read(&segment).unwrap(), bytes, "nothing was changed");
    fs::write(&segment, before).unwrap();
    assert!(store.open().1.rebuilt.is_none());
}

#[test]
fn a_failed_sync_is_final_and_the_state_stays_with_the_journal() {
    let mut store = Store::with(&[layout(1)]);
    let (mut ledger, _) = store.open();
    store.disk.fail_syncs();
    let error = ledger.commit(&[booked(1, 1)], None, stamp(9)).unwrap_err();
    assert!(matches!(error, CommitError::Journal { .. }) && error.is_final());
    assert!(ledger.view().parcel(parcel_id(1)).is_none(), "not durable, so it has not happened");
    let error = ledger.commit(&[booked(2, 1)], None, stamp(9)).unwrap_err();
    assert!(error.is_final(), "a failed sync is never tried again");
    drop(ledger);

    // What the kernel kept of it is settled by the next process, one way or the other.
    store.disk = TestDisk::default();
    let (ledger, _) = store.open();
    same(ledger.view(), &folded(&ledger));
}
