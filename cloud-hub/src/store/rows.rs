//! What the store gives out: parcels, banks, events and notices as the rest of the hub sees them.
//!
//! Personal data has types of its own that never print what they hold.

use std::fmt;
use std::str::FromStr;

use locker_core::compartment::Layout;
use locker_core::credential::KeySet;
use locker_core::ids::{
    BankId, Barcode, CarrierId, CompartmentNo, CredentialId, Generation, ParcelId, StreamId,
    TraceParent, Version,
};
use locker_core::units::{Dimensions, Grams, UnixMillis};
use thiserror::Error;

/// Longest e-mail address that is taken, in bytes (RFC 5321, section 4.5.3.1.3).
pub const EMAIL_MAX_BYTES: usize = 254;
/// Longest name of a recipient or a bank that is taken, in characters.
pub const DISPLAY_NAME_MAX_CHARS: usize = 63;

/// A parcel as the hub knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParcelRow {
    pub uid: ParcelId,
    pub carrier: CarrierId,
    /// The carrier's own name for it.
    pub name: String,
    pub barcode: Barcode,
    pub size: Dimensions,
    pub weight: Grams,
    pub email: Email,
    pub display_name: DisplayName,
    pub state: HubParcelState,
    pub bank: Option<BankId>,
    /// Where it is, while it is inside or may be.
    pub compartment: Option<CompartmentNo>,
    /// The hub's latest decision about it; the bank compares.
    pub version: Version,
    /// What its pickup token names, once booked.
    pub credential: Option<CredentialId>,
    pub trace: Option<TraceParent>,
    pub created_at: UnixMillis,
    pub updated_at: UnixMillis,
    /// Until when its pickup code works, once stored.
    pub expires_at: Option<UnixMillis>,
}

/// Where a parcel is in its life, for the hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HubParcelState {
    /// Known to the hub; no bank expects it yet.
    Announced,
    /// A bank expects it, or will as soon as it is connected.
    Booked,
    /// A courier is putting it in.
    Depositing,
    /// Inside, waiting for its recipient.
    Stored,
    /// Its recipient is taking it out.
    Collecting,
    /// Handed over.
    Collected,
    /// Withdrawn before it was brought, as far as the hub knows.
    Cancelled,
    /// A deposit ended and nobody knows whether it is inside.
    Unresolved,
    /// Cancelled, but the courier was first: it is inside and must be fetched back.
    RecallRequested,
}

impl HubParcelState {
    /// Every state.
    pub const ALL: [Self; 9] = [
        Self::Announced,
        Self::Booked,
        Self::Depositing,
        Self::Stored,
        Self::Collecting,
        Self::Collected,
        Self::Cancelled,
        Self::Unresolved,
        Self::RecallRequested,
    ];

    /// The name in the store and, without its prefix, on the interfaces. Never changed.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Announced => "ANNOUNCED",
            Self::Booked => "BOOKED",
            Self::Depositing => "DEPOSITING",
            Self::Stored => "STORED",
            Self::Collecting => "COLLECTING",
            Self::Collected => "COLLECTED",
            Self::Cancelled => "CANCELLED",
            Self::Unresolved => "UNRESOLVED",
            Self::RecallRequested => "RECALL_REQUESTED",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// A recipient's e-mail address: printed by nothing but [`Email::as_str`].
#[derive(Clone, PartialEq, Eq)]
pub struct Email(String);

impl Email {
    /// The address, for whoever sends to it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Email {
    type Err = PersonalDataError;

    /// Checks what every address has; whether it works only sending can tell.
    fn from_str(text: &str) -> Result<Self, PersonalDataError> {
        let (local, domain) = text.rsplit_once('@').ok_or(PersonalDataError::Email)?;
        let sound = |part: &str| {
            !part.is_empty() && part.chars().all(|c| !c.is_whitespace() && !c.is_control())
        };
        let fits = text.len() <= EMAIL_MAX_BYTES && !local.contains('@');
        let ok = fits && sound(local) && sound(domain) && !text.contains(['<', '>', ',', ';', '"']);
        if ok { Ok(Self(text.to_owned())) } else { Err(PersonalDataError::Email) }
    }
}

impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Email(..)")
    }
}

/// How a notice addresses its recipient; may be empty. Printed by nothing but
/// [`DisplayName::as_str`].
#[derive(Clone, Default, PartialEq, Eq)]
pub struct DisplayName(String);

impl DisplayName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DisplayName {
    type Err = PersonalDataError;

    fn from_str(text: &str) -> Result<Self, PersonalDataError> {
        let fits = text.chars().count() <= DISPLAY_NAME_MAX_CHARS;
        let printable = text.chars().all(|c| !c.is_control());
        if fits && printable { Ok(Self(text.to_owned())) } else { Err(PersonalDataError::Name) }
    }
}

impl fmt::Debug for DisplayName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DisplayName(..)")
    }
}

/// Why a recipient's data is not taken. Names the field, never what was in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PersonalDataError {
    #[error("an e-mail address is local@domain, at most {EMAIL_MAX_BYTES} bytes")]
    Email,
    #[error("a name has at most {DISPLAY_NAME_MAX_CHARS} printable characters")]
    Name,
}

/// A bank as the hub knows it, without its compartments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BankRow {
    pub id: BankId,
    pub display_name: String,
    pub address: String,
    /// The newest layout issued, whether or not the bank holds it yet.
    pub layout: Layout,
    /// The layout that the bank has taken over; 0 before the first.
    pub layout_held: Generation,
    /// The credential keys that the bank has taken over.
    pub keys_held: KeySet,
    /// Its journal, once it was heard of.
    pub stream: Option<StreamId>,
    /// The last record that is durable in the hub.
    pub committed_seq: u64,
    /// Why the hub takes no facts from it, if it does not.
    pub stopped_reason: Option<StopReason>,
    /// Whether a record came that this hub cannot read yet.
    pub incomplete: bool,
    /// When a birth or a batch of it was last committed.
    pub last_seen: Option<UnixMillis>,
    pub created_at: UnixMillis,
}

/// Why the hub takes no facts from a bank. A person must look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StopReason {
    /// Its journal differs from what it once told us.
    Fork,
    /// Its journal ends below what it once told us.
    Behind,
    /// It opened a new stream that continues the one we know, and has opened too many before.
    Successor,
    /// It opened a new stream that continues none we know, and has opened too many before.
    Unrelated,
    /// Three messages in a row could not be read.
    Unreadable,
    /// It says that it has answered grants that we never gave.
    UnknownGrants,
    /// Two agents say that they are this bank.
    Clone,
}

impl StopReason {
    /// Every reason.
    pub const ALL: [Self; 7] = [
        Self::Fork,
        Self::Behind,
        Self::Successor,
        Self::Unrelated,
        Self::Unreadable,
        Self::UnknownGrants,
        Self::Clone,
    ];

    /// The name in the store and on the interfaces. Never changed.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fork => "FORK",
            Self::Behind => "BEHIND",
            Self::Successor => "SUCCESSOR",
            Self::Unrelated => "UNRELATED",
            Self::Unreadable => "UNREADABLE",
            Self::UnknownGrants => "UNKNOWN_GRANTS",
            Self::Clone => "CLONE",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text)
    }
}

/// One committed event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRow {
    /// Dense from 1 in the order of commits.
    pub position: u64,
    /// Names the event for ever: `{bank}:{stream}:{seq}:{n}` if a record is its cause.
    pub event_id: String,
    pub kind: EventKind,
    pub bank: Option<BankId>,
    /// The parcel as it was after the event.
    pub parcel: Option<EventParcel>,
    /// The compartment it happened at.
    pub compartment: Option<CompartmentNo>,
    /// More about it, for people. Never personal data.
    pub detail: String,
    /// By the bank's clock if it happened at a bank.
    pub occurred_at: UnixMillis,
    pub recorded_at: UnixMillis,
}

/// A parcel as it was after an event, without its recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventParcel {
    pub uid: ParcelId,
    pub carrier: CarrierId,
    pub name: String,
    pub barcode: Barcode,
    pub size: Dimensions,
    pub weight: Grams,
    pub state: HubParcelState,
    pub bank: Option<BankId>,
    pub compartment: Option<CompartmentNo>,
    pub version: Version,
    pub created_at: UnixMillis,
    pub updated_at: UnixMillis,
    pub expires_at: Option<UnixMillis>,
}

macro_rules! event_kinds {
    ($($(#[$doc:meta])* $variant:ident => $name:literal;)+) => {
        /// What an event says.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum EventKind {
            $($(#[$doc])* $variant,)+
        }

        impl EventKind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name in the store and on the interfaces. Never changed.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }
    };
}

event_kinds! {
    ParcelAnnounced => "PARCEL_ANNOUNCED";
    ParcelBooked => "PARCEL_BOOKED";
    ParcelDepositing => "PARCEL_DEPOSITING";
    /// A deposit ended with the parcel in the courier's hands: it is booked as before.
    ParcelDepositAborted => "PARCEL_DEPOSIT_ABORTED";
    ParcelStored => "PARCEL_STORED";
    ParcelCollecting => "PARCEL_COLLECTING";
    /// A pickup ended with the parcel inside: it is stored as before.
    ParcelPickupAborted => "PARCEL_PICKUP_ABORTED";
    ParcelCollected => "PARCEL_COLLECTED";
    ParcelCancelled => "PARCEL_CANCELLED";
    ParcelUnresolved => "PARCEL_UNRESOLVED";
    ParcelRecallRequested => "PARCEL_RECALL_REQUESTED";
    /// The bank did not take a booking over: the parcel is announced again.
    ParcelBookingRefused => "PARCEL_BOOKING_REFUSED";
    /// Its recipient was not told that it waits, and will not be: somebody must tell them.
    ParcelNoticeFailed => "PARCEL_NOTICE_FAILED";
    BankCreated => "BANK_CREATED";
    BankLayoutIssued => "BANK_LAYOUT_ISSUED";
    BankLayoutAccepted => "BANK_LAYOUT_ACCEPTED";
    /// The bank did not take a layout or a key set over.
    BankConfigRefused => "BANK_CONFIG_REFUSED";
    BankStarted => "BANK_STARTED";
    BankBoardOffline => "BANK_BOARD_OFFLINE";
    BankBoardOnline => "BANK_BOARD_ONLINE";
    /// The hub takes no facts from the bank until a person has looked.
    BankStopped => "BANK_STOPPED";
    /// A person must look at the bank.
    BankAlarmRaised => "BANK_ALARM_RAISED";
    BankAlarmCleared => "BANK_ALARM_CLEARED";
    /// The bank goes on in a new journal; the one before is closed.
    BankStreamOpened => "BANK_STREAM_OPENED";
    /// From now on only one certificate counts for the bank.
    BankCertificateReplaced => "BANK_CERTIFICATE_REPLACED";
    /// A record came that this hub cannot read yet.
    BankIncomplete => "BANK_INCOMPLETE";
    CompartmentQuarantined => "COMPARTMENT_QUARANTINED";
}

impl EventKind {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == text)
    }
}

/// A notice that is due and leased to whoever reads it.
#[derive(Clone, Debug)]
pub struct NoticeRow {
    pub id: u64,
    pub kind: NoticeKind,
    /// The parcel as it is now; its recipient is who gets the notice.
    pub parcel: ParcelRow,
    /// Its bank as it is now.
    pub bank: BankRow,
    /// How often it was given out before.
    pub attempts: u32,
}

/// What a notice says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NoticeKind {
    /// The parcel is inside and can be picked up with the code in the notice.
    ParcelStored,
}

impl NoticeKind {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::ParcelStored => "PARCEL_STORED",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        (text == Self::ParcelStored.as_str()).then_some(Self::ParcelStored)
    }
}

/// What became of a notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoticeOutcome {
    /// Handed over to the next system.
    Sent,
    /// Not handed over; due again at this time.
    Failed { retry_at: UnixMillis },
    /// Not handed over, and trying again is of no use: an event says so.
    Abandoned,
    /// Not handed over, because nobody waits for it any more.
    Unneeded,
}

/// Names one mutating call for ever: a repeat answers as the first did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestKey {
    /// Who calls, as in the certificate.
    pub principal: String,
    /// The caller's id of the call.
    pub request_id: String,
}
