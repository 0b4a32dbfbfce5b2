//! What happened: the only vocabulary that banks and the hub share for events.
//!
//! The list is closed and matched without a wildcard, so that a new fact must be thought through
//! in every place that reads facts.

use crate::bank::{Alarm, BoardReset, BookingLapsed, CommandAnswered, KeepLapsed};
use crate::bank::{BoardChanged, DepositAborted, DepositConfirmed, DepositMisfit, DepositStarted};
use crate::bank::{CodeTyped, KeypadReset};
use crate::bank::{
    DoorMoved, DoorsRead, PickupSettled, PickupStarted, PulseIntended, PulseSettled,
};
use crate::bank::{InspectionSettled, InspectionStarted, RecallSettled, RecallStarted};
use crate::bank::{LockdownBegan, LockdownLiftAsked, LockdownLifted, PowerChanged};
use crate::bank::{SessionEnded, SessionStarted, SlotBound};
use crate::downlink::{CompartmentReserved, ConfigAccepted, ConfigRefused};
use crate::downlink::{GrantAccepted, GrantRefused};
use crate::journal::{Booted, KeyChanged, Sealed, StateCarried, StreamOpened};

/// One thing that happened at a bank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    StreamOpened(StreamOpened),
    Booted(Booted),
    GrantAccepted(GrantAccepted),
    GrantRefused(GrantRefused),
    ConfigAccepted(ConfigAccepted),
    ConfigRefused(ConfigRefused),
    SessionStarted(SessionStarted),
    SessionEnded(SessionEnded),
    DepositStarted(DepositStarted),
    DepositMisfit(DepositMisfit),
    DepositAborted(DepositAborted),
    DepositConfirmed(DepositConfirmed),
    PickupStarted(PickupStarted),
    PickupSettled(PickupSettled),
    PulseIntended(PulseIntended),
    PulseSettled(PulseSettled),
    DoorMoved(DoorMoved),
    DoorsRead(DoorsRead),
    BoardChanged(BoardChanged),
    RecallStarted(RecallStarted),
    RecallSettled(RecallSettled),
    InspectionStarted(InspectionStarted),
    InspectionSettled(InspectionSettled),
    BookingLapsed(BookingLapsed),
    KeepLapsed(KeepLapsed),
    CompartmentReserved(CompartmentReserved),
    Alarm(Alarm),
    LockdownBegan(LockdownBegan),
    LockdownLiftAsked(LockdownLiftAsked),
    LockdownLifted(LockdownLifted),
    BoardReset(BoardReset),
    PowerChanged(PowerChanged),
    CommandAnswered(CommandAnswered),
    CodeTyped(CodeTyped),
    KeypadReset(KeypadReset),
    SlotBound(SlotBound),
    Sealed(Sealed),
    KeyChanged(KeyChanged),
    StateCarried(StateCarried),
}
