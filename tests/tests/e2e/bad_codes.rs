//! Codes that a bank must refuse, each with its own reason and without a pulse.

use std::time::Duration;

use anyhow::Result;
use system_tests::bank::BankSpec;
use system_tests::board::Wire;
use system_tests::callers::Order;
use system_tests::mailbox::wait_for_letter;
use system_tests::pki::Pki;
use system_tests::tokens::{altered, pickup_code};
use system_tests::world::{CARRIER, World};

const NEWS: Duration = Duration::from_secs(15);
/// A credential that no bank holds.
const STRANGE: [u8; 16] = [7; 16];

#[tokio::test]
async fn codes_that_open_nothing_are_refused_with_their_reason() -> Result<()> {
    let world = World::start(&["lobby", "annex"]).await?;
    let mut bank = world.add_bank(BankSpec::new("lobby", Wire::Tcp)).await?;
    let order = Order::small("wanted");
    world.carrier.send(&order, "lobby").await?;
    let badge = world.operator.badge("lobby", CARRIER).await?;
    bank.bring(&badge.text, &order.barcode).await?;
    let letter = wait_for_letter(&world.hub.mailbox_folder(), &order.email, NEWS).await?;
    let pulses_before = bank.board.pulses()?.len();

    let strangers = tempfile::tempdir()?;
    let strangers = Pki::create(strangers.path(), &[], &[])?;
    let hour_s = 3_600;
    for (code, wanted) in [
        (pickup_code(&world.pki, "lobby", STRANGE, -60)?, "CODE_EXPIRED"),
        (altered(&letter.token), "CODE_ALTERED"),
        (pickup_code(&strangers, "lobby", STRANGE, hour_s)?, "CODE_ALTERED"),
        (pickup_code(&world.pki, "annex", STRANGE, hour_s)?, "CODE_OTHER_BANK"),
        (pickup_code(&world.pki, "lobby", STRANGE, hour_s)?, "CODE_UNKNOWN"),
        ("LK1:6BFOXN*TS0BI".to_owned(), "CODE_MALFORMED"),
        (format!("LK1:{}", "A".repeat(3_000)), "CODE_MALFORMED"),
    ] {
        assert_eq!(bank.refusal_of(&code).await?, wanted, "{code}");
    }
    assert_eq!(bank.board.pulses()?.len(), pulses_before, "nothing was opened");

    bank.collect(&letter.token).await?;
    // Within two minutes it would open the empty compartment once more, but not after a restart.
    bank.stop_agent().await?;
    bank.start_agent().await?;
    assert_eq!(bank.refusal_of(&letter.token).await?, "CODE_USED");
    assert_eq!(bank.board.pulses()?.len(), pulses_before + 1);
    Ok(())
}

#[tokio::test]
async fn a_code_of_one_bank_opens_nothing_at_another() -> Result<()> {
    let world = World::start(&["lobby", "annex"]).await?;
    let mut lobby = world.add_bank(BankSpec::new("lobby", Wire::Tcp)).await?;
    let annex = world.add_bank(BankSpec::new("annex", Wire::Tcp)).await?;
    let order = Order::small("elsewhere");
    world.carrier.send(&order, "lobby").await?;
    let badge = world.operator.badge("lobby", CARRIER).await?;
    assert_eq!(annex.refusal_of(&badge.text).await?, "CODE_OTHER_BANK");
    lobby.bring(&badge.text, &order.barcode).await?;
    let letter = wait_for_letter(&world.hub.mailbox_folder(), &order.email, NEWS).await?;
    assert_eq!(annex.refusal_of(&letter.token).await?, "CODE_OTHER_BANK");
    assert!(annex.board.pulses()?.is_empty());
    Ok(())
}
