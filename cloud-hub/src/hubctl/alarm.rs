//! `hubctl alarm ..`, and the certificate that counts for a bank.

use std::path::PathBuf;

use locker_core::ids::BankId;
use locker_proto::wire::fleet::v1 as wire;
use serde_json::{Value, json};
use x509_parser::pem::Pem;

use super::args::AlarmCommand;
use super::bank::time;
use super::connection::Connection;
use super::table::{pairs, table};
use super::{Failure, Output};

/// Alarms asked for at a time.
const PAGE: i32 = 200;
/// Characters of a fingerprint that a table shows.
const SHORT: usize = 12;

pub(super) async fn run(
    connection: &Connection,
    command: AlarmCommand,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    match command {
        AlarmCommand::List { bank, all } => list(connection, bank, all, output).await,
        AlarmCommand::Clear { alarm, note, request } => {
            let call = wire::ClearAlarmRequest {
                name: format!("alarms/{alarm}"),
                note,
                request_id: request.id(),
            };
            let mut client = connection.security().await?;
            let cleared = client.clear_alarm(connection.call(call)).await?.into_inner();
            show(&[cleared], output)
        }
    }
}

async fn list(
    connection: &Connection,
    bank: Option<BankId>,
    show_cleared: bool,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    let mut client = connection.security().await?;
    let bank = bank.map(|bank| format!("banks/{bank}")).unwrap_or_default();
    let mut alarms = Vec::new();
    let mut page_token = String::new();
    loop {
        let bank = bank.clone();
        let call = wire::ListAlarmsRequest { bank, show_cleared, page_size: PAGE, page_token };
        let page = client.list_alarms(connection.call(call)).await?.into_inner();
        alarms.extend(page.alarms);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    show(&alarms, output)
}

fn show(alarms: &[wire::Alarm], output: &mut Output<'_>) -> Result<(), Failure> {
    if output.json {
        return alarms.iter().try_for_each(|alarm| output.json(&alarm_json(alarm)));
    }
    let rows: Vec<_> = alarms.iter().map(row).collect();
    output
        .text(&table(["ALARM", "BANK", "KIND", "RAISED", "CLEARED", "APART", "DETAIL"], &rows))?;
    let parties: Vec<_> = alarms
        .iter()
        .flat_map(|alarm| alarm.parties.iter().map(move |party| party_row(alarm, party)))
        .collect();
    if parties.is_empty() {
        return Ok(());
    }
    output.text("\n")?;
    let heading =
        ["ALARM", "ADDRESS", "CERTIFICATE", "START", "CONNECTION", "RECORDS", "LAST SEEN"];
    output.text(&table(heading, &parties))
}

fn row(alarm: &wire::Alarm) -> [String; 7] {
    let dropped = match alarm.dropped_messages {
        0 => String::new(),
        dropped => format!(" (+{dropped})"),
    };
    [
        number(alarm),
        alarm.bank.trim_start_matches("banks/").to_owned(),
        alarm.kind.clone(),
        time(alarm.raise_time.as_ref()),
        time(alarm.clear_time.as_ref()),
        format!("{}{dropped}", alarm.kept_messages),
        alarm.detail.clone(),
    ]
}

fn party_row(alarm: &wire::Alarm, party: &wire::AlarmParty) -> [String; 7] {
    [
        number(alarm),
        party.address.clone(),
        party.certificate_sha256.chars().take(SHORT).collect(),
        party.boot_count.to_string(),
        party.connection_count.to_string(),
        party.head_seq.to_string(),
        time(party.last_seen_time.as_ref()),
    ]
}

fn number(alarm: &wire::Alarm) -> String {
    alarm.name.trim_start_matches("alarms/").to_owned()
}

fn alarm_json(alarm: &wire::Alarm) -> Value {
    let party = |party: &wire::AlarmParty| {
        json!({
            "address": party.address,
            "certificate_sha256": party.certificate_sha256,
            "boot": party.boot,
            "stream": party.stream,
            "boot_count": party.boot_count,
            "connection_count": party.connection_count,
            "head_seq": party.head_seq,
            "first_seen_time": time(party.first_seen_time.as_ref()),
            "last_seen_time": time(party.last_seen_time.as_ref()),
        })
    };
    json!({
        "name": alarm.name,
        "bank": alarm.bank,
        "kind": alarm.kind,
        "detail": alarm.detail,
        "raise_time": time(alarm.raise_time.as_ref()),
        "parties": alarm.parties.iter().map(party).collect::<Vec<_>>(),
        "kept_messages": alarm.kept_messages,
        "dropped_messages": alarm.dropped_messages,
        "clear_time": time(alarm.clear_time.as_ref()),
        "cleared_by": alarm.cleared_by,
        "note": alarm.note,
    })
}

pub(super) async fn replace_certificate(
    connection: &Connection,
    bank: &BankId,
    path: PathBuf,
    request_id: String,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    let certificate = leaf(path)?;
    let name = format!("banks/{bank}");
    let call = wire::ReplaceBankCertificateRequest { name, certificate, request_id };
    let mut client = connection.security().await?;
    let replaced = client.replace_bank_certificate(connection.call(call)).await?.into_inner();
    let wire::ReplaceBankCertificateResponse { certificate_sha256, revoked_sha256 } = replaced;
    if output.json {
        return output.json(&json!({
            "certificate_sha256": certificate_sha256,
            "revoked_sha256": revoked_sha256,
        }));
    }
    output
        .text(&pairs(&[("certificate", certificate_sha256), ("revoked", revoked_sha256.join(" "))]))
}

/// The first certificate of a PEM file, DER.
fn leaf(path: PathBuf) -> Result<Vec<u8>, Failure> {
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(error) => return Err(Failure::File { path, reason: error.to_string() }),
    };
    match Pem::iter_from_buffer(&text).next() {
        Some(Ok(pem)) if pem.label == "CERTIFICATE" => Ok(pem.contents),
        Some(_) | None => Err(Failure::File { path, reason: "is no certificate".to_owned() }),
    }
}
