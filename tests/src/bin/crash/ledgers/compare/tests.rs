//! What fits is silent; every planted lie is found, by the ledger that it is planted in.

use super::{Verdict, compare};
use crate::diary::{Entry, What};
use crate::journal::{Book, Intent, Pulsed, Turn};
use crate::ledgers::{AtDoor, HubBank, HubParcel, Ledgers, Seen};

const BANK: &str = "lobby";
const LIFE: [&str; 4] =
    ["PARCEL_DEPOSITING", "PARCEL_STORED", "PARCEL_COLLECTING", "PARCEL_COLLECTED"];

fn turn(kind: &str, compartment: u16) -> Turn {
    Turn { kind: kind.to_owned(), compartment }
}

/// One parcel in and out of compartment 1, at which the agent was killed once; one that stays in 2.
fn truth() -> Ledgers {
    let mut ledgers = Ledgers::default();
    let mut say = |parcel: &str, what: What| {
        let (bank, parcel) = (BANK.to_owned(), parcel.to_owned());
        ledgers.people.push(Entry { t_ms: 0, bank, parcel, what });
    };
    for (parcel, compartment) in [("radio", 1), ("books", 2)] {
        let inside = [What::Announced, What::Booked, What::LabelTaken, What::Put { compartment }];
        inside.into_iter().for_each(|what| say(parcel, what));
        say(parcel, What::ToldStored { compartment });
        say(parcel, What::Letter);
    }
    say("radio", What::Unanswered { asked: "code".to_owned() });
    say("radio", What::CodeTaken);
    say("radio", What::Took { compartment: 1 });
    say("radio", What::ToldCollected { compartment: 1 });
    say("radio", What::Heard { event: "PARCEL_COLLECTED radio-7".to_owned() });

    let board = ledgers.boards.entry(BANK.to_owned()).or_default();
    let mut see = |t_ms, compartment, what| board.push(AtDoor { t_ms, compartment, what });
    for (t_ms, compartment, item) in
        [(1_000, 1, Seen::Put), (5_000, 2, Seen::Put), (9_000, 1, Seen::Taken)]
    {
        see(t_ms, compartment, Seen::Pulse);
        see(t_ms + 80, compartment, Seen::Open);
        see(t_ms + 200, compartment, item);
        see(t_ms + 300, compartment, Seen::Shut);
    }

    let mut book = Book { head_seq: 40, starts: 2, ..Book::default() };
    let intent = |compartment, at_ms, pulsed| Intent { compartment, at_ms, pulsed };
    book.intents = vec![
        intent(1, 990, Pulsed::Surely),
        intent(2, 4_990, Pulsed::Surely),
        // Killed before the pulse went out.
        intent(1, 7_000, Pulsed::Perhaps),
        intent(1, 8_990, Pulsed::Surely),
    ];
    let mut radio: Vec<Turn> = LIFE.iter().map(|kind| turn(kind, 1)).collect();
    radio.insert(2, turn("PARCEL_PICKUP_ABORTED", 1));
    radio.insert(2, turn("PARCEL_COLLECTING", 1));
    book.lives.insert("radio".to_owned(), radio);
    book.lives.insert("books".to_owned(), LIFE[..2].iter().map(|kind| turn(kind, 2)).collect());
    for (name, life) in &book.lives {
        let decided = ["PARCEL_ANNOUNCED", "PARCEL_BOOKED"].map(|kind| turn(kind, 0));
        let turns = decided.into_iter().chain(life.clone());
        let turns = (0..).zip(turns).map(|(n, turn)| (format!("{name}-{n}"), turn)).collect();
        let (state, compartment) = if name == "radio" { ("COLLECTED", 0) } else { ("STORED", 2) };
        let parcel = HubParcel { state: state.to_owned(), compartment, turns };
        ledgers.hub.parcels.insert(name.clone(), parcel);
    }
    ledgers.journals.insert(BANK.to_owned(), book);
    let compartments =
        vec![(1, "FREE".to_owned(), String::new()), (2, "OCCUPIED".to_owned(), "books".to_owned())];
    let bank = HubBank { committed_seq: 40, stopped_reason: String::new(), compartments };
    ledgers.hub.banks.insert(BANK.to_owned(), bank);
    ledgers.letters = vec!["radio@example.org".to_owned(), "books@example.org".to_owned()];
    ledgers
}

fn judged(lie: impl FnOnce(&mut Ledgers)) -> Verdict {
    let mut ledgers = truth();
    lie(&mut ledgers);
    compare(&ledgers)
}

fn board(ledgers: &mut Ledgers) -> &mut Vec<AtDoor> {
    ledgers.boards.get_mut(BANK).unwrap()
}

fn book(ledgers: &mut Ledgers) -> &mut Book {
    ledgers.journals.get_mut(BANK).unwrap()
}

fn hub_parcel<'a>(ledgers: &'a mut Ledgers, name: &str) -> &'a mut HubParcel {
    ledgers.hub.parcels.get_mut(name).unwrap()
}

#[test]
fn what_fits_is_silent_and_counted() {
    let verdict = judged(|_| ());
    assert!(verdict.agrees(), "{verdict:?}");
    assert_eq!((verdict.parcels, verdict.pulses, verdict.intents), (2, 3, 4));
    assert_eq!((verdict.deposits_told, verdict.pickups_told, verdict.unanswered), (2, 1, 1));
    assert_eq!((verdict.pulses_in_doubt, verdict.agent_starts, verdict.letters), (1, 2, 2));
}

#[test]
fn a_planted_pulse_is_found_wherever_it_is_planted() {
    for (t_ms, compartment) in [(500, 1), (1_010, 1), (5_020, 2), (8_000, 2), (60_000, 1)] {
        let verdict = judged(|ledgers| {
            board(ledgers).push(AtDoor { t_ms, compartment, what: Seen::Pulse });
            board(ledgers).sort_by_key(|at| at.t_ms);
        });
        let found = verdict.unexplained.join("\n");
        assert!(found.contains("without an intent"), "{t_ms} {compartment}: {verdict:?}");
        assert_eq!(verdict.lost, Vec::<String>::new(), "{t_ms} {compartment}");
    }
}

#[test]
fn a_pulse_that_the_agent_only_thinks_it_gave_is_found() {
    let verdict = judged(|ledgers| board(ledgers).retain(|at| at.t_ms != 5_000));
    assert!(verdict.lost.join("\n").contains("no board saw the pulse"), "{verdict:?}");
}

#[test]
fn a_door_that_opened_by_itself_is_found() {
    let verdict = judged(|ledgers| {
        board(ledgers).push(AtDoor { t_ms: 9_900, compartment: 2, what: Seen::Open });
    });
    let found = format!("{BANK}: door 2 opened without a pulse");
    assert_eq!(verdict.unexplained, [found]);
}

#[test]
fn what_hands_did_and_no_board_saw_is_found() {
    let verdict = judged(|ledgers| board(ledgers).retain(|at| at.what != Seen::Taken));
    assert!(!verdict.unexplained.is_empty(), "{verdict:?}");
}

#[test]
fn a_deposit_that_a_courier_was_told_of_and_the_hub_forgot_is_lost() {
    let verdict = judged(|ledgers| {
        hub_parcel(ledgers, "books").turns.pop();
        hub_parcel(ledgers, "books").state = "DEPOSITING".to_owned();
    });
    let lost = verdict.lost.join("\n");
    assert!(lost.contains("books: its people were told of PARCEL_STORED"), "{lost}");
    assert!(lost.contains("lobby and hub: books"), "{lost}");
    assert!(lost.contains("books: Inside(2) by hand, DEPOSITING in 2 to the hub"), "{lost}");
}

#[test]
fn an_event_that_a_carrier_heard_and_the_hub_forgot_is_lost() {
    let verdict = judged(|ledgers| hub_parcel(ledgers, "radio").turns[7].0 = "other".to_owned());
    assert!(verdict.lost[0].contains("its carrier heard"), "{verdict:?}");
}

#[test]
fn records_that_the_hub_has_not_are_lost() {
    let verdict = judged(|ledgers| book(ledgers).head_seq = 41);
    assert_eq!(verdict.lost, [format!("{BANK}: 41 records, 40 of them in the hub")]);
}

#[test]
fn a_pickup_that_took_effect_twice_is_found() {
    let verdict = judged(|ledgers| {
        let twice = ("radio-8".to_owned(), turn("PARCEL_COLLECTED", 1));
        hub_parcel(ledgers, "radio").turns.push(twice);
    });
    assert!(verdict.doubled.iter().any(|what| what.contains("PARCEL_COLLECTED 2 times")));
    assert!(verdict.lost.is_empty(), "{verdict:?}");
}

#[test]
fn an_event_that_is_there_twice_is_found() {
    let verdict = judged(|ledgers| hub_parcel(ledgers, "radio").turns[1].0 = "radio-0".to_owned());
    assert_eq!(verdict.doubled.len(), 1, "{verdict:?}");
}

#[test]
fn a_second_letter_and_a_missing_one_are_found() {
    let verdict = judged(|ledgers| ledgers.letters.push("radio@example.org".to_owned()));
    assert_eq!(verdict.doubled, ["radio: 2 letters"]);
    let verdict = judged(|ledgers| drop(ledgers.letters.pop()));
    assert_eq!(verdict.lost, ["books: no letter"]);
}

#[test]
fn a_full_compartment_that_the_hub_thinks_free_is_lost_and_the_other_way_round_unexplained() {
    let hub = |ledgers: &mut Ledgers, at: usize, allocation: &str| {
        let bank = ledgers.hub.banks.get_mut(BANK).unwrap();
        bank.compartments[at].1 = allocation.to_owned();
    };
    assert_eq!(judged(|ledgers| hub(ledgers, 1, "FREE")).lost.len(), 1);
    assert_eq!(judged(|ledgers| hub(ledgers, 0, "OCCUPIED")).unexplained.len(), 1);
}
