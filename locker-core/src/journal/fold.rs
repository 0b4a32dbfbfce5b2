//! What a record changes in a bank's state. A function of the records alone: no clock, no file, no
//! configuration, so that the bank, the hub and an auditor come to the same state.
//!
//! A fact that makes no sense in the state it meets (a damaged peer, a bug) changes nothing that it
//! cannot name; folding never fails and never panics.

use super::{Change, Meta, Record, View};
use crate::bank::{AbortedContent, BoardChanged, DepositAborted, DepositConfirmed, DepositMisfit};
use crate::bank::{DepositStarted, DoorMoved, DoorsRead, PickupEnd, PickupSettled, PickupStarted};
use crate::bank::{PulseIntended, PulseOutcome, PulseSettled, SessionStarted};
use crate::compartment::{Allocation, Compartment, Content, Door, DoorReading, Evidence, Health};
use crate::compartment::{Layout, QuarantineReason};
use crate::credential::{Credential, CredentialState};
use crate::downlink::{Booking, ConfigAccepted, Grant};
use crate::fact::Fact;
use crate::ids::{CompartmentNo, IntentId, ParcelId, Version};
use crate::parcel::{Parcel, ParcelState, REMEMBER_SETTLED_MS};
use crate::session::{Handover, Phase, Session, Task};
use crate::units::UnixMillis;

/// The changes that `record` makes to `view`.
#[must_use]
pub fn fold(view: &impl View, record: &Record) -> Vec<Change> {
    let mut to = Changes { view, at: record.at, changes: Vec::new() };
    match &record.fact {
        Fact::StreamOpened(_) => {}
        Fact::Booted(booted) => to.booted(booted.boot_count),
        Fact::GrantAccepted(accepted) => {
            to.meta(|meta| meta.grants = accepted.position);
            match &accepted.grant {
                Grant::Book(booking) => to.book(booking),
                Grant::Cancel { parcel, version } => to.cancel(*parcel, *version),
            }
        }
        Fact::GrantRefused(refused) => to.meta(|meta| meta.grants = refused.position),
        Fact::ConfigAccepted(ConfigAccepted::Layout(layout)) => to.layout(layout),
        Fact::ConfigAccepted(ConfigAccepted::KeySet(keys)) => {
            to.meta(|meta| meta.keys = keys.clone());
        }
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
    }
    to.changes
}

/// The changes of one record while they are being collected.
struct Changes<'a, V> {
    view: &'a V,
    at: UnixMillis,
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

    fn parcel(&mut self, id: ParcelId, state: ParcelState) {
        if let Some(parcel) = self.view.parcel(id) {
            self.changes.push(Change::Parcel(Parcel { state, ..parcel }));
        }
    }

    fn credential_of(&mut self, parcel: ParcelId, state: CredentialState) {
        let held = self.view.parcel(parcel).and_then(|p| self.view.credential(p.credential));
        if let Some(held) = held {
            self.changes.push(Change::Credential(Credential { state, ..held }));
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
    fn handover(&mut self, no: CompartmentNo, change: impl FnOnce(&mut Handover)) {
        let Some(mut session) = self.view.session() else { return };
        match &mut session.task {
            Task::Deposit(handover) | Task::Pickup(handover) if handover.compartment == no => {
                change(handover);
                session.moved_at = self.at;
                self.changes.push(Change::Session(Some(session)));
            }
            Task::Idle | Task::Deposit(_) | Task::Pickup(_) => {}
        }
    }

    /// A start knows nothing of doors, and is when settled parcels are forgotten.
    fn booted(&mut self, boot_count: u64) {
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

    fn book(&mut self, booking: &Booking) {
        let &Booking { parcel: id, version, size, weight, credential, .. } = booking;
        let superseded = self.view.parcel(id).filter(|known| known.credential != credential);
        if superseded.is_some() {
            self.credential_of(id, CredentialState::Revoked);
        }
        self.changes.push(Change::Parcel(Parcel {
            id,
            carrier: booking.carrier.clone(),
            barcode: booking.barcode.clone(),
            size,
            weight,
            version,
            credential,
            trace: booking.trace.clone(),
            state: ParcelState::Booked,
        }));
        let state = CredentialState::Issued;
        self.changes.push(Change::Credential(Credential {
            id: credential,
            parcel: id,
            version,
            state,
        }));
    }

    fn cancel(&mut self, id: ParcelId, version: Version) {
        let Some(parcel) = self.view.parcel(id) else { return };
        let state = ParcelState::Cancelled { at: self.at };
        self.changes.push(Change::Parcel(Parcel { version, state, ..parcel }));
        self.credential_of(id, CredentialState::Revoked);
    }

    fn layout(&mut self, layout: &Layout) {
        self.meta(|meta| meta.layout = layout.generation);
        for spec in &layout.compartments {
            let held = self.view.compartment(spec.no);
            let next = match held {
                Some(held) if held.spec.lock == spec.lock => Compartment { spec: *spec, ..held },
                // Rewired: what the old lock's sensor said and how it worked is of no use.
                Some(held) => {
                    let door = Door::Unknown;
                    Compartment { spec: *spec, door, health: Health::Ok, pulse: None, ..held }
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

    fn session_started(&mut self, started: &SessionStarted) {
        let SessionStarted { session: id, actor } = started.clone();
        let session = Session { id, actor, task: Task::Idle, moved_at: self.at };
        self.changes.push(Change::Session(Some(session)));
    }

    fn deposit_started(&mut self, started: &DepositStarted) {
        let &DepositStarted { session, parcel, compartment, .. } = started;
        self.compartment(compartment, |held| {
            held.allocation = Allocation::Depositing { session, parcel };
        });
        self.parcel(parcel, ParcelState::Depositing { session, compartment });
        let handover = Handover { tried: started.tried.clone(), ..opening(parcel, compartment) };
        self.session(|session| session.task = Task::Deposit(handover));
    }

    fn deposit_misfit(&mut self, misfit: &DepositMisfit) {
        self.compartment(misfit.compartment, |held| {
            held.allocation = Allocation::Free;
            held.content = Content::Empty(Evidence::Attested);
        });
        self.parcel(misfit.parcel, ParcelState::Booked);
        self.session(|session| session.task = Task::Idle);
    }

    fn deposit_aborted(&mut self, aborted: &DepositAborted) {
        let &DepositAborted { parcel, compartment, content, lock_failed, .. } = aborted;
        self.compartment(compartment, |held| {
            match content {
                AbortedContent::Untouched => held.allocation = Allocation::Free,
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
            AbortedContent::Untouched => ParcelState::Booked,
            AbortedContent::Unknown(_) => ParcelState::Unresolved { compartment },
        };
        self.parcel(parcel, state);
        self.session(|session| session.task = Task::Idle);
    }

    fn deposit_confirmed(&mut self, confirmed: &DepositConfirmed) {
        let &DepositConfirmed { parcel, compartment, presumed, .. } = confirmed;
        let evidence = if presumed { Evidence::DoorCycle } else { Evidence::Attested };
        self.compartment(compartment, |held| {
            held.allocation = Allocation::Occupied { parcel };
            held.content = Content::Full(evidence);
        });
        self.parcel(parcel, ParcelState::Stored { compartment, since: self.at });
        self.credential_of(parcel, CredentialState::Active);
        self.session(|session| session.task = Task::Idle);
    }

    fn pickup_started(&mut self, started: &PickupStarted) {
        let &PickupStarted { session, parcel, compartment, .. } = started;
        self.compartment(compartment, |held| {
            held.allocation = Allocation::Collecting { session, parcel };
        });
        let since = match self.view.parcel(parcel).map(|known| known.state) {
            Some(ParcelState::Stored { since, .. } | ParcelState::Collecting { since, .. }) => {
                since
            }
            Some(
                ParcelState::Booked
                | ParcelState::Depositing { .. }
                | ParcelState::Collected { .. }
                | ParcelState::Cancelled { .. }
                | ParcelState::Unresolved { .. },
            )
            | None => self.at,
        };
        self.parcel(parcel, ParcelState::Collecting { session, compartment, since });
        self.session(|session| session.task = Task::Pickup(opening(parcel, compartment)));
    }

    fn pickup_settled(&mut self, settled: &PickupSettled) {
        let &PickupSettled { parcel, compartment, end, lock_failed, .. } = settled;
        self.compartment(compartment, |held| {
            (held.allocation, held.content) = after_pickup(end, parcel, held.content);
            if lock_failed {
                held.health = Health::OpenFailed;
            }
        });
        let (state, credential) = match end {
            PickupEnd::Collected { .. } | PickupEnd::CollectedDoorOpen => {
                (ParcelState::Collected { at: self.at }, CredentialState::Consumed)
            }
            PickupEnd::NotTaken | PickupEnd::NotOpened | PickupEnd::Interrupted => {
                let since = self.stored_since(parcel);
                (ParcelState::Stored { compartment, since }, CredentialState::Active)
            }
        };
        self.parcel(parcel, state);
        self.credential_of(parcel, credential);
        self.session(|session| session.task = Task::Idle);
    }

    fn stored_since(&self, parcel: ParcelId) -> UnixMillis {
        let state = self.view.parcel(parcel).map(|known| known.state);
        if let Some(ParcelState::Collecting { since, .. }) = state { since } else { self.at }
    }

    fn pulse_intended(&mut self, intended: &PulseIntended) {
        let &PulseIntended { intent, compartment, .. } = intended;
        self.meta(|meta| meta.last_intent = intent);
        self.compartment(compartment, |held| held.pulse = Some(intent));
        self.handover(compartment, |handover| {
            handover.intent = intent;
            handover.pulses = handover.pulses.saturating_add(1);
            handover.phase = Phase::Opening;
        });
    }

    fn pulse_settled(&mut self, settled: &PulseSettled) {
        let &PulseSettled { intent, compartment, outcome } = settled;
        let opened = match outcome {
            PulseOutcome::Opened { .. } | PulseOutcome::AlreadyOpen => true,
            PulseOutcome::NotOpened
            | PulseOutcome::Unknown
            | PulseOutcome::NotSent
            | PulseOutcome::Recovered => false,
        };
        self.compartment(compartment, |held| settle_compartment(held, intent, outcome, opened));
        if opened && let Some(parcel) = self.collecting_in(compartment) {
            self.credential_of(parcel, CredentialState::UsedPending);
        }
        self.handover(compartment, |handover| {
            if outcome == PulseOutcome::NotSent {
                handover.pulses = handover.pulses.saturating_sub(1);
            }
            handover.phase = match (handover.phase, opened) {
                (Phase::Opening | Phase::Stuck, true) => Phase::Open,
                (Phase::Opening | Phase::Stuck, false) => Phase::Stuck,
                // The door was seen to move before the board's answer was settled.
                (seen @ (Phase::Open | Phase::Shut), _) => seen,
            };
        });
    }

    fn collecting_in(&self, no: CompartmentNo) -> Option<ParcelId> {
        let allocation = self.view.compartment(no)?.allocation;
        if let Allocation::Collecting { parcel, .. } = allocation { Some(parcel) } else { None }
    }

    fn door_moved(&mut self, moved: &DoorMoved) {
        let &DoorMoved { compartment, reading, cause } = moved;
        self.compartment(compartment, |held| match (reading, cause) {
            (DoorReading::Closed, _) => held.door = Door::Closed,
            (DoorReading::Open, Some(_)) => held.door = Door::Open,
            (DoorReading::Open, None) => *held = opened_by_nobody(*held),
        });
        if reading == DoorReading::Open
            && cause.is_some()
            && let Some(parcel) = self.collecting_in(compartment)
        {
            self.credential_of(parcel, CredentialState::UsedPending);
        }
        self.handover(compartment, |handover| turn(handover, reading));
    }

    fn doors_read(&mut self, read: &DoorsRead) {
        let session = self.view.session();
        let busy =
            session.as_ref().and_then(Session::handover).map(|handover| handover.compartment);
        for &(no, reading) in &read.readings {
            self.compartment(no, |held| match reading {
                DoorReading::Closed => held.door = Door::Closed,
                DoorReading::Open if busy == Some(no) => held.door = Door::Open,
                DoorReading::Open if held.allocation == Allocation::Free => {
                    *held = opened_by_nobody(*held);
                }
                // Known to hold something or to need a look already: the reading is a baseline.
                DoorReading::Open => held.door = Door::Open,
            });
            if busy == Some(no) {
                self.handover(no, |handover| turn(handover, reading));
            }
        }
    }

    fn board_changed(&mut self, changed: &BoardChanged) {
        let on_board = |held: &Compartment| held.spec.lock.board == changed.board;
        for held in self.view.compartments().into_iter().filter(on_board) {
            let (door, health) = match (changed.online, held.health) {
                (true, Health::Unreachable) => (Door::Unknown, Health::Ok),
                (true, health @ (Health::Ok | Health::OpenFailed)) => (held.door, health),
                (false, _) => (Door::Unknown, Health::Unreachable),
            };
            self.changes.push(Change::Compartment(Compartment { door, health, ..held }));
        }
    }
}

const fn opening(parcel: ParcelId, compartment: CompartmentNo) -> Handover {
    Handover {
        parcel,
        compartment,
        intent: IntentId(0),
        pulses: 0,
        phase: Phase::Opening,
        tried: Vec::new(),
    }
}

fn turn(handover: &mut Handover, reading: DoorReading) {
    handover.phase = match (handover.phase, reading) {
        (_, DoorReading::Open) => Phase::Open,
        (Phase::Open | Phase::Shut, DoorReading::Closed) => Phase::Shut,
        (phase @ (Phase::Opening | Phase::Stuck), DoorReading::Closed) => phase,
    };
}

fn settle_compartment(
    held: &mut Compartment,
    intent: IntentId,
    outcome: PulseOutcome,
    opened: bool,
) {
    if held.pulse == Some(intent) {
        held.pulse = None;
    }
    match outcome {
        PulseOutcome::Opened { .. } | PulseOutcome::AlreadyOpen => {
            if held.health == Health::OpenFailed {
                held.health = Health::Ok;
            }
        }
        PulseOutcome::Unknown | PulseOutcome::Recovered => held.door = Door::Unknown,
        PulseOutcome::NotOpened | PulseOutcome::NotSent => {}
    }
    // The door's own report may have come first, and may even have said "shut" again.
    if opened && held.door == Door::Unknown {
        held.door = Door::Open;
    }
}

fn opened_by_nobody(held: Compartment) -> Compartment {
    let allocation = match held.allocation {
        Allocation::Free => {
            Allocation::Quarantined { reason: QuarantineReason::OpenedByNobody, parcel: None }
        }
        held @ (Allocation::Depositing { .. }
        | Allocation::Occupied { .. }
        | Allocation::Collecting { .. }
        | Allocation::Quarantined { .. }) => held,
    };
    Compartment { door: Door::ForcedOpen, content: Content::Unknown, allocation, ..held }
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
        PickupEnd::Interrupted => {
            (quarantined(QuarantineReason::Interrupted, Some(parcel)), Content::Unknown)
        }
    }
}

#[cfg(test)]
mod tests;
