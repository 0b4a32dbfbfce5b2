//! Who is the bank? One agent that comes back on a bad line, or two on copies of one disk.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cloud_hub::pki::DevPki;
use locker_proto::topics::UpTopic;
use locker_proto::wire::fleet::v1::security_service_client::SecurityServiceClient;
use locker_proto::wire::fleet::v1::{
    Alarm, ClearAlarmRequest, ListAlarmsRequest, ReplaceBankCertificateRequest,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use system_tests::bank::{Bank, BankSpec};
use system_tests::board::Wire;
use system_tests::callers::{Order, request_id, timed};
use system_tests::fake_bank::{FakeBank, FakeJournal, Heard};
use system_tests::mailbox::wait_for_letter;
use system_tests::pki::{ClientFiles, OPERATOR};
use system_tests::processes::Process;
use system_tests::relay::Relay;
use system_tests::tls::{client_config, is_turned_away};
use system_tests::wait::wait_for;
use system_tests::watch::Watch;
use system_tests::world::{CARRIER, World};
use tonic::transport::Channel;

const NEWS: Duration = Duration::from_secs(20);

fn address(last: u8) -> IpAddr {
    Ipv4Addr::new(127, 0, 0, last).into()
}

fn guards(world: &World) -> Result<SecurityServiceClient<Channel>> {
    Ok(SecurityServiceClient::new(world.hub.channel(&world.pki, "operators", OPERATOR)?))
}

async fn alarms(world: &World) -> Result<Vec<Alarm>> {
    let all = ListAlarmsRequest { show_cleared: true, ..ListAlarmsRequest::default() };
    Ok(guards(world)?.list_alarms(timed(all)).await?.into_inner().alarms)
}

/// Waits for an open alarm that names as many as `parties`.
pub(crate) async fn wait_for_alarm(world: &World, kind: &str, parties: usize) -> Result<Alarm> {
    let what = format!("the alarm {kind} of {parties}");
    wait_for(&what, NEWS, async || {
        let open = ListAlarmsRequest::default();
        // A hub that is being started again does not answer.
        let Ok(listed) = guards(world)?.list_alarms(timed(open)).await else { return Ok(None) };
        let alarms = listed.into_inner().alarms;
        let wanted = |alarm: &Alarm| alarm.kind == kind && alarm.parties.len() >= parties;
        Ok(alarms.into_iter().find(wanted))
    })
    .await
}

pub(crate) async fn clear(world: &World, alarm: &Alarm) -> Result<()> {
    let (name, note) = (alarm.name.clone(), "looked at it".to_owned());
    let request = ClearAlarmRequest { name, note, request_id: request_id() };
    guards(world)?.clear_alarm(timed(request)).await?;
    Ok(())
}

/// A hub that knows the bank `fake`, and a journal for it.
async fn world_and_journal() -> Result<(World, FakeJournal)> {
    let world = World::start(&["fake"]).await?;
    world.operator.create_bank(&BankSpec::new("fake", Wire::Tcp)).await?;
    Ok((world, FakeJournal::begin("fake")?))
}

#[tokio::test]
async fn r14_a_bank_whose_line_went_dead_without_a_word_takes_its_place_back_at_once() -> Result<()>
{
    let (world, mut journal) = world_and_journal().await?;
    let hub = world.hub.addresses().mqtt;
    let mut line = Relay::start(address(1), hub).await?;
    let mut before = FakeBank::connect(&world.pki, line.address(), "fake").await?;
    before.be_born(&journal).await?;
    before.say(UpTopic::Facts, journal.batch_from(1).encode()).await?;
    before.until_committed(2).await?;
    line.fall_silent();
    drop(before);

    journal.add(1);
    let mut after = FakeBank::connect(&world.pki, hub, "fake").await?;
    assert_eq!(after.be_born(&journal).await?.committed_seq, 2);
    after.say(UpTopic::Facts, journal.batch_from(3).encode()).await?;
    after.until_committed(3).await?;
    line.until_hub_ends().await?;
    // The old one had ended before the new one was answered.
    let said = std::fs::read_to_string(world.hub.log_file())?;
    let births: Vec<_> = said.match_indices("birth accepted").map(|(at, _)| at).collect();
    let ended = said.find("taken over by a newer session").context("nobody was taken over")?;
    assert_eq!(births.len(), 2);
    assert!(births[0] < ended && ended < births[1], "{said}");
    assert_eq!(alarms(&world).await?, []);
    Ok(())
}

#[tokio::test]
async fn r14_a_bank_that_comes_from_another_address_is_the_same_bank() -> Result<()> {
    let (world, mut journal) = world_and_journal().await?;
    let hub = world.hub.addresses().mqtt;
    let mut lines = Vec::new();
    for (last, first) in (1..=5).zip(1..) {
        // All before are still open when it comes from the next address.
        let line = Relay::start(address(last), hub).await?;
        let mut bank = FakeBank::connect(&world.pki, line.address(), "fake").await?;
        bank.be_born(&journal).await?;
        journal.add(1);
        bank.say(UpTopic::Facts, journal.batch_from(first).encode()).await?;
        bank.until_committed(journal.head()).await?;
        line.fall_silent();
        lines.push((line, bank));
    }
    assert_eq!(alarms(&world).await?, []);
    let bank = world.operator.bank("fake").await?;
    assert_eq!((bank.stopped_reason.as_str(), bank.committed_seq), ("", journal.head()));
    Ok(())
}

#[tokio::test]
async fn r14_a_copied_journal_is_found_out_and_neither_moves_the_others_watermark() -> Result<()> {
    let (world, mut journal) = world_and_journal().await?;
    let hub = world.hub.addresses().mqtt;
    let mut original = FakeBank::connect(&world.pki, hub, "fake").await?;
    original.be_born(&journal).await?;
    original.say(UpTopic::Facts, journal.batch_from(1).encode()).await?;
    original.until_committed(2).await?;

    // The copy has said nothing yet, and begins with numbers that were counted before.
    let mut copied = journal.clone();
    copied.add(2);
    let line = Relay::start(address(7), hub).await?;
    let mut copy = FakeBank::connect(&world.pki, line.address(), "fake").await?;
    let mut birth = copied.birth();
    birth.connection_count = 0;
    copy.say(UpTopic::Birth, birth.encode()).await?;
    copy.until(&Heard::Acknowledged).await?;
    copy.say(UpTopic::Facts, copied.batch_from(3).encode()).await?;
    copy.until(&Heard::Acknowledged).await?;

    journal.add(1);
    let mut back = FakeBank::connect(&world.pki, hub, "fake").await?;
    back.say(UpTopic::Birth, journal.birth().encode()).await?;
    back.until(&Heard::Acknowledged).await?;
    back.say(UpTopic::Facts, journal.batch_from(3).encode()).await?;
    back.until(&Heard::Acknowledged).await?;
    drop(back);

    let heard = copy.until_ended().await?;
    assert!(heard.iter().all(|heard| *heard == Heard::Acknowledged), "{heard:?}");
    let bank = world.operator.bank("fake").await?;
    assert_eq!((bank.stopped_reason.as_str(), bank.committed_seq), ("CLONE", 2));
    let alarm = alarms(&world).await?.remove(0);
    assert_eq!((alarm.kind.as_str(), alarm.kept_messages), ("CLONE", 4));
    assert!(alarm.detail.contains("from 127.0.0.7:"), "{}", alarm.detail);
    assert!(alarm.detail.contains("against") && alarm.detail.contains("from 127.0.0.1:"));
    Ok(())
}

pub(crate) fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn p_h_two_agents_on_copies_of_one_disk_are_both_told_nothing_and_their_doors_go_on()
-> Result<()> {
    let mut world = World::start(&["lobby"]).await?;
    let mut original = world.add_bank(BankSpec::new("lobby", Wire::Tcp)).await?;
    let order = Order::small("inside");
    world.carrier.send(&order, "lobby").await?;
    let badge = world.operator.badge("lobby", CARRIER).await?;
    original.bring(&badge.text, &order.barcode).await?;
    let letter = wait_for_letter(&world.hub.mailbox_folder(), &order.email, NEWS).await?;

    original.stop_agent().await?;
    let folder = world.folder().join("banks").join("copy");
    copy_folder(&world.folder().join("banks").join("lobby").join("data"), &folder.join("data"))?;
    original.start_agent().await?;
    let connected = |state: &edge_agent::bank::PanelState| state.hub_connected;
    let alone = |state: &edge_agent::bank::PanelState| !state.hub_connected;
    original.wait_for_screen("is connected again", NEWS, connected).await?;
    let spec = BankSpec::new("lobby", Wire::Tcp);
    let mut copy = Bank::start(&folder, spec, &world.pki, world.hub.addresses()).await?;

    let alarm = wait_for_alarm(&world, "CLONE", 2).await?;
    let [first, second] = &alarm.parties[..] else { panic!("{alarm:?}") };
    assert_eq!(first.certificate_sha256, second.certificate_sha256);
    assert_eq!(first.boot_count, second.boot_count);
    assert_ne!((&first.boot, &first.address), (&second.boot, &second.address));
    original.wait_for_screen("is told nothing", NEWS, alone).await?;
    copy.wait_for_screen("is told nothing", NEWS, alone).await?;
    let before = world.operator.bank("lobby").await?.committed_seq;

    // Doors go on serving what they hold; the hub hears of it, and believes nothing.
    original.collect(&letter.token).await?;
    world.hub.kill()?;
    world.hub.start_again().await?;
    wait_for("both have introduced themselves again", NEWS, async || {
        let Ok(alarms) = alarms(&world).await else { return Ok(None) };
        let alarm = alarms.first().context("the alarm is gone")?;
        ensure!(alarm.clear_time.is_none() && alarms.len() == 1, "{alarms:?}");
        Ok((alarm.kept_messages >= 3).then_some(()))
    })
    .await?;
    let bank = world.operator.bank("lobby").await?;
    assert_eq!((bank.stopped_reason.as_str(), bank.committed_seq), ("CLONE", before));

    // A person takes the copy away; then the other one is believed.
    copy.kill_agent()?;
    clear(&world, &alarm).await?;
    original.wait_for_screen("is connected again", NEWS, connected).await?;
    let mut watch = Watch::from_beginning(&world.carrier);
    let collected = locker_proto::wire::carrier::v1::parcel::State::Collected;
    watch.until("the pickup", NEWS, |seen| seen.state == collected).await?;
    Ok(())
}

#[tokio::test]
async fn p_h_a_second_agent_on_the_same_disk_does_not_start() -> Result<()> {
    let world = World::start(&["lobby"]).await?;
    let mut bank = world.add_bank(BankSpec::new("lobby", Wire::Tcp)).await?;
    let folder = world.folder().join("banks").join("lobby");
    let config = folder.join("edge-agent.toml").display().to_string();
    let mut second =
        Process::start(&folder, "second", "edge-agent", &["run", "--config", &config])?;
    let ended = wait_for("the second agent gives up", NEWS, async || second.ended()).await?;
    assert!(!ended.success());
    bank.agent().context("the first agent is gone")?.ensure_running()?;
    assert_eq!(alarms(&world).await?, []);
    Ok(())
}

#[tokio::test]
async fn p_j_a_bank_with_a_new_disk_waits_for_a_person() -> Result<()> {
    let (world, journal) = world_and_journal().await?;
    let hub = world.hub.addresses().mqtt;
    let mut old = FakeBank::connect(&world.pki, hub, "fake").await?;
    old.be_born(&journal).await?;
    old.until(&Heard::Told(locker_proto::topics::DownTopic::Config)).await?;
    drop(old);

    let fresh = FakeJournal::begin("fake")?;
    let mut new = FakeBank::connect(&world.pki, hub, "fake").await?;
    assert_eq!(new.be_born(&fresh).await?.committed_seq, 0);
    new.say(UpTopic::Facts, fresh.batch_from(1).encode()).await?;
    new.until_committed(2).await?;
    let alarm = wait_for_alarm(&world, "INVENTORY", 1).await?;
    clear(&world, &alarm).await?;
    let heard = new.until_ended().await?;
    let told = heard.iter().any(|heard| matches!(heard, Heard::Told(_)));
    assert!(!told, "told before a person had looked: {heard:?}");
    let mut new = FakeBank::connect(&world.pki, hub, "fake").await?;
    new.be_born(&fresh).await?;
    new.until(&Heard::Told(locker_proto::topics::DownTopic::Config)).await?;
    Ok(())
}

#[tokio::test]
async fn p_j_a_bank_whose_disk_was_replaced_expects_what_is_still_booked_and_nothing_else()
-> Result<()> {
    let world = World::start(&["lobby"]).await?;
    let mut bank = world.add_bank(BankSpec::new("lobby", Wire::Tcp)).await?;
    let (past, next) = (Order::small("past"), Order::small("next"));
    world.carrier.send(&past, "lobby").await?;
    let badge = world.operator.badge("lobby", CARRIER).await?.text;
    bank.bring(&badge, &past.barcode).await?;
    let letter = wait_for_letter(&world.hub.mailbox_folder(), &past.email, NEWS).await?;
    bank.collect(&letter.token).await?;
    let mut watch = Watch::from_beginning(&world.carrier);
    let collected = locker_proto::wire::carrier::v1::parcel::State::Collected;
    watch.until("the pickup", NEWS, |seen| seen.state == collected).await?;
    world.carrier.send(&next, "lobby").await?;

    bank.stop_agent().await?;
    std::fs::remove_dir_all(world.folder().join("banks").join("lobby").join("data"))?;
    bank.start_agent().await?;
    let alarm = wait_for_alarm(&world, "INVENTORY", 1).await?;
    clear(&world, &alarm).await?;
    world.operator.wait_until_ready("lobby").await?;
    let badge = world.operator.badge("lobby", CARRIER).await?.text;
    bank.bring(&badge, &next.barcode).await?;
    let letter = wait_for_letter(&world.hub.mailbox_folder(), &next.email, NEWS).await?;
    bank.sign_in(&badge).await?;
    // What it was sent came in one message.
    assert_eq!(bank.refusal_of(&past.barcode).await?, "BARCODE_UNKNOWN");
    bank.sign_out().await?;
    bank.collect(&letter.token).await?;
    Ok(())
}

#[tokio::test]
async fn c11_a_stolen_certificate_ends_with_the_replacement() -> Result<()> {
    let (mut world, journal) = world_and_journal().await?;
    let hub = world.hub.addresses().mqtt;
    let mut bank = FakeBank::connect(&world.pki, hub, "fake").await?;
    bank.be_born(&journal).await?;

    let stolen = ClientFiles {
        certificate: world.folder().join("stolen.pem"),
        key: world.folder().join("stolen.key"),
    };
    let own = world.pki.client("banks", "fake");
    std::fs::rename(&own.certificate, &stolen.certificate)?;
    std::fs::rename(&own.key, &stolen.key)?;
    DevPki::open(world.pki.folder())?.issue_bank(&"fake".parse()?)?;
    let certificate = CertificateDer::from_pem_file(&own.certificate)?.to_vec();
    let name = "banks/fake".to_owned();
    let request = ReplaceBankCertificateRequest { name, certificate, request_id: request_id() };
    let replaced = guards(&world)?.replace_bank_certificate(timed(request)).await?.into_inner();
    assert_eq!(replaced.revoked_sha256.len(), 1);

    bank.until_ended().await?;
    for restarted in [false, true] {
        if restarted {
            world.hub.kill()?;
            world.hub.start_again().await?;
        }
        let hub = world.hub.addresses().mqtt;
        let old = client_config(&world.pki.authority(), Some(&stolen))?;
        assert!(is_turned_away(hub, old).await?, "after a restart: {restarted}");
        let mut bank = FakeBank::connect(&world.pki, hub, "fake").await?;
        bank.be_born(&journal).await?;
    }
    Ok(())
}
