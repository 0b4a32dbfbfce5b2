//! Which of our crates may name which, and which crates of others must stay out of reach of each. `cargo tree` for one
//! package at a time tells: `cargo metadata` unifies features over the workspace, so the hub's `grpc` would show in the agent.

use std::collections::BTreeSet;
use std::process::Command;

use crate::repository::{root, stdout};

/// Our own packages, each with the ones of ours it may name.
const MAY_USE: &[(&str, &[&str])] = &[
    ("locker-core", &[]),
    ("locker-proto", &["locker-core"]),
    ("edge-agent", &["locker-core", "locker-proto"]),
    ("cloud-hub", &["locker-core", "locker-proto"]),
    ("system-tests", &["locker-core", "locker-proto", "edge-agent", "cloud-hub"]),
    ("world", &["locker-core", "locker-proto", "edge-agent"]),
    ("xtask", &[]),
];

/// Crates that must stay out of reach of a package, however far down its tree.
const NEVER: &[(&str, &[&str])] = &[
    // The same rules run in the agent, in the hub and in a simulator: no clock, no I/O, no randomness.
    ("locker-core", &["tokio", "mio", "rand", "getrandom", "tracing", "prost", "sled"]),
    // Without its `grpc` feature, as the agent uses it.
    ("locker-proto", &["tokio", "rumqttc", "rumqttd", "tonic"]),
    ("edge-agent", &["rumqttd", "tonic", "sea-orm", "sqlx-core", "rcgen"]),
    ("cloud-hub", &["sled", "tokio-serial"]),
];

#[test]
fn packages_name_only_those_they_may() {
    for (package, allowed) in MAY_USE {
        // Dev-dependencies count: a test of the agent that needs the hub belongs into `tests/`.
        let tree = tree(package, "normal,build,dev");
        let ours = MAY_USE.iter().map(|(name, _)| *name).filter(|name| name != package);
        let named: Vec<_> = ours.filter(|name| tree.contains(*name)).collect();
        let wrong: Vec<_> = named.iter().filter(|name| !allowed.contains(name)).collect();
        assert!(wrong.is_empty(), "{package} names {wrong:?}");
    }
}

#[test]
fn foreign_crates_stay_where_they_belong() {
    for (package, never) in NEVER {
        let tree = tree(package, "normal,build");
        let wrong: Vec<_> = never.iter().filter(|name| tree.contains(**name)).collect();
        assert!(
            wrong.is_empty(),
            "{package} reaches {wrong:?}; `cargo tree -p {package} -e normal,build -i CRATE` says how"
        );
    }
}

#[test]
fn every_package_is_listed() {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let (_, members) = manifest.split_once("members = [").unwrap();
    let (members, _) = members.split_once(']').unwrap();
    assert_eq!(members.split(',').filter(|m| !m.trim().is_empty()).count(), MAY_USE.len());
}

/// Names of all packages that `package` reaches over dependencies of the given kinds, and its own.
fn tree(package: &str, edges: &str) -> BTreeSet<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let args = ["tree", "--package", package, "--edges", edges, "--prefix", "none", "--format"];
    let tree = stdout(Command::new(cargo).current_dir(root()).args(args).arg("{p}"));
    let names: BTreeSet<_> =
        tree.lines().filter_map(|line| line.split(' ').next()).map(String::from).collect();
    assert!(names.contains(package), "cargo tree printed something else: {tree}");
    names
}
