//! Six digits with which a courier signs in where his badge cannot be scanned.
//!
//! They are placed at the bank for each day of the time that it may be without the hub, one code a
//! carrier and day. Such a code is a power and not a promise: while the time is in doubt it opens
//! nothing, and one that leaks is worth a day with one carrier's parcels.

use crate::clock::ClockInterval;
use crate::ids::{CarrierId, Generation};
use crate::units::UnixMillis;

use super::slot::Slot;

/// How long a code is meant for.
pub const DAY_MS: u64 = 86_400_000;
/// How long a code stays good after its day, so that a bank that is a little in doubt about the
/// time takes one of two codes at midnight.
pub const OVERLAP_MS: u64 = 3_600_000;
/// Most days that codes are placed for ahead.
pub const DAYS_MAX: u8 = 14;

/// Most codes that a bank holds: ten carriers for [`DAYS_MAX`] days, and a day in hand. A record with
/// all of them stays below [`RECORD_MAX_BYTES`](crate::journal::RECORD_MAX_BYTES).
pub const COURIER_CODES_MAX: usize = 150;

/// The codes that couriers may sign in with at a bank; a whole document with its generation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CourierCodes {
    pub generation: Generation,
    pub codes: Vec<KeypadCode>,
}

impl CourierCodes {
    /// Whether each code is sound, no slot comes twice, and there are not too many.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let mut slots: Vec<_> = self.codes.iter().map(|code| code.slot.id).collect();
        slots.sort_unstable();
        slots.dedup();
        slots.len() == self.codes.len()
            && slots.len() <= COURIER_CODES_MAX
            && self.codes.iter().all(KeypadCode::is_sound)
    }
}

/// A courier's code as a bank holds it. It shares the bank's tags and its guess budget with
/// recipients' codes, as one typed without phone digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeypadCode {
    pub slot: Slot,
    pub carrier: CarrierId,
    pub valid: Validity,
}

/// From when until when, the end excluded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    pub from: UnixMillis,
    pub until: UnixMillis,
}

impl KeypadCode {
    /// Whose parcels its holder may bring and fetch; none unless the code is good beyond doubt.
    /// The caller answers none as it answers any wrong code: a code of tomorrow must not be told
    /// apart from one that does not exist.
    #[must_use]
    pub fn signs_in(&self, clock: ClockInterval) -> Option<&CarrierId> {
        self.valid.surely_holds(clock).then_some(&self.carrier)
    }

    /// Whether a bank may take it over: an end after its beginning, and not for longer than a day.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let Validity { from, until } = self.valid;
        (1..=DAY_MS + OVERLAP_MS).contains(&until.since_ms(from))
    }

    /// Whether it can be thrown away.
    #[must_use]
    pub fn is_over(&self, clock: ClockInterval) -> bool {
        clock.surely_past(self.valid.until)
    }
}

impl Validity {
    fn surely_holds(self, clock: ClockInterval) -> bool {
        clock.earliest >= self.from && clock.latest.is_some_and(|latest| latest < self.until)
    }
}

/// The validities of the codes of `dark_days` days, the first of which begins at `start`.
#[must_use]
pub fn days(start: UnixMillis, dark_days: u8) -> Vec<Validity> {
    (0..u64::from(dark_days.min(DAYS_MAX)))
        .map(|day| {
            let from = start.plus_ms(day * DAY_MS);
            Validity { from, until: from.plus_ms(DAY_MS + OVERLAP_MS) }
        })
        .collect()
}

#[cfg(test)]
mod tests;
