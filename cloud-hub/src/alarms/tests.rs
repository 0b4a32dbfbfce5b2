//! Clearing is done once, by whoever looked, and is said in the event log.

use tempfile::tempdir;

use super::*;
use crate::ingest::tests::fixture::{NOW, add_bank, bank_id, open_store, request};
use crate::store::{AlarmFilter, StopBank, StopReason};

async fn stop(store: &Store, reason: StopReason) {
    let stop = StopBank {
        bank: bank_id(),
        reason,
        detail: "test".to_owned(),
        parties: Vec::new(),
        apart: None,
        event_id: reason.as_str().to_owned(),
        now: NOW,
    };
    store.decide(stop).await.unwrap();
}

#[tokio::test]
async fn an_alarm_is_cleared_once_and_says_by_whom() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    add_bank(&store, &[300]).await;
    stop(&store, StopReason::Unreadable).await;
    // One alarm of a kind, and the first reason counts, but for a clone.
    stop(&store, StopReason::Unreadable).await;
    stop(&store, StopReason::Behind).await;
    let open = store.alarms(&AlarmFilter::default(), 10).await.unwrap();
    assert_eq!(open.iter().map(|alarm| alarm.kind.as_str()).collect::<Vec<_>>(), ["UNREADABLE"]);
    stop(&store, StopReason::Clone).await;
    let stopped = store.bank(&bank_id()).await.unwrap().unwrap().stopped_reason;
    assert_eq!(stopped, Some(StopReason::Clone));

    let clear = |id, note: &str, call| clear_alarm(&store, id, note.to_owned(), request(call), NOW);
    // Ending the lesser alarm does not let a copied bank go on.
    clear(open[0].id, "old agent", "1").await.unwrap();
    let stopped = store.bank(&bank_id()).await.unwrap().unwrap().stopped_reason;
    assert_eq!(stopped, Some(StopReason::Clone));

    let clone = store.alarms(&AlarmFilter::default(), 10).await.unwrap().remove(0);
    let cleared = clear(clone.id, "copy destroyed", "2").await.unwrap();
    assert_eq!(clear(clone.id, "copy destroyed", "2").await.unwrap().cleared, cleared.cleared);
    assert!(matches!(clear(clone.id, "again", "3").await, Err(ClearAlarmError::Cleared)));
    assert!(matches!(clear(clone.id, "x", "2").await, Err(ClearAlarmError::RequestIdReused)));
    assert!(matches!(clear(99, "x", "4").await, Err(ClearAlarmError::NotFound)));
    assert_eq!(store.bank(&bank_id()).await.unwrap().unwrap().stopped_reason, None);
    let last = store.events_after(0, None, 100).await.unwrap().pop().unwrap();
    assert_eq!(last.kind, EventKind::BankAlarmCleared);
    assert!(last.detail.ends_with(": copy destroyed"), "{}", last.detail);
    let all = AlarmFilter { with_cleared: true, ..AlarmFilter::default() };
    assert_eq!(store.alarms(&all, 1).await.unwrap()[0].id, clone.id);
    let older = AlarmFilter { before: Some(clone.id), ..all };
    assert_eq!(store.alarms(&older, 10).await.unwrap().len(), 1);
}
