//! Where banks stand in time.

use sea_orm::DbErr;
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager, async_trait};

use super::run;

/// The time zone of each bank's site.
pub(super) struct M0006;

impl MigrationName for M0006 {
    fn name(&self) -> &'static str {
        "m0006_time_zones"
    }
}

#[expect(elided_lifetimes_in_paths, reason = "the trait is declared so, and its macro compares")]
#[async_trait::async_trait]
impl MigrationTrait for M0006 {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(manager, SQL).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

const SQL: &[&str] = &[
    // The IANA name. Letters stated times in UTC before there were zones, and go on to do so until
    // somebody says where the bank is.
    "ALTER TABLE banks ADD COLUMN time_zone TEXT NOT NULL DEFAULT 'UTC'",
];
