//! The journal of a bank: records in an append-only chain, and the state they add up to.

pub mod carry;
mod chain;
mod fold;
mod folded_by;
mod memory_view;
pub mod seal;
pub mod stream;
mod view;

pub use chain::{CHAIN_START, ChainHash, detached_commitment, next_hash};
pub use fold::fold;
pub use folded_by::{FOLD_VERSION, FoldedBy};
pub use memory_view::MemoryView;
pub use seal::Sealed;
pub use stream::{KeyChanged, Parent, Place, StateCarried, StreamBreak};
pub use view::{Change, HeldSlot, LastPickup, Lockdown, Meta, Overlay, View};

use crate::clock::TimeQuality;
use crate::fact::Fact;
use crate::ids::{BankId, BootId, StreamId, TraceParent};
use crate::units::UnixMillis;

/// Largest encoded record, in bytes; checked when it is appended.
pub const RECORD_MAX_BYTES: usize = 32 * 1024;
/// Most records in one batch on its way to the hub.
pub const BATCH_MAX_RECORDS: usize = 256;
/// Most encoded record bytes in one batch.
pub const BATCH_MAX_BYTES: usize = 64 * 1024;

/// One entry of a journal. What is chained and stored are its encoded bytes, exactly as the bank
/// wrote them; this is their meaning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub stream: StreamId,
    /// Dense from 1 within the stream.
    pub seq: u64,
    pub boot: BootId,
    pub at: UnixMillis,
    pub quality: TimeQuality,
    pub previous: ChainHash,
    pub trace: Option<TraceParent>,
    /// [`detached_commitment`] of the part that is kept beside the record, if there is one.
    pub detached: Option<ChainHash>,
    pub fact: Fact,
}

/// The first record of every stream: who writes it, and what it continues.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamOpened {
    pub bank: BankId,
    /// SHA-256 of the device key's SubjectPublicKeyInfo.
    pub device_key: [u8; 32],
    /// The stream that this one goes on from, if there was one.
    pub parent: Option<Parent>,
}

/// The agent started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Booted {
    pub boot: BootId,
    /// The how-manieth start of this stream, from 1.
    pub boot_count: u64,
    pub agent_version: String,
}
