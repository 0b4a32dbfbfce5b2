//! What deposits, pickups, recalls and inspections change.

use super::{Change, Changes, LIVE};
use crate::bank::{AbortedContent, DepositAborted, DepositConfirmed, DepositMisfit};
use crate::bank::{DepositStarted, Finding, InspectionSettled, InspectionStarted, PickupEnd};
use crate::bank::{PickupSettled, PickupStarted, RecallEnd, RecallSettled, RecallStarted};
use crate::compartment::{Allocation, Compartment, Content, Evidence, Health, QuarantineReason};
use crate::credential::CredentialState;
use crate::ids::{CompartmentNo, ParcelId};
use crate::journal::{LastPickup, View};
use crate::parcel::{Parcel, ParcelState, RecallReason};
use crate::policy::GRACE_MS;
use crate::session::{Handover, Opening, Session, Task};
use crate::units::UnixMillis;

impl<V: View> Changes<'_, V> {
    pub(super) fn deposit_started(&mut self, started: &DepositStarted) {
        let &DepositStarted { session, parcel, compartment, .. } = started;
        let mut other_door = false;
        for held in self.view.compartments() {
            let own = held.spec.no == compartment;
            other_door |= !own && held.door.is_open();
            let kept = held.allocation == (Allocation::Reserved { parcel });
            let allocation = match (own, kept) {
                (true, _) => Allocation::Depositing { session, parcel },
                // Kept for it, but another one is used.
                (false, true) => Allocation::Free,
                (false, false) => continue,
            };
            self.changes.push(Change::Compartment(Compartment { allocation, ..held }));
        }
        self.parcel(parcel, ParcelState::Depositing { session, compartment });
        let opening = Opening { other_door, ..Opening::of(compartment) };
        let handover = Handover { parcel, opening, tried: started.tried.clone() };
        self.session(|session| session.task = Task::Deposit(handover));
    }

    pub(super) fn deposit_misfit(&mut self, misfit: &DepositMisfit) {
        self.compartment(misfit.compartment, |held| {
            held.allocation = Allocation::Free;
            held.content = Content::Empty(Evidence::Attested);
        });
        let left = self.view.compartment(misfit.compartment).map(|held| held.spec.inside);
        let left_mm3 = left.map_or(0, |left| u64::try_from(left.volume_mm3()).unwrap_or(u64::MAX));
        if let Some(parcel) = self.view.parcel(misfit.parcel) {
            let misfit_mm3 = parcel.misfit_mm3.max(left_mm3);
            let state = ParcelState::Booked;
            self.changes.push(Change::Parcel(Parcel { misfit_mm3, state, ..parcel }));
        }
        self.session(|session| session.task = Task::Idle);
    }

    pub(super) fn deposit_aborted(&mut self, aborted: &DepositAborted) {
        let &DepositAborted { parcel, compartment, content, lock_failed, .. } = aborted;
        let hard = self.view.parcel(parcel).is_some_and(|known| known.terms.hard);
        let session = self.view.session();
        let opened = session.as_ref().and_then(Session::opening).and_then(|held| held.opened_at);
        self.compartment(compartment, |held| {
            match content {
                AbortedContent::Untouched if lock_failed && opened.is_some() => {
                    let reason = QuarantineReason::LockFailed;
                    held.allocation = Allocation::Quarantined { reason, parcel: None };
                    held.content = Content::Unknown;
                }
                AbortedContent::Untouched if hard && !lock_failed => {
                    held.allocation = Allocation::Reserved { parcel };
                }
                AbortedContent::Untouched => held.allocation = Allocation::Free,
                AbortedContent::TakenBack => {
                    held.allocation = Allocation::Free;
                    held.content = Content::Empty(Evidence::Attested);
                }
                AbortedContent::Foreign => {
                    let reason = QuarantineReason::FoundOccupied;
                    held.allocation = Allocation::Quarantined { reason, parcel: None };
                    held.content = Content::Unknown;
                }
                AbortedContent::Unknown(reason) => {
                    held.allocation = Allocation::Quarantined { reason, parcel: Some(parcel) };
                    held.content = Content::Unknown;
                }
            }
            if lock_failed {
                held.health = Health::OpenFailed;
            }
        });
        let state = match content {
            AbortedContent::Untouched | AbortedContent::TakenBack | AbortedContent::Foreign => {
                ParcelState::Booked
            }
            AbortedContent::Unknown(_) => ParcelState::Unresolved { compartment },
        };
        self.parcel(parcel, state);
        self.session(|session| session.task = Task::Idle);
    }

    pub(super) fn deposit_confirmed(&mut self, confirmed: &DepositConfirmed) {
        let &DepositConfirmed { parcel, compartment, presumed, .. } = confirmed;
        self.bind_slot(parcel, confirmed.code.as_ref().map(|code| code.slot));
        let evidence = if presumed { Evidence::DoorCycle } else { Evidence::Attested };
        self.compartment(compartment, |held| {
            held.allocation = Allocation::Occupied { parcel };
            held.content = Content::Full(evidence);
        });
        self.parcel(parcel, ParcelState::Stored { compartment, since: self.since });
        self.credentials(parcel, &[CredentialState::Issued], CredentialState::Active);
        self.session(|session| session.task = Task::Idle);
    }

    pub(super) fn pickup_started(&mut self, started: &PickupStarted) {
        let &PickupStarted { session, parcel, compartment, .. } = started;
        self.compartment(compartment, |held| {
            held.allocation = Allocation::Collecting { session, parcel };
        });
        let since = self.stored_since(parcel);
        self.parcel(parcel, ParcelState::Collecting { session, compartment, since });
        let handover = Handover { parcel, opening: Opening::of(compartment), tried: Vec::new() };
        self.session(|session| session.task = Task::Pickup(handover));
    }

    pub(super) fn pickup_settled(&mut self, settled: &PickupSettled) {
        let &PickupSettled { parcel, compartment, end, lock_failed, .. } = settled;
        self.compartment(compartment, |held| {
            (held.allocation, held.content) = after_pickup(end, parcel, held.content);
            if lock_failed {
                held.health = Health::OpenFailed;
            }
        });
        if matches!(end, PickupEnd::Collected { .. }) {
            let own = self.view.parcel(parcel).map(|known| known.credential);
            let until = self.at.plus_ms(GRACE_MS);
            let last = |credential| LastPickup { parcel, compartment, credential, until };
            let last = self.shown_code().or(own).map(last);
            self.meta(|meta| meta.last_pickup = last);
        }
        let since = self.stored_since(parcel);
        let (state, recall) = match end {
            PickupEnd::Collected { .. } | PickupEnd::CollectedDoorOpen => {
                (ParcelState::Collected { at: self.at }, None)
            }
            PickupEnd::NotTaken
            | PickupEnd::NotOpened
            | PickupEnd::Interrupted
            | PickupEnd::Unconfirmed => (ParcelState::Stored { compartment, since }, None),
            PickupEnd::Refused => {
                (ParcelState::Stored { compartment, since }, Some(RecallReason::Refused))
            }
            PickupEnd::FoundEmpty | PickupEnd::WrongParcel => {
                (ParcelState::Unresolved { compartment }, None)
            }
        };
        if let Some(known) = self.view.parcel(parcel) {
            let recall = recall.or(known.recall);
            self.changes.push(Change::Parcel(Parcel { state, recall, ..known }));
        }
        if matches!(state, ParcelState::Collected { .. }) {
            self.credentials(parcel, &LIVE, CredentialState::Consumed);
        } else {
            self.credentials(parcel, &[CredentialState::UsedPending], CredentialState::Active);
        }
        self.session(|session| session.task = Task::Idle);
    }

    pub(super) fn recall_started(&mut self, started: &RecallStarted) {
        let &RecallStarted { session, parcel, compartment } = started;
        self.compartment(compartment, |held| {
            held.allocation = Allocation::Recalling { session, parcel };
        });
        let since = self.stored_since(parcel);
        self.parcel(parcel, ParcelState::Recalling { session, compartment, since });
        let handover = Handover { parcel, opening: Opening::of(compartment), tried: Vec::new() };
        self.session(|session| session.task = Task::Recall(handover));
    }

    pub(super) fn recall_settled(&mut self, settled: &RecallSettled) {
        let &RecallSettled { parcel, compartment, end, lock_failed, .. } = settled;
        let quarantined = |reason| Allocation::Quarantined { reason, parcel: Some(parcel) };
        self.compartment(compartment, |held| {
            (held.allocation, held.content) = match end {
                RecallEnd::Removed => (Allocation::Free, Content::Empty(Evidence::Attested)),
                RecallEnd::FoundEmpty => {
                    (quarantined(QuarantineReason::FoundEmpty), Content::Unknown)
                }
                RecallEnd::NotTaken => {
                    (Allocation::Occupied { parcel }, Content::Full(Evidence::Attested))
                }
                RecallEnd::NotOpened => (Allocation::Occupied { parcel }, held.content),
                RecallEnd::Interrupted => {
                    (quarantined(QuarantineReason::Interrupted), Content::Unknown)
                }
            };
            if lock_failed {
                held.health = Health::OpenFailed;
            }
        });
        let since = self.stored_since(parcel);
        let state = match end {
            RecallEnd::Removed => ParcelState::Recalled { at: self.at },
            RecallEnd::FoundEmpty => ParcelState::Unresolved { compartment },
            RecallEnd::NotTaken | RecallEnd::NotOpened | RecallEnd::Interrupted => {
                ParcelState::Stored { compartment, since }
            }
        };
        self.parcel(parcel, state);
        if end == RecallEnd::Removed {
            self.credentials(parcel, &LIVE, CredentialState::Revoked);
        }
        self.session(|session| session.task = Task::Idle);
    }

    pub(super) fn inspection_started(&mut self, started: &InspectionStarted) {
        let unfinished = QuarantineReason::InspectionUnfinished;
        self.compartment(started.compartment, |held| {
            // What counted as free does not until somebody said what is inside.
            if held.allocation == Allocation::Free {
                held.allocation = Allocation::Quarantined { reason: unfinished, parcel: None };
            }
        });
        let opening = Opening::of(started.compartment);
        self.session(|session| session.task = Task::Inspection(opening));
    }

    pub(super) fn inspection_settled(&mut self, settled: &InspectionSettled) {
        let &InspectionSettled { compartment, finding, .. } = settled;
        match finding {
            Finding::NotOpened => self.compartment(compartment, |held| {
                let reason = QuarantineReason::InspectionUnfinished;
                let closed_off = Allocation::Quarantined { reason, parcel: None };
                // Known to be empty before, and not opened since.
                if held.allocation == closed_off && matches!(held.content, Content::Empty(_)) {
                    held.allocation = Allocation::Free;
                }
            }),
            Finding::Unfinished => self.compartment(compartment, |held| {
                let reason = QuarantineReason::InspectionUnfinished;
                // What was kept for a parcel on its way is nobody's now.
                let parcel = match held.allocation {
                    Allocation::Reserved { .. } => None,
                    Allocation::Free
                    | Allocation::Depositing { .. }
                    | Allocation::Occupied { .. }
                    | Allocation::Collecting { .. }
                    | Allocation::Recalling { .. }
                    | Allocation::Quarantined { .. } => held.parcel(),
                };
                held.allocation = Allocation::Quarantined { reason, parcel };
                held.content = Content::Unknown;
            }),
            Finding::Empty => self.looked(compartment, None, None),
            Finding::Holds(parcel) => self.looked(compartment, Some(parcel), None),
            Finding::TakenOut(parcel) => {
                let state = ParcelState::Recalled { at: self.at };
                self.looked(compartment, None, Some((parcel, state)));
            }
            Finding::HandedOver(parcel) => {
                let state = ParcelState::Collected { at: self.at };
                self.looked(compartment, None, Some((parcel, state)));
            }
        }
        self.session(|session| session.task = Task::Idle);
    }

    /// Staff looked, or a recipient who came back: `inside` is what stays in there, `out` what left it. Whatever else was thought
    /// to be inside is missing.
    fn looked(
        &mut self,
        no: CompartmentNo,
        inside: Option<ParcelId>,
        out: Option<(ParcelId, ParcelState)>,
    ) {
        // A recipient's word, or silence, is no look of staff.
        let by_recipient = self.shown_code().is_some();
        let evidence = if by_recipient { Evidence::DoorCycle } else { Evidence::Inspected };
        self.compartment(no, |held| {
            if held.health == Health::OpenFailed {
                held.health = Health::Ok;
            }
            held.content = match inside {
                Some(_) => Content::Full(evidence),
                None => Content::Empty(evidence),
            };
            held.allocation = match (inside, held.allocation) {
                (Some(parcel), _) => Allocation::Occupied { parcel },
                (None, kept @ Allocation::Reserved { parcel })
                    if out.is_none_or(|(out, _)| out != parcel) =>
                {
                    kept
                }
                (None, _) => Allocation::Free,
            };
        });
        for parcel in self.view.parcels() {
            let id = parcel.id;
            if inside == Some(id) {
                self.found_inside(no, parcel);
            } else if let Some((_, state)) = out.filter(|(out, _)| *out == id) {
                let collected = matches!(state, ParcelState::Collected { .. });
                let to =
                    if collected { CredentialState::Consumed } else { CredentialState::Revoked };
                self.changes.push(Change::Parcel(Parcel { state, ..parcel }));
                self.credentials(id, &LIVE, to);
                self.unlink(no, id);
            } else if parcel.state.compartment() == Some(no) {
                // Never seen inside: the courier still has it. Else its code stays good, in case it
                // is found elsewhere.
                let code = self.view.credential(parcel.credential).map(|held| held.state);
                let state = if code == Some(CredentialState::Issued) {
                    ParcelState::Booked
                } else {
                    ParcelState::Missing { at: self.at }
                };
                self.changes.push(Change::Parcel(Parcel { state, ..parcel }));
                let used = [CredentialState::UsedPending];
                self.credentials(id, &used, CredentialState::Active);
            }
        }
    }

    /// Staff found a parcel: it is stored here from now on. One that should not be here at all is
    /// asked back.
    fn found_inside(&mut self, no: CompartmentNo, parcel: Parcel) {
        let id = parcel.id;
        let unwanted = match parcel.state {
            ParcelState::Booked
            | ParcelState::Depositing { .. }
            | ParcelState::Stored { .. }
            | ParcelState::Collecting { .. }
            | ParcelState::Recalling { .. }
            | ParcelState::Unresolved { .. }
            | ParcelState::BookingExpired { .. }
            | ParcelState::Missing { .. } => false,
            ParcelState::Collected { .. }
            | ParcelState::Cancelled { .. }
            | ParcelState::Recalled { .. } => true,
        };
        let since = parcel.state.stored_since().unwrap_or(self.since);
        let state = ParcelState::Stored { compartment: no, since };
        let recall = if unwanted { Some(RecallReason::Sender) } else { parcel.recall };
        self.changes.push(Change::Parcel(Parcel { state, recall, ..parcel }));
        let waiting = [CredentialState::Issued, CredentialState::UsedPending];
        self.credentials(id, &waiting, CredentialState::Active);
        self.unlink(no, id);
    }

    /// A parcel that was found in `no`, or left it, is not in any other compartment.
    fn unlink(&mut self, no: CompartmentNo, id: ParcelId) {
        for held in self.view.compartments() {
            if held.spec.no == no {
                continue;
            }
            let allocation = match held.allocation {
                Allocation::Quarantined { reason, parcel: Some(linked) } if linked == id => {
                    Allocation::Quarantined { reason, parcel: None }
                }
                Allocation::Reserved { parcel } if parcel == id => Allocation::Free,
                Allocation::Free
                | Allocation::Reserved { .. }
                | Allocation::Depositing { .. }
                | Allocation::Occupied { .. }
                | Allocation::Collecting { .. }
                | Allocation::Recalling { .. }
                | Allocation::Quarantined { .. } => continue,
            };
            self.changes.push(Change::Compartment(Compartment { allocation, ..held }));
        }
    }

    fn stored_since(&self, parcel: ParcelId) -> UnixMillis {
        let known = self.view.parcel(parcel);
        known.and_then(|known| known.state.stored_since()).unwrap_or(self.since)
    }
}

fn after_pickup(end: PickupEnd, parcel: ParcelId, content: Content) -> (Allocation, Content) {
    let quarantined = |reason, parcel| Allocation::Quarantined { reason, parcel };
    match end {
        PickupEnd::Collected { presumed } => {
            let evidence = if presumed { Evidence::DoorCycle } else { Evidence::Attested };
            (Allocation::Free, Content::Empty(evidence))
        }
        PickupEnd::CollectedDoorOpen => {
            (quarantined(QuarantineReason::DoorLeftOpen, None), Content::Unknown)
        }
        PickupEnd::NotTaken => (Allocation::Occupied { parcel }, Content::Full(Evidence::Attested)),
        PickupEnd::NotOpened => (Allocation::Occupied { parcel }, content),
        PickupEnd::Unconfirmed => {
            (Allocation::Occupied { parcel }, Content::Full(Evidence::DoorCycle))
        }
        PickupEnd::Refused => (Allocation::Occupied { parcel }, Content::Full(Evidence::Attested)),
        PickupEnd::FoundEmpty => {
            (quarantined(QuarantineReason::FoundEmpty, Some(parcel)), Content::Unknown)
        }
        PickupEnd::WrongParcel => {
            (quarantined(QuarantineReason::WrongParcel, Some(parcel)), Content::Unknown)
        }
        PickupEnd::Interrupted => {
            (quarantined(QuarantineReason::Interrupted, Some(parcel)), Content::Unknown)
        }
    }
}
