//! Where things are: the repository, the target directory, and the cargo that was used to start this program.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::process;

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    // Read when run, so that a target directory shared by two checkouts serves each its own; set by cargo for programs it runs.
    let manifest_dir =
        env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    Path::new(&manifest_dir).parent().expect("xtask lies in a folder of the repository").into()
}

/// A cargo command that runs in the root of the repository.
pub(crate) fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
    command.current_dir(root()).args(args);
    command
}

/// The target directory, wherever configuration or `CARGO_TARGET_DIR` put it.
pub(crate) fn target_dir() -> Result<PathBuf> {
    let metadata = process::output(&mut cargo(&["metadata", "--no-deps", "--format-version=1"]))?;
    let metadata: serde_json::Value =
        serde_json::from_str(&metadata).context("cargo metadata is not JSON")?;
    let dir = metadata["target_directory"].as_str();
    Ok(dir.context("cargo metadata names no target directory")?.into())
}
