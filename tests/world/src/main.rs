//! Runs worlds from seeds, or a script, and says what broke.
#![expect(clippy::print_stdout, reason = "a command line tool talks to its user")]

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use world::run::{self, Failure, Totals};

fn main() -> Result<ExitCode> {
    let cli = Cli::parse();
    if let Some(path) = &cli.script {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        let script = run::parse_script(&text)?;
        if cli.tell {
            run::tell(cli.banks, &script).iter().for_each(|line| println!("{line}"));
        }
        return Ok(match run::replay(cli.banks, &script) {
            None => {
                println!("{} steps, nothing broken", script.len());
                ExitCode::SUCCESS
            }
            Some((at, broken)) => {
                println!("step {at}: {:?}: {}", broken.invariant, broken.detail);
                ExitCode::FAILURE
            }
        });
    }
    let seeds = cli.seed..cli.seed + cli.seeds;
    let outcome = run::seeds(seeds, cli.steps, cli.banks, cli.threads);
    say(&outcome.totals, cli.seeds);
    let Some(failure) = outcome.failure else { return Ok(ExitCode::SUCCESS) };
    report(&failure, &cli)?;
    Ok(ExitCode::FAILURE)
}

fn say(totals: &Totals, seeds: u64) {
    let &Totals { steps, lives, records, served, refused, seconds, .. } = totals;
    let &Totals { deposits, pickups, pulses, starts, .. } = totals;
    println!("{seeds} seeds, {lives} lives, {steps} steps, {records} records, {starts} starts");
    println!("{pulses} pulses, {deposits} deposits, {pickups} pickups");
    let a_minute = f64::from(u32::try_from(steps).unwrap_or(u32::MAX)) / seconds * 60.0;
    let &Totals { restored, branched, lost, anew, .. } = totals;
    println!(
        "{restored} journals made whole, {branched} in two branches, {lost} lost, {anew} begun anew"
    );
    println!("{served} requests granted, {refused} refused");
    println!("{seconds:.1} s, {a_minute:.0} steps a minute");
}

fn report(failure: &Failure, cli: &Cli) -> Result<()> {
    let Failure { seed, life, step, bank, broken, .. } = failure;
    println!("BROKEN {:?} at bank {bank}: {}", broken.invariant, broken.detail);
    println!("seed {seed}, life {life}, step {step}");
    if cli.no_script {
        return Ok(());
    }
    println!("as a script, for --script or for tests/world/scripts:");
    print!("{}", run::counterexample(cli.banks, failure)?);
    Ok(())
}

/// Runs worlds.
#[derive(Debug, Parser)]
struct Cli {
    /// The first seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Seeds, from the first on
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// Steps of each seed
    #[arg(long, default_value_t = 100_000)]
    steps: u64,
    /// Banks of a world
    #[arg(long, default_value_t = run::BANKS)]
    banks: u8,
    /// Seeds at a time
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Play this script instead
    #[arg(long)]
    script: Option<PathBuf>,
    /// Tell what each step of the script brought about
    #[arg(long, requires = "script")]
    tell: bool,
    /// Do not look for the shortest script
    #[arg(long)]
    no_script: bool,
}
