//! Breaks the real programs, again and again, while people use them: kills them at random moments,
//! and cuts the power under their disks. At its end nothing is lost, nothing has happened twice, and
//! nothing is unexplained, which a process that took no part says. What it counted goes to standard
//! output as one JSON object.
#![expect(clippy::print_stdout, reason = "the counts are what this program is for")]
#![expect(clippy::print_stderr, reason = "tells what it does while it takes minutes")]

mod chance;
mod diary;
mod fifth;
mod full_disk;
mod hands;
mod hub_copy;
mod image;
mod journal;
mod kill_loop;
mod ledgers;
mod lying;
mod people;
mod power_cuts;
mod privileges;
mod sender;
mod writer;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand, ValueEnum};
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::LocalSet;

/// Kills Postern's programs and cuts their power, and compares four ledgers afterwards.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// `kill -9` of agents and of the hub at random moments, while people bring and fetch parcels
    KillLoop(kill_loop::Args),
    /// Power cuts on an ext4 image in a loop device, one after the other on the same data
    ///
    /// After an acknowledgement the writer is stopped, the image file is copied as the disk is, and
    /// the writer goes on from the copy. Needs root.
    PowerCuts {
        /// Whose disk it is
        whose: Whose,
        /// How many; of `agent` and `hub` 50 at most
        #[arg(long, default_value_t = 10)]
        cuts: usize,
        /// What chance begins with
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// With `journal`: the disk does not write what it is told to, which must be found
        #[arg(long)]
        without_fdatasync: bool,
        /// It runs in namespaces of its own already
        #[arg(long, hide = true)]
        alone: bool,
    },
    /// Somebody else fills the disk of an agent to its last byte, while people fetch parcels and the agent is killed
    ///
    /// On an ext4 image in a loop device. Needs root.
    FullDisk {
        /// What chance begins with
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// It runs in namespaces of its own already
        #[arg(long, hide = true)]
        alone: bool,
    },
    /// Compares the ledgers that FILE names; fails if they disagree
    Ledgers {
        /// Where they are, as JSON
        #[arg(value_name = "FILE")]
        places: PathBuf,
    },
    /// Appends to a journal until it is killed, and says on standard output what is durable
    #[command(hide = true)]
    WriteJournal {
        /// The folder of the journal
        #[arg(value_name = "DIR")]
        dir: PathBuf,
        /// The disk does not write what it is told to
        #[arg(long)]
        without_fdatasync: bool,
    },
}

/// Whose disk loses its power.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Whose {
    /// A bank's agent
    Agent,
    /// The hub
    Hub,
    /// A process that does nothing but append to a bank's journal
    Journal,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("crash: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let task = Args::parse().task;
    if let Task::WriteJournal { dir, without_fdatasync } = &task {
        return writer::run(dir, *without_fdatasync, |promise| println!("{promise}"));
    }
    if let Task::PowerCuts { alone: false, .. } | Task::FullDisk { alone: false, .. } = &task {
        return Err(privileges::go_alone());
    }
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    // People are many and do little: one thread is enough for all.
    let perform = async {
        let mut told = signal(SignalKind::terminate())?;
        tokio::select! {
            done = perform(task) => done,
            // As the first process of a namespace it would not even be asked.
            interrupted = tokio::signal::ctrl_c() => {
                interrupted?;
                bail!("interrupted")
            }
            _ = told.recv() => bail!("told to stop"),
        }
    };
    runtime.block_on(LocalSet::new().run_until(Box::pin(perform)))
}

async fn perform(task: Task) -> Result<()> {
    match task {
        Task::KillLoop(args) => tell(&kill_loop::run(&args).await?),
        Task::PowerCuts { whose: Whose::Agent, cuts, seed, .. } => {
            tell(&power_cuts::of_agent(cuts, seed).await?)
        }
        Task::PowerCuts { whose: Whose::Hub, cuts, seed, .. } => {
            tell(&power_cuts::of_hub(cuts, seed).await?)
        }
        Task::PowerCuts { whose: Whose::Journal, cuts, seed, without_fdatasync, .. } => {
            let report = power_cuts::of_journal(cuts, seed, without_fdatasync).await?;
            tell(&report)?;
            report.ensure()
        }
        Task::FullDisk { seed, .. } => tell(&full_disk::run(seed).await?),
        Task::Ledgers { places } => {
            let places = std::fs::read(&places).context("where the ledgers are")?;
            let verdict = ledgers::audit(&serde_json::from_slice(&places)?).await?;
            tell(&verdict)?;
            anyhow::ensure!(verdict.agrees(), "the ledgers disagree");
            Ok(())
        }
        Task::WriteJournal { .. } => Ok(()),
    }
}

fn tell(counts: &impl Serialize) -> Result<()> {
    println!("{}", serde_json::to_string(counts)?);
    Ok(())
}
