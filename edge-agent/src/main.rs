//! The agent's command line.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the result of a check is for whoever asked for it"
)]

use std::error::Error;
use std::io::IsTerminal;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;

use anyhow::Context;
use clap::{Parser, Subcommand};
use edge_agent::agent::{Agent, AgentError, begin_stream_anew};
use edge_agent::commission::{self, commission};
use edge_agent::config::{Config, LogConfig};
use edge_agent::journal::{OpenError, ReadError};
use tokio::signal::unix::{SignalKind, signal};
use tracing::warn;
use tracing_subscriber::EnvFilter;

const AFTER_HELP: &str = "\
The example deploy/config/edge-agent.toml explains every key. Without a locker, `board-sim --listen \
127.0.0.1:5000` plays its lock boards. Once the agent runs, panel.access_file tells where and how \
its screen is reached.";

/// Runs a parcel-locker bank: drives its lock boards, keeps its records, talks to its hub.
#[derive(Parser)]
#[command(version, after_help = AFTER_HELP)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the bank until SIGTERM or Ctrl-C.
    Run {
        /// The configuration file; see deploy/config/edge-agent.toml for every key.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Check a configuration file and say what is wrong with it. Keys of six-digit codes that cannot be
    /// used are a warning: the bank works without its keypad then.
    CheckConfig {
        /// The configuration file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// After the journal was found damaged: keep it aside and begin a new one.
    ///
    /// It begins with what is known of the bank's state. The content of every compartment counts as unknown until
    /// staff have looked; codes that recipients have open again then. Refused for a journal that is not damaged.
    ///
    /// The agent must not run. A systemd unit's keys can be read only while it runs: take a copy of the
    /// configuration that names their own places, and give the new files to the unit's user afterwards.
    BeginAnew {
        /// The configuration file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Says that staff will open every compartment afterwards.
        #[arg(long, required = true)]
        inventory_follows: bool,
    },
    /// Open every lock of a new locker, one after the other, together with somebody who shuts the doors:
    /// learns which way round each sensor reads, and finds wrong wires and two boards with one address.
    Commission {
        /// The configuration file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
}

fn main() -> anyhow::Result<()> {
    match Args::parse().command {
        Command::Run { config } => {
            let config = commission::prepare(Config::load(&config)?)?;
            log(&config.log)?;
            abort_on_panic(config.data_dir.clone());
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .context("cannot start the runtime")?;
            runtime.block_on(run(&config))
        }
        Command::CheckConfig { config: path } => {
            let config = Config::load(&path)?;
            // The agent runs without its keypad then, so it is no reason to keep the file from it.
            if let Err(error) = config.codes.load() {
                eprintln!(
                    "warning: the keypad would take no digits: {:#}",
                    anyhow::Error::new(error)
                );
            }
            println!("{} is valid", path.display());
            Ok(())
        }
        Command::BeginAnew { config, inventory_follows: _ } => {
            let config = Config::load(&config)?;
            log(&config.log)?;
            abort_on_panic(config.data_dir.clone());
            let parent = begin_stream_anew(&config)?;
            println!(
                "a new journal goes on from stream {parent}; the damaged one is kept as {}.\nStart the agent, then \
                 have staff look into every compartment: each is closed off until they have said what is inside.",
                config.data_dir.join("journal.broken-1").display()
            );
            Ok(())
        }
        Command::Commission { config } => {
            let config = Config::load(&config)?;
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .context("cannot start the runtime")?;
            let input = tokio::io::BufReader::new(tokio::io::stdin());
            let done = runtime.block_on(commission(&config, input, tokio::io::stdout()));
            // A read of the terminal cannot be cancelled, and nobody is going to type any more.
            runtime.shutdown_background();
            println!("{} locks are in order", done?.locks().len());
            Ok(())
        }
    }
}

/// A panic in the bank's thread must not leave a process that looks alive. It may have come out of
/// sled, which would then panic at every start.
fn abort_on_panic(data_dir: PathBuf) {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        edge_agent::store::doubt(&data_dir);
        std::process::abort();
    }));
}

async fn run(config: &Config) -> anyhow::Result<()> {
    let mut terminated = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut agent = Agent::start(config, None).await.map_err(|error| advised(error, config))?;
    tokio::select! {
        error = agent.failed() => {
            if Agent::is_to_start_again(&error) {
                warn!(%error, "agent starts again");
                // A fresh process holds no file, port or lock of this one; it comes back only if there is none.
                return Err(std::process::Command::new(std::env::current_exe()?)
                    .args(std::env::args_os().skip(1))
                    .exec()
                    .into());
            }
            return Err(advised(error, config));
        }
        _ = terminated.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    Ok(agent.stop().await?)
}

/// The error, and what a person can do about it where that is not plain.
fn advised(error: AgentError, config: &Config) -> anyhow::Error {
    if !is_damage(&error) {
        return error.into();
    }
    anyhow::Error::new(error).context(format!(
        "the bank's records are damaged and nothing was changed; keep a copy of {}, and if there is no better one, \
         see `edge-agent begin-anew --help`",
        config.data_dir.display()
    ))
}

/// Whether it all comes from a damaged journal, met at its opening or when a record was needed.
fn is_damage(error: &AgentError) -> bool {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if matches!(error.downcast_ref(), Some(OpenError::Damaged { .. }))
            || matches!(error.downcast_ref(), Some(ReadError::Damaged { .. }))
        {
            return true;
        }
        cause = error.source();
    }
    false
}

fn log(config: &LogConfig) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&config.filter).context("log.filter is not a filter")?;
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    if config.json {
        subscriber.json().init()
    } else {
        subscriber.init()
    }
    Ok(())
}
