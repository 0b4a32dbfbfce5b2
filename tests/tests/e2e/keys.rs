//! Keys are exchanged under a bank that works: nobody goes there, and what the old keys promised is kept.

use std::time::Duration;

use anyhow::Result;
use cloud_hub::pki::{DevPki, KeyKind};
use system_tests::bank::BankSpec;
use system_tests::board::Wire;
use system_tests::callers::Order;
use system_tests::mailbox::wait_for_letter;
use system_tests::tokens::pickup_code;
use system_tests::world::{CARRIER, World};

const NEWS: Duration = Duration::from_secs(15);

#[tokio::test]
async fn c10_stolen_keys_are_exchanged_and_parcels_go_on() -> Result<()> {
    let mut world = World::start(&["lobby"]).await?;
    let mut bank = world.add_bank(BankSpec::new("lobby", Wire::Tcp)).await?;
    let before = Order::small("before");
    world.carrier.send(&before, "lobby").await?;
    let badge = world.operator.badge("lobby", CARRIER).await?.text;
    bank.bring(&badge, &before.barcode).await?;
    let old_letter = wait_for_letter(&world.hub.mailbox_folder(), &before.email, NEWS).await?;

    // The command key is out at once, the credential key stays for the letters that it signed.
    let (pki, root) = (DevPki::open(world.pki.folder())?, world.pki.file("root.key"));
    pki.add_key(&root, KeyKind::Command, 2)?;
    pki.retire_key(&root, KeyKind::Command, 1)?;
    pki.add_key(&root, KeyKind::Credential, 2)?;
    world.hub.stop().await?;
    world.hub.use_keys(&[2], &[2, 1]);
    world.hub.start_again().await?;
    world
        .operator
        .wait_for_bank("lobby", "holds the new keys", |bank| bank.key_set_held == 4)
        .await?;
    bank.collect(&old_letter.token).await?;

    let after = Order::small("after");
    world.carrier.send(&after, "lobby").await?;
    let badge = world.operator.badge("lobby", CARRIER).await?.text;
    bank.bring(&badge, &after.barcode).await?;
    let letter = wait_for_letter(&world.hub.mailbox_folder(), &after.email, NEWS).await?;

    // No letter of the first credential key is left.
    pki.retire_key(&root, KeyKind::Credential, 1)?;
    world.hub.stop().await?;
    world.hub.use_keys(&[2], &[2]);
    world.hub.start_again().await?;
    world
        .operator
        .wait_for_bank("lobby", "holds the last keys", |bank| bank.key_set_held == 5)
        .await?;
    let retired = pickup_code(&world.pki, "lobby", [7; 16], 600)?;
    assert_eq!(bank.refusal_of(&retired).await?, "CODE_KEY_UNKNOWN");
    // An agent that starts again knows them from its journal.
    bank.stop_agent().await?;
    world.hub.stop().await?;
    bank.start_agent().await?;
    bank.collect(&letter.token).await?;
    Ok(())
}
