//! What lets a parcel that a bank holds be recognised when it is announced again.

use sea_orm::DbErr;
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager, async_trait};

use super::run;

/// Parcels that banks hold and that the store has not heard of since it was restored.
pub(super) struct M0008;

impl MigrationName for M0008 {
    fn name(&self) -> &'static str {
        "m0008_unknown_parcels"
    }
}

#[expect(elided_lifetimes_in_paths, reason = "the trait is declared so, and its macro compares")]
#[async_trait::async_trait]
impl MigrationTrait for M0008 {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(manager, SQL).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

const SQL: &[&str] = &["CREATE TABLE unknown_parcels (
        carrier TEXT NOT NULL,
        barcode TEXT NOT NULL,
        bank TEXT NOT NULL,
        uid {bytes} NOT NULL,
        PRIMARY KEY (carrier, barcode, bank, uid)
    ) {clustered}"];
