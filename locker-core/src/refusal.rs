//! Why something was not done: one list for the kiosk, for booking, and for the console, so that
//! a courier and his carrier's system are told the same.

use thiserror::Error;

macro_rules! refusals {
    ($($(#[$doc:meta])* $variant:ident => $reason:literal, $text:literal;)+) => {
        /// Why a request was turned down. Nothing has changed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
        pub enum Refusal {
            $($(#[$doc])* #[error($text)] $variant,)+
        }

        impl Refusal {
            /// Every refusal, for tables and tests.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name of this refusal in every interface: part of the contract, never changed.
            #[must_use]
            pub const fn reason(self) -> &'static str {
                match self {
                    $(Self::$variant => $reason,)+
                }
            }
        }
    };
}

refusals! {
    // About a bank.
    BankUnknown => "BANK_UNKNOWN", "there is no such bank";
    BankNotAccepting => "BANK_NOT_ACCEPTING", "the bank takes no deposits at the moment";
    OnBattery => "ON_BATTERY", "the bank runs on its battery and takes no deposits; pickups go on";
    JustStarted => "JUST_STARTED", "the bank has just started again; please wait a moment";
    /// Records are given back to the bank that its disk has lost, or it is about to begin a new stream.
    BeingPrepared => "BEING_PREPARED", "this locker is being prepared; please come back in a few minutes";
    NoFreeCompartment => "NO_FREE_COMPARTMENT", "no fitting compartment is free";
    ParcelTooLarge => "PARCEL_TOO_LARGE", "the parcel fits into none of the bank's compartments";
    // About a parcel.
    BarcodeUnknown => "BARCODE_UNKNOWN", "no parcel with this barcode is expected here";
    OtherCarriersParcel => "OTHER_CARRIERS_PARCEL", "the parcel belongs to another carrier";
    AlreadyDeposited => "ALREADY_DEPOSITED", "the parcel is in this bank already";
    AlreadyCollected => "ALREADY_COLLECTED", "the parcel has been collected";
    ParcelCancelled => "PARCEL_CANCELLED", "the parcel was cancelled";
    ParcelUnresolved => "PARCEL_UNRESOLVED", "it is not known where the parcel is; staff must look";
    BookingExpired => "BOOKING_EXPIRED", "the parcel was not brought in time and there is no room now";
    ParcelExpired => "PARCEL_EXPIRED", "the parcel's time here is over; ask at the counter";
    ParcelRecalled => "PARCEL_RECALLED", "the parcel has been asked back; ask its sender";
    ParcelMissing => "PARCEL_MISSING", "the parcel was not found; staff know of it";
    NotRecalled => "NOT_RECALLED", "nobody asked for this parcel to be taken out";
    BarcodeMismatch => "BARCODE_MISMATCH", "this is another parcel; put it back";
    NotDeposited => "NOT_DEPOSITED", "the parcel is not in this bank";
    CancellationTooLate => "CANCELLATION_TOO_LATE", "the parcel is being deposited or is in the bank";
    // About a code.
    CodeMalformed => "CODE_MALFORMED", "this is not a pickup code";
    CodeAltered => "CODE_ALTERED", "the code's signature does not hold";
    CodeKeyUnknown => "CODE_KEY_UNKNOWN", "the code was signed with a key this bank does not hold";
    CodeOtherBank => "CODE_OTHER_BANK", "the code is for another bank";
    CodeExpired => "CODE_EXPIRED", "the code has expired";
    /// A badge may have expired, and the bank cannot tell.
    ClockUnknown => "CLOCK_UNKNOWN", "this locker does not know the time yet; please try again in a few minutes";
    CodeUnknown => "CODE_UNKNOWN", "the code opens nothing here";
    CodeUsed => "CODE_USED", "the code has been used";
    CodeWrong => "CODE_WRONG", "this code opens nothing here";
    KeypadWait => "KEYPAD_WAIT", "please wait a moment before the next code";
    KeypadClosed => "KEYPAD_CLOSED", "too many wrong codes; the QR code still opens";
    CodeRevoked => "CODE_REVOKED", "the code was withdrawn";
    PickupInProgress => "PICKUP_IN_PROGRESS", "this parcel is being picked up at this moment";
    RecallInProgress => "RECALL_IN_PROGRESS", "this parcel is being taken out by staff; ask at the counter";
    TooManyOpenings => "TOO_MANY_OPENINGS", "too many doors were opened; please wait";
    // About a session.
    StaffOnly => "STAFF_ONLY", "only staff may do this";
    LockedDown => "LOCKED_DOWN", "the bank is locked; only staff can open it";
    SecondPerson => "SECOND_PERSON", "a second member of staff must do this";
    ConfirmNumber => "CONFIRM_NUMBER", "another door moved; say which compartment was used";
    CompartmentUnknown => "COMPARTMENT_UNKNOWN", "there is no such compartment";
    NoMoreParcels => "NO_MORE_PARCELS", "there is nothing more for this code here";
    SessionBusy => "SESSION_BUSY", "somebody else is at the screen";
    NoSession => "NO_SESSION", "nobody is signed in";
    NotNow => "NOT_NOW", "this cannot be done at this point";
    DoorOpen => "DOOR_OPEN", "the door must be shut first";
    NoPulseLeft => "NO_PULSE_LEFT", "the door was tried often enough";
    LockUnreachable => "LOCK_UNREACHABLE", "the lock board does not answer";
    StorageUnsafe => "STORAGE_UNSAFE", "the bank cannot write to its disk";
}
