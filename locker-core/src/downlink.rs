//! What the hub tells a bank, and whether the bank takes it.
//!
//! Grants are the mirror of facts: an ordered log per bank with a dense number. The bank applies
//! them in order; taking or refusing each one is a fact, so that the hub never has to guess.

use crate::bank::{Claim, choose};
use crate::code::slot::{SLOTS_MAX, Slot};
use crate::compartment::{Allocation, Layout};
use crate::credential::KeySet;
use crate::fact::Fact;
use crate::ids::{Barcode, CarrierId, CompartmentNo, CredentialId, Generation, HubEpoch};
use crate::ids::{ParcelId, TraceParent, Version};
use crate::journal::View;
use crate::parcel::{Parcel, ParcelState, RecallReason, Terms};
use crate::units::{Dimensions, Grams, UnixMillis};

/// Most grants in one message.
pub const GRANTS_PER_BATCH_MAX: usize = 64;
/// Most sizes that a quota names.
pub const QUOTA_SIZES_MAX: usize = 32;
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
    /// Its recipient gets a new code; the old ones open nothing any more.
    Reissue { parcel: ParcelId, version: Version, credential: CredentialId },
    /// Somebody else may fetch it, too, until then; whoever comes first has it.
    Delegate { parcel: ParcelId, version: Version, credential: CredentialId, until: UnixMillis },
    /// This code opens nothing any more.
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

/// The bank took over a configuration document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigAccepted {
    Layout(Layout),
    KeySet(KeySet),
    Mode(Mode),
    Quota(Quota),
}

/// How a bank works; a whole document with its generation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mode {
    pub generation: Generation,
    /// No deposits; parcels inside can be fetched and recalled.
    pub maintenance: bool,
}

/// How many free compartments of each size a bank keeps back, so that the hub can promise them
/// while the bank is not connected; a whole document with its generation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    pub generation: Generation,
    /// Inner size and number; each size once.
    pub ceded: Vec<(Dimensions, u16)>,
}

impl Quota {
    /// Whether each size is solid and named once, and there are not too many.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let once = (1..self.ceded.len())
            .all(|at| self.ceded[..at].iter().all(|(size, _)| *size != self.ceded[at].0));
        let solid = self.ceded.iter().all(|(size, _)| size.is_solid());
        once && solid && self.ceded.len() <= QUOTA_SIZES_MAX
    }

    /// How many compartments of `size` are kept back.
    #[must_use]
    pub fn of(&self, size: Dimensions) -> usize {
        let found = self.ceded.iter().find(|(ceded, _)| *ceded == size);
        found.map_or(0, |(_, count)| usize::from(*count))
    }
}

/// The bank did not take a configuration document over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConfigRefused {
    pub kind: ConfigKind,
    pub generation: Generation,
    pub reason: ConfigRefusal,
}

/// The kinds of configuration documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigKind {
    Layout,
    KeySet,
    Mode,
    Quota,
}

/// Why a configuration document was not taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigRefusal {
    /// Numbers or lock positions twice, an impossible size, no key, too many entries.
    Unsound,
    /// It would change or remove a compartment that is not free.
    CompartmentInUse,
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
            std::iter::once(accepted).chain(reserved).collect()
        }
    }
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

/// No slot comes twice, and a bank has only so many.
fn check_slots(view: &impl View, slots: &[Slot]) -> Result<(), GrantRefusal> {
    let held = view.slots();
    if held.len() + slots.len() > SLOTS_MAX || slots.len() > GRANTS_PER_BATCH_MAX {
        return Err(GrantRefusal::TooMany);
    }
    let known = |slot: &Slot| held.iter().any(|other| other.slot.id == slot.id);
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

/// The fact that answers a layout, or none if the bank holds this one or a newer one.
#[must_use]
pub fn apply_layout(view: &impl View, layout: &Layout) -> Option<Fact> {
    let generation = layout.generation;
    if generation <= view.meta().layout {
        return None;
    }
    let refused = |reason| ConfigRefused { kind: ConfigKind::Layout, generation, reason };
    let keeps = |no| layout.compartments.iter().find(|spec| spec.no == no).copied();
    let in_use = view
        .compartments()
        .into_iter()
        .any(|held| held.allocation != Allocation::Free && keeps(held.spec.no) != Some(held.spec));
    Some(if !layout.is_sound() {
        Fact::ConfigRefused(refused(ConfigRefusal::Unsound))
    } else if in_use {
        Fact::ConfigRefused(refused(ConfigRefusal::CompartmentInUse))
    } else {
        Fact::ConfigAccepted(ConfigAccepted::Layout(layout.clone()))
    })
}

/// The fact that answers a key set, or none if the bank holds this one or a newer one.
#[must_use]
pub fn apply_key_set(view: &impl View, keys: &KeySet) -> Option<Fact> {
    let generation = keys.generation;
    (generation > view.meta().keys.generation).then(|| {
        if keys.is_sound() {
            Fact::ConfigAccepted(ConfigAccepted::KeySet(keys.clone()))
        } else {
            let reason = ConfigRefusal::Unsound;
            Fact::ConfigRefused(ConfigRefused { kind: ConfigKind::KeySet, generation, reason })
        }
    })
}

/// The fact that answers a mode, or none if the bank holds this one or a newer one.
#[must_use]
pub fn apply_mode(view: &impl View, mode: Mode) -> Option<Fact> {
    (mode.generation > view.meta().mode.generation)
        .then_some(Fact::ConfigAccepted(ConfigAccepted::Mode(mode)))
}

/// The fact that answers a quota, or none if the bank holds this one or a newer one.
#[must_use]
pub fn apply_quota(view: &impl View, quota: &Quota) -> Option<Fact> {
    let generation = quota.generation;
    (generation > view.meta().quota.generation).then(|| {
        if quota.is_sound() {
            Fact::ConfigAccepted(ConfigAccepted::Quota(quota.clone()))
        } else {
            let reason = ConfigRefusal::Unsound;
            Fact::ConfigRefused(ConfigRefused { kind: ConfigKind::Quota, generation, reason })
        }
    })
}

#[cfg(test)]
mod tests;
