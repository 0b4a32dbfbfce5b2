//! The device keys that each bank's TLS sessions have proved: with them its seals are checked, also
//! long after it has another one.

use locker_core::ids::BankId;
use locker_core::units::UnixMillis;
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter};

use super::convert::{bytes, damaged, int};
use super::entity::device_keys;
use super::tx::{Insert, Tx};
use super::writer::Decision;
use super::{ReadError, WriteError};
use crate::tls::DeviceKey;

/// Keys kept of one bank; the one that was learned first goes for one more.
const KEYS_MAX: u64 = 64;

const DEVICE_KEYS: Insert = Insert {
    name: "device_keys",
    table: "device_keys",
    columns: &["bank", "spki_hash", "spki", "learned_at"],
    conflict: "ON CONFLICT (bank, spki_hash) DO NOTHING",
};

pub(super) async fn of_bank(
    db: &impl ConnectionTrait,
    bank: &BankId,
) -> Result<Vec<DeviceKey>, ReadError> {
    let rows = device_keys::Entity::find()
        .filter(device_keys::Column::Bank.eq(bank.as_str()))
        .all(db)
        .await?;
    let key = |row: &device_keys::Model| {
        DeviceKey::of_spki(&row.spki).ok_or(damaged("device_keys", "spki"))
    };
    rows.iter().map(key).collect()
}

/// Notes a key that a bank's session has proved.
#[derive(Clone, Debug)]
pub(crate) struct LearnKey {
    pub(crate) bank: BankId,
    pub(crate) key: DeviceKey,
    pub(crate) now: UnixMillis,
}

impl Decision for LearnKey {
    type Answer = ();

    async fn decide(&self, tx: &mut Tx) -> Result<(), WriteError> {
        let bank = self.bank.as_str();
        let (hash, spki) = (bytes(&self.key.hash), bytes(&self.key.spki()));
        let row = vec![bank.into(), hash, spki, int(self.now.0).into()];
        tx.insert(&DEVICE_KEYS, row).await?;
        let sql = "DELETE FROM device_keys WHERE bank = $1 AND learned_at <= \
                   (SELECT k.learned_at FROM device_keys k WHERE k.bank = $2 \
                   ORDER BY k.learned_at DESC LIMIT 1 OFFSET $3)";
        let values = [bank.into(), bank.into(), int(KEYS_MAX).into()];
        tx.execute("device_keys", sql, values).await?;
        Ok(())
    }
}
