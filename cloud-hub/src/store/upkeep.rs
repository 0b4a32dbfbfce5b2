//! What ingest writes beside batches: unreadable messages, and the key set.

use locker_core::credential::KeySet;
use locker_core::ids::BankId;
use locker_core::units::UnixMillis;
use sea_orm::{EntityTrait, Order, QueryOrder};

use super::WriteError;
use super::convert::{bytes, damaged, int};
use super::entity::key_sets;
use super::tx::{Insert, Tx};
use super::writer::Decision;

const QUARANTINE: Insert = Insert {
    name: "quarantine",
    table: "quarantine",
    columns: &["bank", "topic", "reason", "bytes", "at"],
    conflict: "",
};

const KEY_SETS: Insert = Insert {
    name: "key_sets",
    table: "key_sets",
    columns: &["generation", "bytes", "issued_at"],
    conflict: "",
};

/// Keeps an unreadable message, and lets the oldest of its bank go when there are too many.
#[derive(Clone, Debug)]
pub(crate) struct Quarantine {
    pub(crate) bank: BankId,
    pub(crate) topic: &'static str,
    pub(crate) reason: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) now: UnixMillis,
}

impl Decision for Quarantine {
    /// Whether the bank is known; nothing is kept of others.
    type Answer = bool;

    async fn decide(&self, tx: &mut Tx) -> Result<bool, WriteError> {
        let bank = self.bank.as_str();
        let sql = "UPDATE banks SET quarantined = quarantined + 1 WHERE id = $1";
        let counted = tx.execute("banks", sql, [bank.into()]).await?;
        if counted.rows_affected() == 0 {
            return Ok(false);
        }
        let row = vec![
            bank.into(),
            self.topic.into(),
            self.reason.as_str().into(),
            bytes(&self.bytes),
            int(self.now.0).into(),
        ];
        tx.insert(&QUARANTINE, row).await?;
        let sql = "DELETE FROM quarantine WHERE bank = $1 AND id <= (SELECT id FROM quarantine \
                   WHERE bank = $1 ORDER BY id DESC LIMIT 1 OFFSET $2)";
        let kept = i64::from(tx.context.quarantined_per_bank);
        tx.execute("quarantine", sql, [bank.into(), kept.into()]).await?;
        Ok(true)
    }
}

/// Notes which key set this hub has, unless it has had a newer one.
#[derive(Clone, Debug)]
pub(crate) struct NoteKeySet {
    pub(crate) keys: KeySet,
    pub(crate) now: UnixMillis,
}

impl Decision for NoteKeySet {
    /// The key set that is in the way: a newer one, or another one of this generation.
    type Answer = Option<KeySet>;

    async fn decide(&self, tx: &mut Tx) -> Result<Option<KeySet>, WriteError> {
        let newest = key_sets::Entity::find()
            .order_by(key_sets::Column::Generation, Order::Desc)
            .one(tx.connection())
            .await?;
        if let Some(row) = newest {
            let known = locker_proto::decode_key_set(&row.bytes);
            let known = known.map_err(|_| damaged("key_sets", "bytes"))?;
            if known == self.keys {
                return Ok(None);
            }
            if known.generation >= self.keys.generation {
                return Ok(Some(known));
            }
        }
        let row = vec![
            int(self.keys.generation.0).into(),
            bytes(&locker_proto::encode_key_set(&self.keys)),
            int(self.now.0).into(),
        ];
        tx.insert(&KEY_SETS, row).await?;
        Ok(None)
    }
}
