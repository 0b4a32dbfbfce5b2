//! Tests of the decisions about banks.

use locker_core::clock::ClockInterval;
use locker_core::credential::verify;
use tempfile::tempdir;

use super::*;
use crate::credential_keys::tests::test_keys;
use crate::ingest::tests::fixture::{
    Journal, NOW, add_bank, bank_id, carrier, commit, open_store, request, specs,
};
use crate::store::EventKind;

#[tokio::test]
async fn a_bank_is_made_once_and_its_layouts_are_numbered() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    add_bank(&store, &[300]).await;
    // The same call again, and another one for the same bank.
    add_bank(&store, &[300]).await;
    let new = NewBank {
        id: bank_id(),
        display_name: String::new(),
        address: String::new(),
        time_zone: SiteZone::UTC,
        compartments: specs(&[300]),
    };
    let exists = create_bank(&store, new, request("other"), NOW).await;
    assert!(matches!(exists, Err(CreateBankError::Exists)));
    let id = bank_id();
    let call = || set_layout(&store, &id, specs(&[300, 400]), request("layout"), NOW);
    let bank = call().await.unwrap();
    assert_eq!((bank.layout.generation.0, bank.layout_held.0), (2, 0));
    assert_eq!(call().await.unwrap().layout.generation.0, 2);
    let reused = set_layout(&store, &bank_id(), specs(&[1]), request("layout"), NOW).await;
    assert!(matches!(reused, Err(SetLayoutError::RequestIdReused)));
    let kinds: Vec<_> = store.events_after(0, None, 10).await.unwrap();
    let kinds: Vec<_> = kinds.iter().map(|event| event.kind).collect();
    use EventKind as K;
    assert_eq!(kinds, [K::BankCreated, K::BankLayoutIssued, K::BankLayoutIssued]);
    assert_eq!(store.banks(None, 10).await.unwrap().len(), 1);
    assert!(store.banks(Some(&bank_id()), 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_unsound_layout_and_an_unknown_bank_are_refused() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    let mut twice = specs(&[300, 300]);
    twice[1].lock = twice[0].lock;
    let refused = set_layout(&store, &bank_id(), twice, request("a"), NOW).await;
    assert!(matches!(refused, Err(SetLayoutError::UnsoundLayout)));
    let missing = set_layout(&store, &bank_id(), specs(&[300]), request("b"), NOW).await;
    assert!(matches!(missing, Err(SetLayoutError::NotFound)));
}

#[tokio::test]
async fn a_badge_is_signed_with_a_key_the_bank_holds_and_a_repeat_gives_the_same_badge() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    add_bank(&store, &[300]).await;
    let keys = test_keys();
    let order = |fresh| BadgeOrder {
        bank: bank_id(),
        holder: BadgeHolder::Courier(carrier()),
        ttl_ms: 60_000,
        fresh: CredentialId([fresh; 16]),
    };
    let early = issue_badge(&store, &keys, order(1), request("badge"), NOW).await;
    assert!(matches!(early, Err(IssueBadgeError::Sign(SignTokenError::NoCommonKey))));
    commit(&store, &Journal::commissioned(&[300])).await;
    let badge = issue_badge(&store, &keys, order(2), request("badge"), NOW).await.unwrap();
    let again = issue_badge(&store, &keys, order(3), request("badge"), NOW.plus_ms(9)).await;
    assert_eq!(again.unwrap(), badge);
    let held = store.bank(&bank_id()).await.unwrap().unwrap().keys_held;
    let clock = ClockInterval { earliest: NOW, latest: Some(NOW) };
    let token = verify(&badge.text, &bank_id(), &held.keys, clock).unwrap();
    assert_eq!(token.claims().action, Action::Courier { carrier: carrier() });
    assert_eq!(token.claims().credential, CredentialId([2; 16]), "the refusal is not remembered");
}

#[tokio::test]
async fn a_staff_badge_is_for_staff_and_another_call_than_a_couriers() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    add_bank(&store, &[300]).await;
    commit(&store, &Journal::commissioned(&[300])).await;
    let keys = test_keys();
    let order = |holder| BadgeOrder {
        bank: bank_id(),
        holder,
        ttl_ms: 60_000,
        fresh: CredentialId([7; 16]),
    };
    let staff = order(BadgeHolder::Staff);
    let badge = issue_badge(&store, &keys, staff, request("badge"), NOW).await.unwrap();
    let held = store.bank(&bank_id()).await.unwrap().unwrap().keys_held;
    let clock = ClockInterval { earliest: NOW, latest: Some(NOW) };
    let token = verify(&badge.text, &bank_id(), &held.keys, clock).unwrap();
    assert_eq!(token.claims().action, Action::Staff);
    let courier = order(BadgeHolder::Courier(carrier()));
    let reused = issue_badge(&store, &keys, courier, request("badge"), NOW).await;
    assert!(matches!(reused, Err(IssueBadgeError::RequestIdReused)));
}

#[tokio::test]
async fn modes_and_quotas_are_numbered_and_a_repeat_makes_no_new_one() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    add_bank(&store, &[300]).await;
    let id = bank_id();
    for (maintenance, call, generation) in [(true, "a", 1), (true, "a", 1), (false, "b", 2)] {
        let row = set_mode(&store, &id, maintenance, request(call), NOW).await.unwrap();
        assert_eq!(
            (row.mode.maintenance, row.mode.generation),
            (maintenance, Generation(generation))
        );
    }
    let reused = set_mode(&store, &id, false, request("a"), NOW).await;
    assert!(matches!(reused, Err(ConfigureBankError::RequestIdReused)));
    let size = specs(&[300])[0].inside;
    let row = set_quota(&store, &id, vec![(size, 1)], request("q"), NOW).await.unwrap();
    assert_eq!((row.quota.of(size), row.quota_held.of(size)), (1, 0));
    for wrong in [vec![(size, 1), (size, 2)], vec![(specs(&[301])[0].inside, 1)]] {
        let refused = set_quota(&store, &id, wrong, request("w"), NOW).await;
        assert!(matches!(refused, Err(ConfigureBankError::UnsoundQuota)));
    }
    let missing = set_mode(&store, &"none".parse().unwrap(), true, request("n"), NOW).await;
    assert!(matches!(missing, Err(ConfigureBankError::NotFound)));
}

#[tokio::test]
async fn t07_a_bank_stands_in_utc_until_somebody_says_where_and_a_repeat_says_it_once() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    add_bank(&store, &[300]).await;
    let id = bank_id();
    let stored = async || store.bank(&id).await.unwrap().unwrap().time_zone;
    assert_eq!(stored().await, SiteZone::UTC);
    let zone: SiteZone = "Pacific/Auckland".parse().unwrap();
    for _ in 0..2 {
        let row = set_time_zone(&store, &id, zone.clone(), request("z"), NOW).await.unwrap();
        assert_eq!((row.time_zone, stored().await), (zone.clone(), zone.clone()));
    }
    let reused = set_time_zone(&store, &id, SiteZone::UTC, request("z"), NOW).await;
    assert!(matches!(reused, Err(ConfigureBankError::RequestIdReused)));
    let events = store.events_after(2, None, 10).await.unwrap();
    let told: Vec<_> = events.iter().map(|event| (event.kind, event.detail.as_str())).collect();
    assert_eq!(told, [(EventKind::BankTimeZoneSet, "Pacific/Auckland")]);
    let missing = set_time_zone(&store, &"none".parse().unwrap(), zone, request("n"), NOW).await;
    assert!(matches!(missing, Err(ConfigureBankError::NotFound)));
}

#[tokio::test]
async fn t07_a_bank_can_be_made_known_with_its_zone_which_is_part_of_the_call() {
    let directory = tempdir().unwrap();
    let store = open_store(directory.path()).await;
    let new = |zone: &str| NewBank {
        id: bank_id(),
        display_name: "Bank".to_owned(),
        address: "Street 1".to_owned(),
        time_zone: zone.parse().unwrap(),
        compartments: specs(&[300]),
    };
    for _ in 0..2 {
        let row = create_bank(&store, new("Europe/Berlin"), request("bank"), NOW).await.unwrap();
        assert_eq!(row.time_zone.name(), "Europe/Berlin");
    }
    for other in ["UTC", "Europe/Paris"] {
        let reused = create_bank(&store, new(other), request("bank"), NOW).await;
        assert!(matches!(reused, Err(CreateBankError::RequestIdReused)), "{other}");
    }
}
