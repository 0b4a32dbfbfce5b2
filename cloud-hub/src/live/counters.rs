//! What the lane counts, one counter for each bound that can be hit.

use std::sync::atomic::{AtomicU64, Ordering};

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// Notes given to the router.
    Published,
    /// Notes dropped because the router was behind.
    QueueDropped,
    /// Telemetry not passed on because it was too large.
    Oversize,
    /// Notes put in mailboxes of operators' sessions.
    Delivered,
    /// Notes dropped because an operator's session was behind.
    MailboxDropped,
    /// Routers replaced because they had died.
    RouterDied,
    /// Routers replaced because they had seen too many filters.
    RouterWornOut,
    /// Sessions of operators begun.
    Connected,
    /// Connections of operators that did not become a session.
    ConnectRefused,
    /// Filters answered with failure.
    FilterRefused,
    /// Operators' sessions ended because they did not read.
    SlowReader,
    /// Operators' sessions ended for breaking a rule.
    Violation,
}

impl Count {
    /// Everything that is counted, for metrics.
    pub const ALL: [Self; 12] = [
        Self::Published,
        Self::QueueDropped,
        Self::Oversize,
        Self::Delivered,
        Self::MailboxDropped,
        Self::RouterDied,
        Self::RouterWornOut,
        Self::Connected,
        Self::ConnectRefused,
        Self::FilterRefused,
        Self::SlowReader,
        Self::Violation,
    ];

    /// The count as a metric label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Published => "published",
            Self::QueueDropped => "queue_dropped",
            Self::Oversize => "oversize",
            Self::Delivered => "delivered",
            Self::MailboxDropped => "mailbox_dropped",
            Self::RouterDied => "router_died",
            Self::RouterWornOut => "router_worn_out",
            Self::Connected => "connected",
            Self::ConnectRefused => "connect_refused",
            Self::FilterRefused => "filter_refused",
            Self::SlowReader => "slow_reader",
            Self::Violation => "violation",
        }
    }
}

/// Counts since the lane began.
#[derive(Debug, Default)]
pub struct Counters([AtomicU64; Count::ALL.len()]);

impl Counters {
    /// The present count.
    #[must_use]
    pub fn get(&self, count: Count) -> u64 {
        self.0[count as usize].load(Ordering::Relaxed)
    }

    pub(crate) fn add(&self, count: Count, amount: u64) {
        self.0[count as usize].fetch_add(amount, Ordering::Relaxed);
    }
}
