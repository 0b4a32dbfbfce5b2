//! Which command the tests are run with, when the edge cases are looked for, and that a red step ends the check.

use anyhow::bail;

use super::*;

fn words(command: &Command) -> Vec<String> {
    command.get_args().map(|word| word.to_string_lossy().into_owned()).collect()
}

#[test]
fn nextest_takes_filters_as_they_are() {
    let command = runner(true, &["journal".into(), "seal".into()]);
    assert_eq!(words(&command), ["nextest", "run", "--workspace", "journal", "seal"]);
}

#[test]
fn cargo_test_takes_several_filters_after_the_dashes() {
    let command = runner(false, &["journal".into(), "seal".into()]);
    assert_eq!(words(&command), ["test", "--workspace", "--", "journal", "seal"]);
}

#[test]
fn edge_cases_are_looked_for_when_all_tests_were_run_and_reported() {
    assert_eq!(why_edge_cases_stay_open(true, &[]), None);
    assert_eq!(why_edge_cases_stay_open(false, &[]), Some(NO_NEXTEST));
    for has_nextest in [true, false] {
        let why = why_edge_cases_stay_open(has_nextest, &["journal".into()]);
        assert_eq!(why, Some("only some of the tests are run"));
    }
}

#[test]
fn a_red_step_names_itself_and_stops_the_check() {
    let mut steps = Steps::default();
    steps.run("first", || Ok(())).unwrap();
    let error = steps.run::<()>("second", || bail!("broken")).unwrap_err();
    assert_eq!(format!("{error:#}"), "check stopped at `second`: broken");
}
