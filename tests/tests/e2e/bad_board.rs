//! A lock board that says nothing, or nonsense: doors are not guessed at, people are told, and all is
//! well again when the board is.

use std::time::Duration;

use anyhow::Result;
use locker_proto::wire::fleet::v1::Bank;
use system_tests::bank::BankSpec;
use system_tests::board::Wire;
use system_tests::callers::Order;
use system_tests::mailbox::wait_for_letter;
use system_tests::world::{CARRIER, World};

const NEWS: Duration = Duration::from_secs(15);

#[tokio::test]
async fn a_silent_board_is_reported_and_serves_again_when_it_answers() -> Result<()> {
    fails_and_recovers("mute on", "mute off").await
}

#[tokio::test]
async fn a_board_that_sends_garbage_is_reported_and_serves_again_when_it_is_sane() -> Result<()> {
    fails_and_recovers("garbage on", "garbage off").await
}

async fn fails_and_recovers(fault: &str, cure: &str) -> Result<()> {
    let world = World::start(&["lobby"]).await?;
    let spec = BankSpec { offline_after_ms: 1_500, ..BankSpec::new("lobby", Wire::Tcp) };
    let mut bank = world.add_bank(spec).await?;
    let (inside, expected) = (Order::small("inside"), Order::small("expected"));
    world.carrier.send(&inside, "lobby").await?;
    world.carrier.send(&expected, "lobby").await?;
    let badge = world.operator.badge("lobby", CARRIER).await?.text;
    bank.bring(&badge, &inside.barcode).await?;
    let letter = wait_for_letter(&world.hub.mailbox_folder(), &inside.email, NEWS).await?;

    bank.board.command(fault).await?;
    let is_lost = |bank: &Bank| bank.compartments.iter().all(|held| held.health == "UNREACHABLE");
    world.operator.wait_for_bank("lobby", "reports that its locks are lost", is_lost).await?;
    assert_eq!(bank.refusal_of(&letter.token).await?, "LOCK_UNREACHABLE");
    bank.sign_in(&badge).await?;
    assert_eq!(bank.refusal_of(&expected.barcode).await?, "NO_FREE_COMPARTMENT");
    bank.sign_out().await?;
    assert_eq!(bank.board.pulses()?.len(), 1, "no pulse goes to a board that does not answer");

    bank.board.command(cure).await?;
    let is_back = |bank: &Bank| {
        bank.compartments.iter().all(|held| held.health == "OK" && held.door == "CLOSED")
    };
    world.operator.wait_for_bank("lobby", "reports that its locks are back", is_back).await?;
    bank.collect(&letter.token).await?;
    bank.bring(&badge, &expected.barcode).await?;
    assert_eq!(bank.board.pulses()?.len(), 3);
    Ok(())
}
