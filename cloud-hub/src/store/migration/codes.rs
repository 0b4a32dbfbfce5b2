//! Six-digit codes: what each bank was given, how many it needs, and which carriers' couriers have
//! some.

use sea_orm::DbErr;
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager, async_trait};

use super::run;

/// Code slots, the deposits that say how many of them a bank should hold, and couriers' codes.
pub(super) struct M0004;

impl MigrationName for M0004 {
    fn name(&self) -> &'static str {
        "m0004_codes"
    }
}

#[expect(elided_lifetimes_in_paths, reason = "the trait is declared so, and its macro compares")]
#[async_trait::async_trait]
impl MigrationTrait for M0004 {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(manager, SQL).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

const SQL: &[&str] = &[
    // Which keys the bank's tags are made with.
    "ALTER TABLE banks ADD COLUMN codes_generation BIGINT NOT NULL DEFAULT 1",
    // Why the bank refused its newest slots, until something there settles.
    "ALTER TABLE banks ADD COLUMN codes_refused TEXT",
    "CREATE INDEX banks_refusing_codes ON banks (id) WHERE codes_refused IS NOT NULL",
    // By which keys the bank hashed what is typed, when it introduced itself; none if by none.
    "ALTER TABLE introductions ADD COLUMN code_keys {bytes}",
    // In which epoch the bank's log of grants began; `gseq` counts from there.
    "ALTER TABLE banks ADD COLUMN grants_epoch BIGINT NOT NULL DEFAULT 0",
    "UPDATE banks SET grants_epoch =
        COALESCE((SELECT value FROM meta WHERE name = 'epoch'), 0)",
    // Every code that a bank may hold or held of late: its digits only sealed. Ingest fills it, so
    // it has no foreign keys.
    "CREATE TABLE code_slots (
        bank TEXT NOT NULL,
        slot {bytes} NOT NULL,
        sealed {bytes} NOT NULL,
        state TEXT NOT NULL,
        parcel {bytes},
        granted_at BIGINT NOT NULL,
        retired_at BIGINT,
        PRIMARY KEY (bank, slot)
    ) {clustered}",
    "CREATE INDEX code_slots_by_state ON code_slots (bank, state)",
    "CREATE INDEX code_slots_by_parcel ON code_slots (parcel) WHERE parcel IS NOT NULL",
    "CREATE INDEX code_slots_by_retired ON code_slots (retired_at) WHERE retired_at IS NOT NULL",
    // Deposits of each bank's days; `day` counts UTC days since 1970.
    "CREATE TABLE deposits_a_day (
        bank TEXT NOT NULL,
        day BIGINT NOT NULL,
        deposits BIGINT NOT NULL,
        PRIMARY KEY (bank, day)
    ) {clustered}",
    // How often couriers' codes were issued to the bank; 0 before the first.
    "ALTER TABLE banks ADD COLUMN courier_codes_generation BIGINT NOT NULL DEFAULT 0",
    // Carriers whose couriers have keypad codes at a bank: until when there is one for each day,
    // and when an event last told that the carrier has read them.
    "CREATE TABLE keypad_couriers (
        bank TEXT NOT NULL REFERENCES banks (id),
        carrier TEXT NOT NULL,
        placed_until BIGINT NOT NULL,
        read_noted_at BIGINT NOT NULL,
        PRIMARY KEY (bank, carrier)
    ) {clustered}",
];
