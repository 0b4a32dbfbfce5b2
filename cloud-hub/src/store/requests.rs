//! Repeated calls: the same id with the same content answers as the first did, with other content
//! it is a mistake of the caller's.

use aws_lc_rs::digest::{Context, SHA256};
use locker_core::code::second_factor::SuffixTag;
use locker_core::ids::{BankId, CompartmentNo, CredentialId, GroupId, ParcelId, Version};
use locker_core::parcel::Terms;
use locker_core::units::UnixMillis;
use sea_orm::EntityTrait;
use serde::{Deserialize, Serialize};

use super::convert::{bytes, damaged, int};
use super::rows::{HubParcelState, ParcelRow, RequestKey};
use super::spelling::{parse_recall_reason, recall_reason};
use super::tx::{Insert, Tx};
use super::{WriteError, entity, queries};

/// Answers are forgotten at most this often, in milliseconds.
const PURGE_EVERY_MS: u64 = 60_000;

const REQUESTS: Insert = Insert {
    name: "requests",
    table: "requests",
    columns: &["principal", "request_id", "fingerprint", "answer", "at"],
    conflict: "",
};

/// A call with its content.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    key: RequestKey,
    fingerprint: Vec<u8>,
}

/// What is known of a call.
pub(crate) enum Seen<A> {
    Never,
    Answered(A),
    /// Its id was used for another one.
    Other,
}

impl Call {
    /// `content` is everything that makes two calls the same, in order.
    pub(crate) fn new(key: RequestKey, method: &str, content: &[&[u8]]) -> Self {
        let mut context = Context::new(&SHA256);
        for part in [method.as_bytes()].iter().chain(content) {
            context.update(&part.len().to_be_bytes());
            context.update(part);
        }
        Self { key, fingerprint: context.finish().as_ref().to_vec() }
    }

    /// The first answer, if there was one.
    pub(crate) async fn seen<A: for<'de> Deserialize<'de>>(
        &self,
        tx: &Tx,
    ) -> Result<Seen<A>, WriteError> {
        let place = (self.key.principal.clone(), self.key.request_id.clone());
        let row = entity::requests::Entity::find_by_id(place).one(tx.connection()).await?;
        let Some(row) = row else { return Ok(Seen::Never) };
        if row.fingerprint != self.fingerprint {
            return Ok(Seen::Other);
        }
        let answer = serde_json::from_slice(&row.answer);
        answer.map(Seen::Answered).map_err(|_| damaged("requests", "answer").into())
    }

    /// Keeps the answer, and forgets those that are too old.
    pub(crate) async fn answered(
        &self,
        tx: &mut Tx,
        answer: &impl Serialize,
        now: UnixMillis,
    ) -> Result<(), WriteError> {
        if now.since_ms(tx.context.requests_purged_at) >= PURGE_EVERY_MS {
            let before = int(now.minus_ms(tx.context.requests_ms).0);
            tx.execute("requests", "DELETE FROM requests WHERE at < $1", [before.into()]).await?;
            tx.context.requests_purged_at = now;
        }
        let answer = serde_json::to_vec(answer).map_err(|_| damaged("requests", "answer"))?;
        let row = vec![
            self.key.principal.as_str().into(),
            self.key.request_id.as_str().into(),
            bytes(&self.fingerprint),
            bytes(&answer),
            int(now.0).into(),
        ];
        Ok(tx.insert(&REQUESTS, row).await?)
    }
}

/// What can change of a parcel, as an answer showed it.
#[derive(Serialize, Deserialize)]
pub(crate) struct ParcelAnswer {
    uid: [u8; 16],
    state: String,
    bank: Option<String>,
    compartment: Option<u16>,
    version: u32,
    credential: Option<[u8; 16]>,
    updated_at: u64,
    expires_at: Option<u64>,
    #[serde(default)]
    recall: Option<String>,
    #[serde(default)]
    terms: Option<TermsAnswer>,
}

/// The terms of a booking as an answer showed them; the rest of them never changes.
#[derive(Serialize, Deserialize)]
struct TermsAnswer {
    hard: bool,
    book_until: Option<u64>,
    keep_ms: Option<u64>,
    keep_until: Option<u64>,
    group: Option<[u8; 16]>,
}

impl TermsAnswer {
    fn of(terms: &Terms) -> Self {
        Self {
            hard: terms.hard,
            book_until: terms.book_until.map(|at| at.0),
            keep_ms: terms.keep_ms,
            keep_until: terms.keep_until.map(|at| at.0),
            group: terms.group.map(|group| group.0),
        }
    }

    fn terms(&self, suffix: Option<SuffixTag>) -> Terms {
        Terms {
            hard: self.hard,
            book_until: self.book_until.map(UnixMillis),
            keep_ms: self.keep_ms,
            keep_until: self.keep_until.map(UnixMillis),
            group: self.group.map(GroupId),
            suffix,
        }
    }
}

impl ParcelAnswer {
    pub(crate) fn of(parcel: &ParcelRow) -> Self {
        Self {
            uid: parcel.uid.0,
            state: parcel.state.as_str().to_owned(),
            bank: parcel.bank.as_ref().map(|bank| bank.as_str().to_owned()),
            compartment: parcel.compartment.map(|no| no.0),
            version: parcel.version.0,
            credential: parcel.credential.map(|id| id.0),
            updated_at: parcel.updated_at.0,
            expires_at: parcel.expires_at.map(|at| at.0),
            recall: parcel.recall.map(|reason| recall_reason(reason).to_owned()),
            terms: Some(TermsAnswer::of(&parcel.terms)),
        }
    }

    /// The parcel as it was when it was answered.
    pub(crate) async fn parcel(self, tx: &Tx) -> Result<ParcelRow, WriteError> {
        let wrong = || damaged("requests", "answer");
        let now = queries::parcel_by_uid(tx.connection(), ParcelId(self.uid)).await?;
        let bank = self.bank.map(|bank| bank.parse::<BankId>()).transpose().map_err(|_| wrong())?;
        let now = now.ok_or_else(wrong)?;
        let recall = self.recall.map(|name| parse_recall_reason(&name).ok_or_else(wrong));
        Ok(ParcelRow {
            recall: recall.transpose()?,
            terms: self.terms.map_or(now.terms, |terms| terms.terms(now.terms.suffix)),
            state: HubParcelState::parse(&self.state).ok_or_else(wrong)?,
            bank,
            compartment: self.compartment.map(CompartmentNo),
            version: Version(self.version),
            credential: self.credential.map(CredentialId),
            updated_at: UnixMillis(self.updated_at),
            expires_at: self.expires_at.map(UnixMillis),
            ..now
        })
    }
}
