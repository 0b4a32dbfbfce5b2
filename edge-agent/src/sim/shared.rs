//! One simulated bank, shared by its line, its control port and its script.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::bank::{Faults, Occurrence, Request, SimBank, SimConfig, What};
use super::control::{Command, ScriptLine};

/// A handle to a simulated bank. Clones share it.
#[derive(Clone)]
pub struct Sim {
    config: SimConfig,
    start: Instant,
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    bank: SimBank,
    log: Option<Box<dyn Write + Send>>,
    /// The log is evidence: once it has failed, everything fails.
    log_failed: Option<io::ErrorKind>,
    epoch_ms: u64,
    history: Vec<Occurrence>,
}

impl Sim {
    /// A bank that begins now and keeps its history in memory only.
    #[must_use]
    pub fn new(config: SimConfig) -> Self {
        let bank = SimBank::new(config.clone());
        let inner = Inner { bank, log: None, log_failed: None, epoch_ms: 0, history: Vec::new() };
        Self { config, start: Instant::now(), inner: Arc::new(Mutex::new(inner)) }
    }

    /// Also writes what happens to `log`, a JSON object a line, with times counted from `epoch_ms`
    /// before the start (the wall clock then, if they are to be compared with other logs). The
    /// history is then not kept in memory.
    #[must_use]
    pub fn with_log(self, log: Box<dyn Write + Send>, epoch_ms: u64) -> Self {
        {
            let mut inner = self.lock();
            inner.log = Some(log);
            inner.epoch_ms = epoch_ms;
        }
        self
    }

    /// Carries out one command line; the answer begins with `ok` or `error`.
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
    /// When the log cannot be written.
    pub async fn run_script(&self, script: &[ScriptLine]) -> io::Result<()> {
        for line in script {
            sleep_until(self.start + line.at).await;
            self.apply(line.command)?;
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

    /// What happened so far, if no log takes it.
    #[must_use]
    pub fn history(&self) -> Vec<Occurrence> {
        self.lock().history.clone()
    }

    /// Whether two locks were ever energised at once.
    #[must_use]
    pub fn overloaded(&self) -> bool {
        self.history().iter().any(|occurrence| occurrence.what == What::Overload)
    }

    pub(super) fn config(&self) -> &SimConfig {
        &self.config
    }

    /// Acts on a request that has crossed the line at `at`; gives the replies and the line's faults.
    pub(super) fn receive(
        &self,
        request: Request,
        at: Instant,
    ) -> io::Result<(Vec<Vec<u8>>, Faults)> {
        let mut inner = self.lock();
        let replies = inner.bank.receive(request, at.duration_since(self.start));
        inner.record()?;
        Ok((replies, inner.bank.faults))
    }

    fn apply(&self, command: Command) -> io::Result<String> {
        let mut inner = self.lock();
        let now: Duration = self.start.elapsed();
        let answer = command.apply(&mut inner.bank, now);
        inner.record()?;
        Ok(answer)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn record(&mut self) -> io::Result<()> {
        if let Some(kind) = self.log_failed {
            return Err(kind.into());
        }
        let recorded = self.write_occurrences();
        self.log_failed = recorded.as_ref().err().map(io::Error::kind);
        recorded
    }

    fn write_occurrences(&mut self) -> io::Result<()> {
        let occurrences = self.bank.take_occurrences();
        let Some(log) = &mut self.log else {
            self.history.extend(occurrences);
            return Ok(());
        };
        for occurrence in occurrences {
            // One write a line: a reader of the file never sees half of one.
            let mut line = occurrence.to_json(self.epoch_ms).to_string();
            line.push('\n');
            log.write_all(line.as_bytes())?;
            log.flush()?;
        }
        Ok(())
    }
}
