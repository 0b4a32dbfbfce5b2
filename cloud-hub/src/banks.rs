//! What the hub decides about banks: make one known, issue its layout, its mode and its quota, say
//! whose couriers have codes there and where it stands in time, lock it down, sign badges of
//! couriers and staff.

mod configure;
mod decisions;
mod lock_down;

pub use configure::{ConfigureBankError, set_keypad_couriers, set_mode, set_quota, set_time_zone};
pub use lock_down::{LockDownError, lock_down};

use locker_core::compartment::{CompartmentSpec, Layout};
use locker_core::credential::Action;
use locker_core::ids::{BankId, CarrierId, CredentialId, Generation};
use locker_core::units::UnixMillis;
use thiserror::Error;

use crate::credential_keys::{HubKeys, SignTokenError};
use crate::site_zone::SiteZone;
use crate::store::{BankRow, Call, RequestKey, Store, WriteError};

/// A bank to be made known.
#[derive(Clone, Debug)]
pub struct NewBank {
    pub id: BankId,
    pub display_name: String,
    pub address: String,
    pub time_zone: SiteZone,
    pub compartments: Vec<CompartmentSpec>,
}

/// A badge of a courier or of staff.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Badge {
    /// What its QR code says.
    pub text: String,
    pub expires_at: UnixMillis,
    /// That of its bank.
    pub time_zone: SiteZone,
}

/// Why a bank was not made known.
#[derive(Debug, Error)]
pub enum CreateBankError {
    #[error("there is a bank of this name")]
    Exists,
    #[error("the layout uses a number or a lock twice, or has an impossible size")]
    UnsoundLayout,
    #[error("the request id was used for another call")]
    RequestIdReused,
    #[error("the bank could not be written")]
    Write(#[source] WriteError),
}

/// Why a layout was not issued.
#[derive(Debug, Error)]
pub enum SetLayoutError {
    #[error("there is no bank of this name")]
    NotFound,
    #[error("the layout uses a number or a lock twice, or has an impossible size")]
    UnsoundLayout,
    #[error("the request id was used for another call")]
    RequestIdReused,
    #[error("the layout could not be written")]
    Write(#[source] WriteError),
}

/// Why a badge was not signed.
#[derive(Debug, Error)]
pub enum IssueBadgeError {
    #[error("there is no bank of this name")]
    NotFound,
    #[error("the request id was used for another call")]
    RequestIdReused,
    #[error("the badge could not be signed")]
    Sign(#[source] SignTokenError),
    #[error("the badge could not be written")]
    Write(#[source] WriteError),
}

/// Makes a bank known and issues its first layout.
///
/// # Errors
///
/// See [`CreateBankError`]; nothing has changed then.
pub async fn create_bank(
    store: &Store,
    new: NewBank,
    request: RequestKey,
    now: UnixMillis,
) -> Result<BankRow, CreateBankError> {
    let layout = Layout { generation: Generation(1), compartments: new.compartments };
    if !layout.is_sound() {
        return Err(CreateBankError::UnsoundLayout);
    }
    let document = locker_proto::encode_layout(&layout);
    let mut content = vec![
        new.id.as_str().as_bytes(),
        new.display_name.as_bytes(),
        new.address.as_bytes(),
        &document,
    ];
    // So that a call from before there were zones is the same call.
    if new.time_zone != SiteZone::UTC {
        content.push(new.time_zone.name().as_bytes());
    }
    let decision = decisions::Create {
        call: Call::new(request, "CreateBank", &content),
        id: new.id,
        display_name: new.display_name,
        address: new.address,
        time_zone: new.time_zone,
        layout,
        now,
    };
    store.decide(decision).await.map_err(CreateBankError::Write)?
}

/// Issues a new layout. The bank takes it over when what it changes is free.
///
/// # Errors
///
/// See [`SetLayoutError`]; nothing has changed then.
pub async fn set_layout(
    store: &Store,
    bank: &BankId,
    compartments: Vec<CompartmentSpec>,
    request: RequestKey,
    now: UnixMillis,
) -> Result<BankRow, SetLayoutError> {
    let layout = Layout { generation: Generation(0), compartments };
    if !layout.is_sound() {
        return Err(SetLayoutError::UnsoundLayout);
    }
    let content = [bank.as_str().as_bytes(), &locker_proto::encode_layout(&layout)];
    let call = Call::new(request, "SetLayout", &content);
    let compartments = layout.compartments;
    let decision = decisions::SetLayout { call, bank: bank.clone(), compartments, now };
    store.decide(decision).await.map_err(SetLayoutError::Write)?
}

/// Whose badge it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadgeHolder {
    /// A courier of this carrier.
    Courier(CarrierId),
    /// One of the operator's own people.
    Staff,
}

/// What a badge is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadgeOrder {
    pub bank: BankId,
    pub holder: BadgeHolder,
    /// How long it works, in milliseconds.
    pub ttl_ms: u64,
    /// A random id; a repeated call gets the first one's.
    pub fresh: CredentialId,
}

/// Signs a badge with which a courier of one carrier can deposit at one bank, or a person look after
/// it.
///
/// # Errors
///
/// See [`IssueBadgeError`].
pub async fn issue_badge(
    store: &Store,
    keys: &HubKeys,
    order: BadgeOrder,
    request: RequestKey,
    now: UnixMillis,
) -> Result<Badge, IssueBadgeError> {
    let ttl = order.ttl_ms.to_be_bytes();
    let at = order.bank.as_str().as_bytes();
    let call = match &order.holder {
        BadgeHolder::Courier(carrier) => {
            Call::new(request, "IssueBadge", &[at, carrier.as_str().as_bytes(), &ttl])
        }
        BadgeHolder::Staff => Call::new(request, "IssueStaffBadge", &[at, &ttl]),
    };
    let BadgeOrder { bank, holder, ttl_ms, fresh } = order;
    let (ours, expires_at) = (keys.credential_keys(), now.plus_ms(ttl_ms));
    let decision = decisions::Badge { call, bank: bank.clone(), ours, fresh, expires_at, now };
    let badge = store.decide(decision).await.map_err(IssueBadgeError::Write)??;
    let action = match holder {
        BadgeHolder::Courier(carrier) => Action::Courier { carrier },
        BadgeHolder::Staff => Action::Staff,
    };
    let text = keys.sign_token(&bank, &badge.held, badge.id, badge.expires_at, action);
    let text = text.map_err(IssueBadgeError::Sign)?;
    Ok(Badge { text, expires_at: badge.expires_at, time_zone: badge.time_zone })
}

#[cfg(test)]
mod tests;
