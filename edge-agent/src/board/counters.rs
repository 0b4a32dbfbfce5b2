//! Counts of what goes over a bus, and the bounded reporting of what goes wrong on it.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::event::BusEvent;
use super::profile::DecodeStatusError;

/// What can be wrong on a line. Each is counted; none stops the bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// A board did not answer in time.
    Timeout,
    /// A reply broke off.
    Truncated,
    /// Bytes that belong to no reply.
    Noise,
    /// A whole frame with a wrong checksum.
    Checksum,
    /// A good frame of another board or of another kind, or two replies at once.
    Foreign,
    /// A reply of a newer board variant, which is not supported.
    NewerVariant,
    /// The line does not fall silent.
    Babble,
    /// All doors of a board changed in one reading, which no person does.
    BoardWideChange,
    /// What was sent did not come back on a line that echoes: a collision or a broken transceiver.
    Echo,
    /// A board fell silent right after a pulse, or told nothing but zeros: its supply dipped.
    SupplyDip,
}

impl From<DecodeStatusError> for ErrorKind {
    fn from(error: DecodeStatusError) -> Self {
        match error {
            DecodeStatusError::Length { .. } => Self::Truncated,
            DecodeStatusError::Start { .. } | DecodeStatusError::End { .. } => Self::Noise,
            DecodeStatusError::Checksum { .. } => Self::Checksum,
            DecodeStatusError::ForeignBoard { .. } | DecodeStatusError::ReplyCode { .. } => {
                Self::Foreign
            }
            DecodeStatusError::NewerVariant => Self::NewerVariant,
        }
    }
}

/// What went over a bus since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BusCounters {
    /// Status requests sent.
    pub polls: u64,
    /// Good replies.
    pub replies: u64,
    /// Unlock frames handed to the line.
    pub pulses: u64,
    /// Times the port was opened.
    pub ports_opened: u64,
    /// Polls without a reply.
    pub timeouts: u64,
    /// Replies that broke off.
    pub truncated: u64,
    /// Bytes that belong to no reply.
    pub noise_bytes: u64,
    /// Replies with a wrong checksum.
    pub checksum: u64,
    /// Good frames that were not asked for.
    pub foreign: u64,
    /// Replies of an unsupported variant.
    pub newer_variant: u64,
    /// Times the line did not fall silent.
    pub babble: u64,
    /// Times all doors of a board changed at once.
    pub board_wide_changes: u64,
    /// Frames that did not come back on a line that echoes.
    pub echo: u64,
    /// Times the supply of a board seemed to dip.
    pub supply_dips: u64,
    /// Longest time between two good readings of a board that was not given up, in milliseconds: a
    /// person may open and shut a door in a long one without being seen.
    pub longest_reading_gap_ms: u64,
    /// Error reports not delivered because the owner did not keep up.
    pub reports_dropped: u64,
}

impl BusCounters {
    pub(super) fn count(&mut self, kind: ErrorKind, amount: u64) {
        let counter = match kind {
            ErrorKind::Timeout => &mut self.timeouts,
            ErrorKind::Truncated => &mut self.truncated,
            ErrorKind::Noise => &mut self.noise_bytes,
            ErrorKind::Checksum => &mut self.checksum,
            ErrorKind::Foreign => &mut self.foreign,
            ErrorKind::NewerVariant => &mut self.newer_variant,
            ErrorKind::Babble => &mut self.babble,
            ErrorKind::BoardWideChange => &mut self.board_wide_changes,
            ErrorKind::Echo => &mut self.echo,
            ErrorKind::SupplyDip => &mut self.supply_dips,
        };
        *counter = counter.saturating_add(amount);
    }
}

/// Decides when an error is told: the first of a kind at once, then at most one an interval.
#[derive(Debug, Default)]
pub(super) struct ErrorReports {
    kinds: HashMap<ErrorKind, KindReport>,
}

#[derive(Debug, Default)]
struct KindReport {
    untold: u64,
    told_at: Option<Instant>,
}

impl ErrorReports {
    pub(super) fn note(&mut self, kind: ErrorKind, amount: u64) {
        self.kinds.entry(kind).or_default().untold += amount;
    }

    /// What may be told now. The caller gives back with `note` what it could not deliver.
    pub(super) fn take_due(&mut self, now: Instant, interval: Duration) -> Vec<BusEvent> {
        let due = |report: &KindReport| {
            report.untold > 0
                && report.told_at.is_none_or(|told| now.duration_since(told) >= interval)
        };
        self.kinds
            .iter_mut()
            .filter(|(_, report)| due(report))
            .map(|(kind, report)| {
                report.told_at = Some(now);
                BusEvent::BusError { kind: *kind, count: std::mem::take(&mut report.untold) }
            })
            .collect()
    }
}
