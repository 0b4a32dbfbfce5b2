use std::net::SocketAddr;
use std::time::Duration;

use locker_core::bank::PickupEnd;
use tempfile::tempdir;
use tonic::Code;

use super::super::fixture::reason;
use super::*;
use crate::ingest::tests::fixture::{Journal, add_bank, bank_id, commit, open_store};

const PAGE: u64 = 256;

fn peer() -> Peer {
    Peer {
        identity: "urn:postern:operator:olga".parse().unwrap(),
        certificate: [1; 32],
        serial: [2; 32],
        key: None,
        expires_s: i64::MAX,
        address: SocketAddr::from(([127, 0, 0, 1], 1)),
    }
}

/// An answer of all that was committed of a journal, with so much time.
fn reading(store: &Store, journal: &Journal, time: Duration) -> Reading {
    let begun = Instant::now();
    Reading {
        store: store.clone(),
        revocations: Revocations::default(),
        stopping: signal::channel(false).1,
        peer: peer(),
        until: begun + time,
        begun,
        bank: bank_id(),
        stream: journal.stream,
        next: 1,
        last: journal.head(),
        overview: Some(wire::JournalOverview::default()),
    }
}

fn records(part: Option<wire::read_journal_response::Part>) -> wire::JournalRecords {
    let Some(wire::read_journal_response::Part::Records(records)) = part else {
        panic!("{part:?}")
    };
    records
}

async fn long_journal(store: &Store) -> Journal {
    add_bank(store, &[300]).await;
    let mut journal = Journal::commissioned(&[300]);
    while journal.head() < PAGE / 2 {
        journal.pick_up(1, 1, PickupEnd::NotOpened);
    }
    commit(store, &journal).await;
    journal
}

#[tokio::test]
async fn records_come_as_they_were_written_with_the_hash_before_them() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    let journal = long_journal(&store).await;
    let mut reading = reading(&store, &journal, Duration::from_secs(60));
    reading.next = 3;
    assert!(matches!(
        reading.next().await.unwrap(),
        Some(wire::read_journal_response::Part::Overview(_))
    ));
    let mut came = Vec::new();
    while let Some(part) = reading.next().await.unwrap() {
        let page = records(Some(part));
        assert_eq!(page.first_seq, 3 + came.len() as u64);
        assert_eq!(page.previous_hash, journal.hashes[came.len() + 2].0);
        came.extend(page.records);
    }
    assert_eq!(came, journal.records[2..]);
}

#[tokio::test]
async fn an_answer_ends_when_its_time_is_over_or_its_certificate_is_revoked_or_the_hub_stops() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    let journal = long_journal(&store).await;

    let mut late = reading(&store, &journal, Duration::ZERO);
    late.next().await.unwrap();
    let status = late.next().await.unwrap_err();
    assert_eq!((status.code(), &*reason(&status)), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"));

    let mut revoked = reading(&store, &journal, Duration::from_secs(60));
    revoked.next().await.unwrap();
    revoked.revocations.revoke([1; 32]);
    let status = revoked.next().await.unwrap_err();
    assert_eq!(reason(&status), "CERTIFICATE_REVOKED");

    let (stop, stopping) = signal::channel(false);
    let mut stopped = Reading { stopping, ..reading(&store, &journal, Duration::from_secs(60)) };
    stopped.next().await.unwrap();
    stop.send_replace(true);
    assert_eq!(reason(&stopped.next().await.unwrap_err()), "HUB_STOPPING");
}
