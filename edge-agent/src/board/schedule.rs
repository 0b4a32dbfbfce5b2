//! What a bus knows, and what it does next: no I/O, no clock, so that every rule can be tried.
//!
//! Order of work: an unlock that may go, else the poll that is due longest, else wait. The actor
//! feeds in what happened and takes events out of [`Schedule::outbox`].

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::config::{BoardConfig, BusTiming};
use super::counters::{BusCounters, ErrorKind, ErrorReports};
use super::event::{
    BoardLink, BoardPower, BusEvent, NotSentReason, PortLink, PulseOutcome, UnknownReason,
    UnlockRequest,
};
use super::line::{LineLost, Written};
use super::position::{BoardAddr, LockIndex};
use super::profile::{Frame, StatusBits};
use super::pulse::Watch;
use board::BoardState;

mod board;
mod health;

/// Turnaround granted to a board between an unlock frame, which it does not answer, and the next.
const AFTER_UNLOCK: Duration = Duration::from_millis(5);
/// Good readings of a board on this connection before it gets an unlock: two tell a change.
const READINGS_BEFORE_UNLOCK: u32 = 2;

/// A request that was taken, with its place in the bounded queue.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) request: UnlockRequest,
    /// Made when the request was taken, so that what cannot be expressed never waits.
    pub(super) frame: Frame,
    pub(super) queued_at: Instant,
    /// Freed when the request leaves the queue.
    pub(super) place: Option<OwnedSemaphorePermit>,
}

/// What to do next.
#[derive(Debug)]
pub(super) enum Step {
    /// Write this unlock frame.
    Unlock(Queued),
    /// Poll this board.
    Poll(usize),
    /// Nothing before this time, unless a request comes.
    Idle(Instant),
}

/// The state of one bus.
#[derive(Debug)]
pub(super) struct Schedule {
    timing: BusTiming,
    boards: Vec<BoardState>,
    queue: VecDeque<Queued>,
    watches: Vec<Watch>,
    connected: bool,
    port: Option<PortLink>,
    /// The supply rests until then.
    supply_free_at: Option<Instant>,
    /// The line carries or has just carried something until then.
    line_free_at: Instant,
    /// When the first pulse was written since a reply proved that what was sent has arrived.
    unproven_since: Option<Instant>,
    /// When any board last answered; at first when the port opened.
    heard_at: Instant,
    reports: ErrorReports,
    pub(super) counters: BusCounters,
    pub(super) outbox: VecDeque<BusEvent>,
}

impl Schedule {
    pub(super) fn new(boards: Vec<BoardConfig>, timing: BusTiming, now: Instant) -> Self {
        // The run before this one may have pulsed a moment ago.
        let rest = Duration::from_millis(timing.pulse_ms + timing.pulse_gap_ms);
        Self {
            boards: boards.into_iter().map(|board| BoardState::new(board, &timing, now)).collect(),
            timing,
            queue: VecDeque::new(),
            watches: Vec::new(),
            connected: false,
            port: None,
            supply_free_at: Some(now + rest),
            line_free_at: now,
            unproven_since: None,
            heard_at: now,
            reports: ErrorReports::default(),
            counters: BusCounters::default(),
            outbox: VecDeque::new(),
        }
    }

    /// Takes a request into the queue. Its lock is one of ours: the handle checked.
    pub(super) fn accept(&mut self, queued: Queued, now: Instant) {
        if let Some(board) =
            self.boards.iter_mut().find(|board| board.config.addr == queued.request.board)
            && !board.may_unlock(now, &self.timing)
        {
            board.due = board.due.min(now);
        }
        self.queue.push_back(queued);
    }

    /// Lets what has waited too long lapse. Call before `next_step`.
    pub(super) fn lapse(&mut self, now: Instant) {
        let mut waiting = VecDeque::with_capacity(self.queue.len());
        for queued in std::mem::take(&mut self.queue) {
            let request = &queued.request;
            let powerless = self.board(request.board).is_some_and(|board| board.power.missing());
            if powerless {
                self.settle(request.intent, PulseOutcome::NotSent(NotSentReason::NoPower));
            } else if now < self.lapses_at(request) {
                waiting.push_back(queued);
            } else {
                let reason = self.why_not_sent(request, now);
                self.settle(request.intent, PulseOutcome::NotSent(reason));
            }
        }
        self.queue = waiting;
        let timing = &self.timing;
        let (lapsed, watched) =
            self.watches.drain(..).partition(|watch| now >= watch.lapses(timing));
        self.watches = watched;
        self.settle_all(&lapsed, UnknownReason::NoReading);
        for board in &mut self.boards {
            if board.goes_offline(now, &self.timing) {
                let event = BusEvent::Board { board: board.config.addr, state: BoardLink::Offline };
                self.outbox.push_back(event);
            }
        }
    }

    /// What to do now, on an open port.
    pub(super) fn next_step(&mut self, now: Instant) -> Step {
        if now < self.line_free_at {
            return Step::Idle(self.line_free_at);
        }
        if let Some(place) =
            self.queue.iter().position(|queued| self.may_send(&queued.request, now))
            && let Some(queued) = self.queue.remove(place)
        {
            return Step::Unlock(queued);
        }
        let next = self.boards.iter().enumerate().min_by_key(|(_, board)| board.due);
        match next {
            Some((index, board)) if board.due <= now => Step::Poll(index),
            Some(_) | None => Step::Idle(self.idle_until(now)),
        }
    }

    /// The next time at which something changes by itself.
    pub(super) fn idle_until(&self, now: Instant) -> Instant {
        let lapses = self.queue.iter().map(|queued| self.lapses_at(&queued.request));
        let verdicts = self.watches.iter().map(|watch| watch.lapses(&self.timing));
        let offline = self.boards.iter().filter_map(|board| board.offline_at(&self.timing));
        let polls = self.boards.iter().filter(|_| self.connected).map(|board| board.due);
        let supply = self.supply_free_at.filter(|_| self.connected && !self.queue.is_empty());
        // With nothing of its own to wait for, the loop still turns once a second.
        let at_latest = now + Duration::from_secs(1);
        let all = lapses.chain(verdicts).chain(offline).chain(polls).chain(supply);
        all.filter(|at| *at > now).min().map_or(at_latest, |at| at.min(at_latest))
    }

    pub(super) fn poll_target(&self, index: usize) -> &BoardConfig {
        &self.boards[index].config
    }

    /// An unlock frame was handed to the line completely.
    pub(super) fn written(&mut self, queued: &Queued, written: &Written) {
        let request = &queued.request;
        let free_at = self.free_at(queued);
        let timing = self.timing.clone();
        self.counters.pulses += 1;
        let at = written.at;
        self.energised(&queued.frame, at);
        self.unproven_since.get_or_insert(at);
        let mut before = None;
        if let Some(board) = self.board_mut(request.board) {
            before = board.track(request.lock).and_then(|track| track.steady());
            board.watch_closely(request.lock, at, &timing);
        }
        self.watches.push(Watch::new(request.intent, request.board, request.lock, at, before));
        self.outbox.push_back(BusEvent::PulseWritten {
            intent: request.intent,
            queued_at: queued.queued_at,
            free_at,
            started: written.started,
            at,
        });
        for (kind, amount) in &written.errors {
            self.note(*kind, *amount);
        }
    }

    /// The port was lost while an unlock frame was being written: some of it may have gone out.
    pub(super) fn write_failed(&mut self, queued: &Queued, now: Instant) {
        self.energised(&queued.frame, now);
        self.settle(queued.request.intent, PulseOutcome::Unknown(UnknownReason::PortLost));
    }

    /// A poll that was begun at `asked` is over.
    pub(super) fn polled(
        &mut self,
        index: usize,
        bits: Option<StatusBits>,
        asked: Instant,
        now: Instant,
    ) {
        self.line_free_at = now;
        self.counters.polls += 1;
        match bits {
            Some(bits) => {
                self.counters.replies += 1;
                self.unproven_since = None;
                self.heard_at = now;
                self.take_reading(index, bits, asked, now);
            }
            None => self.take_miss(index, asked, now),
        }
    }

    pub(super) fn port_up(&mut self, now: Instant) {
        self.connected = true;
        self.line_free_at = now;
        self.unproven_since = None;
        self.heard_at = now;
        self.counters.ports_opened += 1;
        for board in &mut self.boards {
            board.begin_connection(now);
        }
        self.tell_port(PortLink::Up);
    }

    /// The port is gone, and already dropped.
    pub(super) fn port_down(&mut self, reason: String) {
        self.connected = false;
        self.tell_port(PortLink::Down { reason });
        for board in &mut self.boards {
            if board.link == Some(BoardLink::Online) {
                board.link = Some(BoardLink::Suspect);
                let event = BusEvent::Board { board: board.config.addr, state: BoardLink::Suspect };
                self.outbox.push_back(event);
            }
        }
        let watches = std::mem::take(&mut self.watches);
        self.settle_all(&watches, UnknownReason::PortLost);
    }

    /// No handle is left: what waits will not be sent; what is watched is watched to its end.
    pub(super) fn stop(&mut self) {
        for queued in std::mem::take(&mut self.queue) {
            self.settle(queued.request.intent, PulseOutcome::NotSent(NotSentReason::Stopping));
        }
    }

    /// Whether no outcome is owed.
    pub(super) fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.watches.is_empty()
    }

    /// Whether any board answered on this connection.
    pub(super) fn heard_anyone(&self) -> bool {
        self.boards.iter().any(|board| board.readings > 0)
    }

    /// Bytes that came while nothing was asked.
    pub(super) fn stray(&mut self, bytes: u64) {
        self.note(ErrorKind::Noise, bytes);
    }

    pub(super) fn note(&mut self, kind: ErrorKind, amount: u64) {
        self.counters.count(kind, amount);
        self.reports.note(kind, amount);
    }

    /// Error reports that are due; what could not be delivered goes back through `undelivered`.
    pub(super) fn due_reports(&mut self, now: Instant) -> Vec<BusEvent> {
        self.reports.take_due(now, Duration::from_millis(self.timing.error_report_interval_ms))
    }

    pub(super) fn undelivered(&mut self, event: &BusEvent) {
        self.counters.reports_dropped += 1;
        if let BusEvent::BusError { kind, count } = event {
            self.reports.note(*kind, *count);
        }
    }

    /// How long pulses have been unproven, and how long nobody was heard, if that is longer than a
    /// connection through a gateway may stand it.
    pub(super) fn why_abort(&self, now: Instant) -> Option<LineLost> {
        let proof = Duration::from_millis(self.timing.gateway_proof_ms);
        let silence = Duration::from_millis(self.timing.offline_after_ms);
        let unproven = self.unproven_since.map(|at| now.duration_since(at));
        let silent = now.duration_since(self.heard_at);
        match unproven {
            Some(unproven) if unproven >= proof => {
                Some(LineLost::PulseUnproven(unproven.as_millis()))
            }
            Some(_) | None => (silent >= silence).then_some(LineLost::Silent(silent.as_millis())),
        }
    }

    /// A person went on as if the door had opened at its last pulse.
    pub(super) fn confirmed(&mut self, board: BoardAddr, lock: LockIndex) {
        let doubt = self.board_mut(board).and_then(|board| board.witnessed(lock));
        self.outbox.extend(doubt);
    }

    fn take_reading(&mut self, index: usize, bits: StatusBits, asked: Instant, now: Instant) {
        let Some(board) = self.boards.get_mut(index) else { return };
        let addr = board.config.addr;
        let returned = board.answered(asked, now);
        self.counters.longest_reading_gap_ms =
            self.counters.longest_reading_gap_ms.max(board.longest_gap_ms());
        if let Some(gap_ms) = board.take_slow_poll(now, &self.timing) {
            self.outbox.push_back(BusEvent::SlowPoll { board: addr, gap_ms });
        }
        if returned {
            self.outbox.push_back(BusEvent::Board { board: addr, state: BoardLink::Online });
            // It may have been switched off and on by whoever mended it.
            self.tell_power(addr, |board| board.power.restored());
        }
        let Some(board) = self.boards.get_mut(index) else { return };
        let wide_change = board.changes_as_a_whole(bits);
        let reset = !wide_change && board.tells_of_reset(bits);
        if wide_change || reset {
            board.forget_readings();
        }
        board.read(bits, asked);
        // What a board says that has just been reset is no witness for a pulse.
        let settled = if reset { Vec::new() } else { self.judge(index, bits, asked, wide_change) };
        for (lock, outcome) in settled {
            let told = self.boards.get_mut(index).map(|board| board.settled(lock, outcome));
            self.outbox.extend(told.unwrap_or_default());
        }
        let timing = &self.timing;
        let Some(board) = self.boards.get_mut(index) else { return };
        self.outbox.extend(board.believe(asked, timing));
        if !reset {
            self.outbox.extend(board.see_objects(bits));
        }
        let looks = self.watches.iter().filter(|watch| watch.board == addr);
        let look_at = looks.map(|watch| watch.look_at(now, timing)).min();
        board.plan(asked, now, look_at, timing);
        if wide_change {
            self.note(ErrorKind::BoardWideChange, 1);
        }
        if reset {
            self.note(ErrorKind::SupplyDip, 1);
        }
    }

    /// Settles the pulses that a reading decides; says which locks had what outcome.
    fn judge(
        &mut self,
        index: usize,
        bits: StatusBits,
        asked: Instant,
        wide_change: bool,
    ) -> Vec<(LockIndex, PulseOutcome)> {
        let board = &self.boards[index];
        let addr = board.config.addr;
        let mut unresolved = Vec::new();
        let mut settled = Vec::new();
        for mut watch in std::mem::take(&mut self.watches) {
            let outcome = match board.hook(watch.lock, bits) {
                Some(_) if watch.board == addr && wide_change => {
                    Some(PulseOutcome::Unknown(UnknownReason::BoardWideChange))
                }
                Some(hook) if watch.board == addr => watch.read(hook, asked, &self.timing),
                Some(_) | None => None,
            };
            match outcome {
                Some(outcome) => {
                    self.outbox.push_back(BusEvent::Settled { intent: watch.intent, outcome });
                    settled.push((watch.lock, outcome));
                }
                None => unresolved.push(watch),
            }
        }
        self.watches = unresolved;
        settled
    }

    fn take_miss(&mut self, index: usize, asked: Instant, now: Instant) {
        let Some(board) = self.boards.get_mut(index) else { return };
        let addr = board.config.addr;
        let wanted = self.queue.iter().any(|queued| queued.request.board == addr)
            || self.watches.iter().any(|watch| watch.board == addr);
        let dips = board.dips(asked, now, &self.timing);
        if board.missed(now, wanted, &self.timing) {
            self.outbox.push_back(BusEvent::Board { board: addr, state: BoardLink::Suspect });
        }
        if dips {
            self.note(ErrorKind::SupplyDip, 1);
        }
    }

    fn tell_power(
        &mut self,
        addr: BoardAddr,
        change: impl FnOnce(&mut BoardState) -> Option<BoardPower>,
    ) {
        let state = self.board_mut(addr).and_then(change);
        let event = state.map(|state| BusEvent::BoardPower { board: addr, state });
        self.outbox.extend(event);
    }

    fn may_send(&self, request: &UnlockRequest, now: Instant) -> bool {
        let same_lock = |watch: &Watch| watch.board == request.board && watch.lock == request.lock;
        // The lapse is checked again: the owner may have been slow to take the events before.
        now < self.lapses_at(request)
            && self.supply_free_at.is_none_or(|free| now >= free)
            && self.board(request.board).is_some_and(|board| board.may_unlock(now, &self.timing))
            && !self.watches.iter().any(same_lock)
    }

    fn why_not_sent(&self, request: &UnlockRequest, now: Instant) -> NotSentReason {
        if !self.connected {
            NotSentReason::PortDown
        } else if self.board(request.board).is_some_and(|board| board.may_unlock(now, &self.timing))
        {
            NotSentReason::WaitedTooLong
        } else {
            NotSentReason::BoardSilent
        }
    }

    /// From when on nothing but the bus itself kept this request from the line.
    fn free_at(&self, queued: &Queued) -> Instant {
        let supply = self.supply_free_at.unwrap_or(queued.queued_at);
        queued.queued_at.max(self.line_free_at).max(supply)
    }

    fn energised(&mut self, frame: &Frame, written: Instant) {
        let left_line = written + self.timing.line_time(frame.bytes().len());
        self.line_free_at = left_line + AFTER_UNLOCK;
        let rest = Duration::from_millis(self.timing.pulse_ms + self.timing.pulse_gap_ms);
        self.supply_free_at = Some(left_line + rest);
    }

    fn lapses_at(&self, request: &UnlockRequest) -> Instant {
        request.issued_at + Duration::from_millis(self.timing.unlock_max_wait_ms)
    }

    fn board(&self, addr: BoardAddr) -> Option<&BoardState> {
        self.boards.iter().find(|board| board.config.addr == addr)
    }

    fn board_mut(&mut self, addr: BoardAddr) -> Option<&mut BoardState> {
        self.boards.iter_mut().find(|board| board.config.addr == addr)
    }

    /// Tells the state of the port, unless that is what was told last: a port that stays away for the
    /// same reason is one event.
    fn tell_port(&mut self, state: PortLink) {
        if self.port.as_ref() != Some(&state) {
            self.port = Some(state.clone());
            self.outbox.push_back(BusEvent::Port { state });
        }
    }

    fn settle(&mut self, intent: u64, outcome: PulseOutcome) {
        self.outbox.push_back(BusEvent::Settled { intent, outcome });
    }

    fn settle_all(&mut self, watches: &[Watch], reason: UnknownReason) {
        for watch in watches {
            self.settle(watch.intent, PulseOutcome::Unknown(reason));
        }
    }
}

#[cfg(test)]
mod tests;
