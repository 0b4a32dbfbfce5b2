//! Notices that are due: claimed with a lease, so that two senders never send the same one, and
//! due again when a sender dies with it.
//!
//! A notice about a decision of the hub's is not due before the bank has taken that decision over:
//! a bank that is dark opens no door for the code in it.

use locker_core::code::slot::{Sealed, SlotId};
use locker_core::ids::{BankId, ParcelId, Version};
use locker_core::units::UnixMillis;
use sea_orm::{ColumnTrait, EntityTrait, Order, QueryFilter, QueryOrder, QuerySelect};

use super::convert::{bytes, damaged, id, int, uint};
use super::entity::{bank_entities, notices};
use super::ingest_write::{EntityKind, NOTICES, notice_values};
use super::rows::{EventKind, NoticeKind, NoticeOutcome, NoticeRow, ParcelAtBank, ParcelRow};
use super::tx::{NewEvent, Tx};
use super::writer::Decision;
use super::{ReadError, WriteError, queries};

pub(super) struct ClaimNotices {
    pub(super) now: UnixMillis,
    pub(super) lease_ms: u64,
    pub(super) limit: u32,
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
            claimed.push(read(tx, &row).await?);
        }
        Ok(claimed)
    }
}

async fn read(tx: &Tx, row: &notices::Model) -> Result<NoticeRow, ReadError> {
    let uid: ParcelId = id("notices", "parcel", &row.parcel)?;
    let parcel = queries::parcel_by_uid(tx.connection(), uid).await?;
    let parcel = parcel.ok_or(damaged("notices", "parcel"))?;
    let bank = parcel.bank.as_ref().ok_or(damaged("parcels", "bank"))?;
    let at_bank = at_bank(tx, bank, uid).await?;
    let code = code_at(tx, bank, uid).await?;
    let bank = queries::bank(tx.connection(), bank).await?;
    Ok(NoticeRow {
        id: uint(row.id),
        kind: NoticeKind::parse(&row.kind).ok_or(damaged("notices", "kind"))?,
        version: Version(u32::try_from(row.version).map_err(|_| damaged("notices", "version"))?),
        bank: bank.ok_or(damaged("parcels", "bank"))?,
        parcel,
        at_bank,
        code,
        attempts: u32::try_from(row.attempts).unwrap_or_default(),
    })
}

/// The parcel as the bank's own records add up to it.
async fn at_bank(
    tx: &Tx,
    bank: &BankId,
    parcel: ParcelId,
) -> Result<Option<ParcelAtBank>, ReadError> {
    let place = (bank.as_str().to_owned(), EntityKind::Parcel as i32, parcel.0.to_vec());
    let row = bank_entities::Entity::find_by_id(place).one(tx.connection()).await?;
    let Some(row) = row else { return Ok(None) };
    let known = locker_proto::entity::decode_parcel(&row.bytes);
    let known = known.map_err(|_| damaged("bank_entities", "bytes"))?;
    let (credential, asks_phone) = (known.credential, known.terms.suffix.is_some());
    Ok(Some(ParcelAtBank { credential, asks_phone }))
}

async fn code_at(
    tx: &Tx,
    bank: &BankId,
    parcel: ParcelId,
) -> Result<Option<(SlotId, Sealed)>, ReadError> {
    let code = queries::code_of(tx.connection(), parcel).await?;
    Ok(code.filter(|(at, _, _)| at == bank).map(|(_, slot, sealed)| (slot, sealed)))
}

impl Tx {
    /// Tells a parcel's recipient of a decision, once the bank has taken it over. What was to be
    /// told of its kind before and has not gone out is not told any more.
    pub(crate) async fn notice(
        &mut self,
        parcel: &ParcelRow,
        kind: NoticeKind,
    ) -> Result<(), WriteError> {
        let sql = "UPDATE notices SET due_at = NULL, outcome = $1 \
                   WHERE parcel = $2 AND kind = $3 AND outcome IS NULL";
        let values = [UNNEEDED.into(), bytes(&parcel.uid.0), kind.as_str().into()];
        self.execute("notices", sql, values).await?;
        Ok(self.insert(&NOTICES, notice_values(parcel, kind, None).to_vec()).await?)
    }

    /// The bank has taken a version of a parcel over: its recipient can be told.
    pub(super) async fn release_notices(
        &mut self,
        parcel: ParcelId,
        version: Version,
        now: UnixMillis,
    ) -> Result<(), WriteError> {
        let sql = "UPDATE notices SET due_at = $1 \
                   WHERE parcel = $2 AND version = $3 AND due_at IS NULL AND outcome IS NULL";
        let values = [int(now.0).into(), bytes(&parcel.0), i64::from(version.0).into()];
        self.execute("notices", sql, values).await?;
        Ok(())
    }
}

/// The outcome of a notice that nobody waits for.
const UNNEEDED: &str = "UNNEEDED";

pub(super) struct SettleNotice {
    pub(super) id: u64,
    pub(super) outcome: NoticeOutcome,
    /// Names the event, if there is one.
    pub(super) event_id: String,
    pub(super) now: UnixMillis,
}

impl Decision for SettleNotice {
    type Answer = ();

    async fn decide(&self, tx: &mut Tx) -> Result<(), WriteError> {
        let (due, outcome) = match self.outcome {
            NoticeOutcome::Sent => (None, Some("SENT")),
            NoticeOutcome::Failed { retry_at } => (Some(int(retry_at.0)), None),
            NoticeOutcome::Abandoned => (None, Some("ABANDONED")),
            NoticeOutcome::Unneeded => (None, Some(UNNEEDED)),
        };
        // What is settled stays settled: a sender whose lease ran out may come late.
        let sql =
            "UPDATE notices SET due_at = $1, outcome = $2 WHERE id = $3 AND due_at IS NOT NULL";
        let values = [due.into(), outcome.map(str::to_owned).into(), int(self.id).into()];
        let settled = tx.execute("notices", sql, values).await?;
        if settled.rows_affected() > 0 && self.outcome == NoticeOutcome::Abandoned {
            self.tell(tx).await?;
        }
        Ok(())
    }
}

impl SettleNotice {
    /// Whoever watches the parcel must know that its recipient does not.
    async fn tell(&self, tx: &mut Tx) -> Result<(), WriteError> {
        let row = notices::Entity::find_by_id(int(self.id)).one(tx.connection()).await?;
        let row = row.ok_or(damaged("notices", "id"))?;
        let uid: ParcelId = id("notices", "parcel", &row.parcel)?;
        let parcel = queries::parcel_by_uid(tx.connection(), uid).await?;
        let parcel = parcel.ok_or(damaged("notices", "parcel"))?;
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
