//! Reads, for readers' connections and for decisions inside a transaction alike.

use std::collections::HashMap;

use locker_core::code::keypad_code::CourierCodes;
use locker_core::compartment::{Compartment, Layout};
use locker_core::downlink::{Grant, GrantPosition, Mode, Quota};
use locker_core::ids::{BankId, CarrierId, Generation, GroupId, HubEpoch, ParcelId, StreamId};
use locker_core::journal::{BATCH_MAX_BYTES, ChainHash, Change, MemoryView, Meta};
use locker_core::parcel::Parcel;
use locker_core::units::UnixMillis;
use locker_core::uplink::inlet::Cursor;
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, Order, QueryFilter, QueryOrder,
    QuerySelect,
};

use super::ReadError;
use super::alarm_rows::Party;
use super::convert::{self, damaged, id, int, text, uint};
use super::entity::{bank_entities, banks, configs, cursors, events, grants, meta, parcels};
use super::ingest_write::EntityKind;
use super::rows::{BankRow, EventRow, HubParcelState, ParcelRow, StopReason};
use super::standing::{self, Standing};
use super::{courier_codes, device_keys, grant_log};
use crate::tls::DeviceKey;

pub(super) use super::codes::code_of;

/// Most bytes of grants in one message: as many as of records, so that with the envelope it stays
/// below what an agent takes ([`locker_proto::message::MESSAGE_MAX_BYTES`]).
const GRANTS_MAX_BYTES: usize = BATCH_MAX_BYTES;

/// The name of layouts in table `configs`.
pub(super) const LAYOUT: &str = "LAYOUT";
/// The name of modes there.
pub(super) const MODE: &str = "MODE";
/// The name of quotas there.
pub(super) const QUOTA: &str = "QUOTA";
/// The name of couriers' codes there: only the newest is kept.
pub(super) const COURIER_CODES: &str = "COURIER_CODES";

pub(super) async fn meta_value(
    db: &impl ConnectionTrait,
    name: &str,
) -> Result<Option<u64>, ReadError> {
    let row = meta::Entity::find_by_id(name).one(db).await?;
    Ok(row.map(|row| uint(row.value)))
}

pub(super) async fn last_event(db: &impl ConnectionTrait) -> Result<u64, ReadError> {
    let newest = events::Entity::find().order_by(events::Column::Position, Order::Desc).limit(1);
    Ok(newest.one(db).await?.map_or(0, |row| uint(row.position)))
}

pub(super) async fn events_where(
    db: &impl ConnectionTrait,
    condition: Condition,
    limit: Option<u64>,
) -> Result<Vec<EventRow>, ReadError> {
    let rows = events::Entity::find()
        .filter(condition)
        .order_by(events::Column::Position, Order::Asc)
        .limit(limit)
        .all(db)
        .await?;
    let mut uids: Vec<Vec<u8>> = rows.iter().filter_map(|row| row.parcel.clone()).collect();
    uids.sort_unstable();
    uids.dedup();
    let mut known = HashMap::with_capacity(uids.len());
    for some in uids.chunks(500) {
        let filter = parcels::Column::Uid.is_in(some.iter().cloned());
        let rows = parcels::Entity::find().filter(filter).all(db).await?;
        known.extend(rows.into_iter().map(|row| (row.uid.clone(), row)));
    }
    let read = |row: &events::Model| {
        let parcel = row.parcel.as_ref().and_then(|uid| known.get(uid));
        convert::event(row, parcel)
    };
    rows.iter().map(read).collect()
}

pub(super) async fn parcel(
    db: &impl ConnectionTrait,
    carrier: &CarrierId,
    name: &str,
) -> Result<Option<ParcelRow>, ReadError> {
    let row = parcels::Entity::find()
        .filter(parcels::Column::Carrier.eq(carrier.as_str()))
        .filter(parcels::Column::Name.eq(name))
        .one(db)
        .await?;
    row.as_ref().map(convert::parcel).transpose()
}

pub(super) async fn parcel_by_uid(
    db: &impl ConnectionTrait,
    uid: ParcelId,
) -> Result<Option<ParcelRow>, ReadError> {
    let row = parcels::Entity::find_by_id(uid.0.to_vec()).one(db).await?;
    row.as_ref().map(convert::parcel).transpose()
}

/// States of parcels that a bank is to expect.
const EXPECTED: [HubParcelState; 2] = [HubParcelState::Booked, HubParcelState::BookingPending];
/// States of parcels that one code can open together with another.
const GROUPED: [HubParcelState; 5] = [
    HubParcelState::Booked,
    HubParcelState::BookingPending,
    HubParcelState::Depositing,
    HubParcelState::Stored,
    HubParcelState::Collecting,
];

pub(super) async fn group_at(
    db: &impl ConnectionTrait,
    bank: &BankId,
    parcel: &ParcelRow,
) -> Result<Option<GroupId>, ReadError> {
    let row = parcels::Entity::find()
        .filter(parcels::Column::Bank.eq(bank.as_str()))
        .filter(parcels::Column::State.is_in(GROUPED.map(HubParcelState::as_str)))
        .filter(parcels::Column::Carrier.eq(parcel.carrier.as_str()))
        .filter(parcels::Column::Email.eq(parcel.email.as_str()))
        .filter(parcels::Column::GroupId.is_not_null())
        .limit(1)
        .one(db)
        .await?;
    let group = row.and_then(|row| row.group_id);
    group.map(|bytes| id("parcels", "group_id", &bytes)).transpose()
}

pub(super) async fn booked_at(
    db: &impl ConnectionTrait,
    bank: &BankId,
) -> Result<Vec<ParcelRow>, ReadError> {
    let rows = parcels::Entity::find()
        .filter(parcels::Column::Bank.eq(bank.as_str()))
        .filter(parcels::Column::State.is_in(EXPECTED.map(HubParcelState::as_str)))
        .all(db)
        .await?;
    rows.iter().map(convert::parcel).collect()
}

pub(super) async fn bank(
    db: &impl ConnectionTrait,
    bank: &BankId,
) -> Result<Option<BankRow>, ReadError> {
    match banks::Entity::find_by_id(bank.as_str()).one(db).await? {
        Some(row) => bank_row(db, row).await.map(Some),
        None => Ok(None),
    }
}

pub(super) async fn banks(
    db: &impl ConnectionTrait,
    after: Option<&BankId>,
    limit: u32,
) -> Result<Vec<BankRow>, ReadError> {
    let mut query =
        banks::Entity::find().order_by(banks::Column::Id, Order::Asc).limit(u64::from(limit));
    if let Some(after) = after {
        query = query.filter(banks::Column::Id.gt(after.as_str()));
    }
    let mut all = Vec::new();
    for row in query.all(db).await? {
        all.push(bank_row(db, row).await?);
    }
    Ok(all)
}

async fn bank_row(db: &impl ConnectionTrait, row: banks::Model) -> Result<BankRow, ReadError> {
    let bank: BankId = text("banks", "id", &row.id)?;
    let cursor = cursors::Entity::find_by_id(bank.as_str()).one(db).await?;
    let meta = folded_meta(db, &bank).await?;
    let stopped = row.stopped_reason.as_deref();
    let stopped =
        stopped.map(|name| StopReason::parse(name).ok_or(damaged("banks", "stopped_reason")));
    let stream = cursor.as_ref().map(|row| id("cursors", "stream", &row.stream));
    Ok(BankRow {
        layout: layout(db, &bank, Generation(uint(row.layout_generation))).await?,
        mode: mode(db, &bank).await?,
        quota: quota(db, &bank).await?,
        keypad: courier_codes::keypad(db, &row).await?,
        id: bank,
        display_name: row.display_name,
        address: row.address,
        time_zone: text("banks", "time_zone", &row.time_zone)?,
        layout_held: meta.layout,
        keys_held: meta.keys,
        mode_held: meta.mode,
        quota_held: meta.quota,
        lockdown: meta.lockdown,
        stream: stream.transpose()?,
        committed_seq: cursor.as_ref().map_or(0, |row| uint(row.committed)),
        stopped_reason: stopped.transpose()?,
        incomplete: cursor.as_ref().is_some_and(|row| row.incomplete),
        last_seen: cursor.as_ref().map(|row| UnixMillis(uint(row.seen_at))),
        created_at: UnixMillis(uint(row.created_at)),
    })
}

pub(super) async fn layout(
    db: &impl ConnectionTrait,
    bank: &BankId,
    generation: Generation,
) -> Result<Layout, ReadError> {
    let place = (bank.as_str().to_owned(), LAYOUT.to_owned(), int(generation.0));
    let row = configs::Entity::find_by_id(place).one(db).await?;
    let row = row.ok_or(damaged("banks", "layout_generation"))?;
    locker_proto::decode_layout(&row.bytes).map_err(|_| damaged("configs", "bytes"))
}

/// The newest mode issued to a bank; the default before the first.
async fn mode(db: &impl ConnectionTrait, bank: &BankId) -> Result<Mode, ReadError> {
    match newest_config(db, bank, MODE).await? {
        Some(bytes) => locker_proto::decode_mode(&bytes).map_err(|_| damaged("configs", "bytes")),
        None => Ok(Mode::default()),
    }
}

/// The newest quota issued to a bank; the default before the first.
async fn quota(db: &impl ConnectionTrait, bank: &BankId) -> Result<Quota, ReadError> {
    match newest_config(db, bank, QUOTA).await? {
        Some(bytes) => locker_proto::decode_quota(&bytes).map_err(|_| damaged("configs", "bytes")),
        None => Ok(Quota::default()),
    }
}

pub(super) async fn newest_config(
    db: &impl ConnectionTrait,
    bank: &BankId,
    kind: &str,
) -> Result<Option<Vec<u8>>, ReadError> {
    let row = configs::Entity::find()
        .filter(configs::Column::Bank.eq(bank.as_str()))
        .filter(configs::Column::Kind.eq(kind))
        .order_by(configs::Column::Generation, Order::Desc)
        .limit(1)
        .one(db)
        .await?;
    Ok(row.map(|row| row.bytes))
}

/// Parcels as a bank's records add up to them.
pub(super) async fn held_parcels(
    db: &impl ConnectionTrait,
    bank: &BankId,
) -> Result<Vec<Parcel>, ReadError> {
    let rows = bank_entities::Entity::find()
        .filter(bank_entities::Column::Bank.eq(bank.as_str()))
        .filter(bank_entities::Column::Kind.eq(EntityKind::Parcel as i32))
        .all(db)
        .await?;
    let read = |row: &bank_entities::Model| locker_proto::entity::decode_parcel(&row.bytes);
    let parcels = rows.iter().map(read).collect::<Result<_, _>>();
    parcels.map_err(|_| damaged("bank_entities", "bytes"))
}

async fn folded_meta(db: &impl ConnectionTrait, bank: &BankId) -> Result<Meta, ReadError> {
    let rows = entities(db, bank, Some(EntityKind::Meta)).await?;
    let meta = rows.into_iter().find_map(|change| match change {
        Change::Meta(meta) => Some(meta),
        Change::Compartment(_)
        | Change::CompartmentRemoved(_)
        | Change::Parcel(_)
        | Change::ParcelForgotten(_)
        | Change::Credential(_)
        | Change::Session(_)
        | Change::Governor(_)
        | Change::Slot(_)
        | Change::SlotForgotten(_)
        | Change::Budget(_)
        | Change::CourierCodes(_) => None,
    });
    Ok(meta.unwrap_or_default())
}

pub(super) async fn compartments(
    db: &impl ConnectionTrait,
    bank: &BankId,
) -> Result<Vec<Compartment>, ReadError> {
    let rows = entities(db, bank, Some(EntityKind::Compartment)).await?;
    let compartment = |change| match change {
        Change::Compartment(held) => Some(held),
        Change::Meta(_)
        | Change::CompartmentRemoved(_)
        | Change::Parcel(_)
        | Change::ParcelForgotten(_)
        | Change::Credential(_)
        | Change::Session(_)
        | Change::Governor(_)
        | Change::Slot(_)
        | Change::SlotForgotten(_)
        | Change::Budget(_)
        | Change::CourierCodes(_) => None,
    };
    Ok(rows.into_iter().filter_map(compartment).collect())
}

/// A bank's folded state, all of it or one kind, each kind by its key.
async fn entities(
    db: &impl ConnectionTrait,
    bank: &BankId,
    kind: Option<EntityKind>,
) -> Result<Vec<Change>, ReadError> {
    let mut query = bank_entities::Entity::find()
        .filter(bank_entities::Column::Bank.eq(bank.as_str()))
        .order_by(bank_entities::Column::Kind, Order::Asc)
        .order_by(bank_entities::Column::Key, Order::Asc);
    if let Some(kind) = kind {
        query = query.filter(bank_entities::Column::Kind.eq(kind as i32));
    }
    query.all(db).await?.iter().map(read_entity).collect()
}

fn read_entity(row: &bank_entities::Model) -> Result<Change, ReadError> {
    use locker_proto::entity::{
        decode_budget, decode_compartment, decode_credential, decode_governor, decode_meta,
        decode_parcel, decode_session, decode_slot,
    };
    let bytes = &row.bytes;
    let change = match row.kind {
        kind if kind == EntityKind::Meta as i32 => decode_meta(bytes).map(Change::Meta),
        kind if kind == EntityKind::Compartment as i32 => {
            decode_compartment(bytes).map(Change::Compartment)
        }
        kind if kind == EntityKind::Parcel as i32 => decode_parcel(bytes).map(Change::Parcel),
        kind if kind == EntityKind::Credential as i32 => {
            decode_credential(bytes).map(Change::Credential)
        }
        kind if kind == EntityKind::Session as i32 => decode_session(bytes).map(Change::Session),
        kind if kind == EntityKind::Governor as i32 => decode_governor(bytes).map(Change::Governor),
        kind if kind == EntityKind::Slot as i32 => decode_slot(bytes).map(Change::Slot),
        kind if kind == EntityKind::Budget as i32 => decode_budget(bytes).map(Change::Budget),
        kind if kind == EntityKind::CourierCodes as i32 => {
            locker_proto::decode_courier_codes(bytes).map(Change::CourierCodes)
        }
        _ => return Err(damaged("bank_entities", "kind")),
    };
    change.map_err(|_| damaged("bank_entities", "bytes"))
}

/// What ingest starts a bank with.
#[derive(Debug)]
pub(crate) struct LoadedBank {
    pub(crate) cursor: Option<Cursor>,
    pub(crate) view: MemoryView,
    pub(crate) standing: Standing,
    /// How it introduced itself when it was last accepted.
    pub(crate) last: Option<Party>,
    pub(crate) closed: Vec<StreamId>,
    /// Those that its sessions have proved.
    pub(crate) device_keys: Vec<DeviceKey>,
    /// By which version of the rules `view` was folded.
    pub(crate) folded_by: u32,
    pub(crate) incomplete: bool,
}

pub(super) async fn load_bank(
    db: &impl ConnectionTrait,
    bank: &BankId,
) -> Result<Option<LoadedBank>, ReadError> {
    let Some(row) = banks::Entity::find_by_id(bank.as_str()).one(db).await? else {
        return Ok(None);
    };
    let stored = cursors::Entity::find_by_id(bank.as_str()).one(db).await?;
    let incomplete = stored.as_ref().is_some_and(|row| row.incomplete);
    let cursor = stored.map(|row| {
        let hash = <[u8; 32]>::try_from(row.hash).map_err(|_| damaged("cursors", "hash"))?;
        Ok::<_, ReadError>(Cursor {
            stream: id("cursors", "stream", &row.stream)?,
            committed: uint(row.committed),
            hash: ChainHash(hash),
        })
    });
    let mut view = MemoryView::default();
    view.apply(entities(db, bank, None).await?);
    let last = standing::last_introduction(db, bank).await?;
    let some_closed = row.streams_closed > 0;
    let closed =
        if some_closed { standing::closed_streams_of(db, bank).await? } else { Vec::new() };
    let (cursor, standing) = (cursor.transpose()?, standing::of_row(&row)?);
    let device_keys = device_keys::of_bank(db, bank).await?;
    let folded_by = u32::try_from(row.folded_by).unwrap_or_default();
    Ok(Some(LoadedBank {
        cursor,
        view,
        standing,
        last,
        closed,
        device_keys,
        folded_by,
        incomplete,
    }))
}

/// What a bank is to be told.
#[derive(Debug)]
pub(crate) struct Downlink {
    pub(crate) layout: Layout,
    pub(crate) mode: Mode,
    pub(crate) quota: Quota,
    pub(crate) courier_codes: CourierCodes,
    /// Without a gap, from what the bank holds of its log; as many as one message takes.
    pub(crate) grants: Vec<Grant>,
    /// There may be more behind them.
    pub(crate) more: bool,
    pub(crate) first: GrantPosition,
    /// The end of the bank's log.
    pub(crate) last: GrantPosition,
    /// Where the log before it ended, if the store was restored and this one waits to begin.
    pub(crate) ended: Option<GrantPosition>,
    /// By which keys the hub makes the bank's six-digit codes.
    pub(crate) codes_generation: Generation,
    pub(crate) standing: Standing,
}

pub(super) async fn downlink(
    db: &impl ConnectionTrait,
    bank: &BankId,
    held: GrantPosition,
    limit: usize,
) -> Result<Option<Downlink>, ReadError> {
    let Some(row) = banks::Entity::find_by_id(bank.as_str()).one(db).await? else {
        return Ok(None);
    };
    // Of other logs it is sent nothing, whatever it holds of them.
    let last = GrantPosition { epoch: HubEpoch(uint(row.grants_epoch)), gseq: uint(row.gseq) };
    let heard = if held.epoch == last.epoch { held.gseq } else { 0 };
    let rows = grants::Entity::find()
        .filter(grants::Column::Bank.eq(bank.as_str()))
        .filter(grants::Column::Epoch.eq(int(last.epoch.0)))
        .filter(grants::Column::Gseq.gt(int(heard)))
        .order_by(grants::Column::Gseq, Order::Asc)
        .limit(u64::try_from(limit).unwrap_or(u64::MAX))
        .all(db)
        .await?;
    if rows.first().is_some_and(|row| uint(row.gseq) > heard.saturating_add(1)) {
        return Err(damaged("grants", "gseq"));
    }
    let decode = |row: &grants::Model| {
        locker_proto::decode_grant(&row.bytes).map_err(|_| damaged("grants", "bytes"))
    };
    let taken = fitting(rows.iter().map(|row| row.bytes.len()));
    let grants = rows.iter().take(taken).map(decode).collect::<Result<_, _>>()?;
    Ok(Some(Downlink {
        layout: layout(db, bank, Generation(uint(row.layout_generation))).await?,
        mode: mode(db, bank).await?,
        quota: quota(db, bank).await?,
        courier_codes: courier_codes::document(db, &row).await?,
        first: GrantPosition { epoch: last.epoch, gseq: heard.saturating_add(1) },
        last,
        ended: grant_log::ended(&row),
        codes_generation: Generation(uint(row.codes_generation)),
        standing: standing::of_row(&row)?,
        more: taken < rows.len() || rows.len() == limit,
        grants,
    }))
}

/// How many of the first grants, of so many bytes each, one message takes: at least one, so that a
/// bank is never stuck.
fn fitting(sizes: impl Iterator<Item = usize>) -> usize {
    let mut total = 0_usize;
    let fits = |size: &usize| {
        total = total.saturating_add(*size);
        total <= GRANTS_MAX_BYTES
    };
    sizes.take_while(fits).count().max(1)
}
