//! Alarms as the rest of the hub sees them: what a person must look at before a bank goes on.

use locker_core::ids::{BankId, BootId, StreamId};
use locker_core::units::UnixMillis;
use locker_core::uplink::clone::Introduction;

use super::rows::StopReason;

/// Parties that one alarm names; of further ones only the messages are kept.
pub(super) const PARTIES_MAX: i64 = 8;
/// Streams that a bank can close before a person looks at it; one that opens another is stopped. Whoever
/// clears that alarm, or the one that nobody knows what is inside, lets it go on.
pub const STREAMS_CLOSED_MAX: u64 = 64;

/// Something at a bank that a person must look at. At most one of a kind is open for each bank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlarmRow {
    pub id: u64,
    pub bank: BankId,
    pub kind: AlarmKind,
    /// What was seen. Never personal data.
    pub detail: String,
    pub raised_at: UnixMillis,
    /// Who is concerned, if more than the bank itself: for a clone, all that were seen.
    pub parties: Vec<AlarmParty>,
    /// Messages kept apart for it.
    pub kept: u64,
    /// Messages that found no room.
    pub dropped: u64,
    pub cleared: Option<Cleared>,
}

/// How an alarm ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cleared {
    pub at: UnixMillis,
    /// The identity of who cleared it, or `hub` when what followed did.
    pub by: String,
    pub note: String,
}

/// What an alarm is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AlarmKind {
    /// The hub takes no facts from the bank.
    Stopped(StopReason),
    /// The bank began anew and nobody knows what is inside: it is told nothing but its watermark
    /// until a person has looked into every compartment.
    Inventory,
    /// After the store was restored the bank turned out to have parcels that this hub knows nothing
    /// of: their carriers must announce them again, or fetch them.
    UnknownParcels,
    /// The bank has had no connection for so long that somebody must look.
    Unreachable,
    /// A seal of the bank's does not hold, or says that the bank's state is another one than its
    /// records add up to.
    Seal,
}

impl AlarmKind {
    const INVENTORY: &'static str = "INVENTORY";
    const UNKNOWN_PARCELS: &'static str = "UNKNOWN_PARCELS";
    const UNREACHABLE: &'static str = "UNREACHABLE";
    const SEAL: &'static str = "SEAL";

    /// The name in the store and on the interfaces. Never changed.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stopped(reason) => reason.as_str(),
            Self::Inventory => Self::INVENTORY,
            Self::UnknownParcels => Self::UNKNOWN_PARCELS,
            Self::Unreachable => Self::UNREACHABLE,
            Self::Seal => Self::SEAL,
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        match text {
            Self::INVENTORY => Some(Self::Inventory),
            Self::UNKNOWN_PARCELS => Some(Self::UnknownParcels),
            Self::UNREACHABLE => Some(Self::Unreachable),
            Self::SEAL => Some(Self::Seal),
            _ => StopReason::parse(text).map(Self::Stopped),
        }
    }
}

/// Who introduced itself as a bank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Party {
    /// From where, with the port.
    pub address: String,
    /// SHA-256 of its certificate's DER bytes.
    pub certificate: [u8; 32],
    pub introduction: Introduction,
    /// Where its journal ended then.
    pub head_seq: u64,
}

/// A party that an alarm names, and when it was heard of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlarmParty {
    pub party: Party,
    pub first_seen: UnixMillis,
    pub last_seen: UnixMillis,
}

/// A message that was kept apart: no fact of it took effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApartRow {
    pub alarm: u64,
    pub address: String,
    pub certificate: [u8; 32],
    pub boot: BootId,
    pub stream: StreamId,
    pub topic: String,
    /// Exactly as it came.
    pub bytes: Vec<u8>,
    pub at: UnixMillis,
}
