//! Six digits instead of a QR code, all the way: minted by the hub, bound by the bank, sent in the
//! letter, typed at the keypad.

use std::time::Duration;

use anyhow::{Context, Result};
use edge_agent::bank::PanelKeypad;
use locker_proto::wire::carrier::v1::parcel::State;
use system_tests::bank::{Bank, BankSpec};
use system_tests::board::Wire;
use system_tests::callers::Order;
use system_tests::hub::HubOptions;
use system_tests::mailbox::wait_for_letter;
use system_tests::watch::Watch;
use system_tests::world::{CARRIER, World};

const NEWS: Duration = Duration::from_secs(15);
const PHONE: &str = "+358401234567";

async fn world(banks: &[&str]) -> Result<World> {
    World::start_with(banks, HubOptions { codes: true, ..HubOptions::default() }).await
}

/// A courier brings a parcel; gives the digits of its letter.
async fn digits_of(world: &World, bank: &mut Bank, order: &Order) -> Result<String> {
    world.carrier.send(order, &bank.spec.id).await?;
    let badge = world.operator.badge(&bank.spec.id, CARRIER).await?.text;
    bank.bring(&badge, &order.barcode).await?;
    let letter = wait_for_letter(&world.hub.mailbox_folder(), &order.email, NEWS).await?;
    letter.digits.context("the letter has no six digits")
}

/// One slip away: no two codes of a bank are that close.
fn one_off(digits: &str) -> String {
    let (rest, last) = digits.split_at(digits.len() - 1);
    format!("{rest}{}", if last == "0" { "1" } else { "0" })
}

#[tokio::test]
async fn c05_wrong_digits_open_nothing_and_after_the_wait_the_right_ones_do() -> Result<()> {
    let world = world(&["lobby"]).await?;
    let mut bank = world.add_bank(BankSpec::new("lobby", Wire::Tcp)).await?;
    let order = Order { phone: Some(PHONE.to_owned()), ..Order::small("typed") };
    let digits = digits_of(&world, &mut bank, &order).await?;
    let phone = order.phone_digits();
    assert_eq!(phone, Some("4567"));

    let slip = one_off(&digits);
    assert_eq!(bank.refusal_of_digits(&slip, phone).await?, "CODE_WRONG");
    bank.wait_for_keypad().await?;
    let alone = bank.refusal_of_digits(&digits, None).await?;
    assert_eq!(alone, "CODE_WRONG", "the phone digits are asked for");
    bank.wait_for_keypad().await?;
    let of_another = bank.refusal_of_digits(&digits, Some("9999")).await?;
    assert_eq!(of_another, "CODE_WRONG", "somebody else's phone digits are not enough");
    // The third wait is four seconds long: time enough to be hasty, however busy this machine is.
    let hasty = bank.refusal_of_digits(&digits, phone).await?;
    assert_eq!(hasty, "KEYPAD_WAIT", "right and wrong digits wait alike");
    assert_eq!(bank.panel.state().await?.keypad, PanelKeypad::Wait);
    bank.wait_for_keypad().await?;
    assert_eq!(bank.board.pulses()?.len(), 1, "nothing was opened but for the courier");

    bank.collect_by_digits(&digits, phone).await?;
    let mut watch = Watch::from_beginning(&world.carrier);
    watch.until("the pickup", NEWS, |seen| seen.state == State::Collected).await?;
    assert_eq!(bank.board.pulses()?.len(), 2);
    // Within minutes it would open once more, for what was forgotten; a restart ends that.
    bank.stop_agent().await?;
    bank.start_agent().await?;
    let again = bank.refusal_of_digits(&digits, phone).await?;
    assert_eq!(again, "CODE_USED", "a used code is no guess");
    assert_eq!(bank.panel.state().await?.keypad, PanelKeypad::Open);
    assert_eq!(bank.board.pulses()?.len(), 2);
    Ok(())
}

#[tokio::test]
async fn k09_digits_of_another_bank_are_wrong_here_and_nothing_more() -> Result<()> {
    let world = world(&["lobby", "annex"]).await?;
    let mut lobby = world.add_bank(BankSpec::new("lobby", Wire::Tcp)).await?;
    let annex = world.add_bank(BankSpec::new("annex", Wire::Tcp)).await?;
    // Without a phone number the digits are enough.
    let digits = digits_of(&world, &mut lobby, &Order::small("elsewhere")).await?;
    assert_eq!(annex.refusal_of_digits(&digits, None).await?, "CODE_WRONG");
    assert!(annex.board.pulses()?.is_empty());
    lobby.collect_by_digits(&digits, None).await?;
    Ok(())
}

#[tokio::test]
async fn digits_open_while_the_hub_is_down_and_after_a_restart() -> Result<()> {
    let mut world = world(&["lobby"]).await?;
    let mut bank = world.add_bank(BankSpec::new("lobby", Wire::Pty)).await?;
    let order = Order { phone: Some(PHONE.to_owned()), ..Order::small("offline") };
    let digits = digits_of(&world, &mut bank, &order).await?;

    bank.stop_agent().await?;
    world.hub.kill()?;
    bank.start_agent().await?;
    bank.collect_by_digits(&digits, order.phone_digits()).await?;

    world.hub.start_again().await?;
    let mut watch = Watch::from_beginning(&world.carrier);
    watch.until("the pickup", NEWS, |seen| seen.state == State::Collected).await?;
    Ok(())
}

#[tokio::test]
async fn a_bank_without_code_keys_says_that_it_takes_no_digits() -> Result<()> {
    let world = World::start(&["lobby"]).await?;
    let bank = world.add_bank(BankSpec::new("lobby", Wire::Tcp)).await?;
    assert_eq!(bank.panel.state().await?.keypad, PanelKeypad::Absent);
    assert_eq!(bank.refusal_of_digits("123456", None).await?, "KEYPAD_ABSENT");
    Ok(())
}
