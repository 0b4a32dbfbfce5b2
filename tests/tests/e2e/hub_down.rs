//! A bank without its hub: what was promised is kept, what happened arrives later.

use std::time::Duration;

use anyhow::Result;
use locker_proto::wire::carrier::v1::parcel::State;
use system_tests::bank::BankSpec;
use system_tests::board::Wire;
use system_tests::callers::Order;
use system_tests::mailbox::{letters, wait_for_letter};
use system_tests::panel::Outcome;
use system_tests::watch::Watch;
use system_tests::world::{CARRIER, World};

const NEWS: Duration = Duration::from_secs(15);

#[tokio::test]
async fn a_deposit_while_the_hub_is_down_arrives_when_it_is_back() -> Result<()> {
    let mut world = World::start(&["lobby"]).await?;
    let mut bank = world.add_bank(BankSpec::new("lobby", Wire::Tcp)).await?;
    let order = Order::small("offline");
    world.carrier.send(&order, "lobby").await?;
    let badge = world.operator.badge("lobby", CARRIER).await?;
    bank.sign_in(&badge.text).await?;
    bank.scan_label(&order.barcode).await?;

    world.hub.kill()?;
    bank.wait_for_screen("sees that the hub is gone", NEWS, |state| !state.hub_connected).await?;
    bank.wait_until_asked().await?;
    bank.panel.done(Outcome::DEPOSITED).await?.expect("a deposit needs no hub");
    assert!(letters(&world.hub.mailbox_folder())?.is_empty());

    world.hub.start_again().await?;
    let letter = wait_for_letter(&world.hub.mailbox_folder(), &order.email, NEWS).await?;
    bank.collect(&letter.token).await?;
    let mut watch = Watch::from_beginning(&world.carrier);
    watch.until("the pickup", NEWS, |seen| seen.state == State::Collected).await?;
    Ok(())
}

#[tokio::test]
async fn an_agent_that_starts_without_its_hub_hands_out_what_it_holds() -> Result<()> {
    let mut world = World::start(&["lobby"]).await?;
    let mut bank = world.add_bank(BankSpec::new("lobby", Wire::Tcp)).await?;
    let (inside, expected) = (Order::small("inside"), Order::small("expected"));
    world.carrier.send(&expected, "lobby").await?;
    world.carrier.send(&inside, "lobby").await?;
    let badge = world.operator.badge("lobby", CARRIER).await?.text;
    bank.bring(&badge, &inside.barcode).await?;
    let letter = wait_for_letter(&world.hub.mailbox_folder(), &inside.email, NEWS).await?;

    bank.stop_agent().await?;
    world.hub.kill()?;
    bank.start_agent().await?;
    // It has not heard the time since it started. What a person was promised holds; a badge, which
    // gives power over doors, could have expired.
    assert_eq!(bank.refusal_of(&badge).await?, "CLOCK_UNKNOWN");
    bank.collect(&letter.token).await?;

    world.hub.start_again().await?;
    let mut watch = Watch::from_beginning(&world.carrier);
    let is_collected = |seen: &system_tests::watch::Seen| {
        (seen.parcel.as_str(), seen.state) == ("inside", State::Collected)
    };
    watch.until("the pickup that the hub missed", NEWS, is_collected).await?;
    bank.wait_for_screen("is connected again", NEWS, |state| state.hub_connected).await?;
    bank.bring(&badge, &expected.barcode).await?;
    let is_stored = |seen: &system_tests::watch::Seen| {
        (seen.parcel.as_str(), seen.state) == ("expected", State::Stored)
    };
    watch.until("the deposit of the parcel known from before", NEWS, is_stored).await?;
    Ok(())
}
