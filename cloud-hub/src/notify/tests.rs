mod reminders;

use std::future::ready;
use std::sync::Arc;

use locker_core::downlink::GrantPosition;
use tempfile::tempdir;

use super::*;
use crate::config::{NoticeLimits, Notices};
use crate::credential_keys::tests::test_keys;
use crate::ingest::tests::fixture::{
    Journal, World, add_bank, add_parcel, bank_id, book, commit, open_store,
};

#[tokio::test]
async fn a_deliverer_that_is_told_to_stop_claims_nothing_more() {
    let folder = tempdir().unwrap();
    let store = open_store(folder.path()).await;
    add_bank(&store, &[300]).await;
    let mut journal = Journal::commissioned(&[300]);
    commit(&store, &journal).await;
    add_parcel(&store, 1, 200).await;
    book(&store, 1).await;
    let mut world = World::start(&store).await;
    world.birth(&journal).await;
    let after = GrantPosition { epoch: store.epoch(), gseq: 0 };
    let grant = store.downlink(&bank_id(), after, 1).await.unwrap().unwrap().grants.remove(0);
    journal.accept(store.epoch(), 1, grant);
    journal.deposit(1, 1);
    world.facts(journal.batch(6, journal.head()), 1).await;
    world.acknowledged(1).await;
    world.stop().await;
    let notices = Notices {
        from: "lockers@postern.example".into(),
        mailbox: Some(folder.path().join("mailbox")),
        smtp: None,
        limits: NoticeLimits::default(),
    };
    let post = Post::new(&notices, Arc::new(test_keys()), None).unwrap();
    Deliverer::new(store.clone(), post).run(ready(())).await;
    assert_eq!(store.due_notices(now(), 10).await.unwrap()[0].attempts, 0);
}
