//! How a store is opened: connections, tables, format, epoch, writer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use locker_core::ids::HubEpoch;
use sea_orm::sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous};
use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbBackend, Statement,
};
use sea_orm_migration::{MigratorTrait, SchemaManager};
use tokio::sync::{mpsc, watch};

use super::convert::int;
use super::migration::{FORMAT_VERSION, Migrator};
use super::safe::SafeMarks;
use super::tx::TxContext;
use super::wakes::Wakes;
use super::writer::{Tally, Writer};
use super::{OpenStoreError, Store, checkpoint, queries};

/// How SQLite is set up, for whoever compares with it.
pub const SQLITE_PRAGMAS: &[(&str, &str)] =
    &[("journal_mode", "WAL"), ("synchronous", "FULL"), ("foreign_keys", "ON")];

/// How long SQLite waits for another process's lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The bounds of a store.
#[derive(Clone, Debug)]
pub struct StoreLimits {
    /// Jobs that may wait for the writer; whoever brings one more waits.
    pub queued_jobs: usize,
    /// Jobs in one transaction.
    pub group_jobs: usize,
    /// How long the first job of a group waits for others.
    pub group_wait: Duration,
    /// Connections that read.
    pub readers: u32,
    /// How long a reader waits for a connection.
    pub read_wait: Duration,
    /// How long a stored parcel's pickup code works, in milliseconds.
    pub retention_ms: u64,
    /// How long a repeated call is recognised, in milliseconds.
    pub requests_ms: u64,
    /// How long a notice belongs to whoever was given it, in milliseconds.
    pub notice_lease_ms: u64,
    /// Unreadable messages kept of each bank; the oldest goes for one more.
    pub quarantined_per_bank: u32,
    /// Messages kept apart of each bank that may have been copied. For one more the oldest of a
    /// cleared alarm goes; without such a one it is only counted.
    pub kept_apart_per_bank: u32,
}

impl Default for StoreLimits {
    fn default() -> Self {
        Self {
            queued_jobs: 256,
            group_jobs: 128,
            group_wait: Duration::from_millis(2),
            readers: 4,
            read_wait: Duration::from_secs(5),
            retention_ms: 7 * 24 * 3_600 * 1_000,
            requests_ms: 24 * 3_600 * 1_000,
            notice_lease_ms: 60_000,
            quarantined_per_bank: 16,
            kept_apart_per_bank: 64,
        }
    }
}

pub(super) async fn open(url: &str, limits: StoreLimits) -> Result<Store, OpenStoreError> {
    let writing = connect(url, 1, &limits).await?;
    migrate(&writing).await?;
    let epoch = HubEpoch(epoch(&writing).await?);
    take_leases_back(&writing).await?;
    let last_event = queries::last_event(&writing).await.map_err(OpenStoreError::Read)?;
    let readers = connect(url, limits.readers, &limits).await?;
    let safe = SafeMarks::read(&readers).await.map_err(OpenStoreError::Read)?;
    let (jobs, queue) = mpsc::channel(limits.queued_jobs);
    let (committed_to, committed) = watch::channel(last_event);
    let (rows_written, rows) = watch::channel(0);
    tokio::spawn(checkpoint::run(connect(url, 1, &limits).await?, rows));
    let tally: Tally = Arc::new(Mutex::new(BTreeMap::new()));
    let (wakes, minting) = (Wakes::default(), Wakes::default());
    let context = TxContext {
        epoch,
        retention_ms: limits.retention_ms,
        requests_ms: limits.requests_ms,
        quarantined_per_bank: limits.quarantined_per_bank,
        kept_apart_per_bank: limits.kept_apart_per_bank,
        last_event,
        ..TxContext::default()
    };
    let writer = Writer {
        database: writing,
        jobs: queue,
        limits: limits.clone(),
        context,
        committed: committed_to,
        rows_written,
        tally: Arc::clone(&tally),
        wakes: wakes.clone(),
        minting: minting.clone(),
    };
    tokio::spawn(writer.run());
    let code_master = None;
    Ok(Store { epoch, readers, jobs, committed, tally, wakes, minting, code_master, safe, limits })
}

async fn connect(
    url: &str,
    connections: u32,
    limits: &StoreLimits,
) -> Result<DatabaseConnection, OpenStoreError> {
    let mut options = ConnectOptions::new(url);
    options
        .max_connections(connections)
        .min_connections(1)
        .acquire_timeout(limits.read_wait)
        // A connection that is replaced would prepare all statements again.
        .idle_timeout(None)
        .max_lifetime(None)
        .sqlx_logging(false)
        .record_stmt_in_spans(false)
        .test_before_acquire(false)
        .map_sqlx_sqlite_opts(|options| {
            options
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full)
                .foreign_keys(true)
                .pragma("wal_autocheckpoint", checkpoint::LOG_PAGES_MAX.to_string())
                .busy_timeout(BUSY_TIMEOUT)
        });
    Database::connect(options).await.map_err(OpenStoreError::Connect)
}

/// Refuses a newer store before anything in it is touched.
pub(super) async fn migrate(database: &DatabaseConnection) -> Result<(), OpenStoreError> {
    let known = FORMAT_VERSION;
    let exists = SchemaManager::new(database).has_table("meta").await;
    if exists.map_err(OpenStoreError::Connect)? {
        let found = queries::meta_value(database, "format_version").await;
        let found = found.map_err(OpenStoreError::Read)?.unwrap_or(0);
        if found > known {
            return Err(OpenStoreError::Newer { found, known });
        }
    }
    Migrator::up(database, None).await.map_err(OpenStoreError::Migrate)?;
    set_meta(database, "format_version", known).await
}

async fn epoch(database: &DatabaseConnection) -> Result<u64, OpenStoreError> {
    let known = queries::meta_value(database, "epoch").await.map_err(OpenStoreError::Read)?;
    if let Some(epoch) = known {
        return Ok(epoch);
    }
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX);
    set_meta(database, "epoch", now).await?;
    Ok(now)
}

/// Whoever had claimed a notice has died. Of reminders most wait for their moment, which must not come
/// for all parcels of a fleet at once; one that was claimed is due when its lease is over.
pub(super) const TAKE_LEASES_BACK: &str =
    "UPDATE notices SET due_at = 0 WHERE due_at IS NOT NULL AND kind <> 'PARCEL_REMINDER'";

/// A SQLite store has one hub: whatever had claimed a notice before has died with it.
async fn take_leases_back(database: &DatabaseConnection) -> Result<(), OpenStoreError> {
    if database.get_database_backend() != DbBackend::Sqlite {
        return Ok(());
    }
    database.execute_unprepared(TAKE_LEASES_BACK).await.map_err(OpenStoreError::Migrate)?;
    Ok(())
}

async fn set_meta(
    database: &DatabaseConnection,
    name: &str,
    value: u64,
) -> Result<(), OpenStoreError> {
    let sql = "INSERT INTO meta (name, value) VALUES ($1, $2) \
               ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    let values = [name.into(), int(value).into()];
    let statement = Statement::from_sql_and_values(database.get_database_backend(), sql, values);
    database.execute_raw(statement).await.map_err(OpenStoreError::Migrate)?;
    Ok(())
}
