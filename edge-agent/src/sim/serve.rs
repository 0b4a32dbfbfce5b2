//! A simulated bank on a wire: any stream, a TCP gateway, a pseudo-terminal, and its control port.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::OFlags;
use rustix::termios::ioctl_tiocnxcl;
use tokio::io::{
    AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, split,
};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_serial::{SerialPort, SerialStream};

use super::bank::RequestReader;
use super::shared::Sim;

/// Replies on their way; a real board has no more than one, and what exceeds this is lost.
const REPLIES_WAITING: usize = 64;
/// Control connections served at once; the oldest waits no less than the newest.
const CONTROL_CLIENTS: usize = 8;
/// How often a pseudo-terminal is made free for the next agent.
const PTY_RELEASE_INTERVAL: Duration = Duration::from_millis(100);

/// Plays the boards on one stream until the other side closes it.
///
/// # Errors
/// When the stream fails or the log cannot be written.
pub async fn serve(io: impl AsyncRead + AsyncWrite, sim: Sim) -> io::Result<()> {
    let (reader, writer) = split(io);
    let (replies, due) = mpsc::channel(REPLIES_WAITING);
    tokio::select! {
        heard = hear(reader, &sim, replies) => heard,
        told = tell(writer, &sim, due) => told,
    }
}

/// Plays a gateway: one client at a time, and the newest is the one, as with an agent that comes back
/// before the gateway has noticed that it left.
///
/// # Errors
/// When the listener fails or the log cannot be written.
pub async fn serve_tcp(listener: TcpListener, sim: Sim) -> io::Result<()> {
    let mut client = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted?;
                stream.set_nodelay(true)?;
                client.shutdown().await;
                client.spawn(serve(stream, sim.clone()));
            }
            // A client that goes away is no failure of the gateway.
            Some(_) = client.join_next() => {}
        }
    }
}

/// Answers commands, one a line, for several clients.
///
/// # Errors
/// When the listener fails.
pub async fn serve_control(listener: TcpListener, sim: Sim) -> io::Result<()> {
    let mut clients = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if clients.len() < CONTROL_CLIENTS => {
                clients.spawn(control(accepted?.0, sim.clone()));
            }
            Some(_) = clients.join_next() => {}
        }
    }
}

/// A pseudo-terminal with the boards behind it.
#[derive(Debug)]
pub struct PtyPort {
    path: PathBuf,
    master: SerialStream,
    /// Keeps the terminal in raw mode, and the master from failing, while no agent has it open.
    slave: File,
}

impl PtyPort {
    /// Makes one, in raw mode: before that it would take the 0x03 at the end of a frame for Ctrl-C.
    ///
    /// # Errors
    /// When the system gives no pseudo-terminal.
    pub fn open() -> io::Result<Self> {
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

    /// The device that an agent opens.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Plays the boards on it.
    ///
    /// # Errors
    /// When the terminal fails or the log cannot be written.
    pub async fn serve(self, sim: Sim) -> io::Result<()> {
        let Self { master, slave, .. } = self;
        tokio::select! {
            served = serve(master, sim) => served,
            released = release(&slave) => released,
        }
    }
}

/// An agent that is killed leaves the terminal marked as in use, since ours is still open; a real
/// port would be free then.
async fn release(slave: &File) -> io::Result<()> {
    let mut ticks = interval(PTY_RELEASE_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        ioctl_tiocnxcl(slave)?;
    }
}

struct Reply {
    begins: Instant,
    bytes: Vec<u8>,
}

async fn hear(
    mut reader: impl AsyncRead + Unpin,
    sim: &Sim,
    replies: mpsc::Sender<Reply>,
) -> io::Result<()> {
    let byte_time = sim.config().line_time(1);
    let mut crossed = Instant::now();
    let mut requests = RequestReader::default();
    let mut chunk = [0; 64];
    loop {
        let count = reader.read(&mut chunk).await?;
        if count == 0 {
            return Ok(());
        }
        crossed = crossed.max(Instant::now());
        for byte in &chunk[..count] {
            crossed += byte_time;
            sleep_until(crossed).await;
            let Some(request) = requests.take(*byte) else { continue };
            let (answers, faults) = sim.receive(request, crossed)?;
            for bytes in answers {
                let begins = crossed + sim.config().turnaround + faults.late;
                // A line that is this far behind loses replies, as a real one would.
                drop(replies.try_send(Reply { begins, bytes }));
            }
        }
    }
}

async fn tell(
    mut writer: impl AsyncWrite + Unpin,
    sim: &Sim,
    mut due: mpsc::Receiver<Reply>,
) -> io::Result<()> {
    let byte_time = sim.config().line_time(1);
    while let Some(reply) = due.recv().await {
        let mut sent = reply.begins.max(Instant::now());
        for byte in reply.bytes {
            sent += byte_time;
            sleep_until(sent).await;
            writer.write_all(&[byte]).await?;
        }
    }
    Ok(())
}

async fn control(mut stream: TcpStream, sim: Sim) -> io::Result<()> {
    /// Longer lines are no commands; the connection is closed.
    const LINE_BYTES: u64 = 256;
    let (reader, mut writer) = stream.split();
    let mut reader = BufReader::new(reader);
    loop {
        let mut line = String::new();
        if (&mut reader).take(LINE_BYTES).read_line(&mut line).await? == 0 || !line.ends_with('\n')
        {
            return Ok(());
        }
        let mut answer = sim.command(&line)?;
        answer.push('\n');
        writer.write_all(answer.as_bytes()).await?;
    }
}

#[cfg(test)]
mod tests;
