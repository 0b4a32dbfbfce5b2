//! `demo`: one hub and three banks on this machine, on the real programs, and every way a parcel can
//! go that a newcomer asks about first. At the end three sources that know nothing of each other must
//! agree on what happened: the hub's watches, the lock boards' own logs, and the recipients' mailbox.

mod agreement;
mod door;
mod explore;
mod script;
mod stage;
mod stories;
mod timeline;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use edge_agent::sim::Profile;
use serde_json::{Value, json};
use system_tests::bank::{Bank, BankSpec, LARGE, MEDIUM, SMALL};
use system_tests::board::{Boards, Doors, Wire};
use system_tests::hub::HubOptions;
use system_tests::world::World;
use tokio::signal::unix::{SignalKind, signal};

use agreement::Agreement;
use script::Story;
use stage::Stage;
use stories::{LeftInside, Stages};
use timeline::Timeline;

/// How long a person needs to push the door shut.
const SHUT_AFTER: Duration = Duration::from_millis(900);
/// How long a door must read shut: what the agent ships with.
const SHUT_STABLE_MS: u64 = 500;
/// The bank with a CU48 board behind a serial gateway.
const OVER_TCP: &str = "demo-tcp";
/// The bank with a CU48 board on a serial port.
const OVER_PTY: &str = "demo-pty";
/// The bank with two CU16 boards behind a serial gateway.
const OF_CU16: &str = "demo-cu16";

/// Runs Postern on this machine: a hub, and three locker banks with simulated lock boards.
///
/// Parcels are announced, deposited, noticed and collected by QR code and by six digits; one does not
/// fit, one is cancelled, wrong codes are shown and typed, and the power fails while a door is open.
/// Afterwards everything stays up to be explored until Ctrl-C. Exits with an error if the hub's
/// watches, the lock boards' logs and the mailbox do not agree on what happened.
#[derive(Debug, Parser)]
#[command(name = "demo", version)]
struct Args {
    /// Stop when the stories have been told.
    #[arg(long)]
    once: bool,
    /// Print counts by source and by story, and latencies, as one JSON object on standard output, and
    /// everything else on standard error.
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
    let (demo, left) = tokio::select! {
        ended = Box::pin(play(args, timeline)) => ended?,
        () = told_to_stop() => bail!("it was stopped before its end"),
    };
    if !args.once {
        timeline.text(&explore::page(&demo.world, &demo.banks, &demo.stories, &left)?);
        told_to_stop().await;
    }
    demo.stop(timeline).await;
    Ok(())
}

/// Everything up to the verdict.
async fn play(args: &Args, timeline: &Timeline) -> Result<(Demo, LeftInside)> {
    let mut demo = Box::pin(Demo::start(args, timeline)).await?;
    let (latencies, left) = demo.tell_stories(timeline).await?;
    let agreement = Agreement::ask(&demo.world, &demo.banks, &demo.stories).await?;
    timeline.text(&agreement.table());
    if args.json {
        timeline.result(&summary(&agreement, &demo.stories, &latencies, timeline));
    }
    agreement.ensure()?;
    Ok((demo, left))
}

struct Demo {
    // Dropped before the world, whose folder they write into.
    banks: [Bank; 3],
    world: World,
    stories: Vec<Story>,
}

impl Demo {
    async fn start(args: &Args, timeline: &Timeline) -> Result<Self> {
        timeline.text("Postern: one hub and three locker banks, all on this machine.\n");
        timeline.say("demo", "", "making throw-away certificates and an empty store");
        let names = [OVER_TCP, OVER_PTY, OF_CU16];
        let options = HubOptions { codes: true, ..HubOptions::default() };
        let world = match &args.keep {
            Some(folder) => {
                let is_new = !folder.exists() || folder.read_dir()?.next().is_none();
                ensure!(is_new, "{} is not empty", folder.display());
                World::start_in(folder, &names, options).await
            }
            None => World::start_with(&names, options).await,
        };
        let world = world.context("the hub did not start")?;
        let at = world.hub.addresses();
        timeline.say("demo", "", &format!("all files are in {}", world.folder().display()));
        timeline.say("hub", "", &format!("serves banks on {} (MQTT over mutual TLS)", at.mqtt));
        timeline.say("hub", "", &format!("serves carriers and operators on {} (gRPC)", at.grpc));
        let start = async |spec| start_bank(&world, spec, timeline).await;
        let [tcp, pty, cu16] = specs();
        let (tcp, pty, cu16) = tokio::try_join!(start(tcp), start(pty), start(cu16))?;
        Ok(Self { banks: [tcp, pty, cu16], world, stories: Vec::new() })
    }

    /// Gives latencies, and what is left to explore.
    async fn tell_stories(&mut self, timeline: &Timeline) -> Result<(Vec<Value>, LeftInside)> {
        let (world, [tcp, pty, cu16]) = (&self.world, &mut self.banks);
        let mut stages = Stages {
            tcp: Stage::new(world, tcp, timeline).await?,
            pty: Stage::new(world, pty, timeline).await?,
            cu16: Stage::new(world, cu16, timeline).await?,
        };
        let left = Box::pin(stories::tell(&mut stages, timeline)).await?;
        let mut latencies = Vec::new();
        for stage in [stages.tcp, stages.pty, stages.cu16] {
            self.stories.extend(stage.stories);
            latencies.extend(stage.latencies);
        }
        Ok((latencies, left))
    }

    /// Asks everybody to stop; what does not is killed, which no data minds.
    async fn stop(mut self, timeline: &Timeline) {
        timeline.say("demo", "", "stopping");
        for bank in &mut self.banks {
            if let Err(error) = bank.stop_agent().await {
                timeline.say(&bank.spec.id, "", &format!("did not stop cleanly: {error:#}"));
            }
        }
        if let Err(error) = self.world.hub.stop().await {
            timeline.say("hub", "", &format!("did not stop cleanly: {error:#}"));
        }
    }
}

/// What the banks are built of.
fn specs() -> [BankSpec; 3] {
    let doors = Doors { open_after: Duration::from_millis(80), shut_after: Some(SHUT_AFTER) };
    let quick = |spec| BankSpec { doors, shut_stable_ms: SHUT_STABLE_MS, ..spec };
    let cu16 = BankSpec {
        boards: Boards { profile: Profile::Cu16, addresses: vec![0, 1] },
        rooms: vec![SMALL, SMALL, MEDIUM, MEDIUM, LARGE, LARGE],
        ..BankSpec::new(OF_CU16, Wire::Tcp)
    };
    [BankSpec::new(OVER_TCP, Wire::Tcp), BankSpec::new(OVER_PTY, Wire::Pty), cu16].map(quick)
}

async fn start_bank(world: &World, spec: BankSpec, timeline: &Timeline) -> Result<Bank> {
    let (id, locks, boards) = (spec.id.clone(), spec.rooms.len(), &spec.boards);
    let (count, profile, how) = (boards.addresses.len(), boards.profile, wire_name(spec.wire));
    let what = format!("starts: {locks} compartments, {count} x {profile} on {how}");
    timeline.say(&id, "", &what);
    let bank = world.add_bank(spec).await;
    let bank = bank.with_context(|| format!("{id} did not get ready"))?;
    timeline.say(&id, "", "is connected, and holds its layout, keys and six-digit codes");
    Ok(bank)
}

fn summary(
    agreement: &Agreement,
    stories: &[Story],
    latencies: &[Value],
    timeline: &Timeline,
) -> Value {
    json!({
        "agree": agreement.disagreements.is_empty(),
        "disagreements": agreement.disagreements,
        "sources": agreement.counts(),
        "stories": stories.iter().map(Story::counts).collect::<Vec<_>>(),
        "latencies_ms": latencies,
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
