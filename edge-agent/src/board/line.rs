//! One open port: frames out, replies in, and the line kept clean between them.
//!
//! Every request begins on a drained line, every failed one ends in silence, so that no late byte
//! of one exchange is taken for a part of the next. A read of nothing means the port is gone.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, timeout, timeout_at};

use super::config::BusTiming;
use super::counters::ErrorKind;
use super::port::Port;
use super::position::BoardAddr;
use super::profile::{Frame, PollForm, Profile, STX, StatusBits};

/// Read at once; a whole reply is 12 bytes at most.
const CHUNK_BYTES: usize = 64;
/// More than this waiting on the line before a request is babble, not a late reply.
const DRAIN_LIMIT_BYTES: usize = 1_024;
/// Stray bytes tolerated before a reply: a transceiver that turns round often makes one or two.
const LEADING_NOISE_BYTES: usize = 4;
/// Times an empty address is asked before the line is given up as not telling whether it echoes.
const ECHO_PROBES: u32 = 3;

/// An open port. Dropping it closes it.
pub(super) struct Line {
    port: Box<dyn Port>,
    timing: BusTiming,
    profile: Profile,
    /// Whether every byte sent comes back first.
    echo: bool,
}

/// What a poll brought.
pub(super) struct PollResult {
    /// The bits, unless the poll failed.
    pub(super) bits: Option<StatusBits>,
    /// What was wrong, also beside a good reply, with its amount.
    pub(super) errors: Vec<(ErrorKind, u64)>,
}

/// When an unlock frame was written.
pub(super) struct Written {
    pub(super) started: Instant,
    pub(super) at: Instant,
    /// What was wrong on the line, with its amount; the frame has left all the same.
    pub(super) errors: Vec<(ErrorKind, u64)>,
}

/// Why a port is of no more use.
#[derive(Debug, Error)]
pub(super) enum LineLost {
    #[error("the port was closed from the other side")]
    Closed,
    #[error("the line took no bytes for {0} ms")]
    WriteTimeout(u64),
    #[error("an address without a board answers, so the line does not tell whether it echoes")]
    EchoUnclear,
    #[error("nothing came back for {0} ms after a pulse, which must not be delivered later")]
    PulseUnproven(u128),
    #[error("no board has answered through the gateway for {0} ms")]
    Silent(u128),
    #[error("reading or writing failed")]
    Io(#[source] io::Error),
}

impl Line {
    pub(super) fn new(
        port: Box<dyn Port>,
        timing: BusTiming,
        profile: Profile,
        echo: bool,
    ) -> Self {
        Self { port, timing, profile, echo }
    }

    /// Finds out whether the line echoes, by asking where nobody can answer.
    pub(super) async fn probe_echo(&mut self, empty: BoardAddr) -> Result<bool, LineLost> {
        let frame = self.profile.status(empty, PollForm::default());
        for _ in 0..ECHO_PROBES {
            self.drain().await?;
            self.write(frame.bytes()).await?;
            let heard = self.listen().await?;
            if heard.is_empty() || heard == frame.bytes() {
                self.echo = !heard.is_empty();
                return Ok(self.echo);
            }
            self.await_silence(&mut Vec::new()).await?;
        }
        Err(LineLost::EchoUnclear)
    }

    /// Asks a board for its hooks. Not cancelled half way: it is short by construction.
    pub(super) async fn poll(
        &mut self,
        board: BoardAddr,
        form: PollForm,
    ) -> Result<PollResult, LineLost> {
        let mut errors = Vec::new();
        let drained = self.drain().await?;
        note(&mut errors, ErrorKind::Noise, drained);
        if drained >= DRAIN_LIMIT_BYTES {
            self.await_silence(&mut errors).await?;
            note(&mut errors, ErrorKind::Babble, 1);
            return Ok(PollResult { bits: None, errors });
        }
        let frame = self.profile.status(board, form);
        self.write(frame.bytes()).await?;
        let echoed = self.take_echo(&frame, &mut errors).await?;
        let bits = if echoed { self.reply(board, &mut errors).await? } else { None };
        if bits.is_none() {
            self.await_silence(&mut errors).await?;
        }
        Ok(PollResult { bits, errors })
    }

    /// Hands an unlock frame to the line.
    pub(super) async fn unlock(&mut self, frame: &Frame) -> Result<Written, LineLost> {
        let mut errors = Vec::new();
        note(&mut errors, ErrorKind::Noise, self.drain().await?);
        let started = Instant::now();
        self.write(frame.bytes()).await?;
        let at = Instant::now();
        // Without its echo it may have met another frame. It may have arrived, too: the door tells.
        match self.take_echo(frame, &mut errors).await {
            Ok(true) => {}
            Ok(false) => self.await_silence(&mut errors).await.unwrap_or_default(),
            // The frame has left; that the port is gone is found by the next exchange.
            Err(_) => note(&mut errors, ErrorKind::Echo, 1),
        }
        Ok(Written { started, at, errors })
    }

    /// Waits for bytes that nobody asked for, or for the loss of the port. Safe to cancel.
    pub(super) async fn stray(&mut self) -> Result<u64, LineLost> {
        let mut chunk = [0; CHUNK_BYTES];
        Ok(self.read(&mut chunk).await? as u64)
    }

    async fn reply(
        &mut self,
        board: BoardAddr,
        errors: &mut Vec<(ErrorKind, u64)>,
    ) -> Result<Option<StatusBits>, LineLost> {
        let mut bytes = Vec::with_capacity(CHUNK_BYTES);
        let mut deadline = Instant::now() + Duration::from_millis(self.timing.reply_timeout_ms);
        let mut leading = 0;
        let whole = self.profile.reply_bytes();
        while bytes.len() < whole && leading <= LEADING_NOISE_BYTES {
            let mut chunk = [0; CHUNK_BYTES];
            let Ok(read) = timeout_at(deadline, self.read(&mut chunk)).await else { break };
            let count = read?;
            let strays = chunk[..count].iter().take_while(|byte| bytes.is_empty() && **byte != STX);
            let strays = strays.count();
            leading += strays;
            bytes.extend_from_slice(&chunk[strays..count]);
            deadline = Instant::now() + Duration::from_millis(self.timing.inter_byte_gap_ms);
        }
        note(errors, ErrorKind::Noise, leading);
        if leading > LEADING_NOISE_BYTES {
            return Ok(None);
        }
        if bytes.is_empty() {
            note(errors, ErrorKind::Timeout, 1);
            return Ok(None);
        }
        let extra = bytes.len().saturating_sub(whole);
        if extra >= whole {
            // Two replies to one question: which is the answer cannot be told.
            note(errors, ErrorKind::Foreign, 1);
            return Ok(None);
        }
        note(errors, ErrorKind::Noise, extra);
        match self.profile.decode(board, &bytes[..bytes.len() - extra]) {
            Ok(bits) => Ok(Some(bits)),
            Err(error) => {
                note(errors, error.into(), 1);
                Ok(None)
            }
        }
    }

    /// Takes the echo of a frame off an echoing line: exactly its bytes. False if anything else came
    /// back, which is a collision or a transceiver that is broken.
    async fn take_echo(
        &mut self,
        frame: &Frame,
        errors: &mut Vec<(ErrorKind, u64)>,
    ) -> Result<bool, LineLost> {
        if !self.echo {
            return Ok(true);
        }
        let mut deadline = Instant::now() + Duration::from_millis(self.timing.reply_timeout_ms);
        let mut awaited = frame.bytes();
        while !awaited.is_empty() {
            let mut chunk = [0; CHUNK_BYTES];
            // Not a byte more: what follows is the reply.
            let read = timeout_at(deadline, self.read(&mut chunk[..awaited.len()])).await;
            let count = read.unwrap_or(Ok(0))?;
            if count == 0 || !awaited.starts_with(&chunk[..count]) {
                note(errors, ErrorKind::Echo, 1);
                return Ok(false);
            }
            awaited = &awaited[count..];
            deadline = Instant::now() + Duration::from_millis(self.timing.inter_byte_gap_ms);
        }
        Ok(true)
    }

    /// What comes before the line falls silent, up to a bound.
    async fn listen(&mut self) -> Result<Vec<u8>, LineLost> {
        let mut heard = Vec::new();
        let mut deadline = Instant::now() + Duration::from_millis(self.timing.reply_timeout_ms);
        while heard.len() < CHUNK_BYTES {
            let mut chunk = [0; CHUNK_BYTES];
            let Ok(read) = timeout_at(deadline, self.read(&mut chunk)).await else { break };
            heard.extend_from_slice(&chunk[..read?]);
            deadline = Instant::now() + Duration::from_millis(self.timing.inter_byte_gap_ms);
        }
        Ok(heard)
    }

    /// Reads on until nothing came for a while, or too long.
    async fn await_silence(&mut self, errors: &mut Vec<(ErrorKind, u64)>) -> Result<(), LineLost> {
        let limit = Instant::now() + Duration::from_millis(self.timing.quiet_limit_ms);
        let mut chunk = [0; CHUNK_BYTES];
        loop {
            match timeout(Duration::from_millis(self.timing.quiet_ms), self.read(&mut chunk)).await
            {
                Err(_) => return Ok(()),
                Ok(read) => note(errors, ErrorKind::Noise, read?),
            }
            if Instant::now() >= limit {
                note(errors, ErrorKind::Babble, 1);
                return Ok(());
            }
        }
    }

    /// Takes what waits on the line without waiting for more, up to a bound; says how much it was.
    async fn drain(&mut self) -> Result<usize, LineLost> {
        let mut drained = 0;
        while drained < DRAIN_LIMIT_BYTES {
            let mut chunk = [0; CHUNK_BYTES];
            let ready = poll_fn(|cx| {
                let mut buf = ReadBuf::new(&mut chunk);
                match Pin::new(&mut self.port).poll_read(cx, &mut buf) {
                    Poll::Pending => Poll::Ready(Ok(None)),
                    Poll::Ready(Ok(())) => Poll::Ready(Ok(Some(buf.filled().len()))),
                    Poll::Ready(Err(error)) => Poll::Ready(Err(LineLost::Io(error))),
                }
            });
            match ready.await? {
                None => break,
                Some(0) => return Err(LineLost::Closed),
                Some(count) => drained += count,
            }
        }
        Ok(drained)
    }

    async fn read(&mut self, chunk: &mut [u8]) -> Result<usize, LineLost> {
        match self.port.read(chunk).await {
            Ok(0) => Err(LineLost::Closed),
            Ok(count) => Ok(count),
            Err(error) => Err(LineLost::Io(error)),
        }
    }

    async fn write(&mut self, frame: &[u8]) -> Result<(), LineLost> {
        let limit_ms = self.timing.write_timeout_ms;
        let write = async {
            self.port.write_all(frame).await?;
            self.port.flush().await
        };
        match timeout(Duration::from_millis(limit_ms), write).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(LineLost::Io(error)),
            Err(_) => Err(LineLost::WriteTimeout(limit_ms)),
        }
    }
}

fn note(errors: &mut Vec<(ErrorKind, u64)>, kind: ErrorKind, amount: usize) {
    if amount > 0 {
        errors.push((kind, amount as u64));
    }
}
