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

/// As [`same`], with what the ledger's own journal adds up to.
fn knows_all(ledger: &Ledger) {
    same(ledger.view(), &folded(ledger));
}

#[test]
fn p_g_with_no_byte_left_starts_hold_the_state_in_memory_and_leave_sled_alone() {
    let mut store = Store::with(&[layout(1), booked(1, 1)]);
    for n in 2..6 {
        // The first has nothing but the reserve, the others what is left of it.
        store.disk.set_room(Some(if n == 2 { 0 } else { 2_000 }));
        let (mut ledger, opened) = store.open();
        assert!(!ledger.fold.is_in_sled() && opened.rebuilt.is_none());
        ledger.commit(&[booked(n, 1)], None, stamp(9)).unwrap();
        assert_eq!(ledger.view().parcels().len(), usize::from(n));
        knows_all(&ledger);
        drop(ledger);
        assert!(!store.path("sled.broken-1").exists());
    }
    store.disk.set_room(None);
    let (ledger, opened) = store.open();
    assert!(ledger.fold.is_in_sled());
    assert_eq!((opened.rebuilt, opened.replayed), (None, 8), "sled is brought up to the journal");
    knows_all(&ledger);
}

#[test]
fn p_g_a_doubt_about_sled_outlives_starts_without_room() {
    let mut store = Store::with(&[layout(1), booked(1, 1)]);
    doubt(store.dir.path());
    for _ in 0..3 {
        store.disk.set_room(Some(600));
        let (ledger, _) = store.open();
        knows_all(&ledger);
        assert!(is_in_doubt(store.dir.path()) && !store.path("sled.broken-1").exists());
    }
    store.disk.set_room(None);
    let (ledger, opened) = store.open();
    assert!(opened.rebuilt.unwrap().contains("in doubt") && ledger.fold.is_in_sled());
    assert!(!is_in_doubt(store.dir.path()) && store.path("sled.broken-1").exists());
    knows_all(&ledger);
}

#[test]
fn p_g_a_full_disk_does_not_keep_a_bank_from_the_state_that_only_sled_has() {
    let mut store = Store::new();
    let (mut ledger, _) = store.open();
    for _ in 0..2 {
        lost::snapshot(&mut ledger);
    }
    ledger.prune(u64::MAX).unwrap();
    let parcels = ledger.view().parcels();
    drop(ledger);
    fs::remove_dir_all(store.path("snapshot")).unwrap();
    store.disk.set_room(Some(0));
    let (ledger, opened) = store.open();
    assert!(ledger.fold.is_in_sled() && opened.rebuilt.is_none());
    assert_eq!(ledger.view().parcels(), parcels);
}

#[test]
fn p_g_a_run_lets_go_of_sled_before_the_disk_is_full_and_the_next_takes_it_up_again() {
    let mut store = Store::with(&[layout(1), booked(1, 1)]);
    let (mut ledger, _) = store.open();
    ledger.mind_room(rebuild::SLED_ROOM_BYTES).unwrap();
    assert!(ledger.fold.is_in_sled());
    ledger.mind_room(rebuild::SLED_ROOM_BYTES - 1).unwrap();
    assert!(!ledger.fold.is_in_sled());
    knows_all(&ledger);
    lost::snapshot(&mut ledger);
    commit_each(&mut ledger, &[cancelled(1, 2)]);
    knows_all(&ledger);
    drop(ledger);
    let (ledger, opened) = store.open();
    assert!(ledger.fold.is_in_sled() && opened.rebuilt.is_none());
    knows_all(&ledger);
}

#[test]
fn p_g_a_sled_that_finds_no_room_in_the_run_ends_nothing_and_another_failure_does() {
    let mut store = Store::with(&[layout(1), booked(1, 1)]);
    let (mut ledger, _) = store.open();
    let full = || FoldError::Sled(sled::Error::Io(std::io::ErrorKind::StorageFull.into()));
    ledger.go_on_without_sled(full()).unwrap();
    assert!(!ledger.fold.is_in_sled() && is_in_doubt(store.dir.path()));
    ledger.commit(&[booked(2, 1)], None, stamp(9)).unwrap();
    knows_all(&ledger);
    let broken = FoldError::Sled(sled::Error::Io(std::io::ErrorKind::Other.into()));
    assert!(ledger.go_on_without_sled(broken).unwrap_err().is_final());
    drop(ledger);
    let (ledger, opened) = store.open();
    assert!(opened.rebuilt.unwrap().contains("in doubt"));
    knows_all(&ledger);
}

#[test]
fn p_g_records_given_back_with_no_byte_left_use_the_reserve_and_wait_if_it_does_not_reach() {
    for (count, fit) in [(3, true), (80, false)] {
        let lost: Vec<Fact> = (1..count).map(|version| booked(2, version)).collect();
        let (mut store, told) = restored::old_copy(&[layout(1), booked(1, 1)], &lost);
        let (mut ledger, _) = store.open();
        let upto = told.0.len() as u64;
        assert_eq!(ledger.take_back(told.run(3, upto)).unwrap(), Taken::Complete);
        drop(ledger);
        store.disk.set_room(Some(0));
        let (ledger, opened) = store.open();
        assert_eq!((opened.healed.is_some(), ledger.is_restoring()), (fit, !fit), "{count}");
        assert!(!ledger.space().unwrap().ballast);
        drop(ledger);
        store.disk.set_room(None);
        let (ledger, _) = store.open();
        assert!(!ledger.is_restoring());
        assert_eq!(restored::Told::of(&ledger).0[..told.0.len()], told.0);
    }
}

#[test]
fn p_g_an_order_to_begin_anew_uses_the_reserve_and_waits_with_staff_alone_if_it_does_not_reach() {
    for reserve in [true, false] {
        let mut store = Store::with(&[layout(1), booked(1, 1)]);
        let (mut ledger, _) = store.open();
        ledger.begin_new_stream(StreamBreak::Forked, None).unwrap();
        if !reserve {
            assert!(ledger.release_ballast().unwrap());
        }
        drop(ledger);
        store.stream = StreamId([77; 16]);
        store.disk.set_room(Some(if reserve { 0 } else { 600 }));
        let (mut ledger, opened) = store.open();
        assert_eq!((opened.healed.is_some(), ledger.is_restoring()), (reserve, !reserve));
        knows_all(&ledger);
        // The hub's going on with the records that are here does not take its order back.
        ledger.forget_given_back().unwrap();
        assert_eq!(ledger.is_restoring(), !reserve);
        drop(ledger);
        store.disk.set_room(None);
        let (ledger, opened) = store.open();
        assert_eq!((opened.healed.is_some(), ledger.is_restoring()), (!reserve, false));
        assert_eq!(ledger.stream(), store.stream);
    }
}
