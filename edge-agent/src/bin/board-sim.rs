//! A lock board for those who have none: see `--help`.

#![expect(clippy::print_stdout, reason = "the addresses are what this program tells its caller")]

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::Context;
use clap::{ArgGroup, Parser};
use edge_agent::sim::{
    PtyPort, ScriptLine, Sim, SimConfig, parse_script, serve_control, serve_tcp,
};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::interval;

/// How often doors that are due are moved and logged although nobody polls.
const TICK: Duration = Duration::from_millis(20);

/// Simulates Kerong CU48 lock boards, so that the agent can run without a locker.
///
/// It speaks the board's bytes at the board's pace over TCP, like a serial gateway, or over a
/// pseudo-terminal, like a serial port, or both. What it listens on is printed, one a line:
///
///   listening tcp 127.0.0.1:40123
///   listening pty /dev/pts/3
///   listening control 127.0.0.1:40124
///
/// A pulse opens its door after --auto-open-ms. Doors can also be moved, jammed and so on by lines
/// sent to the control port, for example with netcat: "open 3", "close 3", "jam 1:3 on" (lock 3 of
/// board 1), "mute on", "garbage on", "late 70", "state", "help". Locks count from 0. Each answer is
/// one line that begins with "ok" or "error".
#[derive(Debug, Parser)]
#[command(version, verbatim_doc_comment, group = ArgGroup::new("port").args(["listen", "pty"]).required(true).multiple(true))]
struct Args {
    /// Play a TCP gateway on this address; port 0 picks a free one.
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Play a serial port on a new pseudo-terminal.
    #[arg(long)]
    pty: bool,
    /// Make this path a symbolic link to the pseudo-terminal; an older link there is replaced.
    #[arg(long, value_name = "PATH", requires = "pty")]
    link: Option<PathBuf>,
    /// Take commands on this address; port 0 picks a free one.
    #[arg(long, value_name = "ADDR")]
    control: Option<SocketAddr>,
    /// Run the commands in this file: lines of "MILLISECONDS COMMAND", counted from the start.
    #[arg(long, value_name = "FILE")]
    script: Option<PathBuf>,
    /// Append each pulse and each move of a door to this file, as one JSON object a line.
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Addresses of the boards.
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "0", value_parser = clap::value_parser!(u8).range(0..=9))]
    boards: Vec<u8>,
    /// Milliseconds from a pulse until its door opens.
    #[arg(long, value_name = "MS", default_value_t = 80, conflicts_with = "manual")]
    auto_open_ms: u64,
    /// Milliseconds until such a door closes again; without it, it stays open.
    #[arg(long, value_name = "MS", conflicts_with = "manual")]
    auto_close_ms: Option<u64>,
    /// Doors move by command only, not after a pulse.
    #[arg(long)]
    manual: bool,
    /// Hook switches of the other kind: 0 means locked.
    #[arg(long)]
    inverted: bool,
    /// Line rate in bits per second; each byte takes ten bits.
    #[arg(long, value_name = "RATE", default_value_t = 19_200, value_parser = clap::value_parser!(u32).range(300..=4_000_000))]
    baud: u32,
}

impl Args {
    fn config(&self) -> Result<SimConfig, BoardTwice> {
        let mut boards = self.boards.clone();
        boards.sort_unstable();
        if let Some(twice) = boards.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(BoardTwice { board: twice[0] });
        }
        Ok(SimConfig {
            boards: self.boards.clone(),
            baud: self.baud,
            auto_open: (!self.manual).then_some(Duration::from_millis(self.auto_open_ms)),
            auto_close: self.auto_close_ms.map(Duration::from_millis),
            inverted: self.inverted,
            ..SimConfig::default()
        })
    }

    fn script(&self) -> anyhow::Result<Vec<ScriptLine>> {
        let Some(path) = &self.script else { return Ok(Vec::new()) };
        let read = || format!("cannot read the script {}", path.display());
        let text = std::fs::read_to_string(path).with_context(read)?;
        Ok(parse_script(&text)?)
    }

    fn sim(&self) -> anyhow::Result<Sim> {
        let sim = Sim::new(self.config()?);
        // Without a file the log goes nowhere, rather than into memory for ever.
        let log: Box<dyn Write + Send> = match &self.log {
            Some(path) => {
                let open = || format!("cannot open the log {}", path.display());
                Box::new(
                    OpenOptions::new().create(true).append(true).open(path).with_context(open)?,
                )
            }
            None => Box::new(io::sink()),
        };
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
        Ok(sim.with_log(log, u64::try_from(since_epoch.as_millis())?))
    }
}

#[derive(Debug, Error)]
#[error("board {board} is named twice in --boards")]
struct BoardTwice {
    board: u8,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let script = args.script()?;
    let sim = args.sim()?;
    let mut tasks: JoinSet<io::Result<()>> = JoinSet::new();
    if let Some(addr) = args.listen {
        let listener = listen("tcp", addr).await?;
        tasks.spawn(serve_tcp(listener, sim.clone()));
    }
    if args.pty {
        let port = PtyPort::open().context("cannot make a pseudo-terminal")?;
        if let Some(link) = &args.link {
            relink(port.path(), link).with_context(|| format!("cannot link {}", link.display()))?;
        }
        println!("listening pty {}", port.path().display());
        tasks.spawn(port.serve(sim.clone()));
    }
    if let Some(addr) = args.control {
        let listener = listen("control", addr).await?;
        tasks.spawn(serve_control(listener, sim.clone()));
    }
    let scripted = sim.clone();
    tasks.spawn(async move {
        scripted.run_script(&script).await?;
        std::future::pending().await
    });
    tasks.spawn(tick(sim));
    let mut terminate = signal(SignalKind::terminate())?;
    let ended = tokio::select! {
        ended = tasks.join_next() => ended,
        signal = tokio::signal::ctrl_c() => return Ok(signal?),
        _ = terminate.recv() => return Ok(()),
    };
    match ended {
        Some(result) => Ok(result??),
        None => Ok(()),
    }
}

async fn listen(what: &str, addr: SocketAddr) -> anyhow::Result<TcpListener> {
    let listener =
        TcpListener::bind(addr).await.with_context(|| format!("cannot listen on {addr}"))?;
    println!("listening {what} {}", listener.local_addr()?);
    Ok(listener)
}

async fn tick(sim: Sim) -> io::Result<()> {
    let mut ticks = interval(TICK);
    loop {
        ticks.tick().await;
        sim.tick()?;
    }
}

/// Replaces a symbolic link, and nothing but a symbolic link.
fn relink(target: &Path, link: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(link) {
        Ok(found) if found.is_symlink() => std::fs::remove_file(link)?,
        Ok(_) => return Err(io::ErrorKind::AlreadyExists.into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    symlink(target, link)
}
