//! The deterministic world, and the proof that it sees: each mutation of `tests/world/mutations.md` is
//! put into a copy of the repository, and the world must catch it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use crate::process;
use crate::workspace::{cargo, root, target_dir};

/// Seeds within which a mutation must be caught.
const SEEDS: u64 = 200;
/// Steps of each of them.
const STEPS: u64 = 12_000;
/// Seeds that must hold without any mutation; the tests run many more.
const HOLDS_SEEDS: u64 = 20;
/// Where the mutations are written down.
const MUTATIONS: &str = "tests/world/mutations.md";

/// What of the world is wanted.
#[derive(Debug, Args)]
pub(crate) struct World {
    /// The first seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Seeds, from the first on
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// Steps of each seed
    #[arg(long, default_value_t = 1_000_000)]
    steps: u64,
    /// Seeds at a time
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Play this script instead, and tell what each step brings about
    #[arg(long)]
    script: Option<PathBuf>,
    /// Put each mutation of tests/world/mutations.md into a copy and show what catches it
    #[arg(long)]
    mutations: bool,
    /// Only the mutations whose name contains this; more than once for more
    #[arg(long, requires = "mutations")]
    only: Vec<String>,
}

/// Runs it.
pub(crate) fn world(world: &World) -> Result<()> {
    if world.mutations {
        return mutations(&world.only);
    }
    eprintln!("Building the world ...");
    process::run_quiet_stdout(&mut cargo(&["build", "--package", "world"]))?;
    let mut command = Command::new(target_dir()?.join("debug").join("world"));
    if let Some(script) = &world.script {
        command.arg("--tell").arg("--script").arg(script);
    }
    for (flag, value) in [
        ("--seed", world.seed),
        ("--seeds", world.seeds),
        ("--steps", world.steps),
        ("--threads", world.threads as u64),
    ] {
        command.args([flag, &value.to_string()]);
    }
    Err(process::become_command(&mut command))
}

/// One line of the product, and what it is made into.
#[derive(Debug, PartialEq, Eq)]
struct Mutation {
    name: String,
    path: String,
    old: String,
    new: String,
}

fn mutations(only: &[String]) -> Result<()> {
    let text = fs::read_to_string(root().join(MUTATIONS)).context(MUTATIONS)?;
    let mut mutations = parse(&text)?;
    let is_wanted = |mutation: &Mutation| only.iter().any(|only| mutation.name.contains(only));
    mutations.retain(|mutation| only.is_empty() || is_wanted(mutation));
    ensure!(!mutations.is_empty(), "{MUTATIONS} has no such mutation");
    let copy = Copy::make()?;
    eprintln!("Building the world without any mutation (the first time takes minutes) ...");
    copy.build()?;
    copy.must_hold()?;
    let mut survivors = Vec::new();
    for mutation in &mutations {
        let caught = copy.with(mutation)?;
        eprintln!("{}: {}", mutation.name, caught.as_deref().unwrap_or("SURVIVES"));
        if caught.is_none() {
            survivors.push(mutation.name.as_str());
        }
    }
    ensure!(survivors.is_empty(), "nothing catches {survivors:?}");
    eprintln!("{} mutations, all caught within {SEEDS} seeds", mutations.len());
    Ok(())
}

/// The mutations of the page: a heading `## name`, a line `` `path` ``, and a block of two lines that
/// begin with `-` and `+`.
fn parse(text: &str) -> Result<Vec<Mutation>> {
    let mut mutations: Vec<Mutation> = Vec::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("## ") {
            let name = name.trim().to_owned();
            mutations.push(Mutation {
                name,
                path: String::new(),
                old: String::new(),
                new: String::new(),
            });
        }
        let Some(mutation) = mutations.last_mut() else { continue };
        let path = line.strip_prefix('`').and_then(|line| line.split_once('`'));
        if let Some((path, _)) = path.filter(|_| mutation.path.is_empty()) {
            path.clone_into(&mut mutation.path);
        } else if let Some(old) = line.strip_prefix("- ").filter(|_| mutation.old.is_empty()) {
            old.clone_into(&mut mutation.old);
        } else if let Some(new) = line.strip_prefix("+ ").filter(|_| mutation.new.is_empty()) {
            new.clone_into(&mut mutation.new);
        }
    }
    for Mutation { name, path, old, new } in &mutations {
        let whole = [path, old, new].iter().all(|part| !part.is_empty());
        ensure!(whole, "the mutation `{name}` is not whole");
    }
    Ok(mutations)
}

/// A copy of all that git lists, and its target directory. Both stay where they are, so that the next
/// run builds only what has changed.
struct Copy {
    dir: PathBuf,
    target: PathBuf,
}

impl Copy {
    fn make() -> Result<Self> {
        let mutations = target_dir()?.join("mutations");
        let (dir, target) = (mutations.join("copy"), mutations.join("target"));
        let list = ["ls-files", "--cached", "--others", "--exclude-standard", "-z"];
        let files = process::output(Command::new("git").current_dir(root()).args(list))?;
        for file in files.split('\0').filter(|file| !file.is_empty()) {
            let (from, to) = (root().join(file), dir.join(file));
            // Listed, and deleted since.
            if !from.is_file() {
                continue;
            }
            copy_if_other(&from, &to).with_context(|| file.to_owned())?;
        }
        Ok(Self { dir, target })
    }

    fn build(&self) -> Result<()> {
        let mut build = cargo(&["build", "--package", "world", "--quiet"]);
        build.current_dir(&self.dir).env("CARGO_TARGET_DIR", &self.target);
        process::run_quiet_stdout(&mut build)
    }

    /// What the world says: nothing if all holds, else which promise broke, with the seed.
    fn run(&self, seeds: u64) -> Result<Option<String>> {
        let mut world = Command::new(self.target.join("debug").join("world"));
        let (seeds, steps) = (seeds.to_string(), STEPS.to_string());
        world.args(["--seed", "1", "--seeds", &seeds, "--steps", &steps, "--no-script"]);
        world.args(["--threads", "2"]);
        let output = world.output().context("could not start the world")?;
        let text = String::from_utf8_lossy(&output.stdout);
        if output.status.success() {
            return Ok(None);
        }
        let said: Vec<&str> = text
            .lines()
            .filter(|line| line.starts_with("BROKEN") || line.starts_with("seed "))
            .collect();
        if said.is_empty() {
            bail!("the world ended without a word ({})", output.status);
        }
        Ok(Some(said.join(", ")))
    }

    /// Without any mutation nothing is caught, or being caught would mean nothing.
    fn must_hold(&self) -> Result<()> {
        match self.run(HOLDS_SEEDS)? {
            None => Ok(()),
            Some(said) => bail!("broken without any mutation: {said}"),
        }
    }

    /// Puts `mutation` in, builds and runs, and takes it out again.
    fn with(&self, mutation: &Mutation) -> Result<Option<String>> {
        let path = self.dir.join(&mutation.path);
        let before = fs::read_to_string(&path).with_context(|| mutation.path.clone())?;
        fs::write(&path, apply(mutation, &before)?)?;
        let said = self.build().and_then(|()| self.run(SEEDS));
        fs::write(&path, before)?;
        said
    }
}

/// Leaves a file that is the same alone: cargo would build it again.
fn copy_if_other(from: &Path, to: &Path) -> Result<()> {
    let bytes = fs::read(from)?;
    if fs::read(to).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(to, bytes)?;
    Ok(())
}

/// The text with the one line changed; its indentation stays.
fn apply(mutation: &Mutation, text: &str) -> Result<String> {
    let Mutation { name, path, old, new } = mutation;
    let fits = |line: &&str| line.trim() == old.trim();
    let count = text.lines().filter(fits).count();
    ensure!(count == 1, "`{name}`: {path} has {count} lines that read `{}`", old.trim());
    let lines = text.lines().map(|line| {
        if line.trim() == old.trim() {
            line.replace(old.trim(), new.trim())
        } else {
            line.to_owned()
        }
    });
    Ok(lines.collect::<Vec<_>>().join("\n") + "\n")
}

/// Whether a path of the page is one of ours; for tests.
#[cfg(test)]
fn exists(path: &str) -> bool {
    Path::new(&root()).join(path).is_file()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mutation_still_fits_its_line() {
        let text = fs::read_to_string(root().join(MUTATIONS)).unwrap();
        let mutations = parse(&text).unwrap();
        assert!(mutations.len() >= 10, "only {} mutations", mutations.len());
        for mutation in &mutations {
            assert!(exists(&mutation.path), "{} is gone", mutation.path);
            let before = fs::read_to_string(root().join(&mutation.path)).unwrap();
            let after = apply(mutation, &before).unwrap();
            assert_ne!(before, after, "{} changes nothing", mutation.name);
        }
    }

    #[test]
    fn a_line_that_is_there_twice_is_refused() {
        let mutation = Mutation {
            name: "one".to_owned(),
            path: "a.rs".to_owned(),
            old: "x();".to_owned(),
            new: "y();".to_owned(),
        };
        assert!(apply(&mutation, "    x();\n").unwrap().starts_with("    y();"));
        assert!(apply(&mutation, "x();\nx();\n").is_err());
        assert!(apply(&mutation, "z();\n").is_err());
    }
}
