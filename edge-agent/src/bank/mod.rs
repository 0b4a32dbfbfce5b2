//! The bank's loop: one closed list of events, one owner of the ledger.
//!
//! Whatever happens arrives here as an [`Event`] and is handled to the end before the next: decide
//! in the core, make the facts durable, pulse the lock, answer. The loop waits for the disk, so it
//! runs on a thread of its own and never on the async runtime's.

mod floor;
mod state;
mod timing;

pub use floor::{Floor, FloorError};
pub use state::{PanelPhase, PanelResult, PanelSession, PanelState, PanelTask};
pub use timing::PulseTiming;

use std::collections::HashMap;

use locker_core::bank::{self as rules, Command, Moment, Observation, Pulse, PulseOutcome, Step};
use locker_core::clock::{BankClock, SignedTimeError};
use locker_core::compartment::{DoorReading, LockPosition};
use locker_core::credential::{self, KeySet};
use locker_core::downlink::{GrantPosition, apply_grant, apply_key_set, apply_layout};
use locker_core::fact::Fact;
use locker_core::ids::{BankId, BootId, Generation, IntentId, SessionId, StreamId};
use locker_core::journal::{Meta, View};
use locker_core::policy::SessionPolicy;
use locker_core::refusal::Refusal;
use locker_core::units::UnixMillis;
use locker_proto::message::{Config, Document, Grants};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use crate::board::{self, BoardLink, Bus, BusEvent, UnlockRequest};
use crate::store::{CommitError, Ledger, Stamp};

/// Events that may wait for the loop. Producers wait when it is full; only the bus and the link
/// produce without a person behind it.
pub const EVENTS_WAITING_MAX: usize = 64;
/// How often the disk's room is looked at, in milliseconds.
const SPACE_CHECK_MS: u64 = 10_000;

/// What can happen to a bank.
#[derive(Debug)]
pub enum Event {
    /// A person at the screen asks for something.
    Ask { ask: Ask, asked_at: Instant, reply: oneshot::Sender<Result<(), Refusal>> },
    /// A lock board reports.
    Bus(BusEvent),
    /// The hub decided something; the signature has been checked.
    Grants(Grants),
    /// The hub sent a configuration document; the signature has been checked.
    Config(Config),
    /// The hub said what time it is, in answer to a nonce.
    Heard { signed: UnixMillis, asked_at: Instant, heard_at: Instant },
    /// The hub has everything up to `safe` in a backup.
    Safe { safe: u64 },
    /// The link is about to introduce this bank to the hub.
    Introduce { reply: oneshot::Sender<Introduction> },
    /// The hub can be reached, or cannot.
    Linked(bool),
    /// The agent is to stop.
    Stop,
}

/// What a person at the screen can ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// A code or a label was scanned or typed.
    Scan(String),
    TryAgain,
    Deposited,
    DoesNotFit,
    Taken,
    NotTaken,
    Cancel,
    Finish,
}

/// What a bank says of itself at the start of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Introduction {
    pub stream: StreamId,
    pub boot: BootId,
    pub boot_count: u64,
    pub grants: GrantPosition,
    pub layout: Generation,
    pub keys: KeySet,
    pub stamp: Stamp,
}

/// Why the loop ended although nobody stopped it. The process ends, too; the next start recovers.
#[derive(Debug, Error)]
pub enum BankError {
    #[error("a step could not be made durable")]
    Commit(#[from] CommitError),
    #[error("the clock's floor could not be kept")]
    Floor(#[from] FloorError),
    #[error("the disk does not tell its room")]
    Space(#[from] crate::journal::SpaceError),
}

/// What the loop is made of.
pub struct Parts {
    pub bank: BankId,
    pub ledger: Ledger,
    /// The bus behind each board address.
    pub buses: HashMap<u8, Bus>,
    pub policy: SessionPolicy,
    pub floor: Floor,
    /// Random ids for sessions.
    pub fresh_session: Box<dyn FnMut() -> SessionId + Send>,
    /// The operating system's time.
    pub system_time: Box<dyn Fn() -> UnixMillis + Send>,
    /// No deposits below this much free space, in bytes.
    pub deposit_reserve_bytes: u64,
    /// Where each pulse's timing goes, if anybody wants it; dropped when full.
    pub timings: Option<mpsc::Sender<PulseTiming>>,
}

/// What others may watch.
#[derive(Clone, Debug)]
pub struct Watches {
    pub state: watch::Receiver<PanelState>,
    /// The journal's last seq.
    pub head: watch::Receiver<u64>,
}

/// The loop and all it owns.
pub struct Bank {
    parts: Parts,
    clock: BankClock,
    started: Instant,
    state: watch::Sender<PanelState>,
    head: watch::Sender<u64>,
    pulses: HashMap<IntentId, PulseUnderWay>,
    deposits_open: bool,
    space_due: Instant,
}

/// A pulse that the bus has and that has no outcome yet.
struct PulseUnderWay {
    lock: LockPosition,
    timing: PulseTiming,
}

impl Bank {
    /// Takes over the ledger and settles what the last run left open.
    ///
    /// # Errors
    ///
    /// The disk refuses.
    pub fn start(parts: Parts) -> Result<(Self, Watches), BankError> {
        let state = watch::Sender::new(PanelState::begin(&parts.bank, parts.ledger.view()));
        let head = watch::Sender::new(parts.ledger.head().0);
        let watches = Watches { state: state.subscribe(), head: head.subscribe() };
        let now = Instant::now();
        let mut bank = Self {
            clock: BankClock::new(parts.floor.get()),
            started: now,
            state,
            head,
            pulses: HashMap::new(),
            deposits_open: true,
            space_due: now,
            parts,
        };
        bank.check_space()?;
        let step = rules::recover(bank.parts.ledger.view());
        bank.carry_out(step, None)?;
        Ok((bank, watches))
    }

    /// Runs until told to stop or until all senders of `events` are gone.
    ///
    /// # Errors
    ///
    /// Only what leaves the bank's truth in doubt; a board or a hub that does not answer is none.
    pub async fn run(mut self, mut events: mpsc::Receiver<Event>) -> Result<(), BankError> {
        loop {
            let event = tokio::select! {
                event = events.recv() => event,
                () = tokio::time::sleep_until(self.wakes_at()) => {
                    self.tick()?;
                    continue;
                }
            };
            match event {
                None | Some(Event::Stop) => return Ok(()),
                Some(event) => self.handle(event)?,
            }
        }
    }

    fn handle(&mut self, event: Event) -> Result<(), BankError> {
        match event {
            Event::Ask { ask, asked_at, reply } => {
                let answer = self.ask(ask, asked_at)?;
                // Whoever asked may have left; what was done is done.
                let _ = reply.send(answer);
            }
            Event::Bus(event) => self.bus(event)?,
            Event::Grants(grants) => self.grants(&grants)?,
            Event::Config(config) => self.config(&config)?,
            Event::Heard { signed, asked_at, heard_at } => {
                self.heard(signed, asked_at, heard_at)?
            }
            Event::Safe { safe } => {
                if let Err(error) = self.parts.ledger.prune(safe) {
                    warn!(%error, "journal not pruned");
                }
            }
            Event::Introduce { reply } => {
                let _ = reply.send(self.introduction());
            }
            Event::Linked(linked) => self.publish(|state| state.hub_connected = linked),
            Event::Stop => {}
        }
        Ok(())
    }

    /// Does what a person asks for.
    fn ask(&mut self, ask: Ask, asked_at: Instant) -> Result<Result<(), Refusal>, BankError> {
        let mut timing = PulseTiming::asked(asked_at, Instant::now());
        let decided = self.command(ask).and_then(|command| {
            let fresh_session = (self.parts.fresh_session)();
            let at = self.moment(fresh_session);
            rules::command(self.parts.ledger.view(), command, at)
        });
        timing.checked();
        match decided {
            Err(refusal) => {
                info!(reason = refusal.reason(), "request refused");
                Ok(Err(refusal))
            }
            Ok(step) => match self.carry_out(step, Some(timing)) {
                Ok(()) => Ok(Ok(())),
                Err(CommitError::OutOfSpace { .. }) => Ok(Err(Refusal::StorageUnsafe)),
                Err(error) => Err(error.into()),
            },
        }
    }

    fn command(&self, ask: Ask) -> Result<Command, Refusal> {
        Ok(match ask {
            Ask::Scan(text) if credential::looks_like_token(text.trim()) => {
                let keys = self.parts.ledger.view().meta().keys;
                let clock = self.clock.interval(self.monotonic_ms(Instant::now()));
                let verified = credential::verify(text.trim(), &self.parts.bank, &keys.keys, clock);
                Command::Present(verified?)
            }
            Ask::Scan(text) => {
                let barcode = text.trim().parse().map_err(|_| Refusal::BarcodeUnknown)?;
                Command::ScanParcel(barcode)
            }
            Ask::TryAgain => Command::TryAgain,
            Ask::Deposited => Command::ConfirmDeposited,
            Ask::DoesNotFit => Command::DoesNotFit,
            Ask::Taken => Command::ConfirmTaken,
            Ask::NotTaken => Command::NotTaken,
            Ask::Cancel => Command::Cancel,
            Ask::Finish => Command::Finish,
        })
    }

    fn bus(&mut self, event: BusEvent) -> Result<(), BankError> {
        let lock_at = |board: board::BoardAddr, lock: board::LockIndex| LockPosition {
            board: board.get(),
            lock: lock.get(),
        };
        let observation = match event {
            BusEvent::PulseWritten { intent, free_at, started, .. } => {
                self.pulse_written(IntentId(intent), free_at, started);
                return Ok(());
            }
            BusEvent::Settled { intent, outcome } => {
                let intent = IntentId(intent);
                let Some(pulse) = self.pulses.remove(&intent) else { return Ok(()) };
                let outcome = core_outcome(outcome);
                info!(intent = intent.0, ?outcome, "pulse settled");
                Observation::PulseSettled { intent, lock: pulse.lock, outcome }
            }
            BusEvent::Door { board, lock, reading, .. } => match core_reading(reading) {
                Some(reading) => Observation::Door { lock: lock_at(board, lock), reading },
                // Contradicting readings say nothing; the last believed one stands.
                None => return Ok(()),
            },
            BusEvent::Baseline { board, readings } => {
                let known = readings.into_iter();
                let readings = known
                    .filter_map(|(lock, reading)| Some((lock.get(), core_reading(reading)?)))
                    .collect();
                Observation::Baseline { board: board.get(), readings }
            }
            BusEvent::Board { board, state } => {
                info!(board = board.get(), ?state, "board changed");
                match state {
                    BoardLink::Online => Observation::Board { board: board.get(), online: true },
                    BoardLink::Offline => Observation::Board { board: board.get(), online: false },
                    BoardLink::Suspect => return Ok(()),
                }
            }
            BusEvent::Port { state } => {
                info!(?state, "port changed");
                return Ok(());
            }
            BusEvent::BusError { kind, count } => {
                warn!(?kind, count, "bus error");
                return Ok(());
            }
        };
        self.observe(observation)
    }

    fn observe(&mut self, observation: Observation) -> Result<(), BankError> {
        let fresh_session = (self.parts.fresh_session)();
        let at = self.moment(fresh_session);
        let step = rules::observe(self.parts.ledger.view(), observation, at);
        Ok(self.carry_out(step, None)?)
    }

    fn grants(&mut self, grants: &Grants) -> Result<(), BankError> {
        for (position, grant) in grants.positions() {
            let held = self.parts.ledger.view().meta().grants;
            if position.epoch == held.epoch && position.gseq > held.gseq + 1 {
                warn!(held = held.gseq, got = position.gseq, "grants skip");
                return Ok(());
            }
            let fact = apply_grant(self.parts.ledger.view(), position, grant);
            self.carry_out(Step { facts: fact.into_iter().collect(), ..Step::default() }, None)?;
        }
        Ok(())
    }

    fn config(&mut self, config: &Config) -> Result<(), BankError> {
        let view = self.parts.ledger.view();
        let fact = match &config.document {
            Document::Layout(layout) => apply_layout(view, layout),
            Document::KeySet(keys) => apply_key_set(view, keys),
        };
        let step = Step { facts: fact.into_iter().collect(), ..Step::default() };
        Ok(self.carry_out(step, None)?)
    }

    fn heard(
        &mut self,
        signed: UnixMillis,
        asked_at: Instant,
        heard_at: Instant,
    ) -> Result<(), BankError> {
        let (asked_ms, heard_ms) = (self.monotonic_ms(asked_at), self.monotonic_ms(heard_at));
        match self.clock.hear(signed, asked_ms, heard_ms) {
            Ok(()) => self.parts.floor.raise(self.clock.floor())?,
            Err(error @ SignedTimeError::NeedsSecond { .. }) => info!(%error, "time not taken yet"),
            Err(error) => warn!(%error, "time not taken"),
        }
        Ok(())
    }

    /// Commits, then acts, then tells everybody who watches.
    fn carry_out(
        &mut self,
        step: Step,
        mut timing: Option<PulseTiming>,
    ) -> Result<(), CommitError> {
        if step.facts.is_empty() {
            return Ok(());
        }
        let stamp = self.stamp();
        self.commit(&step, stamp)?;
        if let Some(timing) = &mut timing {
            timing.synced();
        }
        if let Some(pulse) = step.pulse {
            self.pulse(pulse, timing)?;
        }
        for fact in &step.facts {
            debug!(?fact, "fact committed");
        }
        self.head.send_replace(self.parts.ledger.head().0);
        let view = self.parts.ledger.view();
        self.state.send_modify(|state| state.follow(view, &step.facts));
        Ok(())
    }

    /// A full disk stops deposits. Everything else may use the reserve.
    fn commit(&mut self, step: &Step, stamp: Stamp) -> Result<(), CommitError> {
        let trace = step.trace.as_ref();
        let error = match self.parts.ledger.commit(&step.facts, trace, stamp) {
            Err(error @ CommitError::OutOfSpace { .. }) => error,
            done => return done,
        };
        self.deposits_open = false;
        let begins_deposit = step.facts.iter().any(|fact| matches!(fact, Fact::DepositStarted(_)));
        if begins_deposit {
            return Err(error);
        }
        error!("disk full, using the reserve");
        match self.parts.ledger.release_ballast() {
            Ok(true) => self.parts.ledger.commit(&step.facts, trace, stamp),
            Ok(false) => Err(error),
            Err(failed) => {
                error!(error = %failed, "reserve not released");
                Err(error)
            }
        }
    }

    fn pulse(&mut self, pulse: Pulse, timing: Option<PulseTiming>) -> Result<(), CommitError> {
        let Pulse { intent, compartment, lock } = pulse;
        let timing = timing.unwrap_or_else(|| PulseTiming::unasked(Instant::now()));
        let sent = self.unlock(intent, lock);
        self.pulses.insert(intent, PulseUnderWay { lock, timing });
        info!(intent = intent.0, %compartment, board = lock.board, lock = lock.lock, "pulse given");
        let Err(reason) = sent else { return Ok(()) };
        warn!(intent = intent.0, reason, "pulse not sent");
        self.pulses.remove(&intent);
        let observation =
            Observation::PulseSettled { intent, lock, outcome: PulseOutcome::NotSent };
        let fresh_session = (self.parts.fresh_session)();
        let at = self.moment(fresh_session);
        let step = rules::observe(self.parts.ledger.view(), observation, at);
        self.carry_out(step, None)
    }

    fn unlock(&self, intent: IntentId, lock: LockPosition) -> Result<(), &'static str> {
        let bus = self.parts.buses.get(&lock.board).ok_or("board not configured")?;
        let board = board::BoardAddr::try_from(lock.board).map_err(|_| "board out of range")?;
        let lock = board::LockIndex::try_from(lock.lock).map_err(|_| "lock out of range")?;
        let request = UnlockRequest { intent: intent.0, board, lock, issued_at: Instant::now() };
        bus.try_unlock(request).map_err(|refused| match refused {
            board::UnlockRefused::QueueFull => "unlock queue full",
            board::UnlockRefused::UnknownLock { .. } => "lock not configured",
            board::UnlockRefused::Stopped => "bus stopped",
        })
    }

    fn pulse_written(&mut self, intent: IntentId, free_at: Instant, started: Instant) {
        let Some(pulse) = self.pulses.get_mut(&intent) else { return };
        pulse.timing.written(free_at, started);
        let timing = pulse.timing;
        info!(
            intent = intent.0,
            check_us = timing.check_us(),
            sync_us = timing.sync_us(),
            rest_us = timing.rest_us(),
            "pulse on the wire"
        );
        if let Some(timings) = &self.parts.timings {
            let _ = timings.try_send(timing);
        }
    }

    fn introduction(&self) -> Introduction {
        let ledger = &self.parts.ledger;
        let Meta { boot_count, grants, layout, keys, .. } = ledger.view().meta();
        let (stream, boot) = (ledger.stream(), ledger.boot());
        Introduction { stream, boot, boot_count, grants, layout, keys, stamp: self.stamp() }
    }

    /// When something is due without an event.
    fn wakes_at(&self) -> Instant {
        let due = rules::deadline(self.parts.ledger.view(), &self.parts.policy);
        let due = due.map(|due| {
            let wait_ms = due.since_ms(self.stamp().at).min(SPACE_CHECK_MS);
            Instant::now() + std::time::Duration::from_millis(wait_ms.max(1))
        });
        due.map_or(self.space_due, |due| due.min(self.space_due))
    }

    fn tick(&mut self) -> Result<(), BankError> {
        self.observe(Observation::DeadlinePassed)?;
        if Instant::now() >= self.space_due {
            self.check_space()?;
            if let Err(error) = self.parts.ledger.snapshot_if_due() {
                warn!(%error, "snapshot not written");
            }
        }
        Ok(())
    }

    fn check_space(&mut self) -> Result<(), BankError> {
        self.space_due = Instant::now() + std::time::Duration::from_millis(SPACE_CHECK_MS);
        let ballast = self.parts.ledger.restore_ballast()?;
        let free_bytes = self.parts.ledger.space()?.free_bytes;
        let open = ballast && free_bytes >= self.parts.deposit_reserve_bytes;
        if open != self.deposits_open {
            warn!(open, free_bytes, "deposits opened or closed by the disk's room");
        }
        self.deposits_open = open;
        self.publish(|state| state.deposits_open = open);
        Ok(())
    }

    fn publish(&self, change: impl FnOnce(&mut PanelState)) {
        self.state.send_modify(|state| {
            change(state);
            state.revision += 1;
        });
    }

    fn moment(&self, fresh_session: SessionId) -> Moment<'_> {
        Moment {
            now: self.stamp().at,
            clock: self.clock.interval(self.monotonic_ms(Instant::now())),
            fresh_session,
            policy: &self.parts.policy,
            deposits_open: self.deposits_open,
        }
    }

    fn stamp(&self) -> Stamp {
        let monotonic_ms = self.monotonic_ms(Instant::now());
        let (at, quality) = self.clock.stamp(monotonic_ms, (self.parts.system_time)());
        Stamp { at, quality }
    }

    fn monotonic_ms(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.started);
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

const fn core_reading(reading: board::DoorReading) -> Option<DoorReading> {
    match reading {
        board::DoorReading::Open => Some(DoorReading::Open),
        board::DoorReading::Closed => Some(DoorReading::Closed),
        board::DoorReading::Unknown => None,
    }
}

fn core_outcome(outcome: board::PulseOutcome) -> PulseOutcome {
    match outcome {
        board::PulseOutcome::Opened { after_ms } => {
            PulseOutcome::Opened { after_ms: u32::try_from(after_ms).unwrap_or(u32::MAX) }
        }
        board::PulseOutcome::NotOpened => PulseOutcome::NotOpened,
        board::PulseOutcome::AlreadyOpen => PulseOutcome::AlreadyOpen,
        board::PulseOutcome::Unknown(_) => PulseOutcome::Unknown,
        board::PulseOutcome::NotSent(_) => PulseOutcome::NotSent,
    }
}

#[cfg(test)]
mod tests;
