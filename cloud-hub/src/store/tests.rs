//! Tests of the store over real SQLite.

use std::time::Duration;

use locker_core::journal::ChainHash;
use locker_core::uplink::inlet::Cursor;
use sea_orm::ConnectionTrait as _;
use sea_orm_migration::MigratorTrait as _;
use tempfile::tempdir;

use super::*;
use crate::ingest::tests::fixture::{
    Journal, NOW, add_bank, add_parcel, bank_id, book, carrier, commit, open_store, open_store_with,
};

/// A decision that the database refuses.
struct Broken;

impl Decision for Broken {
    type Answer = ();

    async fn decide(&self, tx: &mut Tx) -> Result<(), WriteError> {
        tx.execute("banks", "INSERT INTO banks (id) VALUES ('half')", []).await?;
        Ok(())
    }
}

/// Changes what is stored behind everybody's back.
pub(crate) struct Meddle(pub(crate) &'static str);

impl Decision for Meddle {
    type Answer = ();

    async fn decide(&self, tx: &mut Tx) -> Result<(), WriteError> {
        tx.execute("any", self.0, []).await?;
        Ok(())
    }
}

/// Lets the database grow by so many pages and no further; not at all limited without a number.
pub(crate) struct Room(pub(crate) Option<u32>);

impl Decision for Room {
    type Answer = ();

    async fn decide(&self, tx: &mut Tx) -> Result<(), WriteError> {
        let pages: i64 = match self.0 {
            None => i64::from(u32::MAX - 1),
            Some(more) => {
                let rows =
                    tx.query("SELECT page_count AS pages FROM pragma_page_count", []).await?;
                let pages: i64 = rows[0].try_get_by("pages")?;
                pages + i64::from(more)
            }
        };
        let sql = format!("PRAGMA max_page_count = {pages}");
        tx.connection().execute_unprepared(&sql).await?;
        Ok(())
    }
}

async fn raw(store: &Store, sql: &str) -> i64 {
    use sea_orm::{ConnectionTrait, Statement};
    let statement = Statement::from_string(store.readers.get_database_backend(), sql);
    let row = store.readers.query_one_raw(statement).await.unwrap().unwrap();
    row.try_get_by_index(0).unwrap()
}

fn quarantine(bytes: u8) -> Quarantine {
    let reason = "test".to_owned();
    Quarantine { bank: bank_id(), topic: "facts", reason, bytes: vec![bytes], now: NOW }
}

#[tokio::test]
async fn a_store_that_is_opened_again_is_the_same_store() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    add_bank(&store, &[300]).await;
    let (epoch, last) = (store.epoch(), store.last_event().await.unwrap());
    assert_eq!(last, 2);
    store.close().await;
    assert!(matches!(store.decide(quarantine(1)).await, Err(WriteError::Closed)));
    let store = open_store(directory.path()).await;
    assert_eq!(store.epoch(), epoch);
    assert_eq!(*store.committed_events().borrow(), last);
    assert_eq!(store.bank(&bank_id()).await.unwrap().unwrap().layout.compartments.len(), 1);
}

#[tokio::test]
async fn sqlite_is_set_up_so_that_a_commit_is_durable() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    assert_eq!(raw(&store, "PRAGMA synchronous").await, 2);
    assert_eq!(raw(&store, "PRAGMA foreign_keys").await, 1);
    assert!(directory.path().join("hub.db-wal").exists());
}

#[tokio::test]
async fn a_newer_store_is_refused_with_instructions_and_left_as_it_is() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    struct Newer;
    impl Decision for Newer {
        type Answer = ();
        async fn decide(&self, tx: &mut Tx) -> Result<(), WriteError> {
            let sql = "UPDATE meta SET value = 99 WHERE name = 'format_version'";
            tx.execute("meta", sql, []).await?;
            Ok(())
        }
    }
    store.decide(Newer).await.unwrap();
    store.close().await;
    let url = format!("sqlite://{}?mode=rwc", directory.path().join("hub.db").display());
    for _ in 0..2 {
        let error = Store::open(&url, StoreLimits::default()).await.unwrap_err();
        assert!(matches!(error, OpenStoreError::Newer { found: 99, known: 8 }));
        assert!(error.to_string().contains("restore a backup"), "{error}");
    }
}

#[tokio::test]
async fn an_older_store_is_upgraded_with_what_is_in_it() {
    let directory = tempdir().unwrap();
    let url = format!("sqlite://{}?mode=rwc", directory.path().join("hub.db").display());
    let database = sea_orm::Database::connect(&url).await.unwrap();
    migration::Migrator::up(&database, Some(3)).await.unwrap();
    for sql in [
        "INSERT INTO meta (name, value) VALUES ('format_version', 3), ('epoch', 7)",
        "INSERT INTO banks (id, display_name, address, layout_generation, gseq, quarantined, \
         created_at) VALUES ('bank-1', 'Bank', 'Street 1', 0, 0, 0, 5)",
    ] {
        database.execute_unprepared(sql).await.unwrap();
    }
    database.close().await.unwrap();
    let store = Store::open(&url, StoreLimits::default()).await.unwrap();
    assert_eq!(store.epoch(), HubEpoch(7));
    assert_eq!(raw(&store, "SELECT codes_generation FROM banks").await, 1);
    assert_eq!(raw(&store, "SELECT COUNT(*) FROM banks WHERE time_zone = 'UTC'").await, 1);
    assert_eq!(raw(&store, "SELECT COUNT(*) FROM code_slots").await, 0);
}

#[tokio::test]
async fn r07_who_was_written_to_before_there_were_reminders_is_reminded_too() {
    let directory = tempdir().unwrap();
    let url = format!("sqlite://{}?mode=rwc", directory.path().join("hub.db").display());
    let database = sea_orm::Database::connect(&url).await.unwrap();
    migration::Migrator::up(&database, Some(6)).await.unwrap();
    let parcel = |name: &str, state: &str| {
        format!(
            "INSERT INTO parcels (uid, carrier, name, barcode, length_mm, width_mm, height_mm, \
             weight_g, email, display_name, state, version, created_at, updated_at, expires_at) \
             VALUES ('{name}', 'acme', '{name}', 'B', 1, 1, 1, 1, 'a@b', '', '{state}', 1, 5, 1000, \
             4000)"
        )
    };
    for sql in [
        "INSERT INTO meta (name, value) VALUES ('format_version', 6), ('epoch', 7)",
        &parcel("waits", "STORED"),
        &parcel("has left", "COLLECTED"),
    ] {
        database.execute_unprepared(sql).await.unwrap();
    }
    database.close().await.unwrap();
    let store = Store::open(&url, StoreLimits::default()).await.unwrap();
    assert_eq!(raw(&store, "SELECT COUNT(*) FROM notices").await, 1);
    let due = "SELECT COUNT(*) FROM notices WHERE parcel = 'waits' AND due_at = 2000";
    assert_eq!(raw(&store, due).await, 1);
    let kind = "SELECT COUNT(*) FROM notices WHERE kind = 'PARCEL_REMINDER' AND version = 0";
    assert_eq!(raw(&store, kind).await, 1);
}

#[tokio::test]
async fn a_job_that_fails_costs_only_itself() {
    let directory = tempdir().unwrap();
    let group_wait = Duration::from_millis(200);
    let limits = StoreLimits { group_jobs: 3, group_wait, ..StoreLimits::default() };
    let store = open_store_with(directory.path(), limits).await;
    add_bank(&store, &[300]).await;
    let (before, broken, after) = tokio::join!(
        store.decide(quarantine(1)),
        store.decide(Broken),
        store.decide(quarantine(2)),
    );
    assert!(before.unwrap() && after.unwrap());
    assert!(matches!(broken, Err(WriteError::Database(_))));
    assert_eq!(raw(&store, "SELECT COUNT(*) FROM quarantine").await, 2);
    assert_eq!(raw(&store, "SELECT quarantined FROM banks").await, 2);
    assert_eq!(store.rows_written()["quarantine"], 2);
}

/// A batch that goes on behind the five records of a new journal.
fn batch(journal: &Journal, follows: u64, facts: Vec<FactRow>) -> IngestWrite {
    let committed = facts.last().map_or(follows, |fact| fact.seq);
    IngestWrite {
        bank: bank_id(),
        follows: Some(follows),
        next: Cursor { stream: journal.stream, committed, hash: ChainHash([0; 32]) },
        incomplete: false,
        introduced: None,
        facts,
        entities: Vec::new(),
        effects: Vec::new(),
        codes: CodesWrite::default(),
        alarms: Vec::new(),
        now: NOW,
    }
}

fn fact(seq: u64) -> FactRow {
    FactRow { seq, at: NOW, kind: 0, bytes: seq.to_be_bytes().to_vec() }
}

#[tokio::test]
async fn a_batch_that_does_not_follow_fails_alone_and_writes_nothing() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    add_bank(&store, &[300]).await;
    let journal = Journal::commissioned(&[300]);
    commit(&store, &journal).await;
    let outcome = store.ingest(batch(&journal, 4, vec![fact(5)])).await.unwrap().await.unwrap();
    assert!(matches!(outcome, Err(WriteBatchError::CursorMoved)));
    assert_eq!(store.bank(&bank_id()).await.unwrap().unwrap().committed_seq, 5);
}

#[tokio::test]
async fn rows_of_several_batches_are_written_each_as_it_is() {
    let directory = tempdir().unwrap();
    let group_wait = Duration::from_millis(200);
    let limits = StoreLimits { group_jobs: 3, group_wait, ..StoreLimits::default() };
    let store = open_store_with(directory.path(), limits).await;
    add_bank(&store, &[300]).await;
    let journal = Journal::commissioned(&[300]);
    commit(&store, &journal).await;
    // More than one statement's rows, a batch without any, and the rest of a statement.
    let long = store.ingest(batch(&journal, 5, (6..=340).map(fact).collect())).await.unwrap();
    let empty = store.ingest(batch(&journal, 340, Vec::new())).await.unwrap();
    let short = store.ingest(batch(&journal, 340, vec![fact(341)])).await.unwrap();
    for outcome in [long, empty, short] {
        assert!(outcome.await.unwrap().is_ok());
    }
    let same = "SELECT COUNT(*) FROM facts WHERE seq > 5 AND hex(bytes) = printf('%016X', seq)";
    assert_eq!(raw(&store, same).await, 336);
    assert_eq!(raw(&store, "SELECT COUNT(*) FROM facts").await, 341);
    assert_eq!(store.rows_written()["facts"], 341);
}

#[tokio::test]
async fn of_a_batch_with_a_row_that_the_database_refuses_nothing_is_kept() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    add_bank(&store, &[300]).await;
    let journal = Journal::commissioned(&[300]);
    commit(&store, &journal).await;
    // The row that is there already comes in the middle of one statement.
    let rows = (6..=300).chain([3]).chain(301..=600).map(fact).collect();
    let outcome = store.ingest(batch(&journal, 5, rows)).await.unwrap().await.unwrap();
    assert!(matches!(outcome, Err(WriteBatchError::Write(WriteError::Database(_)))));
    assert_eq!(raw(&store, "SELECT COUNT(*) FROM facts").await, 5);
    let after = store.ingest(batch(&journal, 5, vec![fact(6)])).await.unwrap().await.unwrap();
    assert!(after.is_ok());
    assert_eq!(raw(&store, "SELECT COUNT(*) FROM facts").await, 6);
}

#[tokio::test]
async fn what_is_loaded_is_what_was_folded() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    add_bank(&store, &[300, 400]).await;
    let journal = Journal::commissioned(&[300, 400]);
    commit(&store, &journal).await;
    let loaded = store.load_bank(&bank_id()).await.unwrap().unwrap();
    let cursor = loaded.cursor.unwrap();
    assert_eq!((cursor.committed, cursor.hash), (5, *journal.hashes.last().unwrap()));
    let compartments = store.compartments(&bank_id()).await.unwrap();
    assert_eq!(locker_core::journal::View::compartments(&loaded.view), compartments);
    assert_eq!(compartments.len(), 2);
    assert_eq!(raw(&store, "SELECT COUNT(*) FROM facts").await, 5);
    assert_eq!(store.rows_written()["facts"], 5);
}

#[tokio::test]
async fn of_unreadable_messages_the_newest_are_kept_and_all_counted() {
    let directory = tempdir().unwrap();
    let limits = StoreLimits { quarantined_per_bank: 3, ..StoreLimits::default() };
    let store = open_store_with(directory.path(), limits).await;
    assert!(!store.decide(quarantine(0)).await.unwrap(), "nothing is kept of an unknown bank");
    add_bank(&store, &[300]).await;
    for byte in 1..=5 {
        assert!(store.decide(quarantine(byte)).await.unwrap());
    }
    assert_eq!(raw(&store, "SELECT COUNT(*) FROM quarantine").await, 3);
    assert_eq!(raw(&store, "SELECT COUNT(*) FROM quarantine WHERE bytes = x'01'").await, 0);
    assert_eq!(raw(&store, "SELECT quarantined FROM banks").await, 5);
}

#[tokio::test]
async fn events_are_read_in_order_whole_or_for_one_carrier_and_show_the_parcel_as_it_was() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    let mut committed = store.committed_events();
    add_bank(&store, &[300]).await;
    commit(&store, &Journal::commissioned(&[300])).await;
    add_parcel(&store, 1, 200).await;
    book(&store, 1).await;
    assert_eq!(*committed.borrow_and_update(), store.last_event().await.unwrap());
    let all = store.events_after(0, None, 100).await.unwrap();
    let positions: Vec<u64> = all.iter().map(|event| event.position).collect();
    assert_eq!(positions, (1..=6).collect::<Vec<u64>>());
    let ours = store.events_after(0, Some(&carrier()), 100).await.unwrap();
    let states: Vec<_> = ours.iter().map(|event| event.parcel.as_ref().unwrap().state).collect();
    assert_eq!(states, [HubParcelState::Announced, HubParcelState::Booked]);
    assert_eq!(ours[0].parcel.as_ref().unwrap().bank, None);
    let theirs = "other".parse().unwrap();
    assert!(store.events_after(0, Some(&theirs), 100).await.unwrap().is_empty());
    let uid = ours[0].parcel.as_ref().unwrap().uid;
    assert_eq!(store.parcel_events(uid).await.unwrap(), ours);
    assert_eq!(store.events_after(5, None, 1).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_notice_belongs_to_one_sender_at_a_time_until_it_is_settled() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    add_bank(&store, &[300]).await;
    add_parcel(&store, 1, 200).await;
    let mut journal = Journal::commissioned(&[300]);
    book_without_asking(&store).await;
    journal.deposit(1, 1);
    commit(&store, &journal).await;
    let due = store.due_notices(NOW, 10).await.unwrap();
    assert_eq!((due.len(), due[0].attempts), (1, 0));
    assert_eq!(due[0].parcel.email.as_str(), "someone@example.org");
    assert!(store.due_notices(NOW, 10).await.unwrap().is_empty());
    let lease_ms = StoreLimits::default().notice_lease_ms;
    let again = store.due_notices(NOW.plus_ms(lease_ms), 10).await.unwrap();
    assert_eq!(again[0].attempts, 1);
    let retry_at = NOW.plus_ms(500_000);
    store.settle_notice(again[0].id, NoticeOutcome::Failed { retry_at }).await.unwrap();
    assert!(store.due_notices(NOW.plus_ms(499_999), 10).await.unwrap().is_empty());
    let last = store.due_notices(retry_at, 10).await.unwrap();
    store.settle_notice(last[0].id, NoticeOutcome::Sent).await.unwrap();
    let late = NoticeOutcome::Failed { retry_at };
    store.settle_notice(last[0].id, late).await.unwrap();
    assert!(store.due_notices(retry_at.plus_ms(1 << 40), 10).await.unwrap().is_empty());
}

/// The bank has no compartments yet, as the hub knows it.
async fn book_without_asking(store: &Store) {
    struct Booked;
    impl Decision for Booked {
        type Answer = ();
        async fn decide(&self, tx: &mut Tx) -> Result<(), WriteError> {
            let parcel = tx.parcel(&carrier(), "p1").await?.unwrap();
            let bank = Some(bank_id());
            let state = HubParcelState::Booked;
            tx.save_parcel(&ParcelRow { bank, state, ..parcel }).await
        }
    }
    store.decide(Booked).await.unwrap();
}

#[tokio::test]
async fn personal_data_is_never_printed() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    let parcel = add_parcel(&store, 1, 200).await;
    let printed = format!("{parcel:?}");
    assert!(!printed.contains("example.org") && !printed.contains("Someone"), "{printed}");
    let refused = "no address".parse::<Email>().unwrap_err();
    assert!(!refused.to_string().contains("no address"));
}

#[tokio::test]
async fn a_notice_that_is_given_up_becomes_an_event_once() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    add_bank(&store, &[300]).await;
    add_parcel(&store, 1, 200).await;
    let mut journal = Journal::commissioned(&[300]);
    book_without_asking(&store).await;
    journal.deposit(1, 1);
    commit(&store, &journal).await;
    let due = store.due_notices(NOW, 10).await.unwrap();
    for _ in 0..2 {
        store.settle_notice(due[0].id, NoticeOutcome::Abandoned).await.unwrap();
    }
    let events = store.events_after(0, Some(&carrier()), 100).await.unwrap();
    let failed: Vec<_> =
        events.iter().filter(|event| event.kind == EventKind::ParcelNoticeFailed).collect();
    assert_eq!((failed.len(), failed[0].detail.as_str()), (1, "after 1 attempts"));
    assert_eq!(failed[0].parcel.as_ref().unwrap().state, HubParcelState::Stored);
    assert_eq!(events.last().unwrap(), failed[0]);
}
