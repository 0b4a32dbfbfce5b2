//! Writing what banks report: many batches of many banks in few statements.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use locker_core::downlink::{Grant, GrantPosition};
use locker_core::ids::{BankId, CompartmentNo, ParcelId, Version};
use locker_core::units::UnixMillis;
use locker_core::uplink::inlet::Cursor;
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, Value};

use super::code_steps::{CodesWrite, write_codes};
use super::convert::{self, PARCEL_COLUMNS, bytes, int, uint};
use super::entity;
use super::error::WriteBatchError;
use super::notice_rows::NoticeKind;
use super::projection::{self, Consequences, ParcelStep, Tell, Times};
use super::rows::{EventKind, ParcelRow};
use super::standing::Introduced;
use super::transaction::Bound;
use super::tx::{Insert, NewEvent, Tx, place};
use super::{ReadError, WriteError, standing};

const FACTS: Insert = Insert {
    name: "facts",
    table: "facts",
    columns: &["bank", "stream", "seq", "at_ms", "kind", "bytes", "recorded_at"],
    conflict: "",
};

pub(super) const ENTITIES: Insert = Insert {
    name: "bank_entities",
    table: "bank_entities",
    columns: &["bank", "kind", "key", "bytes"],
    conflict: "ON CONFLICT (bank, kind, key) DO UPDATE SET bytes = excluded.bytes",
};

pub(super) const CURSORS: Insert = Insert {
    name: "cursors",
    table: "cursors",
    columns: &["bank", "stream", "committed", "hash", "incomplete", "seen_at"],
    conflict: "ON CONFLICT (bank) DO UPDATE SET stream = excluded.stream, \
               committed = excluded.committed, hash = excluded.hash, \
               incomplete = excluded.incomplete, seen_at = excluded.seen_at",
};

/// Parcels: all of a new one, what can change of a known one.
pub(super) const PARCELS: Insert = Insert {
    name: "parcels",
    table: "parcels",
    columns: PARCEL_COLUMNS,
    conflict: "ON CONFLICT (uid) DO UPDATE SET state = excluded.state, bank = excluded.bank, \
               compartment = excluded.compartment, version = excluded.version, \
               credential = excluded.credential, updated_at = excluded.updated_at, \
               expires_at = excluded.expires_at, recall = excluded.recall, \
               hard = excluded.hard, book_until = excluded.book_until, \
               keep_ms = excluded.keep_ms, keep_until = excluded.keep_until, \
               group_id = excluded.group_id",
};

pub(super) const NOTICES: Insert = Insert {
    name: "notices",
    table: "notices",
    columns: &["parcel", "kind", "version", "due_at", "attempts"],
    // Nobody waited for it, and now somebody does again.
    conflict: "ON CONFLICT (parcel, kind, version) DO UPDATE SET due_at = excluded.due_at, \
               attempts = excluded.attempts, outcome = NULL WHERE notices.outcome = 'UNNEEDED'",
};

/// Banks or parcels looked up by one statement.
pub(super) const LOOK_UP_MAX: usize = 128;

type Loaded = (HashMap<ParcelId, ParcelRow>, BTreeMap<ParcelId, UnixMillis>);

/// Everything that follows from one batch of one bank.
#[derive(Clone, Debug)]
pub(crate) struct IngestWrite {
    pub(crate) bank: BankId,
    /// What must be committed of the stream before; `None` if nothing is known of the bank.
    pub(crate) follows: Option<u64>,
    pub(crate) next: Cursor,
    pub(crate) incomplete: bool,
    /// With a birth that was accepted.
    pub(crate) introduced: Option<Introduced>,
    pub(crate) facts: Vec<FactRow>,
    pub(crate) entities: Vec<EntityRow>,
    pub(crate) effects: Vec<FactEffect>,
    pub(crate) codes: CodesWrite,
    /// Seals that do not hold, in words.
    pub(crate) alarms: Vec<String>,
    pub(crate) now: UnixMillis,
}

/// One record.
#[derive(Clone, Debug)]
pub(crate) struct FactRow {
    pub(crate) seq: u64,
    pub(crate) at: UnixMillis,
    /// 0 if it could not be read.
    pub(crate) kind: u16,
    pub(crate) bytes: Vec<u8>,
}

/// One entity of the bank's folded state; no bytes if it is gone.
#[derive(Clone, Debug)]
pub(crate) struct EntityRow {
    pub(crate) kind: EntityKind,
    pub(crate) key: Vec<u8>,
    pub(crate) bytes: Option<Vec<u8>>,
}

/// The kinds of entities. The numbers stand in stores: never changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum EntityKind {
    Meta = 1,
    Compartment = 2,
    Parcel = 3,
    Credential = 4,
    Session = 5,
    Governor = 6,
    Slot = 7,
    Budget = 8,
    CourierCodes = 9,
}

/// What a fact means outside the bank.
#[derive(Clone, Debug)]
pub(crate) struct FactEffect {
    pub(crate) seq: u64,
    /// The how-manieth effect of its fact, from 0.
    pub(crate) n: u32,
    /// By the bank's clock.
    pub(crate) at: UnixMillis,
    /// It did not happen before this, by the hub's clock: 0 if the bank did not know the time.
    pub(crate) earliest: UnixMillis,
    /// When a promise made by it begins: by the bank's clock if that can be trusted.
    pub(crate) promised_from: UnixMillis,
    pub(crate) compartment: Option<CompartmentNo>,
    pub(crate) what: Meaning,
}

#[derive(Clone, Debug)]
pub(crate) enum Meaning {
    Parcel {
        uid: ParcelId,
        step: ParcelStep,
        detail: String,
        /// Another parcel that has to do with it, which the event names.
        other: Option<ParcelId>,
    },
    /// The bank did not take a decision about a parcel over.
    Refused {
        uid: ParcelId,
        position: GrantPosition,
        reason: &'static str,
    },
    Bank {
        kind: EventKind,
        detail: String,
    },
}

/// Writes batches, oldest first. Each answers for itself whether it follows what is stored; those
/// that do not are left out.
pub(super) async fn write_batches(
    tx: &mut Tx,
    batches: &[&IngestWrite],
) -> Result<Vec<Result<(), WriteBatchError>>, WriteError> {
    if batches.is_empty() {
        return Ok(Vec::new());
    }
    let results = judge(tx, batches).await?;
    let good: Vec<&IngestWrite> = batches
        .iter()
        .zip(&results)
        .filter(|(_, result)| result.is_ok())
        .map(|(b, _)| *b)
        .collect();
    write_facts(tx, &good).await?;
    write_entities(tx, &good).await?;
    write_cursors(tx, &good).await?;
    standing::write_introductions(tx, &good).await?;
    write_codes(tx, &good).await?;
    write_effects(tx, &good).await?;
    Ok(results)
}

/// Holds each batch against the cursor that is stored, or that the batch before it will store.
async fn judge(
    tx: &Tx,
    batches: &[&IngestWrite],
) -> Result<Vec<Result<(), WriteBatchError>>, WriteError> {
    let mut stored: HashMap<String, u64> = HashMap::new();
    let mut banks: Vec<&str> = batches.iter().map(|batch| batch.bank.as_str()).collect();
    banks.sort_unstable();
    banks.dedup();
    for some in banks.chunks(LOOK_UP_MAX) {
        let rows = tx
            .query(
                look_up(tx, "SELECT bank, committed FROM cursors WHERE bank IN"),
                padded(some.iter().map(|&bank| bank.into()).collect()),
            )
            .await?;
        for row in rows {
            stored.insert(row.try_get_by("bank")?, uint(row.try_get_by("committed")?));
        }
    }
    let mut judge = |batch: &IngestWrite| {
        let bank = batch.bank.as_str();
        if stored.get(bank).copied() != batch.follows {
            return Err(WriteBatchError::CursorMoved);
        }
        stored.insert(bank.to_owned(), batch.next.committed);
        Ok(())
    };
    Ok(batches.iter().map(|batch| judge(batch)).collect())
}

async fn write_facts(tx: &mut Tx, batches: &[&IngestWrite]) -> Result<(), DbErr> {
    let count: usize = batches.iter().map(|batch| batch.facts.len()).sum();
    let (mut at, mut fact) = (0, 0);
    let mut bank: Arc<str> = Arc::default();
    let row = |bound: &mut Bound| {
        while fact == batches[at].facts.len() {
            (at, fact) = (at + 1, 0);
        }
        let batch = batches[at];
        if fact == 0 {
            bank = batch.bank.as_str().into();
        }
        let row = &batch.facts[fact];
        fact += 1;
        bound.text(&bank);
        bound.bytes(&batch.next.stream.0);
        bound.int(int(row.seq));
        bound.int(int(row.at.0));
        bound.small_int(i32::from(row.kind));
        bound.bytes(&row.bytes);
        bound.int(int(batch.now.0));
        Ok(())
    };
    tx.insert_rows(&FACTS, count, row).await
}

async fn write_entities(tx: &mut Tx, batches: &[&IngestWrite]) -> Result<(), DbErr> {
    let mut newest = BTreeMap::new();
    for batch in batches {
        for entity in &batch.entities {
            let key = (batch.bank.as_str(), entity.kind, entity.key.as_slice());
            newest.insert(key, entity.bytes.as_deref());
        }
    }
    let mut values = Vec::with_capacity(newest.len() * ENTITIES.columns.len());
    for ((bank, kind, key), entity) in newest {
        let place = [bank.into(), (kind as i32).into(), bytes(key)];
        if let Some(entity) = entity {
            values.extend(place);
            values.push(bytes(entity));
        } else {
            let sql = "DELETE FROM bank_entities WHERE bank = $1 AND kind = $2 AND key = $3";
            tx.execute("bank_entities", sql, place).await?;
        }
    }
    tx.insert(&ENTITIES, values).await
}

async fn write_cursors(tx: &mut Tx, batches: &[&IngestWrite]) -> Result<(), DbErr> {
    let newest: BTreeMap<&str, &IngestWrite> =
        batches.iter().map(|batch| (batch.bank.as_str(), *batch)).collect();
    let mut values = Vec::with_capacity(newest.len() * CURSORS.columns.len());
    for (bank, batch) in newest {
        values.extend([
            bank.into(),
            bytes(&batch.next.stream.0),
            int(batch.next.committed).into(),
            bytes(&batch.next.hash.0),
            batch.incomplete.into(),
            int(batch.now.0).into(),
        ]);
    }
    tx.insert(&CURSORS, values).await
}

/// Parcels, events and notices, in the order of the facts.
pub(super) async fn write_effects(tx: &mut Tx, batches: &[&IngestWrite]) -> Result<(), WriteError> {
    let (mut parcels, reminded) = load_parcels(tx, batches).await?;
    let mut changed: BTreeMap<ParcelId, ()> = BTreeMap::new();
    // Each once: a statement may not change a row that it has written.
    let mut notices: BTreeMap<(ParcelId, Version, &str), [Value; 5]> = BTreeMap::new();
    for batch in batches {
        for effect in &batch.effects {
            let (uid, step, detail, other) = match &effect.what {
                Meaning::Parcel { uid, step, detail, other } => (*uid, *step, detail, *other),
                Meaning::Bank { kind, detail } => {
                    let event = new_event(batch, effect, *kind, None, detail.clone());
                    tx.event(event);
                    continue;
                }
                &Meaning::Refused { uid, position, reason } => {
                    if let Some(parcel) = own(&mut parcels, uid, batch) {
                        changed.insert(uid, ());
                        if tx.decision_refused(&batch.bank, parcel, position).await? {
                            let (kind, detail) = (EventKind::ParcelNoticeFailed, reason.to_owned());
                            tx.event(new_event(batch, effect, kind, Some(parcel), detail));
                        }
                    }
                    continue;
                }
            };
            let detail = named(detail, other.and_then(|other| parcels.get(&other)));
            let Some(parcel) = own(&mut parcels, uid, batch) else { continue };
            let times = Times {
                at: effect.at,
                promised_from: effect.promised_from,
                retention_ms: tx.context.retention_ms,
                now: batch.now,
            };
            let Consequences { event, notice, tell, holds } =
                projection::apply(parcel, step, times);
            if let Some(version) = holds {
                tx.release_notices(uid, version, batch.now).await?;
            }
            let grant = tell.map(|tell| grant_of(parcel, tell));
            if let Some(kind) = event {
                tx.event(new_event(batch, effect, kind, Some(parcel), detail));
                if let Some(letter_at) = belied(&reminded, uid, kind, effect) {
                    tx.correct_reminder(uid, letter_at, batch.now).await?;
                }
            }
            if let Some(kind) = notice {
                let which = (uid, parcel.version, kind.as_str());
                notices.insert(which, notice_values(parcel, kind, Some(batch.now)));
            }
            if event.is_some() || grant.is_some() {
                changed.insert(uid, ());
            }
            if let Some(grant) = grant {
                tx.grant(&batch.bank, &grant, batch.now).await?;
            }
        }
    }
    let rows = changed.keys().filter_map(|uid| parcels.get(uid)).flat_map(convert::parcel_values);
    let rows: Vec<Value> = rows.collect();
    tx.insert(&PARCELS, rows).await?;
    tx.insert(&NOTICES, notices.into_values().flatten().collect()).await?;
    Ok(())
}

/// When a letter went out that said that the parcel is inside, if this event says that it had been
/// taken out by then, or may have been: a correction that is not needed does no harm.
fn belied(
    reminded: &BTreeMap<ParcelId, UnixMillis>,
    uid: ParcelId,
    kind: EventKind,
    effect: &FactEffect,
) -> Option<UnixMillis> {
    let taken_out = matches!(kind, EventKind::ParcelCollected | EventKind::ParcelRecalled);
    let letter_at = reminded.get(&uid).copied()?;
    (taken_out && effect.earliest <= letter_at).then_some(letter_at)
}

/// A bank speaks only for parcels that are its own.
fn own<'a>(
    parcels: &'a mut HashMap<ParcelId, ParcelRow>,
    uid: ParcelId,
    batch: &IngestWrite,
) -> Option<&'a mut ParcelRow> {
    let own = parcels.get_mut(&uid).filter(|parcel| parcel.bank.as_ref() == Some(&batch.bank));
    if own.is_none() {
        tracing::warn!(bank = %batch.bank, parcel = %uid, "fact about a parcel not booked here");
    }
    own
}

/// What the bank is told, as a new decision of the hub's about the parcel.
fn grant_of(row: &mut ParcelRow, tell: Tell) -> Grant {
    row.version = Version(row.version.0.saturating_add(1));
    let (parcel, version) = (row.uid, row.version);
    match tell {
        Tell::Cancel => Grant::Cancel { parcel, version },
        Tell::Recall(reason) => Grant::Recall { parcel, version, reason },
        Tell::Keep(until) => {
            row.terms.keep_until = Some(until);
            Grant::Keep { parcel, version, until }
        }
    }
}

/// The row of a notice, with when it is due; `None` if it waits for the bank.
pub(super) fn notice_values(
    parcel: &ParcelRow,
    kind: NoticeKind,
    due: Option<UnixMillis>,
) -> [Value; 5] {
    [
        bytes(&parcel.uid.0),
        kind.as_str().into(),
        i64::from(parcel.version.0).into(),
        due.map(|at| int(at.0)).into(),
        0_i32.into(),
    ]
}

/// The detail with the other parcel's name.
fn named(detail: &str, other: Option<&ParcelRow>) -> String {
    match other {
        Some(other) => format!("{detail}, see carriers/{}/parcels/{}", other.carrier, other.name),
        None => detail.to_owned(),
    }
}

fn new_event<'a>(
    batch: &'a IngestWrite,
    effect: &FactEffect,
    kind: EventKind,
    parcel: Option<&'a ParcelRow>,
    detail: String,
) -> NewEvent<'a> {
    NewEvent {
        // With the bank, so that one with another's stream cannot take another's events away.
        event_id: format!("{}:{}:{}:{}", batch.bank, batch.next.stream, effect.seq, effect.n),
        kind,
        bank: Some(&batch.bank),
        compartment: effect.compartment,
        parcel,
        detail,
        occurred_at: effect.at,
        recorded_at: batch.now,
    }
}

/// The parcels that effects are about, and when letters last said of them that they are inside.
async fn load_parcels(tx: &Tx, batches: &[&IngestWrite]) -> Result<Loaded, WriteError> {
    let effects = batches.iter().flat_map(|batch| &batch.effects);
    let uid = |effect: &FactEffect| match effect.what {
        Meaning::Parcel { uid, other, .. } => [Some(uid), other],
        Meaning::Refused { uid, .. } => [Some(uid), None],
        Meaning::Bank { .. } => [None, None],
    };
    let mut uids: Vec<ParcelId> = effects.flat_map(uid).flatten().collect();
    uids.sort_unstable();
    uids.dedup();
    let (mut parcels, mut reminded) = (HashMap::with_capacity(uids.len()), BTreeMap::new());
    for some in uids.chunks(LOOK_UP_MAX) {
        let ids = padded_ids(some);
        let rows = entity::parcels::Entity::find()
            .filter(entity::parcels::Column::Uid.is_in(ids))
            .all(tx.connection())
            .await?;
        for row in &rows {
            let parcel =
                convert::parcel(row).map_err(|error: ReadError| WriteError::from(error))?;
            reminded.extend(row.reminded_at.map(|at| (parcel.uid, UnixMillis(uint(at)))));
            parcels.insert(parcel.uid, parcel);
        }
    }
    Ok((parcels, reminded))
}

/// `{sql} (..)` with a place for each of a fixed number of values, so that it is prepared once.
pub(super) fn look_up(tx: &Tx, sql: &str) -> String {
    let backend = tx.connection().get_database_backend();
    let places: Vec<String> = (1..=LOOK_UP_MAX).map(|number| place(number, backend)).collect();
    format!("{sql} ({})", places.join(","))
}

/// Fills up with the last value, which changes nothing.
pub(super) fn padded(mut values: Vec<Value>) -> Vec<Value> {
    if let Some(last) = values.last().cloned() {
        values.resize(LOOK_UP_MAX, last);
    }
    values
}

fn padded_ids(uids: &[ParcelId]) -> Vec<Vec<u8>> {
    let mut ids: Vec<Vec<u8>> = uids.iter().map(|uid| uid.0.to_vec()).collect();
    if let Some(last) = ids.last().cloned() {
        ids.resize(LOOK_UP_MAX, last);
    }
    ids
}
