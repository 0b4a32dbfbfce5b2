//! How a bank's log of grants begins anew, with what still counts.
//!
//! A log belongs to an epoch, and a bank that holds an earlier one is sent the log from its first
//! grant. It begins with the epoch of the hub that made the bank known; and anew in a later one
//! when the bank has forgotten what it was told, or when the hub was restored from a backup. What
//! the logs before it said is never sent again: a parcel that went out long ago is not booked once
//! more.

use std::collections::HashMap;
use std::sync::Arc;

use locker_core::code::second_factor::PhoneSuffix;
use locker_core::code::tag::TagKeys;
use locker_core::downlink::{Booking, Grant, GrantPosition};
use locker_core::ids::{BankId, HubEpoch, ParcelId, Version};
use locker_core::parcel::{Parcel, ParcelState, Terms};
use locker_core::units::UnixMillis;
use sea_orm::{ColumnTrait, EntityTrait, Order, PaginatorTrait, QueryFilter, QueryOrder};

use super::codes::{self, retire_unheld};
use super::convert::{damaged, int, uint};
use super::entity::{banks, grants};
use super::rows::ParcelRow;
use super::tx::Tx;
use super::writer::Decision;
use super::{ReadError, Store, WriteError, adopt, queries};
use crate::codes::pepper::CodeMaster;

/// Grants of ended logs that one transaction deletes; what is left waits for the next one.
const SWEEP_MAX: u64 = 2_048;

/// Begins the log anew for a bank that begins a journal and knows nothing. To be called when what
/// was folded of the one before is gone.
pub(super) async fn begin_for_stream(
    tx: &mut Tx,
    bank: &BankId,
    code_master: Option<&CodeMaster>,
    now: UnixMillis,
) -> Result<(), WriteError> {
    let known = log_of(tx, bank).await?.end;
    // Later than every log that the bank may have heard of, also when the hub's own epoch is not.
    let epoch = tx.context.epoch.max(HubEpoch(known.epoch.0.saturating_add(1)));
    forget_what_waits(tx, bank, now).await?;
    let grants = bookings(tx, bank, code_master, now).await?;
    begin(tx, bank, epoch, &grants, now).await
}

/// Ends the log of a bank that begins a journal with all that it knows. What it has not heard comes
/// first in the next one, once what it has carried over is folded here.
pub(super) async fn wait_for_stream(tx: &mut Tx, bank: &BankId) -> Result<(), WriteError> {
    let log = log_of(tx, bank).await?;
    if log.ended.is_some() {
        // It waits already, and what was decided since is not sent yet.
        return Ok(());
    }
    let known = log.end;
    let epoch = tx.context.epoch.max(HubEpoch(known.epoch.0.saturating_add(1)));
    let sql = "UPDATE banks SET restored_epoch = grants_epoch, restored_gseq = gseq, \
               grants_epoch = $1, gseq = 0 WHERE id = $2";
    tx.execute("banks", sql, [int(epoch.0).into(), bank.as_str().into()]).await?;
    tx.wake(bank);
    Ok(())
}

/// Begins the log of a bank anew after the store was restored: with what the bank has not heard of
/// the log before, then with what was decided since. To be decided only when all facts of the bank
/// up to its birth are committed.
#[derive(Clone, Debug)]
pub(crate) struct BeginGrantLog {
    pub(crate) bank: BankId,
    /// What the bank has answered.
    pub(crate) held: GrantPosition,
    /// What six-digit codes are made with, if there are any.
    pub(crate) code_master: Option<Arc<CodeMaster>>,
    pub(crate) now: UnixMillis,
}

impl Decision for BeginGrantLog {
    type Answer = ();

    async fn decide(&self, tx: &mut Tx) -> Result<(), WriteError> {
        let bank = &self.bank;
        let log = log_of(tx, bank).await?;
        let Some(ended) = log.ended else { return Ok(()) };
        let held = held_parcels(tx, bank).await?;
        adopt::settle(tx, bank, &held, self.now).await?;
        // Nobody was sent these: their numbers are free.
        let mut later = granted_after(tx, bank, GrantPosition { gseq: 0, ..log.end }).await?;
        // Of codes that the bank does not hold nobody can tell to whom it gave them: it gets others.
        retire_unheld(tx, bank, self.now).await?;
        let mut run = if self.held > ended {
            // It has heard of decisions that this store has lost.
            adopt::adopt(tx, bank, &held, &mut later, self.now).await?;
            retire_unheld(tx, bank, self.now).await?;
            let master = self.code_master.as_deref();
            let bookings = bookings(tx, bank, master, self.now).await?;
            later.retain(|grant| !matches!(grant, Grant::Book(_)));
            adopt::renumber(tx, &held, &bookings, &mut later).await?;
            bookings
        } else {
            let heard = if self.held.epoch == ended.epoch { self.held.gseq } else { 0 };
            let heard = GrantPosition { gseq: heard, ..ended };
            let mut again = granted_after(tx, bank, heard).await?;
            // Only a bank that knows nothing better can know worse.
            adopt::let_go(tx, bank, &held, &mut again, self.now).await?;
            again
        };
        run.append(&mut later);
        run.retain(|grant| !matches!(grant, Grant::Slots(_)));
        let sql = "DELETE FROM grants WHERE bank = $1 AND epoch = $2";
        let values = [bank.as_str().into(), int(log.end.epoch.0).into()];
        tx.execute("grants", sql, values).await?;
        begin(tx, bank, log.end.epoch, &run, self.now).await
    }
}

/// A bank's log of grants.
#[derive(Clone, Copy, Debug)]
struct Log {
    end: GrantPosition,
    /// Where the one before ended, if the store was restored and this one waits to begin.
    ended: Option<GrantPosition>,
}

pub(super) fn ended(row: &banks::Model) -> Option<GrantPosition> {
    let (epoch, gseq) = row.restored_epoch.zip(row.restored_gseq)?;
    Some(GrantPosition { epoch: HubEpoch(uint(epoch)), gseq: uint(gseq) })
}

async fn log_of(tx: &Tx, bank: &BankId) -> Result<Log, WriteError> {
    let row = banks::Entity::find_by_id(bank.as_str()).one(tx.connection()).await?;
    let row = row.ok_or(damaged("banks", "id"))?;
    let end = GrantPosition { epoch: HubEpoch(uint(row.grants_epoch)), gseq: uint(row.gseq) };
    Ok(Log { end, ended: ended(&row) })
}

/// What stands in a log behind a position of it.
async fn granted_after(
    tx: &Tx,
    bank: &BankId,
    after: GrantPosition,
) -> Result<Vec<Grant>, WriteError> {
    let rows = grants::Entity::find()
        .filter(grants::Column::Bank.eq(bank.as_str()))
        .filter(grants::Column::Epoch.eq(int(after.epoch.0)))
        .filter(grants::Column::Gseq.gt(int(after.gseq)))
        .order_by(grants::Column::Gseq, Order::Asc)
        .all(tx.connection())
        .await?;
    let decode = |row: &grants::Model| locker_proto::decode_grant(&row.bytes);
    let decoded = rows.iter().map(decode).collect::<Result<_, _>>();
    Ok(decoded.map_err(|_| damaged("grants", "bytes"))?)
}

async fn begin(
    tx: &mut Tx,
    bank: &BankId,
    epoch: HubEpoch,
    grants: &[Grant],
    now: UnixMillis,
) -> Result<(), WriteError> {
    tx.begin_grants(bank, epoch, grants, now).await?;
    let sql = "UPDATE banks SET restored_epoch = NULL, restored_gseq = NULL WHERE id = $1";
    tx.execute("banks", sql, [bank.as_str().into()]).await?;
    tx.wake_minting(bank);
    Ok(())
}

async fn forget_what_waits(tx: &mut Tx, bank: &BankId, now: UnixMillis) -> Result<(), WriteError> {
    retire_unheld(tx, bank, now).await?;
    tx.abandon_waiting(bank, now).await
}

async fn held_parcels(tx: &Tx, bank: &BankId) -> Result<HashMap<ParcelId, Parcel>, ReadError> {
    let held = queries::held_parcels(tx.connection(), bank).await?;
    Ok(held.into_iter().map(|parcel| (parcel.id, parcel)).collect())
}

impl Store {
    /// How many banks are told nothing yet, because the store was restored and they have not told
    /// what they did meanwhile.
    ///
    /// # Errors
    ///
    /// When the database cannot be read.
    pub async fn banks_catching_up(&self) -> Result<u64, ReadError> {
        let waiting = banks::Entity::find().filter(banks::Column::RestoredGseq.is_not_null());
        Ok(waiting.count(&self.readers).await?)
    }
}

impl Tx {
    /// Whether the store was restored and the bank has not told yet what it did meanwhile.
    pub(crate) async fn catches_up(&self, bank: &BankId) -> Result<bool, WriteError> {
        Ok(log_of(self, bank).await?.ended.is_some())
    }
}

/// Bookings of parcels that no courier has brought yet, as far as the bank does not hold them.
async fn bookings(
    tx: &mut Tx,
    bank: &BankId,
    code_master: Option<&CodeMaster>,
    now: UnixMillis,
) -> Result<Vec<Grant>, WriteError> {
    let held = held_parcels(tx, bank).await?;
    let generation = codes::generation(tx.connection(), bank).await?;
    let keys = code_master.map(|master| master.tag_keys(bank, generation));
    let mut rows = tx.booked_at(bank).await?;
    // The order in which they were booked, which decides who has the last compartment.
    rows.sort_by_key(|row| (row.updated_at, row.uid));
    let mut grants = Vec::with_capacity(rows.len());
    for mut row in rows {
        let Some(version) = version_to_book(&row, held.get(&row.uid)) else { continue };
        if version != row.version {
            (row.version, row.updated_at) = (version, now);
            tx.save_parcel(&row).await?;
        }
        grants.push(Grant::Book(booking(row, keys.as_ref())?));
    }
    Ok(grants)
}

/// The version that a booking must have so that the bank takes it; `None` if it holds it, or knows
/// better.
fn version_to_book(row: &ParcelRow, held: Option<&Parcel>) -> Option<Version> {
    let Some(held) = held else { return Some(row.version) };
    let next = row.version.max(Version(held.version.0.saturating_add(1)));
    match held.state {
        // Otherwise than the hub has booked it since it was restored: that counts.
        ParcelState::Booked => {
            let same = row.credential == Some(held.credential);
            (held.version < row.version || !same).then_some(next)
        }
        ParcelState::Cancelled { .. }
        | ParcelState::BookingExpired { .. }
        | ParcelState::Recalled { .. }
        | ParcelState::Missing { .. } => Some(next),
        ParcelState::Depositing { .. }
        | ParcelState::Stored { .. }
        | ParcelState::Collecting { .. }
        | ParcelState::Recalling { .. }
        | ParcelState::Collected { .. }
        | ParcelState::Unresolved { .. } => None,
    }
}

fn booking(row: ParcelRow, keys: Option<&TagKeys>) -> Result<Booking, ReadError> {
    let digits = row.phone.as_ref().and_then(|phone| PhoneSuffix::of_number(phone.as_str()));
    let suffix = digits.zip(keys).map(|(digits, keys)| digits.tag(keys));
    Ok(Booking {
        parcel: row.uid,
        version: row.version,
        carrier: row.carrier,
        barcode: row.barcode,
        size: row.size,
        weight: row.weight,
        credential: row.credential.ok_or(damaged("parcels", "credential"))?,
        trace: row.trace,
        terms: Terms { suffix, ..row.terms },
    })
}

/// Deletes grants of logs that have ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SweepGrants;

impl Decision for SweepGrants {
    /// Whether there is more to delete.
    type Answer = bool;

    async fn decide(&self, tx: &mut Tx) -> Result<bool, WriteError> {
        // Joined so that SQLite looks into each bank's ended logs, and not at all that there is.
        let sql = "DELETE FROM grants WHERE (bank, epoch, gseq) IN \
                   (SELECT g.bank, g.epoch, g.gseq FROM banks b CROSS JOIN grants g \
                   WHERE g.bank = b.id AND g.epoch < COALESCE(b.restored_epoch, b.grants_epoch) LIMIT $1)";
        let swept = tx.execute("grants", sql, [int(SWEEP_MAX).into()]).await?;
        Ok(swept.rows_affected() >= SWEEP_MAX)
    }
}

#[cfg(test)]
mod tests;
