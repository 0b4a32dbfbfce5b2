//! What people decide when somebody may not be who it says: end an alarm, or name the only
//! certificate that counts for a bank.

use aws_lc_rs::digest;
use locker_core::ids::BankId;
use locker_core::units::UnixMillis;
use thiserror::Error;

use crate::identity::{Identity, IdentityError};
use crate::store::{
    AlarmRow, Call, Cleared, Decision, EventKind, NewEvent, RequestKey, Seen, Store, Tx, WriteError,
};

/// Longest note with which an alarm is cleared, in characters.
pub const NOTE_MAX_CHARS: usize = 200;

/// Why an alarm was not cleared.
#[derive(Debug, Error)]
pub enum ClearAlarmError {
    #[error("there is no such alarm")]
    NotFound,
    #[error("the alarm was cleared before")]
    Cleared,
    #[error("the request id was used for another call")]
    RequestIdReused,
    #[error("the alarm's end could not be written")]
    Write(#[source] WriteError),
}

/// Why a bank's certificate was not replaced.
#[derive(Debug, Error)]
pub enum ReplaceCertificateError {
    #[error("there is no bank of this name")]
    NotFound,
    #[error("the certificate names nobody that connects here")]
    Unreadable(#[source] IdentityError),
    #[error("the certificate is that of {0}")]
    OtherIdentity(Identity),
    #[error("the certificate was revoked before")]
    Revoked,
    #[error("the request id was used for another call")]
    RequestIdReused,
    #[error("the certificate could not be written")]
    Write(#[source] WriteError),
}

/// What counts for a bank now, as SHA-256 of certificates' DER bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replaced {
    pub certificate: [u8; 32],
    /// What was revoked in the same transaction.
    pub revoked: Vec<[u8; 32]>,
}

/// Ends an alarm. A bank that was stopped for it goes on with its next connection, and whoever
/// connects first is the one that counts.
///
/// # Errors
///
/// See [`ClearAlarmError`]; nothing has changed then.
pub async fn clear_alarm(
    store: &Store,
    id: u64,
    note: String,
    request: RequestKey,
    now: UnixMillis,
) -> Result<AlarmRow, ClearAlarmError> {
    let cleared = Cleared { at: now, by: request.principal.clone(), note };
    let call = Call::new(request, "ClearAlarm", &[&id.to_be_bytes(), cleared.note.as_bytes()]);
    store.decide(Clear { call, id, cleared }).await.map_err(ClearAlarmError::Write)?
}

struct Clear {
    call: Call,
    id: u64,
    cleared: Cleared,
}

impl Decision for Clear {
    type Answer = Result<AlarmRow, ClearAlarmError>;

    async fn decide(&self, tx: &mut Tx) -> Result<Self::Answer, WriteError> {
        let Some(alarm) = tx.alarm(self.id).await? else {
            return Ok(Err(ClearAlarmError::NotFound));
        };
        match self.call.seen::<()>(tx).await? {
            Seen::Answered(()) => return Ok(Ok(alarm)),
            Seen::Other => return Ok(Err(ClearAlarmError::RequestIdReused)),
            Seen::Never if alarm.cleared.is_some() => return Ok(Err(ClearAlarmError::Cleared)),
            Seen::Never => {}
        }
        tx.clear(&alarm, &self.cleared).await?;
        tx.let_go_on(&alarm).await?;
        self.call.answered(tx, &(), self.cleared.at).await?;
        Ok(Ok(AlarmRow { cleared: Some(self.cleared.clone()), ..alarm }))
    }
}

/// Names the only certificate that counts for a bank. All others that were ever accepted for it, or
/// that an alarm of it names, are revoked in the same transaction; a session with one of them ends.
///
/// # Errors
///
/// See [`ReplaceCertificateError`]; nothing has changed then.
pub async fn replace_certificate(
    store: &Store,
    bank: &BankId,
    der: &[u8],
    request: RequestKey,
    now: UnixMillis,
) -> Result<Replaced, ReplaceCertificateError> {
    let identity = Identity::of_certificate(der).map_err(ReplaceCertificateError::Unreadable)?;
    if identity != Identity::Bank(bank.clone()) {
        return Err(ReplaceCertificateError::OtherIdentity(identity));
    }
    let mut certificate = [0; 32];
    certificate.copy_from_slice(digest::digest(&digest::SHA256, der).as_ref());
    let by = request.principal.clone();
    let content = [bank.as_str().as_bytes(), &certificate];
    let call = Call::new(request, "ReplaceBankCertificate", &content);
    let decision = Replace { call, bank: bank.clone(), certificate, by, now };
    store.decide(decision).await.map_err(ReplaceCertificateError::Write)?
}

struct Replace {
    call: Call,
    bank: BankId,
    certificate: [u8; 32],
    by: String,
    now: UnixMillis,
}

impl Decision for Replace {
    type Answer = Result<Replaced, ReplaceCertificateError>;

    async fn decide(&self, tx: &mut Tx) -> Result<Self::Answer, WriteError> {
        let certificate = self.certificate;
        match self.call.seen::<Vec<[u8; 32]>>(tx).await? {
            Seen::Answered(revoked) => return Ok(Ok(Replaced { certificate, revoked })),
            Seen::Other => return Ok(Err(ReplaceCertificateError::RequestIdReused)),
            Seen::Never => {}
        }
        if tx.bank(&self.bank).await?.is_none() {
            return Ok(Err(ReplaceCertificateError::NotFound));
        }
        if tx.is_revoked(&self.bank, certificate).await? {
            return Ok(Err(ReplaceCertificateError::Revoked));
        }
        let revoked = tx.replace_certificate(&self.bank, certificate, &self.by, self.now).await?;
        tx.event(NewEvent {
            event_id: uuid::Uuid::new_v4().simple().to_string(),
            kind: EventKind::BankCertificateReplaced,
            bank: Some(&self.bank),
            compartment: None,
            parcel: None,
            detail: format!("{} by {}", hex(&certificate), self.by),
            occurred_at: self.now,
            recorded_at: self.now,
        });
        self.call.answered(tx, &revoked, self.now).await?;
        Ok(Ok(Replaced { certificate, revoked }))
    }
}

/// Bytes as people compare them.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
