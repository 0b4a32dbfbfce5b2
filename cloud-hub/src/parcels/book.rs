//! Booking room, softly: no particular compartment is held, but the hub does not promise more
//! than fits.

use locker_core::compartment::{Allocation, Compartment, Content, Health};
use locker_core::downlink::{Booking, Grant};
use locker_core::ids::{BankId, CarrierId, CredentialId, Version};
use locker_core::refusal::Refusal;
use locker_core::units::UnixMillis;

use super::{BookError, decided, refusal, room};
use crate::store::{
    Call, Decision, EventKind, HubParcelState, ParcelAnswer, ParcelRow, Seen, Tx, WriteError,
};

pub(super) struct Book {
    pub(super) call: Call,
    pub(super) carrier: CarrierId,
    pub(super) name: String,
    pub(super) bank: BankId,
    pub(super) fresh: CredentialId,
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
        if let Some(refused) = refusal(parcel.state) {
            return Ok(Err(BookError::Refused(refused)));
        }
        if parcel.state != HubParcelState::Announced {
            return Ok(Err(BookError::WrongState(parcel.state)));
        }
        if let Some(refused) = self.bank_refuses(tx, &parcel).await? {
            return Ok(Err(BookError::Refused(refused)));
        }
        let parcel = ParcelRow {
            state: HubParcelState::Booked,
            bank: Some(self.bank.clone()),
            version: Version(parcel.version.0.saturating_add(1)),
            credential: Some(self.fresh),
            updated_at: self.now,
            ..parcel
        };
        let grant = Grant::Book(Booking {
            parcel: parcel.uid,
            version: parcel.version,
            carrier: parcel.carrier.clone(),
            barcode: parcel.barcode.clone(),
            size: parcel.size,
            weight: parcel.weight,
            credential: self.fresh,
            trace: parcel.trace.clone(),
        });
        tx.save_parcel(&parcel).await?;
        tx.grant(&self.bank, &grant, self.now).await?;
        decided(tx, EventKind::ParcelBooked, &parcel, self.now);
        self.call.answered(tx, &ParcelAnswer::of(&parcel), self.now).await?;
        Ok(Ok(parcel))
    }
}

impl Book {
    async fn bank_refuses(
        &self,
        tx: &Tx,
        parcel: &ParcelRow,
    ) -> Result<Option<Refusal>, WriteError> {
        let Some(bank) = tx.bank(&self.bank).await? else {
            return Ok(Some(Refusal::BankUnknown));
        };
        let specs = &bank.layout.compartments;
        if !specs.iter().any(|spec| parcel.size.fits_into(spec.inside)) {
            return Ok(Some(Refusal::ParcelTooLarge));
        }
        if bank.stopped_reason.is_some() || bank.layout_held.0 == 0 {
            return Ok(Some(Refusal::BankNotAccepting));
        }
        let compartments = tx.compartments(&self.bank).await?;
        let free: Vec<_> =
            compartments.iter().filter(|held| is_free(held)).map(|held| held.spec.inside).collect();
        let mut wanted: Vec<_> =
            tx.booked_at(&self.bank).await?.iter().map(|booked| booked.size).collect();
        wanted.push(parcel.size);
        let fits = room::has_room(&free, &wanted);
        Ok((!fits).then_some(Refusal::NoFreeCompartment))
    }
}

/// Whether a courier who comes later may well be offered it. Its door may be in use or not read
/// yet just now, which a booking does not wait for.
fn is_free(held: &Compartment) -> bool {
    let empty = matches!(held.content, Content::Empty(_));
    held.allocation == Allocation::Free && held.health == Health::Ok && empty
}
