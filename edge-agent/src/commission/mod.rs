//! Commissioning: the agent and an installer go through a new locker together, door by door.
//!
//! What a bus cannot find out alone is found here, once: which way round each sensor reads, whether
//! each pulse opens the door it names, and that no two boards answer to one address. Two such boards can
//! look like one healthy board for ever, so each pulse must move exactly one sensor of the whole
//! bank, and the installer must see exactly one door open.

mod bench;
mod finding;
mod installer;
mod record;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use thiserror::Error;
use tokio::io::{AsyncBufRead, AsyncWrite};

use crate::board::{Connect, PortConnector};
use crate::config::{Config, PortAndBoards};
use crate::journal::{Disk, Medium};
use bench::{Bench, Trial};
use installer::Installer;

pub use bench::{At, BenchError};
pub use finding::{Finding, Findings};
pub use installer::InstallerError;
pub use record::{
    Commissioned, LearnedLock, LoadCommissionedError, PrepareError, StoreCommissionedError, prepare,
};

/// How long an installer may take to shut a door: it may be in another row.
const SHUT_WITHIN: Duration = Duration::from_secs(180);
/// How long the sensors may take to settle after the installer says that all doors are shut.
const SETTLE: Duration = Duration::from_secs(1);

/// Why a locker is not commissioned.
#[derive(Debug, Error)]
pub enum CommissionError {
    #[error("an agent is running on {data_dir}; stop it first")]
    AgentRuns { data_dir: String },
    #[error("the lock boards cannot be reached")]
    Bench(#[from] BenchError),
    #[error("the installer cannot be asked")]
    Installer(#[from] InstallerError),
    #[error("the locker is not in order, and nothing was stored:\n{0}")]
    NotInOrder(Findings),
    #[error("what was found cannot be stored")]
    Store(#[from] StoreCommissionedError),
    #[error("cannot look for a running agent in {data_dir}")]
    Lock { data_dir: String, source: std::io::Error },
}

/// Opens every configured lock of the bank, one after the other, and stores what its sensor means.
///
/// # Errors
///
/// A board does not answer, something is wired wrongly, or the installer goes away. Nothing is stored
/// then, and what an earlier commissioning stored stays.
pub async fn commission(
    config: &Config,
    input: impl AsyncBufRead + Unpin,
    output: impl AsyncWrite + Unpin,
) -> Result<Commissioned, CommissionError> {
    let connector = |port: &PortAndBoards| PortConnector::new(port.port.clone());
    commission_through(config, connector, input, output).await
}

/// As [`commission`], through other ports.
pub(crate) async fn commission_through<C: Connect>(
    config: &Config,
    connector: impl Fn(&PortAndBoards) -> C,
    input: impl AsyncBufRead + Unpin,
    output: impl AsyncWrite + Unpin,
) -> Result<Commissioned, CommissionError> {
    let data_dir = config.data_dir.display().to_string();
    // As long as this is held, no agent starts that would take the boards away.
    let lock = match Disk.lock(&config.data_dir.join("journal/lock")) {
        Ok(Some(lock)) => Some(lock),
        Ok(None) => return Err(CommissionError::AgentRuns { data_dir }),
        // No agent has run here yet.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(source) => return Err(CommissionError::Lock { data_dir, source }),
    };
    let mut work = Work {
        bench: Bench::start(&config.bus, connector),
        installer: Installer::new(input, output),
        findings: Findings::default(),
        learned: Vec::new(),
    };
    work.go_through(config).await?;
    if !work.findings.is_empty() {
        return Err(CommissionError::NotInOrder(work.findings));
    }
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let at_ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    let commissioned = Commissioned::new(at_ms, work.learned);
    commissioned.store(&config.data_dir)?;
    drop(lock);
    Ok(commissioned)
}

struct Work<R, W> {
    bench: Bench,
    installer: Installer<R, W>,
    findings: Findings,
    learned: Vec<LearnedLock>,
}

impl<R: AsyncBufRead + Unpin, W: AsyncWrite + Unpin> Work<R, W> {
    async fn go_through(&mut self, config: &Config) -> Result<(), CommissionError> {
        self.installer.say("Waiting for every lock board to answer.").await?;
        self.bench.await_boards().await?;
        self.bench.prove_lines().await?;
        let ask = "Shut all doors, then press Enter.";
        self.installer.await_enter(ask, &mut self.bench).await?;
        self.bench.rest(SETTLE).await?;
        let boards = config.bus.iter().flat_map(|port| &port.boards);
        let locks: Vec<_> = boards
            .flat_map(|board| board.wired().map(move |lock| (board, (board.addr, lock))))
            .collect();
        let count = locks.len();
        for (number, (board, at)) in (1..).zip(locks) {
            let (addr, lock) = (at.0.get(), at.1.get());
            let text = format!("Door {number} of {count}: lock {lock} of board {addr} opens now.");
            self.installer.say(&text).await?;
            let before = self.bench.bits();
            let trial = self.bench.pulse(at).await?;
            self.judge(at, &trial, board.polarity_of(at.1)).await?;
            let found = self.findings.about(at);
            if let Some(found) = found {
                self.installer.say(&format!("WRONG: {found}")).await?;
            }
            self.have_shut(at, &trial, &before).await?;
        }
        Ok(())
    }

    /// What one pulse says about its lock.
    async fn judge(
        &mut self,
        at: At,
        trial: &Trial,
        configured: Option<crate::board::Polarity>,
    ) -> Result<(), CommissionError> {
        let polarity = match trial.verdict(at) {
            Ok(polarity) => polarity,
            Err(finding) => {
                self.findings.add(finding);
                return Ok(());
            }
        };
        let question = "Did exactly this one door open? [y/n]";
        if !self.installer.ask(question, &mut self.bench).await? {
            self.findings.add(Finding::OtherDoor { at });
        } else if configured.is_some_and(|configured| configured != polarity) {
            self.findings.add(Finding::OtherPolarity { at, found: polarity });
        } else {
            let (board, lock) = at;
            self.learned.push(LearnedLock { board, lock, polarity });
        }
        Ok(())
    }

    /// Goes on once every sensor reads as it did before, or with a finding that one does not.
    async fn have_shut(
        &mut self,
        at: At,
        trial: &Trial,
        before: &bench::Bits,
    ) -> Result<(), CommissionError> {
        if trial.moved().is_empty() {
            // There is no sensor to wait for.
            let ask = "Shut whatever door is open, then press Enter.";
            return Ok(self.installer.await_enter(ask, &mut self.bench).await?);
        }
        self.installer.say("Shut the door.").await?;
        if !self.bench.returns_to(before, SHUT_WITHIN).await? {
            self.findings.add(Finding::NotShut { at });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
