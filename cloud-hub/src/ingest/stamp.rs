//! What the trace of a parcel needs of a committed record: the agent runs no exporter, so the hub
//! makes its spans.

use locker_core::ids::{BankId, CompartmentNo, SessionId, StreamId, TraceParent};
use locker_core::units::UnixMillis;

/// A committed record that belongs to a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceStamp {
    pub bank: BankId,
    pub trace: TraceParent,
    /// The record's place, from which a span id can be made that is the same on every replay.
    pub stream: StreamId,
    pub seq: u64,
    /// The kind of fact, in snake case as in the protocol: `deposit_started`.
    pub kind: &'static str,
    pub compartment: Option<CompartmentNo>,
    pub session: Option<SessionId>,
    /// By the bank's clock.
    pub at: UnixMillis,
}
