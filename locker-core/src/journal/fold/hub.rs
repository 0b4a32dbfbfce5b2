//! What the hub's decisions, a start, and the passing of time change.

use super::{Change, Changes, LIVE};
use crate::compartment::{Allocation, Compartment, Door, Layout, QuarantineReason};
use crate::credential::{Credential, CredentialState, Holder};
use crate::downlink::{Booking, CompartmentReserved, Grant, booked};
use crate::ids::{CredentialId, ParcelId, Version};
use crate::journal::{HeldSlot, View};
use crate::parcel::{Parcel, ParcelState, REMEMBER_SETTLED_MS, RecallReason};
use crate::session::Session;

impl<V: View> Changes<'_, V> {
    /// A start knows nothing of doors, and is when settled parcels are forgotten.
    pub(super) fn booted(&mut self, boot_count: u64) {
        self.meta(|meta| meta.boot_count = boot_count);
        for held in self.view.compartments() {
            self.changes.push(Change::Compartment(Compartment { door: Door::Unknown, ..held }));
        }
        for parcel in self.view.parcels() {
            let settled = parcel.state.settled_at();
            if settled.is_some_and(|at| self.at.since_ms(at) > REMEMBER_SETTLED_MS) {
                self.changes.push(Change::ParcelForgotten(parcel));
            }
        }
    }

    pub(super) fn granted(&mut self, grant: &Grant) {
        match *grant {
            Grant::Book(ref booking) => self.book(booking),
            Grant::Slots(ref slots) => {
                let fresh = slots.iter().cloned().map(|slot| HeldSlot { slot, parcel: None });
                self.changes.extend(fresh.map(Change::Slot));
            }
            Grant::Cancel { parcel, version } => self.cancel(parcel, version),
            Grant::Keep { parcel, version, until } => self.change(parcel, |parcel| {
                parcel.version = version;
                parcel.terms.keep_until = Some(until);
                // It may stay again.
                if parcel.recall == Some(RecallReason::Expired) {
                    parcel.recall = None;
                }
            }),
            Grant::Recall { parcel, version, reason } => self.recall(parcel, Some(version), reason),
            Grant::Reissue { parcel, version, credential } => {
                self.credentials(parcel, &LIVE, CredentialState::Superseded);
                // The new notice carries a QR code alone.
                self.forget_codes(parcel);
                self.change(parcel, |parcel| {
                    parcel.version = version;
                    parcel.credential = credential;
                });
                self.add_credential(credential, parcel, version, Holder::Recipient);
            }
            Grant::Delegate { parcel, version, credential, until } => {
                self.change(parcel, |parcel| parcel.version = version);
                self.add_credential(credential, parcel, version, Holder::Delegate { until });
            }
            Grant::Revoke { parcel, version, credential } => {
                self.change(parcel, |parcel| parcel.version = version);
                if let Some(held) = self.view.credential(credential) {
                    let state = CredentialState::Revoked;
                    self.changes.push(Change::Credential(Credential { state, ..held }));
                }
            }
        }
    }

    fn change(&mut self, id: ParcelId, change: impl FnOnce(&mut Parcel)) {
        if let Some(mut parcel) = self.view.parcel(id) {
            change(&mut parcel);
            self.changes.push(Change::Parcel(parcel));
        }
    }

    /// A parcel's digits open nothing any more.
    pub(super) fn forget_codes(&mut self, parcel: ParcelId) {
        let slots = self.view.slots().into_iter();
        let own = slots.filter(|held| held.parcel == Some(parcel));
        self.changes.extend(own.map(|held| Change::SlotForgotten(held.slot.id)));
    }

    /// A new code opens at once what is inside already.
    fn add_credential(
        &mut self,
        id: CredentialId,
        parcel: ParcelId,
        version: Version,
        holder: Holder,
    ) {
        // The same id again replaces what this record said of it before.
        self.changes.retain(
            |change| !matches!(change, Change::Credential(credential) if credential.id == id),
        );
        let inside = self.view.parcel(parcel).and_then(|known| known.state.stored_since());
        let state =
            if inside.is_some() { CredentialState::Active } else { CredentialState::Issued };
        self.changes.push(Change::Credential(Credential { id, parcel, version, holder, state }));
    }

    fn book(&mut self, booking: &Booking) {
        let &Booking { parcel: id, version, credential, .. } = booking;
        self.release(id);
        self.forget_codes(id);
        self.credentials(id, &LIVE, CredentialState::Superseded);
        let misfit_mm3 = self.view.parcel(id).map_or(0, |known| known.misfit_mm3);
        self.changes.push(Change::Parcel(booked(booking, misfit_mm3)));
        // Booked, so not inside, whatever the state before it says.
        self.changes.retain(
            |change| !matches!(change, Change::Credential(other) if other.id == credential),
        );
        self.changes.push(Change::Credential(Credential {
            id: credential,
            parcel: id,
            version,
            holder: Holder::Recipient,
            state: CredentialState::Issued,
        }));
    }

    fn cancel(&mut self, id: ParcelId, version: Version) {
        let state = ParcelState::Cancelled { at: self.at };
        self.change(id, |parcel| {
            parcel.version = version;
            parcel.state = state;
        });
        self.release(id);
        self.credentials(id, &LIVE, CredentialState::Revoked);
    }

    /// It must leave without its recipient; `version` is none if the bank itself came to that.
    pub(super) fn recall(&mut self, id: ParcelId, version: Option<Version>, reason: RecallReason) {
        self.change(id, |parcel| {
            parcel.version = version.unwrap_or(parcel.version);
            parcel.recall = Some(reason);
        });
    }

    pub(super) fn booking_lapsed(&mut self, id: ParcelId) {
        self.parcel(id, ParcelState::BookingExpired { at: self.at });
        self.release(id);
    }

    pub(super) fn reserved(&mut self, reserved: &CompartmentReserved) {
        let &CompartmentReserved { parcel, compartment } = reserved;
        self.compartment(compartment, |held| held.allocation = Allocation::Reserved { parcel });
    }

    /// Gives back what was kept for a parcel.
    fn release(&mut self, parcel: ParcelId) {
        let session = self.view.session();
        let opening =
            session.as_ref().and_then(Session::opening).map(|opening| opening.compartment);
        for held in self.view.compartments() {
            if held.allocation == (Allocation::Reserved { parcel }) {
                let reason = QuarantineReason::InspectionUnfinished;
                let allocation = if opening == Some(held.spec.no) {
                    Allocation::Quarantined { reason, parcel: None }
                } else {
                    Allocation::Free
                };
                self.changes.push(Change::Compartment(Compartment { allocation, ..held }));
            }
        }
    }

    pub(super) fn layout(&mut self, layout: &Layout) {
        self.meta(|meta| meta.layout = layout.generation);
        for spec in &layout.compartments {
            let held = self.view.compartment(spec.no);
            let next = match held {
                Some(held) if held.spec.lock == spec.lock => Compartment { spec: *spec, ..held },
                // Rewired: what the old lock's sensor said and how it worked is of no use.
                Some(held) => {
                    let door = Door::Unknown;
                    let fresh = Compartment::commissioned(*spec);
                    let Compartment { allocation, content, .. } = held;
                    Compartment { allocation, content, door, ..fresh }
                }
                None => Compartment::commissioned(*spec),
            };
            self.changes.push(Change::Compartment(next));
        }
        for held in self.view.compartments() {
            if !layout.compartments.iter().any(|spec| spec.no == held.spec.no) {
                self.changes.push(Change::CompartmentRemoved(held.spec.no));
            }
        }
    }
}
