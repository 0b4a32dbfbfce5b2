//! From a scan to the unlock frame, through the real panel, bank loop, journal and bus.
//!
//! One parcel is stored and its code is shown again and again ("not taken" in between), so that each
//! sample checks a signature, makes an intent durable, and pulses. The lock board is the simulator
//! on TCP at the line's pace. The baseline is a bare write of as many bytes with fdatasync.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use edge_agent::bank::{Bank, BankError, Event, Floor, PanelPhase, PanelState, Parts, PulseTiming};
use edge_agent::board::{
    Backoff, BoardAddr, BoardConfig, Bus, BusConfig, BusTiming, LineConfig, LockConfig, LockIndex,
    Polarity, PollForm, PortConfig, PortConnector,
};
use edge_agent::journal::Limits;
use edge_agent::panel::{self, Access};
use edge_agent::sim::{Sim, SimConfig, serve_tcp};
use edge_agent::store::{Keeper, Ledger, Stamp};
use locker_core::clock::TimeQuality;
use locker_core::compartment::{CompartmentSpec, Layout, LockPosition};
use locker_core::credential::{self, Action, Claims, CommandKey, CredentialKey, KeySet};
use locker_core::downlink::{Booking, Grant, GrantPosition};
use locker_core::governor::{GovernorLimits, Limit};
use locker_core::ids::{BankId, BootId, CompartmentNo, CredentialId, Generation, HubEpoch};
use locker_core::ids::{ParcelId, SessionId, StreamId, Version};
use locker_core::parcel::Terms;
use locker_core::policy::SessionPolicy;
use locker_core::units::{Dimensions, Grams, UnixMillis};
use locker_proto::message::{Config, Document, Grants};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::awake::Awake;
use crate::panel_client::PanelClient;
use crate::table::{percentile, print};

/// Our own share of the way, at the 99th percentile.
const REST_BUDGET_US: u64 = 1_000;
/// A step that takes longer means that something is broken.
const STEP_LIMIT: Duration = Duration::from_secs(10);
/// The bank's time; everything in this bench happens now.
const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many scans to measure.
    #[arg(long, default_value_t = 300)]
    samples: usize,
    /// A folder on the disk to be measured; removed afterwards.
    #[arg(long, default_value = "target/bench-door")]
    dir: PathBuf,
}

/// One scan, in microseconds.
struct Sample {
    total: u64,
    check: u64,
    sync: u64,
    line: u64,
}

pub(crate) async fn run(args: &Args) -> anyhow::Result<()> {
    if args.dir.exists() {
        std::fs::remove_dir_all(&args.dir).context("cannot empty the bench's folder")?;
    }
    std::fs::create_dir_all(&args.dir)?;
    let awake = Awake::start()?;
    let mut bench = Bench::start(&args.dir).await?;
    bench.store_the_parcel().await?;
    let mut samples = Vec::with_capacity(args.samples);
    for _ in 0..args.samples {
        samples.push(bench.show_the_code().await?);
    }
    bench.stop().await?;
    let baseline = bare_sync(&args.dir, args.samples)?;
    drop(awake);
    std::fs::remove_dir_all(&args.dir)?;
    report(&samples, baseline)
}

fn report(samples: &[Sample], mut baseline: Vec<u64>) -> anyhow::Result<()> {
    let column = |pick: &dyn Fn(&Sample) -> u64| samples.iter().map(pick).collect::<Vec<u64>>();
    let rest = |sample: &Sample| sample.total - sample.check - sample.sync - sample.line;
    let mut columns = [
        ("check of the code", column(&|sample| sample.check)),
        ("sync of the intent", column(&|sample| sample.sync)),
        ("line busy with a poll", column(&|sample| sample.line)),
        ("rest (ours)", column(&rest)),
        ("total", column(&|sample| sample.total)),
    ];
    let mut rows: Vec<Vec<String>> = Vec::new();
    for (name, values) in &mut columns {
        rows.push(row(name, values));
    }
    rows.push(row("bare write + fdatasync", &mut baseline));
    let title = format!("bench door, {} scans, microseconds", samples.len());
    print(&title, &["part", "p50", "p99"], &rows);
    let rest_p99_us = percentile(&mut columns[3].1, 99);
    if rest_p99_us > REST_BUDGET_US {
        bail!("our own share is {rest_p99_us} us at p99, the budget is {REST_BUDGET_US} us");
    }
    Ok(())
}

fn row(name: &str, values: &mut [u64]) -> Vec<String> {
    vec![name.to_owned(), percentile(values, 50).to_string(), percentile(values, 99).to_string()]
}

/// The disk alone: as many bytes as an intent's records take, written and synced.
fn bare_sync(dir: &Path, samples: usize) -> anyhow::Result<Vec<u64>> {
    let mut file = File::create(dir.join("bare"))?;
    // Blocks that are written already, so that a sync waits for the data alone.
    let bytes = [0_u8; 512];
    file.write_all(&vec![0; bytes.len() * samples])?;
    file.rewind()?;
    file.sync_all()?;
    let mut taken = Vec::with_capacity(samples);
    for _ in 0..samples {
        let before = Instant::now();
        file.write_all(&bytes)?;
        file.sync_data()?;
        taken.push(u64::try_from(before.elapsed().as_micros())?);
    }
    Ok(taken)
}

struct Bench {
    panel: PanelClient,
    state: watch::Receiver<PanelState>,
    timings: mpsc::Receiver<PulseTiming>,
    events: mpsc::Sender<Event>,
    bank: BankId,
    key: ed25519_dalek::SigningKey,
    loop_ends: std::thread::JoinHandle<Result<(), BankError>>,
}

const CREDENTIAL: CredentialId = CredentialId([7; 16]);
const BADGE: CredentialId = CredentialId([8; 16]);

impl Bench {
    async fn start(dir: &Path) -> anyhow::Result<Self> {
        let bank: BankId = "bench".parse()?;
        let bus = start_board().await?;
        let (timings_to, timings) = mpsc::channel(16);
        let (running, watches) = start_bank(dir, &bank, bus.0, timings_to)?;
        let (events, inbox) = mpsc::channel(64);
        let mut bus_events = bus.1;
        let forward_to = events.clone();
        tokio::spawn(async move {
            while let Some(event) = bus_events.recv().await {
                if forward_to.send(Event::Bus(event)).await.is_err() {
                    return;
                }
            }
        });
        let runtime = tokio::runtime::Handle::current();
        let loop_ends = std::thread::Builder::new()
            .name("bank".to_owned())
            .spawn(move || runtime.block_on(running.run(inbox)))?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let access = Access::new(listener.local_addr()?, [3; 32]);
        let serve = panel::serve(
            listener,
            access.clone(),
            events.clone(),
            watches.state.clone(),
            std::future::pending(),
        );
        tokio::spawn(serve);
        let panel = PanelClient::connect(access).await?;
        let key = ed25519_dalek::SigningKey::from_bytes(&[5; 32]);
        Ok(Self { panel, state: watches.state, timings, events, bank, key, loop_ends })
    }

    /// Ends the bank's loop, which must not outlive the runtime.
    async fn stop(self) -> anyhow::Result<()> {
        self.events.send(Event::Stop).await?;
        let ended = tokio::task::spawn_blocking(move || self.loop_ends.join()).await?;
        ended.map_err(|_| anyhow::anyhow!("the bank's loop panicked"))??;
        Ok(())
    }

    /// Tells the bank its layout, keys and one parcel, and deposits it.
    async fn store_the_parcel(&mut self) -> anyhow::Result<()> {
        let room = Dimensions { length_mm: 400, width_mm: 400, height_mm: 200 };
        let spec = CompartmentSpec {
            no: CompartmentNo(1),
            inside: room,
            lock: LockPosition { board: 0, lock: 0 },
        };
        let (epoch, generation) = (HubEpoch(1), Generation(1));
        let layout = Layout { generation, compartments: vec![spec] };
        let public = self.key.verifying_key().to_bytes();
        let (keys, command) =
            (vec![CredentialKey { kid: 1, public }], vec![CommandKey { kid: 1, public }]);
        let document = Document::Layout(layout);
        self.events.send(Event::Config(Config { epoch, document })).await?;
        self.events.send(Event::KeySet(KeySet { generation, keys, command })).await?;
        let booking = Booking {
            parcel: ParcelId([6; 16]),
            version: Version(1),
            carrier: "acme".parse()?,
            barcode: "BENCH1".parse()?,
            size: room,
            weight: Grams(100),
            credential: CREDENTIAL,
            trace: None,
            terms: Terms::default(),
        };
        let first = GrantPosition { epoch, gseq: 1 };
        let grants = Grants { first, grants: vec![Grant::Book(booking)], at: NOW };
        self.events.send(Event::Grants(grants)).await?;
        let now = Instant::now();
        self.events.send(Event::Heard { signed: NOW, asked_at: now, heard_at: now }).await?;
        let badge = Action::Courier { carrier: "acme".parse()? };
        let badge = self.token(BADGE, badge)?;
        self.scan(&badge).await?;
        self.scan_until_the_board_answers("BENCH1").await?;
        self.wait_for(PanelPhase::Shut).await?;
        self.panel.post("/v1/session/done", r#"{"outcome":"deposited"}"#).await?;
        self.panel.post("/v1/session/done", r#"{"outcome":"finished"}"#).await?;
        let _ = self.timings.recv().await;
        Ok(())
    }

    async fn show_the_code(&mut self) -> anyhow::Result<Sample> {
        let token = self.token(CREDENTIAL, Action::Pickup)?;
        let sent = self.scan(&token).await?;
        let timing = tokio::time::timeout(STEP_LIMIT, self.timings.recv()).await?;
        let timing = timing.context("the bank ended")?;
        self.wait_for(PanelPhase::Shut).await?;
        self.panel.post("/v1/session/done", r#"{"outcome":"not_taken"}"#).await?;
        let total = timing.first_byte_at().saturating_duration_since(sent);
        Ok(Sample {
            total: u64::try_from(total.as_micros())?,
            check: timing.check_us(),
            sync: timing.sync_us(),
            line: timing.line_us(),
        })
    }

    async fn scan(&mut self, text: &str) -> anyhow::Result<Instant> {
        self.panel.post("/v1/session/scan", &format!("{{\"text\":\"{text}\"}}")).await
    }

    /// Right after the start no door has been read, so no compartment may be offered yet.
    async fn scan_until_the_board_answers(&mut self, text: &str) -> anyhow::Result<()> {
        let deadline = Instant::now() + STEP_LIMIT;
        let mut tries = tokio::time::interval(Duration::from_millis(50));
        while let Err(error) = self.scan(text).await {
            ensure!(Instant::now() < deadline, error);
            tries.tick().await;
        }
        Ok(())
    }

    fn token(&self, credential: CredentialId, action: Action) -> anyhow::Result<String> {
        let expires = NOW.plus_ms(3_600_000);
        let claims = Claims { credential, bank_tag: self.bank.tag(), expires, action };
        Ok(credential::sign(&self.key, 1, &claims)?)
    }

    async fn wait_for(&mut self, wanted: PanelPhase) -> anyhow::Result<()> {
        let reached = self.state.wait_for(|state| {
            let opening = state.session.as_ref().and_then(|session| session.task.opening());
            opening.is_some_and(|(_, phase)| phase == wanted)
        });
        tokio::time::timeout(STEP_LIMIT, reached).await.context("the door did not move")??;
        Ok(())
    }
}

type BoardBus = (Bus, mpsc::Receiver<edge_agent::board::BusEvent>);

/// A simulated board on TCP at 19200 baud whose doors spring open and shut at once, and a bus whose
/// supply needs little rest, so that many samples fit into a minute.
async fn start_board() -> anyhow::Result<BoardBus> {
    let pulse = Duration::from_millis(20);
    let sim = Sim::new(SimConfig {
        pulse,
        auto_open: Some(Duration::from_millis(10)),
        auto_close: Some(Duration::from_millis(60)),
        ..SimConfig::default()
    });
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let addr = listener.local_addr()?.to_string();
    tokio::spawn(serve_tcp(listener, sim));
    let lock = LockConfig { index: LockIndex::try_from(0)?, polarity: Polarity::OneIsLocked };
    let board =
        BoardConfig { addr: BoardAddr::try_from(0)?, locks: vec![lock], poll: PollForm::default() };
    let timing = BusTiming {
        pulse_ms: 20,
        pulse_gap_ms: 5,
        first_confirm_ms: 15,
        confirm_interval_ms: 20,
        recheck_ms: 5,
        closed_stable_ms: 20,
        reply_timeout_ms: 500,
        inter_byte_gap_ms: 250,
        ..BusTiming::default()
    };
    let port = PortConfig::Tcp { addr };
    let connector = PortConnector::new(port.clone());
    let line = LineConfig::default();
    let backoff = Backoff::default();
    let config = BusConfig { port, boards: vec![board], line, timing, backoff };
    let (outbox, inbox) = mpsc::channel(64);
    let (bus, _) = Bus::spawn(config, connector, outbox);
    Ok((bus, inbox))
}

/// A policy that lets one person open a door as often as the bench does.
fn unhurried() -> SessionPolicy {
    let any = Limit { openings: 64, within_ms: 0 };
    let governor =
        GovernorLimits { courier: [any], recipient: [any; 2], staff: [any], remote: [any] };
    SessionPolicy { governor, ..SessionPolicy::default() }
}

fn start_bank(
    dir: &Path,
    bank: &BankId,
    bus: Bus,
    timings: mpsc::Sender<PulseTiming>,
) -> anyhow::Result<(Bank, edge_agent::bank::Watches)> {
    let keeper = Keeper {
        bank: bank.clone(),
        device_key: [0; 32],
        boot: BootId([1; 16]),
        fresh_stream: StreamId([2; 16]),
        agent_version: "bench".to_owned(),
    };
    let stamp = Stamp { at: NOW, quality: TimeQuality::Unknown };
    let (ledger, _) = Ledger::open(dir, Limits::default(), &keeper, stamp)?;
    let mut session = 0_u128;
    let started = Bank::start(Parts {
        bank: bank.clone(),
        ledger,
        buses: HashMap::from([(0, bus)]),
        policy: unhurried(),
        floor: Floor::open(dir)?,
        fresh_session: Box::new(move || {
            session += 1;
            SessionId(session.to_be_bytes())
        }),
        system_time: Box::new(|| NOW),
        deposit_reserve_bytes: 0,
        timings: Some(timings),
        tag_keys: None,
    })?;
    Ok(started)
}
