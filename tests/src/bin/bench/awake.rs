//! Keeps the cores awake while something short is measured. On a virtual machine a core with nothing
//! to do is given to somebody else, and the next wake-up then takes milliseconds, whatever program
//! is woken: that would be a figure of the machine, not of ours. One process a core spins in the
//! idle scheduling class, so that it gives way at once to everything that is measured.

use std::io::Read;
use std::process::{Child, Command, Stdio};

use anyhow::Context;

/// The spinning processes; they end with it.
pub(crate) struct Awake {
    spinners: Vec<Child>,
}

impl Awake {
    /// Starts one spinner a core.
    ///
    /// # Errors
    ///
    /// `chrt` (package util-linux) is not there, or may not set the class.
    pub(crate) fn start() -> anyhow::Result<Self> {
        let program = std::env::current_exe()?;
        let mut spinners = Vec::new();
        for _ in 0..std::thread::available_parallelism()?.get() {
            let spinner = Command::new("chrt")
                .args(["--idle", "0"])
                .arg(&program)
                .arg("spin")
                .stdin(Stdio::piped())
                .spawn()
                .context("cannot start chrt; it is in Debian's package util-linux")?;
            spinners.push(spinner);
        }
        Ok(Self { spinners })
    }
}

impl Drop for Awake {
    fn drop(&mut self) {
        for spinner in &mut self.spinners {
            // It may have ended already; then there is nothing to end.
            let _ = spinner.kill();
            let _ = spinner.wait();
        }
    }
}

/// What a spinner does: until its parent has gone, however that ended.
pub(crate) fn spin() {
    std::thread::spawn(|| {
        loop {
            std::hint::spin_loop();
        }
    });
    // Nothing is ever written: this returns when the parent's end of the pipe is closed.
    let _ = std::io::stdin().read(&mut [0]);
}
