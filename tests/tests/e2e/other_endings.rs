//! Parcels that do not simply go in and out: left inside, refused, asked back, not found, or in the
//! way of another one.

use std::time::Duration;

use anyhow::{Result, ensure};
use edge_agent::bank::PanelResult;
use locker_proto::wire::carrier::v1::parcel::State;
use locker_proto::wire::fleet::v1::Bank as BankSeen;
use system_tests::bank::{Bank, BankSpec, SMALL};
use system_tests::board::Wire;
use system_tests::callers::Order;
use system_tests::mailbox::wait_for_letter;
use system_tests::panel::{Answer, Finding, Outcome};
use system_tests::watch::Watch;
use system_tests::world::{CARRIER, World};

const NEWS: Duration = Duration::from_secs(15);

/// A bank of two small compartments with a parcel in the first: its code, and a courier's badge.
async fn with_parcel_inside(world: &World, order: &Order) -> Result<(Bank, String, String)> {
    let rooms = vec![SMALL, SMALL];
    let mut bank = world.add_bank(BankSpec { rooms, ..BankSpec::new("lobby", Wire::Tcp) }).await?;
    world.carrier.send(order, "lobby").await?;
    let badge = world.operator.badge("lobby", CARRIER).await?.text;
    assert_eq!(bank.bring(&badge, &order.barcode).await?.compartment, 1);
    let letter = wait_for_letter(&world.hub.mailbox_folder(), &order.email, NEWS).await?;
    Ok((bank, letter.token, badge))
}

/// Whoever opened a door by `answer` waits until it is shut and says what happened.
async fn say(bank: &mut Bank, answer: Answer, outcome: Outcome<'_>) -> Result<Option<PanelResult>> {
    ensure!(answer.is_ok(), "no door opened: {answer:?}");
    bank.wait_until_asked().await?;
    match bank.panel.done(outcome).await? {
        Ok(state) => Ok(state.last_result),
        Err(refused) => anyhow::bail!("{outcome:?} was refused: {refused:?}"),
    }
}

async fn until(watch: &mut Watch, state: State) -> Result<()> {
    watch.until(state.as_str_name(), NEWS, |seen| seen.state == state).await.map(drop)
}

fn allocations(bank: &BankSeen) -> Vec<&str> {
    bank.compartments.iter().map(|held| held.allocation.as_str()).collect()
}

#[tokio::test]
async fn k04_a_parcel_that_is_left_inside_and_then_refused_goes_back_to_its_carrier() -> Result<()>
{
    let world = World::start(&["lobby"]).await?;
    let order = Order::small("unwanted");
    let (mut bank, code, badge) = with_parcel_inside(&world, &order).await?;
    let mut watch = Watch::from_beginning(&world.carrier);

    let answer = bank.panel.scan(&code).await?;
    let left = say(&mut bank, answer, Outcome::NotTaken).await?;
    assert_eq!(left, Some(PanelResult::NotTaken { compartment: 1 }));
    let answer = bank.panel.scan(&code).await?;
    let refused = say(&mut bank, answer, Outcome::Refused).await?;
    assert_eq!(refused, Some(PanelResult::Refused { compartment: 1 }));
    until(&mut watch, State::RecallRequested).await?;
    assert_eq!(bank.refusal_of(&code).await?, "PARCEL_RECALLED");

    bank.sign_in(&badge).await?;
    let answer = bank.panel.recall(&order.barcode).await?;
    let removed = say(&mut bank, answer, Outcome::Removed { barcode: &order.barcode }).await?;
    assert_eq!(removed, Some(PanelResult::Removed { compartment: 1 }));
    bank.sign_out().await?;
    until(&mut watch, State::Recalled).await?;
    let life = [
        State::Announced,
        State::Booked,
        State::Depositing,
        State::Stored,
        State::Collecting,
        State::Stored,
        State::Collecting,
        State::RecallRequested,
        State::Recalling,
        State::Recalled,
    ];
    assert_eq!(watch.states_of("unwanted"), life);
    assert_eq!(bank.board.pulses()?.len(), 4, "in, two looks, out");
    Ok(())
}

#[tokio::test]
async fn k07_a_compartment_found_empty_is_closed_off_until_staff_have_looked() -> Result<()> {
    let world = World::start(&["lobby"]).await?;
    let order = Order::small("gone");
    let (mut bank, code, badge) = with_parcel_inside(&world, &order).await?;
    let mut watch = Watch::from_beginning(&world.carrier);
    let answer = bank.panel.scan(&code).await?;
    say(&mut bank, answer, Outcome::FoundEmpty).await?;
    until(&mut watch, State::Disputed).await?;
    let doubtful = |bank: &BankSeen| allocations(bank) == ["QUARANTINED", "FREE"];
    world.operator.wait_for_bank("lobby", "has a doubt", doubtful).await?;

    let staff = world.operator.staff_badge("lobby").await?.text;
    bank.look_into(&staff, 1, Finding::Empty).await?;
    until(&mut watch, State::Missing).await?;
    let other = Order::small("next");
    world.carrier.send(&other, "lobby").await?;
    assert_eq!(bank.bring(&badge, &other.barcode).await?.compartment, 1, "it is used again");
    Ok(())
}

#[tokio::test]
async fn d05_a_compartment_that_is_not_empty_makes_way_for_another() -> Result<()> {
    let world = World::start(&["lobby"]).await?;
    let rooms = vec![SMALL, SMALL];
    let mut bank = world.add_bank(BankSpec { rooms, ..BankSpec::new("lobby", Wire::Tcp) }).await?;
    let order = Order::small("second");
    world.carrier.send(&order, "lobby").await?;
    bank.sign_in(&world.operator.badge("lobby", CARRIER).await?.text).await?;
    let (_, scanned_ms) = bank.scan_label(&order.barcode).await?;
    assert_eq!(bank.wait_until_asked().await?.0, 1);
    let answer = bank.panel.done(Outcome::FoundOccupied).await?;
    ensure!(answer.is_ok(), "the courier may say so: {answer:?}");
    assert_eq!(bank.store(scanned_ms).await?.compartment, 2);
    let closed_off = |bank: &BankSeen| allocations(bank) == ["QUARANTINED", "OCCUPIED"];
    world.operator.wait_for_bank("lobby", "has closed it off", closed_off).await?;
    Ok(())
}
