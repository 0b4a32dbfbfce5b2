//! A simulated bank on any stream: bytes at line rate, and what is wrong with the line.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::board::Pace;
use super::faults::{Babble, HalfOpen, LineFaults, Noise};
use super::profile::RequestReader;
use super::shared::Sim;

/// Replies and echoes on their way; a real board has no more than one, and what exceeds this is
/// lost and counted.
const SENDINGS_WAITING: usize = 64;
/// Bytes that a half-open connection holds; more are lost and counted.
const HELD_BYTES: usize = 65_536;

/// Plays the boards on one stream until the other side closes it or the cable is unplugged.
///
/// # Errors
/// When the stream fails or the log cannot be written.
pub async fn serve(io: impl AsyncRead + AsyncWrite, sim: Sim) -> io::Result<()> {
    let (reader, writer) = split(io);
    let (sendings, due) = mpsc::channel(SENDINGS_WAITING);
    let mut line = sim.line();
    let plugged_in = line.borrow().unplugs;
    let gone = |faults: &LineFaults| faults.unplugged || faults.unplugs != plugged_in;
    tokio::select! {
        heard = Ear::new(&sim, sendings).hear(reader) => heard,
        told = tell(writer, &sim, due) => told,
        _ = line.wait_for(gone) => Ok(()),
    }
}

/// Bytes on their way to the agent.
struct Sending {
    /// When the first of them has crossed the line, if the line is free.
    first_at: Instant,
    bytes: Vec<u8>,
    pace: Pace,
}

/// Takes bytes off the line and has the boards act on them.
struct Ear<'a> {
    sim: &'a Sim,
    line: watch::Receiver<LineFaults>,
    byte_time: Duration,
    crossed: Instant,
    requests: RequestReader,
    held: Vec<u8>,
    sendings: mpsc::Sender<Sending>,
}

impl<'a> Ear<'a> {
    fn new(sim: &'a Sim, sendings: mpsc::Sender<Sending>) -> Self {
        Self {
            sim,
            line: sim.line(),
            byte_time: sim.config().line_time(1),
            crossed: Instant::now(),
            requests: RequestReader::new(sim.config().profile),
            held: Vec::new(),
            sendings,
        }
    }

    async fn hear(mut self, mut reader: impl AsyncRead + Unpin) -> io::Result<()> {
        let mut chunk = [0; 64];
        loop {
            let faults = *self.line.borrow_and_update();
            if faults.half_open != Some(HalfOpen::Hold) {
                let held = std::mem::take(&mut self.held);
                self.take(&held, faults).await?;
            }
            tokio::select! {
                count = reader.read(&mut chunk) => {
                    let count = count?;
                    if count == 0 {
                        return Ok(());
                    }
                    let faults = *self.line.borrow();
                    self.take(&chunk[..count], faults).await?;
                }
                // The sender lives as long as the simulation.
                _ = self.line.changed() => {}
            }
        }
    }

    async fn take(&mut self, bytes: &[u8], faults: LineFaults) -> io::Result<()> {
        match faults.half_open {
            Some(HalfOpen::Swallow) => return Ok(()),
            Some(HalfOpen::Hold) => {
                let room = HELD_BYTES - self.held.len();
                if bytes.len() > room {
                    self.sim.lose_sending();
                }
                self.held.extend_from_slice(&bytes[..bytes.len().min(room)]);
                return Ok(());
            }
            None => {}
        }
        self.crossed = self.crossed.max(Instant::now());
        for byte in bytes {
            self.crossed += self.byte_time;
            sleep_until(self.crossed).await;
            if faults.echo {
                self.send(self.crossed, vec![*byte], Pace::Line);
            }
            let Some(request) = self.requests.take(*byte) else { continue };
            for reply in self.sim.receive(request, self.crossed)? {
                let wait = self.sim.config().turnaround + reply.late;
                self.send(self.crossed + wait + self.byte_time, reply.bytes, reply.pace);
            }
        }
        Ok(())
    }

    fn send(&self, first_at: Instant, bytes: Vec<u8>, pace: Pace) {
        if self.sendings.try_send(Sending { first_at, bytes, pace }).is_err() {
            self.sim.lose_sending();
        }
    }
}

/// Brings bytes to the agent, each when it has crossed the line.
async fn tell(
    mut writer: impl AsyncWrite + Unpin,
    sim: &Sim,
    mut due: mpsc::Receiver<Sending>,
) -> io::Result<()> {
    let byte_time = sim.config().line_time(1);
    let mut line = sim.line();
    let mut noise = Noise::default();
    let mut last = Instant::now();
    loop {
        let babble = line.borrow_and_update().babble;
        tokio::select! {
            biased;
            sending = due.recv() => {
                let Some(sending) = sending else { return Ok(()) };
                // The line is taken: the two drown each other.
                if babble.is_none() {
                    last = send(&mut writer, sending, last, byte_time).await?;
                }
            }
            _ = line.changed() => {}
            () = sleep_until(last + byte_time), if babble.is_some() => {
                last = Instant::now();
                let byte = match babble {
                    Some(Babble::Byte(byte)) => byte,
                    Some(Babble::Noise) | None => noise.byte(),
                };
                writer.write_all(&[byte]).await?;
            }
        }
    }
}

/// Gives the time at which the last byte has crossed.
async fn send(
    writer: &mut (impl AsyncWrite + Unpin),
    sending: Sending,
    last: Instant,
    byte_time: Duration,
) -> io::Result<Instant> {
    let Sending { first_at, bytes, pace } = sending;
    let mut at = first_at.max(last + byte_time).max(Instant::now());
    let between = match pace {
        Pace::Line => byte_time,
        Pace::Gap(gap) => gap.max(byte_time),
        Pace::AtOnce => {
            at += byte_time * u32::try_from(bytes.len().saturating_sub(1)).unwrap_or(u32::MAX);
            sleep_until(at).await;
            writer.write_all(&bytes).await?;
            return Ok(at);
        }
    };
    let mut last = last;
    for byte in bytes {
        sleep_until(at).await;
        writer.write_all(&[byte]).await?;
        last = at;
        at += between;
    }
    Ok(last)
}
