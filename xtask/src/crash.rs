//! Breaks the real programs for as long as it takes to believe them: kill loops, power cuts and a full disk. CI runs the
//! short ones among the tests; `--long` is what a person starts before a release and goes for lunch.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::process;
use crate::run::{BIN_DIR_VARIABLE, build_and_find};

/// Kills of one round: every round begins with a fresh hub and fresh banks, which a governor at the door has not tired of.
const KILLS_PER_ROUND: u64 = 30;
const ROUNDS: u64 = 1;
const ROUNDS_LONG: u64 = 10;
const CUTS: u64 = 10;
const CUTS_LONG: u64 = 100;
/// Cuts of one chain in which people use a bank, for the same reason.
const CUTS_PER_CHAIN: u64 = 50;

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
        let (kills, seed) = (KILLS_PER_ROUND.to_string(), (seed + round).to_string());
        run(&["kill-loop", "--kills", &kills, "--seed", &seed])?;
    }
    for (whose, of_chain) in
        [("agent", CUTS_PER_CHAIN), ("hub", CUTS_PER_CHAIN), ("journal", CUTS_LONG)]
    {
        for chain in 0..cuts.div_ceil(of_chain) {
            let cuts = of_chain.min(cuts - chain * of_chain).to_string();
            let seed = (seed + chain).to_string();
            run(&["power-cuts", whose, "--cuts", &cuts, "--seed", &seed])?;
        }
    }
    for story in 0..rounds {
        run(&["full-disk", "--seed", &(seed + story).to_string()])?;
    }
    // The proof that the others can see the fault: it must fail.
    let (few, seed) = (CUTS.to_string(), seed.to_string());
    let control = ["power-cuts", "journal", "--cuts", &few, "--seed", &seed, "--without-fdatasync"];
    ensure!(run(&control).is_err(), "the journal without fdatasync passed: the test is blind");
    eprintln!(
        "xtask: that failed as it must: without fdatasync promises are broken, and it is seen"
    );
    // Each of them has failed if it found anything else.
    let kills = rounds * KILLS_PER_ROUND;
    eprintln!(
        "xtask: {kills} kills, and {cuts} power cuts each of agent, hub and bare journal: 0 lost, 0 doubled, \
         0 unexplained"
    );
    Ok(())
}
