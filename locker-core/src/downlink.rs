//! What the hub tells a bank, and whether the bank takes it.
//!
//! Grants are the mirror of facts: an ordered log per bank with a dense number. The bank applies
//! them in order; taking or refusing each one is a fact, so that the hub never has to guess. Whole
//! documents are in [`config`](self::ConfigAccepted).

mod config;

pub use config::{
    ConfigAccepted, ConfigDocument, ConfigEpochs, ConfigKind, ConfigRefusal, ConfigRefused, Mode,
    QUOTA_SIZES_MAX, Quota, apply_courier_codes, apply_key_set, apply_layout, apply_mode,
    apply_quota, config_epoch,
};

use crate::bank::{Claim, SlotBound, choose, unused_code};
use crate::code::slot::{SLOTS_MAX, Slot};
use crate::fact::Fact;
use crate::ids::{Barcode, CarrierId, CompartmentNo, CredentialId, HubEpoch};
use crate::ids::{ParcelId, TraceParent, Version};
use crate::journal::View;
use crate::parcel::{Parcel, ParcelState, RecallReason, Terms};
use crate::units::{Dimensions, Grams, UnixMillis};

/// Most grants in one message.
pub const GRANTS_PER_BATCH_MAX: usize = 64;
/// Most parcels a bank knows at a time, settled ones included.
pub const PARCELS_MAX: usize = 8_192;
/// Most credentials of one parcel: its own, its delegates', and those they replaced.
pub const CREDENTIALS_PER_PARCEL_MAX: usize = 16;

/// Where a grant stands in the hub's log for one bank. A later epoch wins over any number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct GrantPosition {
    pub epoch: HubEpoch,
    pub gseq: u64,
}

/// One decision of the hub about one parcel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grant {
    /// Expect this parcel.
    Book(Booking),
    /// Do not take it any more.
    Cancel { parcel: ParcelId, version: Version },
    /// It may stay until then: an extension or a shortening.
    Keep { parcel: ParcelId, version: Version, until: UnixMillis },
    /// It must leave without its recipient.
    Recall { parcel: ParcelId, version: Version, reason: RecallReason },
    /// Its recipient gets a new code; the old ones open nothing any more, and nor do the six digits.
    /// If it is inside it gets others, as long as there are any: see [`SlotBound`].
    Reissue { parcel: ParcelId, version: Version, credential: CredentialId },
    /// Somebody else may fetch it, too, until then; whoever comes first has it.
    Delegate { parcel: ParcelId, version: Version, credential: CredentialId, until: UnixMillis },
    /// This code opens nothing any more; with the recipient's own go the six digits.
    Revoke { parcel: ParcelId, version: Version, credential: CredentialId },
    /// Six-digit codes for deposits to come.
    Slots(Vec<Slot>),
}

impl Grant {
    /// The parcel that it is about, and the hub's version of it.
    #[must_use]
    pub const fn about(&self) -> Option<(ParcelId, Version)> {
        Some(match self {
            Self::Slots(_) => return None,
            Self::Book(booking) => (booking.parcel, booking.version),
            Self::Cancel { parcel, version }
            | Self::Keep { parcel, version, .. }
            | Self::Recall { parcel, version, .. }
            | Self::Reissue { parcel, version, .. }
            | Self::Delegate { parcel, version, .. }
            | Self::Revoke { parcel, version, .. } => (*parcel, *version),
        })
    }
}

/// What a bank must know of a parcel before a courier brings it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Booking {
    pub parcel: ParcelId,
    pub version: Version,
    pub carrier: CarrierId,
    pub barcode: Barcode,
    pub size: Dimensions,
    pub weight: Grams,
    pub credential: CredentialId,
    pub trace: Option<TraceParent>,
    pub terms: Terms,
}

/// A compartment is kept for a parcel: the answer to a hard booking, after its acceptance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompartmentReserved {
    pub parcel: ParcelId,
    pub compartment: CompartmentNo,
}

/// The bank took a grant over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantAccepted {
    pub position: GrantPosition,
    pub grant: Grant,
}

/// The bank did not take a grant over; the hub must decide again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GrantRefused {
    pub position: GrantPosition,
    /// None if it was not about one.
    pub parcel: Option<ParcelId>,
    pub reason: GrantRefusal,
}

/// Why a grant does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrantRefusal {
    /// The bank knows a decision at least as new.
    Stale,
    /// The courier was first: the parcel is being deposited or is inside.
    TooLate,
    /// The parcel is not known here.
    UnknownParcel,
    /// Another live parcel of this carrier has this barcode.
    BarcodeTaken,
    /// No fitting compartment is free to be kept for it.
    NoRoom,
    /// The credential belongs to another parcel or is unknown here.
    CredentialTaken,
    /// The parcel is not inside.
    NotInside,
    /// The bank holds as many parcels or codes as it can.
    TooMany,
}

/// The facts that answer `grant`; none if the bank has answered it before.
#[must_use]
pub fn apply_grant(view: &impl View, position: GrantPosition, grant: &Grant) -> Vec<Fact> {
    if position <= view.meta().grants {
        return Vec::new();
    }
    let about = grant.about();
    let parcel = about.map(|(parcel, _)| parcel);
    let verdict = match grant {
        Grant::Book(booking) => book(view, booking),
        Grant::Slots(slots) => check_slots(view, slots).map(|()| None),
        Grant::Cancel { .. }
        | Grant::Keep { .. }
        | Grant::Recall { .. }
        | Grant::Reissue { .. }
        | Grant::Delegate { .. }
        | Grant::Revoke { .. } => change(view, grant, about).map(|()| None),
    };
    match verdict {
        Err(reason) => vec![Fact::GrantRefused(GrantRefused { position, parcel, reason })],
        Ok(reserved) => {
            let accepted = Fact::GrantAccepted(GrantAccepted { position, grant: grant.clone() });
            let reserved = parcel.zip(reserved).map(|(parcel, compartment)| {
                Fact::CompartmentReserved(CompartmentReserved { parcel, compartment })
            });
            let code = new_code(view, grant).map(Fact::SlotBound);
            std::iter::once(accepted).chain(reserved).chain(code).collect()
        }
    }
}

/// The six digits of a parcel that is inside and whose code is issued again.
fn new_code(view: &impl View, grant: &Grant) -> Option<SlotBound> {
    let &Grant::Reissue { parcel, .. } = grant else { return None };
    view.parcel(parcel)?.state.stored_since()?;
    Some(SlotBound { parcel, code: unused_code(view)? })
}

/// Whether a booking fits, and which compartment is kept for it if it is a hard one.
fn book(view: &impl View, booking: &Booking) -> Result<Option<CompartmentNo>, GrantRefusal> {
    let known = view.parcel(booking.parcel);
    if let Some(known) = &known {
        if known.version >= booking.version {
            return Err(GrantRefusal::Stale);
        }
        if !rebookable(known.state) {
            return Err(GrantRefusal::TooLate);
        }
    } else if view.parcels().len() >= PARCELS_MAX {
        return Err(GrantRefusal::TooMany);
    }
    let namesake = view.parcel_by_barcode(&booking.carrier, &booking.barcode);
    let namesake = namesake.and_then(|id| view.parcel(id));
    if namesake
        .is_some_and(|other| other.id != booking.parcel && other.state.settled_at().is_none())
    {
        return Err(GrantRefusal::BarcodeTaken);
    }
    check_credential(view, booking.parcel, booking.credential)?;
    if !booking.terms.hard {
        return Ok(None);
    }
    let wanted = booked(booking, known.as_ref().map_or(0, |known| known.misfit_mm3));
    let room = choose(view, &wanted, &[], Claim::Hard);
    room.map(|held| Some(held.spec.no)).map_err(|_| GrantRefusal::NoRoom)
}

/// The parcel that a booking makes.
pub(crate) fn booked(booking: &Booking, misfit_mm3: u64) -> Parcel {
    Parcel {
        id: booking.parcel,
        carrier: booking.carrier.clone(),
        barcode: booking.barcode.clone(),
        size: booking.size,
        weight: booking.weight,
        version: booking.version,
        credential: booking.credential,
        trace: booking.trace.clone(),
        terms: booking.terms,
        recall: None,
        misfit_mm3,
        state: ParcelState::Booked,
    }
}

/// Whether the hub may book a parcel in this state again.
const fn rebookable(state: ParcelState) -> bool {
    match state {
        ParcelState::Booked
        | ParcelState::Cancelled { .. }
        | ParcelState::BookingExpired { .. }
        | ParcelState::Recalled { .. }
        | ParcelState::Missing { .. } => true,
        ParcelState::Depositing { .. }
        | ParcelState::Stored { .. }
        | ParcelState::Collecting { .. }
        | ParcelState::Recalling { .. }
        | ParcelState::Collected { .. }
        | ParcelState::Unresolved { .. } => false,
    }
}

/// Whether a decision about a parcel that is known fits.
fn change(
    view: &impl View,
    grant: &Grant,
    about: Option<(ParcelId, Version)>,
) -> Result<(), GrantRefusal> {
    let (id, version) = about.ok_or(GrantRefusal::UnknownParcel)?;
    let known = view.parcel(id).ok_or(GrantRefusal::UnknownParcel)?;
    if known.version >= version {
        return Err(GrantRefusal::Stale);
    }
    match grant {
        Grant::Book(_) | Grant::Slots(_) => Ok(()),
        Grant::Cancel { .. } => match known.state {
            ParcelState::Booked
            | ParcelState::Cancelled { .. }
            | ParcelState::BookingExpired { .. } => Ok(()),
            ParcelState::Depositing { .. }
            | ParcelState::Stored { .. }
            | ParcelState::Collecting { .. }
            | ParcelState::Recalling { .. }
            | ParcelState::Collected { .. }
            | ParcelState::Unresolved { .. }
            | ParcelState::Recalled { .. }
            | ParcelState::Missing { .. } => Err(GrantRefusal::TooLate),
        },
        Grant::Keep { .. } => live(known.state),
        Grant::Recall { .. } => match known.state {
            // Whoever has begun to take it out goes on; the durable intent came first.
            ParcelState::Collecting { .. } | ParcelState::Recalling { .. } => {
                Err(GrantRefusal::TooLate)
            }
            ParcelState::Booked | ParcelState::Depositing { .. } => Err(GrantRefusal::NotInside),
            ParcelState::Stored { .. } | ParcelState::Unresolved { .. } => Ok(()),
            ParcelState::Collected { .. }
            | ParcelState::Cancelled { .. }
            | ParcelState::BookingExpired { .. }
            | ParcelState::Recalled { .. }
            | ParcelState::Missing { .. } => Err(GrantRefusal::TooLate),
        },
        Grant::Reissue { credential, .. } | Grant::Delegate { credential, .. } => {
            live(known.state)?;
            check_credential(view, id, *credential)
        }
        Grant::Revoke { credential, .. } => {
            let held = view.credential(*credential);
            let own = held.is_some_and(|held| held.parcel == id);
            if own { Ok(()) } else { Err(GrantRefusal::CredentialTaken) }
        }
    }
}

/// No slot comes twice, not even as a courier's code, and a bank has only so many.
fn check_slots(view: &impl View, slots: &[Slot]) -> Result<(), GrantRefusal> {
    let held = view.slots();
    if held.len() + slots.len() > SLOTS_MAX || slots.len() > GRANTS_PER_BATCH_MAX {
        return Err(GrantRefusal::TooMany);
    }
    let couriers = view.courier_codes().codes;
    let known = |slot: &Slot| {
        held.iter().any(|other| other.slot.id == slot.id)
            || couriers.iter().any(|code| code.slot.id == slot.id)
    };
    let twice = (1..slots.len()).any(|at| slots[..at].iter().any(|s| s.id == slots[at].id));
    if twice || slots.iter().any(known) { Err(GrantRefusal::Stale) } else { Ok(()) }
}

/// Whether codes and deadlines still matter.
const fn live(state: ParcelState) -> Result<(), GrantRefusal> {
    if state.settled_at().is_some() { Err(GrantRefusal::TooLate) } else { Ok(()) }
}

/// Two parcels never share a credential, and one has only so many.
fn check_credential(
    view: &impl View,
    parcel: ParcelId,
    credential: CredentialId,
) -> Result<(), GrantRefusal> {
    if view.credential(credential).is_some_and(|held| held.parcel != parcel) {
        return Err(GrantRefusal::CredentialTaken);
    }
    if view.credentials_of(parcel).len() >= CREDENTIALS_PER_PARCEL_MAX {
        return Err(GrantRefusal::TooMany);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
