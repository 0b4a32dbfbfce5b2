//! All lock boards of the bank as commissioning sees them: every hook bit as it is, and pulses one at
//! a time. The buses are those of the agent, with all their care for supply, line and late replies.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use thiserror::Error;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::finding::Finding;
use crate::board::{
    BoardAddr, Bus, BusCounters, BusEvent, Connect, DoorReading, LockIndex, NotSentReason,
    Polarity, PortLink, PulseOutcome, UnlockRefused, UnlockRequest,
};
use crate::config::PortAndBoards;

/// Where a lock is.
pub type At = (BoardAddr, LockIndex);

/// Every hook bit that is known.
pub(super) type Bits = BTreeMap<At, bool>;

/// How long every board may take to tell its first readings: longer than a bus needs to give one up.
const BOARDS_ANSWER_WITHIN: Duration = Duration::from_secs(15);
/// How long every poll must then be answered: twenty of each board.
const STEADY_FOR: Duration = Duration::from_secs(5);
/// Events that may wait while the installer is written to; then the buses wait.
const EVENTS_WAITING_MAX: usize = 256;
/// Longer than any bus holds an unlock back.
const SENT_WITHIN: Duration = Duration::from_secs(10);
/// A closed sensor is told this much after it has settled, at the latest.
const LAST_POLL: Duration = Duration::from_millis(500);

/// Why the boards cannot be worked with.
#[derive(Debug, Error)]
pub enum BenchError {
    #[error(
        "board {board} does not answer ({hint}). Check its selector, its wires and its supply; a CU48 \
         may need poll = \"lock_zero\""
    )]
    Silent { board: u8, hint: String },
    #[error(
        "only {answered} of {polled} polls were answered on the line of board {board}; {hint}. Check \
         wires, termination and supply"
    )]
    Unsteady { board: u8, answered: u64, polled: u64, hint: String },
    #[error("the buses have stopped")]
    Stopped,
    #[error("the pulse was refused")]
    Refused(#[from] UnlockRefused),
}

pub(super) struct Bench {
    /// The bus of each board.
    buses: BTreeMap<BoardAddr, Bus>,
    events: mpsc::Receiver<BusEvent>,
    bits: Bits,
    /// Why a port does not open.
    port_down: Option<String>,
    /// From a pulse until every sensor that moved by it has been told.
    watch: Duration,
    intents: u64,
}

/// What one pulse did.
#[derive(Debug)]
pub(super) struct Trial {
    /// The sensors that moved, with their bits before.
    moved: BTreeMap<At, bool>,
    not_sent: Option<NotSentReason>,
}

impl Trial {
    /// What the bit of its sensor means, or what is wrong.
    pub(super) fn verdict(&self, at: At) -> Result<Polarity, Finding> {
        if let Some(reason) = self.not_sent {
            return Err(Finding::NotSent { at, reason });
        }
        let moved: Vec<At> = self.moved.keys().copied().collect();
        match (moved.as_slice(), self.moved.get(&at)) {
            ([], _) => Err(Finding::NoSensor { at }),
            ([_], Some(true)) => Ok(Polarity::OneIsLocked),
            ([_], Some(false)) => Ok(Polarity::ZeroIsLocked),
            ([other], None) => Err(Finding::OtherSensor { at, moved: *other }),
            _ => Err(Finding::SeveralSensors { at, moved }),
        }
    }

    pub(super) const fn moved(&self) -> &BTreeMap<At, bool> {
        &self.moved
    }
}

impl Bench {
    pub(super) fn start<C: Connect>(
        ports: &[PortAndBoards],
        connector: impl Fn(&PortAndBoards) -> C,
    ) -> Self {
        let (sender, events) = mpsc::channel(EVENTS_WAITING_MAX);
        let mut buses = BTreeMap::new();
        let mut watch = Duration::ZERO;
        for port in ports {
            let config = port.raw_bus_config();
            let timing = &config.timing;
            let told_ms = timing.confirm_window_ms + timing.closed_stable_ms;
            watch = watch.max(Duration::from_millis(told_ms) + LAST_POLL);
            let (bus, _task) = Bus::spawn(config, connector(port), sender.clone());
            buses.extend(port.boards.iter().map(|board| (board.addr, bus.clone())));
        }
        Self { buses, events, bits: BTreeMap::new(), port_down: None, watch, intents: 0 }
    }

    /// Waits until every board has told its bits.
    pub(super) async fn await_boards(&mut self) -> Result<(), BenchError> {
        let until = Instant::now() + BOARDS_ANSWER_WITHIN;
        loop {
            let told: BTreeSet<_> = self.bits.keys().map(|(board, _)| *board).collect();
            let Some((board, bus)) = self.buses.iter().find(|(board, _)| !told.contains(board))
            else {
                return Ok(());
            };
            let silent = BenchError::Silent { board: board.get(), hint: self.hint(bus.counters()) };
            match timeout_at(until, self.next()).await {
                Ok(event) => self.note(event?),
                Err(_) => return Err(silent),
            }
        }
    }

    /// Watches the lines for a while, and finds every poll answered.
    pub(super) async fn prove_lines(&mut self) -> Result<(), BenchError> {
        let counts = |bus: &Bus| (bus.counters().polls, bus.counters().replies);
        let before: Vec<_> = self.buses.values().map(counts).collect();
        self.rest(STEADY_FOR).await?;
        for ((board, bus), (polls, replies)) in self.buses.iter().zip(before) {
            let counters = bus.counters();
            let (polled, answered) = (counters.polls - polls, counters.replies - replies);
            if answered < polled {
                let (board, hint) = (board.get(), self.hint(counters));
                return Err(BenchError::Unsteady { board, answered, polled, hint });
            }
        }
        Ok(())
    }

    /// Gives one pulse and watches every sensor of the bank.
    pub(super) async fn pulse(&mut self, at: At) -> Result<Trial, BenchError> {
        self.intents += 1;
        let (board, lock) = at;
        let intent = self.intents;
        let request = UnlockRequest { intent, board, lock, issued_at: Instant::now() };
        self.buses.get(&board).ok_or(BenchError::Stopped)?.try_unlock(request)?;
        let before = self.bits.clone();
        let mut trial = Trial { moved: BTreeMap::new(), not_sent: None };
        let mut until = Instant::now() + SENT_WITHIN;
        while let Ok(event) = timeout_at(until, self.next()).await {
            let event = event?;
            match &event {
                BusEvent::PulseWritten { intent: of, at, .. } if *of == intent => {
                    until = *at + self.watch;
                }
                BusEvent::Settled { intent: of, outcome: PulseOutcome::NotSent(reason) }
                    if *of == intent =>
                {
                    trial.not_sent = Some(*reason);
                    return Ok(trial);
                }
                BusEvent::PulseWritten { .. }
                | BusEvent::Settled { .. }
                | BusEvent::Door { .. }
                | BusEvent::Baseline { .. }
                | BusEvent::Board { .. }
                | BusEvent::Objects { .. }
                | BusEvent::BoardPower { .. }
                | BusEvent::SensorDoubt { .. }
                | BusEvent::SlowPoll { .. }
                | BusEvent::Port { .. }
                | BusEvent::BusError { .. } => {}
            }
            self.note(event);
            let moved = before.iter().filter(|(at, bit)| self.bits.get(at) != Some(bit));
            trial.moved.extend(moved);
        }
        Ok(trial)
    }

    /// Waits until every sensor reads as in `wanted`; false if that takes too long.
    pub(super) async fn returns_to(
        &mut self,
        wanted: &Bits,
        within: Duration,
    ) -> Result<bool, BenchError> {
        let until = Instant::now() + within;
        while self.bits != *wanted {
            match timeout_at(until, self.next()).await {
                Ok(event) => self.note(event?),
                Err(_) => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Watches for a while.
    pub(super) async fn rest(&mut self, time: Duration) -> Result<(), BenchError> {
        let until = Instant::now() + time;
        while let Ok(event) = timeout_at(until, self.next()).await {
            self.note(event?);
        }
        Ok(())
    }

    pub(super) fn bits(&self) -> Bits {
        self.bits.clone()
    }

    /// Keeps up with the buses while something else is waited for. Safe to cancel; never ends but by
    /// an error.
    pub(super) async fn keep_up(&mut self) -> BenchError {
        loop {
            match self.next().await {
                Ok(event) => self.note(event),
                Err(error) => return error,
            }
        }
    }

    async fn next(&mut self) -> Result<BusEvent, BenchError> {
        self.events.recv().await.ok_or(BenchError::Stopped)
    }

    fn note(&mut self, event: BusEvent) {
        match event {
            BusEvent::Door { board, lock, reading, .. } => self.note_bit((board, lock), reading),
            BusEvent::Baseline { board, readings } => {
                for (lock, reading) in readings {
                    self.note_bit((board, lock), reading);
                }
            }
            BusEvent::Port { state } => {
                self.port_down = match state {
                    PortLink::Up => None,
                    PortLink::Down { reason } => Some(reason),
                };
            }
            BusEvent::PulseWritten { .. }
            | BusEvent::Settled { .. }
            | BusEvent::Board { .. }
            | BusEvent::Objects { .. }
            | BusEvent::BoardPower { .. }
            | BusEvent::SensorDoubt { .. }
            | BusEvent::SlowPoll { .. }
            | BusEvent::BusError { .. } => {}
        }
    }

    /// The buses take every bit for one that is 1 when locked, so that `Closed` is 1.
    fn note_bit(&mut self, at: At, reading: DoorReading) {
        match reading {
            DoorReading::Closed => self.bits.insert(at, true),
            DoorReading::Open => self.bits.insert(at, false),
            DoorReading::Unknown => self.bits.remove(&at),
        };
    }

    /// What silence most likely is.
    fn hint(&self, counters: BusCounters) -> String {
        let garbled = counters.checksum + counters.foreign + counters.truncated;
        match &self.port_down {
            Some(reason) => reason.clone(),
            None if garbled > 0 => format!(
                "{garbled} replies were garbled: two boards may have one address, or the line rate is \
                 wrong"
            ),
            None if counters.replies > 0 => {
                format!("{} polls were not answered at all", counters.timeouts)
            }
            None => "nothing comes back".to_owned(),
        }
    }
}
