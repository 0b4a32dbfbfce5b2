use super::*;
use crate::mqtt::topic::up_qos;

const SESSION: SessionId = SessionId(1);

fn limits() -> SessionLimits {
    SessionLimits { lossy_messages: 3, lossy_bytes: 100, ..SessionLimits::default() }
}

fn inbox() -> Inbox {
    Inbox::new(SESSION)
}

fn put(
    inbox: &mut Inbox,
    topic: UpTopic,
    packet_id: u16,
    payload: &[u8],
) -> Result<u64, Violation> {
    let mut publish = Publish::new("t", up_qos(topic), payload);
    publish.pkid = packet_id;
    inbox.publish(topic, &publish, &limits())
}

/// Payloads and tokens of everything that waits.
fn drain(inbox: &mut Inbox) -> (Vec<Vec<u8>>, Vec<AckToken>) {
    let (mut payloads, mut tokens) = (Vec::new(), Vec::new());
    while let Some(arrival) = inbox.pop() {
        if let Arrival::Publish { payload, ack, .. } = arrival {
            payloads.push(payload.to_vec());
            tokens.extend(ack);
        }
    }
    (payloads, tokens)
}

#[test]
fn publishes_are_acknowledged_in_order_of_arrival_whatever_the_order_of_commits() {
    let mut inbox = inbox();
    for id in [30, 10, 20] {
        put(&mut inbox, UpTopic::Facts, id, &[]).unwrap();
    }
    let (_, mut tokens) = drain(&mut inbox);
    assert!(inbox.acknowledge(tokens.remove(2)).is_empty());
    assert_eq!(inbox.acknowledge(tokens.remove(0)), [30]);
    assert_eq!(inbox.acknowledge(tokens.remove(0)), [10, 20]);
}

#[test]
fn a_fifth_unacknowledged_batch_is_a_violation_and_room_returns_with_each_acknowledgement() {
    let mut inbox = inbox();
    for id in 1..=4 {
        put(&mut inbox, UpTopic::Facts, id, &[]).unwrap();
    }
    assert_eq!(put(&mut inbox, UpTopic::Facts, 5, &[]), Err(Violation::TooManyFacts));
    put(&mut inbox, UpTopic::Birth, 6, &[]).unwrap();
    assert_eq!(put(&mut inbox, UpTopic::Birth, 7, &[]), Err(Violation::TooManyBirths));
    let (_, mut tokens) = drain(&mut inbox);
    assert_eq!(inbox.acknowledge(tokens.remove(0)), [1]);
    put(&mut inbox, UpTopic::Facts, 5, &[]).unwrap();
}

#[test]
fn a_packet_id_in_use_is_a_violation() {
    let mut inbox = inbox();
    put(&mut inbox, UpTopic::Facts, 9, &[]).unwrap();
    assert_eq!(put(&mut inbox, UpTopic::Facts, 9, &[]), Err(Violation::PacketIdInUse(9)));
}

#[test]
fn the_oldest_telemetry_goes_first_and_facts_never() {
    let mut inbox = inbox();
    put(&mut inbox, UpTopic::Presence, 0, b"p").unwrap();
    put(&mut inbox, UpTopic::Facts, 1, b"f").unwrap();
    put(&mut inbox, UpTopic::Telemetry, 0, b"t1").unwrap();
    put(&mut inbox, UpTopic::Telemetry, 0, b"t2").unwrap();
    assert_eq!(put(&mut inbox, UpTopic::Telemetry, 0, b"t3"), Ok(1));
    let (payloads, _) = drain(&mut inbox);
    assert_eq!(payloads, [&b"p"[..], b"f", b"t2", b"t3"]);
    // Counts are right again after draining: three fit once more.
    for _ in 0..3 {
        assert_eq!(put(&mut inbox, UpTopic::Presence, 0, b"p"), Ok(0));
    }
    assert_eq!(put(&mut inbox, UpTopic::Presence, 0, b"q"), Ok(1));
}

#[test]
fn bytes_are_bounded_too_but_the_newest_stays() {
    let mut inbox = inbox();
    put(&mut inbox, UpTopic::Telemetry, 0, &[1; 60]).unwrap();
    assert_eq!(put(&mut inbox, UpTopic::Telemetry, 0, &[2; 60]), Ok(1));
    assert_eq!(put(&mut inbox, UpTopic::Telemetry, 0, &[3; 200]), Ok(1));
    let (payloads, _) = drain(&mut inbox);
    assert_eq!(payloads, [vec![3; 200]]);
}
