//! Damage that a start has no reason to look at, until somebody needs what is there.

use locker_core::bank::BoardChanged;
use locker_core::journal::StreamBreak;

use super::*;
use crate::journal::ReadError;

const FRESH: StreamId = StreamId([8; 16]);

/// A ledger of some segments.
fn long() -> Store {
    let mut store = Store::with(&[layout(1), booked(1, 1), booked(2, 1)]);
    let (mut ledger, _) = store.open();
    let fact = Fact::BoardChanged(BoardChanged { board: 0, online: true });
    for _ in 0..12 {
        ledger.commit(&vec![fact.clone(); 250], None, stamp(9)).unwrap();
    }
    store
}

/// Damages the second segment and answers what a reader says of it.
fn damage(store: &mut Store) -> ReadError {
    let names = fs::read_dir(store.path("journal")).unwrap();
    let paths = names.map(|entry| entry.unwrap().path());
    let mut segments: Vec<PathBuf> =
        paths.filter(|path| path.to_str().unwrap().ends_with(".log")).collect();
    segments.sort();
    assert!(segments.len() > 3, "{segments:?}");
    let mut bytes = fs::read(&segments[1]).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    fs::write(&segments[1], bytes).unwrap();
    let (ledger, opened) = store.open();
    assert_eq!(opened.rebuilt, None, "the start sees nothing of it");
    let damage = ledger.reader().read(1, usize::MAX, usize::MAX).unwrap_err();
    ledger.suspect(&damage).unwrap();
    damage
}

#[test]
fn p_f_damage_that_was_noted_is_refused_at_each_start_until_a_person_begins_anew() {
    let mut store = long();
    let damage = damage(&mut store);
    for _ in 0..2 {
        let words = in_words(&store.try_open().map(drop).unwrap_err());
        assert!(words.contains(&damage.to_string()), "{words}");
    }
    assert!(store.path("journal.suspect").exists());
    sled_let_go(&store.path("sled"));
    let keeper = Keeper {
        bank: bank(),
        device_key: [1; 32],
        boot: BootId([9; 16]),
        fresh_stream: FRESH,
        agent_version: "1.2.3".to_owned(),
    };
    let parent = begin_anew(store.dir.path(), LIMITS, &keeper, stamp(9)).unwrap();
    assert_eq!((parent.stream, parent.reason), (STREAM, Some(StreamBreak::Damaged)));
    store.stream = FRESH;
    let (ledger, opened) = store.open();
    assert_eq!((opened.stream, ledger.view().parcels().len()), (FRESH, 2));
    assert!(!store.path("journal.suspect").exists());
}

#[test]
fn a_journal_that_was_suspected_and_is_whole_is_believed_again() {
    let mut store = long();
    let (ledger, _) = store.open();
    let head = ledger.head().0;
    ledger.suspect(&ReadError::BeyondHead { head }).unwrap();
    drop(ledger);
    let (ledger, opened) = store.open();
    assert_eq!((opened.rebuilt, ledger.head().0), (None, head + 1));
    assert!(!store.path("journal.suspect").exists());
}
