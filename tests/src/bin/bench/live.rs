//! What the live lane costs ingest: the ingest bench with nothing else going on, with telemetry of
//! many banks that nobody listens to, and with one operator who listens to all of it over TLS. Each
//! round runs all three on fresh stores, so that a machine that grows slower slows all of them.

mod listener;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use bytes::Bytes;
use cloud_hub::credential_keys::HubKeys;
use cloud_hub::ingest::{Caller, Ingest, IngestParts, LinkEvent};
use cloud_hub::live::Lane;
use cloud_hub::mqtt::UpTopic;
use cloud_hub::pki::{DevPki, PkiSpec};
use cloud_hub::store::{Store, StoreLimits};
use locker_core::ids::BankId;
use locker_core::units::UnixMillis;
use locker_proto::message::Telemetry;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use crate::ingest::fleet;
use crate::table::print;
use listener::Listener;

/// Ingest with the lane must make at least this share of what it makes with the same telemetry and
/// without the lane. What telemetry costs by itself is shown beside it.
const RATIO_BUDGET: f64 = 0.95;
/// The share of the telemetry asked for that must really have been sent, and of that, heard.
const DONE_BUDGET: f64 = 0.9;
/// Sessions of banks that send telemetry are numbered from here.
const FIRST_SESSION: usize = 1_000_000;
/// Pause between two runs of samples.
const TICK: Duration = Duration::from_millis(10);

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Banks that send facts.
    #[arg(long, default_value_t = 100)]
    banks: usize,
    /// Parcels that go through each of them.
    #[arg(long, default_value_t = 40)]
    parcels: u16,
    /// Records in one batch.
    #[arg(long, default_value_t = 64)]
    batch: usize,
    /// Samples a second, each of another bank.
    #[arg(long, default_value_t = 10_000)]
    samples: usize,
    /// How often all three are measured.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// A folder on the disk to be measured; removed afterwards.
    #[arg(long, default_value = "target/bench-live")]
    dir: PathBuf,
}

/// What goes on beside the facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Beside {
    Nothing,
    Telemetry,
    TelemetryAndListener,
}

impl Beside {
    const ALL: [Self; 3] = [Self::Nothing, Self::Telemetry, Self::TelemetryAndListener];

    const fn name(self) -> &'static str {
        match self {
            Self::Nothing => "facts alone",
            Self::Telemetry => "and telemetry, unheard",
            Self::TelemetryAndListener => "and one operator listening",
        }
    }
}

/// What was done in the runs of one kind together.
#[derive(Clone, Copy, Debug, Default)]
struct Done {
    facts: u64,
    took: Duration,
    samples: u64,
    heard: u64,
}

pub(crate) async fn run(args: &Args) -> anyhow::Result<()> {
    let mut all = [Done::default(); Beside::ALL.len()];
    for _ in 0..args.rounds {
        for (beside, sum) in Beside::ALL.into_iter().zip(&mut all) {
            let done = one(args, beside).await?;
            sum.facts += done.facts;
            sum.took += done.took;
            sum.samples += done.samples;
            sum.heard += done.heard;
        }
    }
    report(args, &all)
}

async fn one(args: &Args, beside: Beside) -> anyhow::Result<Done> {
    if args.dir.exists() {
        std::fs::remove_dir_all(&args.dir).context("cannot empty the bench's folder")?;
    }
    std::fs::create_dir_all(&args.dir)?;
    let database = std::path::absolute(args.dir.join("hub.db"))?;
    let store =
        Store::open(&format!("sqlite://{}?mode=rwc", database.display()), StoreLimits::default())
            .await?;
    let pki = args.dir.join("pki");
    let keys = Arc::new(keys(&pki)?);
    let (events, inbox) = mpsc::channel(1_024);
    let (stamps, mut stamped) = mpsc::channel(1_024);
    tokio::spawn(async move { while stamped.recv().await.is_some() {} });
    let (link, answers) = fleet::link(args.banks);
    let listener = match beside {
        Beside::TelemetryAndListener => Some(Listener::start(&pki).await?),
        Beside::Nothing | Beside::Telemetry => None,
    };
    let lane = listener.as_ref().map_or_else(Lane::deaf, Listener::lane);
    let parts = IngestParts { store: store.clone(), keys, sessions: link, stamps };
    let ingest = Ingest::start(parts).await?.with_lane(lane);
    let running = tokio::spawn(ingest.run_until(inbox, std::future::pending()));
    let mut fleet =
        fleet::Fleet::connect(&store, events.clone(), answers, args.banks, args.parcels).await?;
    fleet.book(&store).await?;
    let written = fleet.write(args.batch)?;
    let samplers = match beside {
        Beside::Nothing => None,
        Beside::Telemetry | Beside::TelemetryAndListener => {
            Some(Samplers::start(args.samples, events.clone()).await?)
        }
    };

    let before = (count(samplers.as_ref()), listener.as_ref().map_or(0, Listener::heard));
    let started = Instant::now();
    let facts = fleet.send(written).await?;
    let took = started.elapsed();
    let samples = count(samplers.as_ref()) - before.0;
    let heard = listener.as_ref().map_or(0, Listener::heard) - before.1;
    drop((samplers, fleet, events));
    running.await?;
    store.close().await;
    drop(listener);
    std::fs::remove_dir_all(&args.dir)?;
    Ok(Done { facts, took, samples, heard })
}

fn keys(pki: &Path) -> anyhow::Result<HubKeys> {
    let operators = vec![listener::OPERATOR.parse()?];
    DevPki::create(pki, &PkiSpec { credential_key_id: 1, operators, ..PkiSpec::default() })?;
    Ok(HubKeys::of_new_pki(pki)?)
}

fn count(samplers: Option<&Samplers>) -> u64 {
    samplers.map_or(0, |samplers| samplers.sent.load(Ordering::Relaxed))
}

/// Banks that send nothing but samples, each once a second.
struct Samplers {
    sent: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Samplers {
    async fn start(
        banks: usize,
        events: mpsc::Sender<LinkEvent<usize, usize>>,
    ) -> anyhow::Result<Self> {
        let mut named: Vec<(usize, BankId)> = Vec::with_capacity(banks);
        for number in 0..banks {
            let (session, bank) = (FIRST_SESSION + number, format!("sampler-{number}").parse()?);
            let caller = Caller { address: ([127, 0, 0, 1], 1).into(), certificate: [0; 32] };
            named.push((session, bank));
            let bank = named[number].1.clone();
            events.send(LinkEvent::Connected { session, bank, caller }).await?;
        }
        let sent = Arc::new(AtomicU64::new(0));
        let task = tokio::spawn(sample(named, events, Arc::clone(&sent)));
        Ok(Self { sent, task })
    }
}

impl Drop for Samplers {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn sample(
    banks: Vec<(usize, BankId)>,
    events: mpsc::Sender<LinkEvent<usize, usize>>,
    sent: Arc<AtomicU64>,
) {
    let payload = Bytes::from(full_sample().encode());
    let ticks = usize::try_from(1_000 / TICK.as_millis()).unwrap_or(1);
    let mut tick = tokio::time::interval(TICK);
    // What a tick missed is made good, so that the rate holds.
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut turn = banks.iter().cycle();
    loop {
        tick.tick().await;
        for (session, bank) in turn.by_ref().take(banks.len().div_ceil(ticks)) {
            let (topic, payload, ack) = (UpTopic::Telemetry, payload.clone(), None);
            let (session, bank) = (*session, bank.clone());
            let said = LinkEvent::Publish { session, bank, topic, payload, ack };
            if events.send(said).await.is_err() {
                return;
            }
            sent.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn full_sample() -> Telemetry {
    Telemetry {
        at: UnixMillis(1_800_000_000_000),
        resident_bytes: Some(14 << 20),
        disk_free_bytes: Some(3 << 30),
        backlog_records: Some(0),
        temperature_mdeg_c: Some(41_500),
        mains: Some(true),
        rssi_dbm: Some(-67),
        longest_poll_ms: Some(260),
        bus_errors: Some(12),
        historical: false,
        samples_dropped: 0,
    }
}

fn report(args: &Args, all: &[Done; Beside::ALL.len()]) -> anyhow::Result<()> {
    #[expect(clippy::cast_precision_loss, reason = "counts of a bench are far below 2^52")]
    let per_s = |count: u64, done: &Done| count as f64 / done.took.as_secs_f64();
    let alone = per_s(all[0].facts, &all[0]);
    let ratio = |done: &Done| per_s(done.facts, done) / alone;
    let lane_ratio = ratio(&all[2]) / ratio(&all[1]);
    let rows = Beside::ALL.iter().zip(all).map(|(beside, done)| {
        vec![
            beside.name().to_owned(),
            format!("{:.0}", per_s(done.facts, done)),
            format!("{:.0}", per_s(done.samples, done)),
            format!("{:.0}", per_s(done.heard, done)),
            format!("{:.3}", ratio(done)),
            if beside == &Beside::TelemetryAndListener {
                format!("{lane_ratio:.3}")
            } else {
                String::new()
            },
        ]
    });
    let title = format!(
        "bench live: {} banks with facts, {} with telemetry, {} rounds",
        args.banks, args.samples, args.rounds
    );
    let header = ["what", "facts/s", "samples/s", "heard/s", "of facts alone", "lane's ratio"];
    print(&title, &header, &rows.collect::<Vec<_>>());
    let heard = &all[2];
    #[expect(clippy::cast_precision_loss, reason = "as above")]
    let wanted = args.samples as f64 * DONE_BUDGET;
    let sent = per_s(heard.samples, heard);
    ensure!(sent >= wanted, "only {sent:.0} samples a second were sent: nothing was measured");
    let share = per_s(heard.heard, heard) / sent;
    ensure!(share >= DONE_BUDGET, "the operator heard {share:.2} of the samples only");
    ensure!(
        lane_ratio >= RATIO_BUDGET,
        "the lane's ratio is {lane_ratio:.3}, the budget is {RATIO_BUDGET}"
    );
    Ok(())
}
