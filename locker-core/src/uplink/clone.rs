//! Whether a bank that introduces itself is the one we knew come back, or a second agent that runs
//! on a copy of its disk.
//!
//! One agent counts up: its starts, and within a start its connections. Of two agents on copies of
//! one disk, at least one sooner or later counts a number that the other has counted already. What
//! a single connection cannot show, the quarrel of two over one place does: they take it from each
//! other again and again.

use std::collections::VecDeque;
use std::fmt;

use super::inlet::BirthVerdict;
use crate::ids::{BootId, StreamId};

/// Takeovers within [`TAKEOVER_WINDOW_MS`] that a bad line can explain.
pub const TAKEOVERS_MAX: usize = 6;
/// How long a takeover is remembered, in milliseconds.
pub const TAKEOVER_WINDOW_MS: u64 = 10 * 60 * 1_000;

/// What counts up from one introduction of an agent to its next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Introduction {
    pub stream: StreamId,
    /// One start of the agent, for ever different from all others.
    pub boot: BootId,
    /// Starts of the agent in this stream.
    pub boot_count: u64,
    /// Connections since that start.
    pub connection_count: u64,
}

/// What the hub knows when a bank introduces itself.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// The introduction that was accepted last, if there was one.
    pub last: Option<Introduction>,
    /// Streams that a later one has taken the place of.
    pub closed: &'a [StreamId],
    /// Whether the session that introduces itself took the place of one that was still open.
    pub took_over: bool,
    /// Whether sessions take over from each other too often: [`Takeovers::are_too_many`].
    pub too_many: bool,
}

/// What tells two agents from one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloneSign {
    /// The counters are not above those heard before, or another start has the same number.
    CountersNotHigher,
    /// A seq that we know has another hash in the journal of the one that took over.
    OtherHash,
    /// It goes on with a stream that was closed.
    ClosedStream,
    /// More takeovers than a bad line explains, from more than one address.
    TooManyTakeovers,
}

impl CloneSign {
    /// Every sign.
    pub const ALL: [Self; 4] =
        [Self::CountersNotHigher, Self::OtherHash, Self::ClosedStream, Self::TooManyTakeovers];

    /// The name on the interfaces. Never changed.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CountersNotHigher => "COUNTERS_NOT_HIGHER",
            Self::OtherHash => "OTHER_HASH",
            Self::ClosedStream => "CLOSED_STREAM",
            Self::TooManyTakeovers => "TOO_MANY_TAKEOVERS",
        }
    }
}

impl fmt::Display for CloneSign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whom the hub talks to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takeover {
    /// The agent that it knows, or the first; what of its journal, the chain has told.
    Normal(BirthVerdict),
    /// One of two.
    Clone(CloneSign),
}

/// Judges an introduction. `chain` is what the journal alone says.
///
/// Counters that are not higher are a clone, with one exception: a journal that ends or differs below the watermark may be
/// an old copy of the disk, or flash that lost its last records with the start before them. As long as it took the place
/// of no open session, it is given its records back; the introduction then counts as the last one, and if there is
/// another agent after all, that one's counters will not be higher.
#[must_use]
pub fn judge(known: Known<'_>, new: Introduction, chain: BirthVerdict) -> Takeover {
    let restored = matches!(chain, BirthVerdict::Restore { .. }) && !known.took_over;
    if known.closed.contains(&new.stream) {
        return Takeover::Clone(CloneSign::ClosedStream);
    }
    if !restored && known.last.is_some_and(|last| !counts_up(last, new)) {
        return Takeover::Clone(CloneSign::CountersNotHigher);
    }
    if known.took_over && matches!(chain, BirthVerdict::Fork { .. }) {
        return Takeover::Clone(CloneSign::OtherHash);
    }
    if known.too_many {
        return Takeover::Clone(CloneSign::TooManyTakeovers);
    }
    Takeover::Normal(chain)
}

/// Whether one agent can have said `new` after `last`. A new stream counts from the beginning.
fn counts_up(last: Introduction, new: Introduction) -> bool {
    if new.stream != last.stream {
        return true;
    }
    if new.boot == last.boot {
        new.boot_count == last.boot_count && new.connection_count > last.connection_count
    } else {
        new.boot_count > last.boot_count
    }
}

/// The latest takeovers of one bank, with the address of who took over.
#[derive(Clone, Debug)]
pub struct Takeovers<A>(VecDeque<(u64, A)>);

impl<A> Default for Takeovers<A> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<A: PartialEq> Takeovers<A> {
    /// A session from `address` took the place of an open one at monotonic `now_ms`. Only as many
    /// are kept as are one too many: the oldest goes first.
    pub fn note(&mut self, address: A, now_ms: u64) {
        self.0.retain(|(at_ms, _)| now_ms.saturating_sub(*at_ms) < TAKEOVER_WINDOW_MS);
        if self.0.len() > TAKEOVERS_MAX {
            self.0.pop_front();
        }
        self.0.push_back((now_ms, address));
    }

    /// Whether there were more than [`TAKEOVERS_MAX`] lately, and an address came back after another:
    /// a bank that moved once while its line was bad is one bank.
    #[must_use]
    pub fn are_too_many(&self, now_ms: u64) -> bool {
        let recent = |(at_ms, _): &&(u64, A)| now_ms.saturating_sub(*at_ms) < TAKEOVER_WINDOW_MS;
        let recent: Vec<&A> = self.0.iter().filter(recent).map(|(_, address)| address).collect();
        let changes = recent.windows(2).filter(|pair| pair[0] != pair[1]).count();
        recent.len() > TAKEOVERS_MAX && changes > 1
    }

    /// Whether nothing is left to remember.
    #[must_use]
    pub fn are_over(&self, now_ms: u64) -> bool {
        self.0.iter().all(|(at_ms, _)| now_ms.saturating_sub(*at_ms) >= TAKEOVER_WINDOW_MS)
    }
}

#[cfg(test)]
mod tests;
