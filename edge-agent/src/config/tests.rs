//! A configuration is taken whole or refused with the key that is wrong.

use super::*;
use crate::board::{Echo, Polarity, Profile};

const GOOD: &str = r#"
bank = "lobby-1"
data_dir = "/var/lib/postern"

[hub]
host = "hub.example"
port = 8883
ca_file = "ca.pem"
certificate_file = "bank.pem"
key_file = "bank.key"
root_keys = ["00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"]

[panel]
listen = "127.0.0.1:7070"
access_file = "/run/postern/panel.json"

[[bus]]
port = { tcp = { addr = "192.0.2.1:5000" } }
boards = [{ addr = 0, locks = 3, polarity = "one_is_locked", inverted = [2] }]
"#;

fn refused(from: &str, to: &str) -> String {
    let text = GOOD.replace(from, to);
    assert_ne!(text, GOOD, "the replacement must hit");
    Config::parse(&text, Path::new("agent.toml")).unwrap_err().to_string()
}

#[test]
fn a_whole_configuration_is_taken_with_its_defaults() {
    let config = Config::parse(GOOD, Path::new("agent.toml")).unwrap();
    assert_eq!(config.bank.as_str(), "lobby-1");
    assert_eq!(config.policy(), SessionPolicy::default());
    assert_eq!(
        config.root_keys()[0].to_string(),
        "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
    );
    let bus = config.bus[0].bus_config();
    let polarities: Vec<_> = bus.boards[0].locks.iter().map(|lock| lock.polarity).collect();
    let one = Polarity::OneIsLocked;
    assert_eq!(polarities, [one, one, Polarity::ZeroIsLocked]);
}

#[test]
fn what_is_written_for_sessions_and_openings_is_what_the_rules_get() {
    let written = "[session]\ndoor_alert_s = 45\njam_ms = 0\n\n[governor]\nrecipient_per_minute = 1\nremote_per_hour = 64\n\n[panel]";
    let config = Config::parse(&GOOD.replace("[panel]", written), Path::new("agent.toml")).unwrap();
    let policy = config.policy();
    assert_eq!((policy.door_alert_ms, policy.jam_ms), (45_000, 0));
    let [minute, hour] = policy.governor.recipient;
    assert_eq!((minute.openings, minute.within_ms), (1, 60_000));
    assert_eq!((hour.openings, hour.within_ms), (60, 3_600_000));
    assert_eq!(policy.governor.remote[0], Limit { openings: 64, within_ms: 3_600_000 });
    assert_eq!(policy.governor.staff, GovernorLimits::default().staff);
}

#[test]
fn limits_out_of_range_are_refused_by_their_key() {
    let with =
        |section: &str, line: &str| refused("[panel]", &format!("[{section}]\n{line}\n\n[panel]"));
    for key in [
        "courier_per_minute",
        "recipient_per_minute",
        "recipient_per_hour",
        "staff_per_minute",
        "remote_per_hour",
    ] {
        for value in ["0", "65"] {
            let said = with("governor", &format!("{key} = {value}"));
            assert!(said.contains(&format!("governor.{key}: must be 1 to 64")), "{said}");
        }
        for value in ["-1", "65536", "\"many\""] {
            assert!(with("governor", &format!("{key} = {value}")).contains(key));
        }
    }
    assert!(with("governor", "recipient_per_day = 3").contains("recipient_per_day"));
    assert!(with("session", "jam_ms = 60001").contains("session.jam_ms: must be 0 to 60000"));
    assert!(with("session", "door_alert_s = 0").contains("session.door_alert_s: must be 1 to"));
    assert!(with("session", "door_alert_s = 86401").contains("session.door_alert_s"));
}

#[test]
fn every_mistake_names_its_key() {
    assert!(refused("bank = \"lobby-1\"", "bank = \"Lobby 1\"").contains("lower-case letters"));
    assert!(refused("127.0.0.1:7070", "0.0.0.0:7070").contains("panel.listen: must be a loopback"));
    assert!(refused("port = 8883", "prot = 8883").contains("prot"));
    assert!(refused("00112233445566778899aabbccddeeff\"]", "zz\"]").contains("64 hex digits"));
    assert!(refused("locks = 3", "locks = 49").contains("48"));
    assert!(refused("addr = 0,", "addr = 10,").contains("10"));
    assert!(refused("[[bus]]", "[[bos]]").contains("bos"));
    assert!(refused("polarity = \"one_is_locked\", ", "").contains("polarity"));
    let learned = refused("polarity = \"one_is_locked\"", "polarity = \"learned\"");
    assert!(learned.contains("bus.boards.inverted"), "{learned}");
    let small = "profile = \"cu16\"\nboards = [{ addr = 0, locks = 17";
    assert!(refused("boards = [{ addr = 0, locks = 3", small).contains("at most 16"));
    assert!(refused("boards = [", "profile = \"cu12\"\nboards = [").contains("cu12"));
}

#[test]
fn the_supply_is_described_within_limits() {
    let plain = Config::parse(GOOD, Path::new("agent.toml")).unwrap();
    assert_eq!((plain.power.mains_file, plain.starts.calm_s), (None, 30));
    let written = "[power]\nmains_file = \"/sys/class/power_supply/AC/online\"\nevery_ms = 500\n\n[starts]\ncalm_s = 0\n\n[panel]";
    let config = Config::parse(&GOOD.replace("[panel]", written), Path::new("agent.toml")).unwrap();
    let power = config.power;
    assert_eq!(power.mains_file.as_deref(), Some(Path::new("/sys/class/power_supply/AC/online")));
    assert_eq!((power.battery_value.as_str(), power.every_ms, config.starts.calm_s), ("0", 500, 0));
    for (line, key) in [
        ("[power]\nevery_ms = 99", "power.every_ms: must be 100 to 60000"),
        ("[power]\nbattery_value = \"\"", "power.battery_value: must not be empty"),
        ("[power]\nbattery_value = \" 0\"", "power.battery_value: must not be empty"),
        ("[starts]\ncalm_s = 601", "starts.calm_s: must be 0 to 600"),
        ("[power]\nups = true", "ups"),
    ] {
        let said = refused("[panel]", &format!("{line}\n\n[panel]"));
        assert!(said.contains(key), "{said}");
    }
}

#[test]
fn one_root_is_pinned_or_two_and_command_keys_are_not() {
    const ONE: &str = "\"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\"";
    let two = format!("{ONE}, \"{}\"", "ab".repeat(32));
    let text = GOOD.replace(ONE, &two);
    assert_eq!(Config::parse(&text, Path::new("agent.toml")).unwrap().root_keys().len(), 2);
    for bad in ["".to_owned(), format!("{ONE}, {ONE}"), format!("{two}, \"{}\"", "cd".repeat(32))] {
        assert!(refused(ONE, &bad).contains("hub.root_keys: "), "{bad}");
    }
    for line in [
        format!("command_keys = [{{ kid = 1, public_key = {ONE} }}]"),
        format!("root_keys = [{ONE}]\ncommand_keys = []"),
    ] {
        let said = refused(&format!("root_keys = [{ONE}]"), &line);
        assert!(said.contains("hub.command_keys: gave way to hub.root_keys"), "{said}");
        assert!(said.contains("root.pub"), "{said}");
    }
}

#[test]
fn samples_are_kept_within_limits_and_by_bytes_no_longer_by_number() {
    for (line, key) in [
        ("kept_bytes = 1000", "telemetry.kept_bytes: must be 262144 to 33554432"),
        ("fine_hours = 0", "telemetry.fine_hours: must be 1 to 720"),
        ("kept_samples = 4320", "telemetry.kept_samples: gave way to telemetry.kept_bytes"),
    ] {
        let said = refused("[panel]", &format!("[telemetry]\n{line}\n\n[panel]"));
        assert!(said.contains(key), "{said}");
    }
}

#[test]
fn a_bus_of_the_other_family_with_an_echo_is_taken() {
    let text = GOOD.replace("boards = [", "profile = \"cu16\"\necho = \"probe\"\nboards = [");
    let config = Config::parse(&text, Path::new("agent.toml")).unwrap();
    let line = config.bus[0].bus_config().line;
    assert_eq!((line.profile, line.echo), (Profile::Cu16, Echo::Probe));
}

#[test]
fn a_lock_of_unknown_polarity_is_not_given_to_the_bus() {
    let text = GOOD.replace("\"one_is_locked\", inverted = [2]", "\"learned\"");
    let config = Config::parse(&text, Path::new("agent.toml")).unwrap();
    assert!(config.bus[0].bus_config().boards[0].locks.is_empty());
}
