//! `hubctl parcel ..`.

use locker_proto::wire::fleet::v1 as wire;
use serde_json::json;

use super::args::ParcelCommand;
use super::bank::{deadline, site_time, time};
use super::connection::Connection;
use super::table::{pairs, table};
use super::watch::event_json;
use super::{Failure, Output};

pub(super) async fn run(
    connection: &Connection,
    command: ParcelCommand,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    let ParcelCommand::Find { carrier, parcel } = command;
    let call = wire::FindParcelRequest { name: format!("carriers/{carrier}/parcels/{parcel}") };
    let mut client = connection.client().await?;
    show(&client.find_parcel(connection.call(call)).await?.into_inner(), output)
}

pub(super) fn show(
    parcel: &wire::FindParcelResponse,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    if output.json {
        return output.json(&json!({
            "name": parcel.name,
            "uid": parcel.uid,
            "barcode": parcel.barcode,
            "state": parcel.state,
            "bank": parcel.bank,
            "compartment": parcel.compartment,
            "expire_time": time(parcel.expire_time.as_ref()),
            "time_zone": parcel.time_zone,
            "events": parcel.events.iter().map(event_json).collect::<Vec<_>>(),
        }));
    }
    let compartment = Some(parcel.compartment).filter(|no| *no > 0);
    output.text(&pairs(&[
        ("parcel", parcel.name.clone()),
        ("uid", parcel.uid.clone()),
        ("barcode", parcel.barcode.clone()),
        ("state", parcel.state.clone()),
        ("bank", parcel.bank.clone()),
        ("compartment", compartment.map(|no| no.to_string()).unwrap_or_default()),
        ("until", deadline(parcel.expire_time.as_ref(), &parcel.time_zone)),
    ]))?;
    let rows: Vec<_> = parcel
        .events
        .iter()
        .map(|event| {
            let compartment = Some(event.compartment).filter(|no| *no > 0);
            [
                site_time(event.occur_time.as_ref(), &parcel.time_zone),
                event.kind.clone(),
                event.bank.clone(),
                compartment.map(|no| no.to_string()).unwrap_or_default(),
                event.detail.clone(),
            ]
        })
        .collect();
    output.text("\n")?;
    output.text(&table(["WHEN", "WHAT", "BANK", "NO", "DETAIL"], &rows))
}
