//! A bank of two CU16 boards on one line: each parcel behind its own lock, and each board for itself.

use std::time::Duration;

use anyhow::Result;
use edge_agent::sim::Profile;
use locker_proto::wire::fleet::v1::Bank;
use system_tests::bank::{BankSpec, MEDIUM, SMALL};
use system_tests::board::{Boards, Wire};
use system_tests::callers::Order;
use system_tests::mailbox::wait_for_letter;
use system_tests::world::{CARRIER, World};

const NEWS: Duration = Duration::from_secs(15);
/// Compartments 1 and 2 hang on this board.
const FIRST: u8 = 3;
/// Compartments 3 and 4 hang on this one.
const SECOND: u8 = 7;

fn spec(wire: Wire) -> BankSpec {
    BankSpec {
        boards: Boards { profile: Profile::Cu16, addresses: vec![FIRST, SECOND] },
        rooms: vec![SMALL, SMALL, MEDIUM, MEDIUM],
        offline_after_ms: 1_500,
        ..BankSpec::new("lobby", wire)
    }
}

fn medium(name: &str) -> Order {
    Order { size_mm: [390, 340, 190], ..Order::small(name) }
}

#[tokio::test]
async fn each_parcel_opens_its_own_lock_on_its_own_board() -> Result<()> {
    let world = World::start(&["lobby"]).await?;
    let mut bank = world.add_bank(spec(Wire::Pty)).await?;
    let badge = world.operator.badge("lobby", CARRIER).await?.text;
    let orders = [Order::small("one"), Order::small("two"), medium("three"), medium("four")];
    for order in &orders {
        world.carrier.send(order, "lobby").await?;
    }
    bank.sign_in(&badge).await?;
    for (number, order) in (1_u16..).zip(&orders) {
        // What the courier puts in is what the infrared sensors see.
        let lock = [(FIRST, 0), (FIRST, 1), (SECOND, 0), (SECOND, 1)][usize::from(number) - 1];
        bank.board.command(&format!("visitor {}:{} put", lock.0, lock.1)).await?;
        assert_eq!(bank.deposit(&order.barcode).await?.compartment, number);
        let last = bank.board.pulses()?.pop();
        assert_eq!(last.map(|pulse| (pulse.board, pulse.lock)), Some(lock));
    }
    bank.sign_out().await?;
    let full = |bank: &Bank| bank.compartments.iter().all(|held| held.allocation == "OCCUPIED");
    world.operator.wait_for_bank("lobby", "is full", full).await?;

    bank.board.command(&format!("visitor {SECOND}:1 take")).await?;
    let letter = wait_for_letter(&world.hub.mailbox_folder(), &orders[3].email, NEWS).await?;
    assert_eq!(bank.collect(&letter.token).await?.compartment, 4);
    let pulses: Vec<_> = bank.board.pulses()?.iter().map(|line| (line.board, line.lock)).collect();
    assert_eq!(pulses, [(FIRST, 0), (FIRST, 1), (SECOND, 0), (SECOND, 1), (SECOND, 1)]);
    let freed = |bank: &Bank| {
        bank.compartments.iter().filter(|held| held.allocation == "FREE").count() == 1
            && bank.compartments.iter().all(|held| held.health == "OK")
    };
    world.operator.wait_for_bank("lobby", "has one free", freed).await?;
    Ok(())
}

#[tokio::test]
async fn h06_a_board_without_an_answer_takes_only_its_own_compartments_along() -> Result<()> {
    let world = World::start(&["lobby"]).await?;
    let mut bank = world.add_bank(spec(Wire::Tcp)).await?;
    let badge = world.operator.badge("lobby", CARRIER).await?.text;
    let (inside, beside) = (medium("inside"), Order::small("beside"));
    world.carrier.send(&inside, "lobby").await?;
    world.carrier.send(&beside, "lobby").await?;
    assert_eq!(bank.bring(&badge, &inside.barcode).await?.compartment, 3);
    let letter = wait_for_letter(&world.hub.mailbox_folder(), &inside.email, NEWS).await?;

    bank.board.command(&format!("mute {SECOND} on")).await?;
    let half = |bank: &Bank| {
        let health: Vec<_> = bank.compartments.iter().map(|held| held.health.as_str()).collect();
        health == ["OK", "OK", "UNREACHABLE", "UNREACHABLE"]
    };
    world.operator.wait_for_bank("lobby", "reports that a board is lost", half).await?;
    assert_eq!(bank.refusal_of(&letter.token).await?, "LOCK_UNREACHABLE");
    assert_eq!(bank.bring(&badge, &beside.barcode).await?.compartment, 1);

    bank.board.command(&format!("mute {SECOND} off")).await?;
    let whole = |bank: &Bank| {
        bank.compartments.iter().all(|held| held.health == "OK" && held.door == "CLOSED")
    };
    world.operator.wait_for_bank("lobby", "reports that the board is back", whole).await?;
    assert_eq!(bank.collect(&letter.token).await?.compartment, 3);
    assert_eq!(bank.board.pulses()?.len(), 3);
    Ok(())
}
