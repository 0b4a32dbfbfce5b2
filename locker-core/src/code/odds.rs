//! What the guess budget leaves to a vandal who stands at the keypad all day.
//!
//! The figures are upper bounds, in whole numbers. Codes are drawn uniformly and the rule that live
//! codes lie two places apart favours no digits, so by symmetry every guess hits one of `live`
//! codes with a chance of exactly `live / 10^6`, whatever was guessed before it was drawn. The
//! chance that *any* of several guesses hits is at most their sum. It is less by the cases in which
//! two would hit, and the two-places rule lets a vandal avoid these: of ten codes that differ only
//! in the last digit at most one is live, so for these ten the sum is exact. Hence the sum is the
//! right figure to publish, and not the slightly smaller one for guesses at random.

use std::fmt;

use super::budget::{WRONG_ALONE_PER_DAY, WRONG_PER_DAY, WRONG_PER_SUFFIX};
use super::digits::CODES;
use super::second_factor::SUFFIXES;

/// A chance in parts of 10^9, rounded up; 10^9 is certainty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PerBillion(pub u64);

/// Certainty.
const BILLION: u64 = 1_000_000_000;

/// What a vandal knows and tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attack {
    /// Every parcel asks for phone digits, of which nothing is known.
    PhoneDigitsUnknown,
    /// The phone digits of everybody whose parcel is inside are known, all different.
    PhoneDigitsKnown,
    /// No parcel has a phone number, so that all codes open by digits alone.
    DigitsAlone,
    /// For comparison: there is no second factor, and digits alone have the whole budget.
    NoSecondFactor,
}

impl Attack {
    pub const ALL: [Self; 4] =
        [Self::PhoneDigitsUnknown, Self::PhoneDigitsKnown, Self::DigitsAlone, Self::NoSecondFactor];

    /// Answered guesses in a day.
    fn guesses_a_day(self, live: u32) -> u64 {
        let all = u64::from(WRONG_PER_DAY);
        match self {
            Self::PhoneDigitsUnknown | Self::NoSecondFactor => all,
            Self::PhoneDigitsKnown => all.min(u64::from(live) * u64::from(WRONG_PER_SUFFIX)),
            Self::DigitsAlone => u64::from(WRONG_ALONE_PER_DAY),
        }
    }

    /// The chance that one guess hits, as a fraction.
    const fn hit(self, live: u32) -> (u64, u64) {
        let codes = CODES as u64;
        match self {
            Self::PhoneDigitsUnknown => (live as u64, codes * SUFFIXES),
            // The digits typed name one person, who has one code.
            Self::PhoneDigitsKnown => (1, codes),
            Self::DigitsAlone | Self::NoSecondFactor => (live as u64, codes),
        }
    }
}

/// The chance that `attack` opens any compartment of a bank with `live` codes in use within `days`
/// days: at most this.
#[must_use]
pub fn at_most(attack: Attack, live: u32, days: u32) -> PerBillion {
    let (hits, of) = attack.hit(live);
    let guesses = u128::from(attack.guesses_a_day(live)) * u128::from(days);
    let parts = (guesses * u128::from(hits) * u128::from(BILLION)).div_ceil(u128::from(of));
    PerBillion(u64::try_from(parts).unwrap_or(BILLION).min(BILLION))
}

/// As a percentage with all its places: `0.0042 %`.
impl fmt::Display for PerBillion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = BILLION / 100;
        let places = format!("{:07}", self.0 % percent);
        match places.trim_end_matches('0') {
            "" => write!(f, "{} %", self.0 / percent),
            places => write!(f, "{}.{places} %", self.0 / percent),
        }
    }
}

#[cfg(test)]
mod tests;
