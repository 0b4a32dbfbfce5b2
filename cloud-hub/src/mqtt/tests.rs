//! Sessions over real TLS on loopback, from the client's side and from ingest's.

pub(super) mod bank;
mod hangs;

use std::time::Duration;

use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v4::{
    Connect, ConnectReturnCode, LastWill, Packet, PubAck, Publish, Subscribe,
};
use tokio::net::TcpStream;

use super::*;
use crate::tls::fixture::Fixture;
use crate::tls::{Limits, Refusal};
use bank::{Bank, Hub, PATIENCE};

#[tokio::test]
async fn a_bank_connects_subscribes_publishes_and_is_acknowledged_in_order_after_commit() {
    let mut hub = Hub::start().await;
    let (mut bank, session) = hub.connect("bank-1").await;
    bank.subscribe_all().await;
    assert!(
        matches!(hub.event().await, MqttEvent::Subscribed { session: of, .. } if of == session)
    );

    bank.publish("birth", 11, b"birth").await;
    bank.publish("facts", 7, b"one").await;
    bank.publish("facts", 5, b"two").await;
    let mut tokens = Vec::new();
    for (wanted, bytes) in
        [(UpTopic::Birth, &b"birth"[..]), (UpTopic::Facts, b"one"), (UpTopic::Facts, b"two")]
    {
        let (topic, payload, token) = hub.publish_event().await;
        assert_eq!((topic, &payload[..]), (wanted, bytes));
        tokens.push(token.unwrap());
    }
    // Commits come out of order; PUBACKs do not, and none comes before the first commit.
    hub.sessions.acknowledge(tokens.remove(2));
    hub.sessions.acknowledge(tokens.remove(1));
    bank.ping().await;
    hub.sessions.acknowledge(tokens.remove(0));
    for id in [11, 7, 5] {
        assert_eq!(bank.receive().await, Some(Packet::PubAck(PubAck::new(id))));
    }

    hub.sessions.send(session, DownTopic::Grants, "grant").unwrap();
    hub.sessions.send(session, DownTopic::Ack, "ack").unwrap();
    let Some(Packet::Publish(grant)) = bank.receive().await else { panic!("no grant") };
    assert_eq!((grant.pkid, grant.qos, &grant.payload[..]), (1, QoS::AtLeastOnce, &b"grant"[..]));
    assert_eq!(grant.topic, bank.topic("down/grants"));
    bank.send(Packet::PubAck(PubAck::new(1))).await;
    let Some(Packet::Publish(ack)) = bank.receive().await else { panic!("no ack") };
    assert_eq!((ack.qos, &ack.payload[..]), (QoS::AtMostOnce, &b"ack"[..]));

    bank.send(Packet::Disconnect).await;
    assert_eq!(hub.ended().await, (session, EndReason::Disconnected));
    assert_eq!(hub.sessions.send(session, DownTopic::Ack, "late"), Err(SendError::Gone));
    assert!(hub.sessions.is_empty());
}

#[tokio::test]
async fn subscribed_is_said_once_when_all_four_topics_are_granted_one_by_one() {
    let mut hub = Hub::start().await;
    let (mut bank, session) = hub.connect("bank-1").await;
    for (id, name) in [(1, "ack"), (2, "grants"), (3, "config"), (4, "command"), (5, "+")] {
        let sent = hub.sessions.send(session, DownTopic::Command, "early");
        if id < 5 {
            assert_eq!(sent, Err(SendError::NotSubscribed(DownTopic::Command)));
        }
        let mut subscribe = Subscribe::new(bank.topic(&format!("down/{name}")), QoS::AtLeastOnce);
        subscribe.pkid = id;
        bank.send(Packet::Subscribe(subscribe)).await;
        if id == 5 {
            assert!(matches!(bank.receive().await, Some(Packet::Publish(_))));
        }
        assert!(matches!(bank.receive().await, Some(Packet::SubAck(suback)) if suback.pkid == id));
    }
    bank.publish("presence", 0, b"here").await;
    assert!(matches!(hub.event().await, MqttEvent::Subscribed { .. }));
    assert_eq!(hub.publish_event().await.0, UpTopic::Presence);
}

#[tokio::test]
async fn a_ping_is_answered_while_acknowledgements_are_withheld_and_ingest_does_not_read() {
    let mut hub = Hub::start_with(SessionLimits::default(), 1).await;
    let (mut bank, _) = hub.connect("bank-1").await;
    for id in 1..=4 {
        bank.publish("facts", id, &[7; 60_000]).await;
    }
    for _ in 0..40 {
        bank.publish("telemetry", 0, b"sample").await;
    }
    for _ in 0..3 {
        bank.ping().await;
    }
    for _ in 1..=4 {
        let (topic, payload, token) = hub.publish_event().await;
        assert_eq!((topic, payload.len()), (UpTopic::Facts, 60_000));
        hub.sessions.acknowledge(token.unwrap());
    }
    assert_eq!(hub.sessions.counters().get(Count::UpDropped), 24);
    for id in 1..=4 {
        assert_eq!(bank.receive().await, Some(Packet::PubAck(PubAck::new(id))));
    }
}

#[tokio::test]
async fn a_fifth_unacknowledged_batch_ends_the_session() {
    let mut hub = Hub::start().await;
    let (mut bank, session) = hub.connect("bank-1").await;
    for id in 1..=5 {
        bank.publish("facts", id, b"batch").await;
    }
    for _ in 1..=4 {
        assert_eq!(hub.publish_event().await.0, UpTopic::Facts);
    }
    let reason = EndReason::Violation(Violation::TooManyFacts);
    assert_eq!(hub.ended().await, (session, reason));
    assert_eq!(bank.receive().await, None);
}

#[tokio::test]
async fn another_client_id_than_the_certificates_is_refused() {
    let hub = Hub::start().await;
    for id in ["bank-2", "", "bank-1 "] {
        let mut bank = hub.call("banks/bank-1").await;
        bank.send(Packet::Connect(Connect::new(id))).await;
        assert_eq!(bank.refusal().await, ConnectReturnCode::BadClientId);
        assert_eq!(bank.receive().await, None);
    }
    assert_eq!(hub.sessions.counters().get(Count::ConnectRefused), 3);
}

#[tokio::test]
async fn carriers_and_operators_are_told_that_they_may_not_connect() {
    let hub = Hub::start().await;
    for (certificate, id) in [("carriers/acme", "acme"), ("operators/olga", "olga")] {
        let mut client = hub.call(certificate).await;
        client.send(Packet::Connect(Connect::new(id))).await;
        assert_eq!(client.refusal().await, ConnectReturnCode::NotAuthorized);
    }
}

#[tokio::test]
async fn another_protocol_level_a_stored_session_and_no_keep_alive_are_refused_with_a_code() {
    let hub = Hub::start().await;
    let mut bank = hub.call("banks/bank-1").await;
    let mut old = bank::bytes_of(&Packet::Connect(Connect::new("bank-1")));
    old[8] = 5;
    bank.send_bytes(&old).await;
    assert_eq!(bank.refusal().await, ConnectReturnCode::RefusedProtocolVersion);

    let changes: [fn(&mut Connect); 3] = [
        |asked| asked.clean_session = false,
        |asked| asked.keep_alive = 0,
        |asked| asked.last_will = Some(LastWill::new("other", "gone", QoS::AtMostOnce, false)),
    ];
    for change in changes {
        let mut asked = Connect::new("bank-1");
        change(&mut asked);
        let mut bank = hub.call("banks/bank-1").await;
        bank.send(Packet::Connect(asked)).await;
        assert_eq!(bank.refusal().await, ConnectReturnCode::NotAuthorized);
    }
}

#[tokio::test]
async fn a_session_that_breaks_a_rule_is_ended_with_the_rule_as_reason() {
    let mut hub = Hub::start().await;
    let foreign = format!("lk/{}/bank-2/up/facts", bank::shard("bank-2"));
    let own = format!("lk/{}/bank-1/up/facts", bank::shard("bank-1"));
    let publish = |topic: &str, qos, retain| {
        let mut publish = Publish::new(topic, qos, "payload");
        publish.pkid = if qos == QoS::AtMostOnce { 0 } else { 1 };
        publish.retain = retain;
        bank::bytes_of(&Packet::Publish(publish))
    };
    let mut subscribe = Subscribe::new(foreign.replace("up/facts", "down/+"), QoS::AtLeastOnce);
    subscribe.pkid = 1;
    let subscribe = bank::bytes_of(&Packet::Subscribe(subscribe));
    let second = bank::bytes_of(&Packet::Connect(Connect::new("bank-1")));
    let wire = |error| Violation::Wire(error);
    let oversize = WireError::Oversize { bytes: 131_073, max_bytes: 131_072 };
    let rows: Vec<(Vec<u8>, Violation)> = vec![
        (publish(&foreign, QoS::AtLeastOnce, false), Violation::ForeignTopic(foreign.clone())),
        (publish(&own, QoS::ExactlyOnce, false), Violation::QosTwo),
        (publish(&own, QoS::AtLeastOnce, true), Violation::Retained),
        (publish(&own, QoS::AtMostOnce, false), Violation::Qos { topic: UpTopic::Facts }),
        (publish("é/x", QoS::AtMostOnce, false), Violation::NotAscii),
        (subscribe, Violation::ForeignTopic(foreign.replace("up/facts", "down/+"))),
        (second, Violation::SecondConnect),
        (vec![0x20, 2, 0, 0], wire(WireError::ServerPacket(2))),
        (vec![0x90], wire(WireError::ServerPacket(9))),
        (vec![0xb0], wire(WireError::ServerPacket(11))),
        (vec![0xd0, 0], wire(WireError::ServerPacket(13))),
        (vec![0x62, 2, 0, 1], wire(WireError::PacketType(6))),
        (vec![0xa2, 0], wire(WireError::PacketType(10))),
        (vec![0x32, 0x81, 0x80, 0x08], wire(oversize)),
        (vec![0x40, 2, 0, 9], Violation::UnknownPacketId(9)),
        (
            vec![0x82, 2, 0, 1],
            wire(WireError::Malformed(
                "A Subscribe packet must contain atleast one filter".to_owned(),
            )),
        ),
    ];
    for (bytes, violation) in rows {
        let (mut bank, session) = hub.connect("bank-1").await;
        bank.send_bytes(&bytes).await;
        assert_eq!(hub.ended().await, (session, EndReason::Violation(violation)));
        assert_eq!(bank.receive().await, None);
    }
    assert_eq!(hub.sessions.counters().get(Count::Violation), 16);
}

#[tokio::test]
async fn a_client_that_asks_without_reading_the_answers_is_ended() {
    let mut hub = Hub::start().await;
    let (mut bank, session) = hub.connect("bank-1").await;
    // One write, so that the session finds them all in its buffer and the writer gets no turn.
    bank.send_bytes(&[0xc0, 0].repeat(500)).await;
    assert_eq!(hub.ended().await, (session, EndReason::Violation(Violation::Flood)));
}

#[tokio::test]
async fn silent_clients_before_and_after_the_handshake_hold_up_nobody() {
    let limits =
        SessionLimits { connect_timeout: Duration::from_secs(1), ..SessionLimits::default() };
    let mut hub = Hub::start_with(limits, 64).await;
    let _silent_tcp = TcpStream::connect(hub.address).await.unwrap();
    let mut silent_tls = hub.call("banks/bank-2").await;
    let (mut bank, _) = hub.connect("bank-1").await;
    bank.ping().await;
    assert_eq!(silent_tls.receive().await, None);
    assert_eq!(hub.sessions.counters().get(Count::ConnectRefused), 1);
    bank.ping().await;
}

#[tokio::test]
async fn a_large_first_packet_is_refused_before_it_is_read() {
    let hub = Hub::start().await;
    let mut bank = hub.call("banks/bank-1").await;
    // CONNECT that announces 128 KiB and never sends them.
    bank.send_bytes(&[0x10, 0x80, 0x80, 0x08]).await;
    assert_eq!(bank.receive().await, None);
}

#[tokio::test]
async fn a_newer_session_ends_the_older_one_first() {
    let mut hub = Hub::start().await;
    let (mut old, first) = hub.connect("bank-1").await;
    let mut new = hub.call("banks/bank-1").await;
    new.send(Packet::Connect(Connect::new("bank-1"))).await;
    new.welcome().await;
    assert_eq!(hub.ended().await, (first, EndReason::TakenOver));
    let MqttEvent::Connected { session, .. } = hub.event().await else { panic!("not connected") };
    assert!(session > first);
    assert_eq!(old.receive().await, None);
    new.ping().await;
    assert_eq!(hub.sessions.len(), 1);
    assert_eq!(hub.sessions.counters().get(Count::TakenOver), 1);
}

#[tokio::test]
async fn many_takeovers_while_ingest_is_stuck_say_only_the_first_and_the_last() {
    let mut hub = Hub::start_with(SessionLimits::default(), 1).await;
    let (mut bank, first) = hub.connect("bank-1").await;
    bank.publish("facts", 1, b"one").await;
    bank.publish("facts", 2, b"two").await;
    bank.ping().await;
    let mut last = None;
    for _ in 0..5 {
        let mut next = hub.call("banks/bank-1").await;
        next.send(Packet::Connect(Connect::new("bank-1"))).await;
        next.welcome().await;
        next.ping().await;
        last = Some(next);
    }
    // What the first had sent still arrives, then its end, then only the session that is left.
    assert_eq!(&hub.publish_event().await.1[..], b"one");
    assert_eq!(&hub.publish_event().await.1[..], b"two");
    assert_eq!(hub.ended().await, (first, EndReason::TakenOver));
    let MqttEvent::Connected { session, .. } = hub.event().await else { panic!("not connected") };
    assert_eq!(hub.sessions.len(), 1);
    let mut last = last.unwrap();
    last.send(Packet::Disconnect).await;
    assert_eq!(hub.ended().await, (session, EndReason::Disconnected));
}

#[tokio::test]
async fn a_will_is_delivered_as_presence_unless_the_bank_says_goodbye() {
    let mut hub = Hub::start().await;
    for polite in [false, true] {
        let mut bank = hub.call("banks/bank-1").await;
        let mut asked = Connect::new("bank-1");
        let topic = bank.topic("up/presence");
        asked.last_will = Some(LastWill::new(topic, "gone", QoS::AtLeastOnce, false));
        bank.send(Packet::Connect(asked)).await;
        bank.welcome().await;
        assert!(matches!(hub.event().await, MqttEvent::Connected { .. }));
        if polite {
            bank.send(Packet::Disconnect).await;
            assert_eq!(hub.ended().await.1, EndReason::Disconnected);
        } else {
            drop(bank);
            let (topic, payload, token) = hub.publish_event().await;
            assert_eq!((topic, &payload[..]), (UpTopic::Presence, &b"gone"[..]));
            assert!(token.is_none());
            assert_eq!(hub.ended().await.1, EndReason::ConnectionLost);
        }
    }
}

#[tokio::test]
async fn a_bank_that_falls_silent_is_ended() {
    let mut hub = Hub::start().await;
    let mut bank = hub.call("banks/bank-1").await;
    let mut asked = Connect::new("bank-1");
    asked.keep_alive = 1;
    bank.send(Packet::Connect(asked)).await;
    bank.welcome().await;
    assert!(matches!(hub.event().await, MqttEvent::Connected { .. }));
    assert_eq!(hub.ended().await.1, EndReason::KeepAliveExpired);
    assert_eq!(bank.receive().await, None);
}

#[tokio::test]
async fn a_bank_that_does_not_read_is_ended_when_its_queue_is_full() {
    let mut hub = Hub::start().await;
    let (mut bank, session) = hub.connect("bank-1").await;
    bank.subscribe_all().await;
    assert!(matches!(hub.event().await, MqttEvent::Subscribed { .. }));
    // Without PUBACKs 16 leave and 64 wait; acks of progress give way to them.
    hub.sessions.send(session, DownTopic::Ack, "ack").unwrap();
    let mut sent = 0;
    let error = loop {
        match hub.sessions.send(session, DownTopic::Grants, "grant") {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
        assert!(sent <= 80);
    };
    assert_eq!(error, SendError::SlowReader);
    assert_eq!(hub.ended().await, (session, EndReason::SlowReader));
}

#[tokio::test]
async fn a_payload_over_the_packet_limit_is_refused_and_the_session_lives() {
    let mut hub = Hub::start().await;
    let (mut bank, session) = hub.connect("bank-1").await;
    let sent = hub.sessions.send(session, DownTopic::Config, vec![0; 200_000]);
    assert_eq!(sent, Err(SendError::Oversize { bytes: 200_000 }));
    bank.ping().await;
}

#[tokio::test]
async fn revoking_a_certificate_ends_its_session_and_bars_the_door() {
    let mut hub = Hub::start().await;
    let (mut other, _) = hub.connect("bank-2").await;
    let mut bank = hub.call("banks/bank-1").await;
    bank.send(Packet::Connect(Connect::new("bank-1"))).await;
    bank.welcome().await;
    let MqttEvent::Connected { session, certificate, .. } = hub.event().await else {
        panic!("not connected")
    };
    hub.sessions.revoke(certificate);
    assert_eq!(hub.ended().await, (session, EndReason::Revoked));
    assert_eq!(bank.receive().await, None);
    if let Ok(stream) = hub.fixture.connect(hub.address, "banks/bank-1").await {
        let mut again = Bank::new(stream, "bank-1");
        assert_eq!(again.receive().await, None);
    }
    assert_eq!(hub.tls_counters.refused(Refusal::Revoked), 1);
    other.ping().await;
}

#[tokio::test]
async fn a_sweep_ends_sessions_whose_certificate_has_been_listed_or_has_run_out() {
    let mut hub = Hub::start().await;
    let (_one, first) = hub.connect("bank-1").await;
    let (_two, second) = hub.connect("bank-2").await;
    let revoked = hub.fixture.issued("banks/bank-1").certificate;
    let list = hub.fixture.pki.write_revocation_list(&[&revoked]).unwrap();
    let mut files = hub.fixture.server_files();
    files.revocation_lists = vec![list];
    hub.tls.reload(&files).unwrap();
    hub.sessions.sweep(0);
    assert_eq!(hub.ended().await, (first, EndReason::Revoked));
    hub.sessions.sweep(i64::MAX);
    assert_eq!(hub.ended().await, (second, EndReason::CertificateExpired));
}

#[tokio::test]
async fn ingest_can_end_a_session_with_a_phrase_of_its_own() {
    let mut hub = Hub::start().await;
    let (mut bank, session) = hub.connect("bank-1").await;
    hub.sessions.end(session, EndReason::Ingest("facts before birth"));
    assert_eq!(hub.ended().await, (session, EndReason::Ingest("facts before birth")));
    assert_eq!(bank.receive().await, None);
}

#[tokio::test]
async fn stopping_ends_all_sessions_and_then_the_listener() {
    let mut hub = Hub::start().await;
    let (mut one, _) = hub.connect("bank-1").await;
    let (mut two, _) = hub.connect("bank-2").await;
    hub.stop.take().unwrap().send(()).unwrap();
    assert_eq!(hub.ended().await.1, EndReason::HubStopping);
    assert_eq!(hub.ended().await.1, EndReason::HubStopping);
    assert_eq!((one.receive().await, two.receive().await), (None, None));
    tokio::time::timeout(PATIENCE, &mut hub.task).await.unwrap().unwrap();
    assert!(TcpStream::connect(hub.address).await.is_err());
}

#[tokio::test]
async fn rumqttcs_own_client_works_against_the_listener() {
    use rumqttc::{AsyncClient, Event, Incoming, MqttOptions, TlsConfiguration, Transport};
    let mut hub = Hub::start().await;
    let issued = hub.fixture.issued("banks/bank-1");
    let files = crate::tls::ClientFiles {
        authorities: hub.fixture.pki.authority(),
        certificate: issued.certificate,
        key: issued.key,
    };
    let tls = crate::tls::client_config(&files, crate::tls::Alpn::None).unwrap();
    let mut options = MqttOptions::new("bank-1", "localhost", hub.address.port());
    options.set_transport(Transport::Tls(TlsConfiguration::Rustls(std::sync::Arc::new(tls))));
    options.set_keep_alive(Duration::from_secs(45)).set_inflight(4);
    let (client, mut eventloop) = AsyncClient::new(options, 8);
    let root = format!("lk/{}/bank-1", bank::shard("bank-1"));
    client.subscribe(format!("{root}/down/+"), QoS::AtLeastOnce).await.unwrap();
    client.publish(format!("{root}/up/birth"), QoS::AtLeastOnce, false, "birth").await.unwrap();
    let (acknowledged, done) = tokio::sync::oneshot::channel();
    let polling = tokio::spawn(async move {
        while !matches!(
            eventloop.poll().await.expect("connection stays up"),
            Event::Incoming(Incoming::PubAck(_))
        ) {}
        acknowledged.send(()).unwrap();
    });
    assert!(matches!(hub.event().await, MqttEvent::Connected { .. }));
    assert!(matches!(hub.event().await, MqttEvent::Subscribed { .. }));
    let (topic, _, token) = hub.publish_event().await;
    assert_eq!(topic, UpTopic::Birth);
    hub.sessions.acknowledge(token.unwrap());
    tokio::time::timeout(PATIENCE, done).await.unwrap().unwrap();
    polling.await.unwrap();
}

#[test]
fn a_session_is_small() {
    // State that every idle session keeps, without the TLS engine and its socket.
    let shared = size_of::<session::Shared>();
    assert!(shared < 1024, "{shared} bytes");
}
