//! How fast doors may be opened, whatever anybody at the screen or at the hub asks for.
//!
//! A stolen badge or a taken-over hub can then open a few doors, not all: beyond the limits openings
//! are refused, an alarm is raised, and the third time within an hour the bank locks itself down.
//! It counts intents in the journal, so that a restart does not give a fresh allowance.

use crate::bank::OpenerKind;
use crate::units::UnixMillis;

const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;
/// Trips within [`TRIPS_WITHIN_MS`] that lock the bank down.
pub const TRIPS_MAX: usize = 3;
/// How long a trip counts, in milliseconds.
pub const TRIPS_WITHIN_MS: u64 = HOUR_MS;
/// Refusals this soon after a trip belong to it, in milliseconds: one impatient person who presses
/// again and again is one trip.
pub const ONE_TRIP_MS: u64 = MINUTE_MS;

/// Openings allowed within a span of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    pub openings: u16,
    pub within_ms: u64,
}

/// The limits of a bank, per kind of opener. All limits of a kind hold at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GovernorLimits {
    pub courier: [Limit; 1],
    pub recipient: [Limit; 2],
    pub staff: [Limit; 1],
    pub remote: [Limit; 1],
}

impl Default for GovernorLimits {
    fn default() -> Self {
        Self {
            courier: [Limit { openings: 12, within_ms: MINUTE_MS }],
            recipient: [
                Limit { openings: 10, within_ms: MINUTE_MS },
                Limit { openings: 60, within_ms: HOUR_MS },
            ],
            // Emptying a bank by hand is slow work, too.
            staff: [Limit { openings: 20, within_ms: MINUTE_MS }],
            remote: [Limit { openings: 2, within_ms: HOUR_MS }],
        }
    }
}

impl GovernorLimits {
    const fn of(&self, kind: OpenerKind) -> &[Limit] {
        match kind {
            OpenerKind::Courier => &self.courier,
            OpenerKind::Recipient => &self.recipient,
            OpenerKind::Staff => &self.staff,
            OpenerKind::Remote => &self.remote,
        }
    }
}

/// What is remembered: the latest openings of each kind, oldest first, and the latest trips.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Governor {
    pub courier: Vec<UnixMillis>,
    pub recipient: Vec<UnixMillis>,
    pub staff: Vec<UnixMillis>,
    pub remote: Vec<UnixMillis>,
    pub trips: Vec<UnixMillis>,
}

/// Most openings remembered of a kind; no limit may be higher.
pub const REMEMBERED_MAX: usize = 64;

/// What the governor says to an opening.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may go on.
    Allowed,
    /// Not now. This is part of a trip that was recorded already.
    Refused,
    /// Not now, and this is a new trip.
    Tripped { lock_down: bool },
}

impl Governor {
    /// Whether another opening of `kind` is allowed at `now`.
    ///
    /// After a clock was set back, openings look as if they were to come: within their span they
    /// count, beyond it they are forgotten, so that a wrong clock cannot shut a bank for years.
    #[must_use]
    pub fn judge(&self, limits: &GovernorLimits, kind: OpenerKind, now: UnixMillis) -> Verdict {
        let openings = self.openings(kind);
        let within = |limit: &Limit| {
            let recent = openings.iter().filter(|at| apart_ms(now, **at) < limit.within_ms);
            recent.count() < usize::from(limit.openings).min(REMEMBERED_MAX)
        };
        if limits.of(kind).iter().all(within) {
            return Verdict::Allowed;
        }
        if self.trips.last().is_some_and(|last| apart_ms(now, *last) < ONE_TRIP_MS) {
            return Verdict::Refused;
        }
        let recent = self.trips.iter().filter(|at| apart_ms(now, **at) < TRIPS_WITHIN_MS);
        let lock_down = kind == OpenerKind::Remote || recent.count() + 1 >= TRIPS_MAX;
        Verdict::Tripped { lock_down }
    }

    /// Remembers an opening.
    pub(crate) fn opened(&mut self, kind: OpenerKind, at: UnixMillis) {
        let openings = match kind {
            OpenerKind::Courier => &mut self.courier,
            OpenerKind::Recipient => &mut self.recipient,
            OpenerKind::Staff => &mut self.staff,
            OpenerKind::Remote => &mut self.remote,
        };
        remember(openings, REMEMBERED_MAX, at);
    }

    /// Remembers a trip.
    pub(crate) fn tripped(&mut self, at: UnixMillis) {
        remember(&mut self.trips, TRIPS_MAX, at);
    }

    /// What two branches of one history remember together: what both have from before they parted counts once.
    #[must_use]
    pub fn merged(&self, other: &Self) -> Self {
        Self {
            courier: either(&self.courier, &other.courier, REMEMBERED_MAX),
            recipient: either(&self.recipient, &other.recipient, REMEMBERED_MAX),
            staff: either(&self.staff, &other.staff, REMEMBERED_MAX),
            remote: either(&self.remote, &other.remote, REMEMBERED_MAX),
            trips: either(&self.trips, &other.trips, TRIPS_MAX),
        }
    }

    fn openings(&self, kind: OpenerKind) -> &[UnixMillis] {
        match kind {
            OpenerKind::Courier => &self.courier,
            OpenerKind::Recipient => &self.recipient,
            OpenerKind::Staff => &self.staff,
            OpenerKind::Remote => &self.remote,
        }
    }
}

const fn apart_ms(a: UnixMillis, b: UnixMillis) -> u64 {
    a.0.abs_diff(b.0)
}

fn remember(times: &mut Vec<UnixMillis>, most: usize, at: UnixMillis) {
    if times.len() >= most {
        times.remove(0);
    }
    times.push(at);
}

/// The latest `most` of both; a moment as often as the one that has it more often.
fn either(some: &[UnixMillis], others: &[UnixMillis], most: usize) -> Vec<UnixMillis> {
    let mut all = some.to_vec();
    let mut counted = some.to_vec();
    for at in others {
        match counted.iter().position(|known| known == at) {
            Some(known) => _ = counted.swap_remove(known),
            None => all.push(*at),
        }
    }
    all.sort_unstable();
    all.split_off(all.len().saturating_sub(most))
}

#[cfg(test)]
mod tests;
