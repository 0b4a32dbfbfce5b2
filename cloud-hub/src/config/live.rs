//! Who may listen to the live lane, and its limits.

use std::collections::BTreeSet;
use std::time::Duration;

use locker_core::ids::OperatorId;
use serde::{Deserialize, Deserializer};

use super::limits::{Row, millis, row};
use crate::live::{BankPattern, LaneLimits, OperatorBanks};
use crate::mqtt::OperatorLimits;

/// The live lane for operators' own MQTT tools.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Live {
    /// Who may listen. Without any, the lane is not served.
    pub operators: Vec<LiveOperator>,
    /// Bounds of the lane and of operators' sessions.
    pub limits: LiveLimits,
}

/// An operator who may listen.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LiveOperator {
    /// As in the operator's certificate.
    #[serde(deserialize_with = "parsed")]
    pub name: OperatorId,
    /// To which banks: names, beginnings of names such as `berlin-*`, or `*` for all.
    #[serde(deserialize_with = "all_parsed")]
    pub banks: Vec<BankPattern>,
}

impl Live {
    /// As the door takes them.
    pub fn banks(&self) -> impl Iterator<Item = (OperatorId, OperatorBanks)> {
        let banks = |operator: &LiveOperator| OperatorBanks::new(operator.banks.iter().cloned());
        self.operators.iter().map(move |operator| (operator.name.clone(), banks(operator)))
    }
}

/// Bounds of the lane; see [`LaneLimits`] and [`OperatorLimits`] for what happens at each.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LiveLimits {
    /// Notes that wait for the router.
    pub queue_notes: usize,
    /// What the router keeps of each filter, in bytes.
    pub filter_bytes: usize,
    /// Sessions of all operators.
    pub sessions: usize,
    /// Sessions of one operator.
    pub sessions_per_operator: usize,
    /// Filters of one session.
    pub filters_per_session: usize,
    /// Messages waiting for a session's socket.
    pub outbound_messages: usize,
    /// Their size, in bytes.
    pub outbound_bytes: usize,
    /// Time in which a session's socket must take a write, in milliseconds.
    pub write_timeout_ms: u64,
}

impl Default for LiveLimits {
    fn default() -> Self {
        let (lane, operators) = (LaneLimits::default(), OperatorLimits::default());
        Self {
            queue_notes: lane.queue_notes,
            filter_bytes: lane.filter_bytes,
            sessions: operators.sessions,
            sessions_per_operator: operators.sessions_per_operator,
            filters_per_session: operators.filters,
            outbound_messages: operators.outbound_messages,
            outbound_bytes: operators.outbound_bytes,
            write_timeout_ms: millis(operators.write_timeout),
        }
    }
}

impl LiveLimits {
    /// As the lane takes them. A router is worn out by twice the filters that can be in use.
    #[must_use]
    pub fn lane(&self) -> LaneLimits {
        LaneLimits {
            queue_notes: self.queue_notes,
            sessions: self.sessions,
            filter_bytes: self.filter_bytes,
            filters: 2 * self.sessions * self.filters_per_session,
            ..LaneLimits::default()
        }
    }

    /// As the operators' sessions take them.
    #[must_use]
    pub fn operators(&self) -> OperatorLimits {
        OperatorLimits {
            sessions: self.sessions,
            sessions_per_operator: self.sessions_per_operator,
            filters: self.filters_per_session,
            outbound_messages: self.outbound_messages,
            outbound_bytes: self.outbound_bytes,
            write_timeout: Duration::from_millis(self.write_timeout_ms),
            ..OperatorLimits::default()
        }
    }
}

/// The first value that makes no sense, and what would.
pub(super) fn check(live: &Live) -> Result<(), (String, String)> {
    let mut names = BTreeSet::new();
    if let Some(twice) = live.operators.iter().find(|operator| !names.insert(&operator.name)) {
        let expected = format!("each operator once, found {} twice", twice.name);
        return Err(("live.operators".to_owned(), expected));
    }
    let limits = &live.limits;
    let rows = [
        row("live.limits.queue_notes", limits.queue_notes, 16, 1_000_000),
        row("live.limits.filter_bytes", limits.filter_bytes, 8_192, 64 << 20),
        row("live.limits.sessions", limits.sessions, 1, 1_000),
        row("live.limits.sessions_per_operator", limits.sessions_per_operator, 1, 1_000),
        row("live.limits.filters_per_session", limits.filters_per_session, 1, 1_000),
        row("live.limits.outbound_messages", limits.outbound_messages, 1, 1_000_000),
        row("live.limits.outbound_bytes", limits.outbound_bytes, 4_096, 1 << 30),
        row("live.limits.write_timeout_ms", limits.write_timeout_ms, 100, 3_600_000),
    ];
    rows.into_iter().try_for_each(Row::check)
}

fn parsed<'de, D: Deserializer<'de>>(deserializer: D) -> Result<OperatorId, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
}

fn all_parsed<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<BankPattern>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    texts.iter().map(|text| text.parse().map_err(serde::de::Error::custom)).collect()
}
