//! A parcel as a bank knows it: from the booking that announced it until it is out of the door.

use crate::ids::{Barcode, CarrierId, CompartmentNo, CredentialId, ParcelId, SessionId};
use crate::ids::{TraceParent, Version};
use crate::units::{Dimensions, Grams, UnixMillis};

/// How long a settled parcel is remembered, so that a late scan gets a true answer, in
/// milliseconds: 30 days.
pub const REMEMBER_SETTLED_MS: u64 = 30 * 24 * 3_600 * 1_000;

/// A parcel that this bank was told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parcel {
    pub id: ParcelId,
    pub carrier: CarrierId,
    pub barcode: Barcode,
    pub size: Dimensions,
    pub weight: Grams,
    /// The hub's latest decision about it that this bank has applied.
    pub version: Version,
    /// What its pickup token names.
    pub credential: CredentialId,
    /// The trace that its announcement began.
    pub trace: Option<TraceParent>,
    pub state: ParcelState,
}

/// Where a parcel is in its life at a bank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParcelState {
    /// Expected: a courier may bring it.
    Booked,
    /// A courier is putting it in.
    Depositing { session: SessionId, compartment: CompartmentNo },
    /// Inside, waiting for its recipient.
    Stored { compartment: CompartmentNo, since: UnixMillis },
    /// Its recipient is taking it out.
    Collecting { session: SessionId, compartment: CompartmentNo, since: UnixMillis },
    /// Handed over.
    Collected { at: UnixMillis },
    /// Withdrawn by its carrier before it was brought.
    Cancelled { at: UnixMillis },
    /// A deposit ended and nobody knows whether it is inside.
    Unresolved { compartment: CompartmentNo },
}

impl ParcelState {
    /// Since when nothing more can happen to the parcel, if that is so.
    #[must_use]
    pub const fn settled_at(self) -> Option<UnixMillis> {
        match self {
            Self::Collected { at } | Self::Cancelled { at } => Some(at),
            Self::Booked
            | Self::Depositing { .. }
            | Self::Stored { .. }
            | Self::Collecting { .. }
            | Self::Unresolved { .. } => None,
        }
    }
}
