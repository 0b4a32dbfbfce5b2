//! What decisions read and write in their transaction.

use std::collections::HashSet;

use locker_core::compartment::{Compartment, Layout};
use locker_core::downlink::{Mode, Quota};
use locker_core::ids::{BankId, CarrierId, CredentialId, Generation, GroupId, ParcelId};
use locker_core::journal::FOLD_VERSION;
use locker_core::units::UnixMillis;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};

use super::convert::{bytes, damaged, id, int, parcel_values};
use super::entity::{bank_entities, pickup_credentials};
use super::ingest_write::{EntityKind, PARCELS};
use super::queries::{self, LAYOUT, MODE, QUOTA};
use super::rows::{BankRow, ParcelRow};
use super::tx::{Insert, Tx};
use super::{ReadError, WriteError, codes};
use crate::site_zone::SiteZone;

const BANKS: Insert = Insert {
    name: "banks",
    table: "banks",
    columns: &[
        "id",
        "display_name",
        "address",
        "layout_generation",
        "gseq",
        "quarantined",
        "created_at",
        "grants_epoch",
        "folded_by",
        "time_zone",
    ],
    conflict: "",
};

const CONFIGS: Insert = Insert {
    name: "configs",
    table: "configs",
    columns: &["bank", "kind", "generation", "bytes", "issued_at"],
    conflict: "",
};

const PICKUP_CREDENTIALS: Insert = Insert {
    name: "pickup_credentials",
    table: "pickup_credentials",
    columns: &["id", "parcel", "until", "revoked", "made_at"],
    conflict: "",
};

impl Tx {
    pub(crate) async fn parcel(
        &self,
        carrier: &CarrierId,
        name: &str,
    ) -> Result<Option<ParcelRow>, ReadError> {
        queries::parcel(self.connection(), carrier, name).await
    }

    pub(crate) async fn booked_at(&self, bank: &BankId) -> Result<Vec<ParcelRow>, ReadError> {
        queries::booked_at(self.connection(), bank).await
    }

    pub(crate) async fn bank(&self, bank: &BankId) -> Result<Option<BankRow>, ReadError> {
        queries::bank(self.connection(), bank).await
    }

    pub(crate) async fn codes_generation(&self, bank: &BankId) -> Result<Generation, ReadError> {
        codes::generation(self.connection(), bank).await
    }

    pub(crate) async fn compartments(&self, bank: &BankId) -> Result<Vec<Compartment>, ReadError> {
        queries::compartments(self.connection(), bank).await
    }

    /// How long a parcel may stay whose booking does not say, in milliseconds.
    pub(crate) const fn retention_ms(&self) -> u64 {
        self.context.retention_ms
    }

    /// The group of parcels at a bank for the recipient of `parcel`, if there are any.
    pub(crate) async fn group_at(
        &self,
        bank: &BankId,
        parcel: &ParcelRow,
    ) -> Result<Option<GroupId>, ReadError> {
        queries::group_at(self.connection(), bank, parcel).await
    }

    /// How many pickup codes a parcel has had, its first included. A bank that forgets a parcel only
    /// when it needs the room counts those of earlier bookings as well.
    pub(crate) async fn codes_of(&self, parcel: &ParcelRow) -> Result<usize, ReadError> {
        let made = pickup_credentials::Entity::find()
            .filter(pickup_credentials::Column::Parcel.eq(parcel.uid.0.to_vec()))
            .all(self.connection())
            .await?;
        let made = made.iter().map(|row| id("pickup_credentials", "id", &row.id));
        let mut codes = made.collect::<Result<HashSet<CredentialId>, _>>()?;
        codes.extend(parcel.credential);
        let at_bank = bank_entities::Entity::find()
            .filter(bank_entities::Column::Bank.eq(parcel.bank.as_ref().map(BankId::as_str)))
            .filter(bank_entities::Column::Kind.eq(EntityKind::Credential as i32))
            .all(self.connection())
            .await?;
        for row in at_bank {
            let known = locker_proto::entity::decode_credential(&row.bytes);
            let known = known.map_err(|_| damaged("bank_entities", "bytes"))?;
            codes.extend(Some(known.id).filter(|_| known.parcel == parcel.uid));
        }
        Ok(codes.len())
    }

    /// Notes a code that was made after the first; `until` if it is a delegate's.
    pub(crate) async fn save_code(
        &mut self,
        parcel: ParcelId,
        id: CredentialId,
        until: Option<UnixMillis>,
        now: UnixMillis,
    ) -> Result<(), WriteError> {
        let row = vec![
            bytes(&id.0),
            bytes(&parcel.0),
            until.map(|at| int(at.0)).into(),
            false.into(),
            int(now.0).into(),
        ];
        Ok(self.insert(&PICKUP_CREDENTIALS, row).await?)
    }

    /// A newer code replaces all that a parcel had.
    pub(crate) async fn supersede_codes(&mut self, parcel: ParcelId) -> Result<(), WriteError> {
        let sql = "UPDATE pickup_credentials SET revoked = TRUE WHERE parcel = $1";
        self.execute("pickup_credentials", sql, [bytes(&parcel.0)]).await?;
        Ok(())
    }

    /// Takes a delegate's code back; `false` if the parcel has no such code, or no more.
    pub(crate) async fn revoke_delegate(
        &mut self,
        parcel: ParcelId,
        id: CredentialId,
    ) -> Result<bool, WriteError> {
        let sql = "UPDATE pickup_credentials SET revoked = TRUE WHERE id = $1 AND parcel = $2 \
                   AND until IS NOT NULL AND NOT revoked";
        let values = [bytes(&id.0), bytes(&parcel.0)];
        let revoked = self.execute("pickup_credentials", sql, values).await?;
        Ok(revoked.rows_affected() > 0)
    }

    /// Makes `mode` the newest of the bank and wakes whoever sends it.
    pub(crate) async fn issue_mode(
        &mut self,
        bank: &BankId,
        mode: Mode,
        now: UnixMillis,
    ) -> Result<(), WriteError> {
        let document = locker_proto::encode_mode(&mode);
        self.issue_config(bank, MODE, mode.generation, &document, now).await
    }

    /// Makes `quota` the newest of the bank and wakes whoever sends it.
    pub(crate) async fn issue_quota(
        &mut self,
        bank: &BankId,
        quota: &Quota,
        now: UnixMillis,
    ) -> Result<(), WriteError> {
        let document = locker_proto::encode_quota(quota);
        self.issue_config(bank, QUOTA, quota.generation, &document, now).await
    }

    /// Makes `document` the only one of its kind of the bank and wakes whoever sends it.
    pub(super) async fn replace_config(
        &mut self,
        bank: &BankId,
        kind: &str,
        generation: Generation,
        document: &[u8],
        now: UnixMillis,
    ) -> Result<(), WriteError> {
        let sql = "DELETE FROM configs WHERE bank = $1 AND kind = $2";
        self.execute("configs", sql, [bank.as_str().into(), kind.into()]).await?;
        self.issue_config(bank, kind, generation, document, now).await
    }

    async fn issue_config(
        &mut self,
        bank: &BankId,
        kind: &str,
        generation: Generation,
        document: &[u8],
        now: UnixMillis,
    ) -> Result<(), WriteError> {
        let row = vec![
            bank.as_str().into(),
            kind.into(),
            int(generation.0).into(),
            bytes(document),
            int(now.0).into(),
        ];
        self.insert(&CONFIGS, row).await?;
        self.wake(bank);
        Ok(())
    }

    /// Writes a parcel: all of a new one, what can change of a known one.
    pub(crate) async fn save_parcel(&mut self, parcel: &ParcelRow) -> Result<(), WriteError> {
        Ok(self.insert(&PARCELS, parcel_values(parcel).to_vec()).await?)
    }

    /// Writes a new bank with its first layout.
    pub(crate) async fn save_bank(&mut self, bank: &BankRow) -> Result<(), WriteError> {
        let row = vec![
            bank.id.as_str().into(),
            bank.display_name.as_str().into(),
            bank.address.as_str().into(),
            0_i64.into(),
            0_i64.into(),
            0_i64.into(),
            int(bank.created_at.0).into(),
            int(self.context.epoch.0).into(),
            i64::from(FOLD_VERSION).into(),
            bank.time_zone.name().into(),
        ];
        self.insert(&BANKS, row).await?;
        self.issue_layout(&bank.id, &bank.layout, bank.created_at).await
    }

    /// Notes in which time zone a bank stands.
    pub(crate) async fn set_time_zone(
        &mut self,
        bank: &BankId,
        zone: &SiteZone,
    ) -> Result<(), WriteError> {
        let sql = "UPDATE banks SET time_zone = $1 WHERE id = $2";
        self.execute("banks", sql, [zone.name().into(), bank.as_str().into()]).await?;
        Ok(())
    }

    /// Makes `layout` the newest of the bank and wakes whoever sends it.
    pub(crate) async fn issue_layout(
        &mut self,
        bank: &BankId,
        layout: &Layout,
        now: UnixMillis,
    ) -> Result<(), WriteError> {
        let document = locker_proto::encode_layout(layout);
        self.issue_config(bank, LAYOUT, layout.generation, &document, now).await?;
        let sql = "UPDATE banks SET layout_generation = $1 WHERE id = $2";
        let generation = int(layout.generation.0);
        self.execute("banks", sql, [generation.into(), bank.as_str().into()]).await?;
        Ok(())
    }
}
