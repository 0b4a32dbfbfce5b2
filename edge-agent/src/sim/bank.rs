//! The boards of a simulated bank as a state machine that is told the time.
//!
//! Times are counted from the start of the simulation.

use std::time::Duration;

use super::board::{Board, Pace, Reply};
use super::door::{Door, Place};
use super::faults::{LineFaults, Noise};
use super::occurrence::{Occurrence, What};
use super::profile::{Ask, Profile, Request};

/// How the simulated bank is built.
#[derive(Clone, Debug)]
pub struct SimConfig {
    /// Which boards it has.
    pub profile: Profile,
    /// Their addresses, 0 to 9.
    pub boards: Vec<u8>,
    /// Line rate in bits per second: each byte takes ten bits.
    pub baud: u32,
    /// From the end of a request to the start of its reply.
    pub turnaround: Duration,
    /// How long a lock is energised.
    pub pulse: Duration,
    /// When a door moves after its pulse; none: only a command moves doors.
    pub auto_open: Option<Duration>,
    /// When an open door closes again after its pulse; none: only a command closes it.
    pub auto_close: Option<Duration>,
    /// Switches of the other kind: 0 means locked.
    pub inverted: bool,
}

impl Default for SimConfig {
    fn default() -> Self {
        Self {
            profile: Profile::default(),
            boards: vec![0],
            baud: 19_200,
            turnaround: Duration::from_millis(2),
            pulse: Duration::from_millis(500),
            auto_open: Some(Duration::from_millis(80)),
            auto_close: None,
            inverted: false,
        }
    }
}

impl SimConfig {
    /// Time that `bytes` bytes take on the line.
    #[must_use]
    pub fn line_time(&self, bytes: u32) -> Duration {
        Duration::from_secs(10) * bytes / self.baud.max(1)
    }
}

/// All boards on one line, and what the line does to their replies.
#[derive(Debug)]
pub struct SimBank {
    pub(super) config: SimConfig,
    pub(super) boards: Vec<Board>,
    pub(super) line: LineFaults,
    /// Two locks at once make boards start again, which takes so long.
    pub(super) weak_supply: Option<Duration>,
    pub(super) held: Held,
    pulses: u64,
    energised_until: Duration,
    noise: Noise,
    occurrences: Vec<Occurrence>,
}

/// Replies that the line keeps back.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// Until the next request.
    pub(super) stale: Vec<Reply>,
    /// Until the next reply.
    pub(super) unmerged: Option<Vec<u8>>,
}

impl SimBank {
    /// A bank with all doors closed and nothing behind them.
    #[must_use]
    pub fn new(config: SimConfig) -> Self {
        let locks = config.profile.locks();
        Self {
            boards: config.boards.iter().map(|addr| Board::new(*addr, locks)).collect(),
            config,
            line: LineFaults::default(),
            weak_supply: None,
            held: Held::default(),
            pulses: 0,
            energised_until: Duration::ZERO,
            noise: Noise::default(),
            occurrences: Vec::new(),
        }
    }

    /// Acts on a request; gives the replies that it brings about.
    pub(super) fn receive(&mut self, request: Request, now: Duration) -> Vec<Reply> {
        self.advance(now);
        match request.ask {
            Ask::Status { code } => self.replies(request.to, code, now),
            Ask::Unlock { lock } => {
                self.unlock(request.to, lock, now);
                Vec::new()
            }
            Ask::Unknown => Vec::new(),
        }
    }

    /// Lets doors move whose time has come.
    pub fn advance(&mut self, now: Duration) {
        let mut moves = Vec::new();
        for board in &mut self.boards {
            for (lock, door) in (0_u8..).zip(&mut board.doors) {
                while let Some((at, what)) = door.advance(now) {
                    moves.push(Occurrence { at, board: board.addr, lock, what });
                }
            }
        }
        moves.sort_by_key(|occurrence| occurrence.at);
        self.occurrences.extend(moves);
    }

    /// What happened since this was last asked.
    pub fn take_occurrences(&mut self) -> Vec<Occurrence> {
        std::mem::take(&mut self.occurrences)
    }

    /// Pulses so far.
    #[must_use]
    pub fn pulses(&self) -> u64 {
        self.pulses
    }

    pub(super) fn door_mut(&mut self, place: Place) -> Option<&mut Door> {
        self.boards.get_mut(place.board)?.doors.get_mut(place.lock)
    }

    pub(super) fn note(&mut self, place: Place, what: What, at: Duration) {
        let Some(board) = self.boards.get(place.board) else { return };
        let lock = u8::try_from(place.lock).expect("boards have at most 48 locks");
        self.occurrences.push(Occurrence { at, board: board.addr, lock, what });
    }

    /// Every board of which a lock is energised starts again.
    pub(super) fn reboot_energised(&mut self, down_for: Duration, now: Duration) {
        for board in self.boards.iter_mut().filter(|board| board.is_energised(now)) {
            board.reboot(down_for, now);
        }
        self.energised_until = now;
    }

    fn unlock(&mut self, to: Option<u8>, lock: Option<u8>, now: Duration) {
        for board in 0..self.boards.len() {
            let locks = match lock {
                Some(lock) => usize::from(lock)..usize::from(lock) + 1,
                None => 0..self.boards[board].doors.len(),
            };
            for lock in locks {
                // Asked again for each: the one before may have been too much for the supply.
                if self.boards[board].hears(to, now).is_some() {
                    self.pulse(Place { board, lock }, now);
                }
            }
        }
    }

    fn pulse(&mut self, place: Place, now: Duration) {
        let config = self.config.clone();
        let Some(door) = self.door_mut(place) else { return };
        let lets_go = door.pulse(&config, now);
        let neighbour = door.faults.sympathetic.filter(|_| lets_go);
        self.pulses += 1;
        self.note(place, What::Pulse(self.pulses), now);
        if let Some(neighbour) = neighbour.and_then(|place| self.door_mut(place)) {
            neighbour.let_go(&config, now);
        }
        let overload = now < self.energised_until;
        self.energised_until = now + config.pulse;
        if overload {
            self.note(place, What::Overload, now);
            if let Some(down_for) = self.weak_supply {
                self.note(place, What::Reboot, now);
                self.reboot_energised(down_for, now);
            }
        }
    }

    fn replies(&mut self, to: Option<u8>, code: u8, now: Duration) -> Vec<Reply> {
        let mut replies: Vec<(u8, Reply)> = Vec::new();
        for board in &mut self.boards {
            let Some(addr) = board.hears(to, now) else { continue };
            let Some(reply) = board.status(addr, code, &self.config, &mut self.noise) else {
                continue;
            };
            let at_once = |(at, other): &&mut (u8, Reply)| *at == addr && other.late == reply.late;
            match replies.iter_mut().find(at_once) {
                Some((_, other)) => other.overlay(&reply),
                None => replies.push((addr, reply)),
            }
        }
        let mut replies = replies.into_iter().map(|(_, reply)| reply).collect();
        if self.line.stale {
            replies = std::mem::replace(&mut self.held.stale, replies);
        }
        replies.into_iter().filter_map(|reply| self.pace(reply)).collect()
    }

    fn pace(&mut self, mut reply: Reply) -> Option<Reply> {
        if self.line.merge {
            let Some(mut bytes) = self.held.unmerged.take() else {
                self.held.unmerged = Some(reply.bytes);
                return None;
            };
            bytes.append(&mut reply.bytes);
            return Some(Reply { bytes, pace: Pace::AtOnce, ..reply });
        }
        reply.pace = self.line.split.map_or(Pace::Line, Pace::Gap);
        Some(reply)
    }
}
