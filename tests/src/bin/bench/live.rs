//! What the live lane costs: facts at the rate that a hub must hold with nothing else going on, with
//! telemetry of many banks that nobody listens to, with a client beside it that reads as much from a
//! bare TLS server, and with one operator who listens to all of it by the lane. Each round runs all of
//! them on fresh stores; the median of the rounds counts.
//!
//! What is judged is processor time at one and the same rate: what the lane takes of the machine, facts
//! cannot have. Facts as fast as they go, with and without it, would say the same if two runs were ever
//! alike; measured so, facts alone came out slower than facts beside telemetry.

mod bare;
mod listener;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use bytes::{Bytes, BytesMut};
use cloud_hub::credential_keys::HubKeys;
use cloud_hub::ingest::{Caller, Ingest, IngestParts, LinkEvent};
use cloud_hub::live::Lane;
use cloud_hub::mqtt::UpTopic;
use cloud_hub::pki::{DevPki, PkiSpec};
use cloud_hub::store::{Store, StoreLimits};
use locker_core::ids::BankId;
use locker_core::units::UnixMillis;
use locker_proto::message::Telemetry;
use locker_proto::topics::UpTopic as Topic;
use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v4::Publish;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use crate::awake::Awake;
use crate::ingest::fleet;
use crate::table::print;
use bare::BareFeed;
use listener::Listener;

/// The lane may take this share of the machine's processor time, more than a bare server and the same
/// client take.
const LANE_BUDGET: f64 = 0.05;
/// The share of the facts' rate that must be held.
const RATE_BUDGET: f64 = 0.95;
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
    #[arg(long, default_value_t = 20)]
    parcels: u16,
    /// Facts a second, of all banks together.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    facts_per_s: u32,
    /// Records in one batch.
    #[arg(long, default_value_t = 64)]
    batch: usize,
    /// Samples a second, each of another bank.
    #[arg(long, default_value_t = 10_000)]
    samples: usize,
    /// How often all of them are measured.
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
    TelemetryAndClient,
    TelemetryAndListener,
}

impl Beside {
    const ALL: [Self; 4] =
        [Self::Nothing, Self::Telemetry, Self::TelemetryAndClient, Self::TelemetryAndListener];

    const fn name(self) -> &'static str {
        match self {
            Self::Nothing => "facts alone",
            Self::Telemetry => "and telemetry, unheard",
            Self::TelemetryAndClient => "and a client of a bare server",
            Self::TelemetryAndListener => "and an operator by the lane",
        }
    }
}

/// What was done in one run.
#[derive(Clone, Copy, Debug, Default)]
struct Done {
    facts: u64,
    took: Duration,
    /// Processor time of this process.
    cpu: Duration,
    samples: u64,
    heard: u64,
}

impl Done {
    fn per_s(&self, count: u64) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "counts of a bench are far below 2^52")]
        let count = count as f64;
        count / self.took.as_secs_f64()
    }

    /// The share of all processors' time.
    fn cpu_share(&self) -> f64 {
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        #[expect(clippy::cast_precision_loss, reason = "no machine has 2^52 processors")]
        let processors = processors as f64;
        self.cpu.as_secs_f64() / self.took.as_secs_f64() / processors
    }
}

/// A round: one run of each kind, in their order.
type Round = [Done; Beside::ALL.len()];

pub(crate) async fn run(args: &Args) -> anyhow::Result<()> {
    let awake = Awake::start()?;
    let mut rounds = Vec::with_capacity(args.rounds);
    for _ in 0..args.rounds.max(1) {
        let mut round = Round::default();
        for (beside, done) in Beside::ALL.into_iter().zip(&mut round) {
            *done = one(args, beside).await?;
        }
        rounds.push(round);
    }
    drop(awake);
    rounds.sort_by(|a, b| lane_cost(a).total_cmp(&lane_cost(b)));
    report(args, &rounds)
}

/// What the lane takes of the machine, beyond what a bare server for the same client takes.
fn lane_cost([_, _, bare, lane]: &Round) -> f64 {
    lane.cpu_share() - bare.cpu_share()
}

/// Processor time of this process so far.
fn cpu() -> Duration {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::try_from(spent).unwrap_or_default()
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
        Beside::Nothing | Beside::Telemetry | Beside::TelemetryAndClient => None,
    };
    let bare = match beside {
        Beside::TelemetryAndClient => {
            Some(BareFeed::start(&pki, packet(args.samples), args.samples).await?)
        }
        Beside::Nothing | Beside::Telemetry | Beside::TelemetryAndListener => None,
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
        Beside::Telemetry | Beside::TelemetryAndClient | Beside::TelemetryAndListener => {
            Some(Samplers::start(args.samples, events.clone()).await?)
        }
    };

    let heard = || {
        let bare = bare.as_ref().map_or(0, BareFeed::heard);
        bare + listener.as_ref().map_or(0, Listener::heard)
    };
    let before = (count(samplers.as_ref()), heard());
    let span = Duration::from_millis(written.facts * 1_000 / u64::from(args.facts_per_s));
    let (started, cpu_before) = (Instant::now(), cpu());
    let facts = fleet.send_in(written, span).await?;
    let (took, cpu) = (started.elapsed(), cpu() - cpu_before);
    let samples = count(samplers.as_ref()) - before.0;
    let heard = heard() - before.1;
    drop((samplers, fleet, events));
    running.await?;
    store.close().await;
    drop((listener, bare));
    std::fs::remove_dir_all(&args.dir)?;
    Ok(Done { facts, took, cpu, samples, heard })
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
            let caller =
                Caller { address: ([127, 0, 0, 1], 1).into(), certificate: [0; 32], key: None };
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

/// A sample as an operator gets it: PUBLISH of QoS 0 (OASIS MQTT 3.1.1, section 3.3).
fn packet(banks: usize) -> Vec<u8> {
    let bank: Result<BankId, _> = format!("sampler-{}", banks / 2).parse();
    let topic = bank.map_or_else(|_| String::new(), |bank| Topic::Telemetry.of(&bank));
    let publish = Publish::new(topic, QoS::AtMostOnce, full_sample().encode());
    let mut packet = BytesMut::new();
    // It refuses packets above the limit only.
    let _ = publish.write(&mut packet);
    packet.to_vec()
}

/// `rounds` in order of the lane's cost; the one in the middle is shown and judged.
fn report(args: &Args, rounds: &[Round]) -> anyhow::Result<()> {
    let round = &rounds[rounds.len() / 2];
    let cost = lane_cost(round);
    let rows = Beside::ALL.iter().zip(round).map(|(beside, done)| {
        let is_lane = beside == &Beside::TelemetryAndListener;
        vec![
            beside.name().to_owned(),
            format!("{:.0}", done.per_s(done.facts)),
            format!("{:.0}", done.per_s(done.samples)),
            format!("{:.0}", done.per_s(done.heard)),
            format!("{:.3}", done.cpu_share()),
            if is_lane { format!("{cost:.3}") } else { String::new() },
        ]
    });
    let all: Vec<String> = rounds.iter().map(|round| format!("{:.3}", lane_cost(round))).collect();
    let title = format!(
        "bench live: {} banks with facts, {} with telemetry; the median of the lane's costs {}",
        args.banks,
        args.samples,
        all.join(", ")
    );
    let header = ["what", "facts/s", "samples/s", "heard/s", "of the processors", "the lane's"];
    print(&title, &header, &rows.collect::<Vec<_>>());
    #[expect(clippy::cast_precision_loss, reason = "as above")]
    let wanted = args.samples as f64 * DONE_BUDGET;
    for done in &round[2..] {
        let sent = done.per_s(done.samples);
        ensure!(sent >= wanted, "only {sent:.0} samples a second were sent: nothing was measured");
        let share = done.per_s(done.heard) / sent;
        ensure!(share >= DONE_BUDGET, "the client heard {share:.2} of the samples only");
    }
    for done in round {
        let rate = done.per_s(done.facts) / f64::from(args.facts_per_s);
        ensure!(rate >= RATE_BUDGET, "the facts came at {rate:.2} of their rate only");
    }
    ensure!(cost <= LANE_BUDGET, "the lane takes {cost:.3}, the budget is {LANE_BUDGET}");
    Ok(())
}
