//! `hubctl watch`: the fleet's committed events as they come.

use std::time::Duration;

use locker_proto::wire::fleet::v1 as wire;
use serde_json::{Value, json};
use tonic::Request;

use super::args::WatchArgs;
use super::bank::time;
use super::connection::Connection;
use super::failure::is_passing;
use super::table::plain;
use super::{Failure, Output};

/// First pause before connecting again; doubled after each failure.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
/// Longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Where the watch is.
struct Place {
    token: String,
    from_beginning: bool,
}

pub(super) async fn run(
    connection: &Connection,
    args: &WatchArgs,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    let mut place = Place { token: args.token.clone(), from_beginning: args.from_beginning };
    let mut pause = PAUSE_FIRST;
    let mut was_connected = false;
    loop {
        let token_before = place.token.clone();
        let Err(failure) = follow(connection, &mut place, output).await else { return Ok(()) };
        was_connected |= place.token != token_before;
        if !was_connected || !is_worth_another(&failure) {
            return Err(failure);
        }
        if place.token != token_before {
            pause = PAUSE_FIRST;
        }
        let seconds = pause.as_secs();
        writeln!(output.remarks, "hubctl: connection lost, trying again in {seconds} s: {failure}")
            .map_err(Failure::Output)?;
        tokio::time::sleep(pause).await;
        pause = PAUSE_MAX.min(pause * 2);
    }
}

/// Watches until something fails; a hub never ends a watch well.
async fn follow(
    connection: &Connection,
    place: &mut Place,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    let mut client = connection.client().await?;
    let call = wire::WatchEventsRequest {
        resume_token: place.token.clone(),
        from_beginning: place.from_beginning && place.token.is_empty(),
    };
    let mut messages = client.watch_events(Request::new(call)).await?.into_inner();
    while let Some(message) = messages.message().await? {
        if let Some(event) = &message.event {
            show(event, &message.resume_token, output)?;
        }
        place.token = message.resume_token;
    }
    Err(Failure::from(tonic::Status::unavailable("the hub ended the watch")))
}

fn is_worth_another(failure: &Failure) -> bool {
    match failure {
        Failure::Unreachable { .. } | Failure::Broken { .. } => true,
        Failure::Refused(status) => is_passing(status),
        Failure::Missing { .. }
        | Failure::File { .. }
        | Failure::Address { .. }
        | Failure::NotHolding { .. }
        | Failure::NoEvidence { .. }
        | Failure::Output(_) => false,
    }
}

fn show(event: &wire::Event, token: &str, output: &mut Output<'_>) -> Result<(), Failure> {
    if output.json {
        let mut value = event_json(event);
        value["resume_token"] = Value::from(token);
        output.json(&value)?;
    } else {
        output.text(&event_line(event))?;
    }
    output.out.flush().map_err(Failure::Output)
}

fn event_line(event: &wire::Event) -> String {
    let mut line = format!("{:<30}  {:<26}", time(event.occur_time.as_ref()), plain(&event.kind));
    let compartment =
        if event.compartment > 0 { format!("no. {}", event.compartment) } else { String::new() };
    for part in [&event.bank, &compartment, &event.parcel, &event.detail] {
        if !part.is_empty() {
            line.push_str("  ");
            line.push_str(&plain(part));
        }
    }
    line.truncate(line.trim_end().len());
    line.push('\n');
    line
}

pub(super) fn event_json(event: &wire::Event) -> Value {
    json!({
        "event_id": event.event_id,
        "kind": event.kind,
        "bank": event.bank,
        "parcel": event.parcel,
        "compartment": event.compartment,
        "detail": event.detail,
        "occur_time": time(event.occur_time.as_ref()),
        "record_time": time(event.record_time.as_ref()),
    })
}
