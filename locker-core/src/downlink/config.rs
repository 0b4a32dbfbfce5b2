//! The hub's whole documents for a bank, and whether the bank takes them over.
//!
//! A document replaces the one of its kind that is held if it is newer: issued in a later epoch of
//! the hub, or in the same one with a higher generation. A hub that was restored from a backup counts
//! generations from an older state, so that they alone would not tell. The key set is the exception:
//! an epoch is nothing that a key set's issuer knows of, so it is ordered by its generation alone,
//! among the sets of the roots that the bank believes. A set of another root counts as none.

use crate::code::keypad_code::CourierCodes;
use crate::compartment::{Allocation, Layout};
use crate::credential::{KeySet, RootKey};
use crate::fact::Fact;
use crate::ids::{Generation, HubEpoch};
use crate::journal::View;
use crate::units::Dimensions;

/// Most sizes that a quota names.
pub const QUOTA_SIZES_MAX: usize = 32;

/// The bank took over a configuration document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigAccepted {
    /// The hub's epoch that it came in; 0 if none was told, as for every key set.
    pub epoch: HubEpoch,
    pub document: ConfigDocument,
}

/// The documents there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigDocument {
    Layout(Layout),
    KeySet(KeySet),
    Mode(Mode),
    Quota(Quota),
    CourierCodes(CourierCodes),
}

/// A document that came in no epoch.
impl From<ConfigDocument> for ConfigAccepted {
    fn from(document: ConfigDocument) -> Self {
        Self { epoch: HubEpoch(0), document }
    }
}

/// The epochs that the documents held came in; 0 for one that came in none or is not held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConfigEpochs {
    pub layout: HubEpoch,
    pub mode: HubEpoch,
    pub quota: HubEpoch,
    pub courier_codes: HubEpoch,
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
    /// The hub's epoch that it came in; 0 if none was told, as for every key set.
    pub epoch: HubEpoch,
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
    CourierCodes,
}

/// Why a configuration document was not taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigRefusal {
    /// Numbers or lock positions twice, an impossible size, no key, too many entries.
    Unsound,
    /// It would change or remove a compartment that is not free.
    CompartmentInUse,
}

/// The fact that answers a layout, or none if the bank holds this one or a newer one.
#[must_use]
pub fn apply_layout(view: &impl View, epoch: HubEpoch, layout: &Layout) -> Option<Fact> {
    let generation = layout.generation;
    let meta = view.meta();
    if (epoch, generation) <= (meta.config_epochs.layout, meta.layout) {
        return None;
    }
    let refused = |reason| {
        let kind = ConfigKind::Layout;
        Fact::ConfigRefused(ConfigRefused { kind, epoch, generation, reason })
    };
    let keeps = |no| layout.compartments.iter().find(|spec| spec.no == no).copied();
    let in_use = view
        .compartments()
        .into_iter()
        .any(|held| held.allocation != Allocation::Free && keeps(held.spec.no) != Some(held.spec));
    Some(if !layout.is_sound() {
        refused(ConfigRefusal::Unsound)
    } else if in_use {
        refused(ConfigRefusal::CompartmentInUse)
    } else {
        accepted(epoch, ConfigDocument::Layout(layout.clone()))
    })
}

/// The fact that answers a key set, or none if the bank holds this one or a newer one, or if none of
/// `roots` signed it: those that the bank believes today. What it holds of a root that is not among
/// them gives way to any: whoever had that root may have given it the highest generation there is.
#[must_use]
pub fn apply_key_set(view: &impl View, keys: &KeySet, roots: &[RootKey]) -> Option<Fact> {
    let (epoch, generation) = (HubEpoch(0), keys.generation);
    let held = view.meta().keys;
    let newer = generation > held.generation || !held.is_signed_by(roots);
    (newer && keys.is_signed_by(roots)).then(|| {
        if keys.is_sound() {
            accepted(epoch, ConfigDocument::KeySet(keys.clone()))
        } else {
            unsound(ConfigKind::KeySet, epoch, generation)
        }
    })
}

/// The fact that answers a mode, or none if the bank holds this one or a newer one.
#[must_use]
pub fn apply_mode(view: &impl View, epoch: HubEpoch, mode: Mode) -> Option<Fact> {
    let meta = view.meta();
    let newer = (epoch, mode.generation) > (meta.config_epochs.mode, meta.mode.generation);
    newer.then(|| accepted(epoch, ConfigDocument::Mode(mode)))
}

/// The fact that answers a quota, or none if the bank holds this one or a newer one.
#[must_use]
pub fn apply_quota(view: &impl View, epoch: HubEpoch, quota: &Quota) -> Option<Fact> {
    let generation = quota.generation;
    let meta = view.meta();
    ((epoch, generation) > (meta.config_epochs.quota, meta.quota.generation)).then(|| {
        if quota.is_sound() {
            accepted(epoch, ConfigDocument::Quota(quota.clone()))
        } else {
            unsound(ConfigKind::Quota, epoch, generation)
        }
    })
}

/// The fact that answers couriers' codes, or none if the bank holds these or newer ones. A slot that
/// opens a parcel is never a courier's, too.
#[must_use]
pub fn apply_courier_codes(
    view: &impl View,
    epoch: HubEpoch,
    codes: &CourierCodes,
) -> Option<Fact> {
    let generation = codes.generation;
    let held = (view.meta().config_epochs.courier_codes, view.courier_codes().generation);
    ((epoch, generation) > held).then(|| {
        let slots = view.slots();
        let taken =
            codes.codes.iter().any(|code| slots.iter().any(|held| held.slot.id == code.slot.id));
        if codes.is_sound() && !taken {
            accepted(epoch, ConfigDocument::CourierCodes(codes.clone()))
        } else {
            unsound(ConfigKind::CourierCodes, epoch, generation)
        }
    })
}

/// The lowest epoch of the documents that the bank holds, 0 if it holds none: a hub of a later epoch
/// must send its own. The key set is not asked.
#[must_use]
pub fn config_epoch(view: &impl View) -> HubEpoch {
    let meta = view.meta();
    let ConfigEpochs { layout, mode, quota, courier_codes } = meta.config_epochs;
    let documents = [
        (meta.layout, layout),
        (meta.mode.generation, mode),
        (meta.quota.generation, quota),
        (view.courier_codes().generation, courier_codes),
    ];
    let held = documents.into_iter().filter(|(generation, _)| *generation > Generation(0));
    held.map(|(_, epoch)| epoch).min().unwrap_or_default()
}

const fn accepted(epoch: HubEpoch, document: ConfigDocument) -> Fact {
    Fact::ConfigAccepted(ConfigAccepted { epoch, document })
}

const fn unsound(kind: ConfigKind, epoch: HubEpoch, generation: Generation) -> Fact {
    let reason = ConfigRefusal::Unsound;
    Fact::ConfigRefused(ConfigRefused { kind, epoch, generation, reason })
}
