//! What a bank may believe about the time.
//!
//! A bank's own clock is a guess until the hub has signed the time in answer to this connection's
//! nonce. From then on the bank knows an interval that is certain to hold the true time, and the
//! interval grows with the drift of its monotonic clock. The direction of doubt follows the harm:
//! what a person was promised lapses only when even the earliest time is past
//! ([`ClockInterval::surely_past`]); what moves a door from afar is refused as soon as the latest
//! time is past ([`ClockInterval::maybe_past`]).

use thiserror::Error;

use crate::units::UnixMillis;

/// Drift assumed of a monotonic clock, in parts per million: a cheap crystal over its whole
/// temperature range.
pub const DRIFT_PPM: u64 = 100;
/// A signed time this far from what we believed needs a second fresh answer, in milliseconds.
pub const STEP_NEEDS_SECOND_MS: u64 = 3_600_000;
/// Round trips longer than this carry no usable time, in milliseconds.
pub const ROUND_TRIP_MAX_MS: u64 = 30_000;

/// How good a record's time stamp is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeQuality {
    /// No signed time since the agent started: the stamp is the system clock's.
    Unknown,
    /// Within this many milliseconds of the hub's time.
    Bounded { within_ms: u32 },
}

/// The interval that holds the true time; `latest` is `None` while it is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockInterval {
    pub earliest: UnixMillis,
    pub latest: Option<UnixMillis>,
}

impl ClockInterval {
    /// Whether `deadline` has passed beyond doubt: for promises to people.
    #[must_use]
    pub fn surely_past(self, deadline: UnixMillis) -> bool {
        self.earliest > deadline
    }

    /// Whether `deadline` may have passed: for powers of staff and of remote commands.
    #[must_use]
    pub fn maybe_past(self, deadline: UnixMillis) -> bool {
        self.latest.is_none_or(|latest| latest > deadline)
    }
}

/// Why a signed time was not taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SignedTimeError {
    #[error("the answer took {round_trip_ms} ms, longer than {ROUND_TRIP_MAX_MS} ms")]
    TooSlow { round_trip_ms: u64 },
    #[error("the time steps by {step_ms} ms and needs a second answer")]
    NeedsSecond { step_ms: u64 },
    #[error("the signed time is {behind_ms} ms below the highest one seen")]
    BelowFloor { behind_ms: u64 },
}

/// A bank's clock: the last signed time, and how far the monotonic clock has run since.
///
/// Monotonic readings are milliseconds from any fixed start of the process.
#[derive(Clone, Debug)]
pub struct BankClock {
    floor: UnixMillis,
    anchor: Option<Anchor>,
    pending: Option<Anchor>,
}

#[derive(Clone, Copy, Debug)]
struct Anchor {
    earliest: UnixMillis,
    latest: UnixMillis,
    monotonic_ms: u64,
}

impl Anchor {
    fn at(self, monotonic_ms: u64) -> (UnixMillis, UnixMillis) {
        let elapsed_ms = monotonic_ms.saturating_sub(self.monotonic_ms);
        let drift_ms = elapsed_ms.saturating_mul(DRIFT_PPM).div_ceil(1_000_000) + 1;
        let earliest = self.earliest.plus_ms(elapsed_ms).minus_ms(drift_ms);
        (earliest, self.latest.plus_ms(elapsed_ms.saturating_add(drift_ms)))
    }
}

impl BankClock {
    /// A clock that knows only that the time is not before `floor`, the highest signed time that
    /// was ever seen and kept.
    #[must_use]
    pub const fn new(floor: UnixMillis) -> Self {
        Self { floor, anchor: None, pending: None }
    }

    /// The highest signed time seen. Keep it durable.
    #[must_use]
    pub const fn floor(&self) -> UnixMillis {
        self.floor
    }

    /// What is known at a monotonic reading.
    #[must_use]
    pub fn interval(&self, monotonic_ms: u64) -> ClockInterval {
        self.anchor.map_or(ClockInterval { earliest: self.floor, latest: None }, |anchor| {
            let (earliest, latest) = anchor.at(monotonic_ms);
            let earliest = earliest.max(self.floor);
            // A hub may set its clock back a little; what it said before still counts.
            ClockInterval { earliest, latest: Some(latest.max(earliest)) }
        })
    }

    /// The best single guess at a monotonic reading, for a record's stamp; `system` is what the
    /// operating system says and stands only while nothing better is known.
    #[must_use]
    pub fn stamp(&self, monotonic_ms: u64, system: UnixMillis) -> (UnixMillis, TimeQuality) {
        let ClockInterval { earliest, latest } = self.interval(monotonic_ms);
        latest.map_or((system.max(self.floor), TimeQuality::Unknown), |latest| {
            let half_ms = latest.since_ms(earliest).div_ceil(2);
            let within_ms = u32::try_from(half_ms).unwrap_or(u32::MAX);
            (earliest.plus_ms(half_ms), TimeQuality::Bounded { within_ms })
        })
    }

    /// Takes over `signed`, which the hub signed together with a nonce sent at `asked_ms` and
    /// heard at `heard_ms` (both monotonic).
    ///
    /// # Errors
    ///
    /// Refuses slow answers and times below the floor; a step of more than an hour is taken only
    /// when a second answer agrees with it.
    pub fn hear(
        &mut self,
        signed: UnixMillis,
        asked_ms: u64,
        heard_ms: u64,
    ) -> Result<(), SignedTimeError> {
        let round_trip_ms = heard_ms.saturating_sub(asked_ms);
        if round_trip_ms > ROUND_TRIP_MAX_MS {
            return Err(SignedTimeError::TooSlow { round_trip_ms });
        }
        if signed < self.floor.minus_ms(STEP_NEEDS_SECOND_MS) {
            let behind_ms = self.floor.since_ms(signed);
            return Err(SignedTimeError::BelowFloor { behind_ms });
        }
        let latest = signed.plus_ms(round_trip_ms);
        let heard = Anchor { earliest: signed, latest, monotonic_ms: heard_ms };
        if let Some(anchor) = self.anchor {
            let (earliest, latest) = anchor.at(heard_ms);
            let step_ms = earliest.since_ms(signed).max(signed.since_ms(latest));
            if step_ms > STEP_NEEDS_SECOND_MS && !self.confirms(signed, heard_ms) {
                self.pending = Some(heard);
                return Err(SignedTimeError::NeedsSecond { step_ms });
            }
        }
        self.anchor = Some(heard);
        self.pending = None;
        self.floor = self.floor.max(signed);
        Ok(())
    }

    fn confirms(&self, signed: UnixMillis, heard_ms: u64) -> bool {
        self.pending.is_some_and(|pending| {
            let (earliest, latest) = pending.at(heard_ms);
            let step_ms = earliest.since_ms(signed).max(signed.since_ms(latest));
            step_ms <= ROUND_TRIP_MAX_MS
        })
    }
}

#[cfg(test)]
mod tests;
