//! One parcel all the way, and what each side then shows.

use std::time::Duration;

use anyhow::{Context, Result};
use locker_proto::wire::carrier::v1::parcel::State;
use locker_proto::wire::carrier::v1::{BookCompartmentRequest, Recipient};
use locker_proto::wire::fleet::v1::{Compartment, FindParcelRequest};
use system_tests::bank::BankSpec;
use system_tests::board::Wire;
use system_tests::callers::{Order, reason, request_id, timed};
use system_tests::mailbox::{letters, wait_for_letter};
use system_tests::watch::Watch;
use system_tests::world::{CARRIER, World};
use tonic::Code;

const NEWS: Duration = Duration::from_secs(15);

const LIFE: [State; 6] = [
    State::Announced,
    State::Booked,
    State::Depositing,
    State::Stored,
    State::Collecting,
    State::Collected,
];

#[tokio::test]
async fn a_parcel_goes_all_the_way_over_a_serial_gateway() -> Result<()> {
    all_the_way(Wire::Tcp).await
}

#[tokio::test]
async fn a_parcel_goes_all_the_way_over_a_serial_port() -> Result<()> {
    all_the_way(Wire::Pty).await
}

async fn all_the_way(wire: Wire) -> Result<()> {
    let world = World::start(&["lobby"]).await?;
    let mut bank = world.add_bank(BankSpec::new("lobby", wire)).await?;
    let order = Order::small("first");
    let mut watch = Watch::from_beginning(&world.carrier);

    let announced = world.carrier.announce(&order).await?;
    assert_eq!(announced.state(), State::Announced);
    assert_eq!(announced.recipient, None::<Recipient>, "personal data is never returned");
    let booked = world.carrier.book("first", "lobby").await?;
    assert_eq!((booked.state(), booked.bank.as_str()), (State::Booked, "banks/lobby"));

    let badge = world.operator.badge("lobby", CARRIER).await?;
    let visit = bank.bring(&badge.text, &order.barcode).await?;
    let letter = wait_for_letter(&world.hub.mailbox_folder(), &order.email, NEWS).await?;
    let stored = world.carrier.get("first").await?;
    assert_eq!(stored.state(), State::Stored);
    assert_eq!(stored.compartment, u32::from(visit.compartment));
    assert!(stored.expire_time.is_some());
    assert_ne!(stored.etag, booked.etag);
    let seen = world.operator.bank("lobby").await?;
    let inside = compartment(&seen.compartments, visit.compartment)?;
    assert_eq!(inside.allocation, "OCCUPIED");
    assert_eq!(inside.parcel, world.carrier.parcel("first"));

    let pickup = bank.collect(&letter.token).await?;
    assert_eq!(pickup.compartment, visit.compartment);
    let is_collected = |seen: &system_tests::watch::Seen| seen.state == State::Collected;
    watch.until("the pickup", NEWS, is_collected).await?;
    assert_eq!(watch.states_of("first"), LIFE);
    let seen = world.operator.bank("lobby").await?;
    assert_eq!(compartment(&seen.compartments, visit.compartment)?.allocation, "FREE");
    assert_eq!(seen.stopped_reason, "");

    let pulses = bank.board.pulses()?;
    let locks: Vec<u16> = pulses.iter().map(|pulse| u16::from(pulse.lock) + 1).collect();
    assert_eq!(locks, [visit.compartment; 2]);
    assert_eq!(letters(&world.hub.mailbox_folder())?.len(), 1);
    let request = FindParcelRequest { name: world.carrier.parcel("first") };
    let found = world.operator.client().find_parcel(timed(request)).await?.into_inner();
    let kinds: Vec<&str> = found.events.iter().map(|event| event.kind.as_str()).collect();
    let wanted = LIFE.map(|state| state.as_str_name().replace("STATE_", "PARCEL_"));
    assert_eq!(kinds, wanted);
    Ok(())
}

#[tokio::test]
async fn a_repeated_call_answers_as_the_first_and_changes_nothing() -> Result<()> {
    let world = World::start(&["lobby"]).await?;
    let _bank = world.add_bank(BankSpec::new("lobby", Wire::Tcp)).await?;
    world.carrier.announce(&Order::small("twice")).await?;
    let mut request = BookCompartmentRequest {
        name: world.carrier.parcel("twice"),
        bank: "banks/lobby".to_owned(),
        request_id: request_id(),
        ..BookCompartmentRequest::default()
    };
    let book = async |request: &BookCompartmentRequest| {
        let answer = world.carrier.client().book_compartment(timed(request.clone())).await;
        answer.map(tonic::Response::into_inner)
    };
    let first = book(&request).await?;
    let again = book(&request).await?;
    assert_eq!(first, again);

    request.bank = "banks/other".to_owned();
    let status = book(&request).await.unwrap_err();
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::FailedPrecondition, "REQUEST_ID_REUSED")
    );
    let mut watch = Watch::from_beginning(&world.carrier);
    watch.until_caught_up(NEWS).await?;
    assert_eq!(watch.states_of("twice"), [State::Announced, State::Booked]);
    Ok(())
}

#[tokio::test]
async fn everything_goes_on_after_hub_and_agent_were_stopped_and_started() -> Result<()> {
    let mut world = World::start(&["lobby"]).await?;
    let mut bank = world.add_bank(BankSpec::new("lobby", Wire::Tcp)).await?;
    let order = Order::small("stays");
    world.carrier.send(&order, "lobby").await?;
    let badge = world.operator.badge("lobby", CARRIER).await?;
    bank.bring(&badge.text, &order.barcode).await?;
    let letter = wait_for_letter(&world.hub.mailbox_folder(), &order.email, NEWS).await?;

    bank.stop_agent().await?;
    world.hub.stop().await?;
    world.hub.start_again().await?;
    bank.start_agent().await?;
    world.operator.wait_until_ready("lobby").await?;

    bank.collect(&letter.token).await?;
    let mut watch = Watch::from_beginning(&world.carrier);
    watch.until("the pickup", NEWS, |seen| seen.state == State::Collected).await?;
    assert_eq!(watch.states_of("stays"), LIFE);
    assert_eq!(letters(&world.hub.mailbox_folder())?.len(), 1);
    Ok(())
}

fn compartment(all: &[Compartment], number: u16) -> Result<&Compartment> {
    let found = all.iter().find(|held| held.number == u32::from(number));
    found.with_context(|| format!("the hub knows no compartment {number}"))
}
