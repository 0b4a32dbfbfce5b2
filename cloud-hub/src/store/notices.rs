//! Notices that are due: claimed with a lease, so that two senders never send the same one, and
//! due again when a sender dies with it.
//!
//! A notice about a decision of the hub's is not due before the bank has taken that decision over:
//! a bank that is dark opens no door for the code in it.

mod refused;
mod reminders;

use std::sync::Arc;

use locker_core::code::slot::{Sealed, SlotId};
use locker_core::ids::{BankId, ParcelId, Version};
use locker_core::parcel::{Parcel, SINCE_UNKNOWN};
use locker_core::units::UnixMillis;
use sea_orm::{ColumnTrait, EntityTrait, Order, QueryFilter, QueryOrder, QuerySelect};

use super::codes::holds_our_keys;
use super::convert::{bytes, damaged, id, int, uint};
use super::entity::{bank_entities, notices};
use super::ingest_write::{EntityKind, NOTICES, notice_values};
use super::notice_rows::{NoticeKind, NoticeOutcome, NoticeRow, ParcelAtBank};
use super::rows::{EventKind, ParcelRow};
use super::tx::{NewEvent, Tx};
use super::writer::Decision;
use super::{ReadError, WriteError, queries};
use crate::codes::pepper::CodeMaster;

pub(super) struct ClaimNotices {
    pub(super) now: UnixMillis,
    pub(super) lease_ms: u64,
    pub(super) limit: u32,
    /// What six-digit codes are made with, if there are any.
    pub(super) code_master: Option<Arc<CodeMaster>>,
}

impl Decision for ClaimNotices {
    type Answer = Vec<NoticeRow>;

    async fn decide(&self, tx: &mut Tx) -> Result<Vec<NoticeRow>, WriteError> {
        let rows = notices::Entity::find()
            .filter(notices::Column::DueAt.lte(int(self.now.0)))
            .order_by(notices::Column::DueAt, Order::Asc)
            .limit(u64::from(self.limit))
            .all(tx.connection())
            .await?;
        let mut claimed = Vec::with_capacity(rows.len());
        for row in rows {
            let sql = "UPDATE notices SET due_at = $1, attempts = attempts + 1 WHERE id = $2";
            let until = int(self.now.plus_ms(self.lease_ms).0);
            tx.execute("notices", sql, [until.into(), row.id.into()]).await?;
            // One that cannot be read keeps nobody else waiting, and is looked at again after its lease.
            match read(tx, &row, self.code_master.as_deref()).await {
                Ok(Some(notice)) => claimed.push(notice),
                Ok(None) => {
                    let sql = "UPDATE notices SET due_at = NULL, outcome = $1 WHERE id = $2";
                    tx.execute("notices", sql, [UNNEEDED.into(), row.id.into()]).await?;
                }
                Err(error @ ReadError::Damaged { .. }) => {
                    tracing::error!(notice = row.id, %error, "notice left for later");
                }
                Err(error @ ReadError::Database(_)) => return Err(error.into()),
            }
        }
        Ok(claimed)
    }
}

/// A notice with what its letter is made of; `None` if its parcel is at no bank any more.
async fn read(
    tx: &Tx,
    row: &notices::Model,
    code_master: Option<&CodeMaster>,
) -> Result<Option<NoticeRow>, ReadError> {
    let kind = NoticeKind::parse(&row.kind).ok_or(damaged("notices", "kind"))?;
    let uid: ParcelId = id("notices", "parcel", &row.parcel)?;
    let parcel = queries::parcel_by_uid(tx.connection(), uid).await?;
    let parcel = parcel.ok_or(damaged("notices", "parcel"))?;
    let Some(bank) = parcel.bank.as_ref() else { return Ok(None) };
    let at_bank = known_at(tx, bank, uid).await?.map(|known| ParcelAtBank {
        credential: known.credential,
        asks_phone: known.terms.suffix.is_some(),
        keep_until: known.terms.keep_until,
        since: known.state.stored_since().filter(|since| *since != SINCE_UNKNOWN),
    });
    let code = code_at(tx, bank, uid, code_master).await?;
    let bank = queries::bank(tx.connection(), bank).await?.ok_or(damaged("parcels", "bank"))?;
    let told_all = match kind {
        NoticeKind::ParcelReminder | NoticeKind::ParcelExpired => {
            reminders::told_all(tx, &bank).await?
        }
        NoticeKind::ParcelStored
        | NoticeKind::CodeReissued
        | NoticeKind::ParcelExtended
        | NoticeKind::ReminderCorrected => None,
    };
    Ok(Some(NoticeRow {
        id: uint(row.id),
        kind,
        version: Version(u32::try_from(row.version).map_err(|_| damaged("notices", "version"))?),
        moment: row.moment_at.map(uint).map(UnixMillis),
        told_all,
        bank,
        parcel,
        at_bank,
        code,
        attempts: u32::try_from(row.attempts).unwrap_or_default(),
    }))
}

/// The parcel as the bank's own records add up to it.
async fn known_at(tx: &Tx, bank: &BankId, parcel: ParcelId) -> Result<Option<Parcel>, ReadError> {
    let place = (bank.as_str().to_owned(), EntityKind::Parcel as i32, parcel.0.to_vec());
    let row = bank_entities::Entity::find_by_id(place).one(tx.connection()).await?;
    let Some(row) = row else { return Ok(None) };
    let known = locker_proto::entity::decode_parcel(&row.bytes);
    known.map(Some).map_err(|_| damaged("bank_entities", "bytes"))
}

/// Digits that a keypad with other keys would call wrong are in no letter.
async fn code_at(
    tx: &Tx,
    bank: &BankId,
    parcel: ParcelId,
    code_master: Option<&CodeMaster>,
) -> Result<Option<(SlotId, Sealed)>, ReadError> {
    let code = queries::code_of(tx.connection(), parcel).await?;
    let Some((_, slot, sealed)) = code.filter(|(at, _, _)| at == bank) else { return Ok(None) };
    let ours = holds_our_keys(tx.connection(), bank, code_master).await?;
    Ok(ours.then_some((slot, sealed)))
}

impl Tx {
    /// Tells a parcel's recipient of a decision, once the bank has taken it over. What waits for the
    /// bank of the same kind is not told any more.
    pub(crate) async fn notice(
        &mut self,
        parcel: &ParcelRow,
        kind: NoticeKind,
    ) -> Result<(), WriteError> {
        let sql = "UPDATE notices SET due_at = NULL, outcome = $1 \
                   WHERE parcel = $2 AND kind = $3 AND due_at IS NULL AND outcome IS NULL";
        let values = [UNNEEDED.into(), bytes(&parcel.uid.0), kind.as_str().into()];
        self.execute("notices", sql, values).await?;
        Ok(self.insert(&NOTICES, notice_values(parcel, kind, None).to_vec()).await?)
    }

    /// The bank has taken a version of a parcel over: its recipient can be told, and not of what it
    /// replaces.
    pub(super) async fn release_notices(
        &mut self,
        parcel: ParcelId,
        version: Version,
        now: UnixMillis,
    ) -> Result<(), WriteError> {
        let (uid, version) = (bytes(&parcel.0), i64::from(version.0));
        for (kind, settles_ms) in TOLD_ONCE_HELD {
            let (due, kind) = (now.plus_ms(settles_ms), kind.as_str());
            let sql = "UPDATE notices SET due_at = $1 WHERE parcel = $2 AND version = $3 \
                       AND kind = $4 AND due_at IS NULL AND outcome IS NULL";
            let values = [int(due.0).into(), uid.clone(), version.into(), kind.into()];
            if self.execute("notices", sql, values).await?.rows_affected() > 0 {
                let sql = "UPDATE notices SET due_at = NULL, outcome = $1 WHERE parcel = $2 \
                           AND version < $3 AND kind = $4 AND outcome IS NULL";
                let values = [UNNEEDED.into(), uid.clone(), version.into(), kind.into()];
                self.execute("notices", sql, values).await?;
            }
        }
        Ok(())
    }
}

/// The six digits of a new code are a record of their own behind the one that takes the code over,
/// and may come with the next batch: its letter is not due before, in milliseconds.
const NEW_CODE_SETTLES_MS: u64 = 2_000;

/// The notices that wait until the bank has taken over what they tell, and how long after that they
/// are due.
const TOLD_ONCE_HELD: [(NoticeKind, u64); 2] =
    [(NoticeKind::CodeReissued, NEW_CODE_SETTLES_MS), (NoticeKind::ParcelExtended, 0)];

/// The outcome of a notice that nobody waits for. The insert of notices names it as well.
const UNNEEDED: &str = "UNNEEDED";
/// The outcome of a notice that cannot be given, although somebody waits for it.
const ABANDONED: &str = "ABANDONED";

pub(super) struct SettleNotice {
    pub(super) id: u64,
    pub(super) outcome: NoticeOutcome,
    /// When its recipient is to be reminded next, if the letter went out.
    pub(super) remind_at: Option<UnixMillis>,
    /// Names the event, if there is one.
    pub(super) event_id: String,
    pub(super) now: UnixMillis,
}

impl Decision for SettleNotice {
    type Answer = ();

    async fn decide(&self, tx: &mut Tx) -> Result<(), WriteError> {
        let (due, outcome) = match self.outcome {
            NoticeOutcome::Sent => (None, Some("SENT")),
            NoticeOutcome::Failed { retry_at: at }
            | NoticeOutcome::Held { look_at: at }
            | NoticeOutcome::Moved { to: at } => (Some(int(at.0)), None),
            NoticeOutcome::Abandoned => (None, Some(ABANDONED)),
            NoticeOutcome::Unneeded => (None, Some(UNNEEDED)),
        };
        // What is settled stays settled: a sender whose lease ran out may come late.
        let sql =
            "UPDATE notices SET due_at = $1, outcome = $2 WHERE id = $3 AND due_at IS NOT NULL";
        let values = [due.into(), outcome.map(str::to_owned).into(), int(self.id).into()];
        if tx.execute("notices", sql, values).await?.rows_affected() == 0 {
            return Ok(());
        }
        match self.outcome {
            NoticeOutcome::Sent => self.went_out(tx).await,
            NoticeOutcome::Held { .. } => tx.uncount_attempt(self.id).await,
            NoticeOutcome::Moved { to } => tx.move_reminder(self.id, to).await,
            NoticeOutcome::Abandoned => self.tell(tx).await,
            NoticeOutcome::Failed { .. } | NoticeOutcome::Unneeded => Ok(()),
        }
    }
}

impl SettleNotice {
    /// What follows from a letter that went out.
    async fn went_out(&self, tx: &mut Tx) -> Result<(), WriteError> {
        let row = notices::Entity::find_by_id(int(self.id)).one(tx.connection()).await?;
        let row = row.ok_or(damaged("notices", "id"))?;
        let uid: ParcelId = id("notices", "parcel", &row.parcel)?;
        match NoticeKind::parse(&row.kind).ok_or(damaged("notices", "kind"))? {
            NoticeKind::ParcelReminder | NoticeKind::ParcelExpired => {
                tx.note_reminded(uid, self.now).await?;
            }
            NoticeKind::ParcelStored
            | NoticeKind::CodeReissued
            | NoticeKind::ParcelExtended
            | NoticeKind::ReminderCorrected => {}
        }
        match self.remind_at {
            Some(at) => tx.remind(uid, at).await,
            None => Ok(()),
        }
    }

    /// Whoever watches the parcel must know that its recipient does not.
    async fn tell(&self, tx: &mut Tx) -> Result<(), WriteError> {
        let row = notices::Entity::find_by_id(int(self.id)).one(tx.connection()).await?;
        let row = row.ok_or(damaged("notices", "id"))?;
        let uid: ParcelId = id("notices", "parcel", &row.parcel)?;
        let parcel = queries::parcel_by_uid(tx.connection(), uid).await?;
        let parcel = parcel.ok_or(damaged("notices", "parcel"))?;
        // Nobody has to tell them in another way what they know.
        if row.kind == NoticeKind::ReminderCorrected.as_str() {
            return Ok(());
        }
        tx.event(NewEvent {
            event_id: self.event_id.clone(),
            kind: EventKind::ParcelNoticeFailed,
            bank: parcel.bank.as_ref(),
            compartment: parcel.compartment,
            parcel: Some(&parcel),
            detail: format!("after {} attempts", row.attempts),
            occurred_at: self.now,
            recorded_at: self.now,
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests;
