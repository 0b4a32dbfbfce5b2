//! What a hub does when many banks come back after a long time in the dark, all at once, while others
//! have something to say now: the backlog must be gone within its time, and nobody who is live may be
//! made to wait for it.
//!
//! Most banks are put in where the listener's sessions hand over to ingest, each with a queue of its own
//! as a session has; the others, and all that are live, are real sessions over mutual TLS.

mod journal;
mod link;
mod store;
mod uplink;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use cloud_hub::credential_keys::HubKeys;
use cloud_hub::ingest::{Count, Ingest, IngestParts};
use cloud_hub::mqtt::{ListenerConfig, MqttListener, SessionLimits};
use cloud_hub::pki::{DevPki, PkiSpec};
use cloud_hub::store::{Store, StoreLimits};
use cloud_hub::tls::{Alpn, Limits, Revocations, ServerFiles, ServerTls};
use futures::future::try_join_all;
use locker_core::journal::BATCH_MAX_RECORDS;
use locker_core::uplink::STALL_MS;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::awake::Awake;
use crate::table::{percentile, print};
use journal::Journal;
use link::{BothLinks, FirstEnd, route};
use uplink::{Drained, Gate, LiveFact, drain, live_one};

/// 72 hours must be drained in 15 minutes.
const HOURS_PER_DRAIN_HOUR: u32 = 72 * 4;
/// A door that moves at a bank that is live is committed within this, at p95.
const LIVE_BUDGET: Duration = Duration::from_secs(2);
/// An agent gives its connection up when nothing of it is committed for as long.
const SILENCE_BUDGET: Duration = Duration::from_millis(STALL_MS);
/// Parcels that come to a bank of ordinary size in a day.
const PARCELS_A_DAY: u64 = 60;
const SECONDS_A_DAY: u64 = 24 * 3_600;
/// As in the hub's configuration.
const EVENT_QUEUE: usize = 1_024;

/// Measures how a backlog is drained. It has its share of the 15 minutes that there are for 72 hours:
/// by default a tenth of it, in 90 seconds. The whole: `--hours 72`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Banks that come back.
    #[arg(long, default_value_t = 1_000)]
    banks: usize,
    /// How many of them have a real session.
    #[arg(long, default_value_t = 100)]
    real: usize,
    /// Hours that they were away.
    #[arg(long, default_value_t = 7.2)]
    hours: f64,
    /// Seconds in which they come back, one after the other; 0: all at once.
    #[arg(long, default_value_t = 0)]
    back_within_s: u64,
    /// Banks that are live meanwhile, each with a real session.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    live: u64,
    /// Between two doors that move at one of those, in milliseconds.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(10..=60_000))]
    live_every_ms: u64,
    /// Seconds of live banks alone, before the others come back.
    #[arg(long, default_value_t = 5)]
    alone_s: u64,
    /// Samples of telemetry that waited, of each bank and hour.
    #[arg(long, default_value_t = 60)]
    samples_an_hour: u64,
    /// Records in one batch.
    #[arg(long, default_value_t = BATCH_MAX_RECORDS)]
    batch: usize,
    /// A folder on the disk to be measured; removed afterwards.
    #[arg(long, default_value = "target/bench-backlog")]
    dir: PathBuf,
}

impl Args {
    fn away(&self) -> Duration {
        Duration::from_secs_f64(self.hours * 3_600.0)
    }

    fn drain_budget(&self) -> Duration {
        self.away() / HOURS_PER_DRAIN_HOUR
    }

    fn parcels(&self) -> u64 {
        self.away().as_secs() * PARCELS_A_DAY / SECONDS_A_DAY
    }

    fn samples(&self) -> u64 {
        self.away().as_secs() * self.samples_an_hour / 3_600
    }
}

/// What came of it.
struct Found {
    banks: Vec<Drained>,
    /// From the first bank's return to the last of their facts.
    took: Duration,
    transactions: u64,
    alone: Vec<u64>,
    beside: Vec<u64>,
    samples_heard: u64,
}

pub(crate) async fn run(args: &Args) -> anyhow::Result<()> {
    ensure!(args.real <= args.banks, "more real sessions than banks");
    ensure!((1..=BATCH_MAX_RECORDS).contains(&args.batch), "no agent sends batches like that");
    ensure!((0.1..=1_000.0).contains(&args.hours), "nobody is away as long as that");
    if args.dir.exists() {
        std::fs::remove_dir_all(&args.dir).context("cannot empty the bench's folder")?;
    }
    std::fs::create_dir_all(&args.dir)?;
    let awake = Awake::start()?;
    let found = measure(args).await?;
    drop(awake);
    std::fs::remove_dir_all(&args.dir)?;
    report(args, found)
}

async fn measure(args: &Args) -> anyhow::Result<Found> {
    let database = std::path::absolute(args.dir.join("hub.db"))?;
    let url = format!("sqlite://{}?mode=rwc", database.display());
    let store = Store::open(&url, StoreLimits::default()).await?;
    let numbers = Numbers::of(args)?;
    let pki = args.dir.join("pki");
    let keys = Arc::new(keys(&pki, numbers.first_injected)?);
    store::make_banks_known(&store, numbers.all).await?;
    store::make_parcels_known(&store, &database, numbers.all, args.parcels()).await?;
    let journals = journals(args, &numbers)?;
    let mut hub = Hub::start(&store, keys, &pki, numbers.all).await?;
    let gates = hub.gates(&pki, &numbers);
    let mut banks: Vec<(Journal, Gate)> = journals.into_iter().zip(gates).collect();
    let injected = banks.split_off(numbers.first_injected);
    let living = banks.split_off(numbers.first_live);
    banks.extend(injected);

    let living = Living::begin(args, living)?;
    sleep(Duration::from_secs(args.alone_s)).await;
    let transactions = || store.rows_written().get("transactions").copied().unwrap_or(0);
    let (began, transactions_before) = (Instant::now(), transactions());
    let pause = Duration::from_secs(args.back_within_s) / u32::try_from(args.banks.max(1))?;
    let drains = (0..).zip(banks).map(|(n, (journal, gate))| {
        let (batch, samples) = (args.batch, args.samples());
        let draining = tokio::spawn(async move {
            sleep(pause * n).await;
            drain(journal, gate, batch, samples).await
        });
        async move { draining.await? }
    });
    let banks = try_join_all(drains).await.with_context(|| hub.first_end())?;
    let ended = banks.iter().map(|bank| bank.ended).max().context("no bank came back")?;
    let transactions = transactions() - transactions_before;
    let facts = living.end().await.with_context(|| hub.first_end())?;
    let samples_heard = hub.counters.get(Count::Telemetry);
    hub.stop().await?;
    store.close().await;

    let waits = |of: &dyn Fn(Instant) -> bool| {
        let of = facts.iter().filter(|fact| of(fact.moved));
        of.map(|fact| u64::try_from(fact.took.as_micros()).unwrap_or(u64::MAX)).collect()
    };
    let alone = waits(&|moved| moved < began);
    let beside = waits(&|moved| (began..ended).contains(&moved));
    Ok(Found { banks, took: ended - began, transactions, alone, beside, samples_heard })
}

/// Numbers of banks: those that come back with a real session, those that are live, and those that are
/// put in.
struct Numbers {
    first_live: usize,
    first_injected: usize,
    all: usize,
}

impl Numbers {
    fn of(args: &Args) -> anyhow::Result<Self> {
        let live = usize::try_from(args.live)?;
        let (first_live, first_injected) = (args.real, args.real + live);
        Ok(Self { first_live, first_injected, all: args.banks + live })
    }
}

fn journals(args: &Args, numbers: &Numbers) -> anyhow::Result<Vec<Journal>> {
    let begin = journal::time_before(args.away());
    let live = numbers.first_live..numbers.first_injected;
    let journal = |number| {
        let parcels = if live.contains(&number) { 0 } else { args.parcels() };
        Journal::new(number, parcels, begin, args.away())
    };
    (0..numbers.all).map(journal).collect()
}

/// The banks that are live.
struct Living {
    stop: watch::Sender<bool>,
    tasks: JoinSet<anyhow::Result<Vec<LiveFact>>>,
}

impl Living {
    fn begin(args: &Args, banks: Vec<(Journal, Gate)>) -> anyhow::Result<Self> {
        let (stop, stopped) = watch::channel(false);
        let (mut tasks, live) = (JoinSet::new(), u32::try_from(args.live)?);
        let every = Duration::from_millis(args.live_every_ms);
        for (number, (journal, gate)) in (0..).zip(banks) {
            tasks.spawn(live_one(journal, gate, every * number / live, every, stopped.clone()));
        }
        Ok(Self { stop, tasks })
    }

    async fn end(mut self) -> anyhow::Result<Vec<LiveFact>> {
        self.stop.send_replace(true);
        let mut facts = Vec::new();
        while let Some(heard) = self.tasks.join_next().await {
            facts.extend(heard??);
        }
        Ok(facts)
    }
}

fn keys(pki: &std::path::Path, real: usize) -> anyhow::Result<HubKeys> {
    let banks = (0..real).map(journal::bank).collect::<Result<_, _>>()?;
    DevPki::create(pki, &PkiSpec { credential_key_id: 1, banks, ..PkiSpec::default() })?;
    Ok(HubKeys::of_new_pki(pki)?)
}

/// The hub's listener and ingest.
struct Hub {
    address: std::net::SocketAddr,
    events: mpsc::Sender<link::Event>,
    /// What banks without a session are answered.
    answers: Vec<mpsc::Receiver<link::Answer>>,
    counters: Arc<cloud_hub::ingest::Counters>,
    lost: Arc<AtomicU64>,
    first_end: FirstEnd,
    stop: oneshot::Sender<()>,
    running: tokio::task::JoinHandle<()>,
    tasks: [tokio::task::JoinHandle<()>; 2],
}

impl Hub {
    async fn start(
        store: &Store,
        keys: Arc<HubKeys>,
        pki: &std::path::Path,
        banks: usize,
    ) -> anyhow::Result<Self> {
        let files = ServerFiles {
            certificate: pki.join("hub.pem"),
            key: pki.join("hub.key"),
            client_authorities: pki.join("ca.pem"),
            revocation_lists: Vec::new(),
        };
        let tls = ServerTls::load(&files, Alpn::None, Revocations::default())?;
        let config = ListenerConfig {
            address: ([127, 0, 0, 1], 0).into(),
            tls: Limits::default(),
            session: SessionLimits::default(),
        };
        let (said, saying) = mpsc::channel(1);
        let door = MqttListener::bind(config, tls, said).await?;
        let address = door.local_address();
        let first_end = FirstEnd::default();
        let (links, answers) = BothLinks::new(door.sessions(), banks, Arc::clone(&first_end));
        let (events, inbox) = mpsc::channel(EVENT_QUEUE);
        let (stamps, mut stamped) = mpsc::channel(EVENT_QUEUE);
        tokio::spawn(async move { while stamped.recv().await.is_some() {} });
        let parts = IngestParts { store: store.clone(), keys, sessions: links, stamps };
        let ingest = Ingest::start(parts).await?;
        let (counters, lost) = (ingest.counters(), Arc::new(AtomicU64::new(0)));
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(ingest.run_until(inbox, async {
            // A dropped sender is as good a signal.
            let _ = stopped.await;
        }));
        let routing = tokio::spawn(route(saying, events.clone(), Arc::clone(&lost)));
        let serving = tokio::spawn(door.run(std::future::pending()));
        let tasks = [routing, serving];
        Ok(Self { address, events, answers, counters, lost, first_end, stop, running, tasks })
    }

    /// How each bank comes to it. Once.
    fn gates(&mut self, pki: &std::path::Path, numbers: &Numbers) -> Vec<Gate> {
        let answers = std::mem::take(&mut self.answers).into_iter().enumerate();
        let gate = |(number, answers)| {
            if number < numbers.first_injected {
                Gate::Real { pki: pki.to_owned(), hub: self.address }
            } else {
                Gate::Injected { number, events: self.events.clone(), answers }
            }
        };
        answers.map(gate).collect()
    }

    fn first_end(&self) -> String {
        let reason = self.first_end.get();
        reason.map_or_else(
            || "ingest has ended no session".to_owned(),
            |reason| format!("the first session that ingest ended was {reason}"),
        )
    }

    async fn stop(self) -> anyhow::Result<()> {
        let lost = self.lost.load(Ordering::Relaxed);
        tracing::info!(lost, "samples lost between the listener and ingest");
        // It has ended by itself if nobody hears it, which the next line tells.
        let _ = self.stop.send(());
        self.running.await?;
        for task in &self.tasks {
            task.abort();
        }
        Ok(())
    }
}

fn report(args: &Args, mut found: Found) -> anyhow::Result<()> {
    let facts: u64 = found.banks.iter().map(|bank| bank.facts).sum();
    let batches: u64 = found.banks.iter().map(|bank| bank.batches).sum();
    let samples: u64 = found.banks.iter().map(|bank| bank.samples).sum();
    #[expect(clippy::cast_precision_loss, reason = "counts of a bench are far below 2^52")]
    let rate = facts as f64 / found.took.as_secs_f64();
    let title = format!(
        "bench backlog: {} banks back after {} h, {} of them with a real session; {} are live",
        args.banks, args.hours, args.real, args.live
    );
    let row = vec![
        facts.to_string(),
        batches.to_string(),
        found.transactions.to_string(),
        format!("{rate:.0}"),
        format!("{:.1} s", found.took.as_secs_f64()),
        format!("{:.1} s", args.drain_budget().as_secs_f64()),
    ];
    let header = ["facts", "batches", "transactions", "facts/s", "drained in", "budget"];
    print(&title, &header, &[row]);

    let rows = [("alone", &mut found.alone), ("beside the backlog", &mut found.beside)];
    let rows = rows.map(|(name, waits)| {
        let ms = |percent, waits: &mut Vec<u64>| format!("{}", percentile(waits, percent) / 1_000);
        let mut row = vec![name.to_owned(), waits.len().to_string()];
        row.extend([50, 95, 99, 100].map(|percent| ms(percent, waits)));
        row
    });
    let header = ["live banks", "facts", "p50 ms", "p95 ms", "p99 ms", "max ms"];
    print("from a door to its acknowledgement", &header, &rows);

    let mut silences: Vec<u64> = found.banks.iter().map(|bank| ms(bank.silence)).collect();
    let given_up = found.banks.iter().filter(|bank| bank.silence >= SILENCE_BUDGET).count();
    let row = vec![
        percentile(&mut silences, 50).to_string(),
        percentile(&mut silences, 100).to_string(),
        given_up.to_string(),
        samples.to_string(),
        found.samples_heard.to_string(),
    ];
    let header = ["p50 ms", "max ms", "would give up", "samples sent", "heard"];
    print("longest silence of the hub to each bank that came back", &header, &[row]);

    let worst = Duration::from_micros(percentile(&mut found.beside, 95));
    let count = found.beside.len();
    ensure!(count > 0, "no door moved while the backlog was drained: nothing was measured");
    ensure!(
        found.took <= args.drain_budget(),
        "draining took {:.1} s, the budget is {:.1} s",
        found.took.as_secs_f64(),
        args.drain_budget().as_secs_f64()
    );
    ensure!(
        worst <= LIVE_BUDGET,
        "p95 of live banks is {} ms, the budget is {} ms",
        ms(worst),
        ms(LIVE_BUDGET)
    );
    ensure!(given_up == 0, "{given_up} banks would have given up their connection and sent again");
    Ok(())
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
