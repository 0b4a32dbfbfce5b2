//! How long an agent's state takes to come back: the journal of people who came and went, opened as
//! after a stop, and opened with its fold lost so that all of it is folded again; against reading and
//! hashing the same bytes and doing nothing with them. And what a parcel's way leaves on the disk.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use edge_agent::journal::{Entry, Journal, Limits};
use edge_agent::store::{Keeper, Ledger, Stamp};
use locker_core::bank::{BoardChanged, DoorsRead};
use locker_core::clock::TimeQuality;
use locker_core::compartment::{CompartmentSpec, DoorReading, Layout, LockPosition};
use locker_core::downlink::{Booking, ConfigDocument, Grant, GrantAccepted, GrantPosition};
use locker_core::fact::Fact;
use locker_core::ids::{
    BankId, BootId, CompartmentNo, CredentialId, Generation, HubEpoch, ParcelId, StreamId, Version,
};
use locker_core::journal::{Booted, CHAIN_START, ChainHash, Record, StreamOpened, next_hash};
use locker_core::parcel::Terms;
use locker_core::units::{Dimensions, Grams, UnixMillis};
use locker_proto::record::encode_record;
use sha2::{Digest, Sha256};

use crate::table::print;
use crate::visits::Visits;

/// From the start to a state that serves, with this many records to fold, may take this long.
const BUDGETS: [(u64, Duration); 2] =
    [(10_000, Duration::from_secs(1)), (1_000_000, Duration::from_secs(30))];
const STREAM: StreamId = StreamId([7; 16]);
const BOOT: BootId = BootId([1; 16]);
const FIRST_AT: UnixMillis = UnixMillis(1_800_000_000_000);
const COMPARTMENTS: u16 = 48;
/// As an agent keeps its journal.
const LIMITS: Limits =
    Limits { segment_bytes: 4 << 20, call_bytes: 1 << 20, ballast_bytes: 1 << 20 };
/// Records in one call.
const CALL_RECORDS: usize = 256;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Records in the journal; each is a run of its own.
    #[arg(long, default_values_t = BUDGETS.map(|(records, _)| records))]
    records: Vec<u64>,
    /// A folder on the disk to be measured; removed afterwards.
    #[arg(long, default_value = "target/bench-recover")]
    dir: PathBuf,
}

/// What one journal showed.
struct Found {
    records: u64,
    parcels: u64,
    bytes: u64,
    folded: Duration,
    opened: Duration,
    bare: Duration,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let mut found = Vec::new();
    for records in &args.records {
        if args.dir.exists() {
            std::fs::remove_dir_all(&args.dir).context("cannot empty the bench's folder")?;
        }
        found.push(one(&args.dir, *records)?);
        std::fs::remove_dir_all(&args.dir)?;
    }
    report(&found)
}

fn one(dir: &Path, records: u64) -> anyhow::Result<Found> {
    let journal = dir.join("journal");
    std::fs::create_dir_all(dir)?;
    let parcels = write(&journal, records)?;
    let (bytes, bare) = read_and_hash(&journal)?;
    let folded = open(dir, 2, records)?;
    // The fold is there now, and nothing needs to be folded again.
    let opened = open(dir, 3, 0)?;
    Ok(Found { records, parcels, bytes, folded, opened, bare })
}

/// Opens the ledger, which must fold at least `records`.
fn open(dir: &Path, boot: u8, records: u64) -> anyhow::Result<Duration> {
    let keeper = Keeper {
        bank: bank()?,
        device_key: [1; 32],
        boot: BootId([boot; 16]),
        fresh_stream: STREAM,
        agent_version: "bench".to_owned(),
    };
    let stamp = Stamp { at: FIRST_AT, quality: TimeQuality::Unknown };
    let started = Instant::now();
    let (ledger, opened) = Ledger::open(dir, LIMITS, &keeper, stamp)?;
    let took = started.elapsed();
    ensure!(opened.replayed >= records, "{} records folded of {records}", opened.replayed);
    drop(ledger);
    Ok(took)
}

/// Writes a journal; answers how many parcels came and went in it.
fn write(dir: &Path, records: u64) -> anyhow::Result<u64> {
    let mut journal = Journal::create(dir, STREAM.0, LIMITS)?;
    let mut chain = Chain { seq: 0, hash: CHAIN_START, encoded: Vec::new() };
    for fact in first_facts()? {
        chain.record(fact);
    }
    let (mut visits, mut parcels) = (Visits::default(), 0);
    while chain.seq < records {
        for fact in parcel_facts(&mut visits, parcels)? {
            chain.record(fact);
        }
        parcels += 1;
        if chain.encoded.len() + 32 > CALL_RECORDS {
            chain.append(&mut journal)?;
        }
    }
    chain.append(&mut journal)?;
    Ok(parcels)
}

/// Records that wait to be written.
struct Chain {
    seq: u64,
    hash: ChainHash,
    encoded: Vec<Vec<u8>>,
}

impl Chain {
    fn record(&mut self, fact: Fact) {
        self.seq += 1;
        let bytes = encode_record(&Record {
            stream: STREAM,
            seq: self.seq,
            boot: BOOT,
            // A parcel a minute.
            at: FIRST_AT.plus_ms(self.seq * 4_000),
            quality: TimeQuality::Bounded { within_ms: 10 },
            previous: self.hash,
            trace: None,
            detached: None,
            fact,
        });
        self.hash = next_hash(self.hash, &bytes);
        self.encoded.push(bytes);
    }

    fn append(&mut self, journal: &mut Journal) -> anyhow::Result<()> {
        let entries: Vec<Entry<'_>> =
            self.encoded.iter().map(|record| Entry { record, detached: None }).collect();
        journal.append(&entries)?;
        self.encoded.clear();
        Ok(())
    }
}

fn first_facts() -> anyhow::Result<Vec<Fact>> {
    let inside = Dimensions { length_mm: 400, width_mm: 400, height_mm: 200 };
    let specs: Vec<CompartmentSpec> = (1..=COMPARTMENTS)
        .map(|no| {
            let lock = LockPosition { board: 0, lock: u8::try_from(no - 1).unwrap_or(0) };
            CompartmentSpec { no: CompartmentNo(no), inside, lock }
        })
        .collect();
    let readings = specs.iter().map(|spec| (spec.no, DoorReading::Closed)).collect();
    let layout = Layout { generation: Generation(1), compartments: specs };
    let (bank, device_key) = (bank()?, [1; 32]);
    Ok(vec![
        Fact::StreamOpened(StreamOpened { bank, device_key, parent: None }),
        Fact::Booted(Booted { boot: BOOT, boot_count: 1, agent_version: "bench".to_owned() }),
        Fact::ConfigAccepted(ConfigDocument::Layout(layout).into()),
        Fact::BoardChanged(BoardChanged { board: 0, online: true }),
        Fact::DoorsRead(DoorsRead { readings }),
    ])
}

/// A parcel is booked, brought and fetched.
fn parcel_facts(visits: &mut Visits, number: u64) -> anyhow::Result<Vec<Fact>> {
    let id = u128::from(number + 1).to_be_bytes();
    let (parcel, credential) = (ParcelId(id), CredentialId(id));
    let compartment = CompartmentNo(u16::try_from(number % u64::from(COMPARTMENTS))? + 1);
    let booking = Booking {
        parcel,
        version: Version(1),
        carrier: "acme".parse()?,
        barcode: format!("P{number}").parse()?,
        size: Dimensions { length_mm: 100, width_mm: 100, height_mm: 100 },
        weight: Grams(500),
        credential,
        trace: None,
        terms: Terms::default(),
    };
    let position = GrantPosition { epoch: HubEpoch(1), gseq: number + 1 };
    let mut facts =
        vec![Fact::GrantAccepted(GrantAccepted { position, grant: Grant::Book(booking) })];
    visits.write(&mut facts, parcel, compartment, None);
    visits.write(&mut facts, parcel, compartment, Some(credential));
    Ok(facts)
}

fn bank() -> anyhow::Result<BankId> {
    Ok("bench-1".parse()?)
}

/// Reads every segment and hashes its bytes; answers how many there are.
fn read_and_hash(dir: &Path) -> anyhow::Result<(u64, Duration)> {
    let started = Instant::now();
    let (mut bytes, mut hash) = (0, Sha256::new());
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "log") {
            let content = std::fs::read(path)?;
            hash.update(&content);
            bytes += u64::try_from(content.len())?;
        }
    }
    std::hint::black_box(hash.finalize());
    ensure!(bytes > 0, "the journal has no segments");
    Ok((bytes, started.elapsed()))
}

fn report(found: &[Found]) -> anyhow::Result<()> {
    let seconds = |took: Duration| format!("{:.3}", took.as_secs_f64());
    let rows: Vec<Vec<String>> = found
        .iter()
        .map(|found| {
            vec![
                found.records.to_string(),
                format!("{}", found.bytes / 1_024 / 1_024),
                format!("{}", found.bytes / found.parcels.max(1)),
                seconds(found.opened),
                seconds(found.folded),
                seconds(found.bare),
                format!("{:.1}", found.folded.as_secs_f64() / found.bare.as_secs_f64()),
            ]
        })
        .collect();
    let header = ["records", "MiB", "bytes a parcel", "opened", "folded again", "bare", "ratio"];
    print("bench recover, seconds", &header, &rows);
    for found in found {
        for (records, budget) in BUDGETS {
            let broken = found.records <= records && found.folded > budget;
            ensure!(
                !broken,
                "{} records took {} s, the budget is {} s",
                found.records,
                seconds(found.folded),
                budget.as_secs()
            );
        }
    }
    Ok(())
}
