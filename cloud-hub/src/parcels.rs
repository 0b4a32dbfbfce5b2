//! What the hub decides about parcels: announce, book, cancel. Each decision reads what it depends
//! on and writes what it changes in one transaction, and answers a repeated call as the first.

mod book;
mod cancel;
mod create;
mod room;

use locker_core::ids::{BankId, Barcode, CarrierId, CredentialId, ParcelId, TraceParent};
use locker_core::refusal::Refusal;
use locker_core::units::{Dimensions, Grams, UnixMillis};
use thiserror::Error;

use crate::store::{
    Call, DisplayName, Email, EventKind, HubParcelState, NewEvent, ParcelRow, RequestKey, Store,
    Tx, WriteError,
};

/// A parcel to be announced.
#[derive(Clone, Debug)]
pub struct NewParcel {
    /// A random id; not part of what makes two calls the same.
    pub uid: ParcelId,
    pub carrier: CarrierId,
    /// The carrier's own name for it.
    pub name: String,
    pub barcode: Barcode,
    pub size: Dimensions,
    pub weight: Grams,
    pub email: Email,
    pub display_name: DisplayName,
    /// The trace that everything about the parcel belongs to; not part of what makes two calls
    /// the same.
    pub trace: Option<TraceParent>,
}

/// Why a parcel was not announced.
#[derive(Debug, Error)]
pub enum CreateParcelError {
    #[error("the carrier has a parcel of this name")]
    Exists,
    #[error("the request id was used for another call")]
    RequestIdReused,
    #[error("the announcement could not be written")]
    Write(#[source] WriteError),
}

/// Why no room was booked.
#[derive(Debug, Error)]
pub enum BookError {
    #[error("booking was refused")]
    Refused(#[source] Refusal),
    #[error("the carrier has no parcel of this name")]
    NotFound,
    /// It is booked at another bank, or its bank is done with it.
    #[error("the parcel is in state {state}", state = .0.as_str())]
    WrongState(HubParcelState),
    #[error("the request id was used for another call")]
    RequestIdReused,
    #[error("the booking could not be written")]
    Write(#[source] WriteError),
}

/// Why a parcel was not cancelled.
#[derive(Debug, Error)]
pub enum CancelError {
    #[error("cancelling was refused")]
    Refused(#[source] Refusal),
    #[error("the carrier has no parcel of this name")]
    NotFound,
    #[error("the request id was used for another call")]
    RequestIdReused,
    #[error("the cancellation could not be written")]
    Write(#[source] WriteError),
}

/// Announces a parcel.
///
/// # Errors
///
/// See [`CreateParcelError`]; nothing has changed then.
pub async fn create_parcel(
    store: &Store,
    new: NewParcel,
    request: RequestKey,
    now: UnixMillis,
) -> Result<ParcelRow, CreateParcelError> {
    let created = store.decide(create::Create::new(new, request, now)).await;
    created.map_err(CreateParcelError::Write)?
}

/// Books room for a parcel at a bank and tells the bank to expect it. `fresh` is a random id for
/// its pickup credential.
///
/// # Errors
///
/// See [`BookError`]; nothing has changed then.
pub async fn book_compartment(
    store: &Store,
    carrier: &CarrierId,
    name: &str,
    bank: &BankId,
    request: RequestKey,
    fresh: CredentialId,
    now: UnixMillis,
) -> Result<ParcelRow, BookError> {
    let content = [carrier.as_str().as_bytes(), name.as_bytes(), bank.as_str().as_bytes()];
    let decision = book::Book {
        call: Call::new(request, "BookCompartment", &content),
        carrier: carrier.clone(),
        name: name.to_owned(),
        bank: bank.clone(),
        fresh,
        now,
    };
    store.decide(decision).await.map_err(BookError::Write)?
}

/// Withdraws a parcel that has not been brought, as far as the hub knows.
///
/// # Errors
///
/// See [`CancelError`]; nothing has changed then.
pub async fn cancel_parcel(
    store: &Store,
    carrier: &CarrierId,
    name: &str,
    request: RequestKey,
    now: UnixMillis,
) -> Result<ParcelRow, CancelError> {
    let content = [carrier.as_str().as_bytes(), name.as_bytes()];
    let decision = cancel::Cancel {
        call: Call::new(request, "CancelParcel", &content),
        carrier: carrier.clone(),
        name: name.to_owned(),
        now,
    };
    store.decide(decision).await.map_err(CancelError::Write)?
}

/// The event of a decision about a parcel. Its id is random: a decision has no record to be named
/// after, and is made once.
fn decided(tx: &mut Tx, kind: EventKind, parcel: &ParcelRow, now: UnixMillis) {
    tx.event(NewEvent {
        event_id: uuid::Uuid::new_v4().simple().to_string(),
        kind,
        bank: parcel.bank.as_ref(),
        compartment: None,
        parcel: Some(parcel),
        detail: String::new(),
        occurred_at: now,
        recorded_at: now,
    });
}

/// Why a parcel cannot be booked or cancelled in this state; `None` if its bank was never asked.
const fn refusal(state: HubParcelState) -> Option<Refusal> {
    match state {
        HubParcelState::Announced | HubParcelState::Booked => None,
        HubParcelState::Depositing | HubParcelState::Stored | HubParcelState::Collecting => {
            Some(Refusal::AlreadyDeposited)
        }
        HubParcelState::Collected => Some(Refusal::AlreadyCollected),
        HubParcelState::Cancelled | HubParcelState::RecallRequested => {
            Some(Refusal::ParcelCancelled)
        }
        HubParcelState::Unresolved => Some(Refusal::ParcelUnresolved),
    }
}

#[cfg(test)]
mod tests;
