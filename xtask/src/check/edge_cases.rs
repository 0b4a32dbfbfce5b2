//! That the edge cases of the trade have tests: looked up among the tests that have just passed, because one that is
//! there but was filtered out, or does not compile in, proves nothing.

use std::fmt;
use std::ops::RangeInclusive;

use anyhow::{Result, bail};

use super::junit::TestCase;

/// The ids in the project's table of edge cases, each a case with the behaviour that is right in it: D = deposit, K = pickup,
/// C = codes and security, H = lock board, T = time, R = connectivity. A test says in its name which case it covers, with
/// two digits: `d05_...`.
const EDGE_CASES: [(char, RangeInclusive<u8>); 8] = [
    ('d', 1..=13),
    ('k', 1..=15),
    ('c', 1..=10),
    ('h', 1..=8),
    ('h', 12..=12),
    ('t', 1..=8),
    ('r', 1..=11),
    ('r', 13..=14),
];
/// Cases of power and storage have letters: `p_a_...`.
const POWER_CASES: RangeInclusive<char> = 'a'..='k';

/// Fails with a line for each edge case that no test of this run covers.
pub(super) fn verify(run: &[TestCase]) -> Result<()> {
    let uncovered = uncovered(run);
    let count = ids().count();
    if !uncovered.is_empty() {
        let lines: Vec<_> = uncovered.iter().map(|case| format!("\n  {case}")).collect();
        bail!("{} of {count} edge cases are not covered:{}", uncovered.len(), lines.concat());
    }
    eprintln!("Each of the {count} edge cases has a test that passed.");
    Ok(())
}

/// An edge case without a test that passed.
#[derive(Debug, PartialEq, Eq)]
struct Uncovered<'a> {
    /// As in `d05` and `p_a`.
    id: String,
    /// Tests of it that were reported and did not pass.
    not_passed: Vec<&'a str>,
}

impl fmt::Display for Uncovered<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = &self.id;
        let name = id.to_ascii_uppercase().replace('_', "-");
        let verb = if self.not_passed.is_empty() { "ran" } else { "passed" };
        write!(f, "{name}: no test {verb} whose name begins with `{id}_`")?;
        if !self.not_passed.is_empty() {
            write!(f, " (not passed: {})", self.not_passed.join(", "))?;
        }
        Ok(())
    }
}

fn uncovered(run: &[TestCase]) -> Vec<Uncovered<'_>> {
    ids()
        .filter_map(|id| {
            let begins = format!("{id}_");
            let (passed, not_passed): (Vec<_>, Vec<_>) = run
                .iter()
                .filter(|case| function(case).starts_with(&begins))
                .partition(|case| case.has_passed);
            let not_passed = not_passed.into_iter().map(|case| case.name.as_str()).collect();
            passed.is_empty().then_some(Uncovered { id, not_passed })
        })
        .collect()
}

fn ids() -> impl Iterator<Item = String> {
    let numbered = EDGE_CASES
        .into_iter()
        .flat_map(|(letter, numbers)| numbers.map(move |number| format!("{letter}{number:02}")));
    numbered.chain(POWER_CASES.map(|letter| format!("p_{letter}")))
}

/// The last segment of the test's path.
fn function(case: &TestCase) -> &str {
    case.name.rsplit("::").next().unwrap_or(&case.name)
}

#[cfg(test)]
mod tests;
