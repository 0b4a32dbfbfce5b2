//! Puts a backup in the place of a store, as a later hub than every one before it.
//!
//! Banks have gone on since the backup: they know of decisions that it does not, and hold numbers
//! that it would give again. So the store gets a later epoch than any that a bank may have heard
//! of, what callers hold to go on with ends, and each bank's log of grants begins anew only once
//! its facts are there again. The store that was there is moved aside, never removed.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use locker_core::ids::HubEpoch;
use locker_core::units::UnixMillis;
use sea_orm::sqlx::sqlite::SqliteJournalMode;
use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbBackend, DbErr, Statement,
    TransactionTrait,
};
use thiserror::Error;

use super::backup::{self, BackUpError, Backup, beside};
use super::convert::{int, uint};
use super::{OpenStoreError, open};

/// Ends the name of the copy until it is in its place.
const FRESH: &str = ".restoring";
/// What SQLite keeps beside a store.
const COMPANIONS: [&str; 3] = ["", "-wal", "-shm"];

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    pub backup: Backup,
    /// Later than every epoch before.
    pub epoch: HubEpoch,
    /// Where the store is that was in its place, if there was one.
    pub aside: Option<PathBuf>,
}

/// Why nothing was restored.
#[derive(Debug, Error)]
pub enum RestoreError {
    #[error("a hub runs on the store: stop it first")]
    InUse(#[source] LockStoreError),
    #[error("the backup cannot be used")]
    Backup(#[source] BackUpError),
    #[error("the backup's tables cannot be upgraded")]
    Upgrade(#[source] OpenStoreError),
    #[error("the backup cannot be made a later hub's")]
    Change(#[source] DbErr),
    #[error("{} cannot be moved aside", path.display())]
    MoveAside { path: PathBuf, source: io::Error },
}

/// Restores the store at `store` from `file`. Nothing may run on the store.
///
/// # Errors
///
/// See [`RestoreError`]; the store is as before then, or moved aside if even that is said.
pub async fn restore(store: &Path, file: &Path, now: UnixMillis) -> Result<Restored, RestoreError> {
    let _lock = StoreLock::take(store).map_err(RestoreError::InUse)?;
    let found = backup::check(file).await.map_err(RestoreError::Backup)?;
    let fresh = beside(store, FRESH);
    backup::copy(file, &fresh).await.map_err(RestoreError::Backup)?;
    // What is left of the store itself may know of a later epoch than the backup, unless it is lost.
    let lost = backup::epoch_of(store).await.map_or(0, |lost| lost.0);
    let epoch = Box::pin(make_later(&fresh, now, lost)).await?;
    backup::sync(&fresh).map_err(RestoreError::Backup)?;
    let aside = move_aside(store, now)?;
    backup::rename(&fresh, store).map_err(RestoreError::Backup)?;
    Ok(Restored { backup: found, epoch, aside })
}

/// Whether a restore of the store was begun and has not come to its end: what is there is no store,
/// and one that was made now would be empty.
#[must_use]
pub fn was_interrupted(store: &Path) -> bool {
    !store.exists() && beside(store, FRESH).exists()
}

/// Upgrades a copy, gives it its epoch and ends the logs of grants.
async fn make_later(path: &Path, now: UnixMillis, lost: u64) -> Result<HubEpoch, RestoreError> {
    let file = path.to_owned();
    let mut options = ConnectOptions::new("sqlite://store?mode=rw");
    options.max_connections(1).sqlx_logging(false).map_sqlx_sqlite_opts(move |options| {
        options.filename(&file).journal_mode(SqliteJournalMode::Delete)
    });
    let database = Database::connect(options).await.map_err(RestoreError::Change)?;
    open::migrate(&database).await.map_err(RestoreError::Upgrade)?;
    let epoch = change(&database, now, lost).await.map_err(RestoreError::Change)?;
    database.close().await.map_err(RestoreError::Change)?;
    Ok(epoch)
}

async fn change(
    database: &DatabaseConnection,
    now: UnixMillis,
    lost: u64,
) -> Result<HubEpoch, DbErr> {
    let sql = "SELECT MAX(epoch) AS epoch FROM (SELECT value AS epoch FROM meta \
               WHERE name = 'epoch' UNION ALL SELECT grants_epoch FROM banks)";
    let row = database.query_one_raw(Statement::from_string(DbBackend::Sqlite, sql)).await?;
    let known: Option<i64> = row.map_or(Ok(None), |row| row.try_get_by("epoch"))?;
    let known = known.map_or(0, uint).max(lost);
    let epoch = now.0.max(known.saturating_add(1));
    let transaction = database.begin().await?;
    for (sql, values) in steps(epoch, now) {
        let statement = Statement::from_sql_and_values(DbBackend::Sqlite, sql, values);
        transaction.execute_raw(statement).await?;
    }
    transaction.commit().await?;
    Ok(HubEpoch(epoch))
}

type Step = (&'static str, Vec<sea_orm::Value>);

fn steps(epoch: u64, now: UnixMillis) -> [Step; 5] {
    let epoch = || int(epoch).into();
    [
        ("UPDATE meta SET value = ? WHERE name = 'epoch'", vec![epoch()]),
        (
            "INSERT INTO meta (name, value) VALUES ('restored_at', ?) \
             ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            vec![int(now.0).into()],
        ),
        // A log that still waits since an earlier restore goes on waiting; what was decided in the
        // meantime stays behind it.
        (
            "UPDATE grants SET epoch = ? WHERE EXISTS (SELECT 1 FROM banks b \
             WHERE b.id = grants.bank AND b.restored_gseq IS NOT NULL \
             AND b.grants_epoch = grants.epoch)",
            vec![epoch()],
        ),
        (
            "UPDATE banks SET gseq = CASE WHEN restored_gseq IS NULL THEN 0 ELSE gseq END, \
             restored_epoch = COALESCE(restored_epoch, grants_epoch), \
             restored_gseq = COALESCE(restored_gseq, gseq), grants_epoch = ?",
            vec![epoch()],
        ),
        (open::TAKE_LEASES_BACK, vec![]),
    ]
}

/// Moves the store and what is beside it out of the way, as a store that can still be opened.
fn move_aside(store: &Path, now: UnixMillis) -> Result<Option<PathBuf>, RestoreError> {
    let aside = beside(store, &format!(".before-restore-{}", now.0));
    let mut was_there = false;
    for suffix in COMPANIONS {
        let (from, to) = (beside(store, suffix), beside(&aside, suffix));
        match std::fs::rename(&from, &to) {
            Ok(()) => was_there = true,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(RestoreError::MoveAside { path: from, source }),
        }
    }
    Ok(was_there.then_some(aside))
}

/// The right to be the only hub on a store. Ends with the process at the latest.
#[derive(Debug)]
pub struct StoreLock(#[expect(dead_code, reason = "holds the lock")] File);

/// Why a store cannot be used alone.
#[derive(Debug, Error)]
pub enum LockStoreError {
    #[error("another process holds {}", path.display())]
    Held { path: PathBuf },
    #[error("{} cannot be locked", path.display())]
    Lock { path: PathBuf, source: io::Error },
}

impl StoreLock {
    /// Takes the right, or says that another process has it.
    ///
    /// # Errors
    ///
    /// See [`LockStoreError`].
    pub fn take(store: &Path) -> Result<Self, LockStoreError> {
        let path = beside(store, ".lock");
        let failed = |source| LockStoreError::Lock { path: path.clone(), source };
        let file = File::options().create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(std::fs::TryLockError::WouldBlock) => Err(LockStoreError::Held { path }),
            Err(std::fs::TryLockError::Error(source)) => Err(failed(source)),
        }
    }
}

/// The file of a store by its URL; none if it is not one of SQLite's in a file.
#[must_use]
pub fn file_of(url: &str) -> Option<PathBuf> {
    let rest = url.strip_prefix("sqlite:")?;
    let path = rest.strip_prefix("//").unwrap_or(rest);
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    (!path.is_empty() && path != ":memory:").then(|| PathBuf::from(path))
}
