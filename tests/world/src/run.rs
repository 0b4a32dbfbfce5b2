//! Worlds from seeds, counterexamples and scripts.

use std::cell::Cell;
use std::ops::{AddAssign, Range};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::time::Instant;

use crate::plot::Plot;
use crate::rng::Rng;
use crate::step::{Step, What};
use crate::watch::{Broken, Invariant};
use crate::world::World;

/// Banks of a world.
pub const BANKS: u8 = 3;
/// Steps of one life of a world; then another begins. So a script has an end, and what people brought
/// does not pile up.
pub const LIFE_STEPS: u64 = 5_000;
/// Times that a shorter script is tried, and steps that are played for it: a minute or two.
const TRIES_MAX: u32 = 1_500;
const TRIED_STEPS_MAX: u64 = 1_500_000;

/// What was done.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    pub steps: u64,
    pub lives: u64,
    pub records: u64,
    /// Requests of people that were granted, and that were not.
    pub served: u64,
    pub refused: u64,
    /// Parcels put in and taken out, pulses given, and starts of agents.
    pub deposits: u64,
    pub pickups: u64,
    pub pulses: u64,
    pub starts: u64,
    /// Histories that the hub's records made whole, that went on in another stream, that were lost, and that went on without
    /// what was damaged.
    pub restored: u64,
    pub branched: u64,
    pub lost: u64,
    pub anew: u64,
    pub seconds: f64,
}

impl AddAssign for Totals {
    fn add_assign(&mut self, other: Self) {
        self.steps += other.steps;
        self.lives += other.lives;
        self.records += other.records;
        self.served += other.served;
        self.refused += other.refused;
        self.deposits += other.deposits;
        self.pickups += other.pickups;
        self.pulses += other.pulses;
        self.starts += other.starts;
        self.restored += other.restored;
        self.branched += other.branched;
        self.lost += other.lost;
        self.anew += other.anew;
        self.seconds += other.seconds;
    }
}

/// A promise that was broken, and how to see it again.
#[derive(Clone, Debug)]
pub struct Failure {
    pub seed: u64,
    pub life: u64,
    pub step: u64,
    pub bank: u8,
    pub broken: Broken,
    pub script: Vec<Step>,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    pub totals: Totals,
    /// Of the lowest seed, if there were several.
    pub failure: Option<Failure>,
    /// Two runs with one trace were one story.
    pub trace: u64,
}

/// Lives of `seed`, `steps` steps in all, or up to the first broken promise.
#[must_use]
pub fn seed(seed: u64, steps: u64, banks: u8) -> Outcome {
    let began = Instant::now();
    let mut outcome = Outcome::default();
    let mut life = 0;
    while outcome.totals.steps < steps && outcome.failure.is_none() {
        let length = LIFE_STEPS.min(steps - outcome.totals.steps);
        live(seed, life, length, banks, &mut outcome);
        life += 1;
    }
    outcome.totals.seconds = began.elapsed().as_secs_f64();
    outcome
}

fn live(seed: u64, life: u64, length: u64, banks: u8, outcome: &mut Outcome) {
    let Story { script, trace, broken, totals } = story(seed, life, length, banks);
    outcome.totals += totals;
    outcome.trace = Rng::new(outcome.trace ^ trace).next();
    if let Some((bank, broken)) = broken {
        let step = script.len() as u64 - 1;
        outcome.failure = Some(Failure { seed, life, step, bank, broken, script });
    }
}

/// One life.
#[derive(Clone, Debug)]
pub struct Story {
    pub script: Vec<Step>,
    /// Two lives with one trace were one story.
    pub trace: u64,
    /// The promise that the last step broke, and at which bank.
    pub broken: Option<(u8, Broken)>,
    pub totals: Totals,
}

/// Life `life` of `seed`, of `length` steps or up to the first broken promise.
#[must_use]
pub fn story(seed: u64, life: u64, length: u64, banks: u8) -> Story {
    let mut world = World::new(banks);
    let mut plot = Plot::new(Rng::part(seed, life), banks);
    let mut script = Vec::new();
    let mut broken = None;
    while broken.is_none() && (script.len() as u64) < length {
        let last = script.len() as u64 + 1 == length;
        let step = if last { Step { after_ms: 0, what: What::Heal } } else { plot.next(&world) };
        broken = apply(&mut world, &step);
        script.push(step);
    }
    let totals = totals(&world, script.len() as u64);
    Story { script, trace: world.trace(), broken, totals }
}

fn totals(world: &World, steps: u64) -> Totals {
    let World { served, refused, .. } = *world;
    let mut totals = Totals { steps, lives: 1, served, refused, ..Totals::default() };
    for site in &world.sites {
        totals.records += site.watch.head();
        totals.deposits += site.watch.deposits;
        totals.pickups += site.watch.pickups;
        totals.pulses += site.watch.pulses_given;
        totals.starts += u64::from(site.starts);
        totals.restored += site.watch.restored;
        totals.branched += site.watch.branched;
        totals.lost += site.watch.lost;
        totals.anew += site.watch.anew;
    }
    totals
}

/// The trace of a script that breaks nothing, or of what there was of it.
#[must_use]
pub fn trace_of(banks: u8, script: &[Step]) -> u64 {
    let mut world = World::new(banks);
    for step in script {
        if apply(&mut world, step).is_some() {
            break;
        }
    }
    world.trace()
}

fn apply(world: &mut World, step: &Step) -> Option<(u8, Broken)> {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| world.apply(step))) {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
        let detail = text.unwrap_or_else(|| "it panicked".to_owned());
        let bank = step.what.bank().unwrap_or_default();
        return Some((bank, Broken { invariant: Invariant::NoPanic, detail }));
    }
    world.broken().map(|(bank, broken)| (bank, broken.clone()))
}

/// As [`seed`], for each of `seeds`, `threads` at a time; each world stays on one thread.
#[must_use]
pub fn seeds(seeds: Range<u64>, steps: u64, banks: u8, threads: usize) -> Outcome {
    let began = Instant::now();
    let todo = Mutex::new(seeds);
    let sum = Mutex::new(Outcome::default());
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                loop {
                    let next = todo.lock().expect("nobody panics with it").next();
                    let Some(n) = next else { return };
                    let one = seed(n, steps, banks);
                    let failed = one.failure.is_some();
                    add(&mut sum.lock().expect("nobody panics with it"), one);
                    if failed {
                        // The ones that run end; no other is begun.
                        let mut todo = todo.lock().expect("nobody panics with it");
                        todo.start = todo.end;
                    }
                }
            });
        }
    });
    let mut outcome = sum.into_inner().expect("nobody panics with it");
    outcome.totals.seconds = began.elapsed().as_secs_f64();
    outcome
}

fn add(sum: &mut Outcome, one: Outcome) {
    sum.totals += one.totals;
    // In any order the same.
    sum.trace = sum.trace.wrapping_add(one.trace);
    let earlier = match (&sum.failure, &one.failure) {
        (Some(had), Some(has)) => has.seed < had.seed,
        (None, Some(_)) => true,
        (_, None) => false,
    };
    if earlier {
        sum.failure = one.failure;
    }
}

/// Plays a script; the step and the promise that broke, if one did.
#[must_use]
pub fn replay(banks: u8, script: &[Step]) -> Option<(usize, Broken)> {
    let mut world = World::new(banks);
    script
        .iter()
        .enumerate()
        .find_map(|(at, step)| apply(&mut world, step).map(|(_, broken)| (at, broken)))
}

/// Plays a script and tells what became of each step: the records of the bank that it is about.
#[must_use]
pub fn tell(banks: u8, script: &[Step]) -> Vec<String> {
    let mut world = World::new(banks);
    let mut lines = Vec::new();
    for (at, step) in script.iter().enumerate() {
        for site in &mut world.sites {
            site.watch.told = Some(Vec::new());
        }
        let (served, refused) = (world.served, world.refused);
        let broken = apply(&mut world, step);
        let granted = if world.served > served { ", granted" } else { "" };
        let refused = if world.refused > refused { ", refused" } else { "" };
        lines.push(format!("{at} +{} {:?}{granted}{refused}", step.after_ms, step.what));
        for site in &mut world.sites {
            let told = site.watch.told.take().unwrap_or_default();
            lines.extend(told.into_iter().map(|fact| format!("    bank {}: {fact}", site.n)));
        }
        if broken.is_some() {
            break;
        }
    }
    lines
}

/// The shortest script found that breaks the same promise: steps are left out, many at a time and then
/// one by one, as long as it still breaks.
#[must_use]
pub fn shrink(banks: u8, script: &[Step], invariant: Invariant) -> Vec<Step> {
    let (tries, tried_steps) = (Cell::new(0), Cell::new(0));
    let goes_on = || tries.get() < TRIES_MAX && tried_steps.get() < TRIED_STEPS_MAX;
    let breaks = |script: &[Step]| {
        tries.set(tries.get() + 1);
        tried_steps.set(tried_steps.get() + script.len() as u64);
        let found = replay(banks, script).filter(|(_, broken)| broken.invariant == invariant);
        found.map(|(at, _)| at + 1)
    };
    let mut script = script.to_vec();
    let mut chunk = script.len() / 2;
    while chunk > 0 && goes_on() {
        let mut from = 0;
        let before = script.len();
        while from < script.len() && goes_on() {
            let until = (from + chunk).min(script.len());
            // The time of what is left out passes all the same.
            let mut shorter = script[..from].to_vec();
            let skipped: u64 = script[from..until].iter().map(|step| step.after_ms).sum();
            shorter.extend_from_slice(&script[until..]);
            if let Some(step) = shorter.get_mut(from) {
                step.after_ms += skipped;
            }
            match breaks(&shorter) {
                Some(end) => {
                    shorter.truncate(end);
                    script = shorter;
                }
                None => from = until,
            }
        }
        chunk = if chunk == 1 && script.len() < before { 1 } else { chunk / 2 };
    }
    script
}

/// What broke, as a script that `--script` and the tests take: the shortest that was found, one step a line, under a line
/// for people.
///
/// # Errors
///
/// None that a step can bring about.
pub fn counterexample(banks: u8, failure: &Failure) -> serde_json::Result<String> {
    let Failure { seed, life, step, bank, broken, script } = failure;
    let Broken { invariant, detail } = broken;
    let script = write_script(&shrink(banks, script, *invariant))?;
    let detail = detail.replace('\n', " ");
    let where_from = format!("seed {seed}, life {life}, step {step}");
    Ok(format!("# {invariant:?} at bank {bank}: {detail} ({where_from})\n{script}\n"))
}

/// One step a line.
///
/// # Errors
///
/// None that a step can bring about.
pub fn write_script(script: &[Step]) -> serde_json::Result<String> {
    let lines: Result<Vec<String>, _> = script.iter().map(serde_json::to_string).collect();
    Ok(lines?.join("\n"))
}

/// What [`write_script`] wrote; lines that begin with `#` are for people.
///
/// # Errors
///
/// A line is no step.
pub fn parse_script(text: &str) -> serde_json::Result<Vec<Step>> {
    let lines = text.lines().map(str::trim);
    lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(serde_json::from_str)
        .collect()
}
