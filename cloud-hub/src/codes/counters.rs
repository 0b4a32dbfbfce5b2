//! What minting counts.

use std::sync::atomic::{AtomicU64, Ordering};

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// Code slots given to banks.
    Minted,
    /// Couriers' codes given to banks.
    CourierCodes,
    /// Runs that found no digits, or no place at the bank for them: further parcels there go with
    /// their QR code alone.
    Exhausted,
    /// Runs that failed. The banks go on with the slots they have.
    Failed,
}

impl Count {
    /// Everything that is counted, for metrics.
    pub const ALL: [Self; 4] = [Self::Minted, Self::CourierCodes, Self::Exhausted, Self::Failed];

    /// The count as a metric label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Minted => "minted",
            Self::CourierCodes => "courier_codes",
            Self::Exhausted => "exhausted",
            Self::Failed => "failed",
        }
    }
}

/// Counts since the job began.
#[derive(Debug, Default)]
pub struct Counters([AtomicU64; Count::ALL.len()]);

impl Counters {
    /// The present count.
    #[must_use]
    pub fn get(&self, count: Count) -> u64 {
        self.0[count as usize].load(Ordering::Relaxed)
    }

    pub(super) fn add(&self, count: Count, amount: u64) {
        self.0[count as usize].fetch_add(amount, Ordering::Relaxed);
    }
}
