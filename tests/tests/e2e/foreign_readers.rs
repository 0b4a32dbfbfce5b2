//! The notice's code in other people's hands: zbar reads the picture, Python libraries check the
//! signature.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cloud_hub::pki::PublicKey;
use locker_core::ids::BankId;
use serde_json::Value;
use system_tests::bank::BankSpec;
use system_tests::board::Wire;
use system_tests::callers::Order;
use system_tests::mailbox::wait_for_letter;
use system_tests::world::{CARRIER, World};
use tokio::process::Command;

use crate::venv::run_script;

const NEWS: Duration = Duration::from_secs(15);

#[tokio::test]
async fn a_notice_is_read_by_zbar_and_checked_by_a_python_cose_library() -> Result<()> {
    let world = World::start(&["lobby"]).await?;
    let mut bank = world.add_bank(BankSpec::new("lobby", Wire::Tcp)).await?;
    let order = Order::small("read");
    world.carrier.send(&order, "lobby").await?;
    let badge = world.operator.badge("lobby", CARRIER).await?;
    bank.bring(&badge.text, &order.barcode).await?;
    let letter = wait_for_letter(&world.hub.mailbox_folder(), &order.email, NEWS).await?;

    assert_eq!(read_qr(&world, "notice", &letter.qr_png).await?, letter.token);
    assert_eq!(read_qr(&world, "badge", &badge.qr_png).await?, badge.text);

    let public = PublicKey::load(&world.pki.file("credential-1.pub"))?.to_string();
    let claims = run_script("verify_token.py", &[&letter.token, &public]).await?;
    let claims: Value = serde_json::from_str(&claims)?;
    let expires = world.carrier.get("read").await?.expire_time.context("it is stored")?;
    let tag = "lobby".parse::<BankId>()?.tag();
    let wanted = serde_json::json!({
        "kid": "01", "exp": expires.seconds, "cti_bytes": 16, "scope": "p", "bank_tag": tag,
    });
    assert_eq!(claims, wanted);

    let other = PublicKey::load(&world.pki.file("command-1.pub"))?.to_string();
    let refused = run_script("verify_token.py", &[&letter.token, &other]).await;
    assert!(refused.is_err(), "another key must not do");
    Ok(())
}

async fn read_qr(world: &World, name: &str, png: &[u8]) -> Result<String> {
    let file = world.folder().join(format!("{name}.png"));
    std::fs::write(&file, png)?;
    let mut zbarimg = Command::new("zbarimg");
    let zbarimg = zbarimg.args(["--quiet", "--raw", "--oneshot"]).arg(&file).output().await;
    let output = zbarimg.context("zbarimg is missing: run `cargo xtask setup`")?;
    ensure!(output.status.success(), "zbarimg found nothing in {}", file.display());
    Ok(String::from_utf8(output.stdout)?.trim_end_matches('\n').to_owned())
}
