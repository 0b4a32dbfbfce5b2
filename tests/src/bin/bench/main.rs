//! Measures what the product promises, each against a bare baseline in the same run, and fails when
//! a budget is broken. Figures of one run may be compared with each other, not with another run's.
#![expect(clippy::print_stderr, reason = "says which budget is broken")]

mod agent;
mod awake;
mod backlog;
mod codes;
mod door;
mod ingest;
mod live;
mod panel_client;
mod recover;
mod table;
mod visits;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Measures Postern against bare baselines in the same run.
#[derive(Parser)]
#[command(version)]
struct Args {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Subcommand)]
enum Bench {
    /// Memory of an agent, and how long it is away when it starts again.
    Agent(agent::Args),
    /// Three days of a thousand banks, while others have something to say now.
    Backlog(backlog::Args),
    /// Six digits at the keypad, against a bare hash.
    Codes(codes::Args),
    /// From the last frame of a scan to the first byte of the unlock frame.
    Door(door::Args),
    /// Facts made durable in the hub, against prepared statements with the same rows.
    Ingest(ingest::Args),
    /// What the live lane costs ingest.
    Live(live::Args),
    /// An agent's state made from its journal, against reading and hashing the same bytes.
    Recover(recover::Args),
    /// Keeps one core awake until its standard input is closed; for `door`.
    #[command(hide = true)]
    Spin,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        // A broken budget is a result, not a fault of the program: no stack trace.
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    match Args::parse().bench {
        Bench::Agent(args) => runtime.block_on(Box::pin(agent::run(&args))),
        Bench::Backlog(args) => runtime.block_on(Box::pin(backlog::run(&args))),
        Bench::Codes(args) => codes::run(&args),
        Bench::Door(args) => runtime.block_on(door::run(&args)),
        Bench::Ingest(args) => runtime.block_on(ingest::run(&args)),
        Bench::Live(args) => runtime.block_on(Box::pin(live::run(&args))),
        Bench::Recover(args) => recover::run(&args),
        Bench::Spin => {
            awake::spin();
            Ok(())
        }
    }
}
