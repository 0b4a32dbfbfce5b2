//! What the hub tells a bank, and whether the bank takes it.
//!
//! Grants are the mirror of facts: an ordered log per bank with a dense number. The bank applies
//! them in order; taking or refusing each one is a fact, so that the hub never has to guess.

use crate::compartment::{Allocation, Layout};
use crate::credential::KeySet;
use crate::fact::Fact;
use crate::ids::{Barcode, CarrierId, CredentialId, Generation, HubEpoch, ParcelId};
use crate::ids::{TraceParent, Version};
use crate::journal::View;
use crate::parcel::ParcelState;
use crate::units::{Dimensions, Grams};

/// Most grants in one message.
pub const GRANTS_PER_BATCH_MAX: usize = 64;

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
    pub parcel: ParcelId,
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
    /// Another live parcel has this barcode.
    BarcodeTaken,
}

/// The bank took over a configuration document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigAccepted {
    Layout(Layout),
    KeySet(KeySet),
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
}

/// Why a configuration document was not taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigRefusal {
    /// Numbers or lock positions twice, an impossible size, no key, too many entries.
    Unsound,
    /// It would change or remove a compartment that is not free.
    CompartmentInUse,
}

/// The fact that answers `grant`, or none if the bank has answered it before.
#[must_use]
pub fn apply_grant(view: &impl View, position: GrantPosition, grant: &Grant) -> Option<Fact> {
    if position <= view.meta().grants {
        return None;
    }
    let (parcel, refusal) = match grant {
        Grant::Book(booking) => (booking.parcel, book_refusal(view, booking)),
        Grant::Cancel { parcel, version } => (*parcel, cancel_refusal(view, *parcel, *version)),
    };
    Some(match refusal {
        Some(reason) => Fact::GrantRefused(GrantRefused { position, parcel, reason }),
        None => Fact::GrantAccepted(GrantAccepted { position, grant: grant.clone() }),
    })
}

fn book_refusal(view: &impl View, booking: &Booking) -> Option<GrantRefusal> {
    if let Some(known) = view.parcel(booking.parcel) {
        let late = !matches!(known.state, ParcelState::Booked | ParcelState::Cancelled { .. });
        if known.version >= booking.version {
            return Some(GrantRefusal::Stale);
        }
        if late {
            return Some(GrantRefusal::TooLate);
        }
    }
    let namesake = view.parcel_by_barcode(&booking.barcode).and_then(|id| view.parcel(id));
    namesake
        .is_some_and(|other| other.id != booking.parcel && other.state.settled_at().is_none())
        .then_some(GrantRefusal::BarcodeTaken)
}

fn cancel_refusal(view: &impl View, parcel: ParcelId, version: Version) -> Option<GrantRefusal> {
    let Some(known) = view.parcel(parcel) else { return Some(GrantRefusal::UnknownParcel) };
    match known.state {
        _ if known.version >= version => Some(GrantRefusal::Stale),
        ParcelState::Booked | ParcelState::Cancelled { .. } => None,
        ParcelState::Depositing { .. }
        | ParcelState::Stored { .. }
        | ParcelState::Collecting { .. }
        | ParcelState::Collected { .. }
        | ParcelState::Unresolved { .. } => Some(GrantRefusal::TooLate),
    }
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

#[cfg(test)]
mod tests;
