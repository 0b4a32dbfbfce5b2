//! Builds our programs and runs one of them: the demo and the benchmarks. What matters is that nobody waits in silence and
//! that the program found is the one just built.

use std::process::Command;

use anyhow::Result;
use clap::ValueEnum;

use crate::process;
use crate::workspace::{cargo, target_dir};

/// The folder of our programs, for whatever starts them.
pub(crate) const BIN_DIR_VARIABLE: &str = "POSTERN_BIN_DIR";

/// The programs of the product, which demo and benchmarks start as processes.
const PROGRAMS: [&str; 4] = ["edge-agent", "board-sim", "cloud-hub", "hubctl"];

/// What can be measured.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Bench {
    /// From the last key or scan to the first byte of the unlock frame
    Door,
    /// Durable ingest of facts in the hub, beside bare SQL with the same rows
    Ingest,
    /// Six digits at the keypad, beside a bare hash
    Codes,
    /// Memory of an agent idle and busy, and how long it is away when it starts again
    Agent,
    /// What telemetry of 10,000 banks into one operator's tool costs the machine
    Live,
    /// An agent's state made from its journal, beside reading and hashing the same bytes
    Recover,
    /// A hub that takes in what 1,000 banks have kept for days, while others go on
    Backlog,
}

/// Builds and becomes the demo.
pub(crate) fn demo(args: &[String]) -> Result<()> {
    eprintln!("Building hub, agent and simulated lock board (the first time takes minutes) ...");
    let mut command = build_and_find("demo", "debug")?;
    Err(process::become_command(command.args(args)))
}

/// Builds with `--release` and becomes the benchmark.
pub(crate) fn bench(what: Bench, args: &[String]) -> Result<()> {
    eprintln!("Building with --release (the first time takes many minutes) ...");
    let mut command = build_and_find("bench", "release")?;
    let what = what.to_possible_value().expect("no benchmark is hidden");
    Err(process::become_command(command.arg(what.get_name()).args(args)))
}

/// Builds `program` and the product's programs in one go, and gives the command that starts it.
pub(crate) fn build_and_find(program: &str, folder: &str) -> Result<Command> {
    // `--workspace` chooses the same features of each dependency as the tests do. `--examples` (there are none) makes
    // cargo count the dev-dependencies' features in, so that demo and tests share one build of tokio and all above it.
    let mut build = cargo(&["build", "--workspace", "--examples", "--bin", program]);
    for product in PROGRAMS {
        build.args(["--bin", product]);
    }
    if folder == "release" {
        build.arg("--release");
    }
    process::run_quiet_stdout(&mut build)?;
    let dir = target_dir()?.join(folder);
    let mut command = Command::new(dir.join(program));
    command.env(BIN_DIR_VARIABLE, dir);
    Ok(command)
}
