//! Parcels that cannot be taken: at the screen and over gRPC with the same typed reason.

use anyhow::Result;
use edge_agent::bank::PanelPhase;
use locker_proto::wire::carrier::v1::parcel::State;
use system_tests::bank::{BankSpec, LARGE, SMALL};
use system_tests::board::Wire;
use system_tests::callers::{Carrier, Order, reason};
use system_tests::panel::{DoorAction, Outcome};
use system_tests::visit::opening;
use system_tests::world::{CARRIER, OTHER_CARRIER, World};
use tonic::{Code, Status};

#[tokio::test]
async fn a_parcel_that_fits_nowhere_or_finds_no_room_is_not_booked() -> Result<()> {
    let world = World::start(&["lobby"]).await?;
    let spec = BankSpec { rooms: vec![SMALL, SMALL], ..BankSpec::new("lobby", Wire::Tcp) };
    let _bank = world.add_bank(spec).await?;

    let large = Order { size_mm: [101, 120, 130], ..Order::small("large") };
    world.carrier.announce(&large).await?;
    let status = world.carrier.book("large", "lobby").await.unwrap_err();
    assert_eq!(answer(&status), (Code::FailedPrecondition, "PARCEL_TOO_LARGE".to_owned()));

    world.carrier.send(&Order::small("one"), "lobby").await?;
    world.carrier.send(&Order::small("two"), "lobby").await?;
    world.carrier.announce(&Order::small("three")).await?;
    let status = world.carrier.book("three", "lobby").await.unwrap_err();
    assert_eq!(answer(&status), (Code::ResourceExhausted, "NO_FREE_COMPARTMENT".to_owned()));
    assert_eq!(world.carrier.get("three").await?.state(), State::Announced);

    let status = world.carrier.book("three", "nowhere").await.unwrap_err();
    assert_eq!(answer(&status), (Code::NotFound, "BANK_UNKNOWN".to_owned()));

    world.carrier.cancel("one").await?;
    world.carrier.book("three", "lobby").await?;
    Ok(())
}

#[tokio::test]
async fn labels_that_a_courier_may_not_deposit_are_refused() -> Result<()> {
    let world = World::start(&["lobby"]).await?;
    let mut bank = world.add_bank(BankSpec::new("lobby", Wire::Tcp)).await?;
    let rival = Carrier::new(&world.hub, &world.pki, OTHER_CARRIER)?;
    let foreign = Order::small("foreign");
    let gone = Order::small("gone");
    let mine = Order::small("mine");
    rival.send(&foreign, "lobby").await?;
    world.carrier.send(&gone, "lobby").await?;
    world.carrier.cancel("gone").await?;
    world.carrier.send(&mine, "lobby").await?;
    assert_eq!(bank.refusal_of(&mine.barcode).await?, "NO_SESSION");

    let badge = world.operator.badge("lobby", CARRIER).await?;
    bank.sign_in(&badge.text).await?;
    // The last of the hub's decisions arrives last.
    bank.deposit(&mine.barcode).await?;
    for (label, wanted) in [
        ("NO-SUCH-LABEL", "BARCODE_UNKNOWN"),
        ("two words", "BARCODE_UNKNOWN"),
        (&foreign.barcode, "OTHER_CARRIERS_PARCEL"),
        (&gone.barcode, "PARCEL_CANCELLED"),
        (&mine.barcode, "ALREADY_DEPOSITED"),
    ] {
        assert_eq!(bank.refusal_of(label).await?, wanted, "{label}");
    }
    assert_eq!(bank.board.pulses()?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_bank_whose_last_lock_failed_says_that_it_is_full() -> Result<()> {
    let world = World::start(&["lobby"]).await?;
    let rooms = vec![SMALL, SMALL];
    let mut bank = world.add_bank(BankSpec { rooms, ..BankSpec::new("lobby", Wire::Tcp) }).await?;
    let (first, second) = (Order::small("first"), Order::small("second"));
    world.carrier.send(&first, "lobby").await?;
    world.carrier.send(&second, "lobby").await?;
    bank.board.command("jam 0 on").await?;

    let badge = world.operator.badge("lobby", CARRIER).await?;
    bank.sign_in(&badge.text).await?;
    bank.scan_label(&first.barcode).await?;
    let is_stuck = |state: &_| opening(state) == Some((1, PanelPhase::Stuck));
    let limit = std::time::Duration::from_secs(10);
    bank.wait_for_screen("asks to push the door", limit, is_stuck).await?;
    bank.panel.door(DoorAction::Again).await?.expect("a second try is allowed");
    let goes_on = |state: &_| opening(state) == Some((2, PanelPhase::Shut));
    bank.wait_for_screen("opens the other compartment", limit, goes_on).await?;
    bank.panel.done(Outcome::DEPOSITED).await?.expect("the parcel is inside");

    assert_eq!(bank.refusal_of(&second.barcode).await?, "NO_FREE_COMPARTMENT");
    let locks: Vec<u8> = bank.board.pulses()?.iter().map(|pulse| pulse.lock).collect();
    assert_eq!(locks, [0, 0, 1], "never more than two pulses for one opening");
    let failed = |bank: &locker_proto::wire::fleet::v1::Bank| {
        bank.compartments.iter().any(|held| held.number == 1 && held.health == "OPEN_FAILED")
    };
    world.operator.wait_for_bank("lobby", "reports the lock", failed).await?;
    Ok(())
}

#[tokio::test]
async fn a_parcel_that_does_not_fit_after_all_goes_into_a_larger_compartment() -> Result<()> {
    let world = World::start(&["lobby"]).await?;
    let rooms = vec![SMALL, LARGE];
    let mut bank = world.add_bank(BankSpec { rooms, ..BankSpec::new("lobby", Wire::Tcp) }).await?;
    let order = Order::small("bulky");
    world.carrier.send(&order, "lobby").await?;
    let badge = world.operator.badge("lobby", CARRIER).await?;
    bank.sign_in(&badge.text).await?;
    bank.scan_label(&order.barcode).await?;
    assert_eq!(bank.wait_until_asked().await?.0, 1);
    bank.panel.done(Outcome::DoesNotFit).await?.expect("the courier may say so");
    assert_eq!(bank.wait_until_asked().await?.0, 2);
    bank.panel.done(Outcome::DEPOSITED).await?.expect("the parcel is inside");
    let inside = |bank: &locker_proto::wire::fleet::v1::Bank| {
        let allocations: Vec<_> =
            bank.compartments.iter().map(|held| held.allocation.as_str()).collect();
        allocations == ["FREE", "OCCUPIED"]
    };
    world.operator.wait_for_bank("lobby", "shows where it is", inside).await?;
    Ok(())
}

fn answer(status: &Status) -> (Code, String) {
    (status.code(), reason(status))
}
