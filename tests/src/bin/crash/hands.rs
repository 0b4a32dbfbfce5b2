//! What hands do at a bank's doors, whatever its agent is up to: the boards' own log says which door
//! stands open, and the boards' control port moves doors and things.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use system_tests::bank::{Bank, BankSpec};
use system_tests::board::{LogLine, read_log};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

#[derive(Clone, Debug)]
pub(crate) struct Hands {
    spec: BankSpec,
    control: String,
    log: PathBuf,
}

impl Hands {
    pub(crate) fn of(bank: &Bank) -> Self {
        let control = bank.board.control_address().to_owned();
        let log = bank.board.log_file().to_owned();
        Self { spec: bank.spec.clone(), control, log }
    }

    /// How much has happened at the doors so far.
    pub(crate) fn mark(&self) -> Result<usize> {
        Ok(self.lines()?.len())
    }

    /// The door that opened since `mark`.
    pub(crate) fn opened_since(&self, mark: usize) -> Result<Option<u16>> {
        let lines = self.lines()?;
        let open = |line: &&LogLine| line.door.as_deref() == Some("open");
        let Some(line) = lines.iter().skip(mark).find(open) else { return Ok(None) };
        let compartment = self.spec.compartment_of(line);
        Ok(Some(compartment.with_context(|| format!("no door hangs there: {line:?}"))?))
    }

    /// Whether a lock was pulsed since `mark` whose door has not moved yet.
    pub(crate) fn is_to_open(&self, mark: usize) -> Result<bool> {
        let lines = self.lines()?;
        let (mut pulses, mut opened) = (0, 0);
        for line in lines.iter().skip(mark) {
            pulses += usize::from(line.pulse.is_some());
            opened += usize::from(line.door.as_deref() == Some("open"));
        }
        Ok(pulses > opened)
    }

    /// Doors that are open at the moment.
    pub(crate) fn standing_open(&self) -> Result<BTreeSet<u16>> {
        let mut open = BTreeSet::new();
        for line in self.lines()? {
            let Some(compartment) = self.spec.compartment_of(&line) else { continue };
            match line.door.as_deref() {
                Some("open") => _ = open.insert(compartment),
                Some(_) => _ = open.remove(&compartment),
                None => {}
            }
        }
        Ok(open)
    }

    pub(crate) async fn put(&self, compartment: u16) -> Result<()> {
        self.command("put", compartment).await
    }

    pub(crate) async fn take(&self, compartment: u16) -> Result<()> {
        self.command("take", compartment).await
    }

    /// Pushes the door shut; content if it is.
    pub(crate) async fn shut(&self, compartment: u16) -> Result<()> {
        self.command("close", compartment).await
    }

    async fn command(&self, command: &str, compartment: u16) -> Result<()> {
        let wired = self.spec.boards.wiring(self.spec.rooms.len());
        let at = wired.get(usize::from(compartment).saturating_sub(1));
        let (board, lock) = at.with_context(|| format!("there is no door {compartment}"))?;
        let mut stream = BufReader::new(TcpStream::connect(&self.control).await?);
        stream.write_all(format!("{command} {board}:{lock}\n").as_bytes()).await?;
        let mut answer = String::new();
        stream.read_line(&mut answer).await?;
        ensure!(answer.starts_with("ok"), "{command} {compartment}: {answer}");
        Ok(())
    }

    fn lines(&self) -> Result<Vec<LogLine>> {
        if !self.log.exists() {
            return Ok(Vec::new());
        }
        read_log(&self.log)
    }
}
