//! A journal that cannot go on as it is: damaged, so that a person begins another, or an old copy that people went on with
//! at the doors. With the programs as people start them.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use locker_proto::wire::carrier::v1::parcel::State;
use locker_proto::wire::fleet::v1::Bank as BankSeen;
use system_tests::bank::{Bank, BankSpec};
use system_tests::board::Wire;
use system_tests::callers::Order;
use system_tests::mailbox::wait_for_letter;
use system_tests::panel::Finding;
use system_tests::processes::run;
use system_tests::watch::{Seen, Watch};
use system_tests::world::{CARRIER, World};

use crate::clones::{clear, copy_folder, wait_for_alarm};
use crate::whole_history::{audit, committed};

const NEWS: Duration = Duration::from_secs(30);

/// `edge-agent begin-anew` as a person types it.
async fn begin_anew(world: &World, words: &[&str]) -> Result<()> {
    let config = world.folder().join("banks/lobby/edge-agent.toml").display().to_string();
    run("edge-agent", &[&["begin-anew", "--config", &config], words].concat()).await
}

/// The same, which must say no in these words.
async fn begins_nothing(world: &World, words: &[&str], why: &str) -> Result<()> {
    let refused = begin_anew(world, words).await.err();
    let said = format!("{:#}", refused.context("a new journal was begun")?);
    ensure!(said.contains(why), "{said}");
    Ok(())
}

/// Changes a byte in the middle of the journal: behind the label, many records follow.
fn damage(journal: &Path, label: &str) -> Result<()> {
    let segment = journal.join("seg-00000000000000000001.log");
    let mut bytes = fs::read(&segment)?;
    let at = bytes.windows(label.len()).position(|window| window == label.as_bytes());
    bytes[at.context("the label is in no record")?] ^= 0x20;
    Ok(fs::write(&segment, bytes)?)
}

async fn is_connected(bank: &mut Bank) -> Result<()> {
    bank.wait_for_screen("is connected", NEWS, |state| state.hub_connected).await.map(drop)
}

fn allocations(bank: &BankSeen) -> Vec<&str> {
    bank.compartments.iter().map(|held| held.allocation.as_str()).collect()
}

async fn until(watch: &mut Watch, parcel: &str, state: State) -> Result<()> {
    let what = format!("{parcel} is {}", state.as_str_name());
    let wanted = |seen: &Seen| seen.parcel == parcel && seen.state == state;
    watch.until(&what, NEWS, wanted).await.map(drop)
}

#[tokio::test]
async fn p_f_a_person_begins_a_damaged_journal_anew_and_codes_open_again_after_the_inventory()
-> Result<()> {
    let world = World::start(&["lobby"]).await?;
    let mut bank = world.add_bank(BankSpec::new("lobby", Wire::Tcp)).await?;
    let (inside, coming) = (Order::small("inside"), Order::small("coming"));
    // Whoever hears of the second has heard of the first.
    world.carrier.send(&coming, "lobby").await?;
    world.carrier.send(&inside, "lobby").await?;
    let badge = world.operator.badge("lobby", CARRIER).await?.text;
    let held = bank.bring(&badge, &inside.barcode).await?.compartment;
    let letter = wait_for_letter(&world.hub.mailbox_folder(), &inside.email, NEWS).await?;

    let follows = ["--inventory-follows"];
    begins_nothing(&world, &[], "--inventory-follows").await?;
    begins_nothing(&world, &follows, "the agent runs").await?;
    bank.stop_agent().await?;
    begins_nothing(&world, &follows, "is not damaged").await?;
    let data = world.folder().join("banks/lobby/data");
    damage(&data.join("journal"), &inside.barcode)?;
    let refused = bank.start_agent().await.err().context("it started on a damaged journal")?;
    let said = fs::read_to_string(bank.agent_log())?;
    ensure!(said.contains("begin-anew --help") && said.contains("seq "), "{refused:#}");
    begin_anew(&world, &follows).await?;
    ensure!(data.join("journal.broken-1").exists(), "the damaged one is not kept");
    begins_nothing(&world, &follows, "is not damaged").await?;

    bank.start_agent().await?;
    let alarm = wait_for_alarm(&world, "INVENTORY", 1).await?;
    is_connected(&mut bank).await?;
    let pulses = bank.board.pulses()?.len();
    assert_eq!(bank.refusal_of(&letter.token).await?, "PARCEL_UNRESOLVED");
    bank.sign_in(&badge).await?;
    assert_eq!(bank.refusal_of(&coming.barcode).await?, "NO_FREE_COMPARTMENT");
    bank.sign_out().await?;
    assert_eq!(bank.board.pulses()?.len(), pulses, "nothing opens before somebody has looked");

    let staff = world.operator.staff_badge("lobby").await?.text;
    for no in 1..=6 {
        let finding = if no == held {
            Finding::Holds { carrier: CARRIER, barcode: &inside.barcode }
        } else {
            Finding::Empty
        };
        bank.look_into(&staff, no, finding).await?;
    }
    clear(&world, &alarm).await?;
    let mut watch = Watch::from_beginning(&world.carrier);
    bank.collect(&letter.token).await?;
    until(&mut watch, "inside", State::Collected).await?;
    world.operator.wait_until_ready("lobby").await?;
    bank.bring(&badge, &coming.barcode).await?;
    let letter = wait_for_letter(&world.hub.mailbox_folder(), &coming.email, NEWS).await?;
    bank.collect(&letter.token).await?;
    until(&mut watch, "coming", State::Collected).await?;
    assert_eq!(world.operator.bank("lobby").await?.stopped_reason, "");
    audit(&world, &["verify", "lobby"]).await
}

#[tokio::test]
async fn p_f_begin_anew_says_what_to_do_where_nothing_is_left_to_go_on_from() -> Result<()> {
    let world = World::start(&["lobby"]).await?;
    let mut bank = world.add_bank(BankSpec::new("lobby", Wire::Tcp)).await?;
    let order = Order::small("inside");
    world.carrier.send(&order, "lobby").await?;
    let badge = world.operator.badge("lobby", CARRIER).await?.text;
    bank.bring(&badge, &order.barcode).await?;
    bank.stop_agent().await?;
    let data = world.folder().join("banks/lobby/data");
    // The first record, which names the bank: nothing before it, and nothing behind it goes on from anything.
    damage(&data.join("journal"), "lobby")?;
    fs::remove_dir_all(data.join("sled"))?;
    let follows = ["--inventory-follows"];
    begins_nothing(&world, &follows, "nothing is left of the bank's state; move journal").await?;
    // As it says. There was no snapshot yet.
    fs::rename(data.join("journal"), world.folder().join("kept"))?;
    begins_nothing(&world, &follows, "holds no journal").await?;
    bank.start_agent().await?;
    wait_for_alarm(&world, "INVENTORY", 1).await?;
    is_connected(&mut bank).await
}

#[tokio::test]
async fn p_j_an_old_copy_that_people_went_on_with_becomes_a_new_stream_and_both_histories_count()
-> Result<()> {
    let mut world = World::start(&["lobby"]).await?;
    let mut bank = world.add_bank(BankSpec::new("lobby", Wire::Tcp)).await?;
    let [early, late, next] = ["early", "late", "next"].map(Order::small);
    // The bank has heard of all of them once it knows the last.
    for order in [&late, &next, &early] {
        world.carrier.send(order, "lobby").await?;
    }
    let badge = world.operator.badge("lobby", CARRIER).await?.text;
    let early_in = bank.bring(&badge, &early.barcode).await?.compartment;
    let folder = world.hub.mailbox_folder();
    let early_letter = wait_for_letter(&folder, &early.email, NEWS).await?;
    bank.stop_agent().await?;
    let (data, old) = (world.folder().join("banks/lobby/data"), world.folder().join("old"));
    copy_folder(&data, &old)?;
    bank.start_agent().await?;
    is_connected(&mut bank).await?;
    let late_in = bank.bring(&badge, &late.barcode).await?.compartment;
    let late_letter = wait_for_letter(&folder, &late.email, NEWS).await?;
    bank.stop_agent().await?;
    let told = committed(&world).await?;
    ensure!(told > 0, "the hub has heard of the deposit");

    // The old copy, no network, and people at the door.
    world.hub.kill()?;
    fs::remove_dir_all(&data)?;
    copy_folder(&old, &data)?;
    bank.start_agent().await?;
    assert_eq!(bank.refusal_of(&late_letter.token).await?, "NOT_DEPOSITED");
    assert_eq!(bank.collect(&early_letter.token).await?.compartment, early_in);
    world.hub.start_again().await?;

    let alarm = wait_for_alarm(&world, "INVENTORY", 1).await?;
    is_connected(&mut bank).await?;
    let said = fs::read_to_string(bank.agent_log())?;
    ensure!(said.contains("new stream begun"), "{said}");
    // What either history touched is closed off, and nothing else.
    let in_doubt = |bank: &BankSeen| {
        let closed = allocations(bank).iter().filter(|held| **held == "QUARANTINED").count();
        let at = |no: u16| allocations(bank).get(usize::from(no) - 1).copied();
        closed == 2 && at(early_in) == at(late_in)
    };
    world.operator.wait_for_bank("lobby", "says what is in doubt", in_doubt).await?;
    let pulses = bank.board.pulses()?.len();
    assert_eq!(bank.refusal_of(&early_letter.token).await?, "CODE_USED", "once used, ever used");
    assert_eq!(bank.refusal_of(&late_letter.token).await?, "PARCEL_UNRESOLVED");
    assert_eq!(bank.board.pulses()?.len(), pulses);
    let free = bank.bring(&badge, &next.barcode).await?.compartment;
    assert!(![early_in, late_in].contains(&free), "the others serve on");

    let staff = world.operator.staff_badge("lobby").await?.text;
    bank.look_into(&staff, early_in, Finding::Empty).await?;
    let found = Finding::Holds { carrier: CARRIER, barcode: &late.barcode };
    bank.look_into(&staff, late_in, found).await?;
    clear(&world, &alarm).await?;
    let mut watch = Watch::from_beginning(&world.carrier);
    bank.collect(&late_letter.token).await?;
    until(&mut watch, "late", State::Collected).await?;
    let seen = world.operator.bank("lobby").await?;
    assert_eq!(seen.stopped_reason, "");
    ensure!(!allocations(&seen).contains(&"QUARANTINED"), "{seen:?}");
    // The hub was never told of the record that says so, only of the state it led to.
    let mut watch = Watch::from_beginning(&world.carrier);
    until(&mut watch, "early", State::Collected).await?;
    audit(&world, &["verify", "lobby"]).await
}
