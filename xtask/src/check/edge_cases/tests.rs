//! Which tests count for an edge case, and what is said when there is none.

use super::*;

fn case(name: &str, has_passed: bool) -> TestCase {
    TestCase { name: name.to_owned(), has_passed }
}

/// A run with one good test for each edge case.
fn whole_run() -> Vec<TestCase> {
    ids().map(|id| case(&format!("bank::tests::{id}_ends_well"), true)).collect()
}

/// What is said of `id` when all the others are covered and `tests` are all there is for it.
fn said_of(id: &str, tests: &[TestCase]) -> Option<String> {
    let mut run = whole_run();
    run.retain(|case| !function(case).starts_with(id));
    run.extend(tests.iter().map(|test| case(&test.name, test.has_passed)));
    let uncovered = uncovered(&run);
    assert!(uncovered.len() <= 1, "{uncovered:?}");
    uncovered.first().map(ToString::to_string)
}

#[test]
fn the_ids_are_those_of_the_table() {
    let ids: Vec<_> = ids().collect();
    assert_eq!(ids.len(), 13 + 15 + 10 + 8 + 1 + 8 + 11 + 2 + 11);
    let some = ["d01", "d13", "k01", "k15", "c01", "c10", "h01", "h08", "h12", "t01", "t08", "r01"];
    for id in some.into_iter().chain(["r11", "r13", "r14", "p_a", "p_k"]) {
        assert!(ids.iter().any(|known| known == id), "{id}");
    }
    for id in ["d00", "d14", "k16", "c11", "h09", "h11", "h13", "t09", "r12", "r15", "p_l"] {
        assert!(ids.iter().all(|known| known != id), "{id}");
    }
}

#[test]
fn a_run_with_a_good_test_for_each_is_green() {
    verify(&whole_run()).unwrap();
}

#[test]
fn one_good_test_is_enough() {
    let tests = [case("a::k13_first", false), case("k13_second", true)];
    assert_eq!(said_of("k13", &tests), None);
}

#[test]
fn a_test_that_did_not_run_is_missing() {
    let said = said_of("k13", &[]).unwrap();
    assert_eq!(said, "K13: no test ran whose name begins with `k13_`");
}

#[test]
fn a_test_that_did_not_pass_does_not_count() {
    let said = said_of("k13", &[case("a::k13_first", false), case("b::k13_second", false)]);
    assert_eq!(
        said.unwrap(),
        "K13: no test passed whose name begins with `k13_` (not passed: a::k13_first, b::k13_second)"
    );
}

#[test]
fn only_the_beginning_of_the_functions_name_counts() {
    for other in ["k13_module::opens", "a::sees_k13_too", "a::k13", "a::k130_x", "a::K13_x"] {
        assert!(said_of("k13", &[case(other, true)]).is_some(), "{other}");
    }
    assert!(said_of("d05", &[case("a::d5_without_padding", true)]).is_some());
}

#[test]
fn each_missing_id_has_a_line() {
    let mut run = whole_run();
    run.retain(|case| !["d02", "h12"].iter().any(|id| function(case).starts_with(id)));
    assert_eq!(
        verify(&run).unwrap_err().to_string(),
        "2 of 79 edge cases are not covered:\n  \
         D02: no test ran whose name begins with `d02_`\n  \
         H12: no test ran whose name begins with `h12_`"
    );
}
