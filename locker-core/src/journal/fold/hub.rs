//! What the hub's decisions, a start, and the passing of time change.

use super::{Change, Changes, LIVE};
use crate::compartment::{Allocation, Compartment, Door, Layout, QuarantineReason};
use crate::credential::{Credential, CredentialState, Holder};
use crate::downlink::{Booking, CompartmentReserved, Grant, booked};
use crate::downlink::{ConfigAccepted, ConfigDocument};
use crate::ids::{CredentialId, HubEpoch, ParcelId, Version};
use crate::journal::{HeldSlot, View};
use crate::parcel::{
    FORGOTTEN_PER_BOOKING_MAX, Parcel, ParcelState, REMEMBER_SETTLED_MS, RecallReason,
};
use crate::session::Session;

impl<V: View> Changes<'_, V> {
    /// A start knows nothing of doors, and is when all parcels that settled long ago are forgotten.
    pub(super) fn booted(&mut self, boot_count: u64) {
        self.meta(|meta| {
            meta.boot_count = boot_count;
            // Nobody knows how long the agent was away, or what time it is.
            meta.last_pickup = None;
        });
        for held in self.view.compartments() {
            self.changes.push(Change::Compartment(Compartment { door: Door::Unknown, ..held }));
        }
        self.forget_settled(usize::MAX, None);
    }

    /// Forgets the longest settled parcels, at most `max`, but not `kept`. With each booking a few, so
    /// that a bank that never starts again does not fill up.
    fn forget_settled(&mut self, max: usize, kept: Option<ParcelId>) {
        let before = self.at.minus_ms(REMEMBER_SETTLED_MS);
        for parcel in self.view.settled_before(before, max, kept) {
            self.changes.push(Change::ParcelForgotten(parcel));
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
                // New digits, if there are any, come as a fact of their own.
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
                let own = self.view.parcel(parcel).map(|known| known.credential);
                if own == Some(credential) {
                    self.forget_codes(parcel);
                }
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
        self.forget_settled(FORGOTTEN_PER_BOOKING_MAX, Some(id));
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

    pub(super) fn configured(&mut self, accepted: &ConfigAccepted) {
        let epoch = accepted.epoch;
        match &accepted.document {
            ConfigDocument::Layout(layout) => self.layout(layout, epoch),
            ConfigDocument::KeySet(keys) => self.meta(|meta| meta.keys = keys.clone()),
            ConfigDocument::Mode(mode) => self.meta(|meta| {
                meta.mode = *mode;
                meta.config_epochs.mode = epoch;
            }),
            ConfigDocument::Quota(quota) => self.meta(|meta| {
                meta.quota = quota.clone();
                meta.config_epochs.quota = epoch;
            }),
            ConfigDocument::CourierCodes(codes) => {
                self.meta(|meta| meta.config_epochs.courier_codes = epoch);
                self.changes.push(Change::CourierCodes(codes.clone()));
            }
        }
    }

    fn layout(&mut self, layout: &Layout, epoch: HubEpoch) {
        self.meta(|meta| {
            meta.layout = layout.generation;
            meta.config_epochs.layout = epoch;
        });
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
