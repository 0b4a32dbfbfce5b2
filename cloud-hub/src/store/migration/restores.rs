//! What survives the loss of a store, and what a store that was restored must find out first.

use sea_orm::DbErr;
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager, async_trait};

use super::run;

/// Watermarks at points in time, which of them are safe, logs of grants that a restore has ended,
/// and the keys that banks seal with.
pub(super) struct M0005;

impl MigrationName for M0005 {
    fn name(&self) -> &'static str {
        "m0005_restores"
    }
}

#[expect(elided_lifetimes_in_paths, reason = "the trait is declared so, and its macro compares")]
#[async_trait::async_trait]
impl MigrationTrait for M0005 {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(manager, SQL).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

const SQL: &[&str] = &[
    // Where the bank's log of grants ended when the store was restored, until it begins anew: what
    // is decided meanwhile stands in `grants_epoch` and waits.
    "ALTER TABLE banks ADD COLUMN restored_epoch BIGINT",
    "ALTER TABLE banks ADD COLUMN restored_gseq BIGINT",
    // By which version of the rules what is stored of the bank was folded.
    "ALTER TABLE banks ADD COLUMN folded_by BIGINT NOT NULL DEFAULT 0",
    // How far each bank's stream was durable here at a point in time.
    "CREATE TABLE watermarks (
        taken_at BIGINT NOT NULL,
        bank TEXT NOT NULL,
        stream {bytes} NOT NULL,
        committed BIGINT NOT NULL,
        PRIMARY KEY (taken_at, bank)
    ) {clustered}",
    // Up to which record each bank need not keep its journal for this hub.
    "CREATE TABLE safe_marks (
        bank TEXT NOT NULL PRIMARY KEY,
        stream {bytes} NOT NULL,
        safe BIGINT NOT NULL
    ) {clustered}",
    // The device keys that a bank's TLS sessions have proved, as SHA-256 of the public key's DER
    // bytes, with the bytes.
    "CREATE TABLE device_keys (
        bank TEXT NOT NULL,
        spki_hash {bytes} NOT NULL,
        spki {bytes} NOT NULL,
        learned_at BIGINT NOT NULL,
        PRIMARY KEY (bank, spki_hash)
    ) {clustered}",
];
