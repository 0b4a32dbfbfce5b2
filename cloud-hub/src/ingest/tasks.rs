//! Work that ingest gives away. The loop waits for room in the store's queue itself, and polls nothing
//! meanwhile: a future of its own that was given the room, or a connection, would keep it from all others.

use std::sync::Arc;

use sea_orm::DbErr;
use tokio::sync::Semaphore;

use crate::store::{Decision, ReadError, Store, WriteError};

/// Reads in a task of its own, when it is its turn. `None` if the task has gone.
pub(super) fn in_turn<T, F>(
    reads: &Arc<Semaphore>,
    reading: F,
) -> impl Future<Output = Option<T>> + Send + use<T, F>
where
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    let reads = Arc::clone(reads);
    let task = tokio::spawn(async move {
        // Never closed: as long as there is somebody to read, there is ingest.
        let _turn = reads.acquire_owned().await;
        reading.await
    });
    async move { task.await.ok() }
}

/// Reads from the store as [`in_turn`] does.
pub(super) fn read<T, F>(
    reads: &Arc<Semaphore>,
    reading: F,
) -> impl Future<Output = Result<T, ReadError>> + Send + use<T, F>
where
    F: Future<Output = Result<T, ReadError>> + Send + 'static,
    T: Send + 'static,
{
    let read = in_turn(reads, reading);
    async move {
        let gone = || Err(DbErr::Custom("the reading task has gone".to_owned()).into());
        read.await.unwrap_or_else(gone)
    }
}

/// Makes a decision in a task of its own.
pub(super) fn decided<D: Decision>(
    store: &Store,
    decision: D,
) -> impl Future<Output = Result<D::Answer, WriteError>> + Send + use<D> {
    let store = store.clone();
    let task = tokio::spawn(async move { store.decide(decision).await });
    async move { task.await.unwrap_or(Err(WriteError::Closed)) }
}
