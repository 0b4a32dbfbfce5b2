//! Child processes: found where they were built, their words in a log file, and never left behind.

use std::env;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::wait::wait_for;

/// Where `cargo xtask` says our programs are.
const BIN_DIR_VARIABLE: &str = "POSTERN_BIN_DIR";
/// How long a program may take to stop when asked to.
const STOP_LIMIT: Duration = Duration::from_secs(20);
/// Lines of a log shown when a program fails.
const LOG_TAIL_LINES: usize = 15;

/// The file of one of our programs.
///
/// # Errors
///
/// It was not built.
pub fn program(name: &str) -> Result<PathBuf> {
    let folders = match env::var_os(BIN_DIR_VARIABLE) {
        Some(folder) => vec![PathBuf::from(folder)],
        // `target/debug/demo`, or `target/debug/deps/e2e-0123456789abcdef`.
        None => env::current_exe()?.ancestors().skip(1).take(2).map(Path::to_owned).collect(),
    };
    let found = folders.iter().map(|folder| folder.join(name)).find(|path| path.is_file());
    found.with_context(|| {
        format!("the program {name} was not built: run `cargo build --workspace --bins` first")
    })
}

/// Runs one of our programs to its end.
///
/// # Errors
///
/// It does not end with success.
pub async fn run(name: &str, args: &[&str]) -> Result<()> {
    let mut command = Command::new(program(name)?);
    command.args(args).stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output()).await??;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        bail!("{name} {} ended with {}: {said}", args.join(" "), output.status);
    }
    Ok(())
}

/// A running program. Killed when dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `program` with what it says appended to `<folder>/<name>.log`.
    ///
    /// # Errors
    ///
    /// The program is missing or the log cannot be written.
    pub fn start(folder: &Path, name: &str, program_name: &str, args: &[&str]) -> Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let open = || OpenOptions::new().create(true).append(true).open(&log);
        let out: File = open().with_context(|| format!("cannot write {}", log.display()))?;
        let mut command = Command::new(program(program_name)?);
        command.args(args).stdin(Stdio::null()).stderr(out.try_clone()?).stdout(out);
        command.env("NO_COLOR", "1");
        let child = command.spawn().with_context(|| format!("cannot start {program_name}"))?;
        Ok(Self { name: name.to_owned(), child, log })
    }

    /// Everything it has said so far.
    ///
    /// # Errors
    ///
    /// The log cannot be read.
    pub fn said(&self) -> Result<String> {
        Ok(String::from_utf8_lossy(&std::fs::read(&self.log)?).into_owned())
    }

    /// The file with everything it says.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it did.
    ///
    /// # Errors
    ///
    /// The system does not say.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Fails with the last lines of its log if it has ended.
    ///
    /// # Errors
    ///
    /// It has ended.
    pub fn ensure_running(&mut self) -> Result<()> {
        let Some(status) = self.ended()? else { return Ok(()) };
        let said = self.said()?;
        let lines: Vec<&str> = said.lines().collect();
        let tail = lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n  ");
        bail!("{} ended ({status}); its last words:\n  {tail}", self.name)
    }

    /// SIGKILL: what a power cut is to a process.
    ///
    /// # Errors
    ///
    /// The system refuses.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill().with_context(|| format!("cannot kill {}", self.name))?;
        self.child.wait()?;
        Ok(())
    }

    /// SIGTERM, and waits until it has ended.
    ///
    /// # Errors
    ///
    /// It does not end in time, or not with success.
    pub async fn stop(&mut self) -> Result<()> {
        if self.ended()?.is_none() {
            kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        }
        let what = format!("{} has stopped", self.name);
        let status = wait_for(&what, STOP_LIMIT, async || self.ended()).await?;
        if !status.success() {
            bail!("{} was asked to stop and ended with {status}", self.name);
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
