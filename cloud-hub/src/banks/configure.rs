//! How a bank works: whether it takes deposits, what it keeps back for hard bookings, and whose
//! couriers can sign in at its keypad: documents that the bank takes over when it hears of them. And
//! its time zone, which only the hub needs to know.

use std::collections::BTreeSet;

use locker_core::code::keypad_code::COURIER_CODES_MAX;
use locker_core::downlink::{Mode, Quota};
use locker_core::ids::{BankId, CarrierId, Generation};
use locker_core::units::{Dimensions, UnixMillis};
use thiserror::Error;

use super::decisions::decided;
use crate::site_zone::SiteZone;
use crate::store::{
    BankRow, Call, Decision, EventKind, KeypadCouriers, RequestKey, Seen, Store, Tx, WriteError,
};

/// Why a bank was not configured.
#[derive(Debug, Error)]
pub enum ConfigureBankError {
    #[error("there is no bank of this name")]
    NotFound,
    #[error("the quota names a size twice, one that the bank does not have, or too many")]
    UnsoundQuota,
    #[error("this hub makes no six-digit codes")]
    NoCodes,
    #[error("{codes} couriers' codes are more than a bank holds")]
    TooManyCouriersCodes { codes: usize },
    #[error("the request id was used for another call")]
    RequestIdReused,
    #[error("the document could not be written")]
    Write(#[source] WriteError),
}

/// Puts a bank into maintenance or back into service.
///
/// # Errors
///
/// See [`ConfigureBankError`]; nothing has changed then.
pub async fn set_mode(
    store: &Store,
    bank: &BankId,
    maintenance: bool,
    request: RequestKey,
    now: UnixMillis,
) -> Result<BankRow, ConfigureBankError> {
    let content = [bank.as_str().as_bytes(), &[u8::from(maintenance)]];
    let call = Call::new(request, "SetBankMode", &content);
    configure(store, call, bank, Document::Mode { maintenance }, now).await
}

/// Says what a bank keeps back for hard bookings: sizes of its layout, each once.
///
/// # Errors
///
/// See [`ConfigureBankError`]; nothing has changed then.
pub async fn set_quota(
    store: &Store,
    bank: &BankId,
    ceded: Vec<(Dimensions, u16)>,
    request: RequestKey,
    now: UnixMillis,
) -> Result<BankRow, ConfigureBankError> {
    let quota = Quota { generation: Generation(0), ceded };
    if !quota.is_sound() {
        return Err(ConfigureBankError::UnsoundQuota);
    }
    let content = [bank.as_str().as_bytes(), &locker_proto::encode_quota(&quota)];
    let call = Call::new(request, "SetQuota", &content);
    configure(store, call, bank, Document::Quota { ceded: quota.ceded }, now).await
}

/// Says which carriers' couriers have keypad codes at a bank; those of others are out of use as soon
/// as the bank hears of it. `dark_days` is how many days there are codes for, none if this hub makes
/// none.
///
/// # Errors
///
/// See [`ConfigureBankError`]; nothing has changed then.
pub async fn set_keypad_couriers(
    store: &Store,
    bank: &BankId,
    carriers: BTreeSet<CarrierId>,
    dark_days: Option<u8>,
    request: RequestKey,
    now: UnixMillis,
) -> Result<BankRow, ConfigureBankError> {
    let carriers: Vec<CarrierId> = carriers.into_iter().collect();
    if !carriers.is_empty() {
        let dark_days = dark_days.ok_or(ConfigureBankError::NoCodes)?;
        // Yesterday's are good for a while at the beginning of a day.
        let codes = carriers.len() * (usize::from(dark_days) + 1);
        if codes > COURIER_CODES_MAX {
            return Err(ConfigureBankError::TooManyCouriersCodes { codes });
        }
    }
    let content: Vec<&[u8]> = [bank.as_str()]
        .into_iter()
        .chain(carriers.iter().map(CarrierId::as_str))
        .map(str::as_bytes)
        .collect();
    let call = Call::new(request, "SetKeypadCouriers", &content);
    configure(store, call, bank, Document::KeypadCouriers { carriers }, now).await
}

/// Says in which time zone a bank stands.
///
/// # Errors
///
/// See [`ConfigureBankError`]; nothing has changed then.
pub async fn set_time_zone(
    store: &Store,
    bank: &BankId,
    zone: SiteZone,
    request: RequestKey,
    now: UnixMillis,
) -> Result<BankRow, ConfigureBankError> {
    let content = [bank.as_str().as_bytes(), zone.name().as_bytes()];
    let call = Call::new(request, "SetTimeZone", &content);
    configure(store, call, bank, Document::TimeZone { zone }, now).await
}

async fn configure(
    store: &Store,
    call: Call,
    bank: &BankId,
    document: Document,
    now: UnixMillis,
) -> Result<BankRow, ConfigureBankError> {
    let decision = Configure { call, bank: bank.clone(), document, now };
    store.decide(decision).await.map_err(ConfigureBankError::Write)?
}

enum Document {
    Mode { maintenance: bool },
    Quota { ceded: Vec<(Dimensions, u16)> },
    KeypadCouriers { carriers: Vec<CarrierId> },
    TimeZone { zone: SiteZone },
}

impl Document {
    /// What the event says.
    fn detail(&self, generation: Generation) -> String {
        let said = match self {
            Self::Mode { maintenance: true } => "maintenance".to_owned(),
            Self::Mode { maintenance: false } => "in service".to_owned(),
            Self::Quota { .. } => return format!("generation {}", generation.0),
            Self::KeypadCouriers { carriers } if carriers.is_empty() => "nobody's".to_owned(),
            Self::KeypadCouriers { carriers } => {
                let names = carriers.iter().map(|carrier| format!("carriers/{carrier}"));
                names.collect::<Vec<_>>().join(" ")
            }
            Self::TimeZone { zone } => return zone.to_string(),
        };
        format!("generation {}, {said}", generation.0)
    }
}

struct Configure {
    call: Call,
    bank: BankId,
    document: Document,
    now: UnixMillis,
}

impl Decision for Configure {
    type Answer = Result<BankRow, ConfigureBankError>;

    async fn decide(&self, tx: &mut Tx) -> Result<Self::Answer, WriteError> {
        let Some(known) = tx.bank(&self.bank).await? else {
            return Ok(Err(ConfigureBankError::NotFound));
        };
        match self.call.seen::<u64>(tx).await? {
            Seen::Answered(_) => return Ok(Ok(known)),
            Seen::Other => return Ok(Err(ConfigureBankError::RequestIdReused)),
            Seen::Never => {}
        }
        let (bank, kind, generation) = match &self.document {
            Document::Mode { maintenance } => {
                let generation = Generation(known.mode.generation.0 + 1);
                let mode = Mode { generation, maintenance: *maintenance };
                tx.issue_mode(&self.bank, mode, self.now).await?;
                (BankRow { mode, ..known }, EventKind::BankModeIssued, generation)
            }
            Document::Quota { ceded } => {
                let built = |size: &Dimensions| {
                    known.layout.compartments.iter().any(|spec| spec.inside == *size)
                };
                if !ceded.iter().all(|(size, _)| built(size)) {
                    return Ok(Err(ConfigureBankError::UnsoundQuota));
                }
                let generation = Generation(known.quota.generation.0 + 1);
                let quota = Quota { generation, ceded: ceded.clone() };
                tx.issue_quota(&self.bank, &quota, self.now).await?;
                (BankRow { quota, ..known }, EventKind::BankQuotaIssued, generation)
            }
            Document::KeypadCouriers { carriers } => {
                let issued = tx.set_keypad_couriers(&self.bank, carriers, self.now).await?;
                let carriers = carriers.clone();
                let keypad = KeypadCouriers { carriers, issued, held: known.keypad.held };
                (BankRow { keypad, ..known }, EventKind::BankKeypadCouriersSet, issued)
            }
            Document::TimeZone { zone } => {
                tx.set_time_zone(&self.bank, zone).await?;
                let row = BankRow { time_zone: zone.clone(), ..known };
                // The bank is told nothing, so that there are no generations of it.
                (row, EventKind::BankTimeZoneSet, Generation(0))
            }
        };
        decided(tx, kind, &bank, self.document.detail(generation), self.now);
        self.call.answered(tx, &generation.0, self.now).await?;
        Ok(Ok(bank))
    }
}
