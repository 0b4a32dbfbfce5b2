//! What an agent takes of a locker's small computer: memory idle and while people come and go, and
//! how long it is away when it starts again.
//!
//! The real program with a full bank: 48 compartments, its pool of codes, a hub that it is connected
//! to. Budgets here are absolute, because the machine that it must fit into is.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use edge_agent::bank::PanelState;
use system_tests::bank::{Bank, BankSpec, SMALL};
use system_tests::board::{Doors, Wire};
use system_tests::callers::Order;
use system_tests::hub::HubOptions;
use system_tests::mailbox::wait_for_letter;
use system_tests::wait::wait_for;
use system_tests::world::{CARRIER, World};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::table::{percentile, print};

const BANK: &str = "bench";
/// Resident memory with nobody there, in KiB.
const IDLE_BUDGET_KIB: u64 = 15 * 1_024;
/// Resident memory at its highest while people come and go, in KiB.
const LOADED_BUDGET_KIB: u64 = 25 * 1_024;
/// From the start of the program until a code opens its door.
const START_BUDGET: Duration = Duration::from_secs(1);
/// How often memory is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// A step that takes longer means that something is broken.
const STEP_LIMIT: Duration = Duration::from_secs(20);

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Parcels that are deposited and collected.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..=48))]
    parcels: u16,
    /// How long nobody comes, in seconds.
    #[arg(long, default_value_t = 20)]
    idle_s: u64,
    /// A folder on the disk to be measured; removed afterwards.
    #[arg(long, default_value = "target/bench-agent")]
    dir: PathBuf,
}

pub(crate) async fn run(args: &Args) -> anyhow::Result<()> {
    if args.dir.exists() {
        std::fs::remove_dir_all(&args.dir).context("cannot empty the bench's folder")?;
    }
    let options = HubOptions { codes: true, ..HubOptions::default() };
    let mut world = World::start_in(&args.dir, &[BANK], options).await?;
    let doors = Doors {
        open_after: Duration::from_millis(80),
        shut_after: Some(Duration::from_millis(200)),
    };
    let spec = BankSpec { rooms: vec![SMALL; 48], doors, ..BankSpec::new(BANK, Wire::Tcp) };
    let mut bank = world.add_bank(spec).await?;
    let fresh_kib = resident_kib(&mut bank)?;

    let orders: Vec<Order> =
        (0..args.parcels).map(|number| Order::small(&format!("p{number}"))).collect();
    let (mut loaded, tokens) = bring_all(&world, &mut bank, &orders).await?;
    let mut idle = idle(&mut bank, args.idle_s).await?;

    bank.stop_agent().await?;
    let started = Instant::now();
    bank.start_agent().await?;
    let first = tokens.first().context("no parcel")?;
    open(&mut bank, first).await?;
    let start = started.elapsed();
    finish(&mut bank).await?;
    for token in &tokens[1..] {
        bank.collect(token).await?;
        loaded.push(resident_kib(&mut bank)?);
    }
    bank.stop_agent().await?;
    world.hub.stop().await?;
    drop((bank, world));
    std::fs::remove_dir_all(&args.dir)?;
    report(args, fresh_kib, &mut idle, &mut loaded, start)
}

/// A courier brings all of them; memory after each, and the codes that the recipients got.
async fn bring_all(
    world: &World,
    bank: &mut Bank,
    orders: &[Order],
) -> anyhow::Result<(Vec<u64>, Vec<String>)> {
    let (mut loaded, mut tokens) = (Vec::new(), Vec::new());
    for order in orders {
        world.carrier.send(order, BANK).await?;
    }
    let badge = world.operator.badge(BANK, CARRIER).await?;
    bank.sign_in(&badge.text).await?;
    for order in orders {
        bank.deposit(&order.barcode).await?;
        loaded.push(resident_kib(bank)?);
    }
    bank.sign_out().await?;
    let mailbox = world.hub.mailbox_folder();
    for order in orders {
        tokens.push(wait_for_letter(&mailbox, &order.email, STEP_LIMIT).await?.token);
    }
    Ok((loaded, tokens))
}

/// Memory while nobody comes.
async fn idle(bank: &mut Bank, seconds: u64) -> anyhow::Result<Vec<u64>> {
    let until = Instant::now() + Duration::from_secs(seconds);
    let mut tick = interval(LOOK_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut all = Vec::new();
    while Instant::now() < until {
        tick.tick().await;
        all.push(resident_kib(bank)?);
    }
    Ok(all)
}

/// Shows the code until a door is pulsed for it: right after the start no door has been read.
async fn open(bank: &mut Bank, token: &str) -> anyhow::Result<()> {
    let panel = &bank.panel;
    wait_for("the bank opens a door", STEP_LIMIT, async || {
        Ok(panel.scan(token).await?.ok().filter(|state| state.session.is_some()).map(drop))
    })
    .await
}

/// Takes the parcel and leaves.
async fn finish(bank: &mut Bank) -> anyhow::Result<()> {
    bank.wait_until_asked().await?;
    let taken = bank.panel.done(system_tests::panel::Outcome::Taken).await?;
    ensure!(taken.is_ok(), "the pickup was not settled");
    let gone = |state: &PanelState| state.session.is_none();
    bank.wait_for_screen("is free again", STEP_LIMIT, gone).await.map(drop)
}

/// The agent's resident memory (proc(5), `/proc/pid/status`).
fn resident_kib(bank: &mut Bank) -> anyhow::Result<u64> {
    let agent = bank.agent().context("the agent is not running")?;
    let status = std::fs::read_to_string(format!("/proc/{}/status", agent.id()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()).context("no VmRSS")?;
    Ok(kib.parse()?)
}

fn report(
    args: &Args,
    fresh_kib: u64,
    idle: &mut [u64],
    loaded: &mut [u64],
    start: Duration,
) -> anyhow::Result<()> {
    let mib = |kib: u64| format!("{}.{}", kib / 1_024, kib % 1_024 * 10 / 1_024);
    let [idle_p50, idle_max] = [50, 100].map(|percent| percentile(idle, percent));
    let [loaded_p50, loaded_max] = [50, 100].map(|percent| percentile(loaded, percent));
    let row = |name: &str, p50: u64, max: u64, budget: u64| {
        vec![name.to_owned(), mib(p50), mib(max), mib(budget)]
    };
    let rows = [
        row("right after the first start", fresh_kib, fresh_kib, IDLE_BUDGET_KIB),
        row("idle, all parcels inside", idle_p50, idle_max, IDLE_BUDGET_KIB),
        row("people come and go", loaded_p50, loaded_max, LOADED_BUDGET_KIB),
    ];
    let title = format!(
        "bench agent: resident memory in MiB, {} parcels; start until a code opens: {} ms",
        args.parcels,
        start.as_millis()
    );
    print(&title, &["when", "p50", "highest", "budget"], &rows);
    let within = |what: &str, kib: u64, budget: u64| {
        ensure!(kib <= budget, "{what}: {} MiB, the budget is {} MiB", mib(kib), mib(budget));
        Ok(())
    };
    within("idle", idle_p50, IDLE_BUDGET_KIB)?;
    within("loaded", loaded_max, LOADED_BUDGET_KIB)?;
    ensure!(start <= START_BUDGET, "start: {} ms, the budget is 1000 ms", start.as_millis());
    Ok(())
}
