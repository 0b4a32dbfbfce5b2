//! How many unused slots a bank keeps, so that it can hand out codes while it is cut off.

/// Most unused slots of one bank. With the slots in use it must stay below
/// [`SLOTS_MAX`](super::slot::SLOTS_MAX); beyond it parcels go with their QR code alone.
pub const POOL_MAX: u16 = 600;
/// Fewest unused slots of one bank, however quiet it is.
pub const POOL_MIN: u16 = 10;
/// A bank with fewer days of its own counts as new: it may fill up on any day.
pub const HISTORY_MIN_DAYS: usize = 14;
/// How many of the last days count. Two months hold a season's peak without last year's.
pub const HISTORY_MAX_DAYS: usize = 60;
/// The day that the pool is made for: 95 of 100 days are not busier.
const PERCENTILE: usize = 95;

/// The number of unused slots that a bank should hold: enough for `dark_days` days without the hub,
/// each as busy as the 95th percentile of the bank's own days. `deposits` is what was deposited on
/// each day, oldest first, days without any included.
#[must_use]
pub fn size(deposits: &[u16], compartments: u16, dark_days: u8) -> u16 {
    let mut days = deposits[deposits.len().saturating_sub(HISTORY_MAX_DAYS)..].to_vec();
    let is_new = days.len() < HISTORY_MIN_DAYS;
    // Nearest rank: the smallest number of deposits that 95 of 100 days do not exceed.
    let rank = (days.len() * PERCENTILE).div_ceil(100);
    days.sort_unstable();
    let busy_day = rank.checked_sub(1).and_then(|rank| days.get(rank)).copied().unwrap_or(0);
    let day = if is_new { busy_day.max(compartments) } else { busy_day };
    day.saturating_mul(u16::from(dark_days)).clamp(POOL_MIN, POOL_MAX)
}

/// How many slots to mint for a bank that should hold `size` unused ones, holds `unused` and has
/// `in_use` with parcels.
#[must_use]
pub fn missing(size: u16, unused: usize, in_use: usize) -> usize {
    let room = super::slot::SLOTS_MAX.saturating_sub(unused.saturating_add(in_use));
    usize::from(size).saturating_sub(unused).min(room)
}

#[cfg(test)]
mod tests;
