//! Couriers' keypad codes in the store: which carriers have them at which bank, and the document
//! that the bank is sent.
//!
//! The document is made anew, whole and with the next generation, in the transaction of each change
//! of it. Its digits also stand among the bank's slots, so that no other code comes near them.

use std::collections::BTreeSet;

use locker_core::code::keypad_code::{CourierCodes, DAY_MS, DAYS_MAX, KeypadCode};
use locker_core::code::slot::SlotId;
use locker_core::ids::{BankId, CarrierId, Generation};
use locker_core::units::UnixMillis;
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, Order, QueryFilter, QueryOrder};

use super::codes::{self, CODE_SLOTS, COURIER, RETIRED, SlotRow};
use super::convert::{bytes, damaged, int, text, uint};
use super::entity::{bank_entities, banks, keypad_couriers};
use super::ingest_write::EntityKind;
use super::queries::{COURIER_CODES, newest_config};
use super::rows::{EventKind, KeypadCouriers};
use super::tx::{Insert, NewEvent, Tx};
use super::writer::Decision;
use super::{ReadError, WriteError};

/// At most one event in this time tells that a carrier reads its codes at a bank; further reads are
/// within it, in milliseconds.
const READ_NOTED_EVERY_MS: u64 = 60_000;

const TABLE: &str = "keypad_couriers";

const COURIERS: Insert = Insert {
    name: TABLE,
    table: TABLE,
    columns: &["bank", "carrier", "placed_until", "read_noted_at"],
    conflict: "ON CONFLICT (bank, carrier) DO NOTHING",
};

/// Which couriers have codes at a bank, and those that there are.
#[derive(Clone, Debug)]
pub(crate) struct CouriersCodes {
    pub(crate) carriers: Vec<CarrierId>,
    pub(crate) codes: CourierCodes,
}

/// A carrier's codes at a bank.
#[derive(Clone, Debug)]
pub(crate) struct CarrierCodes {
    pub(crate) codes: Vec<KeypadCode>,
    /// Those of them that the bank has taken over.
    pub(crate) held: BTreeSet<SlotId>,
    /// When an event last told that they were read.
    noted_at: UnixMillis,
}

impl CarrierCodes {
    /// Whether reading them at `now` is to be noted.
    pub(crate) const fn is_to_be_noted(&self, now: UnixMillis) -> bool {
        // One that was noted ahead of now was noted by a wrong clock.
        now.0 < self.noted_at.0 || now.since_ms(self.noted_at) >= READ_NOTED_EVERY_MS
    }
}

/// The newest couriers' codes issued to a bank; none before the first.
pub(super) async fn document(
    db: &impl ConnectionTrait,
    row: &banks::Model,
) -> Result<CourierCodes, ReadError> {
    if row.courier_codes_generation == 0 {
        return Ok(CourierCodes::default());
    }
    let bank: BankId = text("banks", "id", &row.id)?;
    let found = newest_config(db, &bank, COURIER_CODES).await?;
    let found = found.ok_or(damaged("banks", "courier_codes_generation"))?;
    locker_proto::decode_courier_codes(&found).map_err(|_| damaged("configs", "bytes"))
}

/// What a bank says that it holds.
pub(super) async fn held(
    db: &impl ConnectionTrait,
    bank: &BankId,
) -> Result<CourierCodes, ReadError> {
    let row = bank_entities::Entity::find()
        .filter(bank_entities::Column::Bank.eq(bank.as_str()))
        .filter(bank_entities::Column::Kind.eq(EntityKind::CourierCodes as i32))
        .one(db)
        .await?;
    let Some(row) = row else { return Ok(CourierCodes::default()) };
    locker_proto::decode_courier_codes(&row.bytes).map_err(|_| damaged("bank_entities", "bytes"))
}

/// How a bank stands with couriers' codes.
pub(super) async fn keypad(
    db: &impl ConnectionTrait,
    row: &banks::Model,
) -> Result<KeypadCouriers, ReadError> {
    // Most banks have none.
    if row.courier_codes_generation == 0 {
        return Ok(KeypadCouriers::default());
    }
    let bank: BankId = text("banks", "id", &row.id)?;
    Ok(KeypadCouriers {
        carriers: carriers(db, &bank).await?,
        issued: Generation(uint(row.courier_codes_generation)),
        held: held(db, &bank).await?.generation,
    })
}

async fn carriers(db: &impl ConnectionTrait, bank: &BankId) -> Result<Vec<CarrierId>, ReadError> {
    let rows = keypad_couriers::Entity::find()
        .filter(keypad_couriers::Column::Bank.eq(bank.as_str()))
        .order_by(keypad_couriers::Column::Carrier, Order::Asc)
        .all(db)
        .await?;
    rows.iter().map(|row| text(TABLE, "carrier", &row.carrier)).collect()
}

pub(super) async fn of_bank(
    db: &impl ConnectionTrait,
    bank: &BankId,
) -> Result<Option<CouriersCodes>, ReadError> {
    let Some(row) = banks::Entity::find_by_id(bank.as_str()).one(db).await? else {
        return Ok(None);
    };
    let (carriers, codes) = (carriers(db, bank).await?, document(db, &row).await?);
    Ok(Some(CouriersCodes { carriers, codes }))
}

pub(super) async fn of_carrier(
    db: &impl ConnectionTrait,
    bank: &BankId,
    carrier: &CarrierId,
) -> Result<Option<CarrierCodes>, ReadError> {
    let place = (bank.as_str().to_owned(), carrier.as_str().to_owned());
    let Some(row) = keypad_couriers::Entity::find_by_id(place).one(db).await? else {
        return Ok(None);
    };
    let noted_at = UnixMillis(uint(row.read_noted_at));
    let Some(CouriersCodes { codes, .. }) = of_bank(db, bank).await? else { return Ok(None) };
    let codes = codes.codes.into_iter().filter(|code| code.carrier == *carrier).collect();
    let held = held(db, bank).await?.codes.into_iter().map(|code| code.slot.id).collect();
    Ok(Some(CarrierCodes { codes, held, noted_at }))
}

impl Tx {
    /// Says whose couriers have codes at a bank. Those of others are out of use at once; new ones are
    /// minted later. Gives the document's generation.
    pub(crate) async fn set_keypad_couriers(
        &mut self,
        bank: &BankId,
        carriers: &[CarrierId],
        now: UnixMillis,
    ) -> Result<Generation, WriteError> {
        let before = of_bank(self.connection(), bank).await?.ok_or(damaged("banks", "id"))?;
        for gone in before.carriers.iter().filter(|carrier| !carriers.contains(carrier)) {
            let sql = "DELETE FROM keypad_couriers WHERE bank = $1 AND carrier = $2";
            self.execute(TABLE, sql, [bank.as_str().into(), gone.as_str().into()]).await?;
        }
        let row = |carrier: &CarrierId| {
            [bank.as_str().into(), carrier.as_str().into(), 0_i64.into(), 0_i64.into()]
        };
        self.insert(&COURIERS, carriers.iter().flat_map(row).collect()).await?;
        let issued = self.issue_courier_codes(bank, before.codes, carriers, now).await?;
        self.wake_minting(bank);
        Ok(issued.generation)
    }

    /// Issues what is left of `codes` for `carriers`, as the next generation.
    async fn issue_courier_codes(
        &mut self,
        bank: &BankId,
        codes: CourierCodes,
        carriers: &[CarrierId],
        now: UnixMillis,
    ) -> Result<CourierCodes, WriteError> {
        let CourierCodes { generation, mut codes } = codes;
        let generation = Generation(generation.0 + 1);
        // Those of days far ahead come from a clock that was wrong.
        let last_day = now.0 / DAY_MS + u64::from(DAYS_MAX);
        let is_near =
            |code: &KeypadCode| code.valid.until > now && code.valid.from.0 / DAY_MS < last_day;
        codes.retain(|code| is_near(code) && carriers.contains(&code.carrier));
        let document = CourierCodes { generation, codes };
        self.retire_couriers(bank, &document, now).await?;
        self.replace_config(
            bank,
            COURIER_CODES,
            generation,
            &locker_proto::encode_courier_codes(&document),
            now,
        )
        .await?;
        let sql = "UPDATE banks SET courier_codes_generation = $1 WHERE id = $2";
        self.execute("banks", sql, [int(generation.0).into(), bank.as_str().into()]).await?;
        Ok(document)
    }

    /// A courier's code that is in the document no more is out of use.
    async fn retire_couriers(
        &mut self,
        bank: &BankId,
        document: &CourierCodes,
        now: UnixMillis,
    ) -> Result<(), WriteError> {
        let sql = "SELECT slot FROM code_slots WHERE bank = $1 AND state = $2";
        let rows = self.query(sql, [bank.as_str().into(), COURIER.into()]).await?;
        for row in rows {
            let slot: Vec<u8> = row.try_get_by("slot")?;
            if document.codes.iter().any(|code| code.slot.id.0.as_slice() == slot) {
                continue;
            }
            let sql =
                "UPDATE code_slots SET state = $1, retired_at = $2 WHERE bank = $3 AND slot = $4";
            let values = [RETIRED.into(), int(now.0).into(), bank.as_str().into(), bytes(&slot)];
            self.execute("code_slots", sql, values).await?;
        }
        Ok(())
    }
}

/// Gives a bank couriers' codes that were minted for it.
#[derive(Clone, Debug)]
pub(crate) struct PlaceCourierCodes {
    pub(crate) bank: BankId,
    /// Which keys the tags are made with.
    pub(crate) generation: Generation,
    /// The document that minting has seen.
    pub(crate) follows: Generation,
    pub(crate) codes: Vec<KeypadCode>,
    /// How many rows of the bank's codes minting has seen.
    pub(crate) seen: usize,
    pub(crate) now: UnixMillis,
}

impl Decision for PlaceCourierCodes {
    /// Whether they were given: not if the bank has other codes by now than minting has seen, which
    /// could be too near to them, or may be given none any more.
    type Answer = bool;

    async fn decide(&self, tx: &mut Tx) -> Result<bool, WriteError> {
        let pool = codes::pool(tx.connection(), &self.bank, self.now).await?;
        if pool.is_none_or(|pool| pool.generation != self.generation) {
            return Ok(false);
        }
        let Some(CouriersCodes { carriers, mut codes }) =
            of_bank(tx.connection(), &self.bank).await?
        else {
            return Ok(false);
        };
        // A change of the carriers is a change of the document.
        let is_as_seen = codes.generation == self.follows
            && codes::count(tx, &self.bank).await? == Some(self.seen);
        if !is_as_seen {
            return Ok(false);
        }
        codes.codes.extend(self.codes.iter().cloned());
        let row = |code: &KeypadCode| {
            let sealed = code.slot.sealed.clone();
            SlotRow::courier(sealed, self.now).values(&self.bank, code.slot.id)
        };
        tx.insert(&CODE_SLOTS, self.codes.iter().flat_map(row).collect()).await?;
        let issued = tx.issue_courier_codes(&self.bank, codes, &carriers, self.now).await?;
        for carrier in &carriers {
            let own = issued.codes.iter().filter(|code| code.carrier == *carrier);
            let until = own.map(|code| code.valid.from.plus_ms(DAY_MS).0).max().unwrap_or(0);
            let sql = "UPDATE keypad_couriers SET placed_until = $1 \
                       WHERE bank = $2 AND carrier = $3";
            let values = [int(until).into(), self.bank.as_str().into(), carrier.as_str().into()];
            tx.execute(TABLE, sql, values).await?;
        }
        Ok(true)
    }
}

/// Notes that a carrier is told its codes at a bank, before it is.
#[derive(Clone, Debug)]
pub(crate) struct NoteCodesRead {
    pub(crate) bank: BankId,
    pub(crate) carrier: CarrierId,
    pub(crate) event_id: String,
    pub(crate) now: UnixMillis,
}

impl Decision for NoteCodesRead {
    /// Whether the carrier still has codes there.
    type Answer = bool;

    async fn decide(&self, tx: &mut Tx) -> Result<bool, WriteError> {
        let sql = "UPDATE keypad_couriers SET read_noted_at = $1 WHERE bank = $2 AND carrier = $3";
        let (bank, carrier) = (self.bank.as_str(), self.carrier.as_str());
        let noted = tx.execute(TABLE, sql, [int(self.now.0).into(), bank.into(), carrier.into()]);
        if noted.await?.rows_affected() == 0 {
            return Ok(false);
        }
        tx.event(NewEvent {
            event_id: self.event_id.clone(),
            kind: EventKind::BankKeypadCodesRead,
            bank: Some(&self.bank),
            compartment: None,
            parcel: None,
            detail: format!("carriers/{carrier}"),
            occurred_at: self.now,
            recorded_at: self.now,
        });
        Ok(true)
    }
}
