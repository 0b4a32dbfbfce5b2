//! A bad line between a bank and its hub. Under TLS nobody on the line can say a thing twice or change
//! it: what can happen is that it comes late, not at all, or ends in the middle.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use locker_proto::wire::carrier::v1::parcel::State;
use locker_proto::wire::fleet::v1::Bank as BankSeen;
use system_tests::bank::{Bank, BankSpec, SMALL};
use system_tests::board::{Doors, Wire};
use system_tests::callers::Order;
use system_tests::hub::{Addresses, HubOptions};
use system_tests::mailbox::{wait_for_letter, wait_for_subject};
use system_tests::proxy::{Line, Proxy};
use system_tests::records::intents;
use system_tests::wait::wait_for;
use system_tests::watch::Watch;
use system_tests::world::{CARRIER, World};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const NEWS: Duration = Duration::from_secs(30);
const PARCELS: usize = 6;
/// What the line does while parcels flow, over and over: what, for how long, and whether everybody is
/// cut off after it.
const WEATHER: [(Line, Duration, bool); 7] = [
    (Line::Fair, Duration::from_millis(800), false),
    (Line::Late(Duration::from_millis(30)), Duration::from_millis(900), false),
    (Line::Stalled, Duration::from_millis(500), false),
    (Line::Fair, Duration::from_millis(500), true),
    (Line::Fair, Duration::from_millis(600), false),
    (Line::Deaf, Duration::from_millis(400), true),
    (Line::Down, Duration::from_millis(300), false),
];
const LIFE: [State; 6] = [
    State::Announced,
    State::Booked,
    State::Depositing,
    State::Stored,
    State::Collecting,
    State::Collected,
];

/// A hub, and a bank behind a line.
async fn behind_a_line(hub: HubOptions) -> Result<(World, Proxy, Bank, String)> {
    let world = World::start_with(&["lobby"], hub).await?;
    let hub = world.hub.addresses();
    let line = Proxy::start(hub.mqtt).await?;
    let doors = Doors {
        open_after: Duration::from_millis(80),
        shut_after: Some(Duration::from_millis(250)),
    };
    let rooms = vec![SMALL; PARCELS];
    let spec = BankSpec { rooms, doors, shut_stable_ms: 60, ..BankSpec::new("lobby", Wire::Tcp) };
    world.operator.create_bank(&spec).await?;
    let folder = world.folder().join("banks/lobby");
    let through = Addresses { mqtt: line.address(), ..hub };
    let bank = Bank::start(&folder, spec, &world.pki, through).await?;
    world.operator.wait_until_ready("lobby").await?;
    let badge = world.operator.badge("lobby", CARRIER).await?.text;
    Ok((world, line, bank, badge))
}

/// Each pulse has one intent of its own, in the board's log and in the hub's store; nothing was told
/// twice, and the hub has no objection to the bank.
async fn ensure_once(world: &World, bank: &Bank, watch: &mut Watch, pulses: usize) -> Result<()> {
    let store = world.hub.store_file();
    let known = wait_for("the hub has every intent", NEWS, async || {
        let known = intents(&store, "lobby").await?;
        Ok((known.len() >= pulses).then_some(known))
    })
    .await?;
    let different: BTreeSet<_> = known.iter().collect();
    let pulsed = bank.board.pulses()?.len();
    assert_eq!((pulsed, known.len(), different.len()), (pulses, pulses, pulses));
    watch.until_caught_up(NEWS).await?;
    let twice = watch.seen.iter().filter(|seen| seen.repeated).count();
    assert_eq!(twice, 0, "events came twice");
    assert_eq!(world.operator.bank("lobby").await?.stopped_reason, "");
    Ok(())
}

#[tokio::test]
async fn r13_parcels_keep_flowing_over_a_line_that_cuts_stalls_and_is_late() -> Result<()> {
    let (world, line, mut bank, badge) = behind_a_line(HubOptions::default()).await?;
    let weather = async {
        loop {
            for (state, how_long, then_cut) in WEATHER {
                line.turn(state);
                // The fault is that this much time passes.
                tokio::time::sleep(how_long).await;
                if then_cut {
                    line.cut();
                }
            }
        }
    };
    let flow = async {
        for n in 0..PARCELS {
            let order = Order::small(&format!("p{n}"));
            world.carrier.send(&order, "lobby").await?;
            bank.bring(&badge, &order.barcode).await?;
            let mailbox = world.hub.mailbox_folder();
            let letter = wait_for_letter(&mailbox, &order.email, NEWS).await?;
            bank.collect(&letter.token).await?;
        }
        anyhow::Ok(())
    };
    tokio::select! {
        flowed = Box::pin(flow) => flowed?,
        () = weather => {}
    }
    line.turn(Line::Fair);
    let mut watch = Watch::from_beginning(&world.carrier);
    let last = format!("p{}", PARCELS - 1);
    let is_over =
        |seen: &system_tests::watch::Seen| seen.parcel == last && seen.state == State::Collected;
    watch.until("the last pickup", NEWS, is_over).await?;
    ensure_once(&world, &bank, &mut watch, 2 * PARCELS).await?;
    for n in 0..PARCELS {
        assert_eq!(watch.states_of(&format!("p{n}")), LIFE, "p{n}");
    }
    let moved = line.moved();
    println!("{PARCELS} parcels in and out, 0 lost, 0 doubled; the line: {moved:?}");
    assert!(moved.cut >= 3 && moved.connections >= 3 && moved.late > 0, "{moved:?}");
    Ok(())
}

#[tokio::test]
async fn r04_what_was_never_acknowledged_is_said_again_and_counts_once() -> Result<()> {
    let (world, line, mut bank, badge) = behind_a_line(HubOptions::default()).await?;
    let orders = [0, 1, 2].map(|n| Order::small(&format!("p{n}")));
    for order in &orders {
        world.carrier.send(order, "lobby").await?;
    }
    let mut watch = Watch::from_beginning(&world.carrier);
    for order in &orders {
        // The bank has the booking before its ears are shut.
        bank.sign_in(&badge).await?;
        let (_, scanned_ms) = bank.scan_label(&order.barcode).await?;
        let known = world.operator.bank("lobby").await?.committed_seq;
        line.turn(Line::Deaf);
        bank.store(scanned_ms).await?;
        bank.sign_out().await?;
        // The hub has some of it, and says so; its word is on the line, and is lost with it.
        let hears = |bank: &BankSeen| bank.committed_seq > known;
        world.operator.wait_for_bank("lobby", "is heard by the hub", hears).await?;
        let before = line.moved().connections;
        line.cut();
        line.turn(Line::Fair);
        wait_for("the bank connects anew", NEWS, async || {
            Ok((line.moved().connections > before).then_some(()))
        })
        .await?;
        bank.wait_for_screen("is connected again", NEWS, |state| state.hub_connected).await?;
        let is_stored = |seen: &system_tests::watch::Seen| {
            seen.parcel == order.name && seen.state == State::Stored
        };
        watch.until("the deposit", NEWS, is_stored).await?;
        world.operator.wait_until_ready("lobby").await?;
    }
    ensure_once(&world, &bank, &mut watch, orders.len()).await?;
    for order in &orders {
        assert_eq!(watch.states_of(&order.name), LIFE[..4], "{}", order.name);
    }
    let moved = line.moved();
    assert!(moved.cut >= 3 && moved.late >= 3, "{moved:?}");
    println!("3 deposits whose acknowledgement was lost, each counted once; the line: {moved:?}");
    Ok(())
}

#[tokio::test]
async fn r01_bytes_that_come_twice_end_the_connection_and_count_once() -> Result<()> {
    let (world, line, mut bank, badge) = behind_a_line(HubOptions::default()).await?;
    let order = Order::small("twice");
    world.carrier.send(&order, "lobby").await?;
    bank.sign_in(&badge).await?;
    let (_, scanned_ms) = bank.scan_label(&order.barcode).await?;
    let before = line.moved();
    line.repeat(1);
    bank.store(scanned_ms).await?;
    wait_for("the bank connects anew", NEWS, async || {
        Ok((line.moved().connections > before.connections).then_some(()))
    })
    .await?;
    assert_eq!(line.moved().twice, before.twice + 1);
    let mut watch = Watch::from_beginning(&world.carrier);
    watch.until("the deposit", NEWS, |seen| seen.state == State::Stored).await?;
    ensure_once(&world, &bank, &mut watch, 1).await?;
    assert_eq!(watch.states_of("twice"), LIFE[..4]);
    Ok(())
}

#[tokio::test]
async fn bytes_kept_by_a_thief_on_the_line_move_nothing_when_they_are_said_again() -> Result<()> {
    let (world, line, mut bank, badge) = behind_a_line(HubOptions::default()).await?;
    let order = Order::small("kept");
    world.carrier.send(&order, "lobby").await?;
    bank.bring(&badge, &order.barcode).await?;
    let mut watch = Watch::from_beginning(&world.carrier);
    watch.until("the deposit", NEWS, |seen| seen.state == State::Stored).await?;
    let births = || -> Result<usize> {
        let said = std::fs::read_to_string(world.hub.log_file())?;
        Ok(said.matches("birth accepted").count())
    };
    let (before, kept) = (births()?, line.kept());
    ensure!(kept.iter().any(|bytes| bytes.len() > 2_000), "nothing was kept");
    for bytes in &kept {
        let mut stream = TcpStream::connect(world.hub.addresses().mqtt).await?;
        // The hub may hang up before all is said.
        let _ = stream.write_all(bytes).await;
        let mut answer = Vec::new();
        let heard = tokio::time::timeout(NEWS, stream.read_to_end(&mut answer)).await;
        // Closed or reset, either is an end.
        let _ = heard.context("the hub keeps a connection that is an old one")?;
    }
    assert_eq!(births()?, before, "the hub took a thief for the bank");
    bank.wait_for_screen("is connected still", NEWS, |state| state.hub_connected).await?;
    ensure_once(&world, &bank, &mut watch, 1).await?;
    assert_eq!(watch.states_of("kept"), LIFE[..4]);
    Ok(())
}

/// The whole stay of a parcel here. All but the last fifth is for the pickup in the dark.
const SHORT_STAY: Duration = Duration::from_secs(20);

#[tokio::test]
async fn r07_a_reminder_of_a_parcel_that_was_collected_in_the_dark_says_so_and_is_taken_back()
-> Result<()> {
    let tables = "[notices.limits]\nlook_every_ms = 100\nremind_at_percent = [50]\n".to_owned();
    let options = HubOptions { tables, ..HubOptions::default() };
    let (world, line, mut bank, badge) = behind_a_line(options).await?;
    let (order, mailbox) = (Order::small("fetched"), world.hub.mailbox_folder());
    world.carrier.send(&order, "lobby").await?;
    bank.bring(&badge, &order.barcode).await?;
    let letter = wait_for_letter(&mailbox, &order.email, NEWS).await?;
    world.carrier.keep(&order.name, SHORT_STAY).await?;
    let subject = |about: &str| format!("{about} {}", bank.spec.display_name());
    let [extended, reminder, correction] = [
        "New time for your parcel at",
        "Reminder: your parcel at",
        "Please ignore our last message about your parcel at",
    ]
    .map(subject);
    wait_for_subject(&mailbox, &extended, NEWS).await?;

    line.turn(Line::Down);
    bank.wait_for_screen("has lost its hub", NEWS, |state| !state.hub_connected).await?;
    bank.collect(&letter.token).await?;
    let reminded = wait_for_subject(&mailbox, &reminder, NEWS).await?;
    assert!(reminded.contains("We have heard nothing from this locker since"), "{reminded}");

    line.turn(Line::Fair);
    let corrected = wait_for_subject(&mailbox, &correction, NEWS).await?;
    assert!(corrected.contains("has already been picked up"), "{corrected}");
    let mut watch = Watch::from_beginning(&world.carrier);
    watch.until("the pickup", NEWS, |seen| seen.state == State::Collected).await?;
    Ok(())
}
