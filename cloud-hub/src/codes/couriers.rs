//! Reads couriers' codes for the carriers whose they are. An event tells of it before the digits are
//! given out.

use std::sync::Arc;

use locker_core::code::digits::Digits;
use locker_core::code::keypad_code::{KeypadCode, Validity};
use locker_core::code::slot::Slot;
use locker_core::ids::{BankId, CarrierId};
use locker_core::units::UnixMillis;
use thiserror::Error;
use uuid::Uuid;

use super::sealing::{OpenSealedError, SealingKeys};
use crate::store::{NoteCodesRead, ReadError, Store, WriteError};

/// What couriers' codes are read with, and how many of them there are.
#[derive(Clone, Debug)]
pub struct CouriersDesk {
    pub sealing: Arc<SealingKeys>,
    /// For how many days there are codes.
    pub dark_days: u8,
}

/// A courier's code of one day. Its digits are not shown when it is printed.
#[derive(Clone, Debug)]
pub struct DayCode {
    pub digits: Digits,
    pub valid: Validity,
    /// Whether the bank has taken it over.
    pub held: bool,
}

/// Why a carrier is not told its couriers' codes.
#[derive(Debug, Error)]
pub enum ReadKeypadCodesError {
    #[error("there is no bank of this name")]
    BankUnknown,
    #[error("the carrier's couriers have no keypad codes there")]
    NotAllowed,
    #[error("the digits cannot be read")]
    Unreadable(#[source] OpenSealedError),
    #[error("the codes cannot be read")]
    Read(#[source] ReadError),
    #[error("that they are read cannot be noted")]
    Write(#[source] WriteError),
}

impl CouriersDesk {
    /// The codes of a carrier's couriers at a bank that are not over, by day.
    ///
    /// # Errors
    ///
    /// See [`ReadKeypadCodesError`].
    pub async fn read(
        &self,
        store: &Store,
        bank: &BankId,
        carrier: &CarrierId,
        now: UnixMillis,
    ) -> Result<Vec<DayCode>, ReadKeypadCodesError> {
        let found = store.carrier_codes(bank, carrier).await.map_err(ReadKeypadCodesError::Read)?;
        let Some(found) = found else {
            let known = store.bank(bank).await.map_err(ReadKeypadCodesError::Read)?;
            return Err(known
                .map_or(ReadKeypadCodesError::BankUnknown, |_| ReadKeypadCodesError::NotAllowed));
        };
        let open = |code: &KeypadCode| {
            let Slot { id, sealed, .. } = &code.slot;
            let digits = self.sealing.open(bank, *id, sealed);
            let digits = digits.map_err(ReadKeypadCodesError::Unreadable)?;
            Ok(DayCode { digits, valid: code.valid, held: found.held.contains(id) })
        };
        let live = found.codes.iter().filter(|code| code.valid.until > now);
        let mut codes = live.map(open).collect::<Result<Vec<_>, ReadKeypadCodesError>>()?;
        codes.sort_by_key(|code| code.valid.from);
        if found.is_to_be_noted(now) {
            let event_id = Uuid::new_v4().simple().to_string();
            let (bank, carrier) = (bank.clone(), carrier.clone());
            let note = NoteCodesRead { bank, carrier, event_id, now };
            if !store.decide(note).await.map_err(ReadKeypadCodesError::Write)? {
                return Err(ReadKeypadCodesError::NotAllowed);
            }
        }
        Ok(codes)
    }
}
