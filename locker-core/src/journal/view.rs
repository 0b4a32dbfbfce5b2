//! How the rules read a bank's state, and what a record changes in it.
//!
//! The agent reads through sled, the hub and the simulator from memory; the rules cannot tell.

use std::collections::BTreeMap;

use crate::bank::LockdownReason;
use crate::code::budget::Budget;
use crate::code::keypad_code::CourierCodes;
use crate::code::slot::{Slot, SlotId};
use crate::compartment::Compartment;
use crate::credential::{Credential, KeySet};
use crate::downlink::{ConfigEpochs, GrantPosition, Mode, Quota};
use crate::governor::Governor;
use crate::ids::ParcelId;
use crate::ids::{Barcode, CarrierId, CompartmentNo, CredentialId, Generation, IntentId};
use crate::journal::stream::Parent;
use crate::parcel::Parcel;
use crate::session::Session;
use crate::units::UnixMillis;

/// What there is one of in a bank.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// The latest pulse that was intended.
    pub last_intent: IntentId,
    pub boot_count: u64,
    /// The last grant that was answered.
    pub grants: GrantPosition,
    /// The layout held; 0 before the first.
    pub layout: Generation,
    /// The keys held; generation 0 and empty before the first.
    pub keys: KeySet,
    pub mode: Mode,
    pub quota: Quota,
    /// The hub's epochs that the documents held came in.
    pub config_epochs: ConfigEpochs,
    /// Only staff may open doors.
    pub lockdown: Option<Lockdown>,
    /// The mains are gone: no deposits.
    pub on_battery: bool,
    /// The latest pickup, as long as nobody else was given its compartment.
    pub last_pickup: Option<LastPickup>,
    /// SHA-256 of the device key's SubjectPublicKeyInfo, as the stream said last; none if only an
    /// older version of these rules folded the record that says so.
    pub device_key: Option<[u8; 32]>,
    /// The stream that this one goes on from.
    pub parent: Option<Parent>,
    /// The seq of the latest seal; 0 before the first.
    pub sealed: u64,
}

/// A pickup after which its recipient may look once more for something forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastPickup {
    pub parcel: ParcelId,
    pub compartment: CompartmentNo,
    /// The code that was shown.
    pub credential: CredentialId,
    /// That moment excluded.
    pub until: UnixMillis,
}

/// A lockdown under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lockdown {
    pub since: UnixMillis,
    pub reason: LockdownReason,
    /// The first of the two people who want it lifted.
    pub lift_asked_by: Option<CredentialId>,
}

/// A bank's state as the rules see it.
pub trait View {
    fn meta(&self) -> Meta;
    fn compartment(&self, no: CompartmentNo) -> Option<Compartment>;
    /// All compartments, by number.
    fn compartments(&self) -> Vec<Compartment>;
    fn parcel(&self, id: ParcelId) -> Option<Parcel>;
    /// The carrier's live parcel with this barcode; if there is none, the one that was settled last.
    /// Barcodes come again, so a settled parcel must never hide the live one that bears its label
    /// today; and carriers choose theirs apart, so one must never hide another's.
    fn parcel_by_barcode(&self, carrier: &CarrierId, barcode: &Barcode) -> Option<ParcelId> {
        let same = |parcel: &Parcel| parcel.barcode == *barcode && parcel.carrier == *carrier;
        let namesakes = self.parcels().into_iter().filter(same);
        let newest = namesakes.max_by_key(|parcel| {
            let settled = parcel.state.settled_at();
            (settled.is_none(), settled, parcel.id)
        });
        newest.map(|parcel| parcel.id)
    }
    /// All parcels, settled ones too until they are forgotten.
    fn parcels(&self) -> Vec<Parcel>;
    /// The parcels that settled before a time, the longest settled first, at most `max` and none
    /// that is `kept`.
    fn settled_before(
        &self,
        before: UnixMillis,
        max: usize,
        kept: Option<ParcelId>,
    ) -> Vec<Parcel> {
        let mut settled = self.parcels();
        settled.retain(|parcel| is_settled_before(parcel, before) && Some(parcel.id) != kept);
        settled.sort_by_key(|parcel| (parcel.state.settled_at(), parcel.id));
        settled.truncate(max);
        settled
    }
    fn credential(&self, id: CredentialId) -> Option<Credential>;
    /// All credentials that a parcel has or had.
    fn credentials_of(&self, parcel: ParcelId) -> Vec<Credential>;
    fn session(&self) -> Option<Session>;
    /// What the rate governor remembers.
    fn governor(&self) -> Governor;
    /// All six-digit codes, by slot: unused ones and those of parcels that are known.
    fn slots(&self) -> Vec<HeldSlot>;
    /// What is left of the guess budget.
    fn budget(&self) -> Budget;
    /// The codes that couriers sign in with; generation 0 and none before the first.
    fn courier_codes(&self) -> CourierCodes;
}

fn is_settled_before(parcel: &Parcel, before: UnixMillis) -> bool {
    parcel.state.settled_at().is_some_and(|at| at < before)
}

/// A six-digit code as a bank holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldSlot {
    pub slot: Slot,
    /// Whose it is; none while it waits for a deposit.
    pub parcel: Option<ParcelId>,
}

/// One entity as it is after a record. A record's changes name each entity once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Meta(Meta),
    Compartment(Compartment),
    CompartmentRemoved(CompartmentNo),
    Parcel(Parcel),
    ParcelForgotten(Parcel),
    Credential(Credential),
    Session(Option<Session>),
    Governor(Governor),
    Slot(HeldSlot),
    SlotForgotten(SlotId),
    Budget(Budget),
    CourierCodes(CourierCodes),
}

/// A view with changes on top that are not committed yet: what the second fact of a step sees.
#[derive(Debug)]
pub struct Overlay<'a, V> {
    base: &'a V,
    changes: Vec<Change>,
}

impl<'a, V: View> Overlay<'a, V> {
    /// Nothing changed yet.
    pub const fn new(base: &'a V) -> Self {
        Self { base, changes: Vec::new() }
    }

    /// Puts `changes` on top.
    pub fn push(&mut self, changes: Vec<Change>) {
        self.changes.extend(changes);
    }

    /// All that was put on top, oldest first.
    #[must_use]
    pub fn into_changes(self) -> Vec<Change> {
        self.changes
    }

    fn newest<T>(&self, pick: impl Fn(&Change) -> Option<T>) -> Option<T> {
        self.changes.iter().rev().find_map(pick)
    }
}

impl<V: View> View for Overlay<'_, V> {
    fn meta(&self) -> Meta {
        let changed =
            self.newest(
                |change| {
                    if let Change::Meta(meta) = change { Some(meta.clone()) } else { None }
                },
            );
        changed.unwrap_or_else(|| self.base.meta())
    }

    fn compartment(&self, no: CompartmentNo) -> Option<Compartment> {
        let changed = self.newest(|change| {
            if let Change::Compartment(held) = change
                && held.spec.no == no
            {
                return Some(Some(*held));
            }
            matches!(change, Change::CompartmentRemoved(removed) if *removed == no).then_some(None)
        });
        changed.unwrap_or_else(|| self.base.compartment(no))
    }

    fn compartments(&self) -> Vec<Compartment> {
        let mut all = self.base.compartments();
        for change in &self.changes {
            if let Change::Compartment(held) = change {
                match all.binary_search_by_key(&held.spec.no, |other| other.spec.no) {
                    Ok(at) => all[at] = *held,
                    Err(at) => all.insert(at, *held),
                }
            } else if let Change::CompartmentRemoved(no) = change {
                all.retain(|held| held.spec.no != *no);
            }
        }
        all
    }

    fn parcel(&self, id: ParcelId) -> Option<Parcel> {
        let changed = self.newest(|change| {
            if let Change::Parcel(parcel) = change
                && parcel.id == id
            {
                return Some(Some(parcel.clone()));
            }
            matches!(change, Change::ParcelForgotten(gone) if gone.id == id).then_some(None)
        });
        changed.unwrap_or_else(|| self.base.parcel(id))
    }

    fn parcels(&self) -> Vec<Parcel> {
        let mut all = self.base.parcels();
        for change in &self.changes {
            if let Change::Parcel(parcel) = change {
                match all.binary_search_by_key(&parcel.id, |other| other.id) {
                    Ok(at) => all[at] = parcel.clone(),
                    Err(at) => all.insert(at, parcel.clone()),
                }
            } else if let Change::ParcelForgotten(gone) = change {
                all.retain(|parcel| parcel.id != gone.id);
            }
        }
        all
    }

    /// As by default, but the base need not read all its parcels.
    fn settled_before(
        &self,
        before: UnixMillis,
        max: usize,
        kept: Option<ParcelId>,
    ) -> Vec<Parcel> {
        let mut touched = BTreeMap::new();
        for change in &self.changes {
            if let Change::Parcel(parcel) = change {
                touched.insert(parcel.id, Some(parcel));
            } else if let Change::ParcelForgotten(gone) = change {
                touched.insert(gone.id, None);
            }
        }
        let enough = max.saturating_add(touched.len());
        let mut settled = self.base.settled_before(before, enough, kept);
        settled.retain(|parcel| !touched.contains_key(&parcel.id));
        let changed = touched.into_values().flatten();
        settled.extend(
            changed
                .filter(|parcel| is_settled_before(parcel, before) && Some(parcel.id) != kept)
                .cloned(),
        );
        settled.sort_by_key(|parcel| (parcel.state.settled_at(), parcel.id));
        settled.truncate(max);
        settled
    }

    fn credential(&self, id: CredentialId) -> Option<Credential> {
        let mut held = self.base.credential(id);
        for change in &self.changes {
            if let Change::Credential(credential) = change
                && credential.id == id
            {
                held = Some(*credential);
            } else if let Change::ParcelForgotten(gone) = change {
                held = held.filter(|credential| credential.parcel != gone.id);
            }
        }
        held
    }

    fn credentials_of(&self, parcel: ParcelId) -> Vec<Credential> {
        let mut all = self.base.credentials_of(parcel);
        for change in &self.changes {
            if let Change::Credential(credential) = change {
                match all.binary_search_by_key(&credential.id, |other| other.id) {
                    Ok(at) if credential.parcel == parcel => all[at] = *credential,
                    // It belongs to another parcel now.
                    Ok(at) => drop(all.remove(at)),
                    Err(at) if credential.parcel == parcel => all.insert(at, *credential),
                    Err(_) => {}
                }
            } else if matches!(change, Change::ParcelForgotten(gone) if gone.id == parcel) {
                all.clear();
            }
        }
        all
    }

    fn governor(&self) -> Governor {
        let changed = self.newest(|change| {
            if let Change::Governor(governor) = change { Some(governor.clone()) } else { None }
        });
        changed.unwrap_or_else(|| self.base.governor())
    }

    fn slots(&self) -> Vec<HeldSlot> {
        let mut all = self.base.slots();
        for change in &self.changes {
            if let Change::Slot(held) = change {
                match all.binary_search_by_key(&held.slot.id, |other| other.slot.id) {
                    Ok(at) => all[at] = held.clone(),
                    Err(at) => all.insert(at, held.clone()),
                }
            } else if let Change::SlotForgotten(id) = change {
                all.retain(|held| held.slot.id != *id);
            } else if let Change::ParcelForgotten(gone) = change {
                all.retain(|held| held.parcel != Some(gone.id));
            }
        }
        all
    }

    fn budget(&self) -> Budget {
        let changed = self.newest(|change| {
            if let Change::Budget(budget) = change { Some(budget.clone()) } else { None }
        });
        changed.unwrap_or_else(|| self.base.budget())
    }

    fn courier_codes(&self) -> CourierCodes {
        let changed = self.newest(|change| {
            if let Change::CourierCodes(codes) = change { Some(codes.clone()) } else { None }
        });
        changed.unwrap_or_else(|| self.base.courier_codes())
    }

    fn session(&self) -> Option<Session> {
        let changed = self.newest(|change| {
            if let Change::Session(session) = change { Some(session.clone()) } else { None }
        });
        changed.unwrap_or_else(|| self.base.session())
    }
}
