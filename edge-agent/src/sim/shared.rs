//! One simulated bank, shared by its line, its control port and its script.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::json;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::bank::{SimBank, SimConfig};
use super::board::Reply;
use super::control::Command;
use super::faults::LineFaults;
use super::occurrence::{Occurrence, What};
use super::profile::Request;
use super::script::ScriptLine;
use super::usage;

/// Occurrences kept in memory; the oldest goes first, and `state` tells how many went. The log file
/// has them all.
const HISTORY: usize = 10_000;

/// A handle to a simulated bank. Clones share it.
#[derive(Clone)]
pub struct Sim {
    config: SimConfig,
    start: Instant,
    inner: Arc<Mutex<Inner>>,
    line: watch::Sender<LineFaults>,
}

struct Inner {
    bank: SimBank,
    log: Option<Box<dyn Write + Send>>,
    /// The log is evidence: once it has failed, everything fails.
    log_failed: Option<io::ErrorKind>,
    epoch_ms: u64,
    history: VecDeque<Occurrence>,
    forgotten: u64,
    lost_sendings: u64,
    pty: Option<PathBuf>,
}

impl Sim {
    /// A bank that begins now and keeps its history in memory only.
    #[must_use]
    pub fn new(config: SimConfig) -> Self {
        let inner = Inner {
            bank: SimBank::new(config.clone()),
            log: None,
            log_failed: None,
            epoch_ms: 0,
            history: VecDeque::new(),
            forgotten: 0,
            lost_sendings: 0,
            pty: None,
        };
        let line = watch::Sender::new(LineFaults::default());
        Self { config, start: Instant::now(), inner: Arc::new(Mutex::new(inner)), line }
    }

    /// Also writes what happens to `log`, a JSON object a line, with times counted from `epoch_ms`
    /// before the start (the wall clock then, if they are to be compared with other logs).
    #[must_use]
    pub fn with_log(self, log: Box<dyn Write + Send>, epoch_ms: u64) -> Self {
        {
            let mut inner = self.lock();
            inner.log = Some(log);
            inner.epoch_ms = epoch_ms;
        }
        self
    }

    /// Carries out one command line. The last line of the answer begins with `ok` or `error`; lines
    /// before it, which only `help` and `log` have, begin with two blanks.
    ///
    /// # Errors
    /// When the log cannot be written.
    pub fn command(&self, line: &str) -> io::Result<String> {
        match line.parse::<Command>() {
            Ok(command) => self.apply(command),
            Err(error) => Ok(format!("error {error}")),
        }
    }

    /// Carries out a script from the start of the bank to its end.
    ///
    /// # Errors
    /// When a command is refused, or the log cannot be written.
    pub async fn run_script(&self, script: &[ScriptLine]) -> io::Result<()> {
        for line in script {
            sleep_until(self.start + line.at).await;
            let answer = self.apply(line.command)?;
            if let Some(error) = answer.strip_prefix("error ") {
                let at_ms = line.at.as_millis();
                return Err(io::Error::other(format!("script, at {at_ms} ms: {error}")));
            }
        }
        Ok(())
    }

    /// Lets doors move that are due although nobody looks, so that the log is timely.
    ///
    /// # Errors
    /// When the log cannot be written.
    pub fn tick(&self) -> io::Result<()> {
        let mut inner = self.lock();
        inner.bank.advance(self.start.elapsed());
        inner.record()
    }

    /// Pulses so far: one for each valid unlock frame.
    #[must_use]
    pub fn pulses(&self) -> u64 {
        self.lock().bank.pulses()
    }

    /// What happened so far, or the latest of it.
    #[must_use]
    pub fn history(&self) -> Vec<Occurrence> {
        self.lock().history.iter().copied().collect()
    }

    /// Whether two locks were ever energised at once.
    #[must_use]
    pub fn overloaded(&self) -> bool {
        self.history().iter().any(|occurrence| occurrence.what == What::Overload)
    }

    pub(super) fn config(&self) -> &SimConfig {
        &self.config
    }

    /// The faults of the line, now and as they change.
    pub(super) fn line(&self) -> watch::Receiver<LineFaults> {
        self.line.subscribe()
    }

    /// Acts on a request that has crossed the line at `at`; gives the replies.
    pub(super) fn receive(&self, request: Request, at: Instant) -> io::Result<Vec<Reply>> {
        let mut inner = self.lock();
        let replies = inner.bank.receive(request, at.duration_since(self.start));
        inner.record()?;
        Ok(replies)
    }

    /// Counts what the line could not carry.
    pub(super) fn lose_sending(&self) {
        self.lock().lost_sendings += 1;
    }

    /// Remembers where the pseudo-terminal is, for `state`.
    pub(super) fn set_pty(&self, path: Option<PathBuf>) {
        self.lock().pty = path;
    }

    fn apply(&self, command: Command) -> io::Result<String> {
        let mut inner = self.lock();
        let now: Duration = self.start.elapsed();
        let applied = inner.bank.apply(command, now);
        inner.record()?;
        let line = inner.bank.line;
        self.line.send_if_modified(|faults| std::mem::replace(faults, line) != line);
        Ok(match (applied, command) {
            (Err(refused), _) => format!("error {refused}"),
            (Ok(()), Command::State) => format!("ok {}", inner.state()),
            (Ok(()), Command::Log(count)) => inner.latest(count),
            (Ok(()), Command::Help) => usage::help(),
            (Ok(()), _) => "ok".to_owned(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn state(&self) -> serde_json::Value {
        let mut state = self.bank.to_json();
        state["pty"] = json!(self.pty);
        state["lost_on_line"] = json!(self.lost_sendings);
        state["forgotten"] = json!(self.forgotten);
        state
    }

    fn latest(&self, count: usize) -> String {
        let skipped = self.history.len().saturating_sub(count);
        let lines = self.history.iter().skip(skipped);
        let mut answer: String =
            lines.map(|occurrence| format!("  {}\n", occurrence.to_json(self.epoch_ms))).collect();
        answer.push_str("ok");
        answer
    }

    fn record(&mut self) -> io::Result<()> {
        if let Some(kind) = self.log_failed {
            return Err(kind.into());
        }
        let recorded = self.write_occurrences();
        self.log_failed = recorded.as_ref().err().map(io::Error::kind);
        recorded
    }

    fn write_occurrences(&mut self) -> io::Result<()> {
        for occurrence in self.bank.take_occurrences() {
            if self.history.len() == HISTORY {
                self.history.pop_front();
                self.forgotten += 1;
            }
            self.history.push_back(occurrence);
            let Some(log) = &mut self.log else { continue };
            // One write a line: a reader of the file never sees half of one.
            let mut line = occurrence.to_json(self.epoch_ms).to_string();
            line.push('\n');
            log.write_all(line.as_bytes())?;
            log.flush()?;
        }
        Ok(())
    }
}
