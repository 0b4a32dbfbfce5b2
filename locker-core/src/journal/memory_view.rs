//! A bank's whole state in memory: what a hub keeps of its banks, and what a journal is folded into
//! when all of it is folded at once.

use std::collections::{BTreeMap, BTreeSet};

use super::view::{Change, HeldSlot, Meta, View};
use crate::code::budget::Budget;
use crate::code::keypad_code::CourierCodes;
use crate::code::slot::SlotId;
use crate::compartment::Compartment;
use crate::credential::Credential;
use crate::governor::Governor;
use crate::ids::{CompartmentNo, CredentialId, ParcelId};
use crate::parcel::Parcel;
use crate::session::Session;
use crate::units::UnixMillis;

/// A bank's state in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryView {
    meta: Meta,
    compartments: BTreeMap<CompartmentNo, Compartment>,
    parcels: BTreeMap<ParcelId, Parcel>,
    credentials: BTreeMap<CredentialId, Credential>,
    session: Option<Session>,
    governor: Governor,
    slots: BTreeMap<SlotId, HeldSlot>,
    budget: Budget,
    courier_codes: CourierCodes,
    /// Which credentials a parcel has or had, and when parcels settled: a long journal asks for both
    /// again and again.
    held: BTreeSet<(ParcelId, CredentialId)>,
    settled: BTreeSet<(UnixMillis, ParcelId)>,
}

impl MemoryView {
    /// Takes over what a record changed.
    pub fn apply(&mut self, changes: Vec<Change>) {
        for change in changes {
            match change {
                Change::Meta(meta) => self.meta = meta,
                Change::Compartment(held) => {
                    self.compartments.insert(held.spec.no, held);
                }
                Change::CompartmentRemoved(no) => {
                    self.compartments.remove(&no);
                }
                Change::Parcel(parcel) => self.put_parcel(parcel),
                Change::ParcelForgotten(parcel) => self.forget(parcel.id),
                Change::Credential(credential) => self.put_credential(credential),
                Change::Session(session) => self.session = session,
                Change::Governor(governor) => self.governor = governor,
                Change::Slot(held) => {
                    self.slots.insert(held.slot.id, held);
                }
                Change::SlotForgotten(id) => {
                    self.slots.remove(&id);
                }
                Change::Budget(budget) => self.budget = budget,
                Change::CourierCodes(codes) => self.courier_codes = codes,
            }
        }
    }

    fn put_parcel(&mut self, parcel: Parcel) {
        let id = parcel.id;
        if let Some(at) = parcel.state.settled_at() {
            self.settled.insert((at, id));
        }
        let settled_at = parcel.state.settled_at();
        let before = self.parcels.insert(id, parcel).and_then(|known| known.state.settled_at());
        if let Some(at) = before.filter(|at| Some(*at) != settled_at) {
            self.settled.remove(&(at, id));
        }
    }

    fn put_credential(&mut self, credential: Credential) {
        let (parcel, id) = (credential.parcel, credential.id);
        let before = self.credentials.insert(id, credential);
        if let Some(known) = before.filter(|known| known.parcel != parcel) {
            self.held.remove(&(known.parcel, id));
        }
        self.held.insert((parcel, id));
    }

    fn forget(&mut self, parcel: ParcelId) {
        let known = self.parcels.remove(&parcel);
        if let Some(at) = known.and_then(|known| known.state.settled_at()) {
            self.settled.remove(&(at, parcel));
        }
        for id in self.held_by(parcel).collect::<Vec<_>>() {
            self.credentials.remove(&id);
            self.held.remove(&(parcel, id));
        }
        self.slots.retain(|_, held| held.parcel != Some(parcel));
    }

    fn held_by(&self, parcel: ParcelId) -> impl Iterator<Item = CredentialId> {
        let (first, last) = (CredentialId([0; 16]), CredentialId([0xff; 16]));
        self.held.range((parcel, first)..=(parcel, last)).map(|(_, id)| *id)
    }

    /// Everything, as the changes that would make it from nothing: what a snapshot holds.
    #[must_use]
    pub fn export(&self) -> Vec<Change> {
        let mut all = vec![Change::Meta(self.meta.clone()), Change::Session(self.session.clone())];
        all.extend(self.compartments.values().copied().map(Change::Compartment));
        all.extend(self.parcels.values().cloned().map(Change::Parcel));
        all.extend(self.credentials.values().copied().map(Change::Credential));
        all.push(Change::Governor(self.governor.clone()));
        all.extend(self.slots.values().cloned().map(Change::Slot));
        all.push(Change::Budget(self.budget.clone()));
        all.push(Change::CourierCodes(self.courier_codes.clone()));
        all
    }
}

impl View for MemoryView {
    fn meta(&self) -> Meta {
        self.meta.clone()
    }

    fn compartment(&self, no: CompartmentNo) -> Option<Compartment> {
        self.compartments.get(&no).copied()
    }

    fn compartments(&self) -> Vec<Compartment> {
        self.compartments.values().copied().collect()
    }

    fn parcel(&self, id: ParcelId) -> Option<Parcel> {
        self.parcels.get(&id).cloned()
    }

    fn parcels(&self) -> Vec<Parcel> {
        self.parcels.values().cloned().collect()
    }

    /// As by default, but only what is found is copied: a hub folds bookings of many banks.
    fn settled_before(
        &self,
        before: UnixMillis,
        max: usize,
        kept: Option<ParcelId>,
    ) -> Vec<Parcel> {
        let settled = self.settled.iter().take_while(|(at, _)| *at < before).map(|(_, id)| *id);
        let settled = settled.filter(|id| Some(*id) != kept).take(max);
        settled.filter_map(|id| self.parcel(id)).collect()
    }

    fn credential(&self, id: CredentialId) -> Option<Credential> {
        self.credentials.get(&id).copied()
    }

    fn credentials_of(&self, parcel: ParcelId) -> Vec<Credential> {
        self.held_by(parcel).filter_map(|id| self.credential(id)).collect()
    }

    fn session(&self) -> Option<Session> {
        self.session.clone()
    }

    fn governor(&self) -> Governor {
        self.governor.clone()
    }

    fn slots(&self) -> Vec<HeldSlot> {
        self.slots.values().cloned().collect()
    }

    fn budget(&self) -> Budget {
        self.budget.clone()
    }

    fn courier_codes(&self) -> CourierCodes {
        self.courier_codes.clone()
    }
}
