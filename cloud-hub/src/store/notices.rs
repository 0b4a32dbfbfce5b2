//! Notices that are due: claimed with a lease, so that two senders never send the same one, and
//! due again when a sender dies with it.

use locker_core::ids::{ParcelId, Version};
use locker_core::units::UnixMillis;
use sea_orm::{ColumnTrait, EntityTrait, Order, QueryFilter, QueryOrder, QuerySelect};

use super::convert::{damaged, id, int, uint};
use super::entity::notices;
use super::rows::{EventKind, NoticeKind, NoticeOutcome, NoticeRow};
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
    let bank = queries::bank(tx.connection(), bank).await?;
    Ok(NoticeRow {
        id: uint(row.id),
        kind: NoticeKind::parse(&row.kind).ok_or(damaged("notices", "kind"))?,
        version: Version(u32::try_from(row.version).map_err(|_| damaged("notices", "version"))?),
        bank: bank.ok_or(damaged("parcels", "bank"))?,
        parcel,
        attempts: u32::try_from(row.attempts).unwrap_or_default(),
    })
}

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
            NoticeOutcome::Unneeded => (None, Some("UNNEEDED")),
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
