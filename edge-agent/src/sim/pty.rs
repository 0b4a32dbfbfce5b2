//! The simulated bank behind a pseudo-terminal, which plays a serial port, also one on USB that is
//! pulled out and put back.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::OFlags;
use rustix::termios::ioctl_tiocnxcl;
use tokio::time::{MissedTickBehavior, interval};
use tokio_serial::{SerialPort, SerialStream};

use super::serve::serve;
use super::shared::Sim;

/// How often a pseudo-terminal is made free for the next agent.
const RELEASE_INTERVAL: Duration = Duration::from_millis(100);

/// A pseudo-terminal with the boards behind it.
#[derive(Debug)]
pub struct PtyPort {
    terminal: Terminal,
    link: Option<PathBuf>,
}

impl PtyPort {
    /// Makes one, in raw mode: before that it would take the 0x03 at the end of a frame for Ctrl-C.
    ///
    /// # Errors
    /// When the system gives no pseudo-terminal.
    pub fn open() -> io::Result<Self> {
        Ok(Self { terminal: Terminal::open()?, link: None })
    }

    /// Makes one that is found by a symbolic link at `link`; an older link there is replaced.
    ///
    /// # Errors
    /// When the system gives no pseudo-terminal, or something else than a link is there.
    pub fn open_at(link: &Path) -> io::Result<Self> {
        let terminal = Terminal::open()?;
        relink(&terminal.path, link)?;
        Ok(Self { terminal, link: Some(link.to_owned()) })
    }

    /// The device that an agent opens.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.terminal.path
    }

    /// Plays the boards on it. Unplugged, device and link are gone; when it is plugged in again, a
    /// new device is at the same link.
    ///
    /// # Errors
    /// When the terminal fails or the log cannot be written.
    pub async fn serve(self, sim: Sim) -> io::Result<()> {
        let Self { mut terminal, link } = self;
        let mut line = sim.line();
        loop {
            sim.set_pty(Some(terminal.path.clone()));
            let path = terminal.path.clone();
            terminal.serve(&sim).await?;
            sim.set_pty(None);
            if let Some(link) = &link {
                unlink(&path, link)?;
            }
            if line.wait_for(|faults| !faults.unplugged).await.is_err() {
                return Ok(());
            }
            terminal = Terminal::open()?;
            if let Some(link) = &link {
                relink(&terminal.path, link)?;
            }
        }
    }
}

#[derive(Debug)]
struct Terminal {
    path: PathBuf,
    master: SerialStream,
    /// Keeps the terminal in raw mode, and the master from failing, while no agent has it open.
    slave: File,
}

impl Terminal {
    fn open() -> io::Result<Self> {
        let (master, slave) = SerialStream::pair()?;
        let path = PathBuf::from(slave.name().ok_or(io::ErrorKind::NotFound)?);
        let no_controlling_terminal = OFlags::NOCTTY.bits().cast_signed();
        let keep = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(no_controlling_terminal)
            .open(&path)?;
        drop(slave);
        Ok(Self { path, master, slave: keep })
    }

    /// Plays the boards until it is unplugged, which closes it: an agent reads its end then.
    async fn serve(self, sim: &Sim) -> io::Result<()> {
        let Self { master, slave, .. } = self;
        tokio::select! {
            served = serve(master, sim.clone()) => served,
            released = release(&slave) => released,
        }
    }
}

/// An agent that is killed leaves the terminal marked as in use, since ours is still open; a real
/// port would be free then.
async fn release(slave: &File) -> io::Result<()> {
    let mut ticks = interval(RELEASE_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        ioctl_tiocnxcl(slave)?;
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

/// Removes the link if it is still ours.
fn unlink(target: &Path, link: &Path) -> io::Result<()> {
    match std::fs::read_link(link) {
        Ok(found) if found == target => std::fs::remove_file(link),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}
