//! The bank's loop: one closed list of events, one owner of the ledger.
//!
//! Whatever happens arrives here as an [`Event`] and is handled to the end before the next: decide
//! in the core, make the facts durable, pulse the lock, answer. The loop waits for the disk, so it
//! runs on a thread of its own and never on the async runtime's.

mod ask;
mod calm;
mod doors;
mod durable;
mod floor;
mod hub;
mod keypad;
mod known_time;
mod levels;
mod power;
mod room;
mod starts;
mod state;
mod stream;
mod timing;

pub use ask::Ask;
pub use floor::{Floor, FloorError};
pub use known_time::KnownTime;
pub use starts::{LASTING_MS, STARTS_MAX, Starts};
pub use state::{
    PanelFinding, PanelKeypad, PanelLabel, PanelLockdown, PanelPhase, PanelQuarantine, PanelRecall,
    PanelRecallReason, PanelResult, PanelRole, PanelSession, PanelState, PanelTask,
};
pub use stream::is_for_staff;
pub use timing::PulseTiming;

use std::collections::HashMap;
use std::time::Duration;

use locker_core::bank::{self as rules, Moment, Observation, PowerSource, Step};
use locker_core::clock::BankClock;
use locker_core::code::tag::{FINGERPRINT_BYTES, TagKeys};
use locker_core::compartment::LockPosition;
use locker_core::credential::{KeySet, RootKey};
use locker_core::downlink::GrantPosition;
use locker_core::ids::{BankId, BootId, Generation, HubEpoch, IntentId, SessionId, StreamId};
use locker_core::journal::{Parent, View};
use locker_core::policy::SessionPolicy;
use locker_core::refusal::Refusal;
use locker_core::units::UnixMillis;
use locker_proto::message::{Command, Config, Grants, Restore};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};
use tracing::{debug, error, warn};

use crate::board::{Bus, BusEvent};
use crate::journal::{ReadError, SpaceError};
use crate::store::{CommitError, Ledger, Stamp};
use hub::Commands;
use levels::Levels;
use stream::Doubts;

/// Events that may wait for the loop. Producers wait when it is full; only the bus and the link
/// produce without a person behind it.
pub const EVENTS_WAITING_MAX: usize = 64;
/// How long a stop waits for pulses that have no outcome yet, in milliseconds: a little more than
/// the boards' own window and the time after it.
const STOP_WAIT_MS: u64 = 3_500;
/// How often the disk's room is looked at, in milliseconds.
const SPACE_CHECK_MS: u64 = 10_000;
/// How often it is looked for what has lapsed while nobody is at the screen, in milliseconds.
const LAPSE_CHECK_MS: u64 = 30_000;

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
    /// The hub sent a key set; its root's signature has been checked, and the root is named in it.
    KeySet(KeySet),
    /// The hub orders something now; the signature has been checked. `current`: it names the birth
    /// of the connection that it came by.
    Command { command: Command, current: bool },
    /// The hub gives records back, or has the bank begin a new stream; the signature has been checked, and that it names
    /// this connection's birth.
    Restore(Restore),
    /// A person at the screen wants to see what must leave.
    Recalls { reply: oneshot::Sender<Result<Vec<PanelRecall>, Refusal>> },
    /// The hub said what time it is, in answer to a nonce.
    Heard { signed: UnixMillis, asked_at: Instant, heard_at: Instant },
    /// The hub has everything up to `safe` in a backup.
    Safe { safe: u64 },
    /// The journal is damaged where the hub needs it.
    Damaged(ReadError),
    /// The link is about to introduce this bank to the hub.
    Introduce { reply: oneshot::Sender<Introduction> },
    /// The hub can be reached, or cannot.
    Linked(bool),
    /// What the machine runs on: now, and again whenever that changes.
    Power(PowerSource),
    /// The agent is to stop.
    Stop,
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
    pub mode: Generation,
    pub quota: Generation,
    pub courier_codes: Generation,
    pub config_epoch: HubEpoch,
    /// The fingerprint of the keys that six-digit codes are hashed with, if there are any.
    pub code_keys: Option<[u8; FINGERPRINT_BYTES]>,
    /// The stream that this one goes on from.
    pub parent: Option<Parent>,
    /// SHA-256 of the device key's SubjectPublicKeyInfo, as the stream says.
    pub device_key: Option<[u8; 32]>,
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
    Space(#[from] SpaceError),
    /// Nothing is wrong: the next start makes the journal what the hub knows of it.
    #[error("the journal is to be made whole at the next start")]
    StartAgain,
    /// The next start reads the journal through, and refuses.
    #[error("the journal is damaged where the hub needs it")]
    Damaged(#[source] ReadError),
}

/// What the loop is made of.
pub struct Parts {
    pub bank: BankId,
    pub ledger: Ledger,
    /// The bus behind each board address.
    pub buses: HashMap<u8, Bus>,
    pub policy: SessionPolicy,
    /// The roots whose key sets count.
    pub roots: Vec<RootKey>,
    pub floor: Floor,
    /// Random ids for sessions.
    pub fresh_session: Box<dyn FnMut() -> SessionId + Send>,
    /// The operating system's time.
    pub system_time: Box<dyn Fn() -> UnixMillis + Send>,
    /// No deposits below this much free space, in bytes.
    pub deposit_reserve_bytes: u64,
    /// What the tags of this bank's six-digit codes are made with; without them the keypad opens
    /// nothing.
    pub tag_keys: Option<TagKeys>,
    /// Where each pulse's timing goes, if anybody wants it; dropped when full.
    pub timings: Option<mpsc::Sender<PulseTiming>>,
}

/// What others may watch.
#[derive(Clone, Debug)]
pub struct Watches {
    pub state: watch::Receiver<PanelState>,
    /// The journal's last seq.
    pub head: watch::Receiver<u64>,
    /// Decisions of the hub that were not taken, counted: the hub sends them again after a birth.
    pub missed: watch::Receiver<u64>,
    /// What the bank takes the time for.
    pub time: watch::Receiver<KnownTime>,
}

/// The loop and all it owns.
pub struct Bank {
    parts: Parts,
    clock: BankClock,
    started: Instant,
    state: watch::Sender<PanelState>,
    head: watch::Sender<u64>,
    missed: watch::Sender<u64>,
    time: watch::Sender<KnownTime>,
    /// No door is opened before, if the agent has started again and again.
    calm_until: Option<Instant>,
    /// What the machine runs on, as was said last.
    power: Option<PowerSource>,
    pulses: HashMap<IntentId, PulseUnderWay>,
    deposits_open: bool,
    space_due: Instant,
    lapse_due: Instant,
    commands: Commands,
    levels: Levels,
    /// When the session last moved, by its record and by the clock that does not jump.
    session_moved: Option<(UnixMillis, Instant)>,
    /// The latest pulse whose sensor did not change.
    unmoved: Option<(IntentId, LockPosition)>,
    /// Since when records wait for a seal.
    unsealed_since: Option<Instant>,
    /// What is known to be wrong with the journal.
    doubts: Doubts,
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
        let missed = watch::Sender::new(0);
        let time = watch::Sender::new(KnownTime::not_before(parts.floor.get()));
        let watches = Watches {
            state: state.subscribe(),
            head: head.subscribe(),
            missed: missed.subscribe(),
            time: time.subscribe(),
        };
        let now = Instant::now();
        let mut bank = Self {
            clock: BankClock::new(parts.floor.get()),
            started: now,
            state,
            head,
            missed,
            time,
            calm_until: None,
            power: None,
            pulses: HashMap::new(),
            deposits_open: true,
            space_due: now,
            lapse_due: now,
            commands: Commands::default(),
            levels: Levels::default(),
            session_moved: None,
            unmoved: None,
            unsealed_since: None,
            doubts: Doubts::default(),
            parts,
        };
        bank.check_space()?;
        let step = rules::recover(bank.parts.ledger.view());
        bank.carry_out(step, None)?;
        bank.lapse()?;
        bank.look_at_keypad();
        bank.look_at_restore();
        bank.look_at_key_set();
        bank.note_unsealed();
        Ok((bank, watches))
    }

    /// Runs until told to stop or until all senders of `events` are gone. A stop waits a moment for
    /// the outcome of a pulse that is out.
    ///
    /// # Errors
    ///
    /// Only what leaves the bank's truth in doubt; a board or a hub that does not answer is none.
    pub async fn run(mut self, mut events: mpsc::Receiver<Event>) -> Result<(), BankError> {
        let mut stops_at: Option<Instant> = None;
        loop {
            let wakes_at = self.wakes_at();
            let event = tokio::select! {
                event = events.recv() => event,
                () = sleep_until(stops_at.map_or(wakes_at, |at| at.min(wakes_at))) => {
                    self.tick()?;
                    self.end_if_due()?;
                    if stops_at.is_some_and(|at| Instant::now() >= at) {
                        return Ok(());
                    }
                    continue;
                }
            };
            match event {
                None => return Ok(()),
                Some(Event::Stop) => {
                    stops_at = Some(Instant::now() + Duration::from_millis(STOP_WAIT_MS));
                }
                // Whoever asked is told that the agent stops, by the answer that never comes.
                Some(Event::Ask { .. }) if stops_at.is_some() => {}
                Some(event) => self.handle(event)?,
            }
            self.end_if_due()?;
            if stops_at.is_some() && self.pulses.is_empty() {
                return Ok(());
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
            Event::KeySet(keys) => self.key_set(&keys)?,
            Event::Command { command, current } => self.order(&command, current)?,
            Event::Restore(restore) => self.restore(&restore),
            Event::Recalls { reply } => {
                let _ = reply.send(self.recalls()?);
            }
            Event::Heard { signed, asked_at, heard_at } => {
                self.heard(signed, asked_at, heard_at)?
            }
            Event::Safe { safe } => self.safe(safe),
            Event::Damaged(damage) => self.damaged(damage),
            Event::Introduce { reply } => {
                self.seal_at_connect()?;
                let _ = reply.send(self.introduction());
            }
            Event::Power(source) => {
                self.power = Some(source);
                self.look_at_power()?;
            }
            Event::Linked(linked) => self.linked(linked),
            Event::Stop => {}
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
        let moved_at = self.parts.ledger.view().session().map(|session| session.moved_at);
        if moved_at != self.session_moved.map(|(at, _)| at) {
            self.session_moved = moved_at.map(|at| (at, Instant::now()));
        }
        self.head.send_replace(self.parts.ledger.head().0);
        self.note_unsealed();
        let view = self.parts.ledger.view();
        self.state.send_modify(|state| state.follow(view, &step.facts));
        if step.facts.iter().any(keypad::changes_keypad) {
            self.look_at_keypad();
        }
        Ok(())
    }

    /// A full disk stops what can wait. Everything else may use the reserve.
    fn commit(&mut self, step: &Step, stamp: Stamp) -> Result<(), CommitError> {
        let trace = step.trace.as_ref();
        let error = match self.parts.ledger.commit(&step.facts, trace, stamp) {
            Err(error @ CommitError::OutOfSpace { .. }) => error,
            done => return done,
        };
        self.open_deposits(false);
        if room::can_wait(&step.facts) {
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

    /// When something is due without an event.
    fn wakes_at(&self) -> Instant {
        let due = rules::deadline(self.parts.ledger.view(), &self.parts.policy);
        let due = due.map(|due| {
            let wait_ms = due.since_ms(self.session_time()).clamp(1, SPACE_CHECK_MS);
            Instant::now() + Duration::from_millis(wait_ms)
        });
        let idle = self.parts.ledger.view().session().is_none();
        let lapse = idle.then_some(self.lapse_due);
        let keypad = self.state.borrow().keypad_until;
        [due, lapse, keypad, self.calm_until, self.seal_due()]
            .into_iter()
            .flatten()
            .fold(self.space_due, Instant::min)
    }

    /// The time as the session's deadlines count it: on from its last record, whatever the hub or
    /// the operating system did to the clock since.
    fn session_time(&self) -> UnixMillis {
        let Some((at, since)) = self.session_moved else { return self.stamp().at };
        at.plus_ms(u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    fn tick(&mut self) -> Result<(), BankError> {
        let fresh_session = (self.parts.fresh_session)();
        let at = Moment { now: self.session_time(), ..self.moment(fresh_session) };
        let step = rules::observe(self.parts.ledger.view(), Observation::DeadlinePassed, at);
        self.carry_out(step, None)?;
        if Instant::now() >= self.lapse_due {
            self.lapse()?;
        }
        self.look_at_keypad();
        self.look_at_calm();
        self.seal_if_due()?;
        if Instant::now() >= self.space_due {
            self.check_space()?;
            self.look_at_power()?;
            if let Err(error) = self.parts.ledger.snapshot_if_due() {
                warn!(%error, "snapshot not written");
            }
        }
        Ok(())
    }

    /// Records what has lapsed; not while somebody is at the screen, who shall not wait for it.
    fn lapse(&mut self) -> Result<(), BankError> {
        if self.parts.ledger.view().session().is_some() {
            return Ok(());
        }
        self.lapse_due = Instant::now() + Duration::from_millis(LAPSE_CHECK_MS);
        let clock = self.clock.interval(self.monotonic_ms(Instant::now()));
        let step = rules::lapsed(self.parts.ledger.view(), clock);
        self.parts.ledger.check_reads()?;
        if !step.facts.is_empty() {
            // One step holds only so many.
            self.lapse_due = Instant::now();
        }
        match self.carry_out(step, None) {
            Err(error @ CommitError::OutOfSpace { .. }) => {
                warn!(%error, "lapses not recorded");
                self.lapse_due = Instant::now() + Duration::from_millis(LAPSE_CHECK_MS);
                Ok(())
            }
            done => Ok(done?),
        }
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

#[cfg(test)]
mod tests;
