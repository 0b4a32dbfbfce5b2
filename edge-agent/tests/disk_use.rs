//! What an agent leaves on its disk: months without a hub fit, the files shrink once the hub has
//! everything, and a bank where nobody comes hardly writes.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use edge_agent::bank::{Bank, Event, Floor, Parts};
use edge_agent::config::DiskLimits;
use edge_agent::journal::{Entry, Journal, write_snapshot_on};
use edge_agent::store::{Keeper, Ledger, SNAPSHOT_EVERY_RECORDS, Stamp};
use edge_agent::telemetry::{self, Samples, Sampling, Sources, TelemetryLimits};
use locker_core::clock::TimeQuality;
use locker_core::fact::Fact;
use locker_core::ids::{BootId, SessionId, StreamId};
use locker_core::journal::{CHAIN_START, Record, StreamOpened, next_hash};
use locker_core::policy::SessionPolicy;
use locker_core::units::UnixMillis;
use locker_proto::record::encode_record;
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use counting_disk::CountingDisk;
use parcels::{Parcels, Visit};

#[path = "disk_use/counting_disk.rs"]
mod counting_disk;
#[path = "disk_use/parcels.rs"]
mod parcels;

/// Facts, their snapshots and samples must fit into this, in bytes; not sled, which holds no facts.
const ALL_BUDGET_BYTES: u64 = 64 << 20;
/// A bank that is full every day.
const PARCELS_A_DAY: u64 = 150;
const DAYS: u64 = 90;
const DAY_MS: u64 = 86_400_000;
const SAMPLES_HOURS: u64 = 72;
/// What the fold of such a bank takes as a snapshot: 976,081 bytes, measured.
const SNAPSHOT_BYTES: usize = 1 << 20;
const STREAM: StreamId = StreamId([7; 16]);
const FIRST_AT: UnixMillis = UnixMillis(1_800_000_000_000);

/// What the files of `dir` take: their bytes, or their blocks where those are more.
fn used_bytes(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).expect("a folder").map(|entry| entry.expect("an entry"));
    let sizes = entries.map(|entry| {
        let found = entry.metadata().expect("metadata");
        if found.is_dir() {
            used_bytes(&entry.path())
        } else {
            found.len().max(found.blocks() * 512)
        }
    });
    sizes.sum()
}

/// As [`used_bytes`], by folder.
fn used_by_folder(dir: &Path) -> Vec<(String, u64)> {
    let entries = fs::read_dir(dir).expect("a folder").map(|entry| entry.expect("an entry"));
    let folders = entries.filter(|entry| entry.path().is_dir());
    let used = folders
        .map(|entry| (entry.file_name().to_string_lossy().into_owned(), used_bytes(&entry.path())));
    let mut used: Vec<_> = used.collect();
    used.sort();
    used
}

fn open(dir: &Path, disk: &CountingDisk) -> Ledger {
    let keeper = Keeper {
        bank: "lobby-1".parse().expect("a bank's name"),
        device_key: [1; 32],
        boot: BootId([1; 16]),
        fresh_stream: STREAM,
        agent_version: "1.0.0".to_owned(),
    };
    let limits = DiskLimits::default().journal();
    let opened = Ledger::open_on(Arc::new(disk.clone()), dir, limits, &keeper, stamp(FIRST_AT));
    opened.expect("the ledger opens").0
}

fn stamp(at: UnixMillis) -> Stamp {
    Stamp { at, quality: TimeQuality::Bounded { within_ms: 10 } }
}

/// Feeds 72 hours of samples, taken every minute by the sampling itself, to the lane in `dir`.
async fn take_samples(dir: &Path, samples: &Samples) -> u64 {
    let (head, stop) = (watch::Sender::new(8), watch::Sender::new(false));
    let sampling = Sampling {
        limits: TelemetryLimits::default(),
        sources: Sources::of_this_machine(dir),
        buses: Vec::new(),
        head: head.subscribe(),
        system_time: virtual_time,
        medium: Arc::new(edge_agent::journal::Disk),
        samples: samples.clone(),
        stop: stop.subscribe(),
    };
    samples.committed(1);
    let _ = virtual_time();
    let task = tokio::spawn(telemetry::run(sampling));
    tokio::time::sleep(Duration::from_hours(SAMPLES_HOURS) - Duration::from_secs(1)).await;
    stop.send_replace(true);
    task.await.expect("no panic");
    SAMPLES_HOURS * 60
}

thread_local! {
    static BEGAN: Instant = Instant::now();
}

/// The system's time, as far as virtual time has come.
fn virtual_time() -> UnixMillis {
    FIRST_AT.plus_ms(u64::try_from(BEGAN.with(Instant::elapsed).as_millis()).unwrap_or(0))
}

#[tokio::test(start_paused = true)]
async fn three_days_of_samples_fit_and_their_files_go_when_they_are_sent() {
    let dir = TempDir::new().expect("a folder");
    let samples = Samples::default();
    let taken = take_samples(dir.path(), &samples).await;
    let before = used_bytes(dir.path());
    assert!(before > 0 && before <= TelemetryLimits::default().kept_bytes, "{before} bytes");

    // The agent starts again, and has a connection.
    let samples = Samples::default();
    let (head, stop) = (watch::Sender::new(8), watch::Sender::new(false));
    let task = tokio::spawn(telemetry::run(Sampling {
        limits: TelemetryLimits::default(),
        sources: Sources::of_this_machine(dir.path()),
        buses: Vec::new(),
        head: head.subscribe(),
        system_time: virtual_time,
        medium: Arc::new(edge_agent::journal::Disk),
        samples: samples.clone(),
        stop: stop.subscribe(),
    }));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let linked = Instant::now();
    let mut historical = 0;
    loop {
        samples.ready(linked).await;
        let Some(said) = samples.next(linked) else { continue };
        if !said.historical {
            break;
        }
        historical += 1;
    }
    // A day of every minute, and two of every fifth; one is of this run's start.
    assert!((2_000..2_100).contains(&historical), "{historical} of {taken}");
    stop.send_replace(true);
    task.await.expect("no panic");
    let after = used_bytes(&dir.path().join("telemetry"));
    assert!(after <= 8 << 10, "{after} bytes after {before}");
    println!("samples: {historical} of {taken} in {before} bytes, {after} bytes after the drain");
}

/// Writes the journal of [`DAYS`] into `dir`, a record at a time as the agent does, only that many go
/// to the disk at once: what a record takes does not depend on its neighbours.
fn write_journal(dir: &Path, disk: &CountingDisk) -> Journal {
    let limits = DiskLimits::default().journal();
    let medium = Arc::new(disk.clone());
    let mut journal =
        Journal::create_on(medium, &dir.join("journal"), STREAM.0, limits).expect("a journal");
    let (mut seq, mut hash) = (0, CHAIN_START);
    let mut write = |journal: &mut Journal, visit: Visit, at| {
        let encoded = visit.facts.into_iter().map(|fact| {
            seq += 1;
            let (previous, trace) = (hash, visit.trace.clone());
            let (boot, quality) = (BootId([1; 16]), TimeQuality::Bounded { within_ms: 10 });
            let record = Record {
                stream: STREAM,
                seq,
                boot,
                at,
                quality,
                previous,
                trace,
                detached: None,
                fact,
            };
            let bytes = encode_record(&record);
            hash = next_hash(hash, &bytes);
            bytes
        });
        let encoded: Vec<Vec<u8>> = encoded.collect();
        let entries: Vec<Entry<'_>> =
            encoded.iter().map(|record| Entry { record, detached: None }).collect();
        journal.append(&entries).expect("appended");
        (seq, hash)
    };
    let (bank, device_key) = ("lobby-1".parse().expect("a bank's name"), [1; 32]);
    let mut facts = vec![Fact::StreamOpened(StreamOpened { bank, device_key, parent: None })];
    facts.extend(Parcels::first());
    let mut head = write(&mut journal, Visit { facts, trace: None }, FIRST_AT);
    let mut parcels = Parcels::default();
    for number in 0..DAYS * PARCELS_A_DAY {
        let at = FIRST_AT.plus_ms(number * DAY_MS / PARCELS_A_DAY);
        for visit in parcels.next(head) {
            head = write(&mut journal, visit, at);
        }
    }
    journal
}

#[tokio::test(start_paused = true)]
async fn ninety_days_of_facts_and_three_of_samples_fit_and_shrink_once_the_hub_has_them() {
    let dir = TempDir::new().expect("a folder");
    let disk = CountingDisk::default();
    let mut journal = write_journal(dir.path(), &disk);
    let records = journal.head_seq();
    assert!(records >= DAYS * PARCELS_A_DAY * 17, "{records}");
    // What folding all of this would leave; to fold it here takes a minute.
    for seq in [records - SNAPSHOT_EVERY_RECORDS, records] {
        let hash = journal.hash_at(seq).expect("a hash");
        write_snapshot_on(&disk, dir.path(), seq, &hash, &[0; SNAPSHOT_BYTES]).expect("written");
    }
    take_samples(dir.path(), &Samples::default()).await;
    let truth = || -> u64 {
        ["journal", "snapshot", "telemetry"]
            .map(|name| used_bytes(&dir.path().join(name)))
            .iter()
            .sum()
    };
    let before = truth();
    println!("{records} records, {before} bytes: {:?}", used_by_folder(dir.path()));
    assert!(before <= ALL_BUDGET_BYTES, "{before} bytes");

    // Nothing goes that the hub has not in a backup, and then all that the older snapshot covers.
    journal.prune(0).expect("pruned");
    assert_eq!(truth(), before);
    journal.prune(records - SNAPSHOT_EVERY_RECORDS).expect("pruned");
    let after = truth();
    println!("after the drain {after} bytes: {:?}", used_by_folder(dir.path()));
    let limits = DiskLimits::default();
    let two_segments = 2 * u64::from(limits.segment_bytes) + u64::from(limits.ballast_bytes);
    let journal = used_bytes(&dir.path().join("journal"));
    assert!(journal <= two_segments + (64 << 10), "{journal} bytes");
    assert!(after * 4 < before, "{after} of {before}");
}

#[tokio::test(start_paused = true)]
async fn a_bank_where_nobody_comes_syncs_far_less_than_once_a_second() {
    let dir = TempDir::new().expect("a folder");
    let disk = CountingDisk::default();
    let mut ledger = open(dir.path(), &disk);
    let mut parcels = Parcels::default();
    for facts in Parcels::first() {
        ledger.commit(&[facts], None, stamp(FIRST_AT)).expect("committed");
    }
    for _ in 0..20 {
        for visit in parcels.next(ledger.head()) {
            ledger.commit(&visit.facts, None, stamp(FIRST_AT)).expect("committed");
        }
    }
    let sessions = AtomicU64::new(1);
    let fresh =
        move || SessionId(u128::from(sessions.fetch_add(1, Ordering::Relaxed)).to_be_bytes());
    let _ = virtual_time();
    let (bank, watches) = Bank::start(Parts {
        bank: "lobby-1".parse().expect("a bank's name"),
        ledger,
        buses: HashMap::new(),
        policy: SessionPolicy::default(),
        roots: Vec::new(),
        floor: Floor::open(dir.path()).expect("a floor"),
        fresh_session: Box::new(fresh),
        system_time: Box::new(virtual_time),
        deposit_reserve_bytes: DiskLimits::default().deposit_reserve_bytes,
        tag_keys: None,
        timings: None,
    })
    .expect("the bank starts");
    let (events, inbox) = mpsc::channel(8);
    let running = tokio::spawn(bank.run(inbox));

    disk.reset();
    let began = Instant::now();
    let (mut floors, mut floor) = (0, floor_file(dir.path()));
    // An hour with a hub that acknowledges every second and tells the time with each connection, of
    // which there is one a minute.
    for second in 0..3_600_u64 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        if second % 60 == 0 {
            let (asked_at, heard_at) = (Instant::now(), Instant::now());
            let signed = virtual_time();
            events.send(Event::Linked(false)).await.expect("the bank runs");
            events.send(Event::Heard { signed, asked_at, heard_at }).await.expect("it runs");
            events.send(Event::Linked(true)).await.expect("the bank runs");
        }
        let safe = *watches.head.borrow();
        events.send(Event::Safe { safe }).await.expect("the bank runs");
        let now = floor_file(dir.path());
        floors += u64::from(now != floor);
        floor = now;
    }
    assert!(began.elapsed() >= Duration::from_secs(3_600));
    events.send(Event::Stop).await.expect("the bank runs");
    running.await.expect("no panic").expect("the bank ends in order");
    // Keeping the floor is a sync of its file and one of the folder.
    let (journal, floor) = (disk.syncs(), 2 * floors);
    println!("idle for an hour: {journal} syncs of the journal, {floor} of the clock's floor");
    assert!((2..=20).contains(&floor), "{floor}");
    // Twice a minute would still be a thirtieth of what is allowed.
    assert!(journal + floor <= 120, "{journal} and {floor}");
}

/// Which file the clock's floor is in: it is replaced, never changed.
fn floor_file(dir: &Path) -> Option<u64> {
    fs::metadata(dir.join("time-floor")).ok().map(|found| found.ino())
}

#[test]
fn what_a_pickup_writes_is_told() {
    let dir = TempDir::new().expect("a folder");
    let disk = CountingDisk::default();
    let mut ledger = open(dir.path(), &disk);
    let mut parcels = Parcels::default();
    for facts in Parcels::first() {
        ledger.commit(&[facts], None, stamp(FIRST_AT)).expect("committed");
    }
    let visits = parcels.next(ledger.head());
    let (pickup, before) = visits.split_last().expect("a parcel's way ends with its pickup");
    for visit in before {
        ledger.commit(&visit.facts, visit.trace.as_ref(), stamp(FIRST_AT)).expect("committed");
    }
    disk.reset();
    // As the bank commits them: with the start and its intent, the outcome, each move of the door,
    // and the end with the person's leaving.
    let at = |fact: &Fact| matches!(fact, Fact::PickupStarted(_) | Fact::PulseIntended(_));
    let starts = pickup.facts.iter().position(|fact| !at(fact) && !is_session(fact)).unwrap_or(0);
    let (start, rest) = pickup.facts.split_at(starts);
    let ends = rest.len() - 2;
    let trace = pickup.trace.as_ref();
    ledger.commit(start, trace, stamp(FIRST_AT)).expect("committed");
    for fact in &rest[..ends] {
        ledger.commit(std::slice::from_ref(fact), trace, stamp(FIRST_AT)).expect("committed");
    }
    ledger.commit(&rest[ends..], trace, stamp(FIRST_AT)).expect("committed");
    let (bytes, syncs) = (disk.written_bytes(), disk.syncs());
    println!("a pickup: {bytes} bytes into the journal with {syncs} syncs");
    assert_eq!(syncs, 5);
    assert!((1_000..4_000).contains(&bytes), "{bytes} bytes");
}

fn is_session(fact: &Fact) -> bool {
    matches!(fact, Fact::SessionStarted(_))
}
