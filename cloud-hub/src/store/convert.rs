//! Between columns and the core's types.

use std::str::FromStr;

use locker_core::ids::{BankId, CompartmentNo, ParseIdError, Version};
use locker_core::parcel::{RecallReason, Terms};
use locker_core::units::{Dimensions, Grams, UnixMillis};
use sea_orm::Value;

use super::ReadError;
use super::entity;
use super::rows::{EventKind, EventParcel, EventRow, HubParcelState, ParcelRow};
use super::spelling::{parse_recall_reason, recall_reason};

/// A number as a column holds it. Positions and counts never come near the limit; a time beyond
/// it, which only a lying clock can bring, is the end of time.
pub(super) fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// What [`int`] wrote.
pub(super) fn uint(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// Names the column when it holds what this hub would not have written.
pub(super) const fn damaged(table: &'static str, column: &'static str) -> ReadError {
    ReadError::Damaged { table, column }
}

pub(super) fn id<'a, T>(
    table: &'static str,
    column: &'static str,
    bytes: &'a [u8],
) -> Result<T, ReadError>
where
    T: TryFrom<&'a [u8], Error = ParseIdError>,
{
    T::try_from(bytes).map_err(|_| damaged(table, column))
}

pub(super) fn text<T: FromStr>(
    table: &'static str,
    column: &'static str,
    text: &str,
) -> Result<T, ReadError> {
    text.parse().map_err(|_| damaged(table, column))
}

pub(super) fn maybe_text<T: FromStr>(
    table: &'static str,
    column: &'static str,
    value: Option<&str>,
) -> Result<Option<T>, ReadError> {
    value.map(|value| text(table, column, value)).transpose()
}

fn millimetres(value: i64) -> Result<u32, ReadError> {
    u32::try_from(value).map_err(|_| damaged("parcels", "length_mm"))
}

fn version(table: &'static str, value: i64) -> Result<Version, ReadError> {
    u32::try_from(value).map(Version).map_err(|_| damaged(table, "version"))
}

fn compartment(
    table: &'static str,
    value: Option<i32>,
) -> Result<Option<CompartmentNo>, ReadError> {
    let no = |value| u16::try_from(value).map(CompartmentNo);
    value.map(no).transpose().map_err(|_| damaged(table, "compartment"))
}

fn state(table: &'static str, name: &str) -> Result<HubParcelState, ReadError> {
    HubParcelState::parse(name).ok_or(damaged(table, "state"))
}

fn size(row: &entity::parcels::Model) -> Result<Dimensions, ReadError> {
    Ok(Dimensions {
        length_mm: millimetres(row.length_mm)?,
        width_mm: millimetres(row.width_mm)?,
        height_mm: millimetres(row.height_mm)?,
    })
}

fn weight(row: &entity::parcels::Model) -> Result<Grams, ReadError> {
    u32::try_from(row.weight_g).map(Grams).map_err(|_| damaged("parcels", "weight_g"))
}

fn recall(name: Option<&str>) -> Result<Option<RecallReason>, ReadError> {
    let read = |name| parse_recall_reason(name).ok_or(damaged("parcels", "recall"));
    name.map(read).transpose()
}

fn terms(row: &entity::parcels::Model) -> Result<Terms, ReadError> {
    let group = row.group_id.as_deref().map(|bytes| id("parcels", "group_id", bytes));
    Ok(Terms {
        hard: row.hard,
        book_until: row.book_until.map(uint).map(UnixMillis),
        keep_ms: row.keep_ms.map(uint),
        keep_until: row.keep_until.map(uint).map(UnixMillis),
        group: group.transpose()?,
        // Keyed with a bank's pepper, so it is made where the booking is sent.
        suffix: None,
    })
}

pub(super) fn parcel(row: &entity::parcels::Model) -> Result<ParcelRow, ReadError> {
    const TABLE: &str = "parcels";
    let credential = row.credential.as_deref();
    Ok(ParcelRow {
        uid: id(TABLE, "uid", &row.uid)?,
        carrier: text(TABLE, "carrier", &row.carrier)?,
        name: row.name.clone(),
        barcode: text(TABLE, "barcode", &row.barcode)?,
        size: size(row)?,
        weight: weight(row)?,
        email: text(TABLE, "email", &row.email)?,
        display_name: text(TABLE, "display_name", &row.display_name)?,
        phone: maybe_text(TABLE, "phone", row.phone.as_deref())?,
        state: state(TABLE, &row.state)?,
        recall: recall(row.recall.as_deref())?,
        terms: terms(row)?,
        bank: maybe_text(TABLE, "bank", row.bank.as_deref())?,
        compartment: compartment(TABLE, row.compartment)?,
        version: version(TABLE, row.version)?,
        credential: credential.map(|bytes| id(TABLE, "credential", bytes)).transpose()?,
        trace: maybe_text(TABLE, "trace", row.trace.as_deref())?,
        created_at: UnixMillis(uint(row.created_at)),
        updated_at: UnixMillis(uint(row.updated_at)),
        expires_at: row.expires_at.map(uint).map(UnixMillis),
    })
}

/// The columns of table `parcels`, in the order of [`parcel_values`].
pub(super) const PARCEL_COLUMNS: &[&str] = &[
    "uid",
    "carrier",
    "name",
    "barcode",
    "length_mm",
    "width_mm",
    "height_mm",
    "weight_g",
    "email",
    "display_name",
    "state",
    "bank",
    "compartment",
    "version",
    "credential",
    "trace",
    "created_at",
    "updated_at",
    "expires_at",
    "phone",
    "recall",
    "hard",
    "book_until",
    "keep_ms",
    "keep_until",
    "group_id",
];

pub(super) fn parcel_values(row: &ParcelRow) -> [Value; 26] {
    [
        bytes(&row.uid.0),
        row.carrier.as_str().into(),
        row.name.as_str().into(),
        row.barcode.as_str().into(),
        i64::from(row.size.length_mm).into(),
        i64::from(row.size.width_mm).into(),
        i64::from(row.size.height_mm).into(),
        i64::from(row.weight.0).into(),
        row.email.as_str().into(),
        row.display_name.as_str().into(),
        row.state.as_str().into(),
        row.bank.as_ref().map(BankId::as_str).map(str::to_owned).into(),
        row.compartment.map(|no| i32::from(no.0)).into(),
        i64::from(row.version.0).into(),
        row.credential.map(|id| id.0.to_vec()).into(),
        row.trace.as_ref().map(|trace| trace.as_str().to_owned()).into(),
        int(row.created_at.0).into(),
        int(row.updated_at.0).into(),
        row.expires_at.map(|at| int(at.0)).into(),
        row.phone.as_ref().map(|phone| phone.as_str().to_owned()).into(),
        row.recall.map(|reason| recall_reason(reason).to_owned()).into(),
        row.terms.hard.into(),
        row.terms.book_until.map(|at| int(at.0)).into(),
        row.terms.keep_ms.map(int).into(),
        row.terms.keep_until.map(|at| int(at.0)).into(),
        row.terms.group.map(|group| group.0.to_vec()).into(),
    ]
}

/// `parcel` is the row of the event's parcel: what never changes stands only there.
pub(super) fn event(
    row: &entity::events::Model,
    parcel: Option<&entity::parcels::Model>,
) -> Result<EventRow, ReadError> {
    const TABLE: &str = "events";
    Ok(EventRow {
        position: uint(row.position),
        event_id: row.event_id.clone(),
        kind: EventKind::parse(&row.kind).ok_or(damaged(TABLE, "kind"))?,
        bank: maybe_text(TABLE, "bank", row.bank.as_deref())?,
        parcel: parcel.map(|parcel| snapshot(row, parcel)).transpose()?,
        compartment: compartment(TABLE, row.compartment)?,
        detail: row.detail.clone(),
        occurred_at: UnixMillis(uint(row.occurred_at)),
        recorded_at: UnixMillis(uint(row.recorded_at)),
    })
}

fn snapshot(
    row: &entity::events::Model,
    parcel: &entity::parcels::Model,
) -> Result<EventParcel, ReadError> {
    const TABLE: &str = "events";
    Ok(EventParcel {
        uid: id("parcels", "uid", &parcel.uid)?,
        carrier: text("parcels", "carrier", &parcel.carrier)?,
        name: parcel.name.clone(),
        barcode: text("parcels", "barcode", &parcel.barcode)?,
        size: size(parcel)?,
        weight: weight(parcel)?,
        state: state(TABLE, row.parcel_state.as_deref().unwrap_or_default())?,
        bank: maybe_text(TABLE, "parcel_bank", row.parcel_bank.as_deref())?,
        compartment: compartment(TABLE, row.parcel_compartment)?,
        version: version(TABLE, row.parcel_version.unwrap_or_default())?,
        created_at: UnixMillis(uint(parcel.created_at)),
        updated_at: UnixMillis(uint(row.recorded_at)),
        expires_at: row.parcel_expires_at.map(uint).map(UnixMillis),
    })
}

pub(super) fn bytes(value: &[u8]) -> Value {
    Value::Bytes(Some(value.to_vec()))
}
