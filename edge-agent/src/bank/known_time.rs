//! What the bank's loop knows of the time, for whoever checks certificates by it.

use locker_core::units::UnixMillis;
use tokio::time::Instant;

/// See the module's text. The operating system's clock is no part of it.
#[derive(Clone, Copy, Debug)]
pub struct KnownTime {
    floor: UnixMillis,
    heard: Option<(UnixMillis, Instant)>,
    weighed: u64,
}

impl KnownTime {
    /// Nothing but that it is not before `floor`.
    #[must_use]
    pub const fn not_before(floor: UnixMillis) -> Self {
        Self { floor, heard: None, weighed: 0 }
    }

    /// It was `at` at the moment `then`.
    #[must_use]
    pub const fn heard(at: UnixMillis, then: Instant) -> Self {
        Self { floor: at, heard: Some((at, then)), weighed: 1 }
    }

    /// The time, if the hub has said it in this run.
    #[must_use]
    pub fn now(&self) -> Option<UnixMillis> {
        let (at, then) = self.heard?;
        let since_ms = u64::try_from(then.elapsed().as_millis()).unwrap_or(u64::MAX);
        Some(at.plus_ms(since_ms))
    }

    /// The highest signed time that was ever seen and kept.
    #[must_use]
    pub const fn floor(&self) -> UnixMillis {
        self.floor
    }

    /// Signed times that were weighed in this run, taken or not.
    #[must_use]
    pub const fn weighed(&self) -> u64 {
        self.weighed
    }

    /// A signed time was weighed; `now` is what the bank takes the time for since, if it knows.
    pub(crate) fn weigh(&mut self, floor: UnixMillis, now: Option<UnixMillis>) {
        self.floor = floor;
        self.heard = now.map(|at| (at, Instant::now()));
        self.weighed += 1;
    }
}
