//! Sessions while the store's disk hangs, with everything behind them but a real bank.

use std::sync::Arc;

use tempfile::tempdir;
use tokio::time::{advance, pause, resume};

use super::bank::{Bank, PATIENCE};
use super::*;
use crate::credential_keys::tests::test_keys;
use crate::ingest::tests::fixture::{Hung, Journal, add_bank, bank_id, open_store};
use crate::ingest::{Count as IngestCount, Ingest, IngestParts};
use crate::tls::Alpn;

const EDGES: &[u32] = &[300, 300];
/// As long as a disk may hang.
const HANGS: Duration = Duration::from_secs(10);

/// The next packet that is no publish: what the hub says of itself does not matter here.
async fn answer(bank: &mut Bank) -> Packet {
    loop {
        let packet = bank.receive().await.expect("the session lives");
        if !matches!(packet, Packet::Publish(_)) {
            return packet;
        }
    }
}

#[tokio::test]
async fn r04_while_the_disk_hangs_for_ten_seconds_no_bank_is_cut_off_and_nothing_is_lost() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    add_bank(&store, EDGES).await;
    let fixture = Fixture::new();
    let (sender, events) = tokio::sync::mpsc::channel(64);
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    let session = SessionLimits::default();
    let config = ListenerConfig { address, tls: Limits::default(), session };
    let listener = MqttListener::bind(config, fixture.server(Alpn::None), sender).await.unwrap();
    let (address, sessions) = (listener.local_address(), listener.sessions());
    let (stamps, _stamped) = tokio::sync::mpsc::channel(64);
    let keys = Arc::new(test_keys());
    let parts = IngestParts { store: store.clone(), keys, sessions: sessions.clone(), stamps };
    let ingest = Ingest::start(parts).await.unwrap();
    let counters = ingest.counters();
    let listening = tokio::spawn(listener.run(std::future::pending()));
    let ingesting = tokio::spawn(ingest.run(events));

    let journal = Journal::commissioned(EDGES);
    let stream = fixture.connect(address, "banks/bank-1").await.unwrap();
    let mut bank = Bank::new(stream, bank_id().as_str());
    let mut asked = Connect::new("bank-1");
    asked.keep_alive = 45;
    bank.send(Packet::Connect(asked)).await;
    bank.welcome().await;
    bank.subscribe_all().await;
    bank.publish("birth", 1, &journal.birth().encode()).await;
    assert_eq!(answer(&mut bank).await, Packet::PubAck(PubAck::new(1)));

    let hung = Hung::begin(&store).await;
    for id in 2..=5 {
        let seq = u64::from(id) - 1;
        bank.publish("facts", id, &journal.batch(seq, seq).encode()).await;
    }
    for _ in 0..10 {
        bank.publish("telemetry", 0, b"").await;
        bank.send(Packet::PingReq).await;
        assert_eq!(answer(&mut bank).await, Packet::PingResp);
        // Whatever has a time limit of up to the whole hang would have run out by the end.
        pause();
        advance(HANGS / 10).await;
        resume();
    }
    assert_eq!(store.bank(&bank_id()).await.unwrap().unwrap().committed_seq, 0);
    assert!(!sessions.is_empty());
    hung.let_go().await;
    for id in 2..=5 {
        assert_eq!(answer(&mut bank).await, Packet::PubAck(PubAck::new(id)));
    }
    bank.publish("facts", 6, &journal.batch(5, 5).encode()).await;
    assert_eq!(answer(&mut bank).await, Packet::PubAck(PubAck::new(6)));
    assert_eq!(store.bank(&bank_id()).await.unwrap().unwrap().committed_seq, journal.head());
    assert_eq!(counters.get(IngestCount::Facts), journal.head());
    assert!(PATIENCE > HANGS);
    listening.abort();
    ingesting.abort();
}
