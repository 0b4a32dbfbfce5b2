//! What pulses, doors, boards and alarms change.

use super::{Change, Changes};
use crate::bank::{Alarm, BoardChanged, DoorMoved, DoorsRead, OpenerKind, PulseIntended};
use crate::bank::{PulseOutcome, PulseSettled};
use crate::compartment::QuarantineReason;
use crate::compartment::{Allocation, Compartment, Content, Door, DoorReading, Health};
use crate::credential::{Credential, CredentialState};
use crate::ids::{CompartmentNo, CredentialId, IntentId, ParcelId};
use crate::journal::{LastPickup, View};
use crate::session::{Actor, Opening, Phase, Session};
use crate::units::UnixMillis;

impl<V: View> Changes<'_, V> {
    pub(super) fn pulse_intended(&mut self, intended: &PulseIntended) {
        let &PulseIntended { intent, compartment, .. } = intended;
        let shown = self.shown_code();
        self.meta(|meta| {
            meta.last_intent = intent;
            let other = |last: &LastPickup| {
                last.compartment == compartment && Some(last.credential) != shown
            };
            // Somebody else is let in.
            meta.last_pickup = meta.last_pickup.filter(|last| !other(last));
        });
        self.compartment(compartment, |held| held.pulse = Some(intent));
        if let Some(session) = self.view.session() {
            let mut governor = self.view.governor();
            governor.opened(OpenerKind::of(&session.actor), self.at);
            self.changes.push(Change::Governor(governor));
        }
        self.opening(compartment, |opening| {
            if opening.phase == Phase::Shut {
                opening.reopened = opening.reopened.saturating_add(1);
                opening.pulses = 0;
            }
            opening.intent = intent;
            opening.pulses = opening.pulses.saturating_add(1);
            opening.phase = Phase::Opening;
            // Whoever asked for it is there.
            opening.left_open = false;
        });
    }

    pub(super) fn pulse_settled(&mut self, settled: &PulseSettled) {
        let &PulseSettled { intent, compartment, outcome } = settled;
        let opened = match outcome {
            PulseOutcome::Opened { .. } | PulseOutcome::AlreadyOpen => true,
            PulseOutcome::NotOpened
            | PulseOutcome::Unknown
            | PulseOutcome::NotSent
            | PulseOutcome::Recovered => false,
        };
        let at = self.at;
        self.compartment(compartment, |held| {
            settle_compartment(held, intent, outcome, opened);
            held.pulsed_at = (!opened).then_some(at);
        });
        if opened && let Some(parcel) = self.collecting_in(compartment) {
            self.use_code(parcel);
        }
        self.opening(compartment, |opening| {
            if outcome == PulseOutcome::NotSent {
                opening.pulses = opening.pulses.saturating_sub(1);
            }
            if opened && opening.opened_at.is_none() {
                opening.opened_at = Some(at);
            }
            opening.phase = match (opening.phase, opened) {
                (Phase::Opening | Phase::Stuck, true) => Phase::Open,
                // It was open before: the person is asked again what is inside.
                (Phase::Opening | Phase::Stuck, false) if opening.reopened > 0 => Phase::Shut,
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

    pub(super) fn door_moved(&mut self, moved: &DoorMoved) {
        let &DoorMoved { compartment, reading, cause, .. } = moved;
        self.compartment(compartment, |held| match (reading, cause) {
            (DoorReading::Closed, _) => {
                held.door = Door::Closed;
                held.open_too_long = false;
            }
            (DoorReading::Open, Some(_)) => held.door = Door::Open,
            (DoorReading::Open, None) => *held = opened_by_nobody(*held),
        });
        if reading == DoorReading::Open
            && cause.is_some()
            && let Some(parcel) = self.collecting_in(compartment)
        {
            self.use_code(parcel);
        }
        let at = self.at;
        self.opening(compartment, |opening| turn(opening, reading, at));
        if reading == DoorReading::Open && cause.is_none() {
            self.other_door_moved(compartment);
        }
    }

    /// Somebody at the screen may have used another door than the one that was opened for them.
    fn other_door_moved(&mut self, no: CompartmentNo) {
        let Some(mut session) = self.view.session() else { return };
        match session.opening_mut() {
            Some(opening) if opening.compartment != no && !opening.other_door => {
                opening.other_door = true;
            }
            Some(_) | None => return,
        }
        self.changes.push(Change::Session(Some(session)));
    }

    /// Whoever shuts it now need not be the person at the screen. Nobody did anything, so the session's
    /// deadline stays where it is.
    fn left_open(&mut self, no: CompartmentNo) {
        let Some(mut session) = self.view.session() else { return };
        match session.opening_mut() {
            Some(opening) if opening.compartment == no => opening.left_open = true,
            Some(_) | None => return,
        }
        self.changes.push(Change::Session(Some(session)));
    }

    /// The code that opened the door is used up as soon as the parcel is taken.
    fn use_code(&mut self, parcel: ParcelId) {
        let shown = self.shown_code().and_then(|code| self.view.credential(code));
        // One code may open several parcels of a person, each of which has its own.
        let own = || self.view.credential(self.view.parcel(parcel)?.credential);
        let used = shown.filter(|held| held.parcel == parcel).or_else(own);
        if let Some(held) = used
            && held.state == CredentialState::Active
        {
            let state = CredentialState::UsedPending;
            self.changes.push(Change::Credential(Credential { state, ..held }));
        }
    }

    /// The code of the recipient at the screen.
    pub(super) fn shown_code(&self) -> Option<CredentialId> {
        match self.view.session()?.actor {
            Actor::Recipient { credential } => Some(credential),
            Actor::Courier { .. } | Actor::Staff { .. } => None,
        }
    }

    pub(super) fn doors_read(&mut self, read: &DoorsRead) {
        let session = self.view.session();
        let busy = session.as_ref().and_then(Session::opening).map(|opening| opening.compartment);
        let at = self.at;
        for &(no, reading) in &read.readings {
            self.compartment(no, |held| match reading {
                DoorReading::Closed => {
                    held.door = Door::Closed;
                    // Somebody shut it while nobody looked.
                    held.open_too_long = false;
                }
                DoorReading::Open if busy == Some(no) => held.door = Door::Open,
                DoorReading::Open if counts_as_empty(held) => {
                    *held = opened_by_nobody(*held);
                }
                // Known to hold something or to need a look already: the reading is a baseline.
                DoorReading::Open => held.door = Door::Open,
            });
            if busy == Some(no) {
                self.opening(no, |opening| turn(opening, reading, at));
            }
        }
    }

    pub(super) fn board_changed(&mut self, changed: &BoardChanged) {
        let on_board = |held: &Compartment| held.spec.lock.board == changed.board;
        for held in self.view.compartments().into_iter().filter(on_board) {
            let (door, health) = match (changed.online, held.health) {
                (true, Health::Unreachable) => (Door::Unknown, Health::Ok),
                (true, health @ (Health::Ok | Health::OpenFailed)) => (held.door, health),
                (_, Health::Stopped) => (Door::Unknown, Health::Stopped),
                (false, Health::Ok | Health::OpenFailed | Health::Unreachable) => {
                    (Door::Unknown, Health::Unreachable)
                }
            };
            self.changes.push(Change::Compartment(Compartment { door, health, ..held }));
        }
    }

    pub(super) fn board_reset(&mut self, board: u8) {
        for held in self.view.compartments() {
            if held.spec.lock.board == board && held.health == Health::Stopped {
                let health = Health::Ok;
                self.changes.push(Change::Compartment(Compartment { health, ..held }));
            }
        }
    }

    pub(super) fn alarm(&mut self, alarm: Alarm) {
        match alarm {
            Alarm::DoorOpenTooLong(no) => {
                self.compartment(no, |held| held.open_too_long = true);
                self.left_open(no);
            }
            Alarm::SensorDoubt(no) => self.compartment(no, |held| held.sensor_doubt = true),
            Alarm::BoardPower { board } | Alarm::AddressClash { board } => {
                for held in self.view.compartments() {
                    if held.spec.lock.board == board {
                        let health = Health::Stopped;
                        self.changes.push(Change::Compartment(Compartment { health, ..held }));
                    }
                }
            }
            // The budget says so itself; a start changes nothing.
            Alarm::KeypadClosed | Alarm::Restarting => {}
            Alarm::TooManyOpenings(_) => {
                let mut governor = self.view.governor();
                governor.tripped(self.at);
                self.changes.push(Change::Governor(governor));
            }
        }
    }
}

fn turn(opening: &mut Opening, reading: DoorReading, at: UnixMillis) {
    // A door that springs open again without a pulse says nothing of who stands there: what is known of
    // the first time stays.
    if reading == DoorReading::Open && opening.phase != Phase::Shut {
        opening.opened_at = Some(at);
    }
    opening.phase = match (opening.phase, reading) {
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

/// Whether it is offered, or kept for a parcel on its way.
const fn counts_as_empty(held: &Compartment) -> bool {
    matches!(held.allocation, Allocation::Free | Allocation::Reserved { .. })
}

fn opened_by_nobody(held: Compartment) -> Compartment {
    let allocation = match held.allocation {
        Allocation::Free => {
            Allocation::Quarantined { reason: QuarantineReason::OpenedByNobody, parcel: None }
        }
        // Kept for a parcel, but nobody knows what is inside now.
        Allocation::Reserved { .. } => {
            Allocation::Quarantined { reason: QuarantineReason::OpenedByNobody, parcel: None }
        }
        held @ (Allocation::Depositing { .. }
        | Allocation::Occupied { .. }
        | Allocation::Collecting { .. }
        | Allocation::Recalling { .. }
        | Allocation::Quarantined { .. }) => held,
    };
    Compartment { door: Door::ForcedOpen, content: Content::Unknown, allocation, ..held }
}
