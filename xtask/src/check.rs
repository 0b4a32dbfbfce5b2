//! The checks: the same command on a desk and in CI, cheap ones first, and it stops at the first red one.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::workspace::{cargo, target_dir};
use crate::{process, run, setup};

/// Runs every check.
pub(crate) fn check(skip_tests: bool) -> Result<()> {
    // Four minutes into the check is a bad time to hear that a package is missing and cannot be installed.
    setup::preflight()?;
    let mut steps = Steps::default();
    steps.run("format", || process::run(&mut cargo(&["fmt", "--all", "--check"])))?;
    steps.run("arrows and tidy", || {
        let args = ["test", "--quiet", "--package", "xtask", "--test", "it", "--", "arch", "tidy"];
        process::run(&mut cargo(&args))
    })?;
    steps.run("clippy", || {
        let args = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
        process::run(&mut cargo(&args))
    })?;
    if !skip_tests {
        steps.run("tests", || process::run(&mut prepared_tests(&[])?))?;
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
    }
    steps.summary();
    if skip_tests {
        eprintln!("NOT RUN: tests (--skip-tests): run `cargo xtask test`");
    }
    if !has_deny {
        eprintln!("NOT RUN: dependencies: cargo-deny is not installed (cargo install cargo-deny)");
    }
    Ok(())
}

/// Sets up, builds and becomes the test runner, so that its closing lines are the last ones.
pub(crate) fn test(filters: &[String]) -> Result<()> {
    Err(process::become_command(&mut prepared_tests(filters)?))
}

/// Formats, and applies clippy's own suggestions.
pub(crate) fn fix() -> Result<()> {
    let flags = ["--fix", "--allow-dirty", "--allow-staged"];
    process::run(cargo(&["clippy", "--workspace", "--all-targets"]).args(flags))?;
    process::run(&mut cargo(&["fmt", "--all"]))
}

/// Does all that has to be done before the tests, and gives the command that runs them.
fn prepared_tests(filters: &[String]) -> Result<Command> {
    let venv = setup::setup()?;
    // The system tests start our programs as processes, and neither runner promises to have built them.
    eprintln!("Building programs and tests ...");
    process::run_quiet_stdout(&mut cargo(&["build", "--workspace", "--bins", "--tests"]))?;
    let mut command = runner(process::succeeds(&mut cargo(&["nextest", "--version"])), filters);
    command.env(setup::VENV_VARIABLE, venv);
    command.env(run::BIN_DIR_VARIABLE, target_dir()?.join("debug"));
    Ok(command)
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
    fn run(&mut self, name: &'static str, step: impl FnOnce() -> Result<()>) -> Result<()> {
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
