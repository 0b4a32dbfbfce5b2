//! Withdrawing a parcel.
//!
//! The hub decides at once; the bank may know better. If a courier was first, the parcel turns up
//! stored and becomes one that must be fetched back.

use locker_core::downlink::Grant;
use locker_core::ids::{CarrierId, Version};
use locker_core::refusal::Refusal;
use locker_core::units::UnixMillis;

use super::{CancelError, booking_refusal, decided};
use crate::store::{
    Call, Decision, EventKind, HubParcelState, ParcelAnswer, ParcelRow, Seen, Tx, WriteError,
};

pub(super) struct Cancel {
    pub(super) call: Call,
    pub(super) carrier: CarrierId,
    pub(super) name: String,
    pub(super) now: UnixMillis,
}

impl Decision for Cancel {
    type Answer = Result<ParcelRow, CancelError>;

    async fn decide(&self, tx: &mut Tx) -> Result<Self::Answer, WriteError> {
        match self.call.seen::<ParcelAnswer>(tx).await? {
            Seen::Answered(answer) => return Ok(Ok(answer.parcel(tx).await?)),
            Seen::Other => return Ok(Err(CancelError::RequestIdReused)),
            Seen::Never => {}
        }
        let Some(parcel) = tx.parcel(&self.carrier, &self.name).await? else {
            return Ok(Err(CancelError::NotFound));
        };
        if parcel.state == HubParcelState::Recalled {
            return Ok(Err(CancelError::Refused(Refusal::ParcelRecalled)));
        }
        match booking_refusal(parcel.state) {
            None => {}
            Some(Refusal::AlreadyDeposited) => {
                return Ok(Err(CancelError::Refused(Refusal::CancellationTooLate)));
            }
            Some(refused) => return Ok(Err(CancelError::Refused(refused))),
        }
        let parcel = ParcelRow {
            state: HubParcelState::Cancelled,
            version: Version(parcel.version.0.saturating_add(1)),
            updated_at: self.now,
            ..parcel
        };
        tx.save_parcel(&parcel).await?;
        if let Some(bank) = &parcel.bank {
            let grant = Grant::Cancel { parcel: parcel.uid, version: parcel.version };
            tx.grant(bank, &grant, self.now).await?;
        }
        decided(tx, EventKind::ParcelCancelled, &parcel, "", self.now);
        self.call.answered(tx, &ParcelAnswer::of(&parcel), self.now).await?;
        Ok(Ok(parcel))
    }
}
