//! What the hub needs to remind recipients, and to take back a reminder that was not true.

use sea_orm::DbErr;
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager, async_trait};

use super::run;

/// When a notice is about, when a parcel's recipient was last reminded, and a reminder for each
/// parcel that waits already.
pub(super) struct M0007;

impl MigrationName for M0007 {
    fn name(&self) -> &'static str {
        "m0007_reminders"
    }
}

#[expect(elided_lifetimes_in_paths, reason = "the trait is declared so, and its macro compares")]
#[async_trait::async_trait]
impl MigrationTrait for M0007 {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(manager, SQL).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

const SQL: &[&str] = &[
    // The moment that a reminder is for, which `due_at` leaves behind with every attempt; of a
    // correction, when the letter went out that it takes back.
    "ALTER TABLE notices ADD COLUMN moment_at BIGINT",
    // When a letter last went out that said that the parcel is inside. Written by whoever notes what
    // became of letters, read by ingest.
    "ALTER TABLE parcels ADD COLUMN reminded_at BIGINT",
    // Parcels whose first letter went out before there were reminders. It is looked at a third of
    // their time after they came, which finds out when they are to be reminded.
    "INSERT INTO notices (parcel, kind, version, due_at, attempts)
        SELECT uid, 'PARCEL_REMINDER', 0, updated_at + (expires_at - updated_at) / 3, 0 FROM parcels
        WHERE state = 'STORED' AND expires_at > updated_at",
];
