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
use locker_core::ids::{BankId, HubEpoch, Version};
use locker_core::parcel::{Parcel, ParcelState, Terms};
use locker_core::units::UnixMillis;
use sea_orm::EntityTrait;

use super::codes::{self, retire_unheld};
use super::convert::{damaged, int, uint};
use super::entity::banks;
use super::rows::ParcelRow;
use super::tx::Tx;
use super::writer::Decision;
use super::{ReadError, WriteError, queries};
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
    let known = log_of(tx, bank).await?;
    // Later than every log that the bank may have heard of, also when the hub's own epoch is not.
    let epoch = tx.context.epoch.max(HubEpoch(known.epoch.0.saturating_add(1)));
    begin_with_bookings(tx, bank, epoch, code_master, now).await
}

/// Begins the log anew in the hub's epoch, for a bank that has a log of an earlier one. To be
/// decided only when all facts of the bank up to its birth are committed.
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
        let epoch = tx.context.epoch;
        let known = log_of(tx, &self.bank).await?;
        if known.epoch >= epoch {
            return Ok(());
        }
        if self.held > known {
            // It has heard of decisions that this store has lost.
            let master = self.code_master.as_deref();
            return begin_with_bookings(tx, &self.bank, epoch, master, self.now).await;
        }
        let heard = if self.held.epoch == known.epoch { self.held.gseq } else { 0 };
        continue_log(tx, &self.bank, known, heard, epoch).await
    }
}

/// Where the bank's log ends.
async fn log_of(tx: &Tx, bank: &BankId) -> Result<GrantPosition, WriteError> {
    let row = banks::Entity::find_by_id(bank.as_str()).one(tx.connection()).await?;
    let row = row.ok_or(damaged("banks", "id"))?;
    Ok(GrantPosition { epoch: HubEpoch(uint(row.grants_epoch)), gseq: uint(row.gseq) })
}

/// What the bank has not heard yet of its log is the beginning of the next one.
async fn continue_log(
    tx: &mut Tx,
    bank: &BankId,
    known: GrantPosition,
    heard: u64,
    epoch: HubEpoch,
) -> Result<(), WriteError> {
    tx.begin_grants(bank, epoch, &[], UnixMillis(0)).await?;
    let sql = "INSERT INTO grants (bank, epoch, gseq, bytes, issued_at) \
               SELECT bank, $1, gseq - $2, bytes, issued_at FROM grants \
               WHERE bank = $3 AND epoch = $4 AND gseq > $5";
    let (name, after) = (bank.as_str(), int(heard));
    let values =
        [int(epoch.0).into(), after.into(), name.into(), int(known.epoch.0).into(), after.into()];
    tx.execute("grants", sql, values).await?;
    let sql = "UPDATE banks SET gseq = $1 WHERE id = $2";
    let count = int(known.gseq.saturating_sub(heard));
    tx.execute("banks", sql, [count.into(), name.into()]).await?;
    Ok(())
}

async fn begin_with_bookings(
    tx: &mut Tx,
    bank: &BankId,
    epoch: HubEpoch,
    code_master: Option<&CodeMaster>,
    now: UnixMillis,
) -> Result<(), WriteError> {
    retire_unheld(tx, bank, now).await?;
    tx.abandon_waiting(bank, now).await?;
    let grants = bookings(tx, bank, code_master, now).await?;
    tx.begin_grants(bank, epoch, &grants, now).await
}

/// Bookings of parcels that no courier has brought yet, as far as the bank does not hold them.
async fn bookings(
    tx: &mut Tx,
    bank: &BankId,
    code_master: Option<&CodeMaster>,
    now: UnixMillis,
) -> Result<Vec<Grant>, WriteError> {
    let held = queries::held_parcels(tx.connection(), bank).await?;
    let held: HashMap<_, _> = held.into_iter().map(|parcel| (parcel.id, parcel)).collect();
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
        ParcelState::Booked => (held.version < row.version).then_some(row.version),
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
                   WHERE g.bank = b.id AND g.epoch < b.grants_epoch LIMIT $1)";
        let swept = tx.execute("grants", sql, [int(SWEEP_MAX).into()]).await?;
        Ok(swept.rows_affected() >= SWEEP_MAX)
    }
}

#[cfg(test)]
mod tests;
