//! Backups of a store on SQLite, made while the hub runs: a copy of one moment, checked before it
//! gets its name.
//!
//! SQLite itself copies, over a connection of its own, so that the hub goes on reading and writing;
//! its write-ahead log grows meanwhile, because nothing is moved out of it that the copy still
//! needs. A file that has its name is whole and on disk.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use locker_core::ids::HubEpoch;
use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbBackend, DbErr, Statement,
};
use thiserror::Error;

use super::convert::{id, text, uint};
use super::migration::FORMAT_VERSION;
use super::safe::Watermark;
use super::{ReadError, queries};

/// Personal data stands in it.
const MODE: u32 = 0o600;
/// What follows the name of a backup that is not whole yet.
pub(crate) const PARTIAL: &str = ".partial";
/// How long SQLite waits for whoever writes just then.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

/// What a backup holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    pub path: PathBuf,
    pub bytes: u64,
    /// Of the store that it is a copy of.
    pub epoch: HubEpoch,
    /// Of its tables.
    pub format: u64,
    /// How far each bank's stream is in it.
    pub watermarks: Vec<Watermark>,
}

/// Why there is no backup, or one is of no use.
#[derive(Debug, Error)]
pub enum BackUpError {
    #[error("{} exists already", path.display())]
    Exists { path: PathBuf },
    #[error("cannot write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("{} cannot be opened as a store", path.display())]
    Open { path: PathBuf, source: DbErr },
    #[error("the store cannot be copied to {}", path.display())]
    Copy { path: PathBuf, source: DbErr },
    #[error("{} is no store of a hub, or is damaged", path.display())]
    Read { path: PathBuf, source: ReadError },
    #[error("{} is damaged: {found}", path.display())]
    Damaged { path: PathBuf, found: String },
    #[error(
        "{} has format {found} and this hub knows formats up to {FORMAT_VERSION}: use the hub \
         version that made it",
        path.display()
    )]
    Newer { path: PathBuf, found: u64 },
}

/// Copies the store at `store` to `file`, which must not exist, whether or not a hub runs on it.
///
/// # Errors
///
/// See [`BackUpError`]; there is no `file` then.
pub async fn back_up(store: &Path, file: &Path) -> Result<Backup, BackUpError> {
    if file.exists() {
        return Err(BackUpError::Exists { path: file.to_owned() });
    }
    let partial = beside(file, PARTIAL);
    let written = async {
        copy(store, &partial).await?;
        let found = check(&partial).await?;
        sync(&partial)?;
        // It may have been made meanwhile.
        if file.exists() {
            return Err(BackUpError::Exists { path: file.to_owned() });
        }
        rename(&partial, file)?;
        Ok(Backup { path: file.to_owned(), ..found })
    };
    let written = Box::pin(written).await;
    if written.is_err() {
        // What is left over is of no use; the error says why.
        let _ = std::fs::remove_file(&partial);
    }
    written
}

/// Reads all of a backup and says what it holds.
///
/// # Errors
///
/// When it is damaged, no store, or of a newer hub.
pub async fn check(file: &Path) -> Result<Backup, BackUpError> {
    let path = || file.to_owned();
    let database = open_to_read(file).await?;
    let found = async {
        sound(&database, file).await?;
        let number = async |name| {
            let found = queries::meta_value(&database, name).await;
            let found = found.map_err(|source| BackUpError::Read { path: path(), source })?;
            let missing = ReadError::Damaged { table: "meta", column: "name" };
            found.ok_or(BackUpError::Read { path: path(), source: missing })
        };
        let format = number("format_version").await?;
        if format > FORMAT_VERSION {
            return Err(BackUpError::Newer { path: path(), found: format });
        }
        let epoch = HubEpoch(number("epoch").await?);
        let watermarks = watermarks(&database).await;
        let watermarks = watermarks.map_err(|source| BackUpError::Read { path: path(), source })?;
        let bytes = std::fs::metadata(file)
            .map_err(|source| BackUpError::Write { path: path(), source })?
            .len();
        Ok(Backup { path: path(), bytes, epoch, format, watermarks })
    };
    let found = Box::pin(found).await;
    // It was only read: nothing is lost if it does not close.
    let _ = database.close().await;
    found
}

/// The epoch of a store, if that much of it can be read.
pub(super) async fn epoch_of(store: &Path) -> Option<HubEpoch> {
    let database = open_to_read(store).await.ok()?;
    let found = queries::meta_value(&database, "epoch").await.ok().flatten();
    let _ = database.close().await;
    found.map(HubEpoch)
}

/// Copies a store into `to`, an empty file that only its owner can read. An older one is replaced.
pub(super) async fn copy(store: &Path, to: &Path) -> Result<(), BackUpError> {
    let failed = |source| BackUpError::Write { path: to.to_owned(), source };
    match std::fs::remove_file(to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    OpenOptions::new().write(true).create_new(true).mode(MODE).open(to).map_err(failed)?;
    let database = open_to_read(store).await?;
    let name = to.to_string_lossy().into_owned();
    let statement =
        Statement::from_sql_and_values(DbBackend::Sqlite, "VACUUM INTO ?", [name.into()]);
    let copied = database.execute_raw(statement).await;
    let _ = database.close().await;
    copied.map_err(|source| BackUpError::Copy { path: to.to_owned(), source })?;
    Ok(())
}

pub(super) fn sync(path: &Path) -> Result<(), BackUpError> {
    let synced = File::open(path).and_then(|file| file.sync_all());
    synced.map_err(|source| BackUpError::Write { path: path.to_owned(), source })
}

/// Gives a file its name, durably.
pub(super) fn rename(from: &Path, to: &Path) -> Result<(), BackUpError> {
    let failed = |source| BackUpError::Write { path: to.to_owned(), source };
    std::fs::rename(from, to).map_err(failed)?;
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty());
    sync(folder.unwrap_or(Path::new(".")))
}

/// The path with something appended to the file's name.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

async fn open_to_read(path: &Path) -> Result<DatabaseConnection, BackUpError> {
    let file = path.to_owned();
    let mut options = ConnectOptions::new("sqlite://store?mode=ro");
    options.max_connections(1).sqlx_logging(false).map_sqlx_sqlite_opts(move |options| {
        options.filename(&file).read_only(true).busy_timeout(BUSY_TIMEOUT)
    });
    let opened = Database::connect(options).await;
    opened.map_err(|source| BackUpError::Open { path: path.to_owned(), source })
}

async fn sound(database: &DatabaseConnection, path: &Path) -> Result<(), BackUpError> {
    let statement = Statement::from_string(DbBackend::Sqlite, "PRAGMA integrity_check(1)");
    let read = |source: DbErr| BackUpError::Read { path: path.to_owned(), source: source.into() };
    let row = database.query_one_raw(statement).await.map_err(read)?;
    let found: String =
        row.map_or(Ok(String::new()), |row| row.try_get_by_index(0)).map_err(read)?;
    if found == "ok" {
        return Ok(());
    }
    Err(BackUpError::Damaged { path: path.to_owned(), found })
}

async fn watermarks(database: &DatabaseConnection) -> Result<Vec<Watermark>, ReadError> {
    let sql = "SELECT bank, stream, committed FROM cursors ORDER BY bank";
    let rows = database.query_all_raw(Statement::from_string(DbBackend::Sqlite, sql)).await?;
    let mut all = Vec::with_capacity(rows.len());
    for row in rows {
        let (bank, stream): (String, Vec<u8>) =
            (row.try_get_by("bank")?, row.try_get_by("stream")?);
        let committed: i64 = row.try_get_by("committed")?;
        all.push(Watermark {
            bank: text("cursors", "bank", &bank)?,
            stream: id("cursors", "stream", &stream)?,
            committed: uint(committed),
        });
    }
    Ok(all)
}
