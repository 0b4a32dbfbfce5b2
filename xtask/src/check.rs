//! The checks: the same command on a desk and in CI, cheap ones first, and it stops at the first red one.

mod edge_cases;
mod junit;

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::workspace::{cargo, target_dir};
use crate::{process, run, setup};
use junit::Report;

/// Why the edge cases are not checked when `cargo test` runs the tests: it says nothing that a program could rely on.
const NO_NEXTEST: &str = "cargo-nextest is not installed (cargo install cargo-nextest)";

/// Runs every check.
pub(crate) fn check(skip_tests: bool) -> Result<()> {
    // Four minutes into the check is a bad time to hear that a package is missing and cannot be installed.
    setup::preflight()?;
    let mut steps = Steps::default();
    let mut not_run = Vec::new();
    steps.run("format", || process::run(&mut cargo(&["fmt", "--all", "--check"])))?;
    steps.run("arrows and tidy", || {
        let args = ["test", "--quiet", "--package", "xtask", "--test", "it", "--", "arch", "tidy"];
        process::run(&mut cargo(&args))
    })?;
    steps.run("clippy", || {
        let args = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
        process::run(&mut cargo(&args))
    })?;
    if skip_tests {
        not_run.push("tests (--skip-tests): run `cargo xtask test`".to_owned());
    } else {
        let report = steps.run("tests", || {
            let mut tests = Tests::prepare(&[])?;
            process::run(&mut tests.command)?;
            Ok(tests.report)
        })?;
        match report {
            Ok(report) => steps.run("edge cases", || edge_cases::verify(&report.read()?))?,
            Err(why) => not_run.push(format!("edge cases: {why}")),
        }
    }
    steps.run("docs", || {
        // `--examples`, of which there are none, as in `run.rs`: the features that clippy has just checked with.
        let mut doc = cargo(&["doc", "--workspace", "--no-deps", "--lib", "--examples"]);
        process::run(doc.env("RUSTDOCFLAGS", "-D warnings"))
    })?;
    let has_deny = process::succeeds(&mut cargo(&["deny", "--version"]));
    if has_deny {
        steps.run("dependencies", || {
            process::run(&mut cargo(&["deny", "check", "bans", "licenses", "sources"]))
        })?;
    } else {
        let why = "cargo-deny is not installed (cargo install cargo-deny)";
        not_run.push(format!("dependencies: {why}"));
    }
    steps.summary();
    for step in not_run {
        eprintln!("NOT RUN: {step}");
    }
    Ok(())
}

/// Sets up, builds and runs the tests; when those were all, says which edge cases they leave uncovered.
pub(crate) fn test(filters: &[String]) -> Result<()> {
    let mut tests = Tests::prepare(filters)?;
    match tests.report {
        Ok(report) => {
            process::run(&mut tests.command)?;
            edge_cases::verify(&report.read()?)
        }
        Err(why) => {
            eprintln!("NOT RUN: edge cases: {why}");
            // Nothing comes after the runner, so its closing lines may be the last ones.
            Err(process::become_command(&mut tests.command))
        }
    }
}

/// Formats, and applies clippy's own suggestions.
pub(crate) fn fix() -> Result<()> {
    let flags = ["--fix", "--allow-dirty", "--allow-staged"];
    process::run(cargo(&["clippy", "--workspace", "--all-targets"]).args(flags))?;
    process::run(&mut cargo(&["fmt", "--all"]))
}

/// Tests that only have to be started.
struct Tests {
    command: Command,
    /// What they will have come to, or why that does not tell which edge cases are covered.
    report: Result<Report, &'static str>,
}

impl Tests {
    /// Does all that has to be done before the tests.
    fn prepare(filters: &[String]) -> Result<Self> {
        let venv = setup::setup()?;
        // The system tests start our programs as processes, and neither runner promises to have built them.
        eprintln!("Building programs and tests ...");
        process::run_quiet_stdout(&mut cargo(&["build", "--workspace", "--bins", "--tests"]))?;
        let has_nextest = process::succeeds(&mut cargo(&["nextest", "--version"]));
        let target_dir = target_dir()?;
        let mut command = runner(has_nextest, filters);
        command.env(setup::VENV_VARIABLE, venv);
        command.env(run::BIN_DIR_VARIABLE, target_dir.join("debug"));
        let report = match why_edge_cases_stay_open(has_nextest, filters) {
            Some(why) => Err(why),
            None => {
                let report = Report::new(&target_dir)?;
                report.request(&mut command)?;
                Ok(report)
            }
        };
        Ok(Self { command, report })
    }
}

fn why_edge_cases_stay_open(has_nextest: bool, filters: &[String]) -> Option<&'static str> {
    if !filters.is_empty() {
        return Some("only some of the tests are run");
    }
    (!has_nextest).then_some(NO_NEXTEST)
}

fn runner(has_nextest: bool, filters: &[String]) -> Command {
    if has_nextest {
        let mut command = cargo(&["nextest", "run", "--workspace"]);
        command.args(filters);
        command
    } else {
        let mut command = cargo(&["test", "--workspace", "--"]);
        command.args(filters);
        command
    }
}

/// The steps done so far with their durations.
#[derive(Default)]
struct Steps(Vec<(&'static str, Duration)>);

impl Steps {
    fn run<T>(&mut self, name: &'static str, step: impl FnOnce() -> Result<T>) -> Result<T> {
        eprintln!("==> {name}");
        let start = Instant::now();
        let done = step();
        let took = start.elapsed();
        eprintln!("==> {name}: {} ({})", if done.is_ok() { "ok" } else { "RED" }, seconds(took));
        self.0.push((name, took));
        done.with_context(|| format!("check stopped at `{name}`"))
    }

    fn summary(&self) {
        let all: Vec<_> =
            self.0.iter().map(|(n, took)| format!("{n} {}", seconds(*took))).collect();
        let total = self.0.iter().map(|(_, took)| *took).sum();
        eprintln!("==> all green in {}: {}", seconds(total), all.join(", "));
    }
}

fn seconds(took: Duration) -> String {
    format!("{:.1} s", took.as_secs_f64())
}

#[cfg(test)]
mod tests;
