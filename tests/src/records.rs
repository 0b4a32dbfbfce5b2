//! What is durable in a hub's store, read past the hub.

use std::path::Path;

use anyhow::{Context, Result};
use locker_core::fact::Fact;
use locker_core::journal::Record;
use locker_proto::record::decode_record;
use sea_orm::{ConnectionTrait, Database, DatabaseConnection, Statement};

/// All records of a bank, in order.
///
/// # Errors
///
/// The store cannot be read, or holds something unreadable.
pub async fn of_bank(store: &Path, bank: &str) -> Result<Vec<Record>> {
    let sql = "SELECT bytes FROM facts WHERE bank = ? ORDER BY seq";
    let rows = query(store, sql, [bank.into()]).await?;
    rows.iter().map(|row| Ok(decode_record(&row.try_get::<Vec<u8>>("", "bytes")?)?)).collect()
}

/// How many unreadable messages of a bank the hub has counted.
///
/// # Errors
///
/// The store cannot be read, or does not know the bank.
pub async fn unreadable_messages(store: &Path, bank: &str) -> Result<i64> {
    let rows = query(store, "SELECT quarantined FROM banks WHERE id = ?", [bank.into()]).await?;
    let row = rows.first().with_context(|| format!("the hub does not know {bank}"))?;
    Ok(row.try_get("", "quarantined")?)
}

/// How many six-digit codes a bank was given that no parcel has yet.
///
/// # Errors
///
/// The store cannot be read.
pub async fn unused_slots(store: &Path, bank: &str) -> Result<i64> {
    let sql = "SELECT COUNT(*) AS unused FROM code_slots WHERE bank = ? AND parcel IS NULL";
    let rows = query(store, sql, [bank.into()]).await?;
    let row = rows.first().context("a count has one row")?;
    Ok(row.try_get("", "unused")?)
}

/// How many notices are still to be sent, or to be given up. Reminders wait for days and do not
/// count.
///
/// # Errors
///
/// The store cannot be read.
pub async fn notices_under_way(store: &Path) -> Result<i64> {
    let sql = "SELECT COUNT(*) AS waiting FROM notices \
               WHERE (due_at IS NOT NULL OR outcome IS NULL) AND kind <> 'PARCEL_REMINDER'";
    let rows = query(store, sql, []).await?;
    let row = rows.first().context("a count has one row")?;
    Ok(row.try_get("", "waiting")?)
}

/// The intents of a bank's pulses, in order.
///
/// # Errors
///
/// As [`of_bank`].
pub async fn intents(store: &Path, bank: &str) -> Result<Vec<u64>> {
    let records = of_bank(store, bank).await?;
    let intents = records.iter().filter_map(|record| {
        let Fact::PulseIntended(intended) = &record.fact else { return None };
        Some(intended.intent.0)
    });
    Ok(intents.collect())
}

async fn query<const N: usize>(
    store: &Path,
    sql: &str,
    values: [sea_orm::Value; N],
) -> Result<Vec<sea_orm::QueryResult>> {
    let url = format!("sqlite://{}?mode=ro", store.display());
    let database: DatabaseConnection = Database::connect(url).await?;
    let statement = Statement::from_sql_and_values(database.get_database_backend(), sql, values);
    let rows = database.query_all_raw(statement).await?;
    database.close().await?;
    Ok(rows)
}
