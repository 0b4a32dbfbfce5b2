//! A simulated lock board as a process: its control port, and its own log of every pulse and door.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use edge_agent::sim::Profile;
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::processes::Process;
use crate::wait::wait_for;

/// How long it may take until it listens.
const START_LIMIT: Duration = Duration::from_secs(10);

/// How the agent reaches the boards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// A serial gateway.
    Tcp,
    /// A serial port, played by a pseudo-terminal.
    Pty,
}

/// Which boards there are.
#[derive(Clone, Debug)]
pub struct Boards {
    /// Of which family.
    pub profile: Profile,
    /// Their addresses, 0 to 9.
    pub addresses: Vec<u8>,
}

impl Boards {
    /// Where `count` compartments hang, in order: the board's address and its lock. Each board gets
    /// as many as the next, from its lock 0 on.
    #[must_use]
    pub fn wiring(&self, count: usize) -> Vec<(u8, u8)> {
        let each = count.div_ceil(self.addresses.len().max(1));
        let locks = 0..u8::try_from(each).unwrap_or(u8::MAX);
        let all = self.addresses.iter().flat_map(|addr| locks.clone().map(|lock| (*addr, lock)));
        all.take(count).collect()
    }
}

impl Default for Boards {
    /// One CU48 at address 0.
    fn default() -> Self {
        Self { profile: Profile::Cu48, addresses: vec![0] }
    }
}

/// What doors do after a pulse.
#[derive(Clone, Copy, Debug)]
pub struct Doors {
    /// A pulsed door opens after this long.
    pub open_after: Duration,
    /// And shuts again after that long, as if a person had pushed it; none: by command only.
    pub shut_after: Option<Duration>,
}

/// A line of the simulator's log.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogLine {
    /// When, in milliseconds since 1970.
    pub t_ms: u64,
    /// The board's address.
    pub board: u8,
    /// The lock, from 0.
    pub lock: u8,
    /// The number of the pulse that was given.
    pub pulse: Option<u64>,
    /// `open` or `closed`: the door moved.
    pub door: Option<String>,
    /// `put` or `taken`: what is in the compartment changed.
    pub item: Option<String>,
    /// What a real board would not have survived.
    pub fault: Option<String>,
}

/// A running simulator.
#[derive(Debug)]
pub struct Board {
    wire: Wire,
    process: Process,
    log: PathBuf,
    port: String,
    control: String,
}

impl Board {
    /// Starts these boards on one line with their files in `folder`.
    ///
    /// # Errors
    ///
    /// They do not start.
    pub async fn start(folder: &Path, wire: Wire, doors: Doors, boards: &Boards) -> Result<Self> {
        let log = folder.join("board.jsonl");
        let (log_arg, link) = (log.display().to_string(), folder.join("tty").display().to_string());
        let open_ms = doors.open_after.as_millis().to_string();
        let shut_ms = doors.shut_after.map(|after| after.as_millis().to_string());
        let mut args = vec!["--control", "127.0.0.1:0", "--log", &log_arg];
        args.extend(["--auto-open-ms", &open_ms]);
        let addresses = boards.addresses.iter().map(u8::to_string).collect::<Vec<_>>().join(",");
        let profile = boards.profile.to_string();
        args.extend(["--profile", &profile, "--boards", &addresses]);
        match wire {
            Wire::Tcp => args.extend(["--listen", "127.0.0.1:0"]),
            Wire::Pty => args.extend(["--pty", "--link", &link]),
        }
        if let Some(shut_ms) = &shut_ms {
            args.extend(["--auto-close-ms", shut_ms]);
        }
        let mut process = Process::start(folder, "board-sim", "board-sim", &args)?;
        let addresses = wait_for("the board listens", START_LIMIT, async || {
            process.ensure_running()?;
            let said = process.said()?;
            let address = |what: &str| {
                let prefix = format!("listening {what} ");
                said.lines().find_map(|line| line.strip_prefix(&prefix)).map(str::to_owned)
            };
            let port = match wire {
                Wire::Tcp => address("tcp"),
                Wire::Pty => address("pty").map(|_| link.clone()),
            };
            Ok(port.zip(address("control")))
        });
        let (port, control) = addresses.await?;
        Ok(Self { wire, process, log, port, control })
    }

    /// How the agent reaches it, for its configuration.
    #[must_use]
    pub fn port_config(&self) -> String {
        let port = &self.port;
        match self.wire {
            Wire::Tcp => format!("{{ tcp = {{ addr = \"{port}\" }} }}"),
            Wire::Pty => format!("{{ serial = {{ path = \"{port}\", baud = 19200 }} }}"),
        }
    }

    /// The address for commands, such as `jam 3 on`.
    #[must_use]
    pub fn control_address(&self) -> &str {
        &self.control
    }

    /// Sends one command; gives the last line of its answer.
    ///
    /// # Errors
    ///
    /// It is refused.
    pub async fn command(&self, command: &str) -> Result<String> {
        let mut stream = BufReader::new(TcpStream::connect(&self.control).await?);
        stream.write_all(format!("{command}\n").as_bytes()).await?;
        let mut answer = String::new();
        // Lines before the last begin with blanks.
        while answer.is_empty() || answer.starts_with("  ") {
            answer.clear();
            let count = stream.read_line(&mut answer).await?;
            ensure!(count > 0, "the board does not answer {command:?}");
        }
        ensure!(answer.starts_with("ok"), "the board answers {command:?} with {answer:?}");
        Ok(answer.trim().to_owned())
    }

    /// The file of the log.
    #[must_use]
    pub fn log_file(&self) -> &Path {
        &self.log
    }

    /// The process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Everything that happened at its locks.
    ///
    /// # Errors
    ///
    /// The log cannot be read.
    pub fn log(&self) -> Result<Vec<LogLine>> {
        read_log(&self.log)
    }

    /// The pulses it was given.
    ///
    /// # Errors
    ///
    /// The log cannot be read.
    pub fn pulses(&self) -> Result<Vec<LogLine>> {
        Ok(self.log()?.into_iter().filter(|line| line.pulse.is_some()).collect())
    }

    /// The time of the first move to `state` (`open` or `closed`) from `since_ms` on.
    ///
    /// # Errors
    ///
    /// The log cannot be read.
    pub fn moved_ms(&self, state: &str, since_ms: u64) -> Result<Option<u64>> {
        let log = self.log()?;
        let moved =
            log.iter().find(|line| line.t_ms >= since_ms && line.door.as_deref() == Some(state));
        Ok(moved.map(|line| line.t_ms))
    }
}

/// Reads a log; a last line that is being written is left out.
///
/// # Errors
///
/// The file cannot be read, or a whole line is no entry.
pub fn read_log(path: &Path) -> Result<Vec<LogLine>> {
    let text = std::fs::read_to_string(path)?;
    let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    whole
        .map(|line| serde_json::from_str(line).with_context(|| format!("not an entry: {line}")))
        .collect()
}

#[cfg(test)]
mod tests;
