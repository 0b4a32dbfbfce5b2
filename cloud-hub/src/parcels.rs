//! What the hub decides about parcels: announce, book, cancel, and what can be decided once one is
//! inside. Each decision reads what it depends
//! on and writes what it changes in one transaction, and answers a repeated call as the first.

mod book;
mod cancel;
mod change;
mod create;
mod room;

pub use book::BookingOrder;
pub use change::{Delegated, ParcelChange};

use locker_core::ids::{Barcode, CarrierId, CredentialId, ParcelId, TraceParent};
use locker_core::refusal::Refusal;
use locker_core::units::{Dimensions, Grams, UnixMillis};
use thiserror::Error;

use crate::store::{
    Call, DisplayName, Email, EventKind, HubParcelState, NewEvent, ParcelRow, Phone, RequestKey,
    Store, Tx, WriteError,
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
    pub phone: Option<Phone>,
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
    /// Nobody can say that a compartment will be kept.
    #[error("the bank is not connected and keeps no fitting compartment back")]
    BankNotConnected,
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

/// Why nothing was decided about a parcel that should be inside.
#[derive(Debug, Error)]
pub enum ChangeParcelError {
    #[error("the decision was refused")]
    Refused(#[source] Refusal),
    #[error("the carrier has no parcel of this name")]
    NotFound,
    #[error("the parcel has had as many codes as a bank can hold")]
    TooManyCodes,
    #[error("the parcel has no delegate of this name, or no more")]
    DelegateUnknown,
    #[error("the request id was used for another call")]
    RequestIdReused,
    #[error("the decision could not be written")]
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

/// Books room for a parcel at a bank and tells the bank to expect it.
///
/// # Errors
///
/// See [`BookError`]; nothing has changed then.
pub async fn book_compartment(
    store: &Store,
    carrier: &CarrierId,
    name: &str,
    order: BookingOrder,
    request: RequestKey,
    now: UnixMillis,
) -> Result<ParcelRow, BookError> {
    let terms = order.content();
    let bank = order.bank.as_str().as_bytes();
    let content = [carrier.as_str().as_bytes(), name.as_bytes(), bank, &terms];
    let decision = book::Book {
        call: Call::new(request, "BookCompartment", &content),
        carrier: carrier.clone(),
        name: name.to_owned(),
        order,
        code_master: store.code_master(),
        now,
    };
    store.decide(decision).await.map_err(BookError::Write)?
}

/// Decides something about a parcel that is inside, and tells its bank.
///
/// # Errors
///
/// See [`ChangeParcelError`]; nothing has changed then.
pub async fn change_parcel(
    store: &Store,
    carrier: &CarrierId,
    name: &str,
    change: ParcelChange,
    request: RequestKey,
    now: UnixMillis,
) -> Result<ParcelRow, ChangeParcelError> {
    let what = change.content();
    let content = [carrier.as_str().as_bytes(), name.as_bytes(), &what];
    let decision = change::Change {
        call: Call::new(request, change.method(), &content),
        carrier: carrier.clone(),
        name: name.to_owned(),
        change,
        now,
    };
    store.decide(decision).await.map_err(ChangeParcelError::Write)?
}

/// Makes a code for somebody else, that works until `until` but not longer than the parcel may
/// stay. `fresh` is a random id; a repeated call gets the first one's.
///
/// # Errors
///
/// See [`ChangeParcelError`]; nothing has changed then.
pub async fn delegate_pickup(
    store: &Store,
    carrier: &CarrierId,
    name: &str,
    until: UnixMillis,
    fresh: CredentialId,
    request: RequestKey,
    now: UnixMillis,
) -> Result<Delegated, ChangeParcelError> {
    let content = [carrier.as_str().as_bytes(), name.as_bytes(), &until.0.to_be_bytes()];
    let decision = change::Delegate {
        call: Call::new(request, "DelegatePickup", &content),
        carrier: carrier.clone(),
        name: name.to_owned(),
        until,
        fresh,
        now,
    };
    store.decide(decision).await.map_err(ChangeParcelError::Write)?
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
fn decided(tx: &mut Tx, kind: EventKind, parcel: &ParcelRow, detail: &str, now: UnixMillis) {
    tx.event(NewEvent {
        event_id: uuid::Uuid::new_v4().simple().to_string(),
        kind,
        bank: parcel.bank.as_ref(),
        compartment: None,
        parcel: Some(parcel),
        detail: detail.to_owned(),
        occurred_at: now,
        recorded_at: now,
    });
}

/// Why a parcel cannot be booked in this state; `None` if no bank has it or is done with it.
const fn booking_refusal(state: HubParcelState) -> Option<Refusal> {
    match state {
        HubParcelState::Announced
        | HubParcelState::Booked
        | HubParcelState::BookingPending
        | HubParcelState::BookingExpired
        | HubParcelState::Recalled => None,
        HubParcelState::Depositing
        | HubParcelState::Stored
        | HubParcelState::Collecting
        | HubParcelState::Expired
        | HubParcelState::Recalling => Some(Refusal::AlreadyDeposited),
        HubParcelState::Collected => Some(Refusal::AlreadyCollected),
        HubParcelState::Cancelled | HubParcelState::RecallRequested => {
            Some(Refusal::ParcelCancelled)
        }
        HubParcelState::Unresolved | HubParcelState::Disputed => Some(Refusal::ParcelUnresolved),
        HubParcelState::Missing => Some(Refusal::ParcelMissing),
    }
}

#[cfg(test)]
mod tests;
