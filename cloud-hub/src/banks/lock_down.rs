//! Locking a bank down from the hub: an order for the connection at hand, answered by a record.

use std::time::Duration;

use locker_core::ids::{BankId, CommandId};
use locker_core::units::UnixMillis;
use locker_proto::message::CommandKind;
use thiserror::Error;

use crate::ingest::{Order, Orders};
use crate::store::{BankRow, Call, Decision, ReadError, RequestKey, Seen, Store, Tx, WriteError};

/// How long the bank may take to hear of the order, in milliseconds: later it does not follow it.
const VALID_MS: u64 = 60_000;
/// The answer of a bank that did as it was told.
const DONE: &str = "DONE";
/// How often a missed change of the log is made up for.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Why a bank was not locked down.
#[derive(Debug, Error)]
pub enum LockDownError {
    #[error("there is no bank of this name")]
    NotFound,
    #[error("the bank is not connected")]
    NotConnected,
    /// What the bank answered.
    #[error("the bank did not follow the order: {0}")]
    Refused(String),
    #[error("the request id was used for another call")]
    RequestIdReused,
    #[error("the bank's answer could not be read")]
    Read(#[source] ReadError),
    #[error("the order could not be written")]
    Write(#[source] WriteError),
}

/// Orders a connected bank to let only staff open doors, and waits for its answer for as long as the
/// caller does. `fresh` is a random id; a repeated call is the first one's order, which a bank
/// follows once.
///
/// # Errors
///
/// See [`LockDownError`].
pub async fn lock_down(
    store: &Store,
    orders: &Orders,
    bank: &BankId,
    fresh: CommandId,
    request: RequestKey,
    now: UnixMillis,
) -> Result<BankRow, LockDownError> {
    let call = Call::new(request, "LockDownBank", &[bank.as_str().as_bytes()]);
    let note = NoteOrder { call, bank: bank.clone(), fresh, now };
    let id = store.decide(note).await.map_err(LockDownError::Write)??;
    let mut committed = store.committed_events();
    if answer(store, bank, id).await?.is_none() {
        let not_after = now.plus_ms(VALID_MS);
        let order = Order { bank: bank.clone(), id, not_after, kind: CommandKind::LockDown };
        if !orders.give(order).await {
            return Err(LockDownError::NotConnected);
        }
    }
    let answer = loop {
        committed.mark_unchanged();
        if let Some(answer) = answer(store, bank, id).await? {
            break answer;
        }
        // Whoever calls has set a time limit, at which this is dropped.
        let _ = tokio::time::timeout(LOOK_EVERY, committed.changed()).await;
    };
    if answer != DONE {
        return Err(LockDownError::Refused(answer));
    }
    let row = store.bank(bank).await.map_err(LockDownError::Read)?;
    row.ok_or(LockDownError::NotFound)
}

async fn answer(
    store: &Store,
    bank: &BankId,
    id: CommandId,
) -> Result<Option<String>, LockDownError> {
    store.command_answer(bank, id).await.map_err(LockDownError::Read)
}

struct NoteOrder {
    call: Call,
    bank: BankId,
    fresh: CommandId,
    now: UnixMillis,
}

impl Decision for NoteOrder {
    type Answer = Result<CommandId, LockDownError>;

    async fn decide(&self, tx: &mut Tx) -> Result<Self::Answer, WriteError> {
        if tx.bank(&self.bank).await?.is_none() {
            return Ok(Err(LockDownError::NotFound));
        }
        match self.call.seen::<[u8; 16]>(tx).await? {
            Seen::Answered(id) => return Ok(Ok(CommandId(id))),
            Seen::Other => return Ok(Err(LockDownError::RequestIdReused)),
            Seen::Never => {}
        }
        self.call.answered(tx, &self.fresh.0, self.now).await?;
        Ok(Ok(self.fresh))
    }
}
