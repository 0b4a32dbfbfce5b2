//! Facts made durable in the hub: the real ingest loop, store and rules, fed by banks that are only
//! channels, against bare prepared statements that write the same rows in as many transactions with
//! the same pragmas, in the same run.

mod bare;
pub(crate) mod fleet;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use cloud_hub::credential_keys::HubKeys;
use cloud_hub::ingest::{Ingest, IngestParts};
use cloud_hub::pki::{DevPki, PkiSpec};
use cloud_hub::store::{Store, StoreLimits};
use tokio::sync::mpsc;

use crate::awake::Awake;
use crate::table::print;

/// The hub must make at least this share of what bare statements make.
const RATIO_BUDGET: f64 = 0.5;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Banks that send at the same time.
    #[arg(long, default_value_t = 100)]
    banks: usize,
    /// Parcels that go through each bank, at most one a compartment.
    #[arg(long, default_value_t = 40)]
    parcels: u16,
    /// Records in one batch.
    #[arg(long, default_value_t = 64)]
    batch: usize,
    /// How often both are measured, one after the other; the round of the median ratio counts.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..=99))]
    rounds: u8,
    /// A folder on the disk to be measured; removed afterwards.
    #[arg(long, default_value = "target/bench-ingest")]
    dir: PathBuf,
}

pub(crate) async fn run(args: &Args) -> anyhow::Result<()> {
    if args.dir.exists() {
        std::fs::remove_dir_all(&args.dir).context("cannot empty the bench's folder")?;
    }
    let awake = Awake::start()?;
    let mut rounds = Vec::new();
    for _ in 0..args.rounds {
        std::fs::create_dir_all(&args.dir)?;
        let database = std::path::absolute(args.dir.join("hub.db"))?;
        let hub = hub_run(args, &format!("sqlite://{}?mode=rwc", database.display())).await?;
        let bare = bare::run(&database, &args.dir.join("bare.db"), &hub).await?;
        std::fs::remove_dir_all(&args.dir)?;
        rounds.push((hub, bare));
    }
    drop(awake);
    // One round takes a second or two, and a disk that others use, too, is never the same twice.
    rounds.sort_by(|(a, bare_a), (b, bare_b)| ratio(a, *bare_a).total_cmp(&ratio(b, *bare_b)));
    report(args, &rounds)
}

fn ratio(hub: &HubRun, bare: Duration) -> f64 {
    bare.as_secs_f64() / hub.took.as_secs_f64()
}

/// What the hub's own run did, all of it between the first batch and the last acknowledgement.
pub(crate) struct HubRun {
    pub facts: u64,
    pub took: Duration,
    pub transactions: u64,
    /// Rows written by table.
    pub rows: Vec<(&'static str, u64)>,
}

async fn hub_run(args: &Args, url: &str) -> anyhow::Result<HubRun> {
    let store = Store::open(url, StoreLimits::default()).await?;
    let keys = Arc::new(keys(&args.dir)?);
    let (events, inbox) = mpsc::channel(1_024);
    let (stamps, mut stamped) = mpsc::channel(1_024);
    tokio::spawn(async move { while stamped.recv().await.is_some() {} });
    let (link, answers) = fleet::link(args.banks);
    let parts = IngestParts { store: store.clone(), keys, sessions: link, stamps };
    let ingest = Ingest::start(parts).await?;
    let running = tokio::spawn(ingest.run_until(inbox, std::future::pending()));
    let mut fleet =
        fleet::Fleet::connect(&store, events, answers, args.banks, args.parcels).await?;
    fleet.book(&store).await?;

    let written = fleet.write(args.batch)?;
    let before = store.rows_written();
    let started = Instant::now();
    let facts = fleet.send(written).await?;
    let took = started.elapsed();
    let after = store.rows_written();
    drop(fleet);
    running.await?;
    store.close().await;
    let written = |table: &'static str| {
        after.get(table).copied().unwrap_or(0) - before.get(table).copied().unwrap_or(0)
    };
    let transactions = written("transactions");
    ensure!(written("facts") == facts, "{} facts written of {facts}", written("facts"));
    let tables = after.keys().copied().filter(|table| *table != "transactions");
    let rows = tables.map(|table| (table, written(table))).filter(|(_, rows)| *rows > 0).collect();
    Ok(HubRun { facts, took, transactions, rows })
}

fn keys(dir: &std::path::Path) -> anyhow::Result<HubKeys> {
    let pki = dir.join("pki");
    DevPki::create(&pki, &PkiSpec { credential_key_id: 1, ..PkiSpec::default() })?;
    Ok(HubKeys::of_new_pki(&pki)?)
}

/// Of rounds in order of their ratio, the one in the middle.
fn report(args: &Args, rounds: &[(HubRun, Duration)]) -> anyhow::Result<()> {
    let (hub, bare) = &rounds[rounds.len() / 2];
    let bare = *bare;
    #[expect(clippy::cast_precision_loss, reason = "counts of a bench are far below 2^52")]
    let per_s = |took: Duration| hub.facts as f64 / took.as_secs_f64();
    let all: Vec<String> =
        rounds.iter().map(|(hub, bare)| format!("{:.2}", ratio(hub, *bare))).collect();
    let ratio = ratio(hub, bare);
    let row = |name: &str, took: Duration, ratio: f64| {
        vec![
            name.to_owned(),
            format!("{:.0}", per_s(took)),
            format!("{:.2} s", took.as_secs_f64()),
            format!("{ratio:.2}"),
        ]
    };
    let title = format!(
        "bench ingest: {} facts of {} banks in {} transactions; the median of the ratios {}",
        hub.facts,
        args.banks,
        hub.transactions,
        all.join(", ")
    );
    let rows = [row("hub: judge, fold, store", hub.took, ratio), row("bare statements", bare, 1.0)];
    print(&title, &["what", "facts/s", "took", "ratio"], &rows);
    let mut rows: Vec<Vec<String>> = Vec::new();
    for (table, written) in &hub.rows {
        #[expect(clippy::cast_precision_loss, reason = "as above")]
        let per_fact = *written as f64 / hub.facts as f64;
        rows.push(vec![(*table).to_owned(), written.to_string(), format!("{per_fact:.2}")]);
    }
    print("rows written", &["table", "rows", "per fact"], &rows);
    ensure!(ratio >= RATIO_BUDGET, "the ratio is {ratio:.2}, the budget is {RATIO_BUDGET}");
    Ok(())
}
