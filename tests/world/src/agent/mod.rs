//! One run of an agent: the order of its loop (decide, make durable, pulse, answer) over the real rules,
//! the real journal and the real fold. The loop itself is written again, because the agent's own waits
//! for sockets and threads, and its fold is kept in memory where the agent has sled.

mod hub;
mod link;
mod start;

pub use link::{Connection, Inbox};
pub(crate) use start::is_full;
pub use start::{Begun, begin_anew, journal_dir};

use std::collections::VecDeque;
use std::error::Error;
use std::mem;

use edge_agent::bank::is_for_staff;
use edge_agent::journal::{AppendError, Entry, write_snapshot_on};
use edge_agent::store::History;
use locker_core::bank::{self as rules, Command, Moment, Observation, Pulse, PulseOutcome, Step};
use locker_core::clock::{BankClock, ClockInterval, TimeQuality};
use locker_core::code::budget::Now;
use locker_core::fact::Fact;
use locker_core::ids::{BankId, BootId, CommandId, StreamId};
use locker_core::journal::{ChainHash, FOLD_VERSION, MemoryView, Overlay, Record, View};
use locker_core::journal::{fold, next_hash};
use locker_core::policy::SessionPolicy;
use locker_core::refusal::Refusal;
use locker_core::units::UnixMillis;
use locker_proto::entity::{Snapshot, encode_snapshot};
use locker_proto::record::encode_record;

use crate::cast;
use crate::disk::Disk;
use crate::watch::{Invariant, Watch};

/// Records after which the fold is exported again. The agent's own number would seldom be reached.
const SNAPSHOT_EVERY_RECORDS: u64 = 150;
/// No deposits below this much free space.
const DEPOSIT_RESERVE_BYTES: u64 = 4 * 1024;

/// The run has ended: killed, or by an error that is final.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Died(pub String);

impl Died {
    /// By what could not be done.
    fn of(what: &str) -> Self {
        Self(what.to_owned())
    }

    /// By an error, with all that brought it about.
    fn from_error(error: impl Error) -> Self {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        Self(text)
    }
}

/// Whether a step was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Made {
    Done,
    /// There was no room, and nothing happened.
    Full,
}

/// What an agent finds around itself.
pub struct Around<'a> {
    pub watch: &'a mut Watch,
    /// The true time.
    pub now_ms: u64,
    /// How far the system's clock is ahead of it.
    pub system_offset_ms: i64,
    /// What is kept of the highest signed time.
    pub floor: &'a mut UnixMillis,
    /// Sessions begun at this bank.
    pub sessions: &'a mut u32,
}

/// One run.
pub struct Agent {
    n: u8,
    bank: BankId,
    disk: Disk,
    history: History,
    pub view: MemoryView,
    stream: StreamId,
    boot: BootId,
    policy: SessionPolicy,
    clock: BankClock,
    started_ms: u64,
    /// Parts per million that its crystal runs too fast.
    drift_ppm: i64,
    deposits_open: bool,
    /// When the session last moved, by its record and by the clock that does not jump.
    session_moved: Option<(UnixMillis, u64)>,
    snapshot_seq: u64,
    /// The snapshot before that one, if this process wrote the newer: records are pruned up to it.
    covered_seq: u64,
    /// Pulses that a board has and that have no outcome yet.
    pub pulses: VecDeque<Pulse>,
    answered: VecDeque<CommandId>,
    pub connection: Option<Connection>,
    pub connections: u64,
    /// A decision of the hub was not taken: the connection is to begin anew.
    missed: bool,
    /// Where the hub's hash was not ours: the next birth says ours there.
    doubted: Option<u64>,
    /// The hub has said that the journal is not what it was told once, and has not linked since.
    not_as_told: bool,
    /// The next start has something to put in place.
    start_again: bool,
}

impl Agent {
    /// The journal's last record, and the chain's hash there.
    #[must_use]
    pub fn head(&self) -> (u64, ChainHash) {
        self.history.head()
    }

    /// The clock as it is known.
    #[must_use]
    pub fn clock(&self, now_ms: u64) -> ClockInterval {
        self.clock.interval(self.monotonic_ms(now_ms))
    }

    /// The moment of a try at the keypad.
    #[must_use]
    pub fn budget_moment(&self, now_ms: u64) -> Now {
        Now { clock: self.clock(now_ms), boot: self.boot, uptime_ms: self.monotonic_ms(now_ms) }
    }

    /// Does what a person asks for, or says why not.
    ///
    /// # Errors
    ///
    /// The run has ended; the person hears nothing.
    pub fn ask(
        &mut self,
        around: &mut Around<'_>,
        command: Command,
    ) -> Result<Result<(), Refusal>, Died> {
        *around.sessions += 1;
        if self.is_incomplete() && is_for_staff(&self.view, &command) {
            return Ok(Err(Refusal::LockedDown));
        }
        let at = self.moment(around);
        let step = match rules::command(&self.view, command, at) {
            Ok(step) => step,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let refusal = step.refusal;
        match self.carry_out(around, step)? {
            Made::Done => Ok(refusal.map_or(Ok(()), Err)),
            Made::Full => Ok(Err(Refusal::StorageUnsafe)),
        }
    }

    /// Whether the journal is not what the hub was told once.
    #[must_use]
    pub fn is_incomplete(&self) -> bool {
        self.not_as_told || self.start_again || self.history.is_restoring()
    }

    /// Whether the run is to end because the next start has something to put in place, and nobody is in the middle of
    /// anything.
    #[must_use]
    pub fn ends_itself(&self) -> bool {
        self.start_again && self.pulses.is_empty() && self.view.session().is_none()
    }

    /// Takes in what a board reports.
    ///
    /// # Errors
    ///
    /// The run has ended.
    pub fn observe(&mut self, around: &mut Around<'_>, seen: Observation) -> Result<(), Died> {
        *around.sessions += 1;
        let mut step = rules::observe(&self.view, seen, self.moment(around));
        let begins = step.facts.iter().position(|fact| matches!(fact, Fact::DepositStarted(_)));
        if self.carry_out(around, step.clone())? == Made::Done {
            return Ok(());
        }
        let Some(begins) = begins else { return Err(Died::of("no room for what happened")) };
        // What happened is recorded; the next compartment is not begun.
        step.facts.truncate(begins);
        step.pulse = None;
        match self.carry_out(around, step)? {
            Made::Done => Ok(()),
            Made::Full => Err(Died::of("no room for what happened")),
        }
    }

    /// A pulse has its outcome.
    ///
    /// # Errors
    ///
    /// The run has ended.
    pub fn settled(
        &mut self,
        around: &mut Around<'_>,
        pulse: Pulse,
        outcome: PulseOutcome,
    ) -> Result<(), Died> {
        let Pulse { intent, lock, .. } = pulse;
        self.observe(around, Observation::PulseSettled { intent, lock, outcome })
    }

    /// Wakes up: deadlines, lapses, room on the disk, a snapshot.
    ///
    /// # Errors
    ///
    /// The run has ended.
    pub fn tick(&mut self, around: &mut Around<'_>) -> Result<(), Died> {
        *around.sessions += 1;
        let now = self.session_time(around);
        let at = Moment { now, ..self.moment(around) };
        let step = rules::observe(&self.view, Observation::DeadlinePassed, at);
        if self.carry_out(around, step)? == Made::Full {
            return Err(Died::of("no room for a deadline"));
        }
        self.lapse(around)?;
        self.check_space()?;
        self.snapshot_if_due()
    }

    /// When the loop would wake up for somebody at the screen.
    #[must_use]
    pub fn due_in_ms(&self, around: &Around<'_>) -> Option<u64> {
        let due = rules::deadline(&self.view, &self.policy)?;
        Some(due.since_ms(self.session_time(around)))
    }

    /// Records what has lapsed; not while somebody is at the screen.
    fn lapse(&mut self, around: &mut Around<'_>) -> Result<(), Died> {
        if self.view.session().is_some() {
            return Ok(());
        }
        let step = rules::lapsed(&self.view, self.clock(around.now_ms));
        // With no room they lapse later.
        self.carry_out(around, step).map(drop)
    }

    /// Commits, then acts, then answers.
    fn carry_out(&mut self, around: &mut Around<'_>, step: Step) -> Result<Made, Died> {
        if step.facts.is_empty() {
            return Ok(Made::Done);
        }
        if self.commit_or_use_reserve(around, &step)? == Made::Full {
            return Ok(Made::Full);
        }
        if let Some(pulse) = step.pulse {
            self.effect()?;
            around.watch.pulse(pulse, &self.disk);
            self.pulses.push_back(pulse);
        }
        self.note_session(around.now_ms);
        // Next comes the answer.
        self.effect()?;
        Ok(Made::Done)
    }

    /// A full disk stops what can wait. Everything else may use the reserve.
    fn commit_or_use_reserve(
        &mut self,
        around: &mut Around<'_>,
        step: &Step,
    ) -> Result<Made, Died> {
        if self.commit(around, step)? == Made::Done {
            return Ok(Made::Done);
        }
        self.deposits_open = false;
        if can_wait(&step.facts)
            || !self.history.journal_mut().release_ballast().map_err(Died::from_error)?
        {
            return Ok(Made::Full);
        }
        self.commit(around, step)
    }

    /// Makes `facts` durable in this order, then folds them in.
    fn commit(&mut self, around: &mut Around<'_>, step: &Step) -> Result<Made, Died> {
        let (at, quality) = self.stamp(around);
        let (mut seq, mut hash) = self.head();
        let mut overlay = Overlay::new(&self.view);
        let mut folded = Vec::with_capacity(step.facts.len());
        let mut encoded = Vec::with_capacity(step.facts.len());
        for fact in &step.facts {
            seq += 1;
            let record = Record {
                stream: self.stream,
                seq,
                boot: self.boot,
                at,
                quality,
                previous: hash,
                trace: None,
                detached: None,
                fact: fact.clone(),
            };
            let changes = fold(&overlay, &record);
            if step.facts.len() > 1 {
                overlay.push(changes.clone());
            }
            let bytes = encode_record(&record);
            hash = next_hash(hash, &bytes);
            encoded.push(bytes);
            folded.push((changes, hash));
        }
        let entries: Vec<Entry<'_>> =
            encoded.iter().map(|record| Entry { record, detached: None }).collect();
        match self.history.journal_mut().append(&entries) {
            Ok(_) => {}
            Err(AppendError::OutOfSpace { .. }) => return Ok(Made::Full),
            Err(error @ (AppendError::Disk { .. } | AppendError::Failed)) => {
                return Err(Died::from_error(error));
            }
            Err(error) => {
                around.watch.breaks(Invariant::NoPanic, format!("append: {error}"));
                return Err(Died::from_error(error));
            }
        }
        let made = step.facts.iter().zip(folded).zip(&encoded);
        for ((fact, (changes, hash)), bytes) in made {
            around.watch.fact(fact, &self.view, at, (hash, bytes));
            self.view.apply(changes);
        }
        around.watch.state(&self.view);
        self.effect()?;
        Ok(Made::Done)
    }

    /// One effect outside of the disk; the run may end there.
    fn effect(&self) -> Result<(), Died> {
        if self.disk.spend() { Err(Died::of("killed")) } else { Ok(()) }
    }

    fn note_session(&mut self, now_ms: u64) {
        let moved_at = self.view.session().map(|session| session.moved_at);
        if moved_at != self.session_moved.map(|(at, _)| at) {
            self.session_moved = moved_at.map(|at| (at, self.monotonic_ms(now_ms)));
        }
    }

    fn check_space(&mut self) -> Result<(), Died> {
        let ballast = match self.history.journal_mut().restore_ballast() {
            Ok(ballast) => ballast,
            Err(edge_agent::journal::SpaceError::OutOfSpace { .. }) => false,
            Err(error) => return Err(Died::from_error(error)),
        };
        let free = self.history.journal().space().map_err(Died::from_error)?.free_bytes;
        self.deposits_open = ballast && free >= DEPOSIT_RESERVE_BYTES;
        Ok(())
    }

    fn snapshot_if_due(&mut self) -> Result<(), Died> {
        let (applied_seq, hash) = self.head();
        if applied_seq < self.snapshot_seq + SNAPSHOT_EVERY_RECORDS {
            return Ok(());
        }
        let (stream, changes) = (self.stream, self.view.export());
        let snapshot = Snapshot { fold_version: FOLD_VERSION, stream, applied_seq, changes };
        let bytes = encode_snapshot(&snapshot).map_err(Died::from_error)?;
        // The next tick tries again, if there is one.
        if write_snapshot_on(&self.disk, start::dir(), applied_seq, &hash.0, &bytes).is_ok() {
            self.covered_seq = mem::replace(&mut self.snapshot_seq, applied_seq);
        }
        self.effect()
    }

    fn moment(&self, around: &Around<'_>) -> Moment<'_> {
        Moment {
            now: self.stamp(around).0,
            clock: self.clock(around.now_ms),
            fresh_session: cast::session(self.n, *around.sessions),
            policy: &self.policy,
            deposits_open: self.deposits_open,
        }
    }

    fn stamp(&self, around: &Around<'_>) -> (UnixMillis, TimeQuality) {
        let system = UnixMillis(around.now_ms.saturating_add_signed(around.system_offset_ms));
        self.clock.stamp(self.monotonic_ms(around.now_ms), system)
    }

    /// The time as the session's deadlines count it: on from its last record, whatever anybody did to
    /// the clock since.
    fn session_time(&self, around: &Around<'_>) -> UnixMillis {
        let Some((at, since)) = self.session_moved else { return self.stamp(around).0 };
        at.plus_ms(self.monotonic_ms(around.now_ms).saturating_sub(since))
    }

    fn monotonic_ms(&self, now_ms: u64) -> u64 {
        let since_ms = now_ms.saturating_sub(self.started_ms);
        let drift = i64::try_from(since_ms / 1_000_000).unwrap_or(i64::MAX) * self.drift_ppm;
        since_ms.saturating_add_signed(drift)
    }
}

/// Whether nothing is lost if these facts are not recorded now: the agent's own list.
fn can_wait(facts: &[Fact]) -> bool {
    let any = |wanted: fn(&Fact) -> bool| facts.iter().any(wanted);
    let locks_down = any(|fact| matches!(fact, Fact::LockdownBegan(_)));
    any(|fact| matches!(fact, Fact::DepositStarted(_)))
        || any(hub::answers_decision)
        || any(|fact| matches!(fact, Fact::BookingLapsed(_) | Fact::KeepLapsed(_)))
        || (any(|fact| matches!(fact, Fact::CommandAnswered(_))) && !locks_down)
}
