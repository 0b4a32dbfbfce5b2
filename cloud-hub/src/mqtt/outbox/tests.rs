use locker_core::ids::BankId;

use super::*;

fn limits() -> SessionLimits {
    SessionLimits {
        outbound_messages: 3,
        outbound_bytes: 100,
        outbound_window: 2,
        ..SessionLimits::default()
    }
}

fn topics() -> BankTopics {
    BankTopics::of(&"bank-1".parse::<BankId>().unwrap())
}

fn push(outbox: &mut Outbox, topic: DownTopic, payload: &'static [u8]) -> Pushed {
    outbox.push(topic, Bytes::from_static(payload), &limits())
}

fn pop(outbox: &mut Outbox) -> Option<(u16, Vec<u8>)> {
    match outbox.pop(&topics(), &limits()) {
        Some(Packet::Publish(publish)) => Some((publish.pkid, publish.payload.to_vec())),
        None => None,
        other => panic!("{other:?}"),
    }
}

#[test]
fn packet_ids_are_dense_and_wait_for_the_window() {
    let mut outbox = Outbox::default();
    for payload in [&b"a"[..], b"b", b"c"] {
        assert_eq!(push(&mut outbox, DownTopic::Grants, payload), Pushed::Queued { dropped: 0 });
    }
    assert_eq!(pop(&mut outbox), Some((1, b"a".to_vec())));
    assert_eq!(pop(&mut outbox), Some((2, b"b".to_vec())));
    assert_eq!(pop(&mut outbox), None);
    // An ack of progress passes a full window.
    push(&mut outbox, DownTopic::Ack, b"k");
    assert_eq!(pop(&mut outbox), Some((0, b"k".to_vec())));
    outbox.acknowledged(2).unwrap();
    assert_eq!(pop(&mut outbox), Some((3, b"c".to_vec())));
}

#[test]
fn room_is_what_messages_and_bytes_leave() {
    let mut outbox = Outbox::default();
    assert_eq!(outbox.room(&limits()), 3);
    push(&mut outbox, DownTopic::Grants, b"x");
    assert_eq!(outbox.room(&limits()), 2);
    push(&mut outbox, DownTopic::Grants, &[0; 66]);
    assert_eq!(outbox.room(&limits()), 0);
    pop(&mut outbox);
    pop(&mut outbox);
    assert_eq!(outbox.room(&limits()), 3);
}

#[test]
fn a_puback_that_answers_nothing_is_a_violation() {
    let mut outbox = Outbox::default();
    assert_eq!(outbox.acknowledged(1), Err(Violation::UnknownPacketId(1)));
    push(&mut outbox, DownTopic::Command, b"x");
    pop(&mut outbox);
    outbox.acknowledged(1).unwrap();
    assert_eq!(outbox.acknowledged(1), Err(Violation::UnknownPacketId(1)));
}

#[test]
fn packet_ids_wrap_past_zero_and_past_those_in_flight() {
    let mut outbox =
        Outbox { last_packet_id: u16::MAX - 1, in_flight: vec![1], ..Outbox::default() };
    push(&mut outbox, DownTopic::Config, b"a");
    push(&mut outbox, DownTopic::Config, b"b");
    assert_eq!(pop(&mut outbox).unwrap().0, u16::MAX);
    outbox.acknowledged(u16::MAX).unwrap();
    assert_eq!(pop(&mut outbox).unwrap().0, 2);
}

#[test]
fn a_full_queue_drops_the_oldest_ack_and_refuses_without_one() {
    let mut outbox = Outbox::default();
    push(&mut outbox, DownTopic::Ack, b"k1");
    push(&mut outbox, DownTopic::Grants, b"g1");
    push(&mut outbox, DownTopic::Ack, b"k2");
    assert_eq!(outbox.room(&limits()), 0);
    assert_eq!(push(&mut outbox, DownTopic::Grants, b"g2"), Pushed::Queued { dropped: 1 });
    assert_eq!(push(&mut outbox, DownTopic::Grants, b"g3"), Pushed::Queued { dropped: 1 });
    assert_eq!(push(&mut outbox, DownTopic::Grants, b"g4"), Pushed::Full);
    assert_eq!(push(&mut outbox, DownTopic::Ack, b"k3"), Pushed::Full);
    assert_eq!(pop(&mut outbox).unwrap().1, b"g1");
}

#[test]
fn bytes_are_bounded_but_a_single_large_publish_is_taken() {
    let mut outbox = Outbox::default();
    assert_eq!(push(&mut outbox, DownTopic::Grants, &[0; 150]), Pushed::Queued { dropped: 0 });
    assert_eq!(push(&mut outbox, DownTopic::Grants, &[0; 1]), Pushed::Full);
    pop(&mut outbox);
    assert_eq!(push(&mut outbox, DownTopic::Grants, &[0; 1]), Pushed::Queued { dropped: 0 });
}

#[test]
fn answers_go_first_and_are_bounded() {
    let mut outbox = Outbox::default();
    push(&mut outbox, DownTopic::Grants, b"g");
    for _ in 0..ANSWERS {
        outbox.answer(Answer::Pong).unwrap();
    }
    assert_eq!(outbox.answer(Answer::Pong), Err(Violation::Flood));
    assert_eq!(outbox.pop(&topics(), &limits()), Some(Packet::PingResp));
}
