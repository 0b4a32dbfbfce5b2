//! `hubctl bank ..`.

use std::path::PathBuf;

use locker_core::ids::{BankId, CarrierId};
use locker_core::units::UnixMillis;
use locker_proto::wire::fleet::v1 as wire;
use prost_types::Timestamp;
use serde_json::{Value, json};

use super::args::{BankCommand, Ceded, Switch};
use super::connection::Connection;
use super::table::{pairs, table};
use super::{Failure, Output, alarm, layout_file};
use crate::site_zone::SiteZone;

/// Banks asked for at a time.
const PAGE: i32 = 200;

pub(super) async fn run(
    connection: &Connection,
    command: BankCommand,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    match command {
        BankCommand::Create { bank, name, address, time_zone, layout, request } => {
            let layout = Some(layout_file::load(&layout.layout)?);
            let call = wire::CreateBankRequest {
                bank_id: bank.to_string(),
                bank: Some(wire::Bank {
                    display_name: name,
                    address,
                    time_zone,
                    layout,
                    ..wire::Bank::default()
                }),
                request_id: request.id(),
            };
            let mut client = connection.client().await?;
            show(&client.create_bank(connection.call(call)).await?.into_inner(), output)
        }
        BankCommand::Get { bank } => {
            let call = wire::GetBankRequest { name: format!("banks/{bank}") };
            let mut client = connection.client().await?;
            show(&client.get_bank(connection.call(call)).await?.into_inner(), output)
        }
        BankCommand::List => list(connection, output).await,
        BankCommand::SetLayout { bank, layout, request } => {
            let layout = Some(layout_file::load(&layout.layout)?);
            let name = format!("banks/{bank}");
            let call = wire::SetLayoutRequest { name, layout, request_id: request.id() };
            let mut client = connection.client().await?;
            show(&client.set_layout(connection.call(call)).await?.into_inner(), output)
        }
        BankCommand::SetTimeZone { bank, zone, request } => {
            set_time_zone(connection, &bank, zone, request.id(), output).await
        }
        BankCommand::ReplaceCertificate { bank, certificate, request } => {
            alarm::replace_certificate(connection, &bank, certificate, request.id(), output).await
        }
        BankCommand::Badge { bank, carrier, ttl, png, request } => {
            let call = wire::IssueBadgeRequest {
                name: format!("banks/{bank}"),
                carrier: format!("carriers/{carrier}"),
                ttl_s: ttl * 60,
                request_id: request.id(),
            };
            let mut client = connection.client().await?;
            let badge = client.issue_badge(connection.call(call)).await?.into_inner();
            show_badge(&badge, png, output)
        }
        BankCommand::StaffBadge { bank, ttl, png, request } => {
            let (name, request_id) = (format!("banks/{bank}"), request.id());
            let call = wire::IssueStaffBadgeRequest { name, ttl_s: ttl * 60, request_id };
            let mut client = connection.client().await?;
            let badge = client.issue_staff_badge(connection.call(call)).await?.into_inner();
            show_badge(&badge, png, output)
        }
        BankCommand::Maintenance { bank, switch, request } => {
            maintain(connection, &bank, switch, request.id(), output).await
        }
        BankCommand::Quota { bank, cede, request } => {
            keep_back(connection, &bank, cede, request.id(), output).await
        }
        BankCommand::KeypadCouriers { bank, carriers, request } => {
            set_keypad_couriers(connection, &bank, &carriers, request.id(), output).await
        }
        BankCommand::LockDown { bank, request } => {
            lock_down(connection, &bank, request.id(), output).await
        }
    }
}

async fn set_time_zone(
    connection: &Connection,
    bank: &BankId,
    time_zone: String,
    request_id: String,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    let call = wire::SetTimeZoneRequest { name: format!("banks/{bank}"), time_zone, request_id };
    let mut client = connection.client().await?;
    show(&client.set_time_zone(connection.call(call)).await?.into_inner(), output)
}

async fn lock_down(
    connection: &Connection,
    bank: &BankId,
    request_id: String,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    let call = wire::LockDownBankRequest { name: format!("banks/{bank}"), request_id };
    let mut client = connection.client().await?;
    show(&client.lock_down_bank(connection.call(call)).await?.into_inner(), output)
}

async fn maintain(
    connection: &Connection,
    bank: &BankId,
    switch: Switch,
    request_id: String,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    let (name, maintenance) = (format!("banks/{bank}"), switch == Switch::On);
    let call = wire::SetBankModeRequest { name, maintenance, request_id };
    let mut client = connection.client().await?;
    show(&client.set_bank_mode(connection.call(call)).await?.into_inner(), output)
}

async fn keep_back(
    connection: &Connection,
    bank: &BankId,
    cede: Vec<Ceded>,
    request_id: String,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    let (name, ceded) = (format!("banks/{bank}"), cede.into_iter().map(ceded).collect());
    let call = wire::SetQuotaRequest { name, ceded, request_id };
    let mut client = connection.client().await?;
    show(&client.set_quota(connection.call(call)).await?.into_inner(), output)
}

async fn set_keypad_couriers(
    connection: &Connection,
    bank: &BankId,
    carriers: &[CarrierId],
    request_id: String,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    let carriers = carriers.iter().map(|carrier| format!("carriers/{carrier}")).collect();
    let name = format!("banks/{bank}");
    let call = wire::SetKeypadCouriersRequest { name, carriers, request_id };
    let mut client = connection.client().await?;
    show(&client.set_keypad_couriers(connection.call(call)).await?.into_inner(), output)
}

const fn ceded(size: Ceded) -> wire::CededSize {
    let [length_mm, width_mm, height_mm] = size.edges_mm;
    wire::CededSize { length_mm, width_mm, height_mm, count: size.count }
}

async fn list(connection: &Connection, output: &mut Output<'_>) -> Result<(), Failure> {
    let mut client = connection.client().await?;
    let mut banks = Vec::new();
    let mut page_token = String::new();
    loop {
        let call = wire::ListBanksRequest { page_size: PAGE, page_token };
        let page = client.list_banks(connection.call(call)).await?.into_inner();
        banks.extend(page.banks);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    if output.json {
        return banks.iter().try_for_each(|bank| output.json(&bank_json(bank)));
    }
    let rows: Vec<_> = banks.iter().map(row).collect();
    let heading = [
        "BANK",
        "NAME",
        "CONNECTED",
        "COMPARTMENTS",
        "LAYOUT",
        "KEYS",
        "TIME ZONE",
        "LAST SEEN",
        "STOPPED",
    ];
    output.text(&table(heading, &rows))
}

fn row(bank: &wire::Bank) -> [String; 9] {
    [
        id(bank),
        bank.display_name.clone(),
        yes_no(bank.connected),
        compartments_built(bank).to_string(),
        layout_state(bank),
        bank.key_set_held.to_string(),
        bank.time_zone.clone(),
        site_time(bank.last_seen_time.as_ref(), &bank.time_zone),
        bank.stopped_reason.clone(),
    ]
}

fn show(bank: &wire::Bank, output: &mut Output<'_>) -> Result<(), Failure> {
    if output.json {
        return output.json(&bank_json(bank));
    }
    output.text(&pairs(&[
        ("bank", id(bank)),
        ("name", bank.display_name.clone()),
        ("address", bank.address.clone()),
        ("time zone", bank.time_zone.clone()),
        ("connected", yes_no(bank.connected)),
        ("last seen", site_time(bank.last_seen_time.as_ref(), &bank.time_zone)),
        ("layout", layout_state(bank)),
        ("keys held", bank.key_set_held.to_string()),
        ("records", bank.committed_seq.to_string()),
        ("stopped", bank.stopped_reason.clone()),
        ("locked down", bank.lockdown_reason.clone()),
        ("maintenance", maintenance(bank)),
        ("kept back", kept_back(bank)),
        ("keypad for", keypad_couriers(bank)),
    ]))?;
    if bank.compartments.is_empty() {
        let built = match compartments_built(bank) {
            1 => "1 compartment".to_owned(),
            many => format!("{many} compartments"),
        };
        return output.text(&format!("\n{built} issued; the bank has not taken them over yet\n"));
    }
    let rows: Vec<_> = bank
        .compartments
        .iter()
        .map(|compartment| {
            let reason = Some(&compartment.quarantine_reason).filter(|reason| !reason.is_empty());
            let allocation = reason.map_or_else(
                || compartment.allocation.clone(),
                |reason| format!("{} ({reason})", compartment.allocation),
            );
            [
                compartment.number.to_string(),
                allocation,
                compartment.door.clone(),
                compartment.content.clone(),
                compartment.health.clone(),
                compartment.parcel.clone(),
            ]
        })
        .collect();
    output.text("\n")?;
    output.text(&table(["NO", "ALLOCATION", "DOOR", "CONTENT", "LOCK", "PARCEL"], &rows))
}

pub(super) fn show_badge(
    badge: &wire::Badge,
    png: Option<PathBuf>,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    if let Some(path) = png {
        std::fs::write(&path, &badge.qr_png)
            .map_err(|error| Failure::File { path, reason: error.to_string() })?;
    }
    if output.json {
        let until = time(badge.expire_time.as_ref());
        let (text, time_zone) = (&badge.text, &badge.time_zone);
        let badge = json!({ "text": text, "expire_time": until, "time_zone": time_zone });
        return output.json(&badge);
    }
    let until = deadline(badge.expire_time.as_ref(), &badge.time_zone);
    output.text(&pairs(&[("badge", badge.text.clone()), ("works until", until)]))
}

fn bank_json(bank: &wire::Bank) -> Value {
    let layout = bank.layout.as_ref();
    let spec = |spec: &wire::CompartmentSpec| {
        json!({
            "number": spec.number,
            "length_mm": spec.length_mm,
            "width_mm": spec.width_mm,
            "height_mm": spec.height_mm,
            "board": spec.board,
            "lock": spec.lock,
        })
    };
    let compartment = |compartment: &wire::Compartment| {
        json!({
            "number": compartment.number,
            "allocation": compartment.allocation,
            "quarantine_reason": compartment.quarantine_reason,
            "door": compartment.door,
            "content": compartment.content,
            "health": compartment.health,
            "parcel": compartment.parcel,
        })
    };
    json!({
        "name": bank.name,
        "display_name": bank.display_name,
        "address": bank.address,
        "time_zone": bank.time_zone,
        "connected": bank.connected,
        "last_seen_time": time(bank.last_seen_time.as_ref()),
        "committed_seq": bank.committed_seq,
        "stopped_reason": bank.stopped_reason,
        "lockdown_reason": bank.lockdown_reason,
        "maintenance": bank.maintenance,
        "maintenance_held": bank.maintenance_held,
        "quota": bank.quota.iter().map(ceded_json).collect::<Vec<_>>(),
        "quota_held": bank.quota_held,
        "keypad_couriers": bank.keypad_couriers,
        "keypad_codes_held": bank.keypad_codes_held,
        "layout_held": bank.layout_held,
        "key_set_held": bank.key_set_held,
        "layout": {
            "generation": layout.map(|layout| layout.generation),
            "compartments": layout.map(|layout| layout.compartments.iter().map(spec).collect::<Vec<_>>()),
        },
        "compartments": bank.compartments.iter().map(compartment).collect::<Vec<_>>(),
    })
}

fn ceded_json(size: &wire::CededSize) -> Value {
    json!({
        "length_mm": size.length_mm,
        "width_mm": size.width_mm,
        "height_mm": size.height_mm,
        "count": size.count,
    })
}

/// Whether the bank is in maintenance, and whether it knows; empty if neither.
fn maintenance(bank: &wire::Bank) -> String {
    match (bank.maintenance, bank.maintenance_held) {
        (true, true) => "on".to_owned(),
        (true, false) => "on (not taken over yet)".to_owned(),
        (false, true) => "off (not taken over yet)".to_owned(),
        (false, false) => String::new(),
    }
}

/// What the bank keeps back; empty if nothing.
fn kept_back(bank: &wire::Bank) -> String {
    let one = |size: &wire::CededSize| {
        format!("{}x{}x{}={}", size.length_mm, size.width_mm, size.height_mm, size.count)
    };
    let sizes: Vec<_> = bank.quota.iter().map(one).collect();
    match (sizes.is_empty(), bank.quota_held) {
        (false, false) => format!("{} (not taken over yet)", sizes.join(", ")),
        (_, true) | (true, false) => sizes.join(", "),
    }
}

/// Whose couriers have keypad codes; empty if nobody's.
fn keypad_couriers(bank: &wire::Bank) -> String {
    let names = bank.keypad_couriers.iter().map(|name| name.trim_start_matches("carriers/"));
    let names = names.collect::<Vec<_>>().join(", ");
    if bank.keypad_codes_held {
        names
    } else {
        format!("{names} (codes not taken over yet)").trim_start().to_owned()
    }
}

fn id(bank: &wire::Bank) -> String {
    bank.name.trim_start_matches("banks/").to_owned()
}

fn compartments_built(bank: &wire::Bank) -> usize {
    bank.layout.as_ref().map_or(0, |layout| layout.compartments.len())
}

/// Which layout was issued, and whether the bank holds it.
fn layout_state(bank: &wire::Bank) -> String {
    let issued = bank.layout.as_ref().map_or(0, |layout| layout.generation);
    match bank.layout_held {
        held if held == issued => format!("{issued}"),
        0 => format!("{issued} (not taken over yet)"),
        held => format!("{issued} (holds {held})"),
    }
}

fn yes_no(yes: bool) -> String {
    if yes { "yes" } else { "no" }.to_owned()
}

/// For programmes, and where there is no bank: in UTC.
pub(super) fn time(at: Option<&Timestamp>) -> String {
    at.map(ToString::to_string).unwrap_or_default()
}

/// As the clocks at a bank show it, with their offset.
pub(super) fn site_time(at: Option<&Timestamp>, zone: &str) -> String {
    at.map(|at| known(zone).rfc3339(millis(at))).unwrap_or_default()
}

/// As in a letter.
pub(super) fn deadline(at: Option<&Timestamp>, zone: &str) -> String {
    at.map(|at| known(zone).readable(millis(at))).unwrap_or_default()
}

/// UTC instead of one that only the hub knows: what is shown names its zone in any case.
fn known(zone: &str) -> SiteZone {
    zone.parse().unwrap_or(SiteZone::UTC)
}

fn millis(at: &Timestamp) -> UnixMillis {
    let (seconds, nanos) = (u64::try_from(at.seconds), u64::try_from(at.nanos));
    let whole = seconds.unwrap_or_default().saturating_mul(1_000);
    UnixMillis(whole.saturating_add(nanos.unwrap_or_default() / 1_000_000))
}
