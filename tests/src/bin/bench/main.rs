//! Measures what the product promises, each against a bare baseline in the same run, and fails when
//! a budget is broken. Figures of one run may be compared with each other, not with another run's.

mod door;
mod ingest;
mod panel_client;
mod table;

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
    /// From the last frame of a scan to the first byte of the unlock frame.
    Door(door::Args),
    /// Facts made durable in the hub, against prepared statements with the same rows.
    Ingest(ingest::Args),
}

fn main() -> anyhow::Result<()> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    match Args::parse().bench {
        Bench::Door(args) => runtime.block_on(door::run(&args)),
        Bench::Ingest(args) => runtime.block_on(ingest::run(&args)),
    }
}
