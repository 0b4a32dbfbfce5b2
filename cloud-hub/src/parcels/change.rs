//! What can be decided about a parcel that is inside: it may stay longer, must leave, gets a new code,
//! or one for somebody else.
//!
//! Each decision is a new version of the parcel and a grant to its bank. What the bank has done
//! before it heard of it stands.

use locker_core::credential::KeySet;
use locker_core::downlink::{CREDENTIALS_PER_PARCEL_MAX, Grant};
use locker_core::ids::{BankId, CarrierId, CredentialId, Version};
use locker_core::parcel::RecallReason;
use locker_core::refusal::Refusal;
use locker_core::units::UnixMillis;
use serde::{Deserialize, Serialize};

use super::{ChangeParcelError, decided};
use crate::store::{
    Call, Decision, EventKind, HubParcelState as State, NoticeKind, ParcelAnswer, ParcelRow, Seen,
    Tx, WriteError, recall_reason,
};

/// A decision about a parcel that is inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParcelChange {
    /// It may stay until then.
    Extend { until: UnixMillis },
    /// It must leave without its recipient.
    Recall { reason: RecallReason },
    /// Its recipient gets a new code. The id is random and not part of what makes two calls the same.
    Reissue { fresh: CredentialId },
    /// A delegate's code opens nothing any more.
    Revoke { delegate: CredentialId },
}

impl ParcelChange {
    pub(super) const fn method(self) -> &'static str {
        match self {
            Self::Extend { .. } => "ExtendRetention",
            Self::Recall { .. } => "RecallParcel",
            Self::Reissue { .. } => "ReissueCode",
            Self::Revoke { .. } => "RevokeDelegate",
        }
    }

    pub(super) fn content(self) -> Vec<u8> {
        match self {
            Self::Extend { until } => until.0.to_be_bytes().to_vec(),
            Self::Recall { reason } => recall_reason(reason).as_bytes().to_vec(),
            Self::Reissue { .. } => Vec::new(),
            Self::Revoke { delegate } => delegate.0.to_vec(),
        }
    }

    /// Whether it can be decided in this state, besides that of a parcel that just waits.
    const fn also_in(self, state: State) -> bool {
        match self {
            Self::Extend { .. } => matches!(state, State::Collecting | State::Expired),
            Self::Recall { .. } => matches!(state, State::Expired | State::RecallRequested),
            Self::Reissue { .. } => false,
            Self::Revoke { .. } => matches!(state, State::Collecting | State::Expired),
        }
    }
}

pub(super) struct Change {
    pub(super) call: Call,
    pub(super) carrier: CarrierId,
    pub(super) name: String,
    pub(super) change: ParcelChange,
    pub(super) now: UnixMillis,
}

impl Decision for Change {
    type Answer = Result<ParcelRow, ChangeParcelError>;

    async fn decide(&self, tx: &mut Tx) -> Result<Self::Answer, WriteError> {
        match self.call.seen::<ParcelAnswer>(tx).await? {
            Seen::Answered(answer) => return Ok(Ok(answer.parcel(tx).await?)),
            Seen::Other => return Ok(Err(ChangeParcelError::RequestIdReused)),
            Seen::Never => {}
        }
        let Some(parcel) = tx.parcel(&self.carrier, &self.name).await? else {
            return Ok(Err(ChangeParcelError::NotFound));
        };
        let (mut parcel, bank) = match decidable(parcel, |state| self.change.also_in(state)) {
            Ok(both) => both,
            Err(refused) => return Ok(Err(ChangeParcelError::Refused(refused))),
        };
        let (uid, version) = (parcel.uid, parcel.version);
        let (grant, kind, notice) = match self.change {
            ParcelChange::Extend { until } => {
                extend(&mut parcel, until);
                let grant = Grant::Keep { parcel: uid, version, until };
                (grant, EventKind::ParcelExtended, Some(NoticeKind::ParcelExtended))
            }
            ParcelChange::Recall { reason } => {
                (parcel.state, parcel.recall) = (State::RecallRequested, Some(reason));
                let grant = Grant::Recall { parcel: uid, version, reason };
                (grant, EventKind::ParcelRecallRequested, None)
            }
            ParcelChange::Reissue { fresh: credential } => {
                if tx.codes_of(&parcel).await? >= CREDENTIALS_PER_PARCEL_MAX {
                    return Ok(Err(ChangeParcelError::TooManyCodes));
                }
                tx.supersede_codes(uid).await?;
                tx.save_code(uid, credential, None, self.now).await?;
                parcel.credential = Some(credential);
                let grant = Grant::Reissue { parcel: uid, version, credential };
                (grant, EventKind::ParcelCodeReissued, Some(NoticeKind::CodeReissued))
            }
            ParcelChange::Revoke { delegate: credential } => {
                if !tx.revoke_delegate(uid, credential).await? {
                    return Ok(Err(ChangeParcelError::DelegateUnknown));
                }
                let grant = Grant::Revoke { parcel: uid, version, credential };
                (grant, EventKind::ParcelDelegateRevoked, None)
            }
        };
        parcel.updated_at = self.now;
        tx.save_parcel(&parcel).await?;
        tx.grant(&bank, &grant, self.now).await?;
        if let Some(notice) = notice {
            tx.notice(&parcel, notice).await?;
        }
        let detail = match self.change {
            ParcelChange::Recall { reason } => recall_reason(reason),
            ParcelChange::Extend { .. }
            | ParcelChange::Reissue { .. }
            | ParcelChange::Revoke { .. } => "",
        };
        decided(tx, kind, &parcel, detail, self.now);
        self.call.answered(tx, &ParcelAnswer::of(&parcel), self.now).await?;
        Ok(Ok(parcel))
    }
}

/// What was promised counts at once, whatever the bank thinks until it hears of it.
fn extend(parcel: &mut ParcelRow, until: UnixMillis) {
    parcel.expires_at = Some(until);
    parcel.terms.keep_until = Some(until);
    if parcel.state == State::Expired {
        (parcel.state, parcel.recall) = (State::Stored, None);
    }
}

/// A code for somebody else than the recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delegated {
    pub bank: BankId,
    /// The keys that the bank can check it with.
    pub held: KeySet,
    pub credential: CredentialId,
    pub until: UnixMillis,
}

pub(super) struct Delegate {
    pub(super) call: Call,
    pub(super) carrier: CarrierId,
    pub(super) name: String,
    pub(super) until: UnixMillis,
    pub(super) fresh: CredentialId,
    pub(super) now: UnixMillis,
}

/// What is kept of an answer.
#[derive(Serialize, Deserialize)]
struct DelegateAnswer {
    credential: [u8; 16],
    until: u64,
    bank: String,
}

impl Decision for Delegate {
    type Answer = Result<Delegated, ChangeParcelError>;

    async fn decide(&self, tx: &mut Tx) -> Result<Self::Answer, WriteError> {
        match self.call.seen::<DelegateAnswer>(tx).await? {
            Seen::Answered(answer) => return answered(tx, &answer).await,
            Seen::Other => return Ok(Err(ChangeParcelError::RequestIdReused)),
            Seen::Never => {}
        }
        let Some(parcel) = tx.parcel(&self.carrier, &self.name).await? else {
            return Ok(Err(ChangeParcelError::NotFound));
        };
        let (mut parcel, bank) = match decidable(parcel, |_| false) {
            Ok(both) => both,
            Err(refused) => return Ok(Err(ChangeParcelError::Refused(refused))),
        };
        if tx.codes_of(&parcel).await? >= CREDENTIALS_PER_PARCEL_MAX {
            return Ok(Err(ChangeParcelError::TooManyCodes));
        }
        let until = parcel.expires_at.map_or(self.until, |expires| expires.min(self.until));
        let (uid, version, credential) = (parcel.uid, parcel.version, self.fresh);
        parcel.updated_at = self.now;
        tx.save_parcel(&parcel).await?;
        tx.save_code(uid, credential, Some(until), self.now).await?;
        tx.grant(&bank, &Grant::Delegate { parcel: uid, version, credential, until }, self.now)
            .await?;
        decided(tx, EventKind::ParcelDelegated, &parcel, "", self.now);
        let answer = DelegateAnswer {
            credential: credential.0,
            until: until.0,
            bank: bank.as_str().to_owned(),
        };
        self.call.answered(tx, &answer, self.now).await?;
        answered(tx, &answer).await
    }
}

async fn answered(
    tx: &Tx,
    answer: &DelegateAnswer,
) -> Result<Result<Delegated, ChangeParcelError>, WriteError> {
    let Ok(bank) = answer.bank.parse::<BankId>() else {
        return Ok(Err(ChangeParcelError::NotFound));
    };
    let Some(row) = tx.bank(&bank).await? else { return Ok(Err(ChangeParcelError::NotFound)) };
    let (credential, until) = (CredentialId(answer.credential), UnixMillis(answer.until));
    Ok(Ok(Delegated { bank, held: row.keys_held, credential, until }))
}

/// The parcel with its next version, and its bank, if it waits inside or is in a state that is
/// `allowed` besides.
fn decidable(
    parcel: ParcelRow,
    allowed: impl Fn(State) -> bool,
) -> Result<(ParcelRow, BankId), Refusal> {
    if !allowed(parcel.state)
        && let Some(refused) = refusal(parcel.state)
    {
        return Err(refused);
    }
    let bank = parcel.bank.clone().ok_or(Refusal::NotDeposited)?;
    let version = Version(parcel.version.0.saturating_add(1));
    Ok((ParcelRow { version, ..parcel }, bank))
}

/// Why nothing can be decided about a parcel in this state; `None` if it waits inside.
const fn refusal(state: State) -> Option<Refusal> {
    Some(match state {
        State::Stored => return None,
        State::Announced
        | State::Booked
        | State::BookingPending
        | State::BookingExpired
        | State::Depositing => Refusal::NotDeposited,
        State::Collecting => Refusal::PickupInProgress,
        State::Collected => Refusal::AlreadyCollected,
        State::Cancelled => Refusal::ParcelCancelled,
        State::Unresolved | State::Disputed => Refusal::ParcelUnresolved,
        State::RecallRequested | State::Recalled => Refusal::ParcelRecalled,
        State::Expired => Refusal::ParcelExpired,
        State::Recalling => Refusal::RecallInProgress,
        State::Missing => Refusal::ParcelMissing,
    })
}
