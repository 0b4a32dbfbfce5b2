//! Whether a notice should be delivered now, later, or not at all. Pure.
//!
//! A letter that says that a parcel is inside must not be written to somebody who has it at home. So
//! a reminder is held while the hub has not heard all that the bank has to tell; and when the time
//! gets short it goes out with a sentence about what the hub does not know.

use locker_core::units::UnixMillis;

use super::letter::Unheard;
use crate::store::{HubParcelState, NoticeKind, NoticeRow};

/// A notice that is held is looked at again this often, in milliseconds. Short beside a stay; and
/// the looks at all that is held for a large fleet without its line do not keep the store busy.
pub(super) const HELD_LOOK_MS: u64 = 10 * 60_000;
/// A held reminder goes out when this part of the stay is left, as its divisor, ..
const LAST_CALL_DIVISOR: u64 = 5;
/// .. or this much of it if that is less, in milliseconds: a night, so that a day is left to come
/// after a line that was down in the evening, and no more of it is spent on hoping for better news.
const LAST_CALL_MAX_MS: u64 = 12 * 3_600_000;
/// A letter about the end of a stay is held no longer than this after the hub has heard of the end,
/// in milliseconds.
const EXPIRY_HELD_MAX_MS: u64 = 12 * 3_600_000;

/// Whether a notice should be delivered.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// With what the hub does not know.
    Now(Option<Unheard>),
    Later,
    /// It might not be true. Looked at again then.
    Held(UnixMillis),
    /// It is for another moment.
    Moved(UnixMillis),
    TooLate,
    Never(&'static str),
}

/// What the hub has heard of all that a bank has to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    All,
    /// It is here and has not told all, or nobody understood it.
    Partly,
    /// It is not here.
    Nothing,
}

/// When recipients are reminded, as percentages of a stay, ascending.
#[derive(Clone, Debug)]
pub(super) struct Reminders(Vec<u8>);

/// How long a parcel stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stay {
    from: UnixMillis,
    until: UnixMillis,
}

/// Judges a notice.
pub(super) fn due(notice: &NoticeRow, reminders: &Reminders, heard: Heard, now: UnixMillis) -> Due {
    match notice.kind {
        NoticeKind::ParcelStored | NoticeKind::CodeReissued | NoticeKind::ParcelExtended => {
            code_letter(notice, now)
        }
        NoticeKind::ParcelReminder => reminder(notice, reminders, heard, now),
        NoticeKind::ParcelExpired => expiry(notice, heard, now),
        NoticeKind::ReminderCorrected if is_out(notice.parcel.state) => Due::Now(None),
        NoticeKind::ReminderCorrected => Due::Never("parcel is inside after all"),
    }
}

/// A letter with a code that opens.
fn code_letter(notice: &NoticeRow, now: UnixMillis) -> Due {
    let expired = notice.parcel.expires_at.is_some_and(|at| at <= now);
    match notice.parcel.state {
        HubParcelState::Stored | HubParcelState::Collecting if expired => Due::TooLate,
        // The bank does not know the code or the time that it would tell: they have replaced others,
        // and the bank has not answered yet.
        HubParcelState::Stored if !holds_code(notice) || !keeps_as_long(notice) => Due::Later,
        HubParcelState::Stored => Due::Now(None),
        // They stand at the open door; if they leave it inside, they need the code after all.
        HubParcelState::Collecting => Due::Later,
        HubParcelState::Collected => Due::Never("parcel was collected"),
        HubParcelState::Announced
        | HubParcelState::Booked
        | HubParcelState::Depositing
        | HubParcelState::Cancelled
        | HubParcelState::Unresolved
        | HubParcelState::RecallRequested
        | HubParcelState::BookingPending
        | HubParcelState::BookingExpired
        | HubParcelState::Expired
        | HubParcelState::Recalling
        | HubParcelState::Recalled
        | HubParcelState::Disputed
        | HubParcelState::Missing => Due::Never("parcel does not wait"),
    }
}

/// The same, unless its moment is another one by now, or nobody can say whether it is still true.
fn reminder(notice: &NoticeRow, reminders: &Reminders, heard: Heard, now: UnixMillis) -> Due {
    let Some(stay) = Stay::of(notice) else { return Due::Never("nobody knows how long it stays") };
    let next = reminders.next(stay, now);
    let moved = || next.map_or(Due::Never("no reminder is left"), Due::Moved);
    let its_moment = notice.moment.is_some_and(|at| at <= now && reminders.has(stay, at));
    match code_letter(notice, now) {
        Due::Never(reason) if is_out(notice.parcel.state) => Due::Never(reason),
        // It may wait again by then.
        Due::Never(_) => moved(),
        // Its bank says when that is so, and then there is another letter.
        Due::TooLate => Due::Never("its time is over"),
        Due::Now(_) | Due::Later if !its_moment => moved(),
        Due::Now(_) => unless_held(notice, heard, stay.last_call(), now),
        later @ (Due::Later | Due::Held(_) | Due::Moved(_)) => later,
    }
}

/// The time is over by the bank's own record.
fn expiry(notice: &NoticeRow, heard: Heard, now: UnixMillis) -> Due {
    if notice.parcel.state != HubParcelState::Expired {
        return Due::Never("parcel is not expired any more");
    }
    // Its last change was that.
    let bound = notice.parcel.updated_at.plus_ms(EXPIRY_HELD_MAX_MS);
    unless_held(notice, heard, bound, now)
}

/// Now, if all was heard; after `bound` in any case, with a word about it.
fn unless_held(notice: &NoticeRow, heard: Heard, bound: UnixMillis, now: UnixMillis) -> Due {
    let since = match heard {
        Heard::All => return Due::Now(None),
        Heard::Partly => None,
        Heard::Nothing => notice.bank.last_seen,
    };
    if now >= bound {
        return Due::Now(Some(Unheard { since }));
    }
    Due::Held(now.plus_ms(HELD_LOOK_MS).min(bound))
}

impl Reminders {
    pub(super) const fn new(percent: Vec<u8>) -> Self {
        Self(percent)
    }

    /// When the recipient of a notice's parcel is to be reminded next, after `now`.
    pub(super) fn after(&self, notice: &NoticeRow, now: UnixMillis) -> Option<UnixMillis> {
        match notice.kind {
            NoticeKind::ParcelStored
            | NoticeKind::CodeReissued
            | NoticeKind::ParcelExtended
            | NoticeKind::ParcelReminder => self.next(Stay::of(notice)?, now),
            NoticeKind::ParcelExpired | NoticeKind::ReminderCorrected => None,
        }
    }

    fn next(&self, stay: Stay, now: UnixMillis) -> Option<UnixMillis> {
        self.moments(stay).find(|at| *at > now)
    }

    fn has(&self, stay: Stay, moment: UnixMillis) -> bool {
        self.moments(stay).any(|at| at == moment)
    }

    fn moments(&self, stay: Stay) -> impl Iterator<Item = UnixMillis> {
        let span = stay.span_ms();
        // In two parts, so that no span is too long.
        let part = move |percent: u64| span / 100 * percent + span % 100 * percent / 100;
        self.0.iter().map(move |&percent| stay.from.plus_ms(part(percent.into())))
    }
}

impl Stay {
    /// By what the bank would keep to. When it began is the bank's to say; while nobody knows, it
    /// counts from when the hub last heard of the parcel.
    fn of(notice: &NoticeRow) -> Option<Self> {
        let until = notice.parcel.expires_at?;
        let since = notice.at_bank.and_then(|known| known.since);
        Some(Self { from: since.unwrap_or(notice.parcel.updated_at).min(until), until })
    }

    const fn span_ms(self) -> u64 {
        self.until.since_ms(self.from)
    }

    /// From when on a reminder does not wait for better news.
    fn last_call(self) -> UnixMillis {
        self.until.minus_ms((self.span_ms() / LAST_CALL_DIVISOR).min(LAST_CALL_MAX_MS))
    }
}

/// Whether a parcel has left its bank.
const fn is_out(state: HubParcelState) -> bool {
    matches!(state, HubParcelState::Collected | HubParcelState::Recalled)
}

/// Whether the code that the letter would carry opens the parcel at its bank.
fn holds_code(notice: &NoticeRow) -> bool {
    let held = notice.at_bank.map(|known| known.credential);
    held.is_some() && held == notice.parcel.credential
}

/// Whether the bank lets the parcel stay as long as the letter would say.
fn keeps_as_long(notice: &NoticeRow) -> bool {
    let held = notice.at_bank.and_then(|known| known.keep_until);
    held >= notice.parcel.terms.keep_until
}

#[cfg(test)]
mod tests;
