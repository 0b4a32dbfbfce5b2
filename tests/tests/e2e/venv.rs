//! The Python that `cargo xtask setup` makes, for the tests that look at us from another language.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tokio::process::Command;

/// Set by `cargo xtask test`.
const VENV_VARIABLE: &str = "POSTERN_VENV";

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().expect("the package lies in the repository").to_owned()
}

/// The interpreter with everything of `xtask/requirements.txt`.
pub(crate) fn python() -> Result<PathBuf> {
    let venv = match env::var_os(VENV_VARIABLE) {
        Some(venv) => PathBuf::from(venv),
        // `target/debug/deps/e2e-0123456789abcdef`.
        None => env::current_exe()?
            .ancestors()
            .map(|folder| folder.join("setup/venv"))
            .find(|venv| venv.exists())
            .context("there is no Python venv: run `cargo xtask setup`")?,
    };
    let python = venv.join("bin/python");
    let found = python.is_file().then_some(python);
    found.with_context(|| format!("{} has no Python: run `cargo xtask setup`", venv.display()))
}

/// Runs a Python script of `tests/python` and gives what it printed; fails with what it said.
pub(crate) async fn run_script(script: &str, args: &[&str]) -> Result<String> {
    let script = root().join("tests/python").join(script);
    let mut command = Command::new(python()?);
    let output = command.arg("-B").arg(&script).args(args).kill_on_drop(true).output().await?;
    anyhow::ensure!(
        output.status.success(),
        "{} ended with {}:\n{}{}",
        script.display(),
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    Ok(String::from_utf8(output.stdout)?)
}
