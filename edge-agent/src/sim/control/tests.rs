//! Commands, their answers, and scripts.

use super::super::bank::SimConfig;
use super::*;

fn tell(bank: &mut SimBank, line: &str) -> String {
    line.parse::<Command>().unwrap().apply(bank, Duration::ZERO)
}

#[test]
fn commands_act_on_the_named_board_or_the_first() {
    let mut bank = SimBank::new(SimConfig { boards: vec![0, 1], ..SimConfig::default() });
    for line in ["open 3", "open 1:4", "jam 1:5 on", "mute 1 on", "garbage on"] {
        assert_eq!(tell(&mut bank, line), "ok", "{line}");
    }
    let state = tell(&mut bank, "state");
    let state: serde_json::Value =
        serde_json::from_str(state.strip_prefix("ok ").unwrap()).unwrap();
    assert_eq!(state["boards"][0]["open"], serde_json::json!([3]));
    assert_eq!(state["boards"][1]["open"], serde_json::json!([4]));
    assert_eq!(state["boards"][1]["jammed"], serde_json::json!([5]));
    assert_eq!(state["boards"][1]["muted"], true);
    assert_eq!(state["garbage"], true);
}

#[test]
fn what_is_not_there_is_an_error() {
    let mut bank = SimBank::new(SimConfig::default());
    for line in ["open 48", "open 7:1", "mute 3 on"] {
        assert_eq!(tell(&mut bank, line), "error no such board or lock", "{line}");
    }
}

#[test]
fn lines_that_are_no_commands_say_what_is_wrong() {
    assert_eq!("".parse::<Command>(), Err(ParseCommandError::Unknown(String::new())));
    assert!(matches!("open sesame".parse::<Command>(), Err(ParseCommandError::Number { .. })));
    assert!(matches!("open 300".parse::<Command>(), Err(ParseCommandError::Number { .. })));
    assert_eq!("mute maybe".parse::<Command>(), Err(ParseCommandError::Switch("maybe".to_owned())));
}

#[test]
fn a_script_is_read_whole_before_it_starts() {
    let script = parse_script("# a visit\n500 open 3\n\n100 jam 1:2 on\n").unwrap();
    let open = Command::Open(LockName { board: None, lock: 3 });
    assert_eq!(script[1], ScriptLine { at: Duration::from_millis(500), command: open });
    assert_eq!(script.len(), 2);
    assert_eq!(parse_script("500 open 3\nopen 3").unwrap_err().line, 2);
}
