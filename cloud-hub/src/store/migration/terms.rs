//! What was granted for a parcel besides its place, and what can happen to it because of that.

use sea_orm::DbErr;
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager, async_trait};

use super::run;

/// Terms of bookings, more than one code a parcel, and more than one notice of a kind.
pub(super) struct M0003;

impl MigrationName for M0003 {
    fn name(&self) -> &'static str {
        "m0003_terms"
    }
}

#[expect(elided_lifetimes_in_paths, reason = "the trait is declared so, and its macro compares")]
#[async_trait::async_trait]
impl MigrationTrait for M0003 {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(manager, SQL).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

const SQL: &[&str] = &[
    // Personal data, as the e-mail address is.
    "ALTER TABLE parcels ADD COLUMN phone TEXT",
    // Why it must leave its bank without its recipient, if it must.
    "ALTER TABLE parcels ADD COLUMN recall TEXT",
    "ALTER TABLE parcels ADD COLUMN hard BOOLEAN NOT NULL DEFAULT FALSE",
    "ALTER TABLE parcels ADD COLUMN book_until BIGINT",
    "ALTER TABLE parcels ADD COLUMN keep_ms BIGINT",
    "ALTER TABLE parcels ADD COLUMN keep_until BIGINT",
    "ALTER TABLE parcels ADD COLUMN group_id {bytes}",
    // Codes made after a parcel's first: `until` is null for those of its recipient.
    "CREATE TABLE pickup_credentials (
        id {bytes} NOT NULL PRIMARY KEY,
        parcel {bytes} NOT NULL REFERENCES parcels (uid),
        until BIGINT,
        revoked BOOLEAN NOT NULL,
        made_at BIGINT NOT NULL
    )",
    "CREATE INDEX pickup_credentials_by_parcel ON pickup_credentials (parcel)",
    // Notices, at most one of a kind for each version of a parcel. SQLite cannot change what is
    // unique in a table, so there is a new one.
    "CREATE TABLE notices_of_versions (
        id {serial},
        parcel {bytes} NOT NULL REFERENCES parcels (uid),
        kind TEXT NOT NULL,
        version BIGINT NOT NULL,
        due_at BIGINT,
        attempts INTEGER NOT NULL,
        outcome TEXT,
        UNIQUE (parcel, kind, version)
    )",
    "INSERT INTO notices_of_versions (parcel, kind, version, due_at, attempts, outcome)
        SELECT notices.parcel, notices.kind, parcels.version, notices.due_at, notices.attempts,
            notices.outcome
        FROM notices JOIN parcels ON parcels.uid = notices.parcel ORDER BY notices.id",
    "DROP TABLE notices",
    "ALTER TABLE notices_of_versions RENAME TO notices",
    "CREATE INDEX notices_by_due ON notices (due_at)",
];
