//! A parcel as a bank knows it: from the booking that announced it until it is out of the door.

use crate::code::second_factor::SuffixTag;
use crate::ids::{Barcode, CarrierId, CompartmentNo, CredentialId, ParcelId, SessionId};
use crate::ids::{GroupId, TraceParent, Version};
use crate::units::{Dimensions, Grams, UnixMillis};

/// How long a settled parcel is remembered, so that a late scan gets a true answer, in
/// milliseconds: 30 days.
pub const REMEMBER_SETTLED_MS: u64 = 30 * 24 * 3_600 * 1_000;

/// Parcels that settled longer ago than that are forgotten with each booking that is taken over, at
/// most this many: more than come in, so that they do not pile up until the next start.
pub const FORGOTTEN_PER_BOOKING_MAX: usize = 8;

/// Stands for "since when" where the bank did not know the time. A seal that does know it puts its own time
/// there: a stay that was promised counts from then, later rather than sooner.
pub const SINCE_UNKNOWN: UnixMillis = UnixMillis(u64::MAX);

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
    pub terms: Terms,
    /// Why it must not stay; its recipient is turned away and a courier or staff may take it out.
    pub recall: Option<RecallReason>,
    /// The largest compartment that it did not fit into although its size says so; 0 for none.
    pub misfit_mm3: u64,
    pub state: ParcelState,
}

/// What the hub granted for a parcel besides its place. Each is the hub's to change, with a version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// A compartment is kept for it until it comes.
    pub hard: bool,
    /// Until when it is expected, if that was limited.
    pub book_until: Option<UnixMillis>,
    /// How long it may stay once it is inside, in milliseconds.
    pub keep_ms: Option<u64>,
    /// Until when it may stay, if the hub has said so; wins over `keep_ms`.
    pub keep_until: Option<UnixMillis>,
    /// Parcels with the same group are for the same person, whose code opens one after the other.
    pub group: Option<GroupId>,
    /// The second factor asked for with six digits: the phone's last four, as a keyed hash.
    pub suffix: Option<SuffixTag>,
}

/// Why a parcel must leave a bank without its recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecallReason {
    /// Its time is over.
    Expired,
    /// Its sender or carrier wants it back, or sends it elsewhere.
    Sender,
    /// It is dangerous, leaking, or no longer cold.
    Safety,
    /// Its recipient does not want it.
    Refused,
}

/// Where a parcel is in its life at a bank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParcelState {
    /// Expected: a courier may bring it.
    Booked,
    /// A courier is putting it in.
    Depositing { session: SessionId, compartment: CompartmentNo },
    /// Inside, waiting for its recipient. `since`: the latest time that it can have come, or
    /// [`SINCE_UNKNOWN`].
    Stored { compartment: CompartmentNo, since: UnixMillis },
    /// Its recipient is taking it out.
    Collecting { session: SessionId, compartment: CompartmentNo, since: UnixMillis },
    /// A courier or staff is taking it out.
    Recalling { session: SessionId, compartment: CompartmentNo, since: UnixMillis },
    /// Handed over.
    Collected { at: UnixMillis },
    /// Withdrawn by its carrier before it was brought.
    Cancelled { at: UnixMillis },
    /// Nobody knows whether it is inside: staff must look.
    Unresolved { compartment: CompartmentNo },
    /// It was not brought in time. A late courier may still find room.
    BookingExpired { at: UnixMillis },
    /// Taken out by a courier or staff.
    Recalled { at: UnixMillis },
    /// Should be inside; staff looked and it is not.
    Missing { at: UnixMillis },
}

impl ParcelState {
    /// Since when nothing more can happen to the parcel, if that is so.
    #[must_use]
    pub const fn settled_at(self) -> Option<UnixMillis> {
        match self {
            Self::Collected { at }
            | Self::Cancelled { at }
            | Self::BookingExpired { at }
            | Self::Recalled { at }
            | Self::Missing { at } => Some(at),
            Self::Booked
            | Self::Depositing { .. }
            | Self::Stored { .. }
            | Self::Collecting { .. }
            | Self::Recalling { .. }
            | Self::Unresolved { .. } => None,
        }
    }

    /// The compartment that it is in, or may be in.
    #[must_use]
    pub const fn compartment(self) -> Option<CompartmentNo> {
        match self {
            Self::Depositing { compartment, .. }
            | Self::Stored { compartment, .. }
            | Self::Collecting { compartment, .. }
            | Self::Recalling { compartment, .. }
            | Self::Unresolved { compartment } => Some(compartment),
            Self::Booked
            | Self::Collected { .. }
            | Self::Cancelled { .. }
            | Self::BookingExpired { .. }
            | Self::Recalled { .. }
            | Self::Missing { .. } => None,
        }
    }

    /// The same, but inside since `since`, if it is inside.
    #[must_use]
    pub(crate) const fn inside_since(self, since: UnixMillis) -> Self {
        match self {
            Self::Stored { compartment, .. } => Self::Stored { compartment, since },
            Self::Collecting { session, compartment, .. } => {
                Self::Collecting { session, compartment, since }
            }
            Self::Recalling { session, compartment, .. } => {
                Self::Recalling { session, compartment, since }
            }
            Self::Booked
            | Self::Depositing { .. }
            | Self::Collected { .. }
            | Self::Cancelled { .. }
            | Self::Unresolved { .. }
            | Self::BookingExpired { .. }
            | Self::Recalled { .. }
            | Self::Missing { .. } => self,
        }
    }

    /// Since when it is inside, if it is; [`SINCE_UNKNOWN`] if nobody knows.
    #[must_use]
    pub const fn stored_since(self) -> Option<UnixMillis> {
        match self {
            Self::Stored { since, .. }
            | Self::Collecting { since, .. }
            | Self::Recalling { since, .. } => Some(since),
            Self::Booked
            | Self::Depositing { .. }
            | Self::Collected { .. }
            | Self::Cancelled { .. }
            | Self::Unresolved { .. }
            | Self::BookingExpired { .. }
            | Self::Recalled { .. }
            | Self::Missing { .. } => None,
        }
    }
}

impl Parcel {
    /// Until when it may stay, if that is limited and known, and it is inside.
    #[must_use]
    pub fn keep_until(&self) -> Option<UnixMillis> {
        let since = self.state.stored_since()?;
        let counted = || (since != SINCE_UNKNOWN).then_some(since.plus_ms(self.terms.keep_ms?));
        self.terms.keep_until.or_else(counted)
    }
}
