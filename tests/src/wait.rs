//! Waiting for a condition of another process: the only place here that sleeps.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Result, bail};

/// Pause between two looks. Short beside everything that is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Looks until `probe` gives something, an error, or `limit` is over; `what` is for the error.
///
/// # Errors
///
/// What `probe` fails with, or that the time is over.
pub async fn wait_for<T>(
    what: &str,
    limit: Duration,
    mut probe: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<T> {
    let until = Instant::now() + limit;
    loop {
        if let Some(found) = probe().await? {
            return Ok(found);
        }
        if Instant::now() >= until {
            bail!("waited {} s in vain until {what}", limit.as_secs_f32());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// The time of day, in milliseconds since 1970, as logs have it.
#[must_use]
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
