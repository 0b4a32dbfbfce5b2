//! What fits is silent; every planted lie is found, by the source that it is planted in.

use locker_proto::wire::carrier::v1::parcel::State;
use system_tests::callers::Order;

use super::{Heard, IN_DOUBT, Logged, Recorded, Told, WatchedBank, compare, heard, noted, untold};
use crate::script::{Refusal, Story, Turn};

const BANK: &str = "lobby";

/// One parcel in and out of compartment 2, after wrong digits; one into 3, where the power failed, and
/// which staff found there; one that was too large for 1 and went into 4; one that was cancelled.
fn stories() -> Vec<Story> {
    let orders = ["radio", "books", "guitar", "vase"].map(Order::small);
    let [radio, books, guitar, vase] = &orders;
    let mut pickup = Story::new("pickup", BANK);
    pickup.begin(radio);
    let turns = [Turn::Depositing(2), Turn::Stored(2), Turn::Collecting(2), Turn::Collected(2)];
    pickup.went_on(radio, &turns);
    pickup.openings = vec![2, 2];
    pickup.refusals = ["CODE_OTHER_BANK", "CODE_WRONG"]
        .map(|reason| Refusal { bank: BANK.to_owned(), reason: reason.to_owned() })
        .to_vec();
    let mut quarantine = Story::new("quarantine", BANK);
    quarantine.begin(books);
    let turns = [Turn::Depositing(3), Turn::Unresolved(3), Turn::FoundByStaff(3)];
    quarantine.went_on(books, &turns);
    quarantine.openings = vec![3, 3];
    quarantine.quarantined = vec![3];
    quarantine.power_cuts = 1;
    let mut misfit = Story::new("misfit", BANK);
    misfit.begin(guitar);
    let turns = [Turn::Depositing(1), Turn::DidNotFit(1), Turn::Depositing(4), Turn::Stored(4)];
    misfit.went_on(guitar, &turns);
    misfit.openings = vec![1, 4];
    misfit.misfits = vec![1];
    let mut cancelled = Story::new("cancelled", BANK);
    cancelled.begin(vase);
    cancelled.went_on(vase, &[Turn::Cancelled]);
    vec![pickup, quarantine, misfit, cancelled]
}

/// What sources tell that have seen just these stories.
fn truth() -> Told {
    let stories = stories();
    let mut told = Told::default();
    for life in stories.iter().flat_map(|story| &story.parcels) {
        told.watched.events += life.turns.len();
        told.watched.lives.insert(life.parcel.clone(), heard(life));
        told.watched.notes.insert(life.parcel.clone(), noted(life));
    }
    let doors = vec![2, 2, 3, 3, 1, 4];
    let doubt = vec![(3, IN_DOUBT.to_owned())];
    let others = ["BANK_CREATED", "BANK_STARTED", "BANK_STARTED"];
    let watched = WatchedBank {
        openings: doors.clone(),
        stored: 3,
        quarantined: doubt.clone(),
        released: doubt,
        others: others.map(|kind| (kind.to_owned(), String::new())).to_vec(),
    };
    told.watched.banks.insert(BANK.to_owned(), watched);
    let recorded = Recorded { intended: doors.clone(), misfits: vec![1], wrong_digits: 1 };
    told.recorded.insert(BANK.to_owned(), recorded);
    let (pulses, opened, shut) = (doors.clone(), doors.clone(), doors);
    told.logged.insert(BANK.to_owned(), Logged { pulses, opened, shut, strange: Vec::new() });
    let to = ["radio", "books", "guitar"].map(|name| format!("{name}@example.org"));
    told.posted.letters.insert(BANK.to_owned(), to.to_vec());
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

fn recorded(told: &mut Told) -> &mut Recorded {
    told.recorded.get_mut(BANK).unwrap()
}

/// Both watches say that something was of another compartment, wherever it was of `from`.
fn moved(told: &mut Told, parcel: &str, from: u16, to: u16) {
    let lives = told.watched.lives.get_mut(parcel).unwrap().iter_mut();
    let notes = told.watched.notes.get_mut(parcel).unwrap().iter_mut();
    let places = lives.map(|heard| &mut heard.inside);
    let places = places.chain(notes.map(|noted| &mut noted.at));
    places.filter(|place| **place == from).for_each(|place| *place = to);
}

#[test]
fn what_fits_is_silent() {
    assert_eq!(findings(|_| ()), "");
}

#[test]
fn a_pulse_too_many_is_found() {
    let found = findings(|told| logged(told).pulses.push(5));
    assert!(found.contains("lobby: the watch tells of openings of [2, 2, 3, 3, 1, 4]"), "{found}");
    assert!(found.contains("lock boards of lobby: compartments [2, 2, 3, 3, 1, 4, 5]"), "{found}");
}

#[test]
fn a_pulse_to_another_door_is_found() {
    let found = findings(|told| logged(told).pulses[1] = 4);
    assert!(found.contains("compartments [2, 4, 3, 3, 1, 4] were pulsed"), "{found}");
}

#[test]
fn pulses_in_another_order_are_found() {
    let found = findings(|told| logged(told).pulses.swap(1, 2));
    assert!(found.contains("compartments [2, 3, 2, 3, 1, 4] were pulsed"), "{found}");
}

#[test]
fn a_door_that_opened_without_a_pulse_or_stayed_open_is_found() {
    let forced = findings(|told| logged(told).opened.push(1));
    assert!(forced.contains("doors [1, 1, 2, 2, 3, 3, 4] were opened"), "{forced}");
    let open = findings(|told| _ = logged(told).shut.pop());
    assert!(open.contains("doors [1, 2, 2, 3, 3] were shut"), "{open}");
    let fault = findings(|told| logged(told).strange.push("coil held".to_owned()));
    assert_eq!(fault, "lock boards of lobby: coil held");
}

#[test]
fn an_opening_that_the_hub_was_not_told_of_is_found() {
    let found = findings(|told| _ = watched(told).openings.pop());
    assert!(found.contains("the watch tells of openings of [2, 2, 3, 3, 1], the log"), "{found}");
}

#[test]
fn an_opening_that_was_not_recorded_first_is_found() {
    let found = findings(|told| _ = recorded(told).intended.remove(0));
    assert!(found.contains("the journal tells of intents [2, 3, 3, 1, 4], the log"), "{found}");
}

#[test]
fn two_parcels_that_changed_places_are_found() {
    let found = findings(|told| {
        moved(told, "radio", 2, 3);
        moved(told, "books", 3, 2);
    });
    for parcel in ["radio", "books"] {
        for source in ["watch", "operators' watch"] {
            let finding = format!("{source}: {parcel} went through");
            assert!(found.lines().any(|line| line.starts_with(&finding)), "{found}");
        }
    }
}

#[test]
fn a_pickup_out_of_another_compartment_is_found_even_if_everybody_tells_the_same() {
    let mut stories = stories();
    let turns = &mut stories[0].parcels[0].turns;
    (turns[4], turns[5]) = (Turn::Collecting(5), Turn::Collected(5));
    stories[0].openings[1] = 5;
    let mut told = truth();
    let life = &stories[0].parcels[0];
    told.watched.lives.insert(life.parcel.clone(), heard(life));
    told.watched.notes.insert(life.parcel.clone(), noted(life));
    let logged = logged(&mut told);
    for doors in [&mut logged.pulses, &mut logged.opened, &mut logged.shut] {
        doors[1] = 5;
    }
    watched(&mut told).openings[1] = 5;
    recorded(&mut told).intended[1] = 5;
    let found = compare(&stories, &told).join("\n");
    assert_eq!(found, "operators' watch: radio was in 2, and PARCEL_COLLECTING was at 5");
}

#[test]
fn a_deposit_that_was_given_up_is_not_one_that_did_not_fit() {
    let found = findings(|told| {
        told.watched.notes.get_mut("guitar").unwrap()[3].detail = "NOT_OPENED".to_owned();
    });
    assert!(found.starts_with("operators' watch: guitar went through"), "{found}");
    let found = findings(|told| recorded(told).misfits.clear());
    assert_eq!(found, "journal of lobby: compartments [] were too small, [1] expected");
}

#[test]
fn wrong_digits_that_were_not_counted_or_counted_twice_are_found() {
    let found = findings(|told| recorded(told).wrong_digits = 0);
    assert_eq!(found, "journal of lobby: 0 wrong digits were counted, 1 expected");
    let found = findings(|told| recorded(told).wrong_digits = 2);
    assert_eq!(found, "journal of lobby: 2 wrong digits were counted, 1 expected");
}

#[test]
fn a_missing_event_and_one_too_many_are_found() {
    let missing = findings(|told| {
        told.watched.events -= 1;
        told.watched.lives.get_mut("vase").unwrap().pop();
    });
    assert!(
        missing.contains("watch: vase went through Some([PARCEL_ANNOUNCED Announced 0, "),
        "{missing}"
    );
    assert!(missing.contains("watch: 19 events, 20 expected"), "{missing}");
    let unknown = findings(|told| {
        let kind = "PARCEL_ANNOUNCED".to_owned();
        let heard = Heard { kind, state: State::Announced, inside: 0 };
        told.watched.lives.insert("ghost".to_owned(), vec![heard]);
    });
    assert!(unknown.contains("watch: ghost went through Some"), "{unknown}");
    let lost = findings(|told| drop(told.watched.lives.remove("radio")));
    assert!(lost.contains("watch: radio went through None"), "{lost}");
    let untold = findings(|told| drop(told.watched.notes.remove("radio")));
    assert!(untold.contains("operators' watch: radio went through None"), "{untold}");
}

#[test]
fn a_story_that_was_not_told_is_found() {
    let mut stories = stories();
    let wanted: Vec<_> = stories.iter().map(|story| (story.name, BANK)).collect();
    assert!(untold(&stories, &wanted).is_empty());
    stories.pop();
    assert!(untold(&stories, &wanted)[0].starts_with("script: the stories"));
}

#[test]
fn a_quarantine_that_nobody_released_or_for_another_reason_is_found() {
    let found = findings(|told| watched(told).released.clear());
    let wanted = "[(3, \"INTERRUPTED\")] expected";
    assert_eq!(found, format!("watch of lobby: compartments [] were released, {wanted}"));
    let found = findings(|told| watched(told).quarantined[0].1 = "FOUND_OCCUPIED".to_owned());
    assert!(found.contains("[(3, \"FOUND_OCCUPIED\")] were quarantined"), "{found}");
}

#[test]
fn whatever_is_not_routine_is_found() {
    for kind in ["BANK_ALARM", "BANK_BOARD_OFFLINE", "BANK_OF_THE_FUTURE"] {
        let event = (kind.to_owned(), "FORCED".to_owned());
        let found = findings(|told| watched(told).others.push(event));
        assert_eq!(found, format!("watch of lobby: {kind} FORCED"));
    }
    let found = findings(|told| drop(watched(told).others.pop()));
    assert_eq!(found, "watch of lobby: the agent started 1 times, 2 expected");
    let found = findings(|told| told.watched.strange.push("HUB_ALARM".to_owned()));
    assert_eq!(found, "watch: HUB_ALARM");
}

#[test]
fn a_letter_too_many_too_few_or_to_somebody_else_is_found() {
    let letters = |told: &mut Told, change: fn(&mut Vec<String>)| {
        change(told.posted.letters.get_mut(BANK).unwrap());
    };
    let lost = findings(|told| letters(told, |to| drop(to.pop())));
    assert!(lost.contains("3 parcels inside, the mailbox of 2"), "{lost}");
    let twice = findings(|told| letters(told, |to| to.push("radio@example.org".to_owned())));
    assert!(twice.contains("the mailbox of 4"), "{twice}");
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
