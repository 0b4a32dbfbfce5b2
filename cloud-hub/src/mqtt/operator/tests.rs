//! Operators' sessions over real TLS on loopback, beside banks'.

use std::time::Duration;

use bytes::Bytes;
use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v4::{
    Connect, ConnectReturnCode, LastWill, Packet, Publish, Subscribe, SubscribeFilter,
    SubscribeReasonCode, Unsubscribe,
};

use super::*;
use crate::live::LaneLimits;
use crate::mqtt::SessionLimits;
use crate::mqtt::tests::bank::{Bank, Hub, PATIENCE};

/// A hub whose operator olga has the bank lobby and all that begin with `berlin-`.
async fn start(limits: OperatorLimits) -> (Hub, Operators, Lane) {
    let hub = Hub::start_with(SessionLimits::default(), 64).await;
    let lane = Lane::start(LaneLimits::default()).unwrap();
    let banks = ["lobby", "bank-1", "berlin-*"].map(|text| text.parse().unwrap());
    let olga = ("olga".parse().unwrap(), OperatorBanks::new(banks));
    let operators = Operators::new(lane.clone(), limits, [olga]);
    hub.sessions.admit_operators(operators.clone());
    (hub, operators, lane)
}

fn connect(id: &str) -> Connect {
    let mut connect = Connect::new(id);
    connect.keep_alive = 60;
    connect
}

async fn tool(hub: &Hub, id: &str) -> Bank {
    let mut tool = hub.call("operators/olga").await;
    tool.send(Packet::Connect(connect(id))).await;
    tool.welcome().await;
    tool
}

async fn subscribe(tool: &mut Bank, filters: &[&str]) -> Vec<SubscribeReasonCode> {
    let filters =
        filters.iter().map(|path| SubscribeFilter::new((*path).to_owned(), QoS::ExactlyOnce));
    let mut subscribe = Subscribe::new_many(filters);
    subscribe.pkid = 9;
    tool.send(Packet::Subscribe(subscribe)).await;
    match tool.receive().await {
        Some(Packet::SubAck(suback)) if suback.pkid == 9 => suback.return_codes,
        other => panic!("{other:?}"),
    }
}

const GRANTED: SubscribeReasonCode = SubscribeReasonCode::Success(QoS::AtMostOnce);
const REFUSED: SubscribeReasonCode = SubscribeReasonCode::Failure;

async fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let wait = async {
        let mut looks = tokio::time::interval(Duration::from_millis(5));
        while !condition() {
            looks.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("never {what}"));
}

#[tokio::test]
async fn an_operator_hears_its_banks_and_is_told_which_filters_are_not_granted() {
    let (hub, _operators, lane) = start(OperatorLimits::default()).await;
    let mut tool = tool(&hub, "mosq-1").await;
    let codes = subscribe(
        &mut tool,
        &["lk/+/lobby/up/telemetry", "lk/+/annex/up/telemetry", "#", "lk/+/berlin-07/#"],
    );
    assert_eq!(codes.await, [GRANTED, REFUSED, REFUSED, GRANTED]);
    for bank in ["annex", "lobby", "berlin-07"] {
        lane.telemetry(&bank.parse().unwrap(), &Bytes::from(bank));
    }
    for bank in ["lobby", "berlin-07"] {
        let Some(Packet::Publish(heard)) = tool.receive().await else { panic!("nothing heard") };
        assert_eq!(
            (&heard.payload[..], heard.qos, heard.pkid),
            (bank.as_bytes(), QoS::AtMostOnce, 0)
        );
    }
    let mut unsubscribe = Unsubscribe::new("lk/+/lobby/up/telemetry");
    unsubscribe.pkid = 3;
    tool.send(Packet::Unsubscribe(unsubscribe)).await;
    assert!(matches!(tool.receive().await, Some(Packet::UnsubAck(ack)) if ack.pkid == 3));
    lane.telemetry(&"lobby".parse().unwrap(), &Bytes::from("silent"));
    lane.telemetry(&"berlin-07".parse().unwrap(), &Bytes::from("heard"));
    let Some(Packet::Publish(heard)) = tool.receive().await else { panic!("nothing heard") };
    assert_eq!(&heard.payload[..], b"heard");
    tool.ping().await;
    assert_eq!(lane.counters().get(Count::FilterRefused), 2);
}

#[tokio::test]
async fn who_may_do_what_at_the_banks_door() {
    let (mut hub, operators, _lane) = start(OperatorLimits::default()).await;
    // A bank does not hear the lane, its own part of it included.
    for filter in ["lk/+/bank-1/up/telemetry", "lk/+/bank-1/live/doors", "lk/#"] {
        let (mut bank, session) = hub.connect("bank-1").await;
        let mut asked = Subscribe::new(filter, QoS::AtMostOnce);
        asked.pkid = 1;
        bank.send(Packet::Subscribe(asked)).await;
        assert_eq!(hub.ended().await.0, session);
        assert_eq!(bank.receive().await, None, "{filter}");
    }
    // An operator says nothing, on any topic.
    for topic in ["lk/52/lobby/up/telemetry", "lk/52/bank-1/down/command", "canary"] {
        let mut tool = tool(&hub, "tool").await;
        tool.send(Packet::Publish(Publish::new(topic, QoS::AtMostOnce, "x"))).await;
        assert_eq!(tool.receive().await, None, "{topic}");
    }
    // Nobody else gets in, and no operator without banks.
    let mut carrier = hub.call("carriers/acme").await;
    carrier.send(Packet::Connect(connect("acme"))).await;
    assert_eq!(carrier.refusal().await, ConnectReturnCode::NotAuthorized);
    operators.set_banks(&"olga".parse().unwrap(), None);
    let mut tool = hub.call("operators/olga").await;
    tool.send(Packet::Connect(connect("tool"))).await;
    assert_eq!(tool.refusal().await, ConnectReturnCode::NotAuthorized);
}

#[tokio::test]
async fn stored_sessions_wills_and_no_keep_alive_are_refused_to_tools_too() {
    let (hub, _operators, lane) = start(OperatorLimits::default()).await;
    let changes: [fn(&mut Connect); 3] = [
        |asked| asked.clean_session = false,
        |asked| asked.keep_alive = 0,
        |asked| asked.last_will = Some(LastWill::new("other", "gone", QoS::AtMostOnce, false)),
    ];
    for change in changes {
        let mut asked = connect("tool");
        change(&mut asked);
        let mut tool = hub.call("operators/olga").await;
        tool.send(Packet::Connect(asked)).await;
        assert_eq!(tool.refusal().await, ConnectReturnCode::NotAuthorized);
    }
    assert_eq!(lane.counters().get(Count::ConnectRefused), 3);
}

#[tokio::test]
async fn sessions_and_filters_are_bounded() {
    let limits =
        OperatorLimits { sessions_per_operator: 2, filters: 2, ..OperatorLimits::default() };
    let (hub, operators, _lane) = start(limits).await;
    let mut first = tool(&hub, "one").await;
    let _second = tool(&hub, "two").await;
    let mut third = hub.call("operators/olga").await;
    third.send(Packet::Connect(connect("three"))).await;
    assert_eq!(third.refusal().await, ConnectReturnCode::ServiceUnavailable);
    let own = ["lk/+/lobby/#", "lk/+/lobby/#", "lk/+/bank-1/#", "lk/+/berlin-1/#"];
    assert_eq!(subscribe(&mut first, &own).await, [GRANTED, GRANTED, GRANTED, REFUSED]);
    for _ in 0..7 {
        assert_eq!(subscribe(&mut first, &own).await.len(), 4);
    }
    let mut subscribe = Subscribe::new("lk/+/lobby/#", QoS::AtMostOnce);
    subscribe.pkid = 1;
    first.send(Packet::Subscribe(subscribe)).await;
    assert_eq!(first.receive().await, None, "it asks for filters without end");
    wait_until("forgotten", || operators.len() == 1).await;
}

#[tokio::test]
async fn a_revoked_certificate_or_changed_banks_end_the_session_at_once() {
    let (hub, operators, _lane) = start(OperatorLimits::default()).await;
    let mut first = tool(&hub, "one").await;
    operators.set_banks(&"olga".parse().unwrap(), Some(OperatorBanks::default()));
    assert_eq!(first.receive().await, None);
    let mut second = tool(&hub, "two").await;
    assert_eq!(subscribe(&mut second, &["lk/+/lobby/#"]).await, [REFUSED]);
    let certificate = operators.register().live.values().next().unwrap().peer().certificate;
    hub.sessions.revoke(certificate);
    assert_eq!(second.receive().await, None);
    let refused = hub.fixture.connect(hub.address, "operators/olga").await;
    if let Ok(stream) = refused {
        // TLS 1.3 lets the client believe that all is well first.
        let mut third = Bank::new(stream, "olga");
        assert_eq!(third.receive().await, None);
    }
}

#[tokio::test]
async fn a_tool_that_stops_reading_is_ended_and_counted_while_banks_go_on() {
    let limits = OperatorLimits {
        write_timeout: Duration::from_millis(300),
        outbound_messages: 1_000,
        ..OperatorLimits::default()
    };
    let (mut hub, operators, lane) = start(limits).await;
    let mut stopped = tool(&hub, "stopped").await;
    assert_eq!(subscribe(&mut stopped, &["lk/+/lobby/#"]).await, [GRANTED]);
    let mut reading = tool(&hub, "reading").await;
    assert_eq!(subscribe(&mut reading, &["lk/+/bank-1/up/telemetry"]).await, [GRANTED]);
    let (mut bank, _) = hub.connect("bank-1").await;
    let lobby = "lobby".parse().unwrap();
    let sample = Bytes::from(vec![7; 1_000]);
    let mut id = 0;
    // Nobody reads `stopped`: more than all socket buffers hold, and then some.
    while lane.counters().get(Count::SlowReader) == 0 {
        for _ in 0..2_000 {
            lane.telemetry(&lobby, &sample);
        }
        id = id % 60_000 + 1;
        bank.publish("facts", id, b"batch").await;
        let (_, _, token) = hub.publish_event().await;
        hub.sessions.acknowledge(token.unwrap());
        assert!(matches!(bank.receive().await, Some(Packet::PubAck(ack)) if ack.pkid == id));
    }
    wait_until("forgotten", || operators.len() == 1).await;
    assert!(
        lane.counters().get(Count::MailboxDropped) + lane.counters().get(Count::QueueDropped) > 0
    );
    // The other one hears what comes now.
    loop {
        lane.telemetry(&"bank-1".parse().unwrap(), &Bytes::from("still here"));
        let next = tokio::time::timeout(Duration::from_millis(200), reading.receive()).await;
        if let Ok(next) = next {
            assert!(matches!(next, Some(Packet::Publish(_))));
            break;
        }
    }
    drop(stopped);
}

#[tokio::test]
async fn operators_end_with_the_hub() {
    let (mut hub, operators, _lane) = start(OperatorLimits::default()).await;
    let mut tool = tool(&hub, "tool").await;
    drop(hub.stop.take());
    assert_eq!(tool.receive().await, None);
    wait_until("forgotten", || operators.is_empty()).await;
    assert!(hub.sessions.is_empty());
    let ended = tokio::time::timeout(PATIENCE, &mut hub.task).await;
    ended.expect("the listener ends").unwrap();
}
