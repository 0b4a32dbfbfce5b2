//! Keys are rolled under banks that are away, and nobody puts an older key set back.

use std::sync::Arc;

use locker_core::credential::KeySet;
use locker_core::downlink::ConfigDocument;
use tokio::sync::mpsc;

use super::fixture::{FakeLink, commit_more};
use super::*;
use crate::credential_keys::HubKeys;
use crate::credential_keys::tests::{key_set, keys_of, loaded};
use crate::ingest::{Ingest, IngestParts, StartIngestError};

const CREDENTIAL: &[(u8, u8)] = &[(1, 7)];

/// Starts ingest, tells nobody anything, and stops.
async fn started(store: &Store, keys: HubKeys) -> Result<(), StartIngestError> {
    let (did, _) = mpsc::channel(1);
    let (stamps, _) = mpsc::channel(1);
    let parts = IngestParts {
        store: store.clone(),
        keys: Arc::new(keys),
        sessions: FakeLink::new(did),
        stamps,
    };
    Ingest::start(parts).await.map(drop)
}

#[tokio::test]
async fn a_command_key_is_rolled_with_an_overlap() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    let mut journal = booked(&store).await;
    let first = || key_set(1, &[(1, 1)], CREDENTIAL);
    let birth_holding = |journal: &Journal, generation| {
        let mut birth = journal.birth();
        birth.key_set = Generation(generation);
        birth
    };
    let world = World::start(&store).await;
    world.stop().await;

    // The hub has a second key; the bank comes with the first set, and learns before it is told more.
    let rolled = || keys_of(2, &[(2, 2), (1, 1)], CREDENTIAL);
    let mut world = World::start_with(&store, rolled(), first()).await;
    world.birth_with(birth_holding(&journal, 1)).await;
    assert_eq!(world.told_sets, [2]);
    world.disconnect().await;
    // Only the new key signs for it from then on, also when it holds the set already.
    world.held.command.retain(|key| key.kid == 2);
    world.birth_with(birth_holding(&journal, 2)).await;
    assert_eq!(world.told_sets, [2]);
    journal.append(Fact::ConfigAccepted(ConfigDocument::KeySet(rolled().key_set().clone()).into()));
    world.facts(journal.batch(1, journal.head()), 1).await;
    world.acknowledged(1).await;
    world.stop().await;

    // The old key retires. A bank that slept through it all gets along, too.
    let retired = || keys_of(3, &[(2, 2)], CREDENTIAL);
    let mut world = World::start_with(&store, retired(), KeySet::default()).await;
    world.birth_with(birth_holding(&journal, 0)).await;
    assert_eq!((world.told_sets.as_slice(), world.held.command.len()), (&[3][..], 1));
    world.stop().await;
}

#[tokio::test]
async fn a_hub_that_is_behind_signs_with_a_key_that_the_bank_still_believes() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    let mut journal = booked(&store).await;
    // Another hub has told it a newer set, in which our newest key is out already.
    let newer = key_set(5, &[(3, 3), (1, 1)], CREDENTIAL);
    journal.append(Fact::ConfigAccepted(ConfigDocument::KeySet(newer.clone()).into()));
    // What it had when it took the booking over.
    commit_more(&store, &journal, journal.head() - 2).await;
    let keys = keys_of(2, &[(2, 2), (1, 1)], CREDENTIAL);
    let mut world = World::start_with(&store, keys, newer).await;
    let mut birth = journal.birth();
    birth.key_set = Generation(5);
    world.birth_with(birth).await;
    assert!(world.told_sets.is_empty());
    world.stop().await;
}

#[tokio::test]
async fn an_older_key_set_or_another_of_the_same_generation_is_refused_at_the_start() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    started(&store, keys_of(3, &[(1, 1)], CREDENTIAL)).await.unwrap();
    started(&store, keys_of(3, &[(1, 1)], CREDENTIAL)).await.unwrap();
    let said = started(&store, keys_of(2, &[(1, 1)], CREDENTIAL)).await.unwrap_err().to_string();
    for part in ["is of generation 2", "has had generation 3", "cloud-hub pki sign"] {
        assert!(said.contains(part), "{said}");
    }
    let other = key_set(3, &[(2, 2), (1, 1)], CREDENTIAL);
    let other = loaded(other, &[(1, 1)], CREDENTIAL).unwrap();
    let said = started(&store, other).await.unwrap_err().to_string();
    assert!(said.contains("another one of generation 3"), "{said}");
    started(&store, keys_of(9, &[(2, 2), (1, 1)], CREDENTIAL)).await.unwrap();
}
