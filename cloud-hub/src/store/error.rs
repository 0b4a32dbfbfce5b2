//! What can go wrong in the store, one type for each thing that is tried.

use sea_orm::DbErr;
use thiserror::Error;

/// Why the store cannot be used.
#[derive(Debug, Error)]
pub enum OpenStoreError {
    #[error("the store cannot be opened")]
    Connect(#[source] DbErr),
    #[error("the store's tables cannot be made or upgraded")]
    Migrate(#[source] DbErr),
    #[error(
        "the store has format {found} and this hub knows formats up to {known}: start the hub \
         version that wrote it, or restore a backup made by this version"
    )]
    Newer { found: u64, known: u64 },
    #[error("the store's own description cannot be read")]
    Read(#[source] ReadError),
}

/// Why something could not be read.
#[derive(Debug, Error)]
pub enum ReadError {
    #[error("the database refused a query")]
    Database(#[source] DbErr),
    /// Something is stored that this hub would not have written.
    #[error("column {column} of table {table} holds something unreadable")]
    Damaged { table: &'static str, column: &'static str },
}

impl From<DbErr> for ReadError {
    fn from(error: DbErr) -> Self {
        Self::Database(error)
    }
}

/// Why something was not written. Nothing of it has been.
#[derive(Debug, Error)]
pub enum WriteError {
    #[error("the database refused a write")]
    Database(#[source] DbErr),
    #[error("what the write depends on cannot be read")]
    Read(#[source] ReadError),
    /// The transaction's end is not known: it is committed wholly or not at all.
    #[error("the commit failed")]
    Commit(#[source] DbErr),
    #[error("the store has been closed")]
    Closed,
}

impl From<DbErr> for WriteError {
    fn from(error: DbErr) -> Self {
        Self::Database(error)
    }
}

impl From<ReadError> for WriteError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Database(error) => Self::Database(error),
            ReadError::Damaged { .. } => Self::Read(error),
        }
    }
}

/// Why a batch was not written. Nothing of it has been.
#[derive(Debug, Error)]
pub(crate) enum WriteBatchError {
    /// Another write came between, or an earlier batch failed.
    #[error("the batch does not continue what is stored")]
    CursorMoved,
    #[error("the batch could not be written")]
    Write(#[source] WriteError),
}
