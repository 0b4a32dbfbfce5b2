//! A lock board for those who have none: see `--help`.

#![expect(clippy::print_stdout, reason = "the addresses are what this program tells its caller")]

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use clap::{ArgGroup, Parser};
use edge_agent::sim::{
    Profile, PtyPort, ScriptLine, Sim, SimConfig, parse_script, serve_control, serve_tcp,
};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::interval;

/// How often doors that are due are moved and logged although nobody polls.
const TICK: Duration = Duration::from_millis(20);
/// Addresses that a board's selector has.
const ADDRESSES: RangeInclusive<u8> = 0..=9;

/// Simulates Kerong CU16 or CU48 lock boards, so that the agent can run without a locker.
///
/// It speaks the boards' bytes at their pace over TCP, like a serial gateway, or over a
/// pseudo-terminal, like a serial port, or both. What it listens on is printed, one a line:
///
///   listening tcp 127.0.0.1:40123
///   listening pty /dev/pts/3
///   listening control 127.0.0.1:40124
///
/// A pulse opens its door after --auto-open-ms, and a pulse is never answered: as in a real locker
/// only the hook switch tells whether the door opened.
///
/// Everything else is done with lines sent to the control port, for example
///
///   printf 'close 1:3\njam 1:3 on\nstate\n' | nc -N 127.0.0.1 40124
///
/// Locks count from 0; "1:3" is lock 3 of board 1, "3" is lock 3 of the first board. The last line
/// of each answer begins with "ok" or "error". "help" lists all commands: people who open and close
/// doors, put things in and take them out; locks that jam, sensors that stick, boards that are mute
/// or late, lines that babble, cables that are pulled; "reset" ends every fault.
///
/// The log has an object a line, with milliseconds since 1970:
///
///   {"board":1,"lock":3,"pulse":1,"t_ms":1700000000000}
///   {"board":1,"door":"open","lock":3,"t_ms":1700000000080}
///
/// "door" is "open" or "closed", "item" is "put" or "taken", "fault" is "overload" or "reboot".
#[derive(Debug, Parser)]
#[command(version, verbatim_doc_comment, group = ArgGroup::new("port").args(["listen", "pty"]).required(true).multiple(true))]
struct Args {
    /// Which boards to play: cu48 has 48 locks a board, cu16 has 16, each with an infrared sensor.
    #[arg(long, value_enum, default_value_t)]
    profile: Profile,
    /// Addresses of the boards, 0 to 9: "3" is one board with address 3, "0-7" are eight, "0,1,4"
    /// are three.
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "0", value_parser = addresses)]
    boards: Vec<RangeInclusive<u8>>,
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
    /// Append each pulse, and each move of doors and of what is behind them, to this file.
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Milliseconds from a pulse until its door opens.
    #[arg(long, value_name = "MS", default_value_t = 80, conflicts_with = "manual")]
    auto_open_ms: u32,
    /// Milliseconds until such a door closes again; without it, it stays open.
    #[arg(long, value_name = "MS", conflicts_with = "manual")]
    auto_close_ms: Option<u32>,
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
        let boards: Vec<u8> = self.boards.iter().cloned().flatten().collect();
        let mut sorted = boards.clone();
        sorted.sort_unstable();
        if let Some(twice) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(BoardTwice { board: twice[0] });
        }
        let ms = |ms: u32| Duration::from_millis(u64::from(ms));
        Ok(SimConfig {
            profile: self.profile,
            boards,
            baud: self.baud,
            auto_open: (!self.manual).then(|| ms(self.auto_open_ms)),
            auto_close: self.auto_close_ms.map(ms),
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

/// Reads `3` or `0-7`.
fn addresses(word: &str) -> Result<RangeInclusive<u8>, String> {
    let address = |word: &str| match word.parse() {
        Ok(addr) if ADDRESSES.contains(&addr) => Ok(addr),
        Ok(addr) => Err(format!("{addr} is not in {}..={}", ADDRESSES.start(), ADDRESSES.end())),
        Err(_) => Err(format!("{word:?} is no address")),
    };
    let (first, last) = word.split_once('-').unwrap_or((word, word));
    let range = address(first)?..=address(last)?;
    if range.is_empty() { Err(format!("{word:?} ends before it begins")) } else { Ok(range) }
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
        let port = match &args.link {
            Some(link) => PtyPort::open_at(link)
                .with_context(|| format!("cannot put a pseudo-terminal at {}", link.display()))?,
            None => PtyPort::open().context("cannot make a pseudo-terminal")?,
        };
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
