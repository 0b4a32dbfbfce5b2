//! Six-digit codes in the store: the slots of each bank, what becomes of them, and how busy a bank
//! is.
//!
//! A slot is minted and granted in one transaction, bound when its bank says so, and retired when
//! its parcel has left. The digits stand here only sealed.

use std::collections::{BTreeMap, BTreeSet};

use locker_core::code::keypad_code::DAY_MS;
use locker_core::code::pool::HISTORY_MAX_DAYS;
use locker_core::code::slot::{REUSE_AFTER_MS, Sealed, Slot, SlotId};
use locker_core::downlink::Grant;
use locker_core::ids::{BankId, Generation, ParcelId};
use locker_core::units::UnixMillis;
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryResult, Statement, Value,
};

use super::convert::{bytes, damaged, id, int, text, uint};
use super::entity::{bank_entities, banks, code_slots, deposits_a_day, introductions, parcels};
use super::ingest_write::EntityKind;
use super::tx::{Insert, Tx};
use super::writer::Decision;
use super::{ReadError, WriteError, courier_codes};
use crate::codes::mint::{BankCodes, HeldSlot};
use crate::codes::pepper::CodeMaster;

/// Granted or about to be, and not yet bound to a deposit.
pub(super) const UNUSED: &str = "UNUSED";
/// A parcel's that is inside, as far as is known.
pub(super) const BOUND: &str = "BOUND";
/// A courier's code.
pub(super) const COURIER: &str = "COURIER";
/// Out of use.
pub(super) const RETIRED: &str = "RETIRED";

/// Old slots forgotten by one transaction.
const SWEEP_MAX: u64 = 2_048;

const TABLE: &str = "code_slots";

// As the statements here and beside spell them.
const _: () = assert!(EntityKind::Compartment as i32 == 2 && EntityKind::Slot as i32 == 7);

/// Slots: all of a new one. What is known of one is changed only by what was done with it, and its
/// digits never are.
pub(super) const CODE_SLOTS: Insert = Insert {
    name: TABLE,
    table: TABLE,
    columns: &["bank", "slot", "sealed", "state", "parcel", "granted_at", "retired_at"],
    conflict: "ON CONFLICT (bank, slot) DO UPDATE SET state = excluded.state, \
               parcel = excluded.parcel, retired_at = excluded.retired_at \
               WHERE excluded.state <> 'UNUSED'",
};

/// A slot as it is written.
pub(super) struct SlotRow {
    sealed: Sealed,
    state: &'static str,
    pub(super) parcel: Option<ParcelId>,
    granted_at: UnixMillis,
    retired_at: Option<UnixMillis>,
}

impl SlotRow {
    pub(super) const fn unused(sealed: Sealed, granted_at: UnixMillis) -> Self {
        Self { sealed, state: UNUSED, parcel: None, granted_at, retired_at: None }
    }

    pub(super) const fn bound(sealed: Sealed, parcel: ParcelId, granted_at: UnixMillis) -> Self {
        Self { sealed, state: BOUND, parcel: Some(parcel), granted_at, retired_at: None }
    }

    pub(super) const fn courier(sealed: Sealed, granted_at: UnixMillis) -> Self {
        Self { sealed, state: COURIER, parcel: None, granted_at, retired_at: None }
    }

    pub(super) fn retire(&mut self, now: UnixMillis) {
        self.state = RETIRED;
        self.retired_at = Some(now);
    }

    pub(super) fn values(&self, bank: &BankId, slot: SlotId) -> [Value; 7] {
        [
            bank.as_str().into(),
            bytes(&slot.0),
            bytes(self.sealed.as_bytes()),
            self.state.into(),
            self.parcel.map(|parcel| parcel.0.to_vec()).into(),
            int(self.granted_at.0).into(),
            self.retired_at.map(|at| int(at.0)).into(),
        ]
    }
}

/// The sealed digits that open a parcel now, with the bank and the slot that they are sealed for;
/// none if it has its QR code alone.
pub(super) async fn code_of(
    db: &impl ConnectionTrait,
    parcel: ParcelId,
) -> Result<Option<(BankId, SlotId, Sealed)>, ReadError> {
    let Some(known) = parcels::Entity::find_by_id(parcel.0.to_vec()).one(db).await? else {
        return Ok(None);
    };
    let Some(bank) = known.bank else { return Ok(None) };
    let row = code_slots::Entity::find()
        .filter(code_slots::Column::Parcel.eq(parcel.0.to_vec()))
        .filter(code_slots::Column::State.eq(BOUND))
        // What another bank says of it is none of its codes.
        .filter(code_slots::Column::Bank.eq(bank))
        .one(db)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let held = held_slot(&row)?;
    Ok(Some((text(TABLE, "bank", &row.bank)?, held.id, held.sealed)))
}

fn held_slot(row: &code_slots::Model) -> Result<HeldSlot, ReadError> {
    let sealed = Sealed::try_from(row.sealed.clone()).map_err(|_| damaged(TABLE, "sealed"))?;
    Ok(HeldSlot { id: id(TABLE, "slot", &row.slot)?, sealed })
}

/// Which keys a bank's tags are made with.
pub(super) async fn generation(
    db: &impl ConnectionTrait,
    bank: &BankId,
) -> Result<Generation, ReadError> {
    let row = banks::Entity::find_by_id(bank.as_str()).one(db).await?;
    let row = row.ok_or(damaged("banks", "id"))?;
    Ok(Generation(uint(row.codes_generation)))
}

/// Whether a bank hashes what is typed with the keys that its codes are minted with, by what it said
/// last.
pub(super) async fn holds_our_keys(
    db: &impl ConnectionTrait,
    bank: &BankId,
    code_master: Option<&CodeMaster>,
) -> Result<bool, ReadError> {
    let Some(master) = code_master else { return Ok(false) };
    let generation = generation(db, bank).await?;
    let row = introductions::Entity::find_by_id(bank.as_str()).one(db).await?;
    let told = row.and_then(|row| row.code_keys);
    let ours = master.tag_keys(bank, generation).fingerprint();
    Ok(told.is_some_and(|told| told == ours))
}

/// How a bank that may be given slots stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CodePool {
    pub(crate) bank: BankId,
    /// Which keys its tags are made with.
    pub(crate) generation: Generation,
    pub(crate) compartments: u16,
    pub(crate) unused: usize,
    pub(crate) bound: usize,
    /// Until when all its couriers have a code for each day; none if it has no couriers.
    pub(crate) couriers_until: Option<UnixMillis>,
    /// Of each day up to today since the first one that is known, oldest first.
    pub(crate) deposits_a_day: Vec<u16>,
    /// The fingerprint of the keys that it has told, if it has any.
    pub(crate) code_keys: Option<Vec<u8>>,
}

impl CodePool {
    /// Whether the bank makes of digits the tags that are made with this master secret: to another
    /// one every code would be wrong.
    pub(crate) fn holds_keys_of(&self, master: &CodeMaster) -> bool {
        let ours = || master.tag_keys(&self.bank, self.generation).fingerprint();
        self.code_keys.as_ref().is_some_and(|told| *told == ours())
    }
}

/// Banks that hold a layout, may be told things, are not behind with their facts (after the hub was
/// restored they hold codes that it knows nothing of), and have not refused their newest slots.
const POOLS: &str = "SELECT b.id, b.codes_generation, i.code_keys, \
    (SELECT COUNT(*) FROM bank_entities e WHERE e.bank = b.id AND e.kind = 2) AS compartments, \
    (SELECT COUNT(*) FROM code_slots s WHERE s.bank = b.id AND s.state = 'UNUSED') AS unused, \
    (SELECT COUNT(*) FROM code_slots s WHERE s.bank = b.id AND s.state = 'BOUND') AS bound, \
    (SELECT MIN(placed_until) FROM keypad_couriers k WHERE k.bank = b.id) AS couriers_until \
    FROM banks b JOIN cursors c ON c.bank = b.id JOIN introductions i ON i.bank = b.id \
    WHERE b.stopped_reason IS NULL AND NOT b.inventory AND b.codes_refused IS NULL \
    AND b.restored_gseq IS NULL AND c.stream = i.stream AND c.committed >= i.head_seq \
    AND EXISTS (SELECT 1 FROM bank_entities e WHERE e.bank = b.id AND e.kind = 2)";

/// Up to `limit` banks that may be given slots, by name, from the one behind `after` on.
pub(super) async fn pools(
    db: &impl ConnectionTrait,
    after: Option<&BankId>,
    limit: u32,
    now: UnixMillis,
) -> Result<Vec<CodePool>, ReadError> {
    let sql = format!("{POOLS} AND b.id > $1 ORDER BY b.id LIMIT $2");
    let after = after.map_or("", BankId::as_str);
    let mut pools = Vec::new();
    for row in select(db, sql, [after.into(), i64::from(limit).into()]).await? {
        pools.push(pool_of(db, &row, now).await?);
    }
    Ok(pools)
}

/// A bank, if it may be given slots.
pub(super) async fn pool(
    db: &impl ConnectionTrait,
    bank: &BankId,
    now: UnixMillis,
) -> Result<Option<CodePool>, ReadError> {
    let rows = select(db, format!("{POOLS} AND b.id = $1"), [bank.as_str().into()]).await?;
    match rows.first() {
        Some(row) => pool_of(db, row, now).await.map(Some),
        None => Ok(None),
    }
}

async fn select(
    db: &impl ConnectionTrait,
    sql: String,
    values: impl IntoIterator<Item = Value>,
) -> Result<Vec<QueryResult>, ReadError> {
    let statement = Statement::from_sql_and_values(db.get_database_backend(), sql, values);
    Ok(db.query_all_raw(statement).await?)
}

async fn pool_of(
    db: &impl ConnectionTrait,
    row: &QueryResult,
    now: UnixMillis,
) -> Result<CodePool, ReadError> {
    let count = |column: &str| -> Result<u64, ReadError> { Ok(uint(row.try_get_by(column)?)) };
    let size = |column| count(column).map(|count| usize::try_from(count).unwrap_or(usize::MAX));
    let bank: String = row.try_get_by("id")?;
    let bank: BankId = text("banks", "id", &bank)?;
    let couriers_until: Option<i64> = row.try_get_by("couriers_until")?;
    Ok(CodePool {
        generation: Generation(count("codes_generation")?),
        compartments: u16::try_from(count("compartments")?).unwrap_or(u16::MAX),
        unused: size("unused")?,
        bound: size("bound")?,
        couriers_until: couriers_until.map(uint).map(UnixMillis),
        deposits_a_day: deposits(db, &bank, now.0 / DAY_MS).await?,
        code_keys: row.try_get_by("code_keys")?,
        bank,
    })
}

async fn deposits(
    db: &impl ConnectionTrait,
    bank: &BankId,
    today: u64,
) -> Result<Vec<u16>, ReadError> {
    let rows = deposits_a_day::Entity::find()
        .filter(deposits_a_day::Column::Bank.eq(bank.as_str()))
        .filter(deposits_a_day::Column::Day.gt(int(today.saturating_sub(history_days()))))
        .filter(deposits_a_day::Column::Day.lte(int(today)))
        .all(db)
        .await?;
    let days: BTreeMap<u64, i64> =
        rows.into_iter().map(|row| (uint(row.day), row.deposits)).collect();
    let Some(first) = days.keys().next() else { return Ok(Vec::new()) };
    let count = |day| days.get(&day).map_or(0, |count| u16::try_from(*count).unwrap_or(u16::MAX));
    Ok((*first..=today).map(count).collect())
}

fn history_days() -> u64 {
    u64::try_from(HISTORY_MAX_DAYS).unwrap_or(u64::MAX)
}

/// A bank's codes, and how many rows of the store they are.
pub(super) async fn bank_codes(
    db: &impl ConnectionTrait,
    bank: &BankId,
) -> Result<(BankCodes, usize), ReadError> {
    let held = bank_entities::Entity::find()
        .filter(bank_entities::Column::Bank.eq(bank.as_str()))
        .filter(bank_entities::Column::Kind.eq(EntityKind::Slot as i32))
        .all(db)
        .await?;
    let held: BTreeSet<Vec<u8>> = held.into_iter().map(|row| row.key).collect();
    let rows = code_slots::Entity::find()
        .filter(code_slots::Column::Bank.eq(bank.as_str()))
        .all(db)
        .await?;
    // What the bank holds counts, too: it may not have heard yet that a code is out of use, and a
    // hub that was restored does not know all of them.
    let couriers = courier_codes::held(db, bank).await?.codes.into_iter();
    let couriers = couriers.map(|code| (code.slot.id, code.slot.sealed));
    let mut couriers: BTreeMap<SlotId, Sealed> = couriers.collect();
    let mut codes = BankCodes::none(bank.clone());
    for row in &rows {
        let slot = held_slot(row)?;
        let is_couriers = couriers.remove(&slot.id).is_some();
        match row.state.as_str() {
            UNUSED => codes.unused.push(slot),
            BOUND => codes.in_use.push(slot),
            COURIER => codes.couriers.push(slot),
            RETIRED if is_couriers => codes.couriers.push(slot),
            // The bank still knows it, to say that it was used: it takes a place there, and must
            // not lie near to another.
            RETIRED if held.contains(&row.slot) => codes.in_use.push(slot),
            RETIRED => {
                let at = UnixMillis(uint(row.retired_at.unwrap_or_default()));
                codes.retired.push((slot, at));
            }
            _ => return Err(damaged(TABLE, "state")),
        }
    }
    codes.couriers.extend(couriers.into_iter().map(|(id, sealed)| HeldSlot { id, sealed }));
    Ok((codes, rows.len()))
}

/// How many codes there are of a bank, old ones included.
pub(super) async fn count(tx: &Tx, bank: &BankId) -> Result<Option<usize>, WriteError> {
    let sql = "SELECT COUNT(*) AS count FROM code_slots WHERE bank = $1";
    let rows = tx.query(sql, [bank.as_str().into()]).await?;
    let count: i64 = rows.first().map_or(Ok(0), |row| row.try_get_by("count"))?;
    Ok(usize::try_from(count).ok())
}

/// What a bank that begins a new log of grants was given and does not hold: nobody sends it again.
pub(super) async fn retire_unheld(
    tx: &mut Tx,
    bank: &BankId,
    now: UnixMillis,
) -> Result<(), WriteError> {
    let sql = "UPDATE code_slots SET state = $1, retired_at = $2 WHERE bank = $3 AND state = $4 \
               AND NOT EXISTS (SELECT 1 FROM bank_entities e WHERE e.bank = code_slots.bank \
               AND e.kind = 7 AND e.key = code_slots.slot)";
    let values = [RETIRED.into(), int(now.0).into(), bank.as_str().into(), UNUSED.into()];
    tx.execute(TABLE, sql, values).await?;
    tx.wake_minting(bank);
    Ok(())
}

/// In a new journal no code is bound: the digits of parcels that are inside open nothing any more.
pub(super) async fn retire_bound(
    tx: &mut Tx,
    bank: &BankId,
    now: UnixMillis,
) -> Result<(), WriteError> {
    let sql = "UPDATE code_slots SET state = $1, retired_at = $2 WHERE bank = $3 AND state = $4";
    let values = [RETIRED.into(), int(now.0).into(), bank.as_str().into(), BOUND.into()];
    tx.execute(TABLE, sql, values).await?;
    Ok(())
}

/// Gives a bank slots that were minted for it.
#[derive(Clone, Debug)]
pub(crate) struct PlaceSlots {
    pub(crate) bank: BankId,
    pub(crate) generation: Generation,
    pub(crate) slots: Vec<Slot>,
    /// How many rows of the bank's codes minting has seen.
    pub(crate) seen: usize,
    pub(crate) now: UnixMillis,
}

impl Decision for PlaceSlots {
    /// Whether they were given: not if the bank has more codes by now than minting has seen, which
    /// could be too near to them, or may be given none any more.
    type Answer = bool;

    async fn decide(&self, tx: &mut Tx) -> Result<bool, WriteError> {
        let pool = pool(tx.connection(), &self.bank, self.now).await?;
        if pool.is_none_or(|pool| pool.generation != self.generation) {
            return Ok(false);
        }
        if count(tx, &self.bank).await? != Some(self.seen) {
            return Ok(false);
        }
        let row = |slot: &Slot| {
            SlotRow::unused(slot.sealed.clone(), self.now).values(&self.bank, slot.id)
        };
        tx.insert(&CODE_SLOTS, self.slots.iter().flat_map(row).collect()).await?;
        tx.grant(&self.bank, &Grant::Slots(self.slots.clone()), self.now).await?;
        Ok(true)
    }
}

/// Forgets codes whose digits may be given out again, and how busy banks were long ago.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SweepCodes {
    pub(crate) now: UnixMillis,
}

impl Decision for SweepCodes {
    /// Whether there is more to forget.
    type Answer = bool;

    async fn decide(&self, tx: &mut Tx) -> Result<bool, WriteError> {
        let sql = "DELETE FROM code_slots WHERE (bank, slot) IN \
                   (SELECT s.bank, s.slot FROM code_slots s WHERE s.retired_at <= $1 \
                   AND NOT EXISTS (SELECT 1 FROM bank_entities e \
                   WHERE e.bank = s.bank AND e.kind = 7 AND e.key = s.slot) LIMIT $2)";
        let before = int(self.now.minus_ms(REUSE_AFTER_MS).0);
        let swept = tx.execute(TABLE, sql, [before.into(), int(SWEEP_MAX).into()]).await?;
        let sql = "DELETE FROM deposits_a_day WHERE day <= $1";
        let day = int((self.now.0 / DAY_MS).saturating_sub(history_days()));
        tx.execute("deposits_a_day", sql, [day.into()]).await?;
        Ok(swept.rows_affected() >= SWEEP_MAX)
    }
}
