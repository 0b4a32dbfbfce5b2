//! How a bank works: whether it takes deposits, and what it keeps back for hard bookings. Documents
//! that the bank takes over when it hears of them.

use locker_core::downlink::{Mode, Quota};
use locker_core::ids::{BankId, Generation};
use locker_core::units::{Dimensions, UnixMillis};
use thiserror::Error;

use super::decisions::decided;
use crate::store::{BankRow, Call, Decision, EventKind, RequestKey, Seen, Store, Tx, WriteError};

/// Why a bank was not configured.
#[derive(Debug, Error)]
pub enum ConfigureBankError {
    #[error("there is no bank of this name")]
    NotFound,
    #[error("the quota names a size twice, one that the bank does not have, or too many")]
    UnsoundQuota,
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
        };
        let detail = match &self.document {
            Document::Mode { maintenance: true } => {
                format!("generation {}, maintenance", generation.0)
            }
            Document::Mode { maintenance: false } => {
                format!("generation {}, in service", generation.0)
            }
            Document::Quota { .. } => format!("generation {}", generation.0),
        };
        decided(tx, kind, &bank, detail, self.now);
        self.call.answered(tx, &generation.0, self.now).await?;
        Ok(Ok(bank))
    }
}
