//! SQLite's log is copied back into the database beside the writer, not inside its commits.
//!
//! By itself SQLite checkpoints in the commit that fills the log past a thousand pages: whoever
//! waits for that commit waits for two more syncs and for pages all over the file. Here a connection
//! of its own does it, which never makes anybody wait; the writer does it only past [`LOG_PAGES_MAX`].

use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend};
use tokio::sync::watch;
use tokio::time::{Duration, Instant, sleep_until};
use tracing::warn;

/// Pages of the log past which a commit checkpoints by itself, as SQLite's `wal_autocheckpoint`:
/// 64 MiB.
pub(super) const LOG_PAGES_MAX: u32 = 16_384;
/// Rows written after which it is worth a checkpoint.
const ROWS_BETWEEN: u64 = 4_096;
/// At most one checkpoint in this time.
const PAUSE: Duration = Duration::from_millis(500);

/// Checkpoints `database` as rows are written, until the writer is gone. `rows` counts them up.
pub(super) async fn run(database: DatabaseConnection, mut rows: watch::Receiver<u64>) {
    if database.get_database_backend() != DbBackend::Sqlite {
        return;
    }
    let mut done = 0;
    while rows.wait_for(|rows| *rows >= done + ROWS_BETWEEN).await.is_ok() {
        let began = Instant::now();
        done = *rows.borrow_and_update();
        // It copies what it can and waits for nobody; what is left the next one copies.
        if let Err(error) = database.execute_unprepared("PRAGMA wal_checkpoint(PASSIVE)").await {
            warn!(%error, "log not checkpointed");
        }
        sleep_until(began + PAUSE).await;
    }
    if let Err(error) = database.close().await {
        warn!(%error, "the store's checkpointing connection did not close");
    }
}

#[cfg(test)]
mod tests;
