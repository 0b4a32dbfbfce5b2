//! Which reading of a hook switch to believe.
//!
//! A reply is protected by an eight-bit sum only, and contacts bounce: so one reading is no event.

use std::time::Duration;

use tokio::time::Instant;

use super::config::Polarity;
use super::event::DoorReading;

/// What one reply says about one hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hook {
    /// The door can be pulled open, or is.
    Open,
    /// The hook holds the door.
    Closed,
}

impl Hook {
    pub(super) fn from_bit(bit: bool, polarity: Polarity) -> Self {
        let locked = match polarity {
            Polarity::OneIsLocked => bit,
            Polarity::ZeroIsLocked => !bit,
        };
        if locked { Self::Closed } else { Self::Open }
    }
}

impl From<Hook> for DoorReading {
    fn from(hook: Hook) -> Self {
        match hook {
            Hook::Open => Self::Open,
            Hook::Closed => Self::Closed,
        }
    }
}

/// The readings of one door since the port opened or its board came back.
#[derive(Debug, Default)]
pub(super) struct DoorTrack {
    believed: Option<Hook>,
    run: Option<Run>,
}

/// Equal readings in a row.
#[derive(Clone, Copy, Debug)]
struct Run {
    hook: Hook,
    since: Instant,
    readings: u32,
}

impl DoorTrack {
    /// Takes a reading asked for at `at`.
    pub(super) fn read(&mut self, hook: Hook, at: Instant) {
        self.run = match self.run {
            Some(run) if run.hook == hook => {
                Some(Run { readings: run.readings.saturating_add(1), ..run })
            }
            Some(_) | None => Some(Run { hook, since: at, readings: 1 }),
        };
    }

    /// The last two readings, if they agree.
    pub(super) fn steady(&self) -> Option<Hook> {
        self.run.filter(|run| run.readings >= 2).map(|run| run.hook)
    }

    /// The change to report after a reading, with the time it was first seen.
    pub(super) fn edge(
        &mut self,
        at: Instant,
        closed_stable: Duration,
    ) -> Option<(DoorReading, Instant)> {
        let run = self.run.filter(|run| run.readings >= 2 && self.believed != Some(run.hook))?;
        if run.hook == Hook::Closed && at.duration_since(run.since) < closed_stable {
            return None;
        }
        self.believed = Some(run.hook);
        Some((run.hook.into(), run.since))
    }

    /// Believes the steady reading without an event.
    pub(super) fn adopt(&mut self) -> DoorReading {
        self.believed = self.steady();
        self.believed.map_or(DoorReading::Unknown, DoorReading::from)
    }

    /// Whether `hook` contradicts what is believed.
    pub(super) fn contradicts(&self, hook: Hook) -> bool {
        self.believed.is_some_and(|believed| believed != hook)
    }

    /// When to look again because a change is under way.
    pub(super) fn recheck_at(
        &self,
        now: Instant,
        recheck: Duration,
        closed_stable: Duration,
    ) -> Option<Instant> {
        let run = self.run.filter(|run| self.believed != Some(run.hook))?;
        if run.readings < 2 {
            return Some(now + recheck);
        }
        Some((run.since + closed_stable).max(now + recheck))
    }
}

#[cfg(test)]
mod tests;
