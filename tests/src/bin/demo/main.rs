//! `demo`: one hub, two banks and two parcels on this machine, from the announcement to the pickup,
//! on the real programs. At the end three sources that know nothing of each other must agree on what
//! happened: the carrier's watch, the lock boards' own logs, and the recipients' mailbox.

mod agreement;
mod explore;
mod journey;
mod timeline;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use serde_json::json;
use system_tests::bank::{Bank, BankSpec};
use system_tests::board::{Doors, Wire};
use system_tests::watch::Watch;
use system_tests::world::World;
use tokio::signal::unix::{SignalKind, signal};

use agreement::Agreement;
use journey::Journey;
use timeline::Timeline;

/// How long a person needs to push the door shut.
const SHUT_AFTER: Duration = Duration::from_millis(900);
/// How long a door must read shut: what the agent ships with.
const SHUT_STABLE_MS: u64 = 500;
/// The banks: name and how the agent reaches the lock board.
const BANKS: [(&str, Wire); 2] = [("demo-tcp", Wire::Tcp), ("demo-pty", Wire::Pty)];

/// Runs Postern on this machine: a hub, two locker banks with simulated lock boards, and two parcels
/// that are announced, deposited, noticed and collected.
///
/// Afterwards everything stays up to be explored until Ctrl-C. Exits with an error if the carrier's
/// watch, the lock boards' logs and the mailbox do not agree on what happened.
#[derive(Debug, Parser)]
#[command(name = "demo", version)]
struct Args {
    /// Stop when the parcels are collected.
    #[arg(long)]
    once: bool,
    /// Print counts by source and latencies as one JSON object on standard output, and everything
    /// else on standard error.
    #[arg(long)]
    json: bool,
    /// Keep all files in this new folder: certificates, store, letters, logs.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let timeline = Timeline::start(args.json);
    match Box::pin(run(&args, &timeline)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            timeline.text(&format!("\nThe demo failed: {error:#}"));
            if args.keep.is_none() {
                timeline.text("Run it again with `--keep DIR` to keep the logs.");
            }
            ExitCode::FAILURE
        }
    }
}

async fn run(args: &Args, timeline: &Timeline) -> Result<()> {
    let (demo, journeys) = tokio::select! {
        ended = play(args, timeline) => ended?,
        () = told_to_stop() => bail!("it was stopped before its end"),
    };
    if !args.once {
        timeline.text(&explore::page(&demo.world, &demo.banks, &journeys)?);
        told_to_stop().await;
    }
    demo.stop(timeline).await;
    Ok(())
}

/// Everything up to the verdict.
async fn play(args: &Args, timeline: &Timeline) -> Result<(Demo, Vec<Journey>)> {
    let mut demo = Demo::start(args, timeline).await?;
    let mut watch = Watch::from_beginning(&demo.world.carrier);
    let mut journeys = Vec::new();
    for bank in &mut demo.banks {
        journeys.push(journey::run(&demo.world, bank, &mut watch, timeline).await?);
    }
    let agreement = Agreement::ask(&demo.world, &demo.banks, &journeys).await?;
    timeline.text(&agreement.table());
    if args.json {
        timeline.result(&summary(&agreement, &journeys, timeline));
    }
    agreement.ensure()?;
    Ok((demo, journeys))
}

struct Demo {
    world: World,
    banks: Vec<Bank>,
}

impl Demo {
    async fn start(args: &Args, timeline: &Timeline) -> Result<Self> {
        timeline.text("Postern: one hub, two locker banks, two parcels, all on this machine.\n");
        let names = BANKS.map(|(name, _)| name);
        timeline.say("demo", "making throw-away certificates and an empty store");
        let world = match &args.keep {
            Some(folder) => {
                let is_new = !folder.exists() || folder.read_dir()?.next().is_none();
                ensure!(is_new, "{} is not empty", folder.display());
                World::start_in(folder, &names).await
            }
            None => World::start(&names).await,
        };
        let world = world.context("the hub did not start")?;
        let at = world.hub.addresses();
        timeline.say("demo", &format!("all files are in {}", world.folder().display()));
        timeline.say("hub", &format!("serves banks on {} (MQTT over mutual TLS)", at.mqtt));
        timeline.say("hub", &format!("serves carriers and operators on {} (gRPC)", at.grpc));
        let mut banks = Vec::new();
        for (name, wire) in BANKS {
            let doors =
                Doors { open_after: Duration::from_millis(80), shut_after: Some(SHUT_AFTER) };
            let spec =
                BankSpec { doors, shut_stable_ms: SHUT_STABLE_MS, ..BankSpec::new(name, wire) };
            let (locks, how) = (spec.rooms.len(), wire_name(wire));
            timeline.say(name, &format!("starts: {locks} compartments, lock board on {how}"));
            let bank = world.add_bank(spec).await;
            banks.push(bank.with_context(|| format!("{name} did not get ready"))?);
            timeline.say(name, "is connected, and holds its layout and the keys of codes");
        }
        Ok(Self { world, banks })
    }

    /// Asks everybody to stop; what does not is killed, which no data minds.
    async fn stop(mut self, timeline: &Timeline) {
        timeline.say("demo", "stopping");
        for bank in &mut self.banks {
            if let Err(error) = bank.stop_agent().await {
                timeline.say(&bank.spec.id, &format!("did not stop cleanly: {error:#}"));
            }
        }
        if let Err(error) = self.world.hub.stop().await {
            timeline.say("hub", &format!("did not stop cleanly: {error:#}"));
        }
    }
}

fn summary(agreement: &Agreement, journeys: &[Journey], timeline: &Timeline) -> serde_json::Value {
    json!({
        "agree": agreement.disagreements.is_empty(),
        "disagreements": agreement.disagreements,
        "sources": agreement.counts(),
        "latencies_ms": journeys.iter().map(Journey::latencies).collect::<Vec<_>>(),
        "duration_ms": timeline.elapsed_ms(),
    })
}

const fn wire_name(wire: Wire) -> &'static str {
    match wire {
        Wire::Tcp => "a serial gateway (TCP)",
        Wire::Pty => "a serial port (pty)",
    }
}

/// Ctrl-C or SIGTERM.
async fn told_to_stop() {
    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => drop(interrupted),
        () = terminated => {}
    }
}
