//! The facts that sessions and doors leave behind.

use crate::code::budget::{Now, Verdict};
use crate::code::second_factor::SuffixTag;
use crate::code::slot::{Sealed, SlotId};
use crate::compartment::{DoorReading, QuarantineReason};
use crate::ids::{CommandId, CompartmentNo, CredentialId, IntentId, ParcelId, SessionId};
use crate::session::{Actor, SessionEnd};

/// Somebody began to use the screen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionStarted {
    pub session: SessionId,
    pub actor: Actor,
}

/// Nobody is at the screen any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionEnded {
    pub session: SessionId,
    pub end: SessionEnd,
}

/// A compartment was chosen for a parcel that a courier holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DepositStarted {
    pub session: SessionId,
    pub parcel: ParcelId,
    pub compartment: CompartmentNo,
    /// Compartments that this deposit tried before and left.
    pub tried: Vec<CompartmentNo>,
}

/// The parcel did not fit and was taken out again, the courier says; the door is shut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DepositMisfit {
    pub session: SessionId,
    pub parcel: ParcelId,
    pub compartment: CompartmentNo,
    /// No larger compartment was free: the courier takes the parcel away again.
    pub gave_up: bool,
}

/// A deposit ended without a parcel being stored for certain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DepositAborted {
    pub session: SessionId,
    pub parcel: ParcelId,
    pub compartment: CompartmentNo,
    pub content: AbortedContent,
    /// The lock did not open although pulsed as often as allowed.
    pub lock_failed: bool,
}

/// What an aborted deposit left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AbortedContent {
    /// Nothing was put in. The door never opened, so it is as it was before; or it opened and jammed,
    /// which counts as a failed lock, and what was inside before is in doubt.
    Untouched,
    /// The door opened or may have: not known.
    Unknown(QuarantineReason),
    /// The courier shut it empty and has the parcel.
    TakenBack,
    /// Something that nobody knows of was inside; the courier has the parcel.
    Foreign,
}

/// The parcel is inside and the door is shut: custody has passed to the bank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DepositConfirmed {
    pub session: SessionId,
    pub parcel: ParcelId,
    pub compartment: CompartmentNo,
    /// The courier left without a word; the door went open and shut.
    pub presumed: bool,
    /// The six digits that open it, if there were any left: else its QR code alone does.
    pub code: Option<BoundCode>,
}

/// A slot that is a parcel's from now on. The sealed digits go back to the hub unread, so that any
/// hub that has the key knows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundCode {
    pub slot: SlotId,
    pub sealed: Sealed,
}

/// A parcel that is inside has other six digits from now on: its code was issued again. Those that it
/// had before open nothing any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotBound {
    pub parcel: ParcelId,
    pub code: BoundCode,
}

/// Six digits were typed, and what came of them. Durable before the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodeTyped {
    pub suffix: Option<SuffixTag>,
    pub verdict: Verdict,
    pub now: Now,
}

/// Staff opened the keypad again after too many wrong codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeypadReset {
    pub badge: CredentialId,
}

/// A recipient's code was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PickupStarted {
    pub session: SessionId,
    pub parcel: ParcelId,
    pub compartment: CompartmentNo,
    pub credential: CredentialId,
}

/// A pickup ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PickupSettled {
    pub session: SessionId,
    pub parcel: ParcelId,
    pub compartment: CompartmentNo,
    pub end: PickupEnd,
    /// The lock did not open although pulsed as often as allowed.
    pub lock_failed: bool,
}

/// How a pickup ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PickupEnd {
    /// Taken, the door is shut. `presumed`: nobody said so.
    Collected { presumed: bool },
    /// The recipient left with the door open.
    CollectedDoorOpen,
    /// The recipient says that the parcel is still inside.
    NotTaken,
    /// The door did not open.
    NotOpened,
    /// It is not known whether the door opened: the board went silent or the agent stopped.
    Interrupted,
    /// The door was open too short a time for anything to be taken out, and nobody said a word.
    Unconfirmed,
    /// The recipient does not want it and put it back.
    Refused,
    /// The recipient found nothing inside.
    FoundEmpty,
    /// The recipient found a parcel of somebody else and put it back.
    WrongParcel,
}

/// A recall was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecallStarted {
    pub session: SessionId,
    pub parcel: ParcelId,
    pub compartment: CompartmentNo,
}

/// A recall ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecallSettled {
    pub session: SessionId,
    pub parcel: ParcelId,
    pub compartment: CompartmentNo,
    pub end: RecallEnd,
    /// The lock did not open although pulsed as often as allowed.
    pub lock_failed: bool,
}

/// How a recall ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecallEnd {
    /// Taken out, its label read, the door shut.
    Removed,
    /// Nothing was inside.
    FoundEmpty,
    /// Left inside.
    NotTaken,
    /// The door did not open.
    NotOpened,
    /// It is not known what happened.
    Interrupted,
}

/// Staff began to look into a compartment, or a recipient who has just emptied it and forgot something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InspectionStarted {
    pub session: SessionId,
    pub compartment: CompartmentNo,
}

/// Whoever looked said what they found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InspectionSettled {
    pub session: SessionId,
    pub compartment: CompartmentNo,
    pub finding: Finding,
}

/// What staff found and left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The door did not open: nothing is known that was not known before.
    NotOpened,
    /// Nothing is inside.
    Empty,
    /// This parcel is inside and stays there.
    Holds(ParcelId),
    /// Nothing is inside any more: staff took this parcel out.
    TakenOut(ParcelId),
    /// Nothing is inside any more: staff handed this parcel to its recipient.
    HandedOver(ParcelId),
    /// Nobody said.
    Unfinished,
}

/// A booked parcel was not brought in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BookingLapsed {
    pub parcel: ParcelId,
}

/// A parcel has stayed as long as it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepLapsed {
    pub parcel: ParcelId,
}

/// Something that an operator must know of, and that no other fact says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alarm {
    /// A door stands open although somebody was let in to shut it again.
    DoorOpenTooLong(CompartmentNo),
    /// The sensor's word does not go with what people and pulses say.
    SensorDoubt(CompartmentNo),
    /// Locks of this board do not open although it answers: its power is gone.
    BoardPower { board: u8 },
    /// Two doors answered to one pulse: two boards may have one address. The board is stopped.
    AddressClash { board: u8 },
    /// Doors were asked for faster than is allowed.
    TooManyOpenings(OpenerKind),
    /// So many wrong codes were typed that the keypad takes none for the rest of the day.
    KeypadClosed,
    /// The agent has started again and again within minutes: its supply may be breaking down. No door
    /// was opened for a while after this start.
    Restarting,
}

/// What the bank runs on has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PowerChanged {
    pub source: PowerSource,
}

/// What a bank runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PowerSource {
    Mains,
    /// A UPS that will be empty at some time: no deposits, so that what is inside can be fetched.
    Battery,
}

/// Whose openings are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OpenerKind {
    Courier,
    Recipient,
    Staff,
    Remote,
}

impl OpenerKind {
    /// The kind of whoever is at the screen.
    #[must_use]
    pub const fn of(actor: &Actor) -> Self {
        match actor {
            Actor::Courier { .. } => Self::Courier,
            Actor::Recipient { .. } => Self::Recipient,
            Actor::Staff { .. } => Self::Staff,
        }
    }
}

/// Only staff may open doors from here on, across restarts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockdownBegan {
    pub reason: LockdownReason,
}

/// Why a bank was locked down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockdownReason {
    /// Openings were asked for too fast, three times in an hour, or once from afar.
    TooManyOpenings,
    /// The hub's order.
    Ordered,
    /// A member of staff at the screen.
    Staff,
}

/// A member of staff wants the lockdown lifted; it takes two different people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockdownLiftAsked {
    pub badge: CredentialId,
}

/// The second person agreed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockdownLifted {
    pub first: CredentialId,
    pub second: CredentialId,
}

/// Staff put a stopped board back into service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BoardReset {
    pub board: u8,
    pub badge: CredentialId,
}

/// The bank took a hub's order or did not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommandAnswered {
    pub command: CommandId,
    pub answer: CommandAnswer,
}

/// What became of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandAnswer {
    Done,
    /// Its time was over or could not be told.
    Expired,
    /// It was meant for another connection.
    OtherConnection,
    /// This agent does not know such an order.
    NotUnderstood,
}

/// A lock is about to be pulsed. Durable before the pulse; every pulse has one of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PulseIntended {
    pub intent: IntentId,
    pub session: SessionId,
    pub compartment: CompartmentNo,
    /// What it is opened for; none if somebody only looks.
    pub parcel: Option<ParcelId>,
}

/// What became of an intended pulse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PulseSettled {
    pub intent: IntentId,
    pub compartment: CompartmentNo,
    pub outcome: PulseOutcome,
}

/// What a pulse did, as far as can be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PulseOutcome {
    /// The sensor changed to open inside the pulse's own window, this long after it.
    Opened { after_ms: u32 },
    /// The sensor read shut, twice, after the window.
    NotOpened,
    /// The sensor read open before the pulse.
    AlreadyOpen,
    /// No trustworthy reading. Never taken for success or failure.
    Unknown,
    /// The pulse never went out on the wire.
    NotSent,
    /// The agent stopped before it heard; found at the next start.
    Recovered,
}

/// A door was opened or shut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DoorMoved {
    pub compartment: CompartmentNo,
    pub reading: DoorReading,
    /// The pulse that explains it; an opening without one was made by nobody we let in.
    pub cause: Option<IntentId>,
    /// What kind of opening it is if no pulse explains it.
    pub class: Option<OpeningClass>,
}

/// An opening that we did not bring about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpeningClass {
    /// By force, by a mechanical key, by the board's test button.
    Forced,
    /// A neighbour's pulse shook it open.
    Sympathetic,
    /// Its own pulse, after that was settled as not opened.
    Late,
    /// Its sensor has been in doubt before: a cut cable reads open.
    CableFault,
    /// A pulse for another lock moved it: two boards answer to one address.
    AddressClash,
}

/// The doors of a board, read for the first time since it came on line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DoorsRead {
    pub readings: Vec<(CompartmentNo, DoorReading)>,
}

/// A lock board went silent or answers again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BoardChanged {
    pub board: u8,
    pub online: bool,
}
