use super::*;

fn banks(patterns: &[&str]) -> OperatorBanks {
    OperatorBanks::new(patterns.iter().map(|text| text.parse().unwrap()))
}

#[test]
fn a_filter_is_granted_only_if_every_match_is_the_operators() {
    use FilterRefusal::{Malformed, OffTheLane, OtherBanks};
    let some = banks(&["lobby", "berlin-*"]);
    let all = banks(&["*"]);
    let none = banks(&[]);
    let shard = "lobby".parse::<BankId>().unwrap().shard();
    let own = format!("lk/{shard}/lobby/up/telemetry");
    let other_shard = if shard == "00" { "01" } else { "00" };
    let wrong = format!("lk/{other_shard}/lobby/up/telemetry");
    let long = format!("lk/+/{}/up/telemetry", "a".repeat(90));
    // The filter, and what it gets who has some banks, and who has all.
    type Answer = Result<(), FilterRefusal>;
    let rows: &[(&str, Answer, Answer)] = &[
        (&own, Ok(()), Ok(())),
        ("lk/+/lobby/up/telemetry", Ok(()), Ok(())),
        ("lk/+/lobby/up/presence", Ok(()), Ok(())),
        ("lk/+/lobby/live/doors", Ok(()), Ok(())),
        ("lk/+/lobby/up/+", Ok(()), Ok(())),
        ("lk/+/lobby/+/+", Ok(()), Ok(())),
        ("lk/+/lobby/+/doors", Ok(()), Ok(())),
        ("lk/+/lobby/#", Ok(()), Ok(())),
        ("lk/+/lobby/live/#", Ok(()), Ok(())),
        ("lk/+/berlin-07/up/telemetry", Ok(()), Ok(())),
        ("lk/+/berlin-/up/telemetry", Err(OffTheLane), Err(OffTheLane)),
        ("lk/+/berlin/up/telemetry", Err(OtherBanks), Ok(())),
        ("lk/+/annex/up/telemetry", Err(OtherBanks), Ok(())),
        ("lk/+/lobby2/up/telemetry", Err(OtherBanks), Ok(())),
        ("lk/+/+/up/telemetry", Err(OtherBanks), Ok(())),
        ("lk/00/+/up/telemetry", Err(OtherBanks), Ok(())),
        ("lk/00/#", Err(OtherBanks), Ok(())),
        ("lk/+/#", Err(OtherBanks), Ok(())),
        ("lk/#", Err(OtherBanks), Ok(())),
        (&wrong, Err(OffTheLane), Err(OffTheLane)),
        ("#", Err(OffTheLane), Err(OffTheLane)),
        ("+/+/lobby/up/telemetry", Err(OffTheLane), Err(OffTheLane)),
        ("+/#", Err(OffTheLane), Err(OffTheLane)),
        ("$share/g/lk/+/lobby/up/telemetry", Err(OffTheLane), Err(OffTheLane)),
        ("$SYS/#", Err(OffTheLane), Err(OffTheLane)),
        ("/lk/+/lobby/up/telemetry", Err(OffTheLane), Err(OffTheLane)),
        ("lk/+/lobby/up/facts", Err(OffTheLane), Err(OffTheLane)),
        ("lk/+/lobby/up/birth", Err(OffTheLane), Err(OffTheLane)),
        ("lk/+/lobby/down/command", Err(OffTheLane), Err(OffTheLane)),
        ("lk/+/lobby/down/#", Err(OffTheLane), Err(OffTheLane)),
        ("lk/+/lobby/live/telemetry", Err(OffTheLane), Err(OffTheLane)),
        ("lk/+/lobby/up", Err(OffTheLane), Err(OffTheLane)),
        ("lk/+/lobby/up/telemetry/#", Err(OffTheLane), Err(OffTheLane)),
        ("lk/+/lobby/up/telemetry/x", Err(OffTheLane), Err(OffTheLane)),
        ("lk/zz/lobby/up/telemetry", Err(OffTheLane), Err(OffTheLane)),
        ("lk/+/Lobby/up/telemetry", Err(OffTheLane), Err(OffTheLane)),
        ("lk/+/lobby+/up/telemetry", Err(Malformed), Err(Malformed)),
        ("lk/+/lob#/up/telemetry", Err(Malformed), Err(Malformed)),
        ("lk/#/lobby/up/telemetry", Err(Malformed), Err(Malformed)),
        ("lk/+/löbby/up/telemetry", Err(Malformed), Err(Malformed)),
        (&long, Err(Malformed), Err(Malformed)),
        ("", Err(OffTheLane), Err(OffTheLane)),
    ];
    for (filter, with_some, with_all) in rows {
        assert_eq!(some.check(filter), *with_some, "{filter} with some banks");
        assert_eq!(all.check(filter), *with_all, "{filter} with all banks");
        assert!(none.check(filter).is_err(), "{filter} with none");
    }
}

#[test]
fn patterns_are_a_name_a_beginning_or_all() {
    for text in ["*", "lobby", "berlin-*", "b*"] {
        assert_eq!(text.parse::<BankPattern>().unwrap().to_string(), text);
    }
    for text in ["", "-*", "Berlin*", "a/b", "a*b", "**", "lobby-", "+", "#", "l o*"] {
        assert_eq!(text.parse::<BankPattern>(), Err(ParseBankPatternError), "{text}");
    }
}
