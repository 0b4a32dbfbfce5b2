//! The world in CI: two million steps over more than a hundred seeds, in parts that run side by side;
//! the same seed twice; and the scripts of what once broke.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::Path;
use std::process::Command;

use world::run::{self, BANKS, Failure, Outcome};
use world::step::{Step, What};
use world::watch::Invariant;
use world::world::World;

/// Steps of one seed.
const STEPS: u64 = 20_000;
/// Seeds of one part. Eight parts make 104 seeds and 2,080,000 steps.
const SEEDS: u64 = 13;

/// Runs a part; when a promise breaks, says which and how to see it again.
fn hold(part: u64) {
    let first = 1 + part * SEEDS;
    let Outcome { totals, failure, .. } = run::seeds(first..first + SEEDS, STEPS, BANKS, 1);
    if let Some(failure) = failure {
        panic!(
            "a script for tests/world/scripts:\n{}",
            run::counterexample(BANKS, &failure).unwrap()
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

/// Flash that lies about a sync is beyond every promise, so the world must see it; and what it prints then is a script.
#[test]
fn a_counterexample_prints_as_a_script_that_is_accepted() {
    let mut story = run::story(7, 0, 400, BANKS);
    assert_eq!(story.broken, None);
    let bank = 0;
    let lies = [
        What::Starts { bank, effects: 0 },
        What::Mains { bank, on: true },
        What::SyncLies { bank },
        What::Mains { bank, on: false },
        What::PowerCut { bank, coin: 1 },
        What::Starts { bank, effects: 0 },
    ];
    story.script.extend(lies.map(|what| Step { after_ms: 1_000, what }));
    let (at, broken) = run::replay(BANKS, &story.script).unwrap();
    assert_eq!(broken.invariant, Invariant::DurableOnceTold);
    let (step, script) = (at as u64, story.script);
    let failure = Failure { seed: 7, life: 0, step, bank, broken, script };
    let text = run::counterexample(BANKS, &failure).unwrap();

    let script = run::parse_script(&text).unwrap();
    assert!(script.len() <= 6, "{text}");
    let (at, again) = run::replay(BANKS, &script).unwrap();
    assert_eq!((at + 1, again.invariant), (script.len(), Invariant::DurableOnceTold));

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("it-broke.jsonl");
    fs::write(&path, &text).unwrap();
    let world = Command::new(env!("CARGO_BIN_EXE_world")).arg("--script").arg(&path).output();
    let world = world.unwrap();
    assert!(!world.status.success());
    let said = String::from_utf8(world.stdout).unwrap();
    assert!(said.contains("DurableOnceTold"), "{said}");
}

/// What somebody does with a bank whose journal is damaged, as the plots have it.
#[test]
fn p_f_a_damaged_journal_is_refused_until_somebody_begins_anew() {
    let story = run::story(7, 0, 400, BANKS);
    let bank = 0;
    let apply = |world: &mut World, all: &[What]| {
        for what in all {
            world.apply(&Step { after_ms: 1_000, what: what.clone() });
            assert_eq!(world.broken(), None, "{what:?}");
        }
    };
    let starts = What::Starts { bank, effects: 0 };
    // Some of what is there is not even read at a start, and of some nothing is left to go on from.
    let begun = (0..50).find_map(|coin| {
        let mut world = World::new(BANKS);
        story.script.iter().for_each(|step| world.apply(step));
        let off = What::PowerCut { bank, coin: 1 };
        apply(&mut world, &[off, What::Damaged { bank, coin }, starts.clone()]);
        if world.sites[0].agent.is_some() {
            return None;
        }
        let said = &world.sites[0].died_of;
        assert!(said.contains("is damaged at byte"), "{said}");
        let stream = world.sites[0].watch.stream;
        let anew = What::BegunAnew { bank, kept: false, effects: 0 };
        apply(&mut world, &[anew, starts.clone()]);
        let site = &world.sites[0];
        assert!(site.agent.is_some() && site.watch.stream != stream, "{}", site.died_of);
        (site.watch.anew == 1).then_some(world)
    });
    let mut world = begun.unwrap();
    apply(&mut world, &[What::Heal]);
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
