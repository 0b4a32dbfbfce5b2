//! Power cuts, again and again: the hub between a deposit and its watermark, the agent between a
//! pulse and what became of it. Nobody is told anything twice, and no door moves without its intent.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, ensure};
use locker_proto::wire::carrier::v1::parcel::State;
use system_tests::bank::{Bank, BankSpec, SMALL};
use system_tests::board::{Doors, Wire};
use system_tests::callers::Order;
use system_tests::hub::HubOptions;
use system_tests::mailbox::{letters, wait_for_letter};
use system_tests::records::intents;
use system_tests::visit::opening;
use system_tests::wait::{now_ms, wait_for};
use system_tests::watch::Watch;
use system_tests::world::{CARRIER, World};

/// How often the hub is killed; three of four times before the bank can have heard of the commit.
const HUB_KILLS: usize = 28;
/// How often the agent is killed, half of the times in a deposit.
const AGENT_KILLS: usize = 22;
/// A deliverer that died with a letter in its hand is given up after this long: the least that the
/// hub allows.
const SHORT_LEASE: &str = "[store.limits]\nnotice_lease_ms = 40000\n\
    [notices.limits]\nlook_every_ms = 100\n";
const LETTER_LIMIT: Duration = Duration::from_secs(60);
/// A door counts as shut once it stayed so for half a second; nobody comes back earlier than that.
const SHUT_FOR_SURE_MS: u64 = 700;
const NEWS: Duration = Duration::from_secs(20);

/// A bank with room for all, whose people are quick.
fn spec(rooms: usize) -> BankSpec {
    let doors = Doors {
        open_after: Duration::from_millis(150),
        shut_after: Some(Duration::from_millis(400)),
    };
    let rooms = vec![SMALL; rooms];
    BankSpec { rooms, doors, shut_stable_ms: 60, ..BankSpec::new("lobby", Wire::Tcp) }
}

#[tokio::test]
async fn killing_the_hub_between_deposit_and_watermark_loses_and_doubles_nothing() -> Result<()> {
    let options = HubOptions { tables: SHORT_LEASE.to_owned(), ..HubOptions::default() };
    let mut world = World::start_with(&["lobby"], options).await?;
    let mut bank = world.add_bank(spec(HUB_KILLS)).await?;
    let orders: Vec<_> = (0..HUB_KILLS).map(|n| Order::small(&format!("p{n}"))).collect();
    for order in &orders {
        world.carrier.send(order, "lobby").await?;
    }
    let badge = world.operator.badge("lobby", CARRIER).await?;
    bank.sign_in(&badge.text).await?;
    let mut watch = Watch::from_beginning(&world.carrier);
    for (n, order) in orders.iter().enumerate() {
        bank.deposit(&order.barcode).await?;
        // The bank has it. Kill at once, when the carrier has heard, or when the letter is written.
        match n % 4 {
            0 | 1 => {}
            2 => {
                watch.until("the deposit", NEWS, |seen| is(order, State::Stored, seen)).await?;
            }
            _ => {
                wait_for_letter(&world.hub.mailbox_folder(), &order.email, NEWS).await?;
            }
        }
        world.hub.kill()?;
        world.hub.start_again().await?;
    }
    for order in &orders {
        wait_for_letter(&world.hub.mailbox_folder(), &order.email, LETTER_LIMIT).await?;
    }
    watch.until_caught_up(NEWS).await?;
    assert_each_once(&watch);
    let life = [State::Announced, State::Booked, State::Depositing, State::Stored];
    for order in &orders {
        assert_eq!(watch.states_of(&order.name), life, "{}", order.name);
    }
    let mail = letters(&world.hub.mailbox_folder())?;
    let ids: BTreeSet<_> = mail.iter().map(|letter| &letter.id).collect();
    assert_eq!((mail.len(), ids.len()), (HUB_KILLS, HUB_KILLS), "each notice once");
    assert_pulses_have_intents(&world, &bank, HUB_KILLS).await
}

#[tokio::test]
async fn killing_the_agent_between_pulse_and_observation_opens_nothing_twice() -> Result<()> {
    let deposits = AGENT_KILLS / 2;
    let mut world = World::start(&["lobby"]).await?;
    let mut bank = world.add_bank(spec(deposits + 1)).await?;
    let badge = world.operator.badge("lobby", CARRIER).await?.text;
    let good = Order::small("good");
    world.carrier.send(&good, "lobby").await?;
    bank.bring(&badge, &good.barcode).await?;
    let letter = wait_for_letter(&world.hub.mailbox_folder(), &good.email, NEWS).await?;

    let mut lost = Vec::new();
    for n in 0..deposits {
        let order = Order::small(&format!("lost{n}"));
        world.carrier.send(&order, "lobby").await?;
        bank.sign_in(&badge).await?;
        bank.scan_label(&order.barcode).await?;
        kill_agent_after_pulse(&mut bank, n + 2).await?;
        // Nobody knows whether the parcel is inside: not again, and staff must look.
        wait_until_connected(&mut bank).await?;
        bank.sign_in(&badge).await?;
        assert_eq!(bank.refusal_of(&order.barcode).await?, "PARCEL_UNRESOLVED");
        lost.push(order);
    }
    for n in 0..AGENT_KILLS - deposits {
        let taken = bank.panel.scan(&letter.token).await?;
        ensure!(taken.is_ok(), "pickup {n} was refused: {taken:?}");
        kill_agent_after_pulse(&mut bank, deposits + n + 2).await?;
        wait_until_connected(&mut bank).await?;
    }
    // The code was never used up: whoever has it gets the parcel.
    bank.collect(&letter.token).await?;

    let mut watch = Watch::from_beginning(&world.carrier);
    watch.until("the pickup", NEWS, |seen| is(&good, State::Collected, seen)).await?;
    watch.until_caught_up(NEWS).await?;
    // The watch was opened twice but went on by its token.
    assert_each_once(&watch);
    for order in &lost {
        let states = watch.states_of(&order.name);
        let life = [State::Announced, State::Booked, State::Depositing, State::Unresolved];
        assert_eq!(states, life, "{}", order.name);
    }
    let count = |wanted| watch.states_of("good").iter().filter(|state| **state == wanted).count();
    assert_eq!(count(State::Collected), 1);
    assert_eq!(count(State::Collecting), AGENT_KILLS - deposits + 1);
    assert_eq!(letters(&world.hub.mailbox_folder())?.len(), 1);
    assert_pulses_have_intents(&world, &bank, AGENT_KILLS + 2).await?;
    world.hub.stop().await
}

/// Waits for the `pulses`-th pulse in the board's own log, kills the agent before it can have seen
/// the door, and starts it again.
async fn kill_agent_after_pulse(bank: &mut Bank, pulses: usize) -> Result<()> {
    let pulsed_ms = wait_for("the lock is pulsed", NEWS, async || {
        Ok(bank.board.pulses()?.get(pulses - 1).map(|pulse| pulse.t_ms))
    })
    .await?;
    bank.kill_agent()?;
    bank.start_agent().await?;
    wait_for("the next person is there", NEWS, async || {
        let shut_ms = bank.board.moved_ms("closed", pulsed_ms)?;
        Ok(shut_ms.filter(|shut_ms| now_ms() >= shut_ms + SHUT_FOR_SURE_MS))
    })
    .await?;
    let state = bank.panel.state().await?;
    ensure!(opening(&state).is_none(), "an opening went on after the restart: {state:?}");
    Ok(())
}

/// With the hub it has the time, and its boards have told how the doors are.
async fn wait_until_connected(bank: &mut Bank) -> Result<()> {
    bank.wait_for_screen("is connected again", NEWS, |state| state.hub_connected).await.map(drop)
}

fn is(order: &Order, state: State, seen: &system_tests::watch::Seen) -> bool {
    (seen.parcel.as_str(), seen.state) == (order.name.as_str(), state)
}

fn assert_each_once(watch: &Watch) {
    let repeated: Vec<_> = watch.seen.iter().filter(|seen| seen.repeated).collect();
    assert!(repeated.is_empty(), "came twice: {repeated:#?}");
}

/// As many pulses as expected in the board's log, and as many intents in the hub's records, all of
/// them different.
async fn assert_pulses_have_intents(world: &World, bank: &Bank, expected: usize) -> Result<()> {
    let pulses = bank.board.pulses()?.len();
    assert_eq!(pulses, expected, "pulses");
    let store = world.hub.store_file();
    let intents = wait_for("the hub has every intent", NEWS, async || {
        let intents = intents(&store, "lobby").await?;
        Ok((intents.len() >= pulses).then_some(intents))
    })
    .await?;
    let different: BTreeSet<_> = intents.iter().collect();
    assert_eq!((intents.len(), different.len()), (pulses, pulses), "intents");
    let faults: Vec<_> =
        bank.board.log()?.into_iter().filter(|line| line.fault.is_some()).collect();
    assert!(faults.is_empty(), "{faults:?}");
    Ok(())
}
