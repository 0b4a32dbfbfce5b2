//! What decisions read and write in their transaction.

use locker_core::compartment::{Compartment, Layout};
use locker_core::ids::{BankId, CarrierId};
use locker_core::units::UnixMillis;

use super::convert::{bytes, int, parcel_values};
use super::ingest_write::PARCELS;
use super::queries::{self, LAYOUT};
use super::rows::{BankRow, ParcelRow};
use super::tx::{Insert, Tx};
use super::{ReadError, WriteError};

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
    ],
    conflict: "",
};

const CONFIGS: Insert = Insert {
    name: "configs",
    table: "configs",
    columns: &["bank", "kind", "generation", "bytes", "issued_at"],
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

    pub(crate) async fn compartments(&self, bank: &BankId) -> Result<Vec<Compartment>, ReadError> {
        queries::compartments(self.connection(), bank).await
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
        ];
        self.insert(&BANKS, row).await?;
        self.issue_layout(&bank.id, &bank.layout, bank.created_at).await
    }

    /// Makes `layout` the newest of the bank and wakes whoever sends it.
    pub(crate) async fn issue_layout(
        &mut self,
        bank: &BankId,
        layout: &Layout,
        now: UnixMillis,
    ) -> Result<(), WriteError> {
        let generation = int(layout.generation.0);
        let row = vec![
            bank.as_str().into(),
            LAYOUT.into(),
            generation.into(),
            bytes(&locker_proto::encode_layout(layout)),
            int(now.0).into(),
        ];
        self.insert(&CONFIGS, row).await?;
        let sql = "UPDATE banks SET layout_generation = $1 WHERE id = $2";
        self.execute("banks", sql, [generation.into(), bank.as_str().into()]).await?;
        self.wake(bank);
        Ok(())
    }
}
