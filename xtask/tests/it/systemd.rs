//! The systemd units are valid and keep the programs in a tight box, checked by systemd itself.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::repository::{all_text, output, root};

/// The worst exposure allowed, in tenths, as `systemd-analyze security` counts it (0 is best, 100 worst).
const WORST_EXPOSURE_TENTHS: &str = "20";

#[test]
fn units_are_valid() {
    for unit in units("valid") {
        let verify = output(analyze().arg("verify").arg(&unit));
        assert!(verify.status.success(), "{}: {}", unit.display(), all_text(&verify));
        assert!(verify.stderr.is_empty(), "{}: {}", unit.display(), all_text(&verify));
    }
}

#[test]
fn units_are_hardened() {
    for unit in units("hardened") {
        let threshold = format!("--threshold={WORST_EXPOSURE_TENTHS}");
        let args = ["security", "--offline=true", "--no-pager", &threshold];
        let security = output(analyze().args(args).arg(&unit));
        assert!(security.status.success(), "{}: {}", unit.display(), all_text(&security));
    }
}

/// Copies of the units that start a program that exists here, because `verify` looks for it.
fn units(test: &str) -> Vec<PathBuf> {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("systemd-{test}"));
    fs::create_dir_all(&dir).expect("the target directory can be written");
    let mut copies = Vec::new();
    for entry in fs::read_dir(root().join("deploy/systemd")).expect("deploy/systemd is there") {
        let path = entry.expect("it can be listed").path();
        if path.extension().is_none_or(|extension| extension != "service") {
            continue;
        }
        let unit = fs::read_to_string(&path).expect("a unit can be read");
        assert!(unit.contains("\nExecStart=/usr/bin/"), "{} starts no program", path.display());
        let copy = dir.join(path.file_name().expect("a file has a name"));
        fs::write(&copy, with_existing_program(&unit)).expect("the copy can be written");
        copies.push(copy);
    }
    assert!(!copies.is_empty(), "there is no unit in deploy/systemd");
    copies
}

fn with_existing_program(unit: &str) -> String {
    let lines = unit.lines().map(|line| match line.strip_prefix("ExecStart=") {
        Some(command) => {
            let (_, arguments) = command.split_once(' ').unwrap_or((command, ""));
            format!("ExecStart=/bin/sh {arguments}\n")
        }
        None => format!("{line}\n"),
    });
    lines.collect()
}

fn analyze() -> Command {
    let found = Command::new("systemd-analyze").arg("--version").output();
    assert!(
        found.is_ok_and(|output| output.status.success()),
        "there is no systemd-analyze: install the package systemd (`cargo xtask setup` says how)"
    );
    Command::new("systemd-analyze")
}
