//! Notices as the rest of the hub sees them: what a recipient is to be told, what is known for it,
//! and what became of it.

use locker_core::code::slot::{Sealed, SlotId};
use locker_core::ids::{CredentialId, Version};
use locker_core::units::UnixMillis;
use locker_core::uplink::clone::Introduction;

use super::rows::{BankRow, ParcelRow};

/// A notice that is due and leased to whoever reads it.
#[derive(Clone, Debug)]
pub struct NoticeRow {
    pub id: u64,
    pub kind: NoticeKind,
    /// The version of the parcel that it is about; 0 if it is about none.
    pub version: Version,
    /// The moment that a reminder is for; of a correction, when the letter went out that it takes
    /// back.
    pub moment: Option<UnixMillis>,
    /// The parcel as it is now; its recipient is who gets the notice.
    pub parcel: ParcelRow,
    /// Its bank as it is now.
    pub bank: BankRow,
    /// Of a notice that may not be true any more: how its bank last introduced itself, if all that it
    /// had to tell then was taken in and understood. Whether it is still there is not the store's to
    /// know.
    pub told_all: Option<Introduction>,
    /// What the bank knows of the parcel; `None` if it does not know it.
    pub at_bank: Option<ParcelAtBank>,
    /// The sealed digits that open it at its bank, if any do.
    pub code: Option<(SlotId, Sealed)>,
    /// How often it was given out before.
    pub attempts: u32,
}

/// What a bank knows of a parcel, by its own records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParcelAtBank {
    /// What its pickup token must name to open it.
    pub credential: CredentialId,
    /// Whether its keypad asks for the last four digits of the phone number besides the code.
    pub asks_phone: bool,
    /// Until when it may stay by the newest decision that the bank has taken over, if there is one.
    pub keep_until: Option<UnixMillis>,
    /// The latest time that it can have come, if it is inside and that is known.
    pub since: Option<UnixMillis>,
}

/// What a notice says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NoticeKind {
    /// The parcel is inside and can be picked up with the code in the notice.
    ParcelStored,
    /// The code in the notice replaces the one before.
    CodeReissued,
    /// The parcel may stay until another time, which the code in the notice names.
    ParcelExtended,
    /// The parcel is still inside. One row a parcel, of no version, which goes from one moment of
    /// its stay to the next.
    ParcelReminder,
    /// It has stayed as long as it may, by the bank's own record.
    ParcelExpired,
    /// A letter said that the parcel is inside when it was not any more. One row a parcel, of no
    /// version.
    ReminderCorrected,
}

impl NoticeKind {
    /// Every kind.
    pub(crate) const ALL: [Self; 6] = [
        Self::ParcelStored,
        Self::CodeReissued,
        Self::ParcelExtended,
        Self::ParcelReminder,
        Self::ParcelExpired,
        Self::ReminderCorrected,
    ];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::ParcelStored => "PARCEL_STORED",
            Self::CodeReissued => "CODE_REISSUED",
            Self::ParcelExtended => "PARCEL_EXTENDED",
            Self::ParcelReminder => "PARCEL_REMINDER",
            Self::ParcelExpired => "PARCEL_EXPIRED",
            Self::ReminderCorrected => "REMINDER_CORRECTED",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// What became of a notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoticeOutcome {
    /// Handed over to the next system.
    Sent,
    /// Not handed over; due again at this time.
    Failed { retry_at: UnixMillis },
    /// Not handed over, because it might not be true; looked at again at this time, which is no
    /// further attempt.
    Held { look_at: UnixMillis },
    /// Not handed over, because it is for another moment.
    Moved { to: UnixMillis },
    /// Not handed over, and trying again is of no use: an event says so.
    Abandoned,
    /// Not handed over, because nobody waits for it any more.
    Unneeded,
}
