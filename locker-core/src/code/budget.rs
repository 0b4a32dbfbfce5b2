//! How many wrong codes a bank answers: the guess budget.
//!
//! Six digits can be tried out, so answers are rationed by the bank, the day and the phone digits
//! typed, and each wrong one makes everybody at the keypad wait. The counters are durable before
//! the answer is given, and nothing but a day that has surely ended or a member of staff refills
//! them: not a right code, not a restart, not a clock that is unknown or was set back. Signed QR
//! codes cannot be guessed; they cost nothing and are always let through.

use std::collections::BTreeMap;

use super::second_factor::SuffixTag;
use crate::clock::ClockInterval;
use crate::ids::BootId;
use crate::units::UnixMillis;

/// Wrong codes that a bank answers in one UTC day.
pub const WRONG_PER_DAY: u16 = 100;
/// Of these, tries without phone digits: a quarter, because they are ten thousand times likelier
/// to hit.
pub const WRONG_ALONE_PER_DAY: u16 = WRONG_PER_DAY / 4;
/// Of these, tries with the same phone digits, so that knowing a neighbour's number helps little.
pub const WRONG_PER_SUFFIX: u16 = 5;
/// The wait after the first wrong code; each further one doubles it, until a right code or the
/// next day.
pub const WAIT_FIRST_MS: u64 = 1_000;
/// The longest wait.
pub const WAIT_MAX_MS: u64 = 60_000;

const DAY_MS: u64 = 86_400_000;

/// What a bank has answered today. Durable; small, because at most [`WRONG_PER_DAY`] suffixes are
/// counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    pub day: BudgetDay,
    /// Wrong codes answered, of any kind.
    pub wrong: u16,
    /// Of these, those typed without phone digits.
    pub wrong_alone: u16,
    /// Of these, those typed with phone digits.
    pub by_suffix: BTreeMap<SuffixTag, u16>,
    /// Wrong codes in a row, for the length of the wait.
    pub row: u16,
    pub wait: Option<Wait>,
}

/// The UTC day that the counters belong to: the latest one that any of them can be of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BudgetDay {
    /// Something was counted while the time was unknown; it may have been today.
    Undated,
    /// Days since 1970-01-01.
    Day(u64),
}

/// Nothing typed is looked at until this much uptime has passed. After a restart it begins again
/// with the boot, so that pulling the plug never shortens it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    pub boot: BootId,
    pub since_uptime_ms: u64,
    pub wait_ms: u64,
}

/// The moment of a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    pub clock: ClockInterval,
    pub boot: BootId,
    /// Monotonic, from the start of this boot.
    pub uptime_ms: u64,
}

/// What somebody shows or types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A token whose signature holds.
    SignedToken,
    /// Six digits, with the phone digits if any were typed.
    Keypad { suffix: Option<SuffixTag>, verdict: Verdict },
}

/// What comparing the digits and the phone digits gave. Which of both was wrong is not told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Both fit, and the code opens something now.
    Right,
    /// Both fit a code that was used up or withdrawn: a re-use and not a guess.
    Spent,
    /// Anything else.
    Wrong,
}

/// What to answer, once the new [`Budget`] is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Go on: open.
    Pass,
    /// Say that the code was used.
    Spent,
    /// Say that this opens nothing, and that the next try must wait.
    Wrong { wait_ms: u64 },
    /// Say why nothing was compared. The same for right and wrong codes.
    Refused(Closed),
}

/// Why the keypad takes nothing at the moment. QR codes are not concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// Too soon after a wrong code.
    Wait { left_ms: u64 },
    /// These phone digits were wrong too often today.
    SuffixUsedUp,
    /// Tries without phone digits are used up for today.
    AloneUsedUp,
    /// The bank's budget is used up for today: LOCKOUT of the keypad.
    Lockout,
}

impl Default for Budget {
    /// Of a bank that has answered nothing yet.
    fn default() -> Self {
        Self {
            day: BudgetDay::Day(0),
            wrong: 0,
            wrong_alone: 0,
            by_suffix: BTreeMap::new(),
            row: 0,
            wait: None,
        }
    }
}

impl Budget {
    /// Whether the keypad is closed for the rest of the day: raise the alarm when this turns true.
    #[must_use]
    pub const fn is_lockout(&self) -> bool {
        self.wrong >= WRONG_PER_DAY
    }

    /// Opens the keypad again, on the word of a member of staff whose record the caller keeps.
    /// From here on the bank answers a whole budget more on this day.
    #[must_use]
    pub fn reset_by_staff(&self) -> Self {
        Self { day: self.day, ..Self::default() }
    }

    /// The counters of two branches of one history: those of the later day, and of one day both together. What was counted
    /// before the branches parted counts twice then, because nobody can tell it apart: sooner too few guesses than too many.
    #[must_use]
    pub fn merged(&self, other: &Self) -> Self {
        if self == other {
            return self.clone();
        }
        let day = match (self.day, other.day) {
            (BudgetDay::Day(own), BudgetDay::Day(others)) if own > others => return self.clone(),
            (BudgetDay::Day(own), BudgetDay::Day(others)) if own < others => return other.clone(),
            (BudgetDay::Day(_), BudgetDay::Day(_)) => self.day,
            (BudgetDay::Undated, _) | (_, BudgetDay::Undated) => BudgetDay::Undated,
        };
        let mut by_suffix = self.by_suffix.clone();
        for (suffix, count) in &other.by_suffix {
            let known = by_suffix.entry(*suffix).or_default();
            *known = known.saturating_add(*count);
        }
        let longer = |wait: &Wait| (wait.wait_ms, wait.since_uptime_ms);
        Self {
            day,
            wrong: self.wrong.saturating_add(other.wrong),
            wrong_alone: self.wrong_alone.saturating_add(other.wrong_alone),
            by_suffix,
            row: self.row.max(other.row),
            wait: self.wait.into_iter().chain(other.wait).max_by_key(longer),
        }
    }

    /// The counters as they stand at `now`: refilled if their day has surely ended.
    fn at(&self, now: &Now) -> Self {
        let Some(latest) = now.clock.latest else { return self.clone() };
        let dated = |day| Self { day: BudgetDay::Day(day), ..self.clone() };
        match self.day {
            // When it was counted nobody knows; today at the latest. So it counts today.
            BudgetDay::Undated => dated(day_of(latest)),
            BudgetDay::Day(day) if day_of(now.clock.earliest) > day => {
                Self { day: BudgetDay::Day(day_of(latest)), wait: self.wait, ..Self::default() }
            }
            BudgetDay::Day(_) => self.clone(),
        }
    }

    fn count_wrong(&mut self, suffix: Option<SuffixTag>, now: &Now) -> u64 {
        self.wrong = self.wrong.saturating_add(1);
        match suffix {
            Some(suffix) => {
                let count = self.by_suffix.entry(suffix).or_default();
                *count = count.saturating_add(1);
            }
            None => self.wrong_alone = self.wrong_alone.saturating_add(1),
        }
        self.day = match (self.day, now.clock.latest) {
            (BudgetDay::Day(day), Some(latest)) => BudgetDay::Day(day.max(day_of(latest))),
            (BudgetDay::Undated, _) | (BudgetDay::Day(_), None) => BudgetDay::Undated,
        };
        let doubled = 1_u64.checked_shl(self.row.into()).unwrap_or(u64::MAX);
        let wait_ms = WAIT_FIRST_MS.saturating_mul(doubled).min(WAIT_MAX_MS);
        self.row = self.row.saturating_add(1);
        self.wait = Some(Wait { boot: now.boot, since_uptime_ms: now.uptime_ms, wait_ms });
        wait_ms
    }

    fn closed(&self, suffix: Option<SuffixTag>, now: &Now) -> Option<Closed> {
        let left_ms = self.wait.map_or(0, |wait| wait.left_ms(now));
        let of_suffix =
            suffix.map_or(0, |suffix| self.by_suffix.get(&suffix).copied().unwrap_or(0));
        if self.is_lockout() {
            Some(Closed::Lockout)
        } else if left_ms > 0 {
            Some(Closed::Wait { left_ms })
        } else if of_suffix >= WRONG_PER_SUFFIX {
            Some(Closed::SuffixUsedUp)
        } else if suffix.is_none() && self.wrong_alone >= WRONG_ALONE_PER_DAY {
            Some(Closed::AloneUsedUp)
        } else {
            None
        }
    }
}

impl Wait {
    fn left_ms(&self, now: &Now) -> u64 {
        let waited_ms = if now.boot == self.boot {
            now.uptime_ms.saturating_sub(self.since_uptime_ms)
        } else {
            now.uptime_ms
        };
        self.wait_ms.saturating_sub(waited_ms)
    }
}

/// Whether the keypad takes a try at all. Ask before the digits are hashed; [`judge`] asks again.
///
/// # Errors
///
/// Why it does not.
pub fn admit(budget: &Budget, suffix: Option<SuffixTag>, now: &Now) -> Result<(), Closed> {
    budget.at(now).closed(suffix, now).map_or(Ok(()), Err)
}

/// What to answer to `entry`, and the budget from then on. Make that durable, if it is another one,
/// before the answer is given and before any door moves.
#[must_use]
pub fn judge(budget: &Budget, entry: Entry, now: &Now) -> (Decision, Budget) {
    let Entry::Keypad { suffix, verdict } = entry else {
        return (Decision::Pass, budget.clone());
    };
    let mut budget = budget.at(now);
    if let Some(closed) = budget.closed(suffix, now) {
        return (Decision::Refused(closed), budget);
    }
    let decision = match verdict {
        Verdict::Right => {
            // Whoever comes next need not pay for who came before. The day's counters stay.
            budget.row = 0;
            budget.wait = None;
            Decision::Pass
        }
        Verdict::Spent => Decision::Spent,
        Verdict::Wrong => Decision::Wrong { wait_ms: budget.count_wrong(suffix, now) },
    };
    (decision, budget)
}

const fn day_of(at: UnixMillis) -> u64 {
    at.0 / DAY_MS
}

#[cfg(test)]
mod tests;
