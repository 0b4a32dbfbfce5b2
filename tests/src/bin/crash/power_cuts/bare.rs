//! The journal by itself, with nobody else to blame: as banks have it no promise is ever broken; on a
//! disk that does not write what it is told to, the very same chain of cuts must say so.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use edge_agent::journal::{Journal, Verify};
use serde::Serialize;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use super::folder;
use crate::chance::Chance;
use crate::image::{self, Disk, SMALL_IMAGE_BYTES};
use crate::writer::{LIMITS, Promise};

/// Promises between two cuts, at least and at most.
const PROMISES: (u64, u64) = (20, 400);
/// How long the writer may be silent.
const SILENCE_LIMIT: Duration = Duration::from_secs(20);

/// What happened.
#[derive(Debug, Default, Serialize)]
pub(crate) struct BareReport {
    pub(crate) without_fdatasync: bool,
    pub(crate) cuts: usize,
    /// Records that were promised, over all cuts.
    pub(crate) promised: u64,
    /// Promised records that were gone after a cut.
    pub(crate) lost: u64,
    /// Cuts that lost something.
    pub(crate) losing_cuts: usize,
}

impl BareReport {
    pub(crate) fn ensure(&self) -> Result<()> {
        ensure!(self.lost == 0, "{} of {} records are lost", self.lost, self.promised);
        Ok(())
    }
}

pub(crate) async fn of_journal(
    cuts: usize,
    seed: u64,
    without_fdatasync: bool,
) -> Result<BareReport> {
    let folder = folder()?;
    let mounted = folder.path().join("mounted");
    let mut disk = Disk::of(&folder.path().join("disk"), &mounted, SMALL_IMAGE_BYTES)?;
    let journal = mounted.join("journal");
    let mut chance = Chance::of(seed);
    let mut report = BareReport { without_fdatasync, ..BareReport::default() };
    let mut before = 0;
    for _ in 0..cuts {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("write-journal").arg(&journal).stdin(Stdio::null()).stdout(Stdio::piped());
        if without_fdatasync {
            command.arg("--without-fdatasync");
        }
        let mut writer = command.kill_on_drop(true).spawn()?;
        let mut said = BufReader::new(writer.stdout.take().context("piped")?).lines();
        let count = PROMISES.0 + chance.below(PROMISES.1 - PROMISES.0);
        let mut last = None;
        for _ in 0..count {
            let line = tokio::time::timeout(SILENCE_LIMIT, said.next_line()).await;
            let line = line.context("the writer is silent")??.context("the writer ended")?;
            last = Some(line.parse::<Promise>()?);
        }
        image::stop(writer.id().context("the writer ended")?).await?;
        disk.cut(async || Ok(writer.kill().await?)).await?;
        let promise: Promise = last.context("nothing was promised")?;
        let lost = lost(&journal, promise)?;
        report.cuts += 1;
        report.promised += promise.seq.saturating_sub(before);
        before = promise.seq.saturating_sub(lost);
        if lost > 0 {
            // There may be nothing to go on from: the next cut is of a new journal.
            std::fs::remove_dir_all(&journal)?;
            before = 0;
        }
        report.lost += lost;
        report.losing_cuts += usize::from(lost > 0);
    }
    Ok(report)
}

/// How many promised records are not there, or are others.
fn lost(journal: &Path, promise: Promise) -> Result<u64> {
    let (journal, _) = match Journal::open(journal, LIMITS, Verify::All) {
        Ok(opened) => opened,
        Err(error) => {
            eprintln!("crash: the journal does not open after the cut: {error}");
            return Ok(promise.seq);
        }
    };
    let head = journal.head_seq();
    if head >= promise.seq && journal.hash_at(promise.seq)? == promise.hash {
        return Ok(0);
    }
    Ok(promise.seq.saturating_sub(head).max(1))
}
