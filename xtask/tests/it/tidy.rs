//! House rules that no compiler and no linter checks. An exception is written down with its reason, and one that is no
//! longer needed fails too, so the list can only shrink.

mod invariants;
mod rules;

use std::fmt;

use crate::repository::files;

/// A rule that is broken in a file on purpose.
struct Exception {
    rule: Rule,
    path: &'static str,
    #[expect(dead_code, reason = "it is read by people, and nobody may leave it out")]
    why: &'static str,
}

const EXCEPTIONS: &[Exception] = &[
    Exception {
        rule: Rule::Sleep,
        path: "tests/src/wait.rs",
        why: "the pause between two looks at another process; everything that waits goes through it",
    },
    Exception {
        rule: Rule::Sleep,
        path: "tests/src/proxy.rs",
        why: "a line that is late: the time that passes is the fault",
    },
    Exception {
        rule: Rule::Sleep,
        path: "tests/src/bin/bench/backlog.rs",
        why: "a load that comes spread over a while",
    },
    Exception {
        rule: Rule::Sleep,
        path: "tests/src/bin/crash/chance.rs",
        why: "a program is killed at a moment that nothing in it has chosen",
    },
    Exception {
        rule: Rule::Sleep,
        path: "tests/src/bin/crash/people.rs",
        why: "people hesitate, and turn away after a while",
    },
    Exception {
        rule: Rule::Sleep,
        path: "tests/src/bin/crash/power_cuts.rs",
        why: "an operator who asks again and again",
    },
    Exception {
        rule: Rule::Sleep,
        path: "tests/tests/e2e/bad_line.rs",
        why: "a line that is bad for a while: the time that passes is the fault",
    },
    Exception {
        rule: Rule::Sleep,
        path: "edge-agent/tests/disk_use.rs",
        why: "three days on paused time",
    },
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// A file opens with `//!`: why it exists. A sibling `tests.rs` need not.
    Opening,
    /// At most [`rules::MAX_LINES`] lines; tests may be longer.
    Length,
    /// A test waits for a condition, or runs on paused time.
    Sleep,
    /// A test that is not run is not there.
    Ignored,
    /// What is not written yet is not pretended to be.
    Unfinished,
    /// Libraries have errors of their own.
    Anyhow,
    /// Every package has the workspace's lints.
    Lints,
    /// Nothing that only exists on the machine of whoever wrote it.
    Private,
}

/// A broken rule.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    rule: Rule,
    path: String,
    /// From 1; 0 for the whole file.
    line: usize,
    what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {:?}: {}", self.path, self.line, self.rule, self.what)
    }
}

#[test]
fn house_rules_hold() {
    let files = files();
    assert!(files.len() > 10, "git lists almost nothing: {}", files.len());
    let (excepted, broken): (Vec<_>, Vec<_>) =
        files.iter().flat_map(rules::check).partition(|finding| {
            EXCEPTIONS.iter().any(|e| e.rule == finding.rule && e.path == finding.path)
        });
    let broken: Vec<_> = broken.iter().map(ToString::to_string).collect();
    assert!(broken.is_empty(), "{} broken:\n{}", broken.len(), broken.join("\n"));

    for e in EXCEPTIONS {
        let is_needed = excepted.iter().any(|f| f.rule == e.rule && f.path == e.path);
        assert!(is_needed, "strike the exception {:?} of {}: it is not needed", e.rule, e.path);
    }
}

#[test]
fn every_invariant_and_every_guarantee_names_tests_that_exist() {
    let files = files();
    let has_test = |name: &String| {
        let function = format!("fn {name}(");
        files.iter().any(|file| file.path.ends_with(".rs") && file.text.contains(&function))
    };
    for (path, letter) in [("docs/architecture.md", 'I'), ("docs/guarantees.md", 'G')] {
        let page = files.iter().find(|file| file.path == path);
        let page = page.unwrap_or_else(|| panic!("there is no {path}"));
        let promises = invariants::parse(&page.text, letter);
        assert!(!promises.is_empty(), "{path} has no line that begins with `{letter}1.`");
        let mut seen = std::collections::BTreeSet::new();
        for promise in &promises {
            let number = promise.number;
            assert!(seen.insert(number), "{letter}{number} is there twice");
            assert!(!promise.tests.is_empty(), "{letter}{number} names no test: (test: `name`)");
            let gone: Vec<_> = promise.tests.iter().filter(|name| !has_test(name)).collect();
            assert!(gone.is_empty(), "{letter}{number} names tests that do not exist: {gone:?}");
        }
    }
}
