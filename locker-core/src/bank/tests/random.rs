//! Random scripts against the watcher in `world`. A counterexample prints as a script: make it a
//! test of its own with a name.

#![expect(clippy::too_many_lines, reason = "one line for each thing that can happen")]

use std::fmt;

use proptest::prelude::*;
use proptest::sample::select;

use super::world::World;

/// Most lines of a random script.
const LINES_MAX: usize = 100;

#[derive(Clone)]
struct Script(Vec<String>);

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f)?;
        self.0.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

fn words(text: &'static [&'static str]) -> BoxedStrategy<String> {
    select(text).prop_map(str::to_owned).boxed()
}

fn verb() -> impl Strategy<Value = String> {
    let label = || words(&["PKG1", "PKG2", "PKG3"]);
    let carrier = || words(&["acme", "acme", "zeta"]);
    let size = words(&["90x90x90", "100x50x150", "250x250x250", "400x1x1"]);
    let reading = || words(&["open", "closed"]);
    let no = || 1..4_u16;
    let outcome =
        words(&["opened", "opened", "opened", "shut", "shut", "already", "unknown", "notsent"]);
    let screen = words(&[
        "again",
        "deposited",
        "deposited",
        "misfit",
        "taken",
        "taken",
        "nottaken",
        "cancel",
        "finish",
        "reopen",
        "next",
        "tookback",
        "foreign",
        "wontshut",
        "refuse",
        "foundempty",
        "wrongparcel",
        "deposited 1",
        "found empty",
        "lift",
    ]);
    let rare = words(&[
        "reboot",
        "board offline",
        "board online",
        "disk full",
        "disk roomy",
        "presume deposited",
        "presume nothing",
        "layout 1:100x100x100 2:200x200x200 3:300x300x300",
        "layout 1:100x100x100@1 2:200x200x200@0 3:300x300x300",
        "layout 1:100x100x100 3:250x300x300",
        "mode maintenance",
        "mode serving",
        "quota 100x100x100 1",
        "quota 100x100x100 0",
        "doubt 1",
        "power",
        "reset 0",
        "lockdown",
        "mains gone",
        "mains back",
        "lapse",
        "slots 1-3",
        "slots 4-5",
        "keypad reset",
        "couriers 4:acme:0-90000 7:zeta:0-80000000",
        "couriers 8:acme:0-90000000 9:zeta:5000-80000000",
    ]);
    let person = || words(&["staff 1", "staff 1", "staff 2"]);
    let finding = words(&["inside", "takenout", "handedover"]);
    let hub = (label(), 1..6_u8, words(&["keep", "askback", "reissue", "lend", "revoke"]), 1..5_u8)
        .prop_map(|(label, version, verb, code)| {
            // The codes of each parcel are its own: 1x, 2x, 3x for its tenth.
            let code = format!("{}{code}", &label[3..]);
            match verb.as_str() {
                "keep" => format!("keep {label} {version} {code}000"),
                "askback" => format!("askback {label} {version} safety"),
                "lend" => format!("lend {label} {version} {code} 999999999999"),
                verb => format!("{verb} {label} {version} {code}"),
            }
        });
    let book = (label(), carrier(), size, 1..5_u8, prop::option::of(label()), any::<bool>())
        .prop_map(|(label, carrier, size, version, alias, code)| {
            let alias = alias.map(|alias| format!(" as {alias}")).unwrap_or_default();
            // Codes are random 128-bit ids: two parcels never share one, but a code may be reissued.
            let code = if code { format!(" code {}1", &label[3..]) } else { String::new() };
            let terms = ["", " hard", " hard until 90000", " keep 90000", " group 1 phone 7"];
            let terms = terms[usize::from(version) % terms.len()];
            format!("book {label} {carrier} {size} v {version}{alias}{code}{terms}")
        });
    prop_oneof![
        3 => (1..10_u8, any::<bool>()).prop_map(|(n, phone)| {
            if phone { format!("type {n} 7") } else { format!("type {n}") }
        }),
        2 => person(),
        2 => hub,
        2 => label().prop_map(|label| format!("takeout {label}")),
        2 => label().prop_map(|label| format!("removed {label}")),
        3 => no().prop_map(|no| format!("inspect {no}")),
        3 => (finding, label()).prop_map(|(what, label)| format!("found {what} {label}")),
        1 => (1..4_u8, 1..5_u8).prop_map(|(parcel, code)| format!("delegate {parcel}{code}")),
        2 => carrier().prop_map(|carrier| format!("badge {carrier}")),
        4 => label().prop_map(|label| format!("scan {label}")),
        4 => select(&[1, 2, 3]).prop_map(|n| format!("pickup PKG{n}")),
        6 => screen,
        6 => (no(), outcome).prop_map(|(no, outcome)| format!("settled {no} {outcome}")),
        6 => (no(), reading()).prop_map(|(no, reading)| format!("door {no} {reading}")),
        1 => (reading(), reading(), reading())
            .prop_map(|(a, b, c)| format!("baseline 1:{a} 2:{b} 3:{c}")),
        1 => Just("baseline 1:closed 2:closed 3:closed".to_owned()),
        1 => Just("deadline".to_owned()),
        1 => rare,
        2 => book,
        1 => (label(), 1..5_u8).prop_map(|(label, version)| format!("withdraw {label} {version}")),
    ]
}

/// A line; now and then one that the power fails under.
fn line() -> impl Strategy<Value = String> {
    let later =
        prop_oneof![8 => 1..5_000_u64, 1 => 5_000..400_000_u64, 1 => Just(3_000_000_000_u64)];
    let torn = prop_oneof![
        20 => Just(String::new()),
        1 => (0..4_usize).prop_map(|kept| format!("torn {kept} ")),
    ];
    (later, torn, verb()).prop_map(|(later, torn, verb)| {
        let sets = ["disk", "presume"].iter().any(|word| verb.starts_with(word));
        let torn = if sets { "" } else { &torn };
        format!("+{later} {torn}{verb}")
    })
}

/// The way of one parcel with everything going well: random lines in between rarely get that far.
fn good_way() -> impl Strategy<Value = Vec<String>> {
    let way = |n: u8| {
        [
            format!("+9 book PKG{n} acme 90x90x90"),
            "+9 badge acme".to_owned(),
            format!("+9 scan PKG{n}"),
            "+9 settled 1 opened".to_owned(),
            "+9 door 1 open".to_owned(),
            "+9 door 1 closed".to_owned(),
            "+9 deposited".to_owned(),
            "+9 finish".to_owned(),
            format!("+9 pickup PKG{n}"),
            "+9 settled 1 opened".to_owned(),
            "+9 door 1 open".to_owned(),
            "+9 door 1 closed".to_owned(),
            "+9 taken".to_owned(),
        ]
    };
    (1..4_u8, 0..14_usize).prop_map(move |(n, steps)| way(n).into_iter().take(steps).collect())
}

fn script() -> impl Strategy<Value = Script> {
    let piece = prop_oneof![
        12 => line().prop_map(|line| vec![line]),
        1 => good_way(),
    ];
    prop::collection::vec(piece, 1..LINES_MAX).prop_map(|pieces| Script(pieces.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_order_of_events_breaks_a_promise(script in script()) {
        let mut world = World::new();
        for line in &script.0 {
            world.play(line);
        }
        world.rebuilds();
    }
}
