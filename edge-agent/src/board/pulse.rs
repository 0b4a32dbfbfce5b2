//! What became of a pulse, told by the readings after it.
//!
//! Kerong boards do not answer an unlock, so the hook switch is the only witness; and it is a
//! witness for this pulse only if the door moved inside the pulse's own window.

use std::time::Duration;

use tokio::time::Instant;

use super::config::BusTiming;
use super::door::Hook;
use super::event::{PulseOutcome, UnknownReason};
use super::position::{BoardAddr, LockIndex};

/// A pulse that was written and is being watched.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watch {
    pub(super) intent: u64,
    pub(super) board: BoardAddr,
    pub(super) lock: LockIndex,
    pub(super) written: Instant,
    /// What the door read before the pulse, if two readings agreed.
    pub(super) before: Option<Hook>,
    open: Option<OpenRun>,
    closed_after_window: u32,
}

/// Open readings in a row.
#[derive(Clone, Copy, Debug)]
struct OpenRun {
    first: Instant,
}

impl Watch {
    pub(super) fn new(
        intent: u64,
        board: BoardAddr,
        lock: LockIndex,
        written: Instant,
        before: Option<Hook>,
    ) -> Self {
        Self { intent, board, lock, written, before, open: None, closed_after_window: 0 }
    }

    /// Takes a reading of the door, asked for at `asked`.
    pub(super) fn read(
        &mut self,
        hook: Hook,
        asked: Instant,
        timing: &BusTiming,
    ) -> Option<PulseOutcome> {
        match (hook, self.open) {
            (Hook::Closed, _) => {
                self.open = None;
                self.closed_after_window += u32::from(asked > self.window_end(timing));
                (self.closed_after_window >= 2).then_some(PulseOutcome::NotOpened)
            }
            (Hook::Open, None) => {
                self.closed_after_window = 0;
                self.open = Some(OpenRun { first: asked });
                None
            }
            (Hook::Open, Some(run)) => Some(self.opened(run.first, timing)),
        }
    }

    /// When the outcome is Unknown for want of readings.
    pub(super) fn lapses(&self, timing: &BusTiming) -> Instant {
        self.window_end(timing) + Duration::from_millis(timing.verdict_limit_ms)
    }

    /// When to look next.
    pub(super) fn look_at(&self, now: Instant, timing: &BusTiming) -> Instant {
        let first = self.written + Duration::from_millis(timing.first_confirm_ms);
        if now < first {
            return first;
        }
        let wait_ms = if now > self.window_end(timing) {
            timing.recheck_ms
        } else {
            timing.confirm_interval_ms
        };
        now + Duration::from_millis(wait_ms)
    }

    fn opened(&self, first: Instant, timing: &BusTiming) -> PulseOutcome {
        if first > self.window_end(timing) {
            return PulseOutcome::Unknown(UnknownReason::OpenedLate);
        }
        match self.before {
            Some(Hook::Closed) => {
                let after = first.duration_since(self.written).as_millis();
                PulseOutcome::Opened { after_ms: u64::try_from(after).unwrap_or(u64::MAX) }
            }
            Some(Hook::Open) => PulseOutcome::AlreadyOpen,
            None => PulseOutcome::Unknown(UnknownReason::NoReadingBefore),
        }
    }

    fn window_end(&self, timing: &BusTiming) -> Instant {
        self.written + Duration::from_millis(timing.confirm_window_ms)
    }
}

#[cfg(test)]
mod tests;
