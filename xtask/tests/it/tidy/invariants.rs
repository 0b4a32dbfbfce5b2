//! The numbered promises of the pages: paragraphs that begin with `I3.` (invariants, docs/architecture.md) or `G3.`
//! (guarantees, docs/guarantees.md) and name their tests.

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Promise {
    pub(super) number: u32,
    pub(super) tests: Vec<String>,
}

/// A promise reaches from its number, which `letter` precedes, to the next one or to an empty line.
pub(super) fn parse(page: &str, letter: char) -> Vec<Promise> {
    let mut found: Vec<(u32, String)> = Vec::new();
    let mut is_inside = false;
    for line in page.lines() {
        if let Some(number) = number(line, letter) {
            found.push((number, line.to_owned()));
            is_inside = true;
        } else if line.trim().is_empty() {
            is_inside = false;
        } else if is_inside && let Some((_, text)) = found.last_mut() {
            text.push(' ');
            text.push_str(line);
        }
    }
    found.into_iter().map(|(number, text)| Promise { number, tests: tests(&text) }).collect()
}

/// The number of the promise that `line` begins, in a list and in bold or not.
fn number(line: &str, letter: char) -> Option<u32> {
    let text = line.trim_start_matches(['-', '*', ' ']).strip_prefix(letter)?;
    let (number, _) = text.split_once('.')?;
    number.parse().ok()
}

/// What stands in backticks between `(test:` or `(tests:` and the closing bracket.
fn tests(text: &str) -> Vec<String> {
    let lists = ["(test:", "(tests:"]
        .into_iter()
        .flat_map(|opening| text.split(opening).skip(1).filter_map(|rest| rest.split(')').next()));
    // A path says where it is; its last part is the function.
    let names = lists.flat_map(|list| list.split('`').skip(1).step_by(2));
    names.map(|name| name.rsplit("::").next().unwrap_or(name).to_owned()).collect()
}

#[test]
fn promises_are_read_with_their_tests() {
    let page = "# Code map\n\nIt is. I9. is not at the start.\n\n\
        I1. A pulse has an Intent. (test: `every_pulse_has_an_intent`)\n\
        - **I2.** A door\n  stays shut. (tests: `a`,\n  `bank::tests::b`) Said (in brackets) `c`.\n\n\
        More `text` (test: `not_of_i2`).\nG7. A guarantee.\n\nI30. Has none.\nInvariants. And so on.\n";
    let promise = |number, tests: &[&str]| Promise {
        number,
        tests: tests.iter().map(ToString::to_string).collect(),
    };
    assert_eq!(
        parse(page, 'I'),
        [promise(1, &["every_pulse_has_an_intent"]), promise(2, &["a", "b"]), promise(30, &[])]
    );
}
