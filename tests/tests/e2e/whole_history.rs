//! A bank's history is whole: what it has lost the hub gives back, what it has sealed an auditor can
//! check, with the programs as people start them.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use locker_proto::wire::carrier::v1::parcel::State;
use system_tests::bank::BankSpec;
use system_tests::board::Wire;
use system_tests::callers::Order;
use system_tests::mailbox::wait_for_letter;
use system_tests::pki::OPERATOR;
use system_tests::processes::run;
use system_tests::wait::wait_for;
use system_tests::watch::{Seen, Watch};
use system_tests::world::{CARRIER, World};

use crate::clones::copy_folder;

const NEWS: Duration = Duration::from_secs(30);

/// `hubctl audit`, by an operator who has the bank's certificate.
pub(crate) async fn audit(world: &World, words: &[&str]) -> Result<()> {
    let files = world.pki.client("operators", OPERATOR);
    let text = |path: &Path| path.display().to_string();
    let hub = format!("https://{}", world.hub.addresses().grpc);
    let (ca, cert, key) =
        (text(&world.pki.authority()), text(&files.certificate), text(&files.key));
    let connection = ["--hub", &hub, "--ca", &ca, "--cert", &cert, "--key", &key];
    run("hubctl", &[&["audit"], words, &connection].concat()).await
}

pub(crate) async fn committed(world: &World) -> Result<u64> {
    Ok(world.operator.bank("lobby").await?.committed_seq)
}

/// Waits until the hub has more of the bank than `seq`.
async fn wait_for_more(world: &World, seq: u64) -> Result<()> {
    wait_for("the hub hears more of the bank", NEWS, async || {
        Ok((committed(world).await? > seq).then_some(()))
    })
    .await
}

#[tokio::test]
async fn p_i_an_old_copy_of_a_disk_is_given_back_what_it_lost_and_a_letters_code_opens()
-> Result<()> {
    let world = World::start(&["lobby"]).await?;
    let mut bank = world.add_bank(BankSpec::new("lobby", Wire::Tcp)).await?;
    let order = Order::small("lost");
    world.carrier.send(&order, "lobby").await?;
    let (data, old) = (world.folder().join("banks/lobby/data"), world.folder().join("old"));
    bank.stop_agent().await?;
    copy_folder(&data, &old)?;
    bank.start_agent().await?;
    // Without the hub's time no courier counts.
    bank.wait_for_screen("has the time", NEWS, |state| state.hub_connected).await?;
    let badge = world.operator.badge("lobby", CARRIER).await?;
    bank.bring(&badge.text, &order.barcode).await?;
    let letter = wait_for_letter(&world.hub.mailbox_folder(), &order.email, NEWS).await?;
    bank.stop_agent().await?;
    let known = committed(&world).await?;

    fs::remove_dir_all(&data)?;
    copy_folder(&old, &data)?;
    bank.start_agent().await?;
    wait_for_more(&world, known).await?;
    bank.wait_for_screen("has its records back", NEWS, |state| state.hub_connected).await?;
    let mut watch = Watch::from_beginning(&world.carrier);
    bank.collect(&letter.token).await?;
    let is_collected = |seen: &Seen| seen.state == State::Collected;
    watch.until("the pickup", NEWS, is_collected).await?;
    assert_eq!(world.operator.bank("lobby").await?.stopped_reason, "");
    audit(&world, &["verify", "lobby"]).await
}

#[tokio::test]
async fn an_auditor_finds_a_banks_history_sealed_and_a_changed_file_out() -> Result<()> {
    let world = World::start(&["lobby"]).await?;
    let mut bank = world.add_bank(BankSpec::new("lobby", Wire::Tcp)).await?;
    let order = Order::small("proven");
    world.carrier.send(&order, "lobby").await?;
    let badge = world.operator.badge("lobby", CARRIER).await?;
    bank.bring(&badge.text, &order.barcode).await?;
    let letter = wait_for_letter(&world.hub.mailbox_folder(), &order.email, NEWS).await?;
    let mut watch = Watch::from_beginning(&world.carrier);
    bank.collect(&letter.token).await?;
    watch.until("the pickup", NEWS, |seen: &Seen| seen.state == State::Collected).await?;
    // A bank seals when it introduces itself.
    let known = committed(&world).await?;
    bank.stop_agent().await?;
    bank.start_agent().await?;
    wait_for_more(&world, known).await?;

    let certificate = world.pki.client("banks", "lobby").certificate.display().to_string();
    audit(&world, &["verify", "lobby", "--certificate", &certificate]).await?;
    let file = world.folder().join("proven.evidence");
    let path = file.display().to_string();
    let parcel = format!("{CARRIER}/proven");
    let bundle = ["bundle", &parcel, "--out", &path, "--certificate", &certificate];
    audit(&world, &bundle).await?;
    let authority = world.pki.authority().display().to_string();
    run("hubctl", &["audit", "check", &path, "--ca", &authority]).await?;

    let mut bytes = fs::read(&file)?;
    let middle = bytes.len() / 2;
    let byte = bytes.get_mut(middle).context("the file is empty")?;
    *byte ^= 1;
    fs::write(&file, bytes)?;
    let checked = run("hubctl", &["audit", "check", &path, "--ca", &authority]).await;
    ensure!(checked.is_err(), "a changed file was believed");
    Ok(())
}
