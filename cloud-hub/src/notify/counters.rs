//! What the deliverer of notices counts: the ways that a notice can end, what was held because it
//! might not have been true, and letters that had to go without their digits.

use std::sync::atomic::{AtomicU64, Ordering};

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// Letters handed over.
    Sent,
    /// Attempts that failed and are made again.
    NotSent,
    /// Notices that nobody will deliver any more, although somebody waits for them.
    GivenUp,
    /// Looks at reminders that were held, because their banks had not told all.
    Held,
    /// Letters that said what the hub did not know.
    Reworded,
    /// Letters that took back an earlier one.
    Corrected,
    /// Letters without six digits although the parcel has some: they could not be opened.
    DigitsUnreadable,
}

impl Count {
    /// Everything that is counted, for metrics.
    pub const ALL: [Self; 7] = [
        Self::Sent,
        Self::NotSent,
        Self::GivenUp,
        Self::Held,
        Self::Reworded,
        Self::Corrected,
        Self::DigitsUnreadable,
    ];

    /// The count as a metric label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::NotSent => "not_sent",
            Self::GivenUp => "given_up",
            Self::Held => "held",
            Self::Reworded => "reworded",
            Self::Corrected => "corrected",
            Self::DigitsUnreadable => "digits_unreadable",
        }
    }
}

/// Counts since the hub started.
#[derive(Debug, Default)]
pub struct Counters([AtomicU64; Count::ALL.len()]);

impl Counters {
    /// The present count.
    #[must_use]
    pub fn get(&self, count: Count) -> u64 {
        self.0[count as usize].load(Ordering::Relaxed)
    }

    pub(super) fn add(&self, count: Count) {
        self.0[count as usize].fetch_add(1, Ordering::Relaxed);
    }
}
