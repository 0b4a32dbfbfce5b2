//! Rows of the store as messages.

use aws_lc_rs::digest;
use locker_core::compartment::{
    Allocation, Compartment, CompartmentSpec, Content, Door, Evidence, Health, Layout,
};
use locker_core::ids::{BankId, CompartmentNo, ParcelId};
use locker_core::units::{Dimensions, UnixMillis};
use locker_proto::wire::carrier::v1 as carrier;
use locker_proto::wire::carrier::v1::parcel::State;
use locker_proto::wire::fleet::v1 as fleet;
use prost_types::Timestamp;
use uuid::Uuid;

use super::names;
use crate::site_zone::SiteZone;
use crate::store::{
    BankRow, EventParcel, EventRow, HubParcelState, ParcelRow, lockdown_reason, quarantine_reason,
};

/// A parcel as its carrier sees it. The recipient is never returned.
pub(super) fn parcel(row: ParcelRow) -> carrier::Parcel {
    event_parcel(EventParcel {
        uid: row.uid,
        carrier: row.carrier,
        name: row.name,
        barcode: row.barcode,
        size: row.size,
        weight: row.weight,
        state: row.state,
        bank: row.bank,
        compartment: row.compartment,
        version: row.version,
        created_at: row.created_at,
        updated_at: row.updated_at,
        expires_at: row.expires_at,
    })
}

/// A parcel as its carrier sees it, as it was after an event.
pub(super) fn event_parcel(row: EventParcel) -> carrier::Parcel {
    carrier::Parcel {
        name: names::of_parcel(&row.carrier, &row.name),
        uid: uid(row.uid),
        barcode: row.barcode.as_str().to_owned(),
        dimensions: Some(carrier::Dimensions {
            length_mm: row.size.length_mm,
            width_mm: row.size.width_mm,
            height_mm: row.size.height_mm,
        }),
        weight_g: row.weight.0,
        recipient: None,
        state: state(row.state).into(),
        etag: etag(&row),
        bank: bank_name(row.bank.as_ref()),
        compartment: number(row.compartment),
        create_time: Some(timestamp(row.created_at)),
        update_time: Some(timestamp(row.updated_at)),
        expire_time: row.expires_at.map(timestamp),
    }
}

/// An event as a carrier's watch tells it; `None` if it is about no parcel.
pub(super) fn parcel_event(row: EventRow) -> Option<carrier::ParcelEvent> {
    Some(carrier::ParcelEvent {
        event_id: row.event_id,
        parcel: row.parcel.map(event_parcel)?.into(),
        occur_time: Some(timestamp(row.occurred_at)),
        record_time: Some(timestamp(row.recorded_at)),
        kind: row.kind.as_str().to_owned(),
    })
}

/// An event as operators see it.
pub(super) fn event(row: EventRow) -> fleet::Event {
    let parcel = row.parcel.as_ref();
    fleet::Event {
        event_id: row.event_id,
        kind: row.kind.as_str().to_owned(),
        bank: bank_name(row.bank.as_ref()),
        parcel: parcel.map(|row| names::of_parcel(&row.carrier, &row.name)).unwrap_or_default(),
        compartment: number(row.compartment),
        detail: row.detail,
        occur_time: Some(timestamp(row.occurred_at)),
        record_time: Some(timestamp(row.recorded_at)),
    }
}

/// A parcel as operators see it; `zone` is that of its bank.
pub(super) fn found_parcel(
    row: &ParcelRow,
    zone: Option<SiteZone>,
    events: Vec<EventRow>,
) -> fleet::FindParcelResponse {
    fleet::FindParcelResponse {
        name: names::of_parcel(&row.carrier, &row.name),
        uid: uid(row.uid),
        barcode: row.barcode.as_str().to_owned(),
        state: row.state.as_str().to_owned(),
        bank: bank_name(row.bank.as_ref()),
        compartment: number(row.compartment),
        events: events.into_iter().map(event).collect(),
        expire_time: row.expires_at.map(timestamp),
        time_zone: zone.map(|zone| zone.to_string()).unwrap_or_default(),
    }
}

/// A bank, without its compartments.
pub(super) fn bank(row: BankRow, connected: bool) -> fleet::Bank {
    fleet::Bank {
        name: names::of_bank(&row.id),
        display_name: row.display_name,
        address: row.address,
        time_zone: row.time_zone.to_string(),
        layout: Some(layout(&row.layout)),
        layout_held: row.layout_held.0,
        key_set_held: row.keys_held.generation.0,
        connected,
        last_seen_time: row.last_seen.map(timestamp),
        committed_seq: row.committed_seq,
        stopped_reason: row
            .stopped_reason
            .map(|reason| reason.as_str().to_owned())
            .unwrap_or_default(),
        compartments: Vec::new(),
        maintenance: row.mode.maintenance,
        maintenance_held: row.mode_held.maintenance,
        quota_held: row.quota_held.generation == row.quota.generation,
        quota: row.quota.ceded.iter().map(ceded).collect(),
        keypad_couriers: row.keypad.carriers.iter().map(names::of_carrier).collect(),
        keypad_codes_held: row.keypad.held == row.keypad.issued,
        lockdown_reason: row
            .lockdown
            .map(|lockdown| lockdown_reason(lockdown.reason).to_owned())
            .unwrap_or_default(),
    }
}

fn ceded(&(size, count): &(Dimensions, u16)) -> fleet::CededSize {
    let Dimensions { length_mm, width_mm, height_mm } = size;
    fleet::CededSize { length_mm, width_mm, height_mm, count: count.into() }
}

/// A compartment as it is; `parcel` is the name of the one inside or concerned.
pub(super) fn compartment(row: &Compartment, parcel: String) -> fleet::Compartment {
    let (allocation, reason) = match row.allocation {
        Allocation::Free => ("FREE", ""),
        Allocation::Reserved { .. } => ("RESERVED", ""),
        Allocation::Recalling { .. } => ("RECALLING", ""),
        Allocation::Depositing { .. } => ("DEPOSITING", ""),
        Allocation::Occupied { .. } => ("OCCUPIED", ""),
        Allocation::Collecting { .. } => ("COLLECTING", ""),
        Allocation::Quarantined { reason, .. } => ("QUARANTINED", quarantine_reason(reason)),
    };
    fleet::Compartment {
        number: row.spec.no.0.into(),
        allocation: allocation.to_owned(),
        quarantine_reason: reason.to_owned(),
        door: door(row.door).to_owned(),
        content: match row.content {
            Content::Unknown => "UNKNOWN".to_owned(),
            Content::Empty(on) => format!("EMPTY ({})", evidence(on)),
            Content::Full(on) => format!("FULL ({})", evidence(on)),
        },
        health: health(row.health).to_owned(),
        parcel,
    }
}

fn layout(row: &Layout) -> fleet::Layout {
    fleet::Layout {
        generation: row.generation.0,
        compartments: row.compartments.iter().map(spec).collect(),
    }
}

fn spec(spec: &CompartmentSpec) -> fleet::CompartmentSpec {
    let Dimensions { length_mm, width_mm, height_mm } = spec.inside;
    fleet::CompartmentSpec {
        number: spec.no.0.into(),
        length_mm,
        width_mm,
        height_mm,
        board: spec.lock.board.into(),
        lock: spec.lock.lock.into(),
    }
}

pub(super) fn timestamp(at: UnixMillis) -> Timestamp {
    let seconds = i64::try_from(at.0 / 1_000).unwrap_or(i64::MAX);
    let millis = i32::try_from(at.0 % 1_000).unwrap_or(0);
    Timestamp { seconds, nanos: millis * 1_000_000 }
}

fn uid(id: ParcelId) -> String {
    Uuid::from_bytes(id.0).to_string()
}

fn bank_name(bank: Option<&BankId>) -> String {
    bank.map(names::of_bank).unwrap_or_default()
}

fn number(compartment: Option<CompartmentNo>) -> u32 {
    compartment.map_or(0, |no| no.0.into())
}

/// Quoted, as RFC 9110, section 8.8.3 writes it (AIP-154).
fn etag(row: &EventParcel) -> String {
    let seen = format!(
        "{}/{}/{:?}/{:?}/{:?}/{}",
        row.uid,
        row.state.as_str(),
        row.bank,
        row.compartment,
        row.expires_at,
        row.version.0,
    );
    let digest = digest::digest(&digest::SHA256, seen.as_bytes());
    let short: String = digest.as_ref()[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("\"{short}\"")
}

const fn state(state: HubParcelState) -> State {
    match state {
        HubParcelState::Announced => State::Announced,
        HubParcelState::Booked => State::Booked,
        HubParcelState::Depositing => State::Depositing,
        HubParcelState::Stored => State::Stored,
        HubParcelState::Collecting => State::Collecting,
        HubParcelState::Collected => State::Collected,
        HubParcelState::Cancelled => State::Cancelled,
        HubParcelState::Unresolved => State::Unresolved,
        HubParcelState::RecallRequested => State::RecallRequested,
        HubParcelState::BookingPending => State::BookingPending,
        HubParcelState::BookingExpired => State::BookingExpired,
        HubParcelState::Expired => State::Expired,
        HubParcelState::Recalling => State::Recalling,
        HubParcelState::Recalled => State::Recalled,
        HubParcelState::Disputed => State::Disputed,
        HubParcelState::Missing => State::Missing,
    }
}

const fn door(door: Door) -> &'static str {
    match door {
        Door::Unknown => "UNKNOWN",
        Door::Closed => "CLOSED",
        Door::Open => "OPEN",
        Door::ForcedOpen => "FORCED_OPEN",
    }
}

const fn evidence(evidence: Evidence) -> &'static str {
    match evidence {
        Evidence::DoorCycle => "DOOR_CYCLE",
        Evidence::Attested => "ATTESTED",
        Evidence::Inspected => "INSPECTED",
    }
}

const fn health(health: Health) -> &'static str {
    match health {
        Health::Ok => "OK",
        Health::OpenFailed => "OPEN_FAILED",
        Health::Unreachable => "UNREACHABLE",
        Health::Stopped => "STOPPED",
    }
}

#[cfg(test)]
mod tests {
    use crate::store::EventKind;

    const CARRIER: &str = include_str!("../../../proto/locker/carrier/v1/parcel_service.proto");
    const FLEET: &str = include_str!("../../../proto/locker/fleet/v1/fleet_service.proto");

    /// Whether `name` stands somewhere as a whole word.
    fn names(text: &str, name: &str) -> bool {
        let inner = |c: char| c.is_ascii_uppercase() || c == '_';
        text.split(|c| !inner(c)).any(|word| word == name)
    }

    #[test]
    fn the_protocol_names_every_kind_of_event_where_it_is_told() {
        for kind in EventKind::ALL.iter().map(|kind| kind.as_str()) {
            let told_to_carriers = kind.starts_with("PARCEL_") || kind == "COMPARTMENT_RESERVED";
            let text = if told_to_carriers { CARRIER } else { FLEET };
            assert!(names(text, kind), "{kind}");
        }
    }
}
