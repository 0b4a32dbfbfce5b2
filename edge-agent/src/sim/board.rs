//! One board: its address, its doors, and how it answers.

use std::time::Duration;

use super::bank::SimConfig;
use super::door::Door;
use super::faults::{Noise, ReplyFaults};

/// Which address a board takes for its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Selector {
    /// The one that is set.
    #[default]
    Own,
    /// Another one: it was set wrong.
    WrongBoard(u8),
    /// Both: a contact of the selector is bad.
    Both(u8),
}

/// A reply on its way to the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    /// Beyond the usual turnaround.
    pub(super) late: Duration,
    pub(super) bytes: Vec<u8>,
    pub(super) pace: Pace,
}

/// How the bytes of a reply come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// One after another, as fast as the line goes.
    Line,
    /// Each by itself with so much time between.
    Gap(Duration),
    /// In one piece, when the line would have carried all.
    AtOnce,
}

/// A board. `addr` is how it is set and called, `selector` what it hears.
#[derive(Debug)]
pub(super) struct Board {
    pub(super) addr: u8,
    pub(super) doors: Vec<Door>,
    pub(super) faults: ReplyFaults,
    pub(super) selector: Selector,
    silent_until: Duration,
    /// It has started again and has not read its switches yet.
    blank: bool,
}

impl Board {
    pub(super) fn new(addr: u8, locks: u8) -> Self {
        Self {
            addr,
            doors: vec![Door::default(); usize::from(locks)],
            faults: ReplyFaults::default(),
            selector: Selector::default(),
            silent_until: Duration::ZERO,
            blank: false,
        }
    }

    /// The address under which it takes a request to `to` (none: every board) for its own.
    pub(super) fn hears(&self, to: Option<u8>, now: Duration) -> Option<u8> {
        if now < self.silent_until {
            return None;
        }
        let (first, second) = match self.selector {
            Selector::Own => (self.addr, self.addr),
            Selector::WrongBoard(addr) => (addr, addr),
            Selector::Both(addr) => (self.addr, addr),
        };
        let to = to.unwrap_or(first);
        (to == first || to == second).then_some(to)
    }

    /// Its status reply, unless that is lost.
    pub(super) fn status(
        &mut self,
        addr: u8,
        code: u8,
        config: &SimConfig,
        noise: &mut Noise,
    ) -> Option<Reply> {
        let blank = std::mem::take(&mut self.blank);
        if self.faults.lose_one() {
            return None;
        }
        let hook = |door: &Door| {
            let one_is_locked = !(config.inverted ^ door.faults.inverted);
            door.reads_open() != one_is_locked
        };
        let (hooks, infrared) = if blank {
            (0, 0)
        } else {
            (bits(&self.doors, hook), bits(&self.doors, Door::reads_item))
        };
        let good = config.profile.status_reply(addr, code, hooks, infrared);
        let bytes = self.faults.spoil(good, noise);
        Some(Reply { late: self.faults.late, bytes, pace: Pace::Line })
    }

    /// Starts again: energised locks are let go, and it hears nothing for a while.
    pub(super) fn reboot(&mut self, down_for: Duration, now: Duration) {
        self.doors.iter_mut().for_each(|door| door.cut_pulse(now));
        self.silent_until = now + down_for;
        self.blank = true;
    }

    /// It is there again at once, with its switches read.
    pub(super) fn end_reboot(&mut self) {
        (self.silent_until, self.blank) = (Duration::ZERO, false);
    }

    pub(super) fn is_energised(&self, now: Duration) -> bool {
        self.doors.iter().any(|door| door.is_energised(now))
    }
}

impl Reply {
    /// Two transmitters at once: the line is low wherever one of them pulls it low.
    pub(super) fn overlay(&mut self, other: &Self) {
        for (byte, other) in self.bytes.iter_mut().zip(&other.bytes) {
            *byte &= other;
        }
        let longer = other.bytes.get(self.bytes.len()..).unwrap_or_default();
        self.bytes.extend_from_slice(longer);
    }
}

fn bits(doors: &[Door], state: impl Fn(&Door) -> bool) -> u64 {
    doors.iter().rev().fold(0, |bits, door| bits << 1 | u64::from(state(door)))
}
