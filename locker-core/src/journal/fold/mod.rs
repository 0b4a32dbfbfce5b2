//! What a record changes in a bank's state. A function of the records alone: no clock, no file, no
//! configuration, so that the bank, the hub and an auditor come to the same state.
//!
//! A fact that makes no sense in the state it meets (a damaged peer, a bug) changes nothing that it
//! cannot name; folding never fails and never panics.

mod code;
mod door;
mod handover;
mod hub;

use super::{Change, Lockdown, Meta, Record, StateCarried, View};
use crate::bank::{PowerSource, SessionStarted};
use crate::clock::TimeQuality;
use crate::code::budget::{Entry, judge};
use crate::compartment::Compartment;
use crate::credential::{Credential, CredentialState};
use crate::fact::Fact;
use crate::ids::{CompartmentNo, ParcelId};
use crate::parcel::{Parcel, ParcelState, RecallReason, SINCE_UNKNOWN};
use crate::session::{Opening, Session, Task};
use crate::units::UnixMillis;

/// States in which a credential may still become good for something.
const LIVE: [CredentialState; 3] =
    [CredentialState::Issued, CredentialState::Active, CredentialState::UsedPending];

/// The changes that `record` makes to `view`.
#[must_use]
pub fn fold(view: &impl View, record: &Record) -> Vec<Change> {
    let mut to = Changes { view, at: record.at, since: latest(record), changes: Vec::new() };
    match &record.fact {
        Fact::StreamOpened(opened) => to.meta(|meta| {
            meta.device_key = Some(opened.device_key);
            meta.parent = opened.parent;
        }),
        Fact::Booted(booted) => to.booted(booted.boot_count),
        Fact::GrantAccepted(accepted) => {
            to.meta(|meta| meta.grants = accepted.position);
            to.granted(&accepted.grant);
        }
        Fact::GrantRefused(refused) => to.meta(|meta| meta.grants = refused.position),
        Fact::ConfigAccepted(accepted) => to.configured(accepted),
        Fact::ConfigRefused(_) => {}
        Fact::SessionStarted(started) => to.session_started(started),
        Fact::SessionEnded(_) => to.changes.push(Change::Session(None)),
        Fact::DepositStarted(started) => to.deposit_started(started),
        Fact::DepositMisfit(misfit) => to.deposit_misfit(misfit),
        Fact::DepositAborted(aborted) => to.deposit_aborted(aborted),
        Fact::DepositConfirmed(confirmed) => to.deposit_confirmed(confirmed),
        Fact::PickupStarted(started) => to.pickup_started(started),
        Fact::PickupSettled(settled) => to.pickup_settled(settled),
        Fact::PulseIntended(intended) => to.pulse_intended(intended),
        Fact::PulseSettled(settled) => to.pulse_settled(settled),
        Fact::DoorMoved(moved) => to.door_moved(moved),
        Fact::DoorsRead(read) => to.doors_read(read),
        Fact::BoardChanged(changed) => to.board_changed(changed),
        Fact::RecallStarted(started) => to.recall_started(started),
        Fact::RecallSettled(settled) => to.recall_settled(settled),
        Fact::InspectionStarted(started) => to.inspection_started(started),
        Fact::InspectionSettled(settled) => to.inspection_settled(settled),
        Fact::BookingLapsed(lapsed) => to.booking_lapsed(lapsed.parcel),
        Fact::KeepLapsed(lapsed) => to.recall(lapsed.parcel, None, RecallReason::Expired),
        Fact::CompartmentReserved(reserved) => to.reserved(reserved),
        Fact::Alarm(alarm) => to.alarm(*alarm),
        Fact::LockdownBegan(began) => {
            let (since, reason) = (record.at, began.reason);
            to.meta(|meta| {
                meta.lockdown = Some(Lockdown { since, reason, lift_asked_by: None });
            });
        }
        Fact::LockdownLiftAsked(asked) => to.meta(|meta| {
            if let Some(lockdown) = &mut meta.lockdown {
                lockdown.lift_asked_by = Some(asked.badge);
            }
        }),
        Fact::LockdownLifted(_) => to.meta(|meta| meta.lockdown = None),
        Fact::BoardReset(reset) => to.board_reset(reset.board),
        Fact::PowerChanged(changed) => {
            to.meta(|meta| meta.on_battery = changed.source == PowerSource::Battery);
        }
        Fact::CommandAnswered(_) => {}
        Fact::CodeTyped(typed) => {
            let entry = Entry::Keypad { suffix: typed.suffix, verdict: typed.verdict };
            let (_, budget) = judge(&view.budget(), entry, &typed.now);
            to.changes.push(Change::Budget(budget));
        }
        Fact::KeypadReset(_) => {
            to.changes.push(Change::Budget(view.budget().reset_by_staff()));
        }
        Fact::SlotBound(bound) => to.bind_slot(bound.parcel, Some(bound.code.slot)),
        Fact::Sealed(_) => {
            to.meta(|meta| meta.sealed = record.seq);
            to.date_what_has_no_time();
        }
        Fact::KeyChanged(changed) => to.meta(|meta| meta.device_key = Some(changed.new)),
        Fact::StateCarried(carried) => to.state_carried(carried),
    }
    to.limit_spent_slots();
    to.changes
}

/// The latest time that `record` can have been written: what is promised from there on lapses later rather
/// than sooner.
fn latest(record: &Record) -> UnixMillis {
    match record.quality {
        TimeQuality::Bounded { within_ms } => record.at.plus_ms(u64::from(within_ms)),
        TimeQuality::Unknown => SINCE_UNKNOWN,
    }
}

/// The changes of one record while they are being collected.
struct Changes<'a, V> {
    view: &'a V,
    at: UnixMillis,
    /// From when on a stay counts that begins with this record.
    since: UnixMillis,
    changes: Vec<Change>,
}

impl<V: View> Changes<'_, V> {
    fn meta(&mut self, change: impl FnOnce(&mut Meta)) {
        let mut meta = self.view.meta();
        change(&mut meta);
        self.changes.push(Change::Meta(meta));
    }

    fn compartment(&mut self, no: CompartmentNo, change: impl FnOnce(&mut Compartment)) {
        if let Some(mut held) = self.view.compartment(no) {
            change(&mut held);
            self.changes.push(Change::Compartment(held));
        }
    }

    /// Only before the first start of a stream that goes on from another: no later record may say
    /// what is inside without anybody having looked.
    fn state_carried(&mut self, carried: &StateCarried) {
        let Meta { boot_count, parent, device_key, .. } = self.view.meta();
        if boot_count > 0 || parent.is_none() {
            return;
        }
        self.changes.extend(carried.entities().iter().cloned().map(|change| match change {
            Change::Meta(meta) => {
                Change::Meta(Meta { boot_count, parent, device_key, sealed: 0, ..meta })
            }
            Change::Compartment(_)
            | Change::CompartmentRemoved(_)
            | Change::Parcel(_)
            | Change::ParcelForgotten(_)
            | Change::Credential(_)
            | Change::Session(_)
            | Change::Governor(_)
            | Change::Slot(_)
            | Change::SlotForgotten(_)
            | Change::Budget(_)
            | Change::CourierCodes(_) => change,
        }));
    }

    fn parcel(&mut self, id: ParcelId, state: ParcelState) {
        if let Some(parcel) = self.view.parcel(id) {
            self.changes.push(Change::Parcel(Parcel { state, ..parcel }));
        }
    }

    /// Parcels that came while the bank did not know the time are taken to have come just now, if it does.
    fn date_what_has_no_time(&mut self) {
        if self.since == SINCE_UNKNOWN {
            return;
        }
        for id in self.view.compartments().iter().filter_map(Compartment::parcel) {
            if let Some(parcel) = self.view.parcel(id)
                && parcel.state.stored_since() == Some(SINCE_UNKNOWN)
            {
                let state = parcel.state.inside_since(self.since);
                self.changes.push(Change::Parcel(Parcel { state, ..parcel }));
            }
        }
    }

    /// Changes the state of each of a parcel's credentials that is in one of `from`.
    fn credentials(&mut self, parcel: ParcelId, from: &[CredentialState], to: CredentialState) {
        for held in self.view.credentials_of(parcel) {
            if from.contains(&held.state) {
                self.changes.push(Change::Credential(Credential { state: to, ..held }));
            }
        }
    }

    fn session(&mut self, change: impl FnOnce(&mut Session)) {
        if let Some(mut session) = self.view.session() {
            session.moved_at = self.at;
            change(&mut session);
            self.changes.push(Change::Session(Some(session)));
        }
    }

    /// Changes the opening of `no`, if that is what the session is busy with.
    fn opening(&mut self, no: CompartmentNo, change: impl FnOnce(&mut Opening)) {
        let Some(mut session) = self.view.session() else { return };
        match session.opening_mut() {
            Some(opening) if opening.compartment == no => change(opening),
            Some(_) | None => return,
        }
        session.moved_at = self.at;
        self.changes.push(Change::Session(Some(session)));
    }

    fn session_started(&mut self, started: &SessionStarted) {
        let SessionStarted { session: id, actor } = started.clone();
        let session = Session { id, actor, task: Task::Idle, moved_at: self.at };
        self.changes.push(Change::Session(Some(session)));
    }
}

#[cfg(test)]
mod tests;
