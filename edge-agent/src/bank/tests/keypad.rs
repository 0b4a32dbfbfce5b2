//! Six digits at the keypad: what they open, what guessing costs, and that nothing of it is forgotten.

use std::time::Duration;

use locker_core::code::budget::{WRONG_ALONE_PER_DAY, WRONG_PER_DAY, WRONG_PER_SUFFIX};
use locker_core::code::digits::normalise;
use locker_core::code::keypad_code::{CourierCodes, KeypadCode, days};
use locker_core::code::second_factor::PhoneSuffix;
use locker_core::code::slot::{Slot, SlotId};
use locker_core::ids::{CredentialId, ParcelId};
use locker_core::parcel::Terms;
use tokio::time::sleep;

use super::world::{badge, claims, signed, staff, tag_keys};
use super::*;

const RIGHT: &str = "012345";
const WRONG: &str = "987654";
/// Longer than any wait.
const A_WAIT: Duration = Duration::from_secs(61);

/// Parcel 1 lies inside and its digits are [`RIGHT`], with this end of the phone number.
async fn stored_with_digits(phone: Option<&str>) -> World {
    let mut world = World::ready().await;
    world.mint(&[RIGHT]).await;
    let suffix = phone.map(|phone| PhoneSuffix::typed(phone).unwrap().tag(&tag_keys()));
    let terms = Terms { suffix, ..Terms::default() };
    world.grant(Grant::Book(locker_core::downlink::Booking { terms, ..booking(1) })).await;
    world.scan(&badge()).await.unwrap();
    world.scan("PKG1").await.unwrap();
    world.through_the_door(DEPOSITED).await.unwrap();
    world.ask(Ask::Finish).await.unwrap();
    world
}

async fn restarted(world: World) -> World {
    let world = world.killed_and_started_again().await;
    world.hear().await;
    world.doors_known().await;
    world
}

fn typed(world: &World) -> usize {
    world.facts().iter().filter(|fact| matches!(fact, Fact::CodeTyped(_))).count()
}

fn wrong(world: &World) -> u16 {
    world.view().budget().wrong
}

fn shown(world: &World) -> (PanelKeypad, u64) {
    let state = world.state.borrow().at(Instant::now());
    (state.keypad, state.wait_ms)
}

#[tokio::test(start_paused = true)]
async fn k14_a_scanned_a_typed_and_a_keyed_code_each_open_by_themselves() {
    let token = code(1);
    let spaced = format!("\t{token} \n");
    for ask in [Ask::Scan(token), Ask::Scan(spaced)] {
        let world = stored_with_digits(Some("4321")).await;
        world.ask(ask).await.unwrap();
        world.through_the_door(Ask::Taken).await.unwrap();
    }
    let world = stored_with_digits(None).await;
    world.key_in(RIGHT, None).await.unwrap();
    world.through_the_door(Ask::Taken).await.unwrap();
    assert!(matches!(world.parcel(1).state, ParcelState::Collected { .. }));
    sleep(GRACE).await;
    assert_eq!(world.scan(&code(1)).await, Err(Refusal::CodeUsed), "one parcel, one pickup");
}

#[tokio::test(start_paused = true)]
async fn the_phones_digits_are_asked_for_where_the_hub_says_so_and_nowhere_else() {
    let world = stored_with_digits(Some("4321")).await;
    for phone in [None, Some("4322")] {
        assert_eq!(world.key_in(RIGHT, phone).await, Err(Refusal::CodeWrong));
        sleep(A_WAIT).await;
    }
    world.key_in(RIGHT, Some("4321")).await.unwrap();
    world.until_phase(PanelPhase::Open).await;

    let world = stored_with_digits(None).await;
    assert_eq!(world.key_in(RIGHT, Some("4321")).await, Err(Refusal::CodeWrong));
}

#[tokio::test(start_paused = true)]
async fn c01_digits_that_were_used_are_told_so_and_count_as_no_guess() {
    let world = stored_with_digits(None).await;
    world.key_in(RIGHT, None).await.unwrap();
    world.through_the_door(Ask::Taken).await.unwrap();
    let world = restarted(world).await;
    for _ in 0..3 {
        assert_eq!(world.key_in(RIGHT, None).await, Err(Refusal::CodeUsed));
    }
    assert_eq!((wrong(&world), shown(&world).0), (0, PanelKeypad::Open));
}

#[tokio::test(start_paused = true)]
async fn c05_a_wrong_code_makes_everybody_wait_longer_each_time_and_a_restart_does_not_help() {
    let mut world = stored_with_digits(None).await;
    let pulses = world.sim.pulses();
    for (tries, wait_ms) in [(1, 1_000), (2, 2_000), (3, 4_000), (4, 8_000)] {
        assert_eq!(world.key_in(WRONG, None).await, Err(Refusal::CodeWrong));
        assert_eq!(typed(&world), tries, "durable before it is told");
        assert_eq!(shown(&world), (PanelKeypad::Wait, wait_ms));
        // The right digits learn no more than wrong ones do.
        assert_eq!(world.key_in(RIGHT, None).await, Err(Refusal::KeypadWait));
        if tries == 3 {
            world = restarted(world).await;
            assert_eq!(world.key_in(RIGHT, None).await, Err(Refusal::KeypadWait));
        }
        let opens = |state: &PanelState| state.keypad == PanelKeypad::Open;
        world.until("the wait is over", opens).await;
    }
    assert_eq!((world.sim.pulses(), typed(&world)), (pulses, 4));
    world.key_in(RIGHT, None).await.unwrap();
    world.through_the_door(Ask::NotTaken).await.unwrap();
    // Whoever comes next does not pay for who came before.
    assert_eq!(world.key_in(WRONG, None).await, Err(Refusal::CodeWrong));
    assert_eq!(shown(&world), (PanelKeypad::Wait, 1_000));
}

#[tokio::test(start_paused = true)]
async fn c05_a_restart_refills_nothing() {
    let mut world = stored_with_digits(Some("4321")).await;
    for n in 1..=WRONG_PER_SUFFIX {
        assert_eq!(world.key_in(WRONG, Some("4321")).await, Err(Refusal::CodeWrong));
        if n % 2 == 0 {
            world = restarted(world).await;
        }
        sleep(A_WAIT).await;
    }
    assert_eq!(world.key_in(RIGHT, Some("4321")).await, Err(Refusal::KeypadClosed));
    for _ in 0..WRONG_ALONE_PER_DAY {
        assert_eq!(world.key_in(WRONG, None).await, Err(Refusal::CodeWrong));
        sleep(A_WAIT).await;
    }
    // Not even when it does not know what day it is.
    world = world.killed_and_started_again().await;
    world.doors_known().await;
    assert_eq!(world.key_in(RIGHT, None).await, Err(Refusal::KeypadWait), "begun anew");
    sleep(A_WAIT).await;
    assert_eq!(world.key_in(WRONG, None).await, Err(Refusal::KeypadClosed));
    assert_eq!(world.key_in(RIGHT, Some("4321")).await, Err(Refusal::KeypadClosed));
    assert_eq!(shown(&world).0, PanelKeypad::Open, "for others with a phone");
}

#[tokio::test(start_paused = true)]
async fn c06_a_keypad_that_a_vandal_closed_is_opened_by_staff_and_scanned_codes_open_meanwhile() {
    let mut world = stored_with_digits(None).await;
    // No board, no polls: hours go by faster.
    world.sim.command("mute on").unwrap();
    for n in 0..WRONG_PER_DAY {
        let phone = format!("{n:04}");
        assert_eq!(world.key_in(WRONG, Some(&phone)).await, Err(Refusal::CodeWrong), "{n}");
        sleep(A_WAIT).await;
    }
    let alarms = |world: &World| {
        let closed = |fact: &&Fact| matches!(fact, Fact::Alarm(Alarm::KeypadClosed));
        world.facts().iter().filter(closed).count()
    };
    assert_eq!(world.key_in(RIGHT, None).await, Err(Refusal::KeypadClosed));
    world.sim.command("mute off").unwrap();
    world = restarted(world).await;
    assert_eq!(world.key_in(RIGHT, None).await, Err(Refusal::KeypadClosed));
    assert_eq!((alarms(&world), shown(&world)), (1, (PanelKeypad::Closed, 0)));

    world.scan(&code(1)).await.unwrap();
    world.through_the_door(Ask::NotTaken).await.unwrap();
    assert_eq!(world.ask(Ask::ResetKeypad).await, Err(Refusal::NoSession));
    world.scan(&badge()).await.unwrap();
    assert_eq!(world.ask(Ask::ResetKeypad).await, Err(Refusal::StaffOnly));
    world.scan(&staff(1)).await.unwrap();
    world.ask(Ask::ResetKeypad).await.unwrap();
    assert_eq!(shown(&world).0, PanelKeypad::Open);
    world.ask(Ask::Finish).await.unwrap();
    world.key_in(RIGHT, None).await.unwrap();
    world.through_the_door(Ask::Taken).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn c06_a_closed_keypad_opens_when_the_day_has_surely_ended() {
    let world = stored_with_digits(None).await;
    for _ in 0..WRONG_ALONE_PER_DAY {
        assert_eq!(world.key_in(WRONG, None).await, Err(Refusal::CodeWrong));
        sleep(A_WAIT).await;
    }
    assert_eq!(world.key_in(RIGHT, None).await, Err(Refusal::KeypadClosed));
    // It began at eight in the morning; so great a step must be heard twice.
    for (hours, refused) in [(15, true), (17, false)] {
        for _ in 0..2 {
            let (signed, at) = (NOW.plus_ms(hours * 3_600_000), Instant::now());
            let heard = Event::Heard { signed, asked_at: at, heard_at: at };
            world.events.send(heard).await.unwrap();
        }
        if refused {
            assert_eq!(world.key_in(RIGHT, None).await, Err(Refusal::KeypadClosed));
        }
    }
    world.key_in(RIGHT, None).await.unwrap();
    world.until_phase(PanelPhase::Open).await;
}

#[tokio::test(start_paused = true)]
async fn k09_a_code_for_another_bank_says_so_if_it_was_scanned_and_burns_nothing() {
    let world = stored_with_digits(None).await;
    let other: BankId = "lobby-2".parse().unwrap();
    let elsewhere = signed(&Claims { bank_tag: other.tag(), ..claims(1) });
    let unknown = signed(&Claims { credential: CredentialId([77; 16]), ..claims(1) });
    for _ in 0..5 {
        assert_eq!(world.scan(&elsewhere).await, Err(Refusal::CodeOtherBank));
        assert_eq!(world.scan(&unknown).await, Err(Refusal::CodeUnknown));
    }
    assert_eq!((typed(&world), shown(&world)), (0, (PanelKeypad::Open, 0)));
    // Digits say nothing: those of another bank are wrong like any others.
    assert_eq!(world.key_in("555555", None).await, Err(Refusal::CodeWrong));
    world.scan(&code(1)).await.unwrap();
    world.until_phase(PanelPhase::Open).await;
}

#[tokio::test(start_paused = true)]
async fn while_somebody_is_served_nothing_is_compared_or_counted() {
    let world = stored_with_digits(None).await;
    world.scan(&code(1)).await.unwrap();
    for digits in [RIGHT, WRONG] {
        assert_eq!(world.key_in(digits, None).await, Err(Refusal::SessionBusy));
    }
    assert_eq!(typed(&world), 0);
}

#[tokio::test(start_paused = true)]
async fn digits_belong_to_the_parcel_whose_deposit_took_them() {
    let mut world = World::ready().await;
    world.mint(&["000001", "100000"]).await;
    let first = world.stored(1).await;
    let second = world.stored(2).await;
    world.stored(3).await;
    for (digits, no) in [("100000", second), ("000001", first)] {
        world.key_in(digits, None).await.unwrap();
        assert_eq!(world.until_phase(PanelPhase::Open).await, no);
        world.through_the_door(Ask::Taken).await.unwrap();
    }
    // The third had none left, and its QR code opens.
    let parcels: Vec<_> = world.view().slots().iter().map(|held| held.parcel).collect();
    assert_eq!(parcels, [1, 2].map(|n| Some(ParcelId([n; 16]))));
    world.scan(&code(3)).await.unwrap();
    world.until_phase(PanelPhase::Open).await;
}

/// A courier's code for acme, good for the day on which every world begins.
fn of_the_day(digits: &str) -> KeypadCode {
    KeypadCode {
        slot: Slot {
            id: SlotId([90; 16]),
            tag: tag_keys().tag(normalise(digits).unwrap()),
            sealed: vec![90; 35].try_into().unwrap(),
        },
        carrier: "acme".parse().unwrap(),
        valid: days(NOW, 1)[0],
    }
}

#[tokio::test(start_paused = true)]
async fn c09_a_courier_who_typed_the_digits_of_the_day_is_served_as_one_with_a_badge() {
    let mut world = World::ready().await;
    let codes = vec![of_the_day(RIGHT)];
    world.config(Document::CourierCodes(CourierCodes { generation: Generation(1), codes })).await;
    world.grant(Grant::Book(booking(1))).await;
    world.scan(&badge()).await.unwrap();
    let with_a_badge = world.state.borrow().session.clone().unwrap();
    world.ask(Ask::Finish).await.unwrap();
    assert_eq!(world.key_in(RIGHT, Some("4321")).await, Err(Refusal::CodeWrong));
    sleep(A_WAIT).await;
    world.key_in(RIGHT, None).await.unwrap();
    let with_digits = world.state.borrow().session.clone().unwrap();
    assert_eq!(with_digits, PanelSession { id: with_digits.id.clone(), ..with_a_badge });
    world.scan("PKG1").await.unwrap();
    world.through_the_door(DEPOSITED).await.unwrap();
    world.ask(Ask::Finish).await.unwrap();
    // What is held survives a restart; the time does not, and in doubt the digits open nothing.
    let world = world.killed_and_started_again().await;
    world.doors_known().await;
    assert_eq!(world.introduction().await.courier_codes, Generation(1));
    assert_eq!(world.key_in(RIGHT, None).await, Err(Refusal::CodeWrong));
    world.hear().await;
    sleep(A_WAIT).await;
    world.key_in(RIGHT, None).await.unwrap();
}
