//! The lock board: how a bank's doors are opened and watched.
//!
//! One task owns each port ([`Bus`]). It takes unlock requests, polls the hook switches, and tells
//! its owner what was seen as [`BusEvent`]s. It never decides whether a door may open: by the time
//! a request arrives here, the intent behind it is durable. It sends at most one pulse for each.
//!
//! The bytes are in [`cu48`] and [`cu16`], the transports in [`port`], the rules over time (what to send next,
//! which reading to believe, what became of a pulse) in pure types that are told the time.

pub mod cu16;
pub mod cu48;
pub mod port;

mod bus;
mod config;
mod counters;
mod door;
mod event;
mod line;
mod position;
mod profile;
mod pulse;
mod schedule;

pub use bus::{Bus, UNLOCK_QUEUE_REQUESTS};
pub use config::{
    Backoff, BoardConfig, BusConfig, BusTiming, CheckBusError, Echo, Jitter, LineConfig,
    LockConfig, Polarity,
};
pub use counters::{BusCounters, ErrorKind};
pub use event::{
    BoardLink, BoardPower, BusEvent, DoorReading, NotSentReason, PortLink, PulseOutcome,
    UnknownReason, UnlockRefused, UnlockRequest,
};
pub use port::{Connect, ConnectError, Port, PortConfig, PortConnector};
pub use position::{BoardAddr, BoardAddrError, LockIndex, LockIndexError};
pub use profile::{
    DecodeStatusError, Frame, NoSuchLock, PollForm, Profile, StatusBits, fuzz_decode,
};

#[cfg(test)]
pub(crate) mod fake;
