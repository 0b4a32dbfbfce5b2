//! What the sessions of a hub count, one counter for each bound that can be hit.

use std::sync::atomic::{AtomicU64, Ordering};

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// Sessions begun.
    Connected,
    /// Connections that did not become a session.
    ConnectRefused,
    /// Sessions ended by a newer one of the same identity.
    TakenOver,
    /// Sessions ended for breaking a rule.
    Violation,
    /// Sessions ended because nothing came.
    KeepAliveExpired,
    /// Sessions ended because the bank did not read.
    SlowReader,
    /// Sessions ended because the certificate was revoked or ran out.
    Revoked,
    /// QoS 0 publishes of banks dropped because ingest was behind.
    UpDropped,
    /// QoS 0 publishes to banks dropped because the bank was behind.
    DownDropped,
}

impl Count {
    /// Everything that is counted, for metrics.
    pub const ALL: [Self; 9] = [
        Self::Connected,
        Self::ConnectRefused,
        Self::TakenOver,
        Self::Violation,
        Self::KeepAliveExpired,
        Self::SlowReader,
        Self::Revoked,
        Self::UpDropped,
        Self::DownDropped,
    ];

    /// The count as a metric label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::ConnectRefused => "connect_refused",
            Self::TakenOver => "taken_over",
            Self::Violation => "violation",
            Self::KeepAliveExpired => "keep_alive_expired",
            Self::SlowReader => "slow_reader",
            Self::Revoked => "revoked",
            Self::UpDropped => "up_dropped",
            Self::DownDropped => "down_dropped",
        }
    }
}

/// Counts since the listener was bound.
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
