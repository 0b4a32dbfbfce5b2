//! A courier without a badge: the carrier reads the digits of the day from the hub, the courier types
//! them at the panel.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use locker_proto::wire::carrier::v1::courier_service_client::CourierServiceClient;
use locker_proto::wire::carrier::v1::parcel::State;
use locker_proto::wire::carrier::v1::{KeypadCode, ListKeypadCodesRequest};
use locker_proto::wire::fleet::v1::SetKeypadCouriersRequest;
use system_tests::bank::{Bank, BankSpec};
use system_tests::board::Wire;
use system_tests::callers::{Carrier, Order, reason, request_id, timed};
use system_tests::hub::HubOptions;
use system_tests::panel::Refused;
use system_tests::wait::{now_ms, wait_for};
use system_tests::watch::{Seen, Watch};
use system_tests::world::{CARRIER, OTHER_CARRIER, World};
use tonic::Status;

const NEWS: Duration = Duration::from_secs(15);

/// Who has codes at the bank from now on; ends when the bank knows.
async fn allow(world: &World, bank: &str, carriers: &[&str]) -> Result<()> {
    let carriers: Vec<String> = carriers.iter().map(|name| format!("carriers/{name}")).collect();
    let request = SetKeypadCouriersRequest {
        name: format!("banks/{bank}"),
        carriers: carriers.clone(),
        request_id: request_id(),
    };
    let bank_set = world.operator.client().set_keypad_couriers(timed(request)).await?.into_inner();
    assert!(!bank_set.keypad_codes_held, "the bank has to hear of it first");
    let knows = |bank: &locker_proto::wire::fleet::v1::Bank| {
        bank.keypad_codes_held && bank.keypad_couriers == carriers
    };
    world.operator.wait_for_bank(bank, "holds the couriers' codes", knows).await.map(drop)
}

async fn listed(world: &World, carrier: &str, bank: &str) -> Result<Vec<KeypadCode>, Status> {
    let channel = world.hub.channel(&world.pki, "carriers", carrier);
    let channel = channel.map_err(|error| Status::internal(error.to_string()))?;
    let request = ListKeypadCodesRequest {
        parent: format!("carriers/{carrier}"),
        bank: format!("banks/{bank}"),
    };
    let mut client = CourierServiceClient::new(channel);
    Ok(client.list_keypad_codes(timed(request)).await?.into_inner().codes)
}

/// The carrier's codes once the bank holds all of them.
async fn codes_of(world: &World, carrier: &str, bank: &str) -> Result<Vec<KeypadCode>> {
    let what = format!("{bank} holds the codes of {carrier}");
    wait_for(&what, NEWS, async || {
        let codes = listed(world, carrier, bank).await?;
        Ok((!codes.is_empty() && codes.iter().all(|code| code.held)).then_some(codes))
    })
    .await
}

/// The digits that are good now; of two at midnight the newer ones.
fn digits_of_today(codes: &[KeypadCode]) -> Result<&str> {
    let now_s = i64::try_from(now_ms() / 1_000)?;
    let began = |code: &&KeypadCode| code.valid_from.is_some_and(|from| from.seconds <= now_s);
    let today = codes.iter().rfind(began).context("there is no code of today")?;
    ensure!(today.valid_until.is_some_and(|until| until.seconds > now_s), "today's is over");
    Ok(&today.digits)
}

/// A courier types digits and is signed in.
async fn sign_in_by_digits(bank: &Bank, digits: &str) -> Result<()> {
    match bank.panel.type_digits(digits, None).await? {
        Ok(_) => Ok(()),
        Err(refused) => anyhow::bail!("a courier's digits were refused: {refused:?}"),
    }
}

/// Why a label is refused that the bank has heard of, or is about to.
async fn refusal_of_label(bank: &Bank, barcode: &str) -> Result<String> {
    wait_for("the label is refused for good", NEWS, async || {
        match bank.panel.scan(barcode).await? {
            Err(Refused(reason)) if reason == "BARCODE_UNKNOWN" => Ok(None),
            Err(Refused(reason)) => Ok(Some(reason)),
            Ok(state) => anyhow::bail!("the label was taken: {state:?}"),
        }
    })
    .await
}

#[tokio::test]
async fn c09_a_courier_signs_in_with_the_digits_of_the_day_for_his_carriers_parcels_only()
-> Result<()> {
    let options = HubOptions { codes: true, ..HubOptions::default() };
    let world = World::start_with(&["lobby"], options).await?;
    let mut bank = world.add_bank(BankSpec::new("lobby", Wire::Tcp)).await?;
    let denied = listed(&world, CARRIER, "lobby").await.expect_err("nobody is allowed codes");
    assert_eq!(reason(&denied), "KEYPAD_NOT_ALLOWED");

    allow(&world, "lobby", &[CARRIER]).await?;
    let codes = codes_of(&world, CARRIER, "lobby").await?;
    assert!((3..=4).contains(&codes.len()), "one for each of the days without the hub: {codes:?}");
    let later = codes.last().context("no code")?.digits.clone();
    let denied = listed(&world, OTHER_CARRIER, "lobby").await.expect_err("only one is allowed");
    assert_eq!(reason(&denied), "KEYPAD_NOT_ALLOWED");

    let order = Order::small("by-digits");
    world.carrier.send(&order, "lobby").await?;
    let rival = Carrier::new(&world.hub, &world.pki, OTHER_CARRIER)?;
    let foreign = Order::small("foreign");
    rival.send(&foreign, "lobby").await?;

    let today = digits_of_today(&codes)?.to_owned();
    sign_in_by_digits(&bank, &today).await?;
    assert_eq!(refusal_of_label(&bank, &foreign.barcode).await?, "OTHER_CARRIERS_PARCEL");
    bank.deposit(&order.barcode).await?;
    bank.sign_out().await?;
    let mut watch = Watch::from_beginning(&world.carrier);
    watch.until("the deposit", NEWS, |seen| seen.state == State::Stored).await?;
    assert_eq!(bank.board.pulses()?.len(), 1);

    // The code of another day is as wrong as any other; the right one goes on to work.
    assert_eq!(bank.refusal_of_digits(&later, None).await?, "CODE_WRONG");
    bank.wait_for_keypad().await?;
    sign_in_by_digits(&bank, &today).await?;
    bank.sign_out().await?;

    allow(&world, "lobby", &[]).await?;
    assert_eq!(bank.refusal_of_digits(&today, None).await?, "CODE_WRONG");
    let denied = listed(&world, CARRIER, "lobby").await.expect_err("it was taken away");
    assert_eq!(reason(&denied), "KEYPAD_NOT_ALLOWED");
    assert_eq!(bank.board.pulses()?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn c09_the_digits_of_the_day_sign_in_while_the_hub_is_down() -> Result<()> {
    let options = HubOptions { codes: true, ..HubOptions::default() };
    let mut world = World::start_with(&["lobby"], options).await?;
    let mut bank = world.add_bank(BankSpec::new("lobby", Wire::Pty)).await?;
    allow(&world, "lobby", &[CARRIER]).await?;
    let codes = codes_of(&world, CARRIER, "lobby").await?;
    let (first, second) = (Order::small("first"), Order::small("second"));
    for order in [&first, &second] {
        world.carrier.send(order, "lobby").await?;
    }
    // A bank that has heard of the second has heard of the first.
    sign_in_by_digits(&bank, digits_of_today(&codes)?).await?;
    bank.deposit(&second.barcode).await?;
    bank.sign_out().await?;

    world.hub.kill()?;
    sign_in_by_digits(&bank, digits_of_today(&codes)?).await?;
    bank.deposit(&first.barcode).await?;
    bank.sign_out().await?;
    world.hub.start_again().await?;
    let mut watch = Watch::from_beginning(&world.carrier);
    let is_stored = |seen: &Seen| seen.parcel == first.name && seen.state == State::Stored;
    watch.until("the deposit", NEWS, is_stored).await?;
    Ok(())
}
