//! The world in CI: two million steps over more than a hundred seeds, in parts that run side by side;
//! the same seed twice; and the scripts of what once broke.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::Path;

use world::run::{self, BANKS, Outcome};

/// Steps of one seed.
const STEPS: u64 = 20_000;
/// Seeds of one part. Eight parts make 104 seeds and 2,080,000 steps.
const SEEDS: u64 = 13;

/// Runs a part; when a promise breaks, says which and how to see it again.
fn hold(part: u64) {
    let first = 1 + part * SEEDS;
    let Outcome { totals, failure, .. } = run::seeds(first..first + SEEDS, STEPS, BANKS, 1);
    if let Some(failure) = failure {
        let script = run::shrink(BANKS, &failure.script, failure.broken.invariant);
        let script = run::write_script(&script).unwrap();
        panic!(
            "{:?} at bank {}: {}\nseed {}, life {}, step {}\nscript:\n{script}",
            failure.broken.invariant,
            failure.bank,
            failure.broken.detail,
            failure.seed,
            failure.life,
            failure.step,
        );
    }
    assert_eq!(totals.steps, SEEDS * STEPS);
    let moved = totals.deposits.min(totals.pickups);
    assert!(moved > 800 && totals.starts > 1_000, "hardly anything happened: {totals:?}");
}

#[test]
fn no_promise_breaks_in_part_1_of_two_million_steps() {
    hold(0);
}

#[test]
fn no_promise_breaks_in_part_2_of_two_million_steps() {
    hold(1);
}

#[test]
fn no_promise_breaks_in_part_3_of_two_million_steps() {
    hold(2);
}

#[test]
fn no_promise_breaks_in_part_4_of_two_million_steps() {
    hold(3);
}

#[test]
fn no_promise_breaks_in_part_5_of_two_million_steps() {
    hold(4);
}

#[test]
fn no_promise_breaks_in_part_6_of_two_million_steps() {
    hold(5);
}

#[test]
fn no_promise_breaks_in_part_7_of_two_million_steps() {
    hold(6);
}

#[test]
fn no_promise_breaks_in_part_8_of_two_million_steps() {
    hold(7);
}

#[test]
fn the_same_seed_is_the_same_story() {
    let [one, again, other] = [4, 4, 5].map(|seed| run::seed(seed, 12_000, BANKS));
    assert_eq!(one.trace, again.trace);
    assert_ne!(one.trace, other.trace);
    assert_eq!(one.totals.records, again.totals.records);
}

#[test]
fn a_script_is_the_story_that_it_was_taken_from() {
    let story = run::story(4, 0, 3_000, BANKS);
    let text = run::write_script(&story.script).unwrap();
    let script = run::parse_script(&text).unwrap();
    assert_eq!(script, story.script);
    assert_eq!(run::trace_of(BANKS, &script), story.trace);
}

#[test]
fn what_once_broke_holds() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
    let mut count = 0;
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let script = run::parse_script(&fs::read_to_string(&path).unwrap()).unwrap();
        let broken = run::replay(BANKS, &script);
        assert_eq!(broken, None, "{}", path.display());
        count += 1;
    }
    assert!(count > 0, "there are no scripts");
}
