//! Booking room: softly, so that no particular compartment is held but the hub does not promise more
//! than fits; or hard, so that the bank keeps one.

use std::collections::BTreeSet;
use std::sync::Arc;

use locker_core::code::second_factor::{PhoneSuffix, SuffixTag};
use locker_core::compartment::{Allocation, Compartment, Content, Health};
use locker_core::downlink::{Booking, Grant, Quota};
use locker_core::ids::{BankId, CarrierId, CredentialId, GroupId, ParcelId, Version};
use locker_core::parcel::Terms;
use locker_core::refusal::Refusal;
use locker_core::units::{Dimensions, UnixMillis};

use super::{BookError, booking_refusal, decided, room};
use crate::codes::pepper::CodeMaster;
use crate::store::{
    BankRow, Call, Decision, EventKind, HubParcelState, ParcelAnswer, ParcelRow, Seen, Tx,
    WriteError,
};

/// Where and how room is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BookingOrder {
    pub bank: BankId,
    /// The bank is to keep a compartment.
    pub hard: bool,
    /// Until when the parcel is expected, if that is limited.
    pub book_until: Option<UnixMillis>,
    /// How long it may stay once it is inside, in milliseconds, if not as the hub is set up.
    pub keep_ms: Option<u64>,
    /// Whether the bank can answer a hard booking now; not part of what makes two calls the same.
    pub connected: bool,
    /// A random id for its pickup credential; a repeated call gets the first one's.
    pub fresh: CredentialId,
    /// A random id for parcels of the same person, if this is the first of them.
    pub fresh_group: GroupId,
}

impl BookingOrder {
    pub(super) fn content(&self) -> Vec<u8> {
        let number = |value: Option<u64>| value.unwrap_or(0).to_be_bytes();
        let until = number(self.book_until.map(|at| at.0));
        let hard = [u8::from(self.hard)];
        [&hard[..], &until, &number(self.keep_ms)].concat()
    }
}

pub(super) struct Book {
    pub(super) call: Call,
    pub(super) carrier: CarrierId,
    pub(super) name: String,
    pub(super) order: BookingOrder,
    /// What six-digit codes are made with, if there are any.
    pub(super) code_master: Option<Arc<CodeMaster>>,
    pub(super) now: UnixMillis,
}

impl Decision for Book {
    type Answer = Result<ParcelRow, BookError>;

    async fn decide(&self, tx: &mut Tx) -> Result<Self::Answer, WriteError> {
        match self.call.seen::<ParcelAnswer>(tx).await? {
            Seen::Answered(answer) => return Ok(Ok(answer.parcel(tx).await?)),
            Seen::Other => return Ok(Err(BookError::RequestIdReused)),
            Seen::Never => {}
        }
        let Some(parcel) = tx.parcel(&self.carrier, &self.name).await? else {
            return Ok(Err(BookError::NotFound));
        };
        if let Err(refused) = self.may_be_booked(&parcel) {
            return Ok(Err(refused));
        }
        let Some(bank) = tx.bank(&self.order.bank).await? else {
            return Ok(Err(BookError::Refused(Refusal::BankUnknown)));
        };
        if let Err(refused) = self.check_room(tx, &bank, &parcel).await? {
            return Ok(Err(refused));
        }
        let parcel = self.booked(tx, parcel).await?;
        let suffix = self.suffix(tx, &parcel).await?;
        let grant = Grant::Book(Booking {
            parcel: parcel.uid,
            version: parcel.version,
            carrier: parcel.carrier.clone(),
            barcode: parcel.barcode.clone(),
            size: parcel.size,
            weight: parcel.weight,
            credential: self.order.fresh,
            trace: parcel.trace.clone(),
            terms: Terms { suffix, ..parcel.terms },
        });
        tx.save_parcel(&parcel).await?;
        tx.grant(&self.order.bank, &grant, self.now).await?;
        let pending = parcel.state == HubParcelState::BookingPending;
        let kind = if pending { EventKind::ParcelBookingPending } else { EventKind::ParcelBooked };
        decided(tx, kind, &parcel, "", self.now);
        self.call.answered(tx, &ParcelAnswer::of(&parcel), self.now).await?;
        Ok(Ok(parcel))
    }
}

impl Book {
    fn may_be_booked(&self, parcel: &ParcelRow) -> Result<(), BookError> {
        if let Some(refused) = booking_refusal(parcel.state) {
            return Err(BookError::Refused(refused));
        }
        let elsewhere = parcel.bank.as_ref() != Some(&self.order.bank);
        match parcel.state {
            HubParcelState::Booked | HubParcelState::BookingPending => {
                Err(BookError::WrongState(parcel.state))
            }
            // A late courier may still find room at the first bank.
            HubParcelState::BookingExpired if elsewhere => Err(BookError::WrongState(parcel.state)),
            HubParcelState::Announced
            | HubParcelState::BookingExpired
            | HubParcelState::Recalled
            | HubParcelState::Depositing
            | HubParcelState::Stored
            | HubParcelState::Collecting
            | HubParcelState::Collected
            | HubParcelState::Cancelled
            | HubParcelState::Unresolved
            | HubParcelState::RecallRequested
            | HubParcelState::Expired
            | HubParcelState::Recalling
            | HubParcelState::Disputed
            | HubParcelState::Missing => Ok(()),
        }
    }

    async fn booked(&self, tx: &Tx, parcel: ParcelRow) -> Result<ParcelRow, WriteError> {
        let BookingOrder { hard, book_until, keep_ms, .. } = self.order;
        let known = tx.group_at(&self.order.bank, &parcel).await?;
        let terms = Terms {
            hard,
            book_until,
            keep_ms: Some(keep_ms.unwrap_or_else(|| tx.retention_ms())),
            keep_until: None,
            group: Some(known.unwrap_or(self.order.fresh_group)),
            // Keyed with the bank's pepper: it goes into the grant and nowhere else.
            suffix: None,
        };
        // What a bank keeps back is promised at once; all else is for the bank to say.
        let pending = hard && self.order.connected;
        let state = if pending { HubParcelState::BookingPending } else { HubParcelState::Booked };
        Ok(ParcelRow {
            state,
            recall: None,
            terms,
            bank: Some(self.order.bank.clone()),
            compartment: None,
            version: Version(parcel.version.0.saturating_add(1)),
            credential: Some(self.order.fresh),
            updated_at: self.now,
            expires_at: None,
            ..parcel
        })
    }

    /// What the keypad asks for besides the digits, as the bank compares it.
    async fn suffix(&self, tx: &Tx, parcel: &ParcelRow) -> Result<Option<SuffixTag>, WriteError> {
        let Some((master, phone)) = self.code_master.as_ref().zip(parcel.phone.as_ref()) else {
            return Ok(None);
        };
        let bank = &self.order.bank;
        let keys = master.tag_keys(bank, tx.codes_generation(bank).await?);
        Ok(PhoneSuffix::of_number(phone.as_str()).map(|suffix| suffix.tag(&keys)))
    }

    async fn check_room(
        &self,
        tx: &Tx,
        bank: &BankRow,
        parcel: &ParcelRow,
    ) -> Result<Result<(), BookError>, WriteError> {
        let specs = &bank.layout.compartments;
        if !specs.iter().any(|spec| parcel.size.fits_into(spec.inside)) {
            return Ok(Err(BookError::Refused(Refusal::ParcelTooLarge)));
        }
        let closed = bank.stopped_reason.is_some()
            || bank.layout_held.0 == 0
            || bank.mode.maintenance
            || bank.lockdown.is_some();
        if closed {
            return Ok(Err(BookError::Refused(Refusal::BankNotAccepting)));
        }
        let compartments = tx.compartments(&self.order.bank).await?;
        let booked = tx.booked_at(&self.order.bank).await?;
        let room = Room::of(&compartments, &booked, &bank.quota_held);
        // What the bank ceded may be given away by a booking that was lost with the store.
        if self.order.hard && !self.order.connected && tx.catches_up(&self.order.bank).await? {
            return Ok(Err(BookError::BankNotConnected));
        }
        let full = Err(BookError::Refused(Refusal::NoFreeCompartment));
        Ok(match (self.order.hard, self.order.connected) {
            (false, _) if room.takes_soft(parcel.size) => Ok(()),
            (true, true) if room.takes(parcel.size) => Ok(()),
            (true, false) if room.takes_kept_back(parcel.size) => Ok(()),
            (true, false) if room.takes(parcel.size) => Err(BookError::BankNotConnected),
            (_, _) => full,
        })
    }
}

/// What is free at a bank and promised already, as far as the hub knows.
struct Room {
    free: Vec<Dimensions>,
    /// Those of them that the bank keeps back for hard bookings.
    kept_back: Vec<Dimensions>,
    /// Promised without a compartment of their own.
    soft: Vec<Dimensions>,
    hard: Vec<Dimensions>,
}

impl Room {
    fn of(compartments: &[Compartment], booked: &[ParcelRow], quota: &Quota) -> Self {
        let reserved: BTreeSet<ParcelId> = compartments.iter().filter_map(reserved_for).collect();
        let promised = |hard: bool| {
            let waits = move |row: &&ParcelRow| row.terms.hard == hard;
            let own = |row: &&ParcelRow| !reserved.contains(&row.uid);
            booked.iter().filter(waits).filter(own).map(|row| row.size).collect()
        };
        let free: Vec<_> =
            compartments.iter().filter(|held| is_free(held)).map(|held| held.spec.inside).collect();
        let mut kept_back = Vec::new();
        for &(size, ceded) in &quota.ceded {
            let of_size = |held: &&Compartment| held.spec.inside == size;
            let taken = compartments.iter().filter(of_size).filter_map(reserved_for).count();
            let open = free.iter().filter(|inside| **inside == size).count();
            let kept = usize::from(ceded).saturating_sub(taken).min(open);
            kept_back.extend(std::iter::repeat_n(size, kept));
        }
        Self { free, kept_back, soft: promised(false), hard: promised(true) }
    }

    /// Whether all promises can be kept and one for `size`.
    fn takes(&self, size: Dimensions) -> bool {
        let wanted = [&self.soft[..], &self.hard, &[size]].concat();
        room::has_room(&self.free, &wanted)
    }

    /// As [`Self::takes`], without what is kept back for others.
    fn takes_soft(&self, size: Dimensions) -> bool {
        let mut open = self.free.clone();
        for kept in &self.kept_back {
            if let Some(at) = open.iter().position(|inside| inside == kept) {
                open.swap_remove(at);
            }
        }
        self.takes(size) && room::has_room(&open, &[&self.soft[..], &[size]].concat())
    }

    /// Whether what is kept back is enough for one more.
    fn takes_kept_back(&self, size: Dimensions) -> bool {
        room::has_room(&self.kept_back, &[&self.hard[..], &[size]].concat())
    }
}

/// Whether a courier who comes later may well be offered it. Its door may be in use or not read
/// yet just now, which a booking does not wait for.
fn is_free(held: &Compartment) -> bool {
    let empty = matches!(held.content, Content::Empty(_));
    held.allocation == Allocation::Free && held.health == Health::Ok && empty
}

const fn reserved_for(held: &Compartment) -> Option<ParcelId> {
    match held.allocation {
        Allocation::Reserved { parcel } => Some(parcel),
        Allocation::Free
        | Allocation::Depositing { .. }
        | Allocation::Occupied { .. }
        | Allocation::Collecting { .. }
        | Allocation::Recalling { .. }
        | Allocation::Quarantined { .. } => None,
    }
}
