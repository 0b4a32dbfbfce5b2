//! The Python venv under the target directory, with exactly the packages of `requirements.txt`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::process;

/// What is installed, relative to the root of the repository.
pub(super) const REQUIREMENTS: &str = "xtask/requirements.txt";

/// The oldest Python for which all packages have wheels.
pub(super) const OLDEST_PYTHON: &str = "3.10";

/// A venv and what should be in it.
pub(crate) struct Venv {
    pub(super) dir: PathBuf,
    requirements_file: PathBuf,
    requirements: String,
}

impl Venv {
    /// The venv in the set-up folder `dir`, whether it is there or not.
    pub(super) fn of(dir: &Path, root: &Path) -> Result<Self> {
        let requirements_file = root.join(REQUIREMENTS);
        let requirements = fs::read_to_string(&requirements_file)
            .with_context(|| format!("could not read {REQUIREMENTS}"))?;
        Ok(Self { dir: dir.join("venv"), requirements_file, requirements })
    }

    /// Whether the last build got to its end with these requirements, and its interpreter is still there.
    pub(super) fn is_ready(&self) -> bool {
        fs::read_to_string(self.stamp()).is_ok_and(|stamp| stamp == self.requirements)
            && self.python().exists()
    }

    /// Makes it from nothing: a half-built or outdated one is not worth mending.
    pub(super) fn build(&self) -> Result<()> {
        if self.dir.exists() {
            fs::remove_dir_all(&self.dir)
                .with_context(|| format!("could not remove {}", self.dir.display()))?;
        }
        process::run_quiet_stdout(Command::new("python3").args(["-m", "venv"]).arg(&self.dir))?;
        let mut pip = Command::new(self.python());
        // Wheels only: building grpcio from source takes a quarter of an hour and fails late.
        pip.args(["-m", "pip", "install", "--disable-pip-version-check", "--only-binary", ":all:"]);
        process::run_quiet_stdout(pip.arg("--requirement").arg(&self.requirements_file))?;
        fs::write(self.stamp(), &self.requirements).context("could not mark the venv as complete")
    }

    fn python(&self) -> PathBuf {
        self.dir.join("bin/python")
    }

    /// Written last, with the requirements as its content.
    fn stamp(&self) -> PathBuf {
        self.dir.join("complete")
    }
}

/// Whether there is a Python that can make a venv with pip in it.
pub(super) fn python_can_make_one() -> bool {
    let test = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))";
    process::succeeds(Command::new("python3").args(["-c", test]))
}
