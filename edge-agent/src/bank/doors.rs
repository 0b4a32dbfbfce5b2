//! The bank's loop and the lock boards: what they report becomes observations, and pulses go out.

use locker_core::bank::{self as rules, Observation, Pulse, PulseOutcome};
use locker_core::compartment::{DoorReading, LockPosition};
use locker_core::fact::Fact;
use locker_core::ids::IntentId;
use locker_core::journal::View;
use locker_core::session::Session;
use tokio::time::Instant;
use tracing::{info, warn};

use super::{Bank, BankError, PulseTiming, PulseUnderWay};
use crate::board::{self, BoardLink, BoardPower, BusEvent, UnlockRequest};
use crate::store::CommitError;

impl Bank {
    pub(super) fn bus(&mut self, event: BusEvent) -> Result<(), BankError> {
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
                if matches!(outcome, PulseOutcome::NotOpened | PulseOutcome::AlreadyOpen) {
                    self.unmoved = Some((intent, pulse.lock));
                }
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
            // What the board says of itself; nothing follows from it for a compartment yet.
            BusEvent::Objects { board, holding } => {
                info!(board = board.get(), locks = holding.len(), "infrared sensors changed");
                return Ok(());
            }
            BusEvent::BoardPower { board, state: BoardPower::Missing } => {
                warn!(board = board.get(), "locks without power");
                Observation::BoardPower { board: board.get() }
            }
            // Staff put the board back into service; that it has power again is for them to know.
            BusEvent::BoardPower { board, state: BoardPower::Back } => {
                info!(board = board.get(), "locks have power again");
                return Ok(());
            }
            BusEvent::SensorDoubt { board, lock } => {
                warn!(board = board.get(), lock = lock.get(), "sensor in doubt");
                Observation::SensorDoubt { lock: lock_at(board, lock) }
            }
            BusEvent::SlowPoll { board, gap_ms } => {
                warn!(board = board.get(), gap_ms, "board read too seldom");
                return Ok(());
            }
            BusEvent::BusError { kind, count } => {
                warn!(?kind, count, "bus error");
                return Ok(());
            }
        };
        self.levels.note(&observation);
        self.observe(observation)
    }

    pub(super) fn observe(&mut self, observation: Observation) -> Result<(), BankError> {
        let fresh_session = (self.parts.fresh_session)();
        let at = self.moment(fresh_session);
        let mut step = rules::observe(self.parts.ledger.view(), observation, at);
        let Some(begins) = step.facts.iter().position(begins_deposit) else {
            return Ok(self.carry_out(step, None)?);
        };
        match self.carry_out(step.clone(), None) {
            Err(CommitError::OutOfSpace { .. }) => {
                // What happened is recorded; the next compartment is not begun.
                step.facts.truncate(begins);
                step.pulse = None;
                Ok(self.carry_out(step, None)?)
            }
            done => Ok(done?),
        }
    }

    pub(super) fn pulse(
        &mut self,
        pulse: Pulse,
        timing: Option<PulseTiming>,
    ) -> Result<(), CommitError> {
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

    /// Whoever is at the screen says that the door opened. If its sensor did not change at the
    /// opening's latest pulse, the bus weighs which of the two is right.
    pub(super) fn note_confirmed_opening(&self) {
        let Some((intent, LockPosition { board, lock })) = self.unmoved else { return };
        let session = self.parts.ledger.view().session();
        let opening = session.as_ref().and_then(Session::opening);
        if opening.is_none_or(|opening| opening.intent != intent) {
            return;
        }
        let Some(bus) = self.parts.buses.get(&board) else { return };
        if let (Ok(board), Ok(lock)) = (board.try_into(), lock.try_into()) {
            bus.note_confirmed_opening(board, lock);
        }
    }

    fn unlock(&self, intent: IntentId, lock: LockPosition) -> Result<(), &'static str> {
        if self.is_calming() {
            // Nobody at the screen gets this far; whoever else wants a door does not either.
            return Err("just started");
        }
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
}

/// Whether `fact` is the first of another compartment's opening.
pub(super) const fn begins_deposit(fact: &Fact) -> bool {
    matches!(fact, Fact::DepositStarted(_))
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
