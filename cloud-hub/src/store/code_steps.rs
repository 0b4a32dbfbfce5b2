//! What banks' facts make of their code slots, in the transaction of the facts.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use locker_core::code::slot::{Sealed, SlotId};
use locker_core::downlink::{Grant, GrantPosition};
use locker_core::ids::{BankId, ParcelId};
use locker_core::units::UnixMillis;
use sea_orm::{EntityTrait, Value};
use tracing::warn;

use super::WriteError;
use super::codes::{CODE_SLOTS, RETIRED, SlotRow, UNUSED};
use super::convert::{bytes, damaged, id, int, uint};
use super::entity::grants;
use super::ingest_write::{IngestWrite, LOOK_UP_MAX, look_up, padded};
use super::tx::{Insert, Tx};

const DEPOSITS: Insert = Insert {
    name: "deposits_a_day",
    table: "deposits_a_day",
    columns: &["bank", "day", "deposits"],
    conflict: "ON CONFLICT (bank, day) DO UPDATE SET \
               deposits = deposits_a_day.deposits + excluded.deposits",
};

/// What a batch says of its bank's codes.
#[derive(Clone, Debug, Default)]
pub(crate) struct CodesWrite {
    /// In the order of the facts.
    pub(crate) steps: Vec<CodeStep>,
    /// The UTC day of each deposit, since 1970.
    pub(crate) deposit_days: Vec<u64>,
    /// The bank may need another number of slots than before.
    pub(crate) layout_changed: bool,
}

/// What becomes of a code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CodeStep {
    /// The bank took it over.
    Held { slot: SlotId, sealed: Sealed },
    /// It opens a parcel from now on.
    Bound { slot: SlotId, sealed: Sealed, parcel: ParcelId },
    /// It opens nothing any more.
    Retired(SlotId),
    /// The parcel has left the bank.
    Settled(ParcelId),
    /// The bank did not take a grant of slots over.
    Refused { position: GrantPosition, reason: &'static str },
}

/// Writes what batches say of codes, after what they say of the banks' state.
pub(super) async fn write_codes(tx: &mut Tx, batches: &[&IngestWrite]) -> Result<(), WriteError> {
    write_days(tx, batches).await?;
    if batches.iter().all(|batch| batch.codes.steps.is_empty()) {
        return Ok(());
    }
    let mut ledger = Ledger::load(tx, batches).await?;
    for batch in batches {
        for step in &batch.codes.steps {
            ledger.take(tx, batch, step).await?;
        }
    }
    ledger.write(tx).await
}

async fn write_days(tx: &mut Tx, batches: &[&IngestWrite]) -> Result<(), WriteError> {
    let mut days: BTreeMap<(&BankId, u64), i64> = BTreeMap::new();
    for batch in batches {
        let codes = &batch.codes;
        for day in &codes.deposit_days {
            *days.entry((&batch.bank, *day)).or_default() += 1;
        }
        if codes.layout_changed || !(codes.deposit_days.is_empty() && codes.steps.is_empty()) {
            tx.wake_minting(&batch.bank);
        }
    }
    let row = |((bank, day), deposits): ((&BankId, u64), i64)| {
        [bank.as_str().into(), int(day).into(), deposits.into()]
    };
    Ok(tx.insert(&DEPOSITS, days.into_iter().flat_map(row).collect()).await?)
}

/// The slots that a group of batches is about.
#[derive(Default)]
struct Ledger {
    rows: BTreeMap<(BankId, SlotId), SlotRow>,
    bound: HashMap<(BankId, ParcelId), SlotId>,
    /// Slots that go out of use and are not among `rows`.
    retired: Vec<(BankId, SlotId, UnixMillis)>,
    /// Why each bank refused its newest slots; none if something there has settled since.
    refused: BTreeMap<BankId, Option<&'static str>>,
}

impl Ledger {
    /// With the slots of all parcels that the batches bind or settle.
    async fn load(tx: &Tx, batches: &[&IngestWrite]) -> Result<Self, WriteError> {
        let steps = batches.iter().flat_map(|batch| &batch.codes.steps);
        let about: BTreeSet<ParcelId> = steps
            .filter_map(|step| match step {
                CodeStep::Bound { parcel, .. } | CodeStep::Settled(parcel) => Some(*parcel),
                CodeStep::Held { .. } | CodeStep::Retired(_) | CodeStep::Refused { .. } => None,
            })
            .collect();
        let about: Vec<ParcelId> = about.into_iter().collect();
        let mut ledger = Self::default();
        for some in about.chunks(LOOK_UP_MAX) {
            let sql = "SELECT bank, slot, sealed, parcel, granted_at FROM code_slots \
                       WHERE state = 'BOUND' AND parcel IN";
            let uids = padded(some.iter().map(|parcel| bytes(&parcel.0)).collect());
            for row in tx.query(look_up(tx, sql), uids).await? {
                let bank: String = row.try_get_by("bank")?;
                let bank: BankId = bank.parse().map_err(|_| damaged("code_slots", "bank"))?;
                let (slot, sealed, parcel): (Vec<u8>, Vec<u8>, Vec<u8>) =
                    (row.try_get_by("slot")?, row.try_get_by("sealed")?, row.try_get_by("parcel")?);
                let sealed = Sealed::try_from(sealed).map_err(|_| damaged("code_slots", "sealed"));
                let granted_at = UnixMillis(uint(row.try_get_by("granted_at")?));
                let slot = id("code_slots", "slot", &slot)?;
                let parcel = id("code_slots", "parcel", &parcel)?;
                ledger.bind(bank, slot, SlotRow::bound(sealed?, parcel, granted_at), granted_at);
            }
        }
        Ok(ledger)
    }

    async fn take(
        &mut self,
        tx: &mut Tx,
        batch: &IngestWrite,
        step: &CodeStep,
    ) -> Result<(), WriteError> {
        let (bank, now) = (&batch.bank, batch.now);
        match step {
            CodeStep::Held { slot, sealed } => {
                let row = || SlotRow::unused(sealed.clone(), now);
                self.rows.entry((bank.clone(), *slot)).or_insert_with(row);
                return Ok(());
            }
            CodeStep::Refused { position, reason } => {
                warn!(%bank, gseq = position.gseq, reason, "bank refused code slots");
                self.refused.insert(bank.clone(), Some(reason));
                return retire_refused(tx, bank, *position, now).await;
            }
            CodeStep::Bound { slot, sealed, parcel } => {
                let row = SlotRow::bound(sealed.clone(), *parcel, now);
                self.bind(bank.clone(), *slot, row, now);
            }
            CodeStep::Retired(slot) => self.retire(bank, *slot, now),
            CodeStep::Settled(parcel) => {
                if let Some(slot) = self.bound.remove(&(bank.clone(), *parcel)) {
                    self.retire(bank, slot, now);
                }
            }
        }
        self.refused.insert(bank.clone(), None);
        Ok(())
    }

    /// A parcel has one code at a time.
    fn bind(&mut self, bank: BankId, slot: SlotId, row: SlotRow, now: UnixMillis) {
        if let Some(parcel) = row.parcel {
            let before = self.bound.insert((bank.clone(), parcel), slot);
            if let Some(before) = before.filter(|before| *before != slot) {
                self.retire(&bank, before, now);
            }
        }
        self.rows.insert((bank, slot), row);
    }

    fn retire(&mut self, bank: &BankId, slot: SlotId, now: UnixMillis) {
        match self.rows.get_mut(&(bank.clone(), slot)) {
            Some(row) => row.retire(now),
            None => self.retired.push((bank.clone(), slot, now)),
        }
    }

    async fn write(self, tx: &mut Tx) -> Result<(), WriteError> {
        let rows = self.rows.iter().flat_map(|((bank, slot), row)| row.values(bank, *slot));
        let rows: Vec<Value> = rows.collect();
        tx.insert(&CODE_SLOTS, rows).await?;
        for (bank, slot, at) in self.retired {
            let sql = "UPDATE code_slots SET state = $1, retired_at = $2 \
                       WHERE bank = $3 AND slot = $4 AND state <> $1";
            let values = [RETIRED.into(), int(at.0).into(), bank.as_str().into(), bytes(&slot.0)];
            tx.execute("code_slots", sql, values).await?;
        }
        write_refused(tx, self.refused).await
    }
}

/// What was not taken over is no code of the bank, unless the bank holds it all the same.
async fn retire_refused(
    tx: &mut Tx,
    bank: &BankId,
    position: GrantPosition,
    now: UnixMillis,
) -> Result<(), WriteError> {
    let place = (bank.as_str().to_owned(), int(position.epoch.0), int(position.gseq));
    let row = grants::Entity::find_by_id(place).one(tx.connection()).await?;
    let grant = row.map(|row| locker_proto::decode_grant(&row.bytes)).transpose();
    let grant = grant.map_err(|_| damaged("grants", "bytes"))?;
    let Some(Grant::Slots(slots)) = grant else { return Ok(()) };
    for slot in slots {
        let sql = "UPDATE code_slots SET state = $1, retired_at = $2 \
                   WHERE bank = $3 AND slot = $4 AND state = $5 AND NOT EXISTS \
                   (SELECT 1 FROM bank_entities WHERE bank = $3 AND kind = 7 AND key = $4)";
        let values = [
            RETIRED.into(),
            int(now.0).into(),
            bank.as_str().into(),
            bytes(&slot.id.0),
            UNUSED.into(),
        ];
        tx.execute("code_slots", sql, values).await?;
    }
    Ok(())
}

/// Banks that refused get no more slots until something there has settled.
async fn write_refused(
    tx: &mut Tx,
    banks: BTreeMap<BankId, Option<&'static str>>,
) -> Result<(), WriteError> {
    let sql = "UPDATE banks SET codes_refused = $1 WHERE id = $2";
    let mut settled = BTreeSet::new();
    for (bank, reason) in banks {
        match reason {
            Some(reason) => {
                tx.execute("banks", sql, [reason.into(), bank.as_str().into()]).await?;
            }
            None => {
                settled.insert(bank);
            }
        }
    }
    if settled.is_empty() {
        return Ok(());
    }
    // Hardly ever one: it costs less to ask than to write.
    let refusing = tx.query("SELECT id FROM banks WHERE codes_refused IS NOT NULL", []).await?;
    for row in refusing {
        let bank: String = row.try_get_by("id")?;
        if settled.iter().any(|settled| settled.as_str() == bank) {
            tx.execute("banks", sql, [Value::String(None), bank.into()]).await?;
        }
    }
    Ok(())
}
