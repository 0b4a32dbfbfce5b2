//! Breaks the real programs for as long as it takes to believe them: kill loops and power cuts. CI runs the short ones
//! among the tests; `--long` is what a person starts before a release and goes for lunch.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::process;
use crate::run::{BIN_DIR_VARIABLE, build_and_find};

/// Kills of one round: every round begins with a fresh hub and fresh banks, which a governor at the door has not tired of.
const KILLS_PER_ROUND: &str = "30";
const ROUNDS: u64 = 1;
const ROUNDS_LONG: u64 = 10;
const CUTS: &str = "10";
const CUTS_LONG: &str = "100";

/// Runs everything, each with its counts on standard output; ends at the first that fails.
pub(crate) fn crash(long: bool, seed: u64) -> Result<()> {
    eprintln!("Building hub, agent and simulated lock board (the first time takes minutes) ...");
    let built = build_and_find("crash", "debug")?;
    let program = built.get_program().to_owned();
    let dir = Path::new(&program).parent().context("programs lie in a folder")?.to_owned();
    let run = |args: &[&str]| {
        eprintln!("xtask: crash {}", args.join(" "));
        let mut command = Command::new(&program);
        process::run(command.env(BIN_DIR_VARIABLE, &dir).args(args))
    };
    let (rounds, cuts) = if long { (ROUNDS_LONG, CUTS_LONG) } else { (ROUNDS, CUTS) };
    for round in 0..rounds {
        run(&["kill-loop", "--kills", KILLS_PER_ROUND, "--seed", &(seed + round).to_string()])?;
    }
    let seed = seed.to_string();
    let disks = ["agent", "hub", "journal"];
    for whose in disks {
        run(&["power-cuts", whose, "--cuts", cuts, "--seed", &seed])?;
    }
    // The proof that the others can see the fault: it must fail.
    let control = ["power-cuts", "journal", "--cuts", CUTS, "--seed", &seed, "--without-fdatasync"];
    ensure!(run(&control).is_err(), "the journal without fdatasync passed: the test is blind");
    eprintln!(
        "xtask: that failed as it must: without fdatasync promises are broken, and it is seen"
    );
    // Each of them has failed if it found anything else.
    eprintln!(
        "xtask: {rounds} times {KILLS_PER_ROUND} kills, {cuts} power cuts of each of {disks:?}: 0 lost, 0 doubled, 0 unexplained"
    );
    Ok(())
}
