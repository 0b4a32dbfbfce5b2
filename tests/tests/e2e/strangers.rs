//! Clients that should not get in, or not that far.

use std::net::SocketAddr;

use anyhow::Result;
use locker_proto::topics::UpTopic;
use locker_proto::wire::carrier::v1::GetParcelRequest;
use locker_proto::wire::carrier::v1::parcel_service_client::ParcelServiceClient;
use locker_proto::wire::fleet::v1::ListBanksRequest;
use locker_proto::wire::fleet::v1::fleet_service_client::FleetServiceClient;
use system_tests::bank::BankSpec;
use system_tests::board::Wire;
use system_tests::callers::{Carrier, Order, reason, timed};
use system_tests::fake_bank::{FakeBank, FakeJournal, Heard};
use system_tests::pki::Pki;
use system_tests::tls::{client_config, is_turned_away};
use system_tests::world::{CARRIER, OTHER_CARRIER, World};
use tokio::net::TcpStream;
use tonic::Code;

#[tokio::test]
async fn clients_without_a_certificate_of_ours_do_not_get_in() -> Result<()> {
    let world = World::start(&["lobby"]).await?;
    let folder = tempfile::tempdir()?;
    let foreign = Pki::create(folder.path(), &["lobby"], &[CARRIER])?;
    let authority = world.pki.authority();
    let doors = world.hub.addresses();
    for (door, kind, id) in [(doors.mqtt, "banks", "lobby"), (doors.grpc, "carriers", CARRIER)] {
        let nobody = client_config(&authority, None)?;
        assert!(is_turned_away(door, nobody).await?, "nobody at {door}");
        let stranger = client_config(&authority, Some(&foreign.client(kind, id)))?;
        assert!(is_turned_away(door, stranger).await?, "a foreign authority's client at {door}");
    }
    // And nobody who asks for us is given to somebody else.
    let bank = world.pki.client("banks", "lobby");
    let deceived = client_config(&foreign.authority(), Some(&bank))?;
    assert!(is_turned_away(doors.mqtt, deceived).await?, "a client that does not trust the hub");
    Ok(())
}

#[tokio::test]
async fn a_bank_has_only_its_own_client_id_and_topics() -> Result<()> {
    let world = World::start(&["lobby", "annex"]).await?;
    for id in ["lobby", "annex"] {
        world.operator.create_bank(&BankSpec::new(id, Wire::Tcp)).await?;
    }
    let hub = world.hub.addresses().mqtt;
    let lobby = world.pki.client("banks", "lobby");

    let mut posing = FakeBank::call(&world.pki, hub, "annex", &lobby).await?;
    assert_eq!(posing.until_ended().await?, [], "the hub took another bank's client id");
    let carrier = world.pki.client("carriers", CARRIER);
    let mut other_kind = FakeBank::call(&world.pki, hub, CARRIER, &carrier).await?;
    assert_eq!(other_kind.until_ended().await?, [], "the hub took a carrier for a bank");

    let annex = "annex".parse()?;
    let journal = FakeJournal::begin("annex")?;
    let mut liar = FakeBank::connect(&world.pki, hub, "lobby").await?;
    liar.say_on(&UpTopic::Birth.of(&annex), UpTopic::Birth, journal.birth().encode()).await?;
    liar.until_ended().await?;
    for filter in ["#", "lk/+/annex/down/ack", &locker_proto::topics::down_filter(&annex)] {
        let mut spy = FakeBank::connect(&world.pki, hub, "lobby").await?;
        spy.subscribe(filter).await?;
        let heard = spy.until_ended().await?;
        assert!(!heard.contains(&Heard::Subscribed), "lobby may listen to {filter}");
    }
    let annex = world.operator.bank("annex").await?;
    assert!(!annex.connected && annex.committed_seq == 0 && annex.last_seen_time.is_none());
    Ok(())
}

#[tokio::test]
async fn a_bank_that_nobody_made_known_is_sent_away() -> Result<()> {
    let world = World::start(&["ghost"]).await?;
    let hub = world.hub.addresses().mqtt;
    let journal = FakeJournal::begin("ghost")?;
    let mut ghost = FakeBank::connect(&world.pki, hub, "ghost").await?;
    ghost.say(UpTopic::Birth, journal.birth().encode()).await?;
    let heard = ghost.until_ended().await?;
    assert!(!heard.iter().any(|heard| matches!(heard, Heard::Ack(_))), "{heard:?}");
    assert_eq!(world.operator.bank("ghost").await.unwrap_err().code(), Code::NotFound);
    Ok(())
}

#[tokio::test]
async fn silent_connections_keep_nobody_out() -> Result<()> {
    let world = World::start(&["lobby"]).await?;
    let doors = world.hub.addresses();
    let mut silent = Vec::new();
    for door in [doors.mqtt, doors.grpc] {
        silent.append(&mut open(door, 100).await?);
    }
    let mut bank = world.add_bank(BankSpec::new("lobby", Wire::Tcp)).await?;
    let order = Order::small("patient");
    world.carrier.send(&order, "lobby").await?;
    let badge = world.operator.badge("lobby", CARRIER).await?;
    bank.bring(&badge.text, &order.barcode).await?;
    drop(silent);
    Ok(())
}

async fn open(door: SocketAddr, count: usize) -> Result<Vec<TcpStream>> {
    let mut streams = Vec::new();
    for _ in 0..count {
        streams.push(TcpStream::connect(door).await?);
    }
    Ok(streams)
}

#[tokio::test]
async fn callers_may_do_only_what_their_certificate_says() -> Result<()> {
    let world = World::start(&["lobby"]).await?;
    world.carrier.announce(&Order::small("private")).await?;
    let rival = Carrier::new(&world.hub, &world.pki, OTHER_CARRIER)?;
    for name in ["private", "no-such-parcel"] {
        let request = GetParcelRequest { name: world.carrier.parcel(name) };
        let status = rival.client().get_parcel(timed(request)).await.unwrap_err();
        let answer = (status.code(), reason(&status));
        assert_eq!(answer, (Code::PermissionDenied, "OTHER_CARRIER".to_owned()), "{name}");
    }

    let mut fleet = FleetServiceClient::new(world.hub.channel(&world.pki, "carriers", CARRIER)?);
    let status = fleet.list_banks(timed(ListBanksRequest::default())).await.unwrap_err();
    assert_eq!(
        (status.code(), reason(&status)),
        (Code::PermissionDenied, "ROLE_NOT_ALLOWED".to_owned())
    );
    let mut parcels = ParcelServiceClient::new(world.hub.channel(&world.pki, "banks", "lobby")?);
    let request = GetParcelRequest { name: world.carrier.parcel("private") };
    let status = parcels.get_parcel(timed(request)).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    Ok(())
}
