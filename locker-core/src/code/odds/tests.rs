//! The published odds are the computed ones, and the bound bounds.

use super::*;
use crate::code::digits::Digits;
use crate::code::slot::DISTANCE_MIN;

const SECURITY_PAGE: &str = include_str!("../../../../docs/security.md");
const LIVE: [u32; 4] = [20, 60, 120, 200];
const DAYS: [u32; 3] = [1, 5, 7];

fn row(cells: impl IntoIterator<Item = String>) -> String {
    let cells: Vec<String> = cells.into_iter().collect();
    format!("| {} |", cells.join(" | "))
}

/// The table of the page, without the padding of its cells.
fn published(attack: &str) -> Vec<String> {
    let mut lines = SECURITY_PAGE.lines().skip_while(|line| !line.starts_with(attack));
    assert!(lines.next().is_some(), "docs/security.md has no paragraph that begins {attack:?}");
    lines
        .skip_while(|line| !line.starts_with('|'))
        .take_while(|line| line.starts_with('|'))
        .filter(|line| !line.starts_with("| -"))
        .map(|line| row(line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned())))
        .collect()
}

#[test]
fn c05_the_odds_in_the_security_page_are_the_computed_ones() {
    for attack in Attack::ALL {
        let paragraph = match attack {
            Attack::PhoneDigitsUnknown => "**Phone digits unknown.**",
            Attack::PhoneDigitsKnown => "**Phone digits known.**",
            Attack::DigitsAlone => "**Digits alone.**",
            Attack::NoSecondFactor => "**No second factor",
        };
        let header = ["live codes", "1 day", "5 days", "7 days"].map(str::to_owned);
        let mut computed = vec![row(header)];
        for live in LIVE {
            let odds = DAYS.map(|days| at_most(attack, live, days).to_string());
            computed.push(row([live.to_string()].into_iter().chain(odds)));
        }
        assert_eq!(published(paragraph), computed, "should be:\n{}", computed.join("\n"));
    }
}

#[test]
fn c05_the_budget_in_the_security_page_is_the_budget() {
    for said in [
        format!("{WRONG_PER_DAY} wrong codes a day"),
        format!("{WRONG_ALONE_PER_DAY} of them without phone digits"),
        format!("{WRONG_PER_SUFFIX} with the same phone digits"),
    ] {
        assert!(SECURITY_PAGE.contains(&said), "docs/security.md does not say {said:?}");
    }
}

#[test]
fn figures_of_the_literature_come_out() {
    // 40 boxes, 100 wrong codes a day, no second factor: 0.4 % a day.
    assert_eq!(at_most(Attack::NoSecondFactor, 40, 1).to_string(), "0.4 %");
    assert_eq!(at_most(Attack::PhoneDigitsUnknown, 40, 5), PerBillion(2_000));
    assert_eq!(at_most(Attack::PhoneDigitsKnown, 1, 1), PerBillion(5_000));
    assert_eq!(at_most(Attack::DigitsAlone, 0, 7), PerBillion(0));
    assert_eq!(at_most(Attack::NoSecondFactor, u32::MAX, u32::MAX), PerBillion(BILLION));
    assert_eq!(PerBillion(BILLION).to_string(), "100 %");
    assert_eq!(PerBillion(1).to_string(), "0.0000001 %");
}

/// Guesses at random among codes without any distance rule: one minus the product of
/// `(10^6 - live - i) / (10^6 - i)`, in parts of 10^18, rounded down.
fn at_random(live: u64, guesses: u64) -> u128 {
    let one = 10_u128.pow(18);
    one - (0..u128::from(guesses)).fold(one, |miss, i| {
        let left = u128::from(CODES) - i;
        (miss * (left - u128::from(live))).div_ceil(left)
    })
}

#[test]
fn the_bound_lies_little_above_the_chance_of_guesses_at_random() {
    for live in LIVE {
        for days in DAYS {
            let bound = u128::from(at_most(Attack::NoSecondFactor, live, days).0) * 10_u128.pow(9);
            let random = at_random(live.into(), u64::from(WRONG_PER_DAY) * u64::from(days));
            assert!(bound >= random);
            // Two of them hit with a chance of at most half the square of the bound.
            assert!(bound - random <= bound * bound / (2 * 10_u128.pow(18)) + 1_000_000_000);
        }
    }
}

/// In a toy world of codes of two digits of base three, all sets of live codes that lie two places
/// apart are counted.
#[test]
fn guesses_that_differ_in_one_place_reach_the_bound_and_none_exceed_it() {
    // With the four leading digits fixed, `Digits` are two-digit codes.
    let codes: Vec<Digits> =
        [0, 1, 2, 10, 11, 12, 20, 21, 22].map(|n| Digits::from_number(n).unwrap()).to_vec();
    let apart = |one: &Digits, two: &Digits| one.distance(two) >= DISTANCE_MIN;
    let mut sets = Vec::new();
    for (place, one) in codes.iter().enumerate() {
        for two in codes[..place].iter().filter(|two| apart(one, two)) {
            sets.push([*one, *two]);
        }
    }
    let hit = |guesses: &[Digits]| {
        sets.iter().filter(|live| live.iter().any(|code| guesses.contains(code))).count()
    };
    for chosen in 0_u32..1 << codes.len() {
        let guesses: Vec<Digits> = (0..)
            .zip(&codes)
            .filter(|(place, _)| chosen & (1 << place) != 0)
            .map(|(_, code)| *code)
            .collect();
        // guesses * live / codes, as a fraction of all sets.
        let bound = guesses.len() * 2 * sets.len();
        assert!(hit(&guesses) * codes.len() <= bound);
        let in_a_line =
            guesses.iter().all(|one| guesses.iter().all(|two| one == two || !apart(one, two)));
        if in_a_line {
            assert_eq!(hit(&guesses) * codes.len(), bound, "at most one of them is live");
        }
    }
}
