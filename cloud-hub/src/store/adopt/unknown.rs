//! Parcels inside banks that the store does not know, because their announcement was lost with the
//! store before it.
//!
//! Who they are for, only their carrier can say. When it announces one of them again, with the same
//! barcode, the new announcement is of the parcel that the bank holds, under the id that the bank
//! knows it by.

use locker_core::ids::{BankId, ParcelId};
use locker_core::parcel::Parcel;
use locker_core::units::UnixMillis;
use sea_orm::EntityTrait;

use super::{Change, Decided, queries, taken_over, tell};
use crate::store::convert::{bytes, damaged, id};
use crate::store::entity::bank_entities;
use crate::store::ingest_write::{EntityKind, NOTICES, notice_values};
use crate::store::tx::{Insert, Tx};
use crate::store::{EventKind, NoticeKind, ParcelRow, ReadError, WriteError};

const UNKNOWN: Insert = Insert {
    name: "unknown_parcels",
    table: "unknown_parcels",
    columns: &["carrier", "barcode", "bank", "uid"],
    conflict: "",
};

/// Notes which parcels of a bank nobody knows: no more than a bank holds.
pub(super) async fn note(
    tx: &mut Tx,
    bank: &BankId,
    unknown: &[&Parcel],
) -> Result<(), WriteError> {
    let sql = "DELETE FROM unknown_parcels WHERE bank = $1";
    tx.execute("unknown_parcels", sql, [bank.as_str().into()]).await?;
    let row = |parcel: &&Parcel| {
        let (carrier, barcode) = (parcel.carrier.as_str(), parcel.barcode.as_str());
        [carrier.into(), barcode.into(), bank.as_str().into(), bytes(&parcel.id.0)]
    };
    Ok(tx.insert(&UNKNOWN, unknown.iter().flat_map(row).collect()).await?)
}

/// A parcel that a bank holds and that was not known.
#[derive(Debug)]
pub(crate) struct Unknown {
    bank: BankId,
    held: Parcel,
}

impl Unknown {
    /// The id that its bank knows it by.
    pub(crate) const fn uid(&self) -> ParcelId {
        self.held.id
    }
}

impl Tx {
    /// The parcel of this carrier and barcode that a bank holds and nobody knows; one that is inside
    /// rather than one that is expected.
    pub(crate) async fn unknown(
        &self,
        announced: &ParcelRow,
    ) -> Result<Option<Unknown>, WriteError> {
        let (carrier, barcode) = (&announced.carrier, &announced.barcode);
        let sql = "SELECT bank, uid FROM unknown_parcels \
                   WHERE carrier = $1 AND barcode = $2 ORDER BY bank, uid";
        let mut found: Option<Unknown> = None;
        for row in self.query(sql, [carrier.as_str().into(), barcode.as_str().into()]).await? {
            let (bank, uid): (String, Vec<u8>) = (row.try_get_by("bank")?, row.try_get_by("uid")?);
            let bank: BankId = bank.parse().map_err(|_| damaged("unknown_parcels", "bank"))?;
            let uid: ParcelId = id("unknown_parcels", "uid", &uid)?;
            // It may have left since, and somebody may have announced it.
            let Some(held) = self.held(&bank, uid).await? else { continue };
            let same = (&held.carrier, &held.barcode) == (carrier, barcode);
            let live = held.state.settled_at().is_none();
            if !same || !live || queries::parcel_by_uid(self.connection(), uid).await?.is_some() {
                continue;
            }
            let inside = held.state.compartment().is_some();
            if inside || found.is_none() {
                found = Some(Unknown { bank, held });
            }
            if inside {
                break;
            }
        }
        Ok(found)
    }

    /// What was announced is the parcel that a bank holds.
    pub(crate) async fn recognise(
        &mut self,
        parcel: &mut ParcelRow,
        unknown: &Unknown,
        now: UnixMillis,
    ) -> Result<(), WriteError> {
        let Unknown { bank, held } = unknown;
        let sql = "DELETE FROM unknown_parcels WHERE uid = $1";
        self.execute("unknown_parcels", sql, [bytes(&held.id.0)]).await?;
        let change = taken_over(parcel, bank, held, &Decided::default());
        parcel.updated_at = now;
        self.save_parcel(parcel).await?;
        if let Change::Told(kind) = change {
            tell(self, bank, parcel, kind, now);
        }
        if change == Change::Told(EventKind::ParcelStored) {
            let notice = notice_values(parcel, NoticeKind::ParcelStored, Some(now));
            self.insert(&NOTICES, notice.to_vec()).await?;
        }
        Ok(())
    }

    /// A parcel as its bank's records add up to it.
    async fn held(&self, bank: &BankId, uid: ParcelId) -> Result<Option<Parcel>, ReadError> {
        let place = (bank.as_str().to_owned(), EntityKind::Parcel as i32, uid.0.to_vec());
        let row = bank_entities::Entity::find_by_id(place).one(self.connection()).await?;
        let Some(row) = row else { return Ok(None) };
        let held = locker_proto::entity::decode_parcel(&row.bytes);
        held.map(Some).map_err(|_| damaged("bank_entities", "bytes"))
    }
}
