//! What the store gives out: parcels, banks and events as the rest of the hub sees them.

use locker_core::compartment::Layout;
use locker_core::credential::KeySet;
use locker_core::downlink::{Mode, Quota};
use locker_core::ids::{
    BankId, Barcode, CarrierId, CompartmentNo, CredentialId, Generation, ParcelId, StreamId,
    TraceParent, Version,
};
use locker_core::journal::Lockdown;
use locker_core::parcel::{RecallReason, Terms};
use locker_core::units::{Dimensions, Grams, UnixMillis};

use super::personal::{DisplayName, Email, Phone};
use crate::site_zone::SiteZone;

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
    pub phone: Option<Phone>,
    pub state: HubParcelState,
    /// Why it must leave its bank without its recipient, if it must.
    pub recall: Option<RecallReason>,
    /// What was granted besides its place, once booked.
    pub terms: Terms,
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
    /// Until when it may stay and its pickup code works, once stored.
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
    /// Inside, and must be fetched back.
    RecallRequested,
    /// Booked hard; the bank has not answered yet.
    BookingPending,
    /// It was not brought in time. A late courier may still find room.
    BookingExpired,
    /// Inside longer than it may.
    Expired,
    /// A courier or staff is taking it out.
    Recalling,
    /// Taken out by a courier or staff.
    Recalled,
    /// Its compartment was found empty, or with another parcel inside.
    Disputed,
    /// Should be inside; staff looked and it is not.
    Missing,
}

impl HubParcelState {
    /// Every state.
    pub const ALL: [Self; 16] = [
        Self::Announced,
        Self::Booked,
        Self::Depositing,
        Self::Stored,
        Self::Collecting,
        Self::Collected,
        Self::Cancelled,
        Self::Unresolved,
        Self::RecallRequested,
        Self::BookingPending,
        Self::BookingExpired,
        Self::Expired,
        Self::Recalling,
        Self::Recalled,
        Self::Disputed,
        Self::Missing,
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
            Self::BookingPending => "BOOKING_PENDING",
            Self::BookingExpired => "BOOKING_EXPIRED",
            Self::Expired => "EXPIRED",
            Self::Recalling => "RECALLING",
            Self::Recalled => "RECALLED",
            Self::Disputed => "DISPUTED",
            Self::Missing => "MISSING",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// A bank as the hub knows it, without its compartments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BankRow {
    pub id: BankId,
    pub display_name: String,
    pub address: String,
    /// In which people read times about it.
    pub time_zone: SiteZone,
    /// The newest layout issued, whether or not the bank holds it yet.
    pub layout: Layout,
    /// The layout that the bank has taken over; 0 before the first.
    pub layout_held: Generation,
    /// The credential keys that the bank has taken over.
    pub keys_held: KeySet,
    /// The newest mode issued; generation 0 before the first.
    pub mode: Mode,
    /// The mode that the bank has taken over.
    pub mode_held: Mode,
    /// The newest quota issued; generation 0 before the first.
    pub quota: Quota,
    /// The quota that the bank has taken over.
    pub quota_held: Quota,
    /// Whose couriers have keypad codes there.
    pub keypad: KeypadCouriers,
    /// Whether only staff may open doors.
    pub lockdown: Option<Lockdown>,
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

/// Carriers whose couriers have keypad codes at a bank.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeypadCouriers {
    /// In the order of their names.
    pub carriers: Vec<CarrierId>,
    /// The newest codes issued; generation 0 before the first.
    pub issued: Generation,
    /// The codes that the bank has taken over.
    pub held: Generation,
}

/// Why the hub takes no facts from a bank. A person must look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StopReason {
    /// Its journal differs from what it once told us.
    Fork,
    /// Its journal ends below what it once told us.
    Behind,
    /// It opened a new stream that continues the one we know, and too many since a person last looked.
    Successor,
    /// It opened a new stream that continues none we know, and too many since a person last looked.
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
    /// Booked hard; the bank has not answered yet.
    ParcelBookingPending => "PARCEL_BOOKING_PENDING";
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
    /// It was not brought in time. A late courier may still find room.
    ParcelBookingExpired => "PARCEL_BOOKING_EXPIRED";
    /// It fitted into no free compartment; the courier has it.
    ParcelDidNotFit => "PARCEL_DID_NOT_FIT";
    /// It may stay until another time.
    ParcelExtended => "PARCEL_EXTENDED";
    /// It has stayed as long as it may: a courier can take it out.
    ParcelExpired => "PARCEL_EXPIRED";
    /// Its recipient does not want it: a courier can take it out.
    ParcelRefused => "PARCEL_REFUSED";
    ParcelRecalling => "PARCEL_RECALLING";
    /// Nobody took it out: it must be fetched back as before.
    ParcelRecallAborted => "PARCEL_RECALL_ABORTED";
    /// A courier or staff took it out.
    ParcelRecalled => "PARCEL_RECALLED";
    /// Found empty, found to be another parcel, or missing.
    ParcelDisputed => "PARCEL_DISPUTED";
    /// Its door came open although nobody was let in. Its state is what it was.
    ParcelDoorForced => "PARCEL_DOOR_FORCED";
    ParcelCodeReissued => "PARCEL_CODE_REISSUED";
    ParcelDelegated => "PARCEL_DELEGATED";
    ParcelDelegateRevoked => "PARCEL_DELEGATE_REVOKED";
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
    /// A compartment is kept for a parcel.
    CompartmentReserved => "COMPARTMENT_RESERVED";
    /// Staff looked: what is inside is known again.
    CompartmentReleased => "COMPARTMENT_RELEASED";
    BankModeIssued => "BANK_MODE_ISSUED";
    BankModeAccepted => "BANK_MODE_ACCEPTED";
    BankQuotaIssued => "BANK_QUOTA_ISSUED";
    /// Other carriers than before have keypad codes for their couriers; the detail names all.
    BankKeypadCouriersSet => "BANK_KEYPAD_COURIERS_SET";
    /// It stands in another time zone than was known; the detail is the zone.
    BankTimeZoneSet => "BANK_TIME_ZONE_SET";
    /// A carrier, whom the detail names, was told its couriers' keypad codes.
    BankKeypadCodesRead => "BANK_KEYPAD_CODES_READ";
    BankQuotaAccepted => "BANK_QUOTA_ACCEPTED";
    /// The bank says that somebody should look; the detail begins with the class.
    BankAlarm => "BANK_ALARM";
    BankLockdownBegan => "BANK_LOCKDOWN_BEGAN";
    /// One member of staff wants it lifted; another one must agree.
    BankLockdownLiftAsked => "BANK_LOCKDOWN_LIFT_ASKED";
    BankLockdownLifted => "BANK_LOCKDOWN_LIFTED";
    BankBoardReset => "BANK_BOARD_RESET";
    /// The bank runs on what the detail says: MAINS, or BATTERY, on which it takes no deposits.
    BankPowerChanged => "BANK_POWER_CHANGED";
    /// Staff opened the keypad again after too many wrong codes.
    BankKeypadReset => "BANK_KEYPAD_RESET";
    BankCommandAnswered => "BANK_COMMAND_ANSWERED";
}

impl EventKind {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == text)
    }
}

/// Names one mutating call for ever: a repeat answers as the first did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestKey {
    /// Who calls, as in the certificate.
    pub principal: String,
    /// The caller's id of the call.
    pub request_id: String,
}
