//! One door: its lock, its hook switch, what is behind it, and what is broken about them.

use std::time::Duration;

use super::bank::SimConfig;
use super::occurrence::What;

/// A place in the bank: position of the board, then of the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) board: usize,
    pub(super) lock: usize,
}

/// What is broken about a door.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct DoorFaults {
    /// A pulse does not open it.
    pub(super) jammed: bool,
    /// It opens a crack only and falls shut after so long.
    pub(super) crack: Option<Duration>,
    /// It opens so long after its pulse.
    pub(super) slow: Option<Duration>,
    /// Its hook switch reads open, whatever the door does, or closed.
    pub(super) hook_stuck_open: Option<bool>,
    /// Its infrared sensor sees something, whatever is there, or nothing.
    pub(super) infrared_stuck: Option<bool>,
    /// Its hook switch is of the other kind than those of the bank.
    pub(super) inverted: bool,
    /// A pulse shakes this one open, too.
    pub(super) sympathetic: Option<Place>,
}

/// A door.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Door {
    pub(super) open: bool,
    pub(super) item: bool,
    pub(super) faults: DoorFaults,
    /// Who comes when it opens next puts something in, or empties it.
    pub(super) visitor_puts: Option<bool>,
    /// It opens then with no pulse.
    pub(super) pops_at: Option<Duration>,
    energised_until: Duration,
    opens_at: Option<Duration>,
    closes_at: Option<Duration>,
    reaches_in_at: Option<Duration>,
}

impl Door {
    /// Energises the lock; true if its latch lets go.
    pub(super) fn pulse(&mut self, config: &SimConfig, now: Duration) -> bool {
        self.energised_until = now + config.pulse;
        self.let_go(config, now)
    }

    /// The latch lets go, unless the door is open or jammed.
    pub(super) fn let_go(&mut self, config: &SimConfig, now: Duration) -> bool {
        if self.open || self.faults.jammed {
            return false;
        }
        let open_for = self.faults.crack.or(config.auto_close);
        self.opens_at = self.faults.slow.or(config.auto_open).map(|wait| now + wait);
        self.closes_at = self.opens_at.zip(open_for).map(|(opens, wait)| opens + wait);
        true
    }

    pub(super) fn is_energised(&self, now: Duration) -> bool {
        now < self.energised_until
    }

    /// The supply is gone: a latch that has not let go stays.
    pub(super) fn cut_pulse(&mut self, now: Duration) {
        if self.is_energised(now) {
            self.energised_until = now;
            (self.opens_at, self.closes_at) = (None, None);
        }
    }

    /// Moves by itself if it is time; says when and how. To be called until it says nothing.
    pub(super) fn advance(&mut self, now: Duration) -> Option<(Duration, What)> {
        loop {
            if let Some(reached) = self.reach_in() {
                return Some(reached);
            }
            let slots = [
                (&mut self.pops_at, true),
                (&mut self.opens_at, true),
                (&mut self.closes_at, false),
            ];
            let due = slots.into_iter().filter(|(at, _)| at.is_some_and(|at| at <= now));
            let (slot, open) = due.min_by_key(|(at, open)| (**at, !*open))?;
            let at = slot.take()?;
            if let Some(what) = self.set(open, at) {
                return Some((at, what));
            }
        }
    }

    /// A hand moves it; says how, if it moved.
    pub(super) fn move_by_hand(&mut self, open: bool, now: Duration) -> Option<What> {
        (self.opens_at, self.closes_at) = (None, None);
        self.set(open, now)
    }

    /// What the hook switch says of the door.
    pub(super) fn reads_open(&self) -> bool {
        self.faults.hook_stuck_open.unwrap_or(self.open)
    }

    /// What the infrared sensor says of the compartment.
    pub(super) fn reads_item(&self) -> bool {
        self.faults.infrared_stuck.unwrap_or(self.item)
    }

    /// The visitor does what he came for, before the door can fall shut again.
    fn reach_in(&mut self) -> Option<(Duration, What)> {
        let at = self.reaches_in_at.take()?;
        let puts = self.visitor_puts.take()?;
        let changed = self.item != puts;
        self.item = puts;
        changed.then_some((at, if puts { What::Put } else { What::Taken }))
    }

    fn set(&mut self, open: bool, at: Duration) -> Option<What> {
        let moved = self.open != open;
        self.open = open;
        if moved && open {
            self.reaches_in_at = Some(at);
        }
        moved.then_some(if open { What::Opened } else { What::Closed })
    }
}
