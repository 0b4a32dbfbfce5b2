//! Turns of banks that come late.

use std::time::Duration;

use bytes::Bytes;
use locker_core::ids::BankId;
use tokio::time::advance;

use super::{FACTS_MIN, Late, PASS_MAX, Parked, STORE_PATIENCE};
use crate::ingest::tests::fixture::FakeLink;

const ROOM: u64 = 16_384;

fn late() -> Late<FakeLink> {
    Late::new(ROOM, 65_536)
}

fn bank(number: u8) -> BankId {
    format!("bank-{number}").parse().unwrap()
}

fn parked(token: u32) -> Parked<FakeLink> {
    Parked { session: 1, payload: Bytes::new(), token: Some(token), cut: None }
}

fn turn(late: &mut Late<FakeLink>) -> Option<(BankId, u32)> {
    late.next().map(|(bank, parked)| (bank, parked.token.unwrap()))
}

#[test]
fn each_bank_has_its_turn_and_what_is_put_back_comes_first_in_the_next_one() {
    let mut late = late();
    for (number, token) in [(1, 11), (1, 12), (2, 21), (3, 31)] {
        late.park(&bank(number), parked(token));
    }
    assert_eq!(turn(&mut late), Some((bank(1), 11)));
    late.put_back(&bank(1), parked(11));
    assert_eq!(turn(&mut late), Some((bank(2), 21)));
    late.put_back(&bank(2), parked(21));
    late.park(&bank(2), parked(22));
    assert_eq!(turn(&mut late), Some((bank(3), 31)));
    assert!(!late.has_parked(&bank(3)));
    let rest = std::iter::from_fn(|| turn(&mut late)).map(|(_, token)| token);
    assert_eq!(rest.collect::<Vec<_>>(), [11, 21, 12, 22]);
    assert!(!late.may_go());
}

#[test]
fn a_bank_that_is_gone_has_no_turn() {
    let mut late = late();
    for (number, token) in [(1, 11), (2, 21), (1, 12)] {
        late.park(&bank(number), parked(token));
    }
    late.forget(&bank(1));
    late.forget(&bank(3));
    assert_eq!(turn(&mut late), Some((bank(2), 21)));
    late.park(&bank(1), parked(13));
    assert_eq!(turn(&mut late), Some((bank(1), 13)));
    assert_eq!(turn(&mut late), None);
}

#[test]
fn the_more_banks_wait_the_shorter_is_a_turn() {
    let late = late();
    let lengths = [0, 1, 100, 512, 1_000, 10_000].map(|waiting| late.slice_records(waiting));
    assert_eq!(lengths, [256, 256, 256, 128, 65, 64]);
}

#[test]
fn banks_that_wait_are_not_passed_for_ever() {
    let mut late = late();
    for _ in 0..2 * PASS_MAX {
        assert!(!late.has_let_pass(), "nobody waits");
    }
    late.park(&bank(1), parked(11));
    for _ in 1..PASS_MAX {
        assert!(!late.has_let_pass());
    }
    assert!(late.has_let_pass());
    turn(&mut late);
    late.park(&bank(1), parked(12));
    assert!(!late.has_let_pass());
}

#[tokio::test(start_paused = true)]
async fn a_slow_store_is_given_less_at_a_time() {
    let mut late = late();
    late.park(&bank(1), parked(11));
    let slow = STORE_PATIENCE + Duration::from_millis(1);
    for expected in [ROOM / 2, ROOM / 4, ROOM / 8, FACTS_MIN, FACTS_MIN] {
        let full = late.took_off(late.room);
        advance(slow).await;
        late.landed(full);
        assert_eq!(late.room, expected);
    }
    while late.room < ROOM {
        let before = late.room;
        let full = late.took_off(before);
        assert!(!late.may_go());
        advance(STORE_PATIENCE).await;
        late.landed(full);
        assert!(late.room > before && late.may_go(), "fast enough");
    }
    assert_eq!(late.room, ROOM);
}
