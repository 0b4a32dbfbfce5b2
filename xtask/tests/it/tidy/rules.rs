//! The rules themselves: a file in, what is wrong with it out.

use super::{Finding, Rule};
use crate::repository::SourceFile;

pub(super) const MAX_LINES: usize = 500;

/// Where generated code lies; no rule is for it.
const GENERATED: &str = "proto/src/gen/";

// Written in two parts so that this file does not break its own rules.
const UNFINISHED: [&str; 2] = [concat!("todo", "!("), concat!("unimplemented", "!(")];
const IGNORED: &str = concat!("#[", "ignore");
const SLEEPS: [&str; 2] = [concat!("sleep", "("), concat!("sleep_until", "(")];
const PRIVATE: [&str; 5] = [
    concat!("/wo", "rk/"),
    concat!("/tmp/", "bash_jobs"),
    concat!("/tmp/", "plan"),
    concat!("/.", "library"),
    concat!("design", ".md"),
];

pub(super) fn check(file: &SourceFile) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut report = |rule, line, what: &str| {
        findings.push(Finding { rule, path: file.path.clone(), line, what: what.to_owned() });
    };
    for (number, line) in (1..).zip(file.text.lines()) {
        for private in PRIVATE.iter().filter(|private| line.contains(**private)) {
            report(Rule::Private, number, private);
        }
    }
    if file.path.ends_with("/Cargo.toml") && !file.text.contains("[lints]\nworkspace = true") {
        report(Rule::Lints, 0, "[lints] workspace = true is missing");
    }
    if file.path.ends_with(".rs") && !file.path.starts_with(GENERATED) {
        check_rust(file, &mut report);
    }
    findings
}

fn check_rust(file: &SourceFile, report: &mut impl FnMut(Rule, usize, &str)) {
    let opening = file.text.lines().find(|line| !line.starts_with("#!/"));
    let has_opening = opening.is_some_and(|line| line.starts_with("//!"));
    // `x/tests.rs` is there because of `x.rs`, which has said it.
    if !has_opening && !file.path.ends_with("/tests.rs") {
        report(Rule::Opening, 1, "does not open with `//!` and why it exists");
    }
    let lines = file.text.lines().count();
    if lines > MAX_LINES && !is_test(&file.path) {
        report(Rule::Length, 0, &format!("{lines} lines, {MAX_LINES} are allowed"));
    }
    let may_use_anyhow = may_use_anyhow(&file.path);
    // The package `tests` is a harness: it waits like a test.
    let mut is_in_test = is_test(&file.path) || file.path.starts_with("tests/");
    let mut is_time_paused = false;
    for (number, line) in (1..).zip(file.text.lines()) {
        let code = line.split("//").next().unwrap_or(line);
        is_in_test |= code.contains("#[cfg(test)]");
        if code.contains("#[test]") || code.contains("#[tokio::test") {
            is_time_paused = code.contains("start_paused = true");
        }
        if is_in_test && !is_time_paused && SLEEPS.iter().any(|sleep| calls(code, sleep)) {
            report(Rule::Sleep, number, "wait for the condition, or pause the time");
        }
        if code.contains(IGNORED) {
            report(Rule::Ignored, number, "run it or delete it");
        }
        if UNFINISHED.iter().any(|unfinished| code.contains(unfinished)) {
            report(Rule::Unfinished, number, "write it or leave it out");
        }
        if !may_use_anyhow && !is_in_test && code.contains("anyhow") {
            report(Rule::Anyhow, number, "only in mains, xtask and tests");
        }
    }
}

/// Whether `code` has a call of `function`, which ends in `(`, and not of one whose name only ends so.
fn calls(code: &str, function: &str) -> bool {
    code.match_indices(function).any(|(at, _)| {
        let before = &code[..at];
        !before.ends_with(|c: char| c.is_alphanumeric() || c == '_') && !before.ends_with("fn ")
    })
}

/// Files that hold tests: `tests.rs`, and folders `tests` inside a package (the package `tests` itself is more than that).
fn is_test(path: &str) -> bool {
    let Some((_, path)) = path.split_once('/') else { return false };
    path.ends_with("/tests.rs") || path.starts_with("tests/") || path.contains("/tests/")
}

fn may_use_anyhow(path: &str) -> bool {
    let is_main = path.ends_with("/src/main.rs") || path.contains("/src/bin/");
    is_main || path.starts_with("xtask/") || path.starts_with("tests/") || is_test(path)
}

/// The rules that `text` at `path` breaks.
fn broken(path: &str, text: &str) -> Vec<(Rule, usize)> {
    let file = SourceFile { path: path.into(), text: text.into() };
    check(&file).into_iter().map(|finding| (finding.rule, finding.line)).collect()
}

#[test]
fn a_file_opens_with_its_reason() {
    assert_eq!(broken("a/src/b.rs", "//! Why.\n"), []);
    assert_eq!(broken("a/src/b.rs", "#!/usr/bin/env cargo\n//! Why.\n"), []);
    assert_eq!(broken("a/src/b.rs", "use x;\n//! Why.\n"), [(Rule::Opening, 1)]);
    assert_eq!(broken("a/src/b.rs", ""), [(Rule::Opening, 1)]);
    assert_eq!(broken("proto/src/gen/b.rs", "use x;\n"), []);
    assert_eq!(broken("a/src/b/tests.rs", "use x;\n"), []);
}

#[test]
fn only_tests_may_be_long() {
    let long = format!("//! Why.\n{}", "\n".repeat(MAX_LINES));
    assert_eq!(broken("a/src/b.rs", &long), [(Rule::Length, 0)]);
    assert_eq!(broken("tests/src/b.rs", &long), [(Rule::Length, 0)]);
    assert_eq!(broken("a/src/b/tests.rs", &long), []);
    assert_eq!(broken("tests/tests/b.rs", &long), []);
}

#[test]
fn tests_sleep_only_on_paused_time() {
    let sleep = concat!("tokio::time::sle", "ep(second);");
    let test = |attribute: &str| format!("//! Why.\n{attribute}\nasync fn a() {{ {sleep} }}\n");
    assert_eq!(broken("a/tests/b.rs", &test("#[tokio::test]")), [(Rule::Sleep, 3)]);
    assert_eq!(broken("tests/src/b.rs", &test("")), [(Rule::Sleep, 3)]);
    assert_eq!(broken("a/tests/b.rs", &test("#[tokio::test(start_paused = true)]")), []);
    assert_eq!(broken("a/src/b.rs", &test("")), []);
    assert_eq!(broken("a/src/b.rs", &test("#[cfg(test)]")), [(Rule::Sleep, 3)]);
    assert_eq!(broken("a/tests/b.rs", concat!("//! Why.\nfn over_sle", "ep() {}\n")), []);
}

#[test]
fn nothing_is_ignored_or_unfinished() {
    let text = format!("//! Why.\n{IGNORED}]\nfn a() {{ {}) }}\n", UNFINISHED[0]);
    assert_eq!(broken("a/tests/b.rs", &text), [(Rule::Ignored, 2), (Rule::Unfinished, 3)]);
}

#[test]
fn libraries_do_without_anyhow() {
    let text = "//! Why, without anyhow.\nuse anyhow::Result;\n";
    assert_eq!(broken("a/src/lib.rs", text), [(Rule::Anyhow, 2)]);
    for path in ["a/src/main.rs", "a/src/bin/b.rs", "xtask/src/b.rs", "a/src/b/tests.rs"] {
        assert_eq!(broken(path, text), [], "{path}");
    }
}

#[test]
fn packages_have_the_lints() {
    assert_eq!(broken("a/Cargo.toml", "[package]\n"), [(Rule::Lints, 0)]);
    assert_eq!(broken("a/Cargo.toml", "[lints]\nworkspace = true\n"), []);
}

#[test]
fn machines_of_the_writer_are_not_named() {
    let text = format!("# See {}notes.\n", PRIVATE[0]);
    assert_eq!(broken("docs/a.md", &text), [(Rule::Private, 1)]);
}
