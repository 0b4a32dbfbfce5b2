//! A bank's state is read as it was stored, unless it was folded by other rules than this hub's, or
//! without a record that this hub can read by now: then it is folded anew, from the bank's first
//! record on.
//!
//! What follows from records outside the bank (events, letters, grants) followed when they came, and
//! does not follow again. What could not be read then follows now: see `unread.rs`.

mod unread;

use locker_core::ids::BankId;
use locker_core::journal::{FOLD_VERSION, MemoryView, fold};
use locker_core::uplink::inlet::Cursor;
use locker_proto::record::decode_record;
use thiserror::Error;
use tracing::info;
use unread::Unread;

use super::batch::rows_of;
use super::now;
use crate::store::{LoadedBank, ReadError, ReplaceFold, Store, WriteError};

/// Why a bank's state is not there.
#[derive(Debug, Error)]
pub(super) enum LoadBankError {
    #[error("what is stored of the bank cannot be read")]
    Read(#[from] ReadError),
    #[error("what was folded anew cannot be written")]
    Write(#[from] WriteError),
}

/// Loads a bank that nothing is written of meanwhile.
pub(super) async fn load(
    store: &Store,
    bank: &BankId,
) -> Result<Option<Box<LoadedBank>>, LoadBankError> {
    let Some(mut loaded) = store.load_bank(bank).await? else { return Ok(None) };
    let old = loaded.folded_by < FOLD_VERSION;
    let cursor = loaded.cursor.filter(|cursor| cursor.committed > 0);
    let Some(cursor) = cursor.filter(|_| old || loaded.incomplete) else {
        return Ok(Some(Box::new(loaded)));
    };
    if !old && !is_readable_now(store, bank, cursor).await? {
        return Ok(Some(Box::new(loaded)));
    }
    let came_unread = store.unread_records(bank, cursor.stream).await?;
    let mut unread = Unread::new(bank, cursor, came_unread, now());
    let (view, incomplete) = folded(store, bank, cursor, &mut unread).await?;
    let mut follows = unread.finish(&view);
    (follows.entities, follows.incomplete) = (rows_of(&view.export()), incomplete);
    let read_now = follows.facts.len();
    store.decide(ReplaceFold { follows }).await?;
    info!(%bank, committed = cursor.committed, incomplete, read_now, "bank folded anew");
    (loaded.view, loaded.incomplete) = (view, incomplete);
    Ok(Some(Box::new(loaded)))
}

/// Whether the first record that could not be read can be read by now.
async fn is_readable_now(store: &Store, bank: &BankId, cursor: Cursor) -> Result<bool, ReadError> {
    let unread = store.first_unread(bank, cursor.stream).await?;
    Ok(unread.is_some_and(|bytes| decode_record(&bytes).is_ok()))
}

/// What a bank's records add up to, and whether some cannot be read.
async fn folded(
    store: &Store,
    bank: &BankId,
    cursor: Cursor,
    unread: &mut Unread,
) -> Result<(MemoryView, bool), ReadError> {
    let (mut view, mut incomplete, mut next) = (MemoryView::default(), false, 1);
    while next <= cursor.committed {
        let records = store.stored_records(bank, cursor.stream, next, cursor.committed).await?;
        for bytes in records {
            match decode_record(&bytes) {
                Ok(record) => {
                    let changes = fold(&view, &record);
                    unread.look(&view, &record, &changes);
                    view.apply(changes);
                }
                Err(_) => incomplete = true,
            }
            next += 1;
        }
    }
    Ok((view, incomplete))
}
