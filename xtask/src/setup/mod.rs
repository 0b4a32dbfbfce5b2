//! What the tests need beyond Rust and a C compiler: said before it is done, done once, and where it cannot be done the
//! commands are printed instead. With everything there it costs a few milliseconds, so `test` always begins with it.

mod tools;
mod venv;

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::process;
use crate::workspace::{root, target_dir};
use tools::Tool;
use venv::Venv;

/// The folder of the Python venv, for the tests.
pub(crate) const VENV_VARIABLE: &str = "POSTERN_VENV";

/// Installs what is missing and gives the folder of the Python venv.
pub(crate) fn setup() -> Result<PathBuf> {
    let dir = target_dir()?.join("setup");
    fs::create_dir_all(&dir).with_context(|| format!("could not make {}", dir.display()))?;
    // Two set-ups at once would install into the same venv: the second waits and then finds all there.
    let lock = File::create(dir.join("lock"))?;
    if lock.try_lock().is_err() {
        eprintln!("Waiting for another set-up to end ...");
        lock.lock().context("could not wait for the other set-up")?;
    }
    let venv = Venv::of(&dir, &root())?;
    let plan = Plan::make(&venv);
    if plan.is_empty() {
        eprintln!("Set-up: all the tests need is here.");
    } else {
        eprintln!("Setting up what the tests need beyond Rust and a C compiler:\n{}", plan.list());
        plan.ensure_possible(can_install())?;
        plan.carry_out()?;
        eprintln!("Set-up: done.");
    }
    Ok(venv.dir)
}

/// Fails if the set-up would, without doing anything.
pub(crate) fn preflight() -> Result<()> {
    let venv = Venv::of(&target_dir()?.join("setup"), &root())?;
    Plan::make(&venv).ensure_possible(can_install())
}

/// What is missing.
struct Plan<'a> {
    tools: Vec<&'static Tool>,
    venv: Option<&'a Venv>,
}

impl<'a> Plan<'a> {
    fn make(venv: &'a Venv) -> Self {
        let venv = (!venv.is_ready()).then_some(venv);
        let mut tools = tools::missing(&tools::ALWAYS, |program| process::find(program).is_some());
        if venv.is_some() && !venv::python_can_make_one() {
            tools.push(&tools::PYTHON);
        }
        Self { tools, venv }
    }

    fn is_empty(&self) -> bool {
        self.tools.is_empty() && self.venv.is_none()
    }

    /// One line for each thing that will be done.
    fn list(&self) -> String {
        let tools = self.tools.iter().map(|tool| {
            format!("  - Debian package {}: `{}` {}", tool.package, tool.program, tool.why)
        });
        let venv = self.venv.iter().map(|venv| {
            let dir = venv.dir.display();
            format!("  - Python packages of {} into {dir} (about 120 MB)", venv::REQUIREMENTS)
        });
        tools.chain(venv).collect::<Vec<_>>().join("\n")
    }

    /// Debian packages need root and apt-get; everything else we can do ourselves.
    fn ensure_possible(&self, can_install: bool) -> Result<()> {
        if self.tools.is_empty() || can_install {
            return Ok(());
        }
        let programs: Vec<_> = self.tools.iter().map(|tool| tool.program).collect();
        bail!(
            "the tests need {}, and only root on a Debian system can install them from here.\n\
             On Debian or Ubuntu run:\n\n{}\n\n\
             On another system install these programs your way and put them on the path. Then try again.",
            programs.join(", "),
            tools::install_commands(&self.tools)
        )
    }

    fn carry_out(&self) -> Result<()> {
        tools::install(&self.tools)?;
        if let Some(venv) = self.venv {
            if !venv::python_can_make_one() {
                bail!("python3 of version {} or newer with venv is needed", venv::OLDEST_PYTHON);
            }
            venv.build()?;
        }
        Ok(())
    }
}

fn can_install() -> bool {
    let is_root = process::output(std::process::Command::new("id").arg("-u"));
    is_root.is_ok_and(|id| id.trim() == "0") && Path::new("/usr/bin/apt-get").exists()
}

#[cfg(test)]
mod tests;
