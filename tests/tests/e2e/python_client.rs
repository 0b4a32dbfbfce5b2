//! A carrier in another language: Python with grpcio and stubs made from the .proto files as they
//! lie here.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use system_tests::bank::BankSpec;
use system_tests::board::Wire;
use system_tests::callers::Order;
use system_tests::mailbox::wait_for_letter;
use system_tests::world::{CARRIER, World};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::Command;

use crate::venv::{python, root};

const NEWS: Duration = Duration::from_secs(15);
/// Generating stubs and importing grpcio takes seconds.
const SCRIPT_LIMIT: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_python_client_creates_a_parcel_and_follows_it_to_collected() -> Result<()> {
    let python = python()?;
    let world = World::start(&["lobby"]).await?;
    let mut bank = world.add_bank(BankSpec::new("lobby", Wire::Tcp)).await?;
    let order = Order::small("from-python");
    let client = world.pki.client("carriers", CARRIER);
    let stubs = tempfile::tempdir()?;

    let mut script = Command::new(python)
        .arg("-B")
        .arg(root().join("tests/python/follow_parcel.py"))
        .arg("--repository")
        .arg(root())
        .arg("--stubs")
        .arg(stubs.path())
        .args(["--address", &world.hub.addresses().grpc.to_string(), "--carrier", CARRIER])
        .arg("--ca")
        .arg(world.pki.authority())
        .arg("--certificate")
        .arg(&client.certificate)
        .arg("--key")
        .arg(&client.key)
        .args(["--parcel", &order.name, "--barcode", &order.barcode, "--email", &order.email])
        .args(["--bank", "lobby"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut lines = BufReader::new(script.stdout.take().context("piped")?).lines();
    let mut complaints = script.stderr.take().context("piped")?;
    let followed = async {
        let mut said = Vec::new();
        while let Some(line) = lines.next_line().await? {
            said.push(line.clone());
            match line.as_str() {
                "BOOKED" => {
                    let badge = world.operator.badge("lobby", CARRIER).await?;
                    bank.bring(&badge.text, &order.barcode).await?;
                }
                "STORED" => {
                    let mailbox = world.hub.mailbox_folder();
                    let letter = wait_for_letter(&mailbox, &order.email, NEWS).await?;
                    bank.collect(&letter.token).await?;
                }
                _ => {}
            }
        }
        anyhow::Ok(said)
    };
    let said = tokio::time::timeout(SCRIPT_LIMIT, followed).await.context("the script hangs")??;
    let status = script.wait().await?;
    let mut complaint = String::new();
    complaints.read_to_string(&mut complaint).await?;
    ensure!(status.success(), "the script ended with {status}: {said:?}\n{complaint}");
    let wanted = [
        "REFLECTED",
        "SERVING",
        "DENIED OTHER_CARRIER",
        "ANNOUNCED",
        "BOOKED",
        "DEPOSITING",
        "STORED",
        "COLLECTING",
        "COLLECTED",
    ];
    assert_eq!(said, wanted);
    Ok(())
}
