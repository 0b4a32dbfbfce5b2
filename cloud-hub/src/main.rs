//! The hub's program: `serve`, `check-config`, backups of the store, the keys of six-digit codes, and
//! the development PKI.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line talks to its user")]

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use cloud_hub::codes::cli::{self as codes, CodesArgs, CodesOutput};
use cloud_hub::config::Config;
use cloud_hub::pki::cli::{self as pki, PkiArgs};
use cloud_hub::store_cli::{self, StoreArgs};
use cloud_hub::{serve, telemetry};
use tokio::signal::unix::{SignalKind, signal};

/// The Postern hub: takes in what locker banks report, issues pickup codes, serves carriers and
/// operators.
#[derive(Debug, Parser)]
#[command(name = "cloud-hub", version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the hub until SIGTERM or Ctrl-C.
    ///
    /// Ends with exit code 0 after a stop that was asked for, and with 1 if it cannot start or a
    /// part of it fails: let a supervisor start it again.
    Serve {
        /// The configuration file.
        #[arg(long, env = "POSTERN_HUB_CONFIG", value_name = "FILE")]
        config: PathBuf,
    },
    /// Check a configuration file, and the keys and certificates that it names.
    CheckConfig {
        /// The configuration file.
        #[arg(long, env = "POSTERN_HUB_CONFIG", value_name = "FILE")]
        config: PathBuf,
    },
    /// Back the store up, look into a backup, put one back.
    Store(StoreArgs),
    /// Make the keys of six-digit codes: the hub's own, and the file that each bank needs.
    Codes(CodesArgs),
    /// Make certificates and keys, and change which keys banks believe.
    Pki(PkiArgs),
}

fn main() -> ExitCode {
    match run(Args::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cloud-hub: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Serve { config } => {
            let config = Config::load(&config)?;
            let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
            runtime.block_on(Box::pin(serve_until_told(config)))
        }
        Command::CheckConfig { config: path } => {
            let config = Config::load(&path)?;
            serve::check(&config)?;
            println!("{} is sound", path.display());
            Ok(())
        }
        Command::Store(args) => {
            let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
            println!("{}", runtime.block_on(Box::pin(store_cli::run(args)))?);
            Ok(())
        }
        Command::Codes(args) => {
            match codes::run(args)? {
                CodesOutput::Files(paths) => {
                    for path in paths {
                        println!("{}", path.display());
                    }
                }
                CodesOutput::Text(text) => print!("{}", *text),
            }
            Ok(())
        }
        Command::Pki(args) => {
            let made = pki::run(args)?;
            for path in made.files {
                println!("{}", path.display());
            }
            if let Some(advice) = made.advice {
                eprintln!("{advice}");
            }
            Ok(())
        }
    }
}

async fn serve_until_told(config: Config) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot watch for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot watch for Ctrl-C")?;
    let traces = telemetry::start(&config.telemetry)?;
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    serve::run(config, traces, stop).await?;
    Ok(())
}
