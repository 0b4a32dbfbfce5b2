//! Commands, their answers, and scripts.

use super::*;
use crate::sim::usage;

#[test]
fn locks_are_named_in_three_ways_and_as_all() {
    let mut rig = Rig::cu48(&[0, 1]);
    rig.tell("open 3");
    rig.tell("open 1:4");
    rig.tell("open 1 5");
    assert_eq!((rig.open(0), rig.open(1)), (vec![3], vec![4, 5]));
    rig.tell("open 1:*");
    assert_eq!((rig.open(0).len(), rig.open(1).len()), (1, 48));
    rig.tell("close *");
    assert_eq!((rig.open(0).len(), rig.open(1).len()), (0, 0));
    rig.tell("open 1 *");
    assert_eq!((rig.open(0).len(), rig.open(1).len()), (0, 48));
}

#[test]
fn what_is_not_there_is_an_error_that_says_what_is() {
    let mut rig = Rig::cu48(&[0, 2]);
    for (line, error) in [
        ("open 48", "error a cu48 board has no lock 48; its locks are 0 to 47"),
        ("open 7:1", "error there is no board 7; there are 0, 2"),
        ("mute 3 on", "error there is no board 3; there are 0, 2"),
        ("reboot 3 100", "error there is no board 3; there are 0, 2"),
    ] {
        assert_eq!(rig.answer(line), error);
    }
    assert!(Rig::cu16(&[0]).answer("open 16").ends_with("its locks are 0 to 15"));
}

#[test]
fn lines_that_are_no_commands_say_what_is_wrong() {
    let mut rig = Rig::cu48(&[0]);
    for (line, error) in [
        (" ", "error the line is empty; try help"),
        ("sing", "error no such command: \"sing\"; try help"),
        ("open sesame", "error \"sesame\" is not a number, or out of range; usage: open LOCK"),
        ("open 300", "error \"300\" is not a number, or out of range; usage: open LOCK"),
        ("open 1 2 3", "error wrong number of words; usage: open LOCK"),
        ("jam 3", "error wrong number of words; usage: jam LOCK on|off"),
        ("jam 3 maybe", "error \"maybe\" is not possible here; usage: jam LOCK on|off"),
        (
            "late 99999999999",
            "error \"99999999999\" is not a number, or out of range; usage: late [BOARD] MS|off",
        ),
        (
            "half-open wide",
            "error \"wide\" is not possible here; usage: half-open swallow|hold|off",
        ),
        (
            "clash 1 0 often",
            "error \"often\" is not possible here; \
             usage: clash BOARD OTHER|off, or clash BOARD OTHER both",
        ),
    ] {
        assert_eq!(rig.answer(line), error);
    }
}

/// Each line of `help` with examples in the place of its words is a command.
#[test]
fn help_tells_commands_that_exist() {
    for usage in usage::all() {
        let words = usage.line().replace("[BOARD] ", "").replace(['[', ']'], "");
        let choices = |word: &str| -> Vec<String> {
            let choice = |choice: &str| match choice {
                "LOCK" => "1:3".to_owned(),
                "OTHER" | "BOARD" if usage.name == "clash" => "0".to_owned(),
                "OTHER" => "0:3".to_owned(),
                word if word.chars().all(char::is_uppercase) => "7".to_owned(),
                word => word.to_owned(),
            };
            word.split('|').map(choice).collect()
        };
        let mut lines = vec![String::new()];
        for word in words.split(' ') {
            let longer = |line: &String| {
                choices(word).iter().map(|word| format!("{line} {word}")).collect::<Vec<_>>()
            };
            lines = lines.iter().flat_map(longer).collect();
        }
        for line in lines {
            assert!(line.parse::<Command>().is_ok(), "{line}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn help_is_readable_and_ends_with_ok() {
    let help = Sim::new(SimConfig::default()).command("help").unwrap();
    let (text, last) = help.rsplit_once('\n').unwrap();
    assert_eq!(last, "ok");
    assert!(text.lines().all(|line| line.starts_with("  ") && line.len() <= 110), "{help}");
    assert!(text.lines().all(|line| !line.contains("off a ")), "columns stand apart: {help}");
}

#[test]
fn the_state_names_each_fault_as_its_command_and_reset_ends_them_all() {
    let mut rig = Rig::cu16(&[0, 1]);
    let faults = [
        "jam 0:3 on",
        "crack 0:3 200",
        "slow 0:3 900",
        "sympathetic 0:3 1:4",
        "hook 0:3 open",
        "infrared 0:3 empty",
        "invert 0:3 on",
        "mute 0 on",
        "late 0 70",
        "truncate 0 5",
        "flip 0 9",
        "noise 0 2",
        "garbage 0 on",
        "mute 1 4",
        "clash 1 0 both",
        "weak-supply 300",
        "echo on",
        "stale on",
        "merge on",
        "split 20",
        "babble noise",
        "half-open hold",
        "unplug",
    ];
    for fault in faults {
        rig.tell(fault);
    }
    assert_eq!(rig.faults(), faults);
    rig.tell("open 3");
    rig.tell("visitor 5 put");
    rig.tell("reset");
    assert!(rig.faults().is_empty());
    assert_eq!(rig.open(0), [3], "what people did stays");
    assert_eq!(rig.bank.to_json()["boards"][0]["visitors"], serde_json::json!([5]), "and will do");
    let status = [0x02, 0x00, 0x30, 0x03, 0x35];
    assert_eq!(rig.ask(&status), [summed(vec![0x02, 0x00, 0x35, 0xF7, 0xFF, 0, 0, 0x03])]);
}

#[tokio::test(start_paused = true)]
async fn the_log_tells_every_pulse_with_its_time() {
    let sim = Sim::new(SimConfig::default());
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        sim.command("open 3").unwrap();
        sim.command("close 3").unwrap();
    }
    let answer = sim.command("log 2").unwrap();
    let expected = "  {\"board\":0,\"door\":\"open\",\"lock\":3,\"t_ms\":300}\n  \
                    {\"board\":0,\"door\":\"closed\",\"lock\":3,\"t_ms\":300}\nok";
    assert_eq!(answer, expected);
    assert_eq!(sim.command("log").unwrap().lines().count(), 7);
}

#[test]
fn a_log_line_is_as_documented() {
    let at = Duration::from_millis(1_500);
    for (what, line) in [
        (What::Pulse(1), r#"{"board":0,"lock":3,"pulse":1,"t_ms":1600}"#),
        (What::Opened, r#"{"board":0,"door":"open","lock":3,"t_ms":1600}"#),
        (What::Put, r#"{"board":0,"item":"put","lock":3,"t_ms":1600}"#),
        (What::Reboot, r#"{"board":0,"fault":"reboot","lock":3,"t_ms":1600}"#),
    ] {
        assert_eq!(Occurrence { at, board: 0, lock: 3, what }.to_json(100).to_string(), line);
    }
}

#[test]
fn a_script_is_read_whole_before_it_starts() {
    let script = parse_script("# a visit\n500 open 3\n\n100 jam 1:2 on\n").unwrap();
    let open = Command::Open(LockName { board: None, lock: Some(3) });
    assert_eq!(script[1], ScriptLine { at: Duration::from_millis(500), command: open });
    assert_eq!(script.len(), 2);
    assert_eq!(parse_script("500 open 3\nopen 3").unwrap_err().line, 2);
    assert_eq!(parse_script("500").unwrap_err().line, 1);
}

#[tokio::test(start_paused = true)]
async fn a_script_is_played_in_time_and_ends_at_what_is_refused() {
    let profile = Profile::Cu16;
    let sim = Sim::new(SimConfig { profile, ..SimConfig::default() });
    let visit = "500 open 3\n600 put 3\n900 close 3\n950 take 3\n999 open 4";
    let error = sim.run_script(&parse_script(visit).unwrap()).await.unwrap_err();
    assert_eq!(error.to_string(), "script, at 950 ms: the door of 0:3 is shut; open it first");
    let told: Vec<_> = sim.history().iter().map(|each| (each.at.as_millis(), each.what)).collect();
    assert_eq!(told, [(500, What::Opened), (600, What::Put), (900, What::Closed)]);
}
