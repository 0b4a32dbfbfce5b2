//! The lane with its real router, from ingest's end to a session's mailbox.

use std::time::Duration;

use bytes::BytesMut;
use locker_core::bank::PulseOutcome;
use locker_core::compartment::DoorReading;
use locker_core::ids::{BootId, CompartmentNo, IntentId};
use locker_core::units::UnixMillis;
use rumqttc::mqttbytes::v4::{Packet, Publish};

use super::*;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

fn bank(name: &str) -> BankId {
    name.parse().unwrap()
}

fn topic(name: &str, rest: &str) -> String {
    format!("lk/{}/{name}/{rest}", bank(name).shard())
}

/// A session's place, and its mailbox opened by hand.
struct Listener {
    mailbox: Arc<Mailbox>,
    seat: Seat,
    buffer: BytesMut,
}

impl Listener {
    async fn to(lane: &Lane, filters: &[&str]) -> Self {
        let mailbox = Arc::new(Mailbox::new(100_000, 100 << 20, lane));
        let seat = lane.seat(&mailbox).unwrap();
        seat.subscribe(filters.iter().map(ToString::to_string).collect()).await.unwrap();
        Self { mailbox, seat, buffer: BytesMut::new() }
    }

    async fn next(&mut self) -> Publish {
        let next = async {
            loop {
                self.mailbox.take_into(&mut self.buffer, 1);
                match Packet::read(&mut self.buffer, usize::MAX) {
                    Ok(Packet::Publish(publish)) => return publish,
                    Ok(other) => panic!("{other:?}"),
                    Err(_) => self.mailbox.filled().await,
                }
            }
        };
        tokio::time::timeout(PATIENCE, next).await.expect("a note")
    }
}

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
async fn what_banks_say_reaches_who_subscribed_to_it_and_nobody_else() {
    let lane = Lane::start(LaneLimits::default()).unwrap();
    let mut lobby = Listener::to(&lane, &["lk/+/lobby/#"]).await;
    let mut doors = Listener::to(&lane, &["lk/+/+/live/doors"]).await;
    let sample = Bytes::from_static(b"sample");
    lane.telemetry(&bank("annex"), &sample);
    lane.telemetry(&bank("lobby"), &sample);
    let said = Presence { boot: BootId([1; 16]), online: true, connection_count: 2 };
    lane.presence(&bank("lobby"), said);
    let moved = DoorNote {
        seq: 7,
        at: UnixMillis(1_800_000_000_000),
        compartment: CompartmentNo(3),
        intent: None,
        change: DoorChange::Moved(DoorReading::Open),
    };
    let outcome = DoorChange::Pulse(PulseOutcome::Opened { after_ms: 80 });
    let pulse = DoorNote { seq: 8, intent: Some(IntentId(4)), change: outcome, ..moved };
    lane.doors(&bank("annex"), &[moved, pulse]);

    let heard = lobby.next().await;
    assert_eq!((heard.topic, &heard.payload[..]), (topic("lobby", "up/telemetry"), &b"sample"[..]));
    let heard = lobby.next().await;
    assert_eq!(heard.topic, topic("lobby", "up/presence"));
    assert_eq!(Presence::decode(&heard.payload), Ok(said));
    let heard = doors.next().await;
    assert_eq!(heard.topic, topic("annex", "live/doors"));
    let json: serde_json::Value = serde_json::from_slice(&heard.payload).unwrap();
    let wanted = serde_json::json!({
        "bank": "annex", "seq": 7, "at_ms": 1_800_000_000_000_u64, "compartment": 3,
        "intent": null, "event": "moved", "door": "open",
    });
    assert_eq!(json, wanted);
    let json: serde_json::Value = serde_json::from_slice(&doors.next().await.payload).unwrap();
    assert_eq!((json["event"].as_str(), json["outcome"].as_str()), (Some("pulse"), Some("opened")));
    assert_eq!(json["intent"], 4);
}

#[tokio::test]
async fn nothing_is_queued_while_nobody_listens() {
    let lane = Lane::start(LaneLimits::default()).unwrap();
    let sample = Bytes::from_static(b"sample");
    lane.telemetry(&bank("lobby"), &sample);
    let mut listener = Listener::to(&lane, &["lk/+/lobby/up/telemetry"]).await;
    assert!(lane.is_heard());
    lane.telemetry(&bank("lobby"), &Bytes::from(vec![0; 2_000]));
    lane.telemetry(&bank("lobby"), &Bytes::from_static(b"second"));
    assert_eq!(&listener.next().await.payload[..], b"second");
    assert_eq!(lane.counters().get(Count::Oversize), 1);
    listener.seat.unsubscribe(vec!["lk/+/lobby/up/telemetry".to_owned()]).await.unwrap();
    assert!(!lane.is_heard());
    drop(listener);
}

#[tokio::test]
async fn a_burst_of_many_times_the_links_window_is_delivered_whole_and_in_order() {
    let lane = Lane::start(LaneLimits::default()).unwrap();
    let mut listener = Listener::to(&lane, &["lk/#"]).await;
    for n in 0..5_000_u32 {
        lane.telemetry(&bank("lobby"), &Bytes::copy_from_slice(&n.to_be_bytes()));
    }
    for n in 0..5_000_u32 {
        assert_eq!(listener.next().await.payload[..], n.to_be_bytes());
    }
    assert_eq!(lane.counters().get(Count::QueueDropped), 0);
}

#[tokio::test]
async fn a_dead_router_is_replaced_and_sessions_go_on_with_their_filters() {
    let lane = Lane::start(LaneLimits::default()).unwrap();
    let mut listener = Listener::to(&lane, &["lk/+/lobby/up/telemetry"]).await;
    for round in 1..=3 {
        lane.kill_router().await;
        let died = || lane.counters().get(Count::RouterDied) >= round;
        wait_until("replaced", died).await;
        // What is said while there is no router, or before the filters are with the new one, may be
        // lost: the lane promises no more.
        let sample = Bytes::copy_from_slice(&round.to_be_bytes());
        let heard = loop {
            lane.telemetry(&bank("lobby"), &sample);
            let next = tokio::time::timeout(Duration::from_millis(200), listener.next()).await;
            match next {
                Ok(heard) if heard.payload == sample => break heard,
                Ok(_) | Err(_) => {}
            }
        };
        assert_eq!(heard.topic, topic("lobby", "up/telemetry"));
    }
    let mut second = Listener::to(&lane, &["lk/+/annex/up/telemetry"]).await;
    lane.telemetry(&bank("annex"), &Bytes::from_static(b"new"));
    assert_eq!(&second.next().await.payload[..], b"new");
}

#[tokio::test]
async fn a_router_that_has_seen_too_many_filters_is_replaced() {
    let lane = Lane::start(LaneLimits { filters: 8, ..LaneLimits::default() }).unwrap();
    let mut listener = Listener::to(&lane, &["lk/+/lobby/up/telemetry"]).await;
    for n in 0..20 {
        let filter = vec![format!("lk/+/bank-{n}/up/telemetry")];
        listener.seat.subscribe(filter.clone()).await.unwrap();
        listener.seat.unsubscribe(filter).await.unwrap();
    }
    wait_until("replaced", || lane.counters().get(Count::RouterWornOut) > 0).await;
    let heard = loop {
        lane.telemetry(&bank("lobby"), &Bytes::from_static(b"still"));
        let next = tokio::time::timeout(Duration::from_millis(200), listener.next()).await;
        if let Ok(heard) = next {
            break heard;
        }
    };
    assert_eq!(&heard.payload[..], b"still");
}

#[tokio::test]
async fn a_place_more_than_there_are_is_lost_at_once_and_a_freed_one_is_given_again() {
    let lane = Lane::start(LaneLimits { sessions: 2, ..LaneLimits::default() }).unwrap();
    let first = Listener::to(&lane, &["lk/+/lobby/#"]).await;
    let _second = Listener::to(&lane, &["lk/+/lobby/#"]).await;
    let mailbox = Arc::new(Mailbox::new(10, 1_000, &lane));
    let third = lane.seat(&mailbox).unwrap();
    let filter = || vec!["lk/+/lobby/#".to_owned()];
    assert_eq!(third.subscribe(filter()).await, Err(SeatLost));
    drop(first);
    let given = async {
        loop {
            let seat = lane.seat(&mailbox).unwrap();
            if seat.subscribe(filter()).await.is_ok() {
                return seat;
            }
        }
    };
    tokio::time::timeout(PATIENCE, given).await.expect("the freed place");
}
