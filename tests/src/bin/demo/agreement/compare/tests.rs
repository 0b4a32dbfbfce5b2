//! What fits is silent; every planted lie is found, by the source that it is planted in.

use locker_proto::wire::carrier::v1::parcel::State;
use system_tests::callers::Order;

use super::{Logged, Told, WatchedBank, compare};
use crate::script::Story;

const BANK: &str = "lobby";

/// One parcel in and out of compartment 2; one into 3, where the power failed, and which staff found
/// there; one that was cancelled.
fn stories() -> Vec<Story> {
    let mut pickup = Story::new("pickup", BANK);
    let (radio, books, vase) = (Order::small("radio"), Order::small("books"), Order::small("vase"));
    pickup.begin(&radio);
    let handed_over =
        [State::Depositing, State::Stored, State::Collecting, State::Collected].as_slice();
    pickup.went_on(&radio, handed_over);
    pickup.openings = vec![2, 2];
    let mut quarantine = Story::new("quarantine", BANK);
    quarantine.begin(&books);
    quarantine.went_on(&books, &[State::Depositing, State::Unresolved, State::Stored]);
    quarantine.openings = vec![3, 3];
    quarantine.quarantined = vec![3];
    let mut cancelled = Story::new("cancelled", BANK);
    cancelled.begin(&vase);
    cancelled.went_on(&vase, &[State::Cancelled]);
    vec![pickup, quarantine, cancelled]
}

/// What sources tell that have seen just these stories.
fn truth() -> Told {
    let stories = stories();
    let mut told = Told::default();
    for life in stories.iter().flat_map(|story| &story.parcels) {
        told.watched.events += life.states.len();
        told.watched.lives.insert(life.parcel.clone(), life.states.clone());
    }
    let openings = vec![3, 2, 2, 3];
    let (quarantined, released) = (vec![3], vec![3]);
    let alarms = Vec::new();
    let watched = WatchedBank { openings, stored: 2, quarantined, released, alarms };
    told.watched.banks.insert(BANK.to_owned(), watched);
    let doors = vec![2, 2, 3, 3];
    let (pulses, opened, shut) = (doors.clone(), doors.clone(), doors);
    told.logged.insert(BANK.to_owned(), Logged { pulses, opened, shut, strange: Vec::new() });
    let to = vec!["radio@example.org".to_owned(), "books@example.org".to_owned()];
    told.posted.letters.insert(BANK.to_owned(), to);
    told
}

/// What is found once `lie` is planted.
fn findings(lie: impl FnOnce(&mut Told)) -> String {
    let mut told = truth();
    lie(&mut told);
    compare(&stories(), &told).join("\n")
}

fn logged(told: &mut Told) -> &mut Logged {
    told.logged.get_mut(BANK).unwrap()
}

fn watched(told: &mut Told) -> &mut WatchedBank {
    told.watched.banks.get_mut(BANK).unwrap()
}

#[test]
fn what_fits_is_silent() {
    assert_eq!(findings(|_| ()), "");
}

#[test]
fn a_pulse_too_many_is_found() {
    let found = findings(|told| logged(told).pulses.push(5));
    assert!(found.contains("lobby: the watch tells of openings of [2, 2, 3, 3]"), "{found}");
    assert!(found.contains("lock boards of lobby: compartments [2, 2, 3, 3, 5]"), "{found}");
}

#[test]
fn a_pulse_to_another_door_is_found() {
    let found = findings(|told| logged(told).pulses[1] = 4);
    assert!(found.contains("compartments [2, 4, 3, 3] were pulsed"), "{found}");
}

#[test]
fn pulses_in_another_order_are_found() {
    let found = findings(|told| logged(told).pulses.swap(1, 2));
    assert!(found.contains("compartments [2, 3, 2, 3] were pulsed"), "{found}");
}

#[test]
fn a_door_that_opened_without_a_pulse_or_stayed_open_is_found() {
    let forced = findings(|told| logged(told).opened.push(1));
    assert!(forced.contains("doors [1, 2, 2, 3, 3] were opened"), "{forced}");
    let open = findings(|told| _ = logged(told).shut.pop());
    assert!(open.contains("doors [2, 2, 3] were shut"), "{open}");
    let fault = findings(|told| logged(told).strange.push("coil held".to_owned()));
    assert_eq!(fault, "lock boards of lobby: coil held");
}

#[test]
fn an_opening_that_the_hub_was_not_told_of_is_found() {
    let found = findings(|told| _ = watched(told).openings.pop());
    assert!(found.contains("the watch tells of openings of [2, 2, 3], the log"), "{found}");
}

#[test]
fn a_missing_event_and_one_too_many_are_found() {
    let missing = findings(|told| {
        told.watched.events -= 1;
        told.watched.lives.get_mut("vase").unwrap().pop();
    });
    assert!(missing.contains("watch: vase went through Some([Announced, Booked])"), "{missing}");
    assert!(missing.contains("watch: 13 events, 14 expected"), "{missing}");
    let unknown = findings(|told| {
        told.watched.lives.insert("ghost".to_owned(), vec![State::Announced]);
    });
    assert!(unknown.contains("watch: ghost went through Some([Announced]), None"), "{unknown}");
    let lost = findings(|told| drop(told.watched.lives.remove("radio")));
    assert!(lost.contains("watch: radio went through None"), "{lost}");
}

#[test]
fn a_quarantine_that_nobody_released_is_found() {
    let found = findings(|told| watched(told).released.clear());
    assert_eq!(found, "watch of lobby: compartments [] were released, [3] expected");
}

#[test]
fn an_alarm_is_found() {
    let found = findings(|told| watched(told).alarms.push("BANK_ALARM FORCED".to_owned()));
    assert_eq!(found, "watch of lobby: BANK_ALARM FORCED");
}

#[test]
fn a_letter_too_many_too_few_or_to_somebody_else_is_found() {
    let letters = |told: &mut Told, change: fn(&mut Vec<String>)| {
        change(told.posted.letters.get_mut(BANK).unwrap());
    };
    let lost = findings(|told| letters(told, |to| drop(to.pop())));
    assert!(lost.contains("2 parcels inside, the mailbox of 1"), "{lost}");
    let twice = findings(|told| letters(told, |to| to.push("radio@example.org".to_owned())));
    assert!(twice.contains("the mailbox of 3"), "{twice}");
    let other = findings(|told| letters(told, |to| to[0] = "mallory@example.org".to_owned()));
    assert!(other.contains("mailbox of lobby: letters to"), "{other}");
    let stray = findings(|told| told.posted.strays = 1);
    assert_eq!(stray, "mailbox: 1 files are no letters");
}

#[test]
fn a_bank_that_nobody_spoke_of_is_found() {
    let found = findings(|told| {
        let log = Logged { pulses: vec![1], opened: vec![1], shut: vec![1], strange: Vec::new() };
        told.logged.insert("annex".to_owned(), log);
    });
    assert!(found.contains("lock boards of annex: compartments [1] were pulsed"), "{found}");
}
