use tokio::time::advance;

use super::*;
use crate::ingest::tests::fixture::{Journal, NOW, add_bank, commit, open_store};
use crate::store::AlarmFilter;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

fn bank() -> BankId {
    "bank-1".parse().unwrap()
}

fn outages(known: &[(BankId, bool)]) -> Outages {
    Outages::new(2 * HOUR, 5 * MINUTE, known.iter().cloned())
}

#[tokio::test(start_paused = true)]
async fn r13_a_link_that_flaps_is_no_outage_and_ends_none() {
    let mut outages = outages(&[]);
    // It comes and goes for a day.
    for _ in 0..24 * 30 {
        outages.left(&bank());
        advance(MINUTE).await;
        assert_eq!(outages.look(), []);
        outages.came(&bank());
        advance(MINUTE).await;
        assert_eq!(outages.look(), []);
    }
    outages.left(&bank());
    advance(2 * HOUR - MINUTE).await;
    assert_eq!(outages.look(), []);
    advance(MINUTE).await;
    assert_eq!(outages.look(), [Turn::Outage(bank())]);
    // Once; and it is not back by connections of a minute.
    for _ in 0..100 {
        outages.came(&bank());
        advance(MINUTE).await;
        assert_eq!(outages.look(), []);
        outages.left(&bank());
        advance(3 * HOUR).await;
        assert_eq!(outages.look(), []);
    }
    outages.came(&bank());
    advance(5 * MINUTE).await;
    assert_eq!(outages.look(), [Turn::Back(bank())]);
    advance(HOUR).await;
    assert_eq!(outages.look(), []);
    assert!(outages.banks.is_empty());
}

#[tokio::test(start_paused = true)]
async fn r13_the_hubs_own_absence_is_no_outage_of_its_banks() {
    let other: BankId = "bank-2".parse().unwrap();
    let mut outages = outages(&[(bank(), false), (other.clone(), true)]);
    advance(HOUR).await;
    outages.came(&bank());
    outages.came(&other);
    advance(HOUR).await;
    // Of the one an outage was known before the start.
    assert_eq!(outages.look(), [Turn::Back(other)]);
}

#[tokio::test(start_paused = true)]
async fn r13_an_alarm_that_could_not_be_written_is_raised_later() {
    let mut outages = outages(&[(bank(), false)]);
    advance(2 * HOUR).await;
    let turn = outages.look().remove(0);
    outages.forget(&turn);
    advance(LOOK_EVERY).await;
    assert_eq!(outages.look(), [turn]);
}

#[tokio::test]
async fn r13_an_outage_is_one_alarm_that_outlives_the_hub_and_ends_with_the_outage() {
    let directory = tempfile::tempdir().unwrap();
    let store = open_store(directory.path()).await;
    add_bank(&store, &[300]).await;
    assert!(store.banks_heard_of().await.unwrap().is_empty(), "it was never there");
    commit(&store, &Journal::commissioned(&[300])).await;
    assert_eq!(store.banks_heard_of().await.unwrap(), [(bank(), false)]);
    let kind = AlarmKind::Unreachable;
    for _ in 0..2 {
        let detail = "no connection".to_owned();
        store.decide(RaiseAlarm { bank: bank(), kind, detail, now: NOW }).await.unwrap();
    }
    store.close().await;
    let store = open_store(directory.path()).await;
    assert_eq!(store.banks_heard_of().await.unwrap(), [(bank(), true)]);
    let row = store.bank(&bank()).await.unwrap().unwrap();
    assert_eq!(row.stopped_reason, None, "it stops nothing");
    let note = "the bank is connected".to_owned();
    store.decide(ClearByHub { bank: bank(), kind, note, now: NOW }).await.unwrap();
    let filter = AlarmFilter { with_cleared: true, ..AlarmFilter::default() };
    let alarms = store.alarms(&filter, 10).await.unwrap();
    let [alarm] = &alarms[..] else { panic!("{alarms:?}") };
    assert_eq!((alarm.kind, alarm.cleared.as_ref().unwrap().by.as_str()), (kind, "hub"));
    assert_eq!(store.banks_heard_of().await.unwrap(), [(bank(), false)]);
}
