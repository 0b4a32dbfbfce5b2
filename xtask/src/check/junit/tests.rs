//! What is read from a report, and that a report which is not whole is none.

use super::*;

/// As nextest 0.9.143 writes it. Added by hand: what it does not write the way we run it (the skipped test, the one that
/// passed at the second try, output of a passed one) and what another version may (comment, CDATA, other quotes).
const SAMPLE: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="nextest-run" tests="6" skipped="1" failures="1" errors="0" uuid="ec035c1b" time="0.478">
    <testsuite name="locker-core" tests="5" skipped="1" errors="0" failures="1">
        <testcase name="bank::tests::d01_passed" classname="locker-core" time="0.022"/>
        <testcase name="bank::tests::d02_failed" classname="locker-core" time="0.474">
            <failure message="thread &apos;d02&apos; panicked: 1 > 2" type="test failure with exit code 101">a &lt; b</failure>
        </testcase>
        <testcase name="bank::tests::d03_skipped" classname="locker-core">
            <skipped/>
        </testcase>
        <testcase name="bank::tests::d04_said_something" classname="locker-core" time="0.1">
            <properties><property name="a" value="b"/></properties>
            <system-out>&lt;testcase name=&quot;d09_only_printed&quot;/&gt;</system-out>
            <system-err><![CDATA[<testcase name="d10_only_printed"/>]]></system-err>
        </testcase>
        <testcase name="bank::tests::d05_passed_at_the_second_try" classname="locker-core">
            <flakyFailure type="test failure">once</flakyFailure>
        </testcase>
    </testsuite>
    <!-- <testcase name="d11_in_a_comment"/> -->
    <testsuite name="edge-agent" tests="1"><testcase classname='edge-agent' name='d06_a&lt;&#39;b&#x27;>' /></testsuite>
</testsuites>
"#;

fn names(cases: &[TestCase], has_passed: bool) -> Vec<&str> {
    let cases = cases.iter().filter(|case| case.has_passed == has_passed);
    cases.map(|case| case.name.as_str()).collect()
}

#[test]
fn only_what_has_neither_failed_nor_been_skipped_has_passed() {
    let cases = parse(SAMPLE).unwrap();
    assert_eq!(
        names(&cases, true),
        ["bank::tests::d01_passed", "bank::tests::d04_said_something", "d06_a<'b'>"]
    );
    assert_eq!(
        names(&cases, false),
        [
            "bank::tests::d02_failed",
            "bank::tests::d03_skipped",
            "bank::tests::d05_passed_at_the_second_try"
        ]
    );
}

#[test]
fn a_report_that_breaks_off_is_none() {
    for (end, _) in SAMPLE.trim_end().char_indices() {
        assert!(parse(&SAMPLE[..end]).is_err(), "{}", &SAMPLE[..end]);
    }
}

#[test]
fn what_is_not_understood_is_refused() {
    let inside = |case: &str| format!("<testsuites><testsuite>{case}</testsuite></testsuites>");
    let refusal = |text: &str| parse(text).unwrap_err().to_string();
    assert_eq!(refusal(&inside("<testcase classname=\"a\"/>")), "a <testcase> without a name");
    assert_eq!(refusal(&inside("<testcase name=\"&eacute;\"/>")), "`&eacute;` is not known");
    assert_eq!(refusal(&inside("<testcase name=a/>")), "an attribute's value without quotes");
    assert_eq!(refusal(&inside("<testcase name/>")), "an attribute without `=`");
    assert_eq!(refusal(&inside("</testcase>")), "<testsuite> is ended by </testcase>");
    assert_eq!(refusal(&inside("")), "it has no <testcase>");
    assert_eq!(refusal("<html></html>"), "<html> where <testsuites> should be");
    assert_eq!(refusal("<!DOCTYPE x>"), "a `<!` that is neither comment nor CDATA");
}

#[test]
fn the_runner_is_told_where_to_write() {
    let target = tempfile::Builder::new().prefix("it's \"here\"").tempdir().unwrap();
    let report = Report::new(target.path()).unwrap();
    let mut command = Command::new("cargo");
    report.request(&mut command).unwrap();

    let words: Vec<_> = command.get_args().map(|word| word.to_str().unwrap()).collect();
    let dir = report.0.path();
    let config = dir.join("nextest.toml");
    assert_eq!(words, ["--tool-config-file", &format!("xtask:{}", config.display())]);
    let escaped = dir.to_str().unwrap().replace('"', "\\\"");
    assert_eq!(
        fs::read_to_string(config).unwrap(),
        format!(
            "[store]\ndir = \"{escaped}\"\n\n\
             [profile.default.junit]\npath = \"{escaped}/junit.xml\"\nstore-failure-output = false\n"
        )
    );
    let missing = report.read().unwrap_err().to_string();
    assert!(missing.starts_with("the test runner wrote no report to "), "{missing}");
    fs::write(dir.join("junit.xml"), SAMPLE).unwrap();
    assert_eq!(report.read().unwrap(), parse(SAMPLE).unwrap());
}

#[test]
fn each_run_has_a_report_of_its_own() {
    let target = tempfile::tempdir().unwrap();
    let [first, second] = [(); 2].map(|()| Report::new(target.path()).unwrap());
    assert_ne!(first.0.path(), second.0.path());
    drop((first, second));
    assert_eq!(fs::read_dir(target.path()).unwrap().count(), 0);
}
