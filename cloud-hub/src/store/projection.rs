//! What a bank's facts make of a parcel in the hub. Pure.
//!
//! The bank says what happened, the hub says what was entitled: a parcel that the hub cancelled and
//! a courier deposited nevertheless is inside, and is asked back.

use locker_core::ids::CompartmentNo;
use locker_core::units::UnixMillis;

use super::rows::{EventKind, HubParcelState, ParcelRow};

/// What a fact says of its parcel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ParcelStep {
    DepositStarted(CompartmentNo),
    /// The deposit ended with the parcel in the courier's hands.
    DepositReturned,
    DepositUnresolved(CompartmentNo),
    DepositConfirmed(CompartmentNo),
    PickupStarted(CompartmentNo),
    /// The pickup ended with the parcel inside.
    PickupReturned(CompartmentNo),
    Collected,
    /// The bank did not take the booking over.
    BookingRefused,
}

/// What follows from a step besides the parcel's new state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Consequences {
    /// The parcel changed, and this event says so.
    pub(super) event: Option<EventKind>,
    /// The recipient can be told.
    pub(super) notice: bool,
    /// The bank expects the parcel again, which the hub has cancelled: it must be told again.
    pub(super) cancel_again: bool,
}

/// Applies a step. `expires_at` is until when a code works if the parcel is stored by it.
pub(super) fn apply(
    parcel: &mut ParcelRow,
    step: ParcelStep,
    expires_at: UnixMillis,
    now: UnixMillis,
) -> Consequences {
    use HubParcelState as State;
    let from = parcel.state;
    let changed = |event| Consequences { event: Some(event), ..Consequences::default() };
    let (state, compartment, consequences) = match (step, from) {
        (ParcelStep::DepositStarted(no), State::Booked | State::Depositing) => {
            (State::Depositing, Some(no), changed(EventKind::ParcelDepositing))
        }
        (ParcelStep::DepositReturned, State::Depositing) => {
            (State::Booked, None, changed(EventKind::ParcelDepositAborted))
        }
        (ParcelStep::DepositReturned, State::Cancelled) => {
            return Consequences { cancel_again: true, ..Consequences::default() };
        }
        (
            ParcelStep::DepositUnresolved(no),
            State::Booked | State::Depositing | State::Cancelled,
        ) => (State::Unresolved, Some(no), changed(EventKind::ParcelUnresolved)),
        (ParcelStep::DepositConfirmed(no), State::Booked | State::Depositing) => {
            parcel.expires_at = Some(expires_at);
            let consequences = Consequences { notice: true, ..changed(EventKind::ParcelStored) };
            (State::Stored, Some(no), consequences)
        }
        (ParcelStep::DepositConfirmed(no), State::Cancelled) => {
            (State::RecallRequested, Some(no), changed(EventKind::ParcelRecallRequested))
        }
        (ParcelStep::PickupStarted(no), State::Stored) => {
            (State::Collecting, Some(no), changed(EventKind::ParcelCollecting))
        }
        (ParcelStep::PickupReturned(no), State::Collecting) => {
            (State::Stored, Some(no), changed(EventKind::ParcelPickupAborted))
        }
        (ParcelStep::Collected, State::Stored | State::Collecting | State::RecallRequested) => {
            (State::Collected, None, changed(EventKind::ParcelCollected))
        }
        (ParcelStep::BookingRefused, State::Booked) => {
            parcel.bank = None;
            parcel.credential = None;
            (State::Announced, None, changed(EventKind::ParcelBookingRefused))
        }
        // Where the hub knows better, or both know the same.
        (
            ParcelStep::DepositStarted(_)
            | ParcelStep::DepositReturned
            | ParcelStep::DepositUnresolved(_)
            | ParcelStep::DepositConfirmed(_)
            | ParcelStep::PickupStarted(_)
            | ParcelStep::PickupReturned(_)
            | ParcelStep::Collected
            | ParcelStep::BookingRefused,
            State::Announced
            | State::Booked
            | State::Depositing
            | State::Stored
            | State::Collecting
            | State::Collected
            | State::Cancelled
            | State::Unresolved
            | State::RecallRequested,
        ) => return Consequences::default(),
    };
    parcel.state = state;
    parcel.compartment = compartment;
    parcel.updated_at = now;
    consequences
}

#[cfg(test)]
mod tests;
