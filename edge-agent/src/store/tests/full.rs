//! A full disk is load: nothing half-done stays, pickups may use the reserve, a start succeeds.

use super::*;

#[test]
fn p_g_without_room_nothing_is_kept_and_the_ledger_goes_on() {
    let mut store = Store::with(&[layout(1)]);
    let (mut ledger, _) = store.open();
    store.disk.set_room(Some(10));
    let head = ledger.head();
    let error = ledger.commit(&[booked(1, 1)], None, stamp(9)).unwrap_err();
    assert!(matches!(error, CommitError::OutOfSpace { .. }) && !error.is_final());
    assert_eq!(ledger.head(), head);
    assert!(ledger.view().parcel(parcel_id(1)).is_none());

    assert!(ledger.release_ballast().unwrap());
    ledger.commit(&[booked(2, 1)], None, stamp(9)).unwrap();
    same(ledger.view(), &folded(&ledger));
    store.disk.set_room(None);
    assert!(ledger.restore_ballast().unwrap());
}

#[test]
fn p_g_a_start_on_a_full_disk_uses_the_reserve() {
    let mut store = Store::with(&[layout(1), booked(1, 1)]);
    store.disk.set_room(Some(0));
    let (ledger, opened) = store.open();
    assert_eq!(opened.boot_count, 2);
    assert!(!ledger.space().unwrap().ballast);
    assert!(ledger.view().parcel(parcel_id(1)).is_some());
    drop(ledger);
    store.disk.set_room(Some(0));
    let error = store.try_open().map(drop).unwrap_err();
    assert!(matches!(&error, OpenLedgerError::Commit(CommitError::OutOfSpace { .. })), "{error}");
}
